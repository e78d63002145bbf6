//! Trust and client certificates against TLS stubs, with certificates made on the spot.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::stub::{Connection, Stub};
use super::{Environment, Failure, Http, Options};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path =
            std::env::temp_dir().join(format!("ldclient-tls-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name` and its key.
fn issued(authority: &Authority, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

fn server_config(
    authority: &Authority,
    name: &str,
    clients: Option<&Authority>,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .unwrap(),
            )
        }
    };
    let (certificate, key) = issued(authority, name);
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

fn tls_stub(config: Arc<ServerConfig>, serve: impl Fn(Connection) + Send + Sync + 'static) -> Stub {
    let wrap = move |mut socket| {
        let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        connection.complete_io(&mut socket).ok()?;
        Some(Box::new(StreamOwned::new(connection, socket)) as Box<_>)
    };
    Stub::over(wrap, serve)
}

fn serve_ok(mut connection: Connection) {
    while connection.request().is_some() {
        connection.answer("200 OK", "", b"ok");
    }
}

fn get(stub: &Stub, options: &Options) -> Result<u16, Failure> {
    let url = format!("https://127.0.0.1:{}/", stub.address.port());
    Http::new(options)
        .unwrap()
        .get(&url, &[])
        .map(|response| response.status)
}

fn trusting(path: &Path) -> Options {
    Options {
        ca_certs: Some(path.to_owned()),
        ..Options::default()
    }
}

#[test]
fn a_ca_file_is_trusted_wherever_it_is_named_and_others_are_not() {
    let folder = Folder::new();
    let (ours, other) = (authority(), authority());
    let stub = tls_stub(server_config(&ours, "127.0.0.1", None), serve_ok);
    let right = folder.file("ca.pem", &ours.pem());
    let wrong = folder.file("other.pem", &other.pem());
    let text = |path: &Path| Some(path.display().to_string());
    let environment = |environment| Options {
        environment,
        ..Options::default()
    };

    assert_eq!(get(&stub, &trusting(&right)), Ok(200));
    assert_eq!(get(&stub, &trusting(&folder.0)), Ok(200), "a folder");
    let bundle = environment(Environment {
        requests_ca_bundle: text(&right),
        ..Environment::default()
    });
    assert_eq!(get(&stub, &bundle), Ok(200));
    let file = environment(Environment {
        ssl_cert_file: text(&right),
        ..Environment::default()
    });
    assert_eq!(get(&stub, &file), Ok(200));
    let both = environment(Environment {
        ssl_cert_file: text(&wrong),
        ssl_cert_dir: text(&folder.0),
        ..Environment::default()
    });
    assert_eq!(get(&stub, &both), Ok(200), "the union of file and folder");
    let overruled = Options {
        ca_certs: Some(wrong.clone()),
        ..bundle
    };
    let untrusted = get(&stub, &overruled).unwrap_err();
    assert!(
        matches!(untrusted, Failure::Certificate(_)),
        "{untrusted:?}"
    );
    let unverified = Options {
        verify: false,
        ..Options::default()
    };
    assert_eq!(get(&stub, &unverified), Ok(200));
}

#[test]
fn a_certificate_for_another_host_is_not_trusted() {
    let folder = Folder::new();
    let ours = authority();
    let stub = tls_stub(server_config(&ours, "app.test", None), serve_ok);
    let failure = get(&stub, &trusting(&folder.file("ca.pem", &ours.pem()))).unwrap_err();
    assert!(matches!(failure, Failure::Certificate(_)), "{failure:?}");
}

#[test]
fn a_ca_file_that_cannot_be_used_is_said_before_anything_is_sent() {
    let folder = Folder::new();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("empty.pem", ""),
        ("text.pem", "hello"),
        ("garbage.pem", garbage),
    ] {
        let path = folder.file(name, text);
        let told = trusting(&path).check().expect_err(name);
        assert!(
            told.contains("no usable certificate") && told.contains(name),
            "{told}"
        );
    }
    let missing = folder.0.join("missing.pem");
    assert!(
        trusting(&missing)
            .check()
            .unwrap_err()
            .contains("cannot be read")
    );
    let file = Environment {
        ssl_cert_file: Some(missing.display().to_string()),
        ..Environment::default()
    };
    assert!(
        Options {
            environment: file,
            ..Options::default()
        }
        .check()
        .is_err()
    );
    let nowhere = Environment {
        ssl_cert_dir: Some(missing.display().to_string()),
        ..Environment::default()
    };
    assert!(
        Options {
            environment: nowhere,
            ..Options::default()
        }
        .check()
        .is_err()
    );
    assert_eq!(Options::default().check(), Ok(()));
}

#[test]
fn a_client_certificate_is_shown_to_a_server_that_asks_for_it() {
    let folder = Folder::new();
    let (servers, clients) = (authority(), authority());
    let stub = tls_stub(
        server_config(&servers, "127.0.0.1", Some(&clients)),
        serve_ok,
    );
    let base = trusting(&folder.file("ca.pem", &servers.pem()));
    let identity = |authority: &Authority, name: &str| {
        let (certificate, key) = issued(authority, "client");
        let path = folder.file(name, &(certificate.pem() + &key.serialize_pem()));
        Options {
            cert_file: Some(path),
            ..base.clone()
        }
    };
    assert_eq!(get(&stub, &identity(&clients, "client.pem")), Ok(200));
    for (case, options) in [
        ("none", base.clone()),
        ("another's", identity(&servers, "wrong.pem")),
    ] {
        let failure = get(&stub, &options).unwrap_err();
        assert!(
            matches!(failure, Failure::Certificate(_) | Failure::Network(_)),
            "{case}: {failure:?}"
        );
    }
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_an_error_and_not_a_panic() {
    let folder = Folder::new();
    let ours = authority();
    let (certificate, key) = issued(&ours, "client");
    let (_, stranger) = issued(&ours, "client");
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let damaged = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (name, text, expected) in [
        (
            "mismatch.pem",
            certificate.pem() + &stranger.serialize_pem(),
            "does not fit",
        ),
        ("no-key.pem", certificate.pem(), "no private key"),
        ("no-certificate.pem", key.serialize_pem(), "no certificate"),
        ("sealed.pem", certificate.pem() + sealed, "encrypted"),
        ("damaged.pem", certificate.pem() + damaged, "cannot be used"),
        ("empty.pem", String::new(), "no certificate"),
    ] {
        let options = Options {
            cert_file: Some(folder.file(name, &text)),
            ..Options::default()
        };
        let told = options.check().expect_err(name);
        assert!(
            told.contains(expected) && told.contains(name),
            "{name}: {told}"
        );
        let asked = Http::new(&options)
            .unwrap()
            .get("https://127.0.0.1:9/", &[]);
        assert_eq!(asked.unwrap_err(), Failure::Invalid(told));
    }
    let missing = Options {
        cert_file: Some(folder.0.join("missing.pem")),
        ..Options::default()
    };
    assert!(missing.check().unwrap_err().contains("cannot be read"));
}

#[test]
fn shutting_down_ends_a_tls_stream_and_a_handshake_within_100_ms() {
    let folder = Folder::new();
    let ours = authority();
    let ca = folder.file("ca.pem", &ours.pem());
    let streaming = tls_stub(server_config(&ours, "127.0.0.1", None), |mut connection| {
        connection.request();
        connection.write("HTTP/1.1 200 OK\r\n\r\n:\n");
        connection.wait_for_end();
    });
    let mute = Stub::start(|mut connection| connection.wait_for_end());
    for stub in [&streaming, &mute] {
        let http = Http::new(&trusting(&ca)).unwrap();
        let url = format!("https://127.0.0.1:{}/", stub.address.port());
        let (sender, blocked) = mpsc::channel();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let opened = http.open_stream(&url, &[], Duration::from_secs(15));
                let failure = opened.and_then(|mut stream| {
                    stream
                        .body
                        .read_exact(&mut [0; 2])
                        .map_err(Failure::from_io)?;
                    let _ = sender.send(());
                    stream
                        .body
                        .read(&mut [0; 10])
                        .map(drop)
                        .map_err(Failure::from_io)
                });
                (failure, Instant::now())
            });
            // The mute peer never lets the reader get as far as its first bytes.
            let _ = blocked.recv_timeout(Duration::from_millis(if stub.address == mute.address {
                150
            } else {
                10_000
            }));
            thread::sleep(Duration::from_millis(20));
            assert!(!reader.is_finished());
            let start = Instant::now();
            http.shut_down();
            let (result, ended) = reader.join().unwrap();
            assert_eq!(result, Err(Failure::Closed));
            let took = ended.saturating_duration_since(start);
            assert!(took < Duration::from_millis(100), "took {took:?}");
        });
    }
}

#[test]
fn a_secure_target_is_reached_through_a_tunnel_with_credentials() {
    let folder = Folder::new();
    let ours = authority();
    let target = tls_stub(server_config(&ours, "app.test", None), serve_ok);
    let address = target.address;
    let (sender, asked) = mpsc::channel();
    let proxy = Stub::over(
        move |mut socket: std::net::TcpStream| {
            // The head is read by hand, then both directions are copied as they are.
            let mut connection = Connection {
                stream: Box::new(socket.try_clone().ok()?),
            };
            let request = connection.request()?;
            let credentials = request.header("proxy-authorization").unwrap_or_default();
            let _ = sender.send(format!("{}\n{credentials}", request.line()));
            connection.write("HTTP/1.1 200 Connection established\r\n\r\n");
            let mut upstream = std::net::TcpStream::connect(address).ok()?;
            let (mut down, mut up) = (socket.try_clone().ok()?, upstream.try_clone().ok()?);
            thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut down);
                let _ = down.shutdown(std::net::Shutdown::Both);
            });
            let _ = std::io::copy(&mut socket, &mut upstream);
            let _ = upstream.shutdown(std::net::Shutdown::Both);
            None
        },
        |_| {},
    );
    let options = Options {
        proxy: Some(format!("http://me:p%40ss@{}", proxy.address)),
        ..trusting(&folder.file("ca.pem", &ours.pem()))
    };
    let http = Http::new(&options).unwrap();
    let response = http.get("https://app.test/flags", &[]).unwrap();
    assert_eq!(response.body, b"ok");
    assert_eq!(
        asked.recv().unwrap(),
        "CONNECT app.test:443 HTTP/1.1\nBasic bWU6cEBzcw=="
    );
    http.shut_down();
}

#[test]
fn a_proxy_may_itself_be_reached_over_tls() {
    let folder = Folder::new();
    let ours = authority();
    let (sender, asked) = mpsc::channel();
    let proxy = tls_stub(
        server_config(&ours, "127.0.0.1", None),
        move |mut connection| {
            while let Some(request) = connection.request() {
                let _ = sender.send(request.line().to_owned());
                connection.answer("200 OK", "", b"ok");
            }
        },
    );
    let options = Options {
        proxy: Some(format!("https://{}", proxy.address)),
        ..trusting(&folder.file("ca.pem", &ours.pem()))
    };
    let response = Http::new(&options)
        .unwrap()
        .get("http://relay.test:8030/x", &[])
        .unwrap();
    assert_eq!(response.body, b"ok");
    assert_eq!(
        asked.recv().unwrap(),
        "GET http://relay.test:8030/x HTTP/1.1"
    );
}

#[test]
fn requests_over_tls_share_a_connection() {
    let folder = Folder::new();
    let ours = authority();
    let stub = tls_stub(server_config(&ours, "127.0.0.1", None), serve_ok);
    let http = Http::new(&trusting(&folder.file("ca.pem", &ours.pem()))).unwrap();
    let url = format!("https://127.0.0.1:{}/", stub.address.port());
    for _ in 0..3 {
        http.get(&url, &[]).unwrap();
    }
    assert_eq!(stub.connections(), 1);
}

/// A certificate of the older kind: its host is said in the subject only.
fn named_in_subject(authority: &Authority, host: &str) -> Arc<ServerConfig> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, host);
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}

#[test]
fn a_host_that_only_the_subject_names_is_accepted_under_a_named_authority_alone() {
    let folder = Folder::new();
    let (ours, other) = (authority(), authority());
    let right = folder.file("ca.pem", &ours.pem());
    let wrong = folder.file("other.pem", &other.pem());
    let ask = |config: Arc<ServerConfig>, options: &Options| {
        let stub = tls_stub(config, serve_ok);
        let url = format!("https://localhost:{}/", stub.address.port());
        Http::new(options)
            .unwrap()
            .get(&url, &[])
            .map(|response| response.status)
    };

    let config = named_in_subject(&ours, "localhost");
    assert_eq!(ask(Arc::clone(&config), &trusting(&right)), Ok(200));
    assert!(ask(Arc::clone(&config), &trusting(&wrong)).is_err());
    assert!(ask(config, &Options::default()).is_err());
    let elsewhere = named_in_subject(&ours, "elsewhere");
    assert!(ask(elsewhere, &trusting(&right)).is_err());
}
