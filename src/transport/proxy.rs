//! Which proxy a URL goes through: a pure function of the URL, the option and the environment. Talking to the proxy
//! is left to `connect` and `forward`.
//!
//! 1. The option wins over everything, `NO_PROXY` included (as launchdarkly-server-sdk 9.20).
//! 2. Else the URL's scheme names the variable: `http_proxy` or `https_proxy`, and `all_proxy` as the last resort.
//!    Lower case is asked first, then upper case. `HTTP_PROXY` is ignored where `REQUEST_METHOD` is set: under CGI a
//!    visitor can set it with a `Proxy:` header.
//! 3. `NO_PROXY` is a list with commas (or blanks): `*`, a name that covers itself and all below it (with or without
//!    `.` or `*.` in front), an address, a CIDR range for literal addresses; each may end in `:port`.

use std::fmt;
use std::net::IpAddr;

use ureq::Proxy;
use ureq::http::Uri;

use super::http::has_bad_port;

/// What the process environment says of proxies and of certificates. Empty values count as not set.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `http_proxy`, or `HTTP_PROXY` outside CGI.
    pub http_proxy: Option<String>,
    /// `https_proxy` or `HTTPS_PROXY`.
    pub https_proxy: Option<String>,
    /// `all_proxy` or `ALL_PROXY`.
    pub all_proxy: Option<String>,
    /// `no_proxy` or `NO_PROXY`.
    pub no_proxy: Option<String>,
    /// `REQUESTS_CA_BUNDLE`: replaces the platform's roots.
    pub requests_ca_bundle: Option<String>,
    /// `SSL_CERT_FILE`: replaces the platform's roots, together with `ssl_cert_dir`.
    pub ssl_cert_file: Option<String>,
    /// `SSL_CERT_DIR`: folders, separated as in `PATH`.
    pub ssl_cert_dir: Option<String>,
}

impl Environment {
    /// Reads the process environment as it is now.
    #[must_use]
    pub fn read() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// Reads the environment through `variable`.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let known = |value: Option<String>| {
            value
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let either = |name: &str| {
            known(match variable(name) {
                // A lower-case variable that is set but empty switches off the upper-case one, as in urllib.
                Some(value) => Some(value),
                None if name == "http_proxy" && variable("REQUEST_METHOD").is_some() => None,
                None => variable(&name.to_ascii_uppercase()),
            })
        };
        Self {
            http_proxy: either("http_proxy"),
            https_proxy: either("https_proxy"),
            all_proxy: either("all_proxy"),
            no_proxy: either("no_proxy"),
            requests_ca_bundle: known(variable("REQUESTS_CA_BUNDLE")),
            ssl_cert_file: known(variable("SSL_CERT_FILE")),
            ssl_cert_dir: known(variable("SSL_CERT_DIR")),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(without_credentials);
        f.debug_struct("Environment")
            .field("http_proxy", &shown(&self.http_proxy))
            .field("https_proxy", &shown(&self.https_proxy))
            .field("all_proxy", &shown(&self.all_proxy))
            .field("no_proxy", &self.no_proxy)
            .field("requests_ca_bundle", &self.requests_ca_bundle)
            .field("ssl_cert_file", &self.ssl_cert_file)
            .field("ssl_cert_dir", &self.ssl_cert_dir)
            .finish()
    }
}

/// The URL of the proxy that requests to `url` go through, or none for a direct connection. It may hold credentials:
/// show it through [`without_credentials`] only.
#[must_use]
pub fn proxy_for(url: &str, option: Option<&str>, environment: &Environment) -> Option<String> {
    if let Some(proxy) = option.map(str::trim).filter(|proxy| !proxy.is_empty()) {
        return Some(proxy.to_owned());
    }
    let target: Uri = url.parse().ok()?;
    let host = bare(target.host()?);
    let (of_scheme, default_port) = match target.scheme_str()? {
        "https" => (&environment.https_proxy, 443),
        _ => (&environment.http_proxy, 80),
    };
    let proxy = of_scheme.as_ref().or(environment.all_proxy.as_ref())?;
    let port = target.port_u16().unwrap_or(default_port);
    let exempt = environment
        .no_proxy
        .as_deref()
        .unwrap_or_default()
        .split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty())
        .any(|entry| is_exempt(entry, host, port));
    (!exempt).then(|| proxy.clone())
}

/// `url` without a user's name and password, fit for a log.
#[must_use]
pub fn without_credentials(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    // The password may hold anything, a slash included: everything up to the last @ goes.
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}{host}")
}

/// The proxy at `url`, or what is wrong with it, in words that hold no credentials.
pub(super) fn parse(url: &str) -> Result<Proxy, String> {
    let url = url.trim();
    let shown = without_credentials(url);
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {}
        other if other.starts_with("socks") => {
            return Err(format!(
                "the proxy {shown} is a SOCKS proxy, which is not supported; use an HTTP proxy"
            ));
        }
        _ => {
            return Err(format!(
                "the proxy {shown} has a scheme other than http or https"
            ));
        }
    }
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    };
    let proxy = Proxy::new(&full).map_err(|_| format!("the proxy {shown} is not a valid URL"))?;
    if proxy.host().is_empty() {
        return Err(format!("the proxy {shown} names no host"));
    }
    if has_bad_port(proxy.uri()) || proxy.uri().path().contains('@') {
        return Err(format!(
            "the proxy {shown} is not a valid URL; percent-encode a / or : in its user or password"
        ));
    }
    Ok(proxy)
}

/// Whether one entry of `NO_PROXY` covers a host (without brackets) and port.
fn is_exempt(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let (name, entry_port) = split_port(entry);
    if entry_port.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return match name.split_once('/') {
            Some((network, bits)) => match (network.parse(), bits.parse()) {
                (Ok(network), Ok(bits)) => covers(network, bits, address),
                _ => false,
            },
            None => name.parse() == Ok(address),
        };
    }
    let name = name.strip_prefix('*').unwrap_or(name);
    let name = name.trim_matches('.').to_ascii_lowercase();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    !name.is_empty()
        && host
            .strip_suffix(&name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `name:port`, `[address]:port`, or a name or address alone.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some(rest) = entry.strip_prefix('[')
        && let Some((address, rest)) = rest.split_once(']')
    {
        return (
            address,
            rest.strip_prefix(':').and_then(|port| port.parse().ok()),
        );
    }
    match entry.split_once(':') {
        // More than one colon: an IPv6 address or range.
        Some((_, port)) if port.contains(':') => (entry, None),
        Some((name, port)) => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        None => (entry, None),
    }
}

fn covers(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_variables(|name| {
            pairs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn through_proxy(no_proxy: &str, url: &str) -> bool {
        let environment =
            environment(&[("all_proxy", "http://proxy:3128"), ("no_proxy", no_proxy)]);
        proxy_for(url, None, &environment).is_some()
    }

    #[test]
    fn the_scheme_decides_the_variable_and_all_proxy_is_the_last_resort() {
        let both = environment(&[
            ("http_proxy", "http://plain:1"),
            ("HTTPS_PROXY", "http://secure:2"),
        ]);
        assert_eq!(
            proxy_for("http://a.test/", None, &both).as_deref(),
            Some("http://plain:1")
        );
        assert_eq!(
            proxy_for("https://a.test/", None, &both).as_deref(),
            Some("http://secure:2")
        );
        let all = environment(&[
            ("http_proxy", "http://plain:1"),
            ("ALL_PROXY", "http://all:3"),
        ]);
        assert_eq!(
            proxy_for("https://a.test/", None, &all).as_deref(),
            Some("http://all:3")
        );
        let plain = environment(&[("http_proxy", "http://plain:1")]);
        assert_eq!(proxy_for("https://a.test/", None, &plain), None);
    }

    #[test]
    fn lower_case_wins_and_an_empty_lower_case_variable_switches_the_proxy_off() {
        let both = environment(&[
            ("https_proxy", "http://low:1"),
            ("HTTPS_PROXY", "http://up:2"),
        ]);
        assert_eq!(both.https_proxy.as_deref(), Some("http://low:1"));
        let off = environment(&[("https_proxy", ""), ("HTTPS_PROXY", "http://up:2")]);
        assert_eq!(off.https_proxy, None);
    }

    #[test]
    fn the_upper_case_http_proxy_is_ignored_under_cgi() {
        let cgi = [
            ("REQUEST_METHOD", "GET"),
            ("HTTP_PROXY", "http://evil:1"),
            ("HTTPS_PROXY", "http://good:2"),
        ];
        let read = environment(&cgi);
        assert_eq!(read.http_proxy, None);
        assert_eq!(read.https_proxy.as_deref(), Some("http://good:2"));
        assert_eq!(
            environment(&cgi[1..]).http_proxy.as_deref(),
            Some("http://evil:1")
        );
    }

    #[test]
    fn the_option_wins_over_the_environment_and_over_no_proxy() {
        let environment = environment(&[("https_proxy", "http://env:1"), ("no_proxy", "*")]);
        assert_eq!(
            proxy_for("https://a.test", Some("http://option:2"), &environment).as_deref(),
            Some("http://option:2")
        );
        assert_eq!(proxy_for("https://a.test", None, &environment), None);
    }

    #[test]
    fn no_proxy_covers_what_the_table_says() {
        let table: &[(&str, &str, bool)] = &[
            ("*", "https://app.example.com", false),
            ("other.com,*", "https://app.example.com", false),
            ("example.com", "https://example.com", false),
            ("example.com", "https://app.example.com", false),
            ("EXAMPLE.com", "https://App.Example.COM", false),
            (".example.com", "https://app.example.com", false),
            (".example.com", "https://example.com", false),
            ("*.example.com", "https://app.example.com", false),
            ("example.com", "https://notexample.com", true),
            ("example.com", "https://example.com.evil.test", true),
            (
                " other.com , example.com ",
                "https://app.example.com",
                false,
            ),
            ("other.com example.com", "https://app.example.com", false),
            ("example.com:443", "https://example.com", false),
            ("example.com:8443", "https://example.com", true),
            ("example.com:8443", "https://example.com:8443", false),
            ("example.com:80", "http://example.com", false),
            ("10.0.0.0/8", "http://10.2.3.4:8030", false),
            ("10.0.0.0/8", "http://11.2.3.4:8030", true),
            ("10.0.0.0/8", "http://ten.example.com", true),
            ("0.0.0.0/0", "http://11.2.3.4", false),
            ("10.0.0.0/33", "http://10.2.3.4", true),
            ("127.0.0.1", "http://127.0.0.1:8030", false),
            ("127.0.0.1:8030", "http://127.0.0.1:8030", false),
            ("127.0.0.1:8031", "http://127.0.0.1:8030", true),
            ("7.0.0.1", "http://127.0.0.1", true),
            ("::1", "http://[::1]:8030", false),
            ("[::1]:8030", "http://[::1]:8030", false),
            ("[::1]:8031", "http://[::1]:8030", true),
            ("fd00::/8", "http://[fd12::1]", false),
            ("fd00::/8", "http://[fe80::1]", true),
            ("::/0", "http://[fe80::1]", false),
            (",, ,", "https://example.com", true),
            (".", "https://example.com", true),
            ("", "https://example.com", true),
            ("example.com.", "https://app.example.com", false),
        ];
        for (no_proxy, url, expected) in table {
            assert_eq!(
                through_proxy(no_proxy, url),
                *expected,
                "NO_PROXY={no_proxy} for {url}"
            );
        }
    }

    #[test]
    fn a_proxy_url_is_parsed_with_its_credentials_decoded() {
        let proxy = parse("http://us%40er:p%3Ass@host:3128").unwrap();
        assert_eq!(
            (proxy.username(), proxy.password()),
            (Some("us@er"), Some("p:ss"))
        );
        assert_eq!((proxy.host(), proxy.port()), ("host", 3128));
        let bare = parse("host:3128").unwrap();
        assert_eq!((bare.host(), bare.port()), ("host", 3128));
    }

    #[test]
    fn a_proxy_we_cannot_use_is_named_without_its_password() {
        for bad in [
            "socks5://me:hunter2@host:1",
            "ftp://me:hunter2@host",
            "http://me:hunter2@",
            "http://me:hunter2@ho st",
            "http://me:hun/ter2@host:x",
            "http://me:123/hunter2@host:1",
            "http://me:hunter2@host:99999",
            "http://me:hunter2%FF@host",
            "",
        ] {
            let told = parse(bad).expect_err(bad);
            assert!(!told.contains("hun") && !told.contains("ter2"), "{told}");
        }
        assert!(parse("socks5h://h:1").unwrap_err().contains("SOCKS"));
    }

    #[test]
    fn no_debug_output_shows_a_proxy_password() {
        let environment = environment(&[
            ("all_proxy", "http://me:hunter2@host"),
            ("http_proxy", "me:hunter2@host"),
        ]);
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
