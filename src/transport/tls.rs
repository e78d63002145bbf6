//! Whom we trust and who we are: the TLS configuration of a generation. Connecting is left to `connect`.
//!
//! The certificates trusted are the first of: the option `ca_certs`, `REQUESTS_CA_BUNDLE`, `SSL_CERT_FILE` together
//! with `SSL_CERT_DIR`, the platform's. Each of the first three replaces the platform's. What is named but cannot be
//! used is an error: falling back would trust more than was asked for. How a server's name is found in its certificate
//! is left to `private_names`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{
    Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem,
};

use super::Options;
use super::private_names::PrivateVerifier;

/// What connections are made from: `ureq`'s configuration, and ours where the application named the authorities.
pub(super) struct Trust {
    pub(super) config: TlsConfig,
    pub(super) private: Option<Arc<ClientConfig>>,
}

/// The configuration for `options`, or what is wrong with the files they name.
pub(super) fn trust(options: &Options) -> Result<Trust, String> {
    // Given explicitly, so that nothing depends on what other libraries install for the process.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = if options.verify {
        roots(options, usize::MAX)?
    } else {
        RootCerts::PlatformVerifier
    };
    let client = options
        .cert_file
        .as_deref()
        .map(|path| client_certificate(path, &provider))
        .transpose()?;
    let private = match &roots {
        RootCerts::Specific(certificates) => {
            Some(private(certificates, client.as_ref(), &provider)?)
        }
        _ => None,
    };
    let config = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .client_cert(client)
        .disable_verification(!options.verify)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Ok(Trust { config, private })
}

/// What is wrong with the files that the options or the environment name. A file with hundreds of authorities is read as far as
/// the first one that can be used.
pub(super) fn check(options: &Options) -> Result<(), String> {
    if options.verify {
        roots(options, 1)?;
    }
    if let Some(path) = &options.cert_file {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        client_certificate(path, &provider)?;
    }
    Ok(())
}

fn private(
    certificates: &[Certificate<'static>],
    client: Option<&ClientCert>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(
        certificates
            .iter()
            .map(|certificate| CertificateDer::from(certificate.der())),
    );
    let verifier = PrivateVerifier {
        roots,
        provider: Arc::clone(provider),
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // Stricter than its name: it checks all that the built-in one does but a name in the subject.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(client) = client else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = client
        .certs()
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der()).into_owned())
        .collect();
    let key = PrivateKeyDer::try_from(client.private_key().der())
        .map_err(str::to_owned)?
        .clone_key();
    let config = builder.with_client_auth_cert(chain, key);
    config.map(Arc::new).map_err(|error| error.to_string())
}

/// Up to so many of the authorities to trust.
fn roots(options: &Options, most: usize) -> Result<RootCerts, String> {
    let environment = &options.environment;
    if let Some(path) = &options.ca_certs {
        return trusted("the CA file", std::slice::from_ref(path), most);
    }
    if let Some(path) = &environment.requests_ca_bundle {
        return trusted("REQUESTS_CA_BUNDLE", &[PathBuf::from(path)], most);
    }
    let mut paths: Vec<PathBuf> = environment
        .ssl_cert_file
        .iter()
        .map(PathBuf::from)
        .collect();
    if let Some(folders) = &environment.ssl_cert_dir {
        paths.extend(std::env::split_paths(folders).filter(|folder| folder.is_dir()));
        if paths.is_empty() {
            return Err(format!(
                "SSL_CERT_DIR names no folder that exists: {folders}"
            ));
        }
    }
    if paths.is_empty() {
        return Ok(RootCerts::PlatformVerifier);
    }
    trusted("SSL_CERT_FILE or SSL_CERT_DIR", &paths, most)
}

/// The certificates in `paths`, PEM files or folders of them, up to so many. At least one of them must be usable.
fn trusted(source: &str, paths: &[PathBuf], most: usize) -> Result<RootCerts, String> {
    let mut known = HashSet::new();
    let mut usable = RootCertStore::empty();
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    'paths: for path in paths {
        for file in files(source, path)? {
            let Ok(pem) = fs::read(&file) else {
                // In a folder, what cannot be read is not for us.
                continue;
            };
            for item in parse_pem(&pem) {
                // A folder often holds each certificate several times.
                if let Ok(PemItem::Certificate(certificate)) = item
                    && known.insert(certificate.der().to_vec())
                    && usable.add(CertificateDer::from(certificate.der())).is_ok()
                {
                    certificates.push(certificate);
                    if certificates.len() == most {
                        break 'paths;
                    }
                }
            }
        }
    }
    if certificates.is_empty() {
        let named: Vec<_> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(format!(
            "{source} holds no usable certificate in PEM form: {}",
            named.join(", ")
        ));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn files(source: &str, path: &Path) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("{source} cannot be read: {}: {error}", path.display());
    if !path.is_dir() {
        // Opened here for the reason it may give.
        fs::File::open(path).map_err(unreadable)?;
        return Ok(vec![path.to_owned()]);
    }
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .map_err(unreadable)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    Ok(files)
}

/// The certificate chain and key in `path`, checked to fit each other: `ureq` panics on a pair that does not.
fn client_certificate(path: &Path, provider: &Arc<CryptoProvider>) -> Result<ClientCert, String> {
    let shown = path.display();
    let pem = fs::read(path)
        .map_err(|error| format!("the client certificate file cannot be read: {shown}: {error}"))?;
    let mut chain: Vec<Certificate<'static>> = Vec::new();
    let mut key: Option<PrivateKey<'static>> = None;
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => chain.push(certificate),
            Ok(PemItem::PrivateKey(found)) => {
                key.get_or_insert(found);
            }
            Ok(_) => {}
            Err(_) => {
                return Err(format!(
                    "the client certificate file is not valid PEM: {shown}"
                ));
            }
        }
    }
    if chain.is_empty() {
        return Err(format!(
            "the client certificate file holds no certificate in PEM form: {shown}"
        ));
    }
    let Some(key) = key else {
        let sealed = pem.windows(9).any(|word| word == b"ENCRYPTED");
        let hint = if sealed {
            "; an encrypted key is not supported"
        } else {
            ""
        };
        return Err(format!(
            "the client certificate file holds no private key: {shown}{hint}"
        ));
    };
    fits(&chain, &pem, provider).map_err(|reason| format!("{reason}: {shown}"))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn fits(
    chain: &[Certificate<'static>],
    pem: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<(), String> {
    let key = PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "the client's private key cannot be read".to_owned())?;
    let chain = chain
        .iter()
        .map(|certificate| CertificateDer::from(certificate.der()).into_owned())
        .collect();
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map(drop)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                "the client's private key does not fit its certificate".to_owned()
            }
            rustls::Error::InvalidCertificate(_) => {
                "the client's certificate cannot be used".to_owned()
            }
            _ => "the client's private key cannot be used".to_owned(),
        })
}
