//! Servers whose authority the application named itself: the check of their certificate, and of the name in it. Which
//! authorities those are is `tls`'s question.
//!
//! A certificate of an organisation's own authority may say its host in the subject's common name only, as no public one
//! may since 2017. Python's `ssl` accepts it, so an address that worked before goes on working. It counts only where the
//! certificate has no subject alternative name at all, and only under an authority that was named by hand: the
//! platform's never reach this file.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Checks what a server presents against `roots`.
#[derive(Debug)]
pub(super) struct PrivateVerifier {
    pub(super) roots: RootCertStore,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PrivateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        match verify_server_name(&certificate, server_name) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if is_named_in_subject_only(end_entity, server_name) => {}
            outcome => outcome?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

/// Whether the certificate's only name is a common name that equals `name`, a host's and no address. No wildcards.
fn is_named_in_subject_only(certificate: &[u8], name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(host) = name else {
        return false;
    };
    common_name(certificate).is_some_and(|found| {
        found.eq_ignore_ascii_case(host.as_ref().trim_end_matches('.').as_bytes())
    })
}

/// The one common name of a certificate without subject alternative names; `None` where anything is unusual.
fn common_name(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, certificate)?;
    // Version, serial number, algorithm, issuer, validity; then the subject.
    for tag in [VERSION, INTEGER, SEQUENCE, SEQUENCE, SEQUENCE] {
        (_, rest) = expect(tag, rest)?;
    }
    let (subject, mut rest) = expect(SEQUENCE, rest)?;
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        rest = after;
        if tag == EXTENSIONS && names_alternatives(content)? {
            return None;
        }
    }
    let mut found = None;
    let mut names = subject;
    while !names.is_empty() {
        let (mut set, after) = expect(SET, names)?;
        names = after;
        while !set.is_empty() {
            let (pair, after) = expect(SEQUENCE, set)?;
            set = after;
            let (of, value) = expect(OBJECT, pair)?;
            if of == COMMON_NAME {
                let (tag, text, _) = element(value)?;
                if found.is_some() || ![UTF8_STRING, PRINTABLE_STRING].contains(&tag) {
                    return None;
                }
                found = Some(text);
            }
        }
    }
    found
}

fn names_alternatives(extensions: &[u8]) -> Option<bool> {
    let (mut rest, _) = expect(SEQUENCE, extensions)?;
    while !rest.is_empty() {
        let (extension, after) = expect(SEQUENCE, rest)?;
        rest = after;
        if expect(OBJECT, extension)?.0 == ALTERNATIVE_NAMES {
            return Some(true);
        }
    }
    Some(false)
}

fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// The first element of DER: its tag, its content and what follows it.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        // Nothing here is longer than 2^24 bytes, and an indefinite length (0) is not DER.
        if !(1..=3).contains(&count) || rest.len() < count {
            return None;
        }
        let (bytes, after) = rest.split_at(count);
        length = bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        rest = after;
    }
    (rest.len() >= length).then(|| {
        let (content, after) = rest.split_at(length);
        (tag, content, after)
    })
}

const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 17];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn certificate(common_names: &[&str], alternatives: &[&str]) -> Vec<u8> {
        let alternatives: Vec<_> = alternatives.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(alternatives).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params
            .distinguished_name
            .push(DnType::OrganizationName, "flags.internal");
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn is_for(der: &[u8], name: &str) -> bool {
        is_named_in_subject_only(der, &ServerName::try_from(name).unwrap())
    }

    #[test]
    fn a_common_name_is_a_name_where_there_is_no_other() {
        let der = certificate(&["Relay.internal"], &[]);
        assert!(is_for(&der, "relay.internal"));
        assert!(!is_for(&der, "other.internal"));
        assert!(
            !is_for(&der, "flags.internal"),
            "the organisation is no host"
        );
    }

    #[test]
    fn an_alternative_name_takes_the_common_one_out_of_force() {
        let der = certificate(&["relay.internal"], &["other.internal"]);
        assert!(!is_for(&der, "relay.internal"));
    }

    #[test]
    fn wildcards_and_addresses_are_no_common_names() {
        assert!(!is_for(
            &certificate(&["*.internal"], &[]),
            "relay.internal"
        ));
        assert!(!is_for(&certificate(&["127.0.0.1"], &[]), "127.0.0.1"));
        assert!(!is_for(&certificate(&[], &[]), "relay.internal"));
    }

    #[test]
    fn a_certificate_that_ends_early_has_no_name() {
        let der = certificate(&["relay.internal"], &[]);
        for length in 0..der.len() {
            assert_eq!(common_name(&der[..length]), None, "{length} bytes");
        }
    }
}
