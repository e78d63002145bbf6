//! Requests to `http://` targets through a proxy, in the absolute form of RFC 9112 section 3.2.2. `ureq` itself only
//! knows CONNECT, which many proxies allow to port 443 alone; `https://` targets are left to it.

use std::fmt;
use std::sync::Arc;

use ureq::config::Config;
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, NextTimeout, Transport,
};
use ureq::{Error, Proxy};

/// Connects to the proxy of a plain target.
#[derive(Debug)]
pub(super) struct ForwardConnector {
    /// The agent's configuration, without a proxy: the one for the connection to the proxy.
    pub(super) direct: Config,
}

impl<In: Transport> Connector<In> for ForwardConnector {
    type Out = Either<In, Forward>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(transport) = chained {
            return Ok(Some(Either::A(transport)));
        }
        let Some(proxy) = details.config.proxy() else {
            return Ok(None);
        };
        let (Some("http"), Some(authority)) = (details.uri.scheme_str(), details.uri.authority())
        else {
            return Ok(None);
        };
        let resolver: &dyn Resolver = details.resolver;
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: resolver.resolve(proxy.uri(), &self.direct, details.timeout)?,
            config: &self.direct,
            request_level: details.request_level,
            resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        let inner = (details.run_connector)(&to_proxy)?;
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        Ok(Some(Either::B(Forward {
            inner,
            target: format!("http://{host}"),
            credentials: credentials(proxy),
            at_head: true,
        })))
    }
}

/// A connection to a proxy that forwards. Each request's first bytes get the target in front of the path, and the
/// proxy's credentials as the first header.
pub(super) struct Forward {
    inner: Box<dyn Transport>,
    target: String,
    credentials: Option<String>,
    /// Whether the next bytes sent start a request: nothing was sent yet, or an answer has been read since.
    at_head: bool,
}

impl Forward {
    fn send(&mut self, mut bytes: &[u8], timeout: NextTimeout) -> Result<(), Error> {
        while !bytes.is_empty() {
            let output = self.inner.buffers().output();
            let amount = bytes.len().min(output.len());
            let (now, later) = bytes.split_at(amount);
            output[..amount].copy_from_slice(now);
            self.inner.transmit_output(amount, timeout)?;
            bytes = later;
        }
        Ok(())
    }
}

impl Transport for Forward {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if !self.at_head {
            return self.inner.transmit_output(amount, timeout);
        }
        let head = self.inner.buffers().output()[..amount].to_vec();
        // The line is whole: it is written at once, and a request whose line does not fit the buffer fails before.
        let (Some(path), Some(line)) = (
            head.iter().position(|byte| *byte == b' '),
            head.windows(2).position(|pair| pair == b"\r\n"),
        ) else {
            return Err(Error::ConnectionFailed);
        };
        let mut sent = Vec::with_capacity(head.len() + 256);
        sent.extend_from_slice(&head[..=path]);
        sent.extend_from_slice(self.target.as_bytes());
        sent.extend_from_slice(&head[path + 1..line + 2]);
        if let Some(credentials) = &self.credentials {
            sent.extend_from_slice(b"Proxy-Authorization: Basic ");
            sent.extend_from_slice(credentials.as_bytes());
            sent.extend_from_slice(b"\r\n");
        }
        sent.extend_from_slice(&head[line + 2..]);
        self.at_head = false;
        self.send(&sent, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.at_head = true;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        // Towards the target, which is what is asked, there is none.
        false
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// The proxy's user and password as Basic credentials.
fn credentials(proxy: &Proxy) -> Option<String> {
    if proxy.username().is_none() && proxy.password().is_none() {
        return None;
    }
    let user = proxy.username().unwrap_or_default();
    let password = proxy.password().unwrap_or_default();
    Some(base64(format!("{user}:{password}").as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0, |sum, at| {
            sum << 8 | usize::from(group.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            if at <= group.len() {
                text.push(char::from(ALPHABET[number >> (18 - 6 * at) & 63]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_rfc_4648_shows() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        let proxy = Proxy::new("http://me:p%40ss@host").unwrap();
        assert_eq!(credentials(&proxy).as_deref(), Some("bWU6cEBzcw=="));
        assert_eq!(credentials(&Proxy::new("http://host").unwrap()), None);
    }
}
