//! The client against stubs on loopback: answers, limits, proxies and shutting down. TLS is left to `tls_tests`.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::resolver::Lookups;
use super::stub::{Received, Stub};
use super::{Environment, Failure, Http, Options, StreamResponse};

const IDLE: Duration = Duration::from_secs(15);
const SECRET: &str = "sdk-very-secret";

fn options() -> Options {
    Options {
        headers: vec![
            ("Authorization".to_owned(), SECRET.to_owned()),
            ("User-Agent".to_owned(), "PythonClient/1".to_owned()),
        ],
        ..Options::default()
    }
}

fn http() -> Http {
    Http::new(&options()).unwrap()
}

fn short() -> Http {
    Http::new(&Options {
        connect_timeout: Duration::from_millis(300),
        read_timeout: Duration::from_millis(300),
        ..options()
    })
    .unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn rest(stream: &mut StreamResponse) -> Result<String, Failure> {
    let mut text = String::new();
    stream
        .body
        .read_to_string(&mut text)
        .map_err(Failure::from_io)?;
    Ok(text)
}

/// A stub that reports each request and answers with "ok".
fn recording() -> (Stub, mpsc::Receiver<Received>) {
    let (sender, requests) = mpsc::channel();
    let stub = Stub::answering(move |request, connection| {
        let _ = sender.send(request.clone());
        connection.answer("200 OK", "", b"ok");
    });
    (stub, requests)
}

#[test]
fn a_request_carries_the_base_headers_and_its_own_replace_them() {
    let (stub, requests) = recording();
    let http = http();
    let response = http
        .get(
            &stub.url("/all?x=1"),
            &[("user-agent", "other"), ("X-More", "1")],
        )
        .unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b"ok"[..]));
    let request = requests.recv().unwrap();
    assert_eq!(request.line(), "GET /all?x=1 HTTP/1.1");
    assert_eq!(request.header("authorization"), Some(SECRET));
    assert_eq!(request.header("user-agent"), Some("other"));
    assert_eq!(request.header("x-more"), Some("1"));
    assert_eq!(request.header("accept-encoding"), Some("gzip"));
    assert_eq!(request.header("host"), Some(&*stub.address.to_string()));
}

#[test]
fn posts_send_their_body_and_share_a_connection() {
    let (stub, requests) = recording();
    let http = http();
    for body in [&b"[1]"[..], b"", b"[2]"] {
        http.post(
            &stub.url("/bulk"),
            &[("Content-Type", "application/json")],
            body,
        )
        .unwrap();
        let request = requests.recv().unwrap();
        assert_eq!(
            (request.line(), &request.body[..]),
            ("POST /bulk HTTP/1.1", body)
        );
    }
    assert_eq!(stub.connections(), 1);
}

#[test]
fn an_error_status_is_a_response_with_headers_and_body() {
    let stub = Stub::answering(|_, connection| {
        connection.answer("401 Unauthorized", "Date: today\r\n", b"no");
    });
    let response = http().get(&stub.url("/"), &[]).unwrap();
    assert_eq!(
        (response.status, response.header("DATE"), &response.body[..]),
        (401, Some("today"), &b"no"[..])
    );
    let mut stream = http().open_stream(&stub.url("/"), &[], IDLE).unwrap();
    assert_eq!((stream.status, stream.header("date")), (401, Some("today")));
    assert_eq!(rest(&mut stream).unwrap(), "no");
}

#[test]
fn an_etag_that_still_holds_is_answered_with_304_and_no_body() {
    let stub = Stub::answering(
        |request, connection| match request.header("if-none-match") {
            Some("\"v1\"") => connection.write("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n"),
            _ => connection.answer("200 OK", "ETag: \"v1\"\r\n", b"{}"),
        },
    );
    let http = http();
    let first = http.get(&stub.url("/"), &[]).unwrap();
    let etag = first.header("etag").unwrap();
    let second = http
        .get(&stub.url("/"), &[("If-None-Match", etag)])
        .unwrap();
    assert_eq!((second.status, second.body.len()), (304, 0));
    assert_eq!(stub.connections(), 1);
}

#[test]
fn a_gzip_body_is_undone_and_limited_by_its_decompressed_size() {
    let stub = Stub::answering(|request, connection| {
        let size = request
            .line()
            .split(['/', ' '])
            .nth(2)
            .unwrap()
            .parse()
            .unwrap();
        connection.answer(
            "200 OK",
            "Content-Encoding: gzip\r\n",
            &gzip(&vec![b'x'; size]),
        );
    });
    let http = Http::new(&Options {
        max_body: 1000,
        ..options()
    })
    .unwrap();
    assert_eq!(http.get(&stub.url("/1000"), &[]).unwrap().body.len(), 1000);
    assert_eq!(
        http.get(&stub.url("/1001"), &[]).unwrap_err(),
        Failure::TooLarge
    );
    assert_eq!(
        http.get(&stub.url("/50000000"), &[]).unwrap_err(),
        Failure::TooLarge
    );
    assert_eq!(http.get(&stub.url("/999"), &[]).unwrap().body.len(), 999);
}

#[test]
fn a_plain_body_over_the_limit_or_cut_short_or_damaged_is_a_failure() {
    let stub = Stub::start(|mut connection| {
        let request = connection.request().unwrap();
        match request.line() {
            "GET /large HTTP/1.1" => connection.answer("200 OK", "", &[b'x'; 1001]),
            "GET /cut HTTP/1.1" => {
                connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            }
            "GET /damaged HTTP/1.1" => {
                connection.answer("200 OK", "Content-Encoding: gzip\r\n", b"not gzip");
            }
            "GET /nonsense HTTP/1.1" => connection.write("SMTP 1\r\n\r\n"),
            _ => {}
        }
    });
    let http = Http::new(&Options {
        max_body: 1000,
        ..options()
    })
    .unwrap();
    assert_eq!(
        http.get(&stub.url("/large"), &[]).unwrap_err(),
        Failure::TooLarge
    );
    for path in ["/cut", "/damaged", "/nonsense", "/hang-up"] {
        let failure = http.get(&stub.url(path), &[]).unwrap_err();
        assert!(
            matches!(failure, Failure::Network(_)),
            "{path}: {failure:?}"
        );
    }
}

#[test]
fn a_refused_connection_says_where() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failure = http()
        .get(&format!("http://me:hunter2@{free}/"), &[])
        .unwrap_err();
    let told = failure.to_string();
    assert!(
        matches!(failure, Failure::Network(_)) && told.contains(&free.to_string()),
        "{told}"
    );
    assert!(!told.contains("hunter2"));
    let proxied = Options {
        proxy: Some(format!("http://me:hunter2@{free}")),
        ..options()
    };
    let failure = Http::new(&proxied)
        .unwrap()
        .get("http://app.test/", &[])
        .unwrap_err();
    let told = failure.to_string();
    assert!(
        told.contains(&format!("app.test (through the proxy {free})")),
        "{told}"
    );
    assert!(!told.contains("hunter2"));
}

#[test]
fn a_silent_server_fails_at_the_read_limit_and_so_does_one_that_trickles_headers() {
    let stub = Stub::start(|mut connection| {
        let request = connection.request().unwrap();
        if request.line().contains("trickle") {
            connection.write("HTTP/1.1 200 OK\r\n");
            while connection.stream.write_all(b"X: y\r\n").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }
        connection.wait_for_end();
    });
    for path in ["/silent", "/trickle"] {
        let start = Instant::now();
        let failure = short().get(&stub.url(path), &[]).unwrap_err();
        assert!(
            matches!(failure, Failure::Timeout(_)),
            "{path}: {failure:?}"
        );
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(250) && took < Duration::from_secs(3),
            "{path}: {took:?}"
        );
    }
}

#[test]
fn a_stream_delivers_each_chunk_at_once_and_asks_for_no_compression() {
    let (go, wait) = mpsc::channel::<()>();
    let (sender, requests) = mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let stub = Stub::start(move |mut connection| {
        sender.send(connection.request().unwrap()).unwrap();
        connection.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for number in 0..3 {
            connection.chunk(&format!("data: {number}\n\n"));
            let _ = wait.lock().unwrap().recv();
        }
        connection.write("0\r\n\r\n");
    });
    let mut stream = http().open_stream(&stub.url("/all"), &[], IDLE).unwrap();
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let request = requests.recv().unwrap();
    assert_eq!(request.header("accept"), Some("text/event-stream"));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("authorization"), Some(SECRET));
    for number in 0..3 {
        let mut event = [0; 9];
        stream.body.read_exact(&mut event).unwrap();
        assert_eq!(event, *format!("data: {number}\n\n").as_bytes());
        go.send(()).unwrap();
    }
    assert_eq!(rest(&mut stream).unwrap(), "");
}

#[test]
fn a_stream_without_a_length_ends_cleanly_when_the_server_closes() {
    let stub = Stub::start(|mut connection| {
        connection.request();
        connection.write("HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n");
    });
    let mut stream = http().open_stream(&stub.url("/"), &[], IDLE).unwrap();
    assert_eq!(rest(&mut stream).unwrap(), "data: 1\n\n");
}

#[test]
fn a_stream_outlives_the_read_limit_and_fails_at_its_own() {
    let stub = Stub::start(|mut connection| {
        connection.request();
        connection.write("HTTP/1.1 200 OK\r\n\r\n");
        for _ in 0..4 {
            connection.write(":\n");
            thread::sleep(Duration::from_millis(150));
        }
        connection.wait_for_end();
    });
    let http = Http::new(&Options {
        read_timeout: Duration::from_millis(50),
        ..options()
    })
    .unwrap();
    let start = Instant::now();
    let mut stream = http
        .open_stream(&stub.url("/"), &[], Duration::from_millis(600))
        .unwrap();
    let failure = rest(&mut stream).unwrap_err();
    assert!(matches!(failure, Failure::Timeout(_)), "{failure:?}");
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

/// Runs `call` on a thread, shuts `http` down once `ready` says that it is blocked, and measures the end.
fn shut_down_ends<T: Send>(
    http: &Http,
    ready: impl FnOnce(),
    call: impl FnOnce() -> Result<T, Failure> + Send,
) -> Failure {
    thread::scope(|scope| {
        let blocked = scope.spawn(|| (call(), Instant::now()));
        ready();
        thread::sleep(Duration::from_millis(30));
        assert!(!blocked.is_finished());
        let start = Instant::now();
        http.shut_down();
        let (result, ended) = blocked.join().unwrap();
        let took = ended.saturating_duration_since(start);
        assert!(took < Duration::from_millis(100), "took {took:?}");
        result.err().expect("a failure")
    })
}

#[test]
fn shutting_down_ends_a_stream_at_once_whatever_its_framing() {
    for head in [
        "Transfer-Encoding: chunked\r\n",
        "",
        "Content-Length: 100\r\n",
    ] {
        let stub = Stub::start(move |mut connection| {
            connection.request();
            connection.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n"));
            connection.wait_for_end();
        });
        let http = http();
        let mut stream = http.open_stream(&stub.url("/"), &[], IDLE).unwrap();
        assert_eq!(
            shut_down_ends(&http, || {}, || rest(&mut stream)),
            Failure::Closed,
            "{head}"
        );
    }
}

#[test]
fn shutting_down_ends_a_wait_for_headers_a_post_and_a_body() {
    for path in ["/headers", "/body"] {
        let (sender, arrived) = mpsc::channel();
        let stub = Stub::start(move |mut connection| {
            if connection.request().unwrap().line().contains("body") {
                connection.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
            }
            sender.send(()).unwrap();
            connection.wait_for_end();
        });
        let http = http();
        let url = stub.url(path);
        let failure = shut_down_ends(
            &http,
            || arrived.recv().unwrap(),
            || http.post(&url, &[], b"x"),
        );
        assert_eq!(failure, Failure::Closed, "{path}");
    }
}

#[test]
fn shutting_down_ends_a_wait_for_a_look_up() {
    let lookups = Lookups::new();
    let (release, hang) = mpsc::channel::<()>();
    let first = lookups.find(
        "slow.test:80",
        Duration::from_millis(1),
        &AtomicBool::new(false),
        move |_| {
            let _ = hang.recv();
            Ok(Vec::new())
        },
    );
    assert!(first.is_err());
    let http = Http::with_lookups(&options(), Arc::clone(&lookups)).unwrap();
    let failure = shut_down_ends(&http, || {}, || http.get("http://slow.test/", &[]));
    assert_eq!(failure, Failure::Closed);
    let told = Http::with_lookups(
        &Options {
            connect_timeout: Duration::from_millis(20),
            ..options()
        },
        lookups,
    )
    .unwrap()
    .get("http://other.test/", &[])
    .unwrap_err();
    assert!(matches!(told, Failure::Timeout(_)), "{told:?}");
    assert!(
        told.to_string()
            .starts_with("the name other.test was not looked up")
    );
    drop(release);
}

/// A listener whose queue is full, so that a connect to it stays pending.
#[cfg(target_os = "linux")]
fn full_listener() -> (socket2::Socket, SocketAddr, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let connected = socket.connect_timeout(&address, Duration::from_millis(50));
        waiting.push(socket);
        if connected.is_err() {
            return (listener, address.as_socket().unwrap(), waiting);
        }
    }
    panic!("the queue never filled");
}

#[cfg(target_os = "linux")]
#[test]
fn shutting_down_ends_a_pending_connect() {
    let (_listener, address, _waiting) = full_listener();
    let http = http();
    let failure = shut_down_ends(
        &http,
        || {},
        || http.get(&format!("http://{address}/"), &[]),
    );
    assert_eq!(failure, Failure::Closed);
}

#[cfg(target_os = "linux")]
#[test]
fn a_connect_that_stays_pending_fails_at_its_limit() {
    let (_listener, address, _waiting) = full_listener();
    let start = Instant::now();
    let failure = short().get(&format!("http://{address}/"), &[]).unwrap_err();
    assert!(
        failure.to_string().starts_with("no connection to"),
        "{failure:?}"
    );
    assert!(matches!(failure, Failure::Timeout(_)));
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn what_was_shut_down_stays_shut_for_clones_and_idle_connections_too() {
    let (stub, _requests) = recording();
    let http = http();
    let clone = http.clone();
    http.get(&stub.url("/"), &[]).unwrap();
    http.shut_down();
    assert!(clone.is_closed());
    assert_eq!(clone.get(&stub.url("/"), &[]).unwrap_err(), Failure::Closed);
    assert_eq!(
        clone.post(&stub.url("/"), &[], b"").unwrap_err(),
        Failure::Closed
    );
    assert_eq!(
        clone.open_stream(&stub.url("/"), &[], IDLE).unwrap_err(),
        Failure::Closed
    );
    http.shut_down();
}

#[test]
fn a_redirect_is_followed_and_another_host_never_sees_the_sdk_key() {
    let (other, seen_elsewhere) = recording();
    let elsewhere = format!("http://localhost:{}/there", other.address.port());
    let (sender, seen_here) = mpsc::channel();
    let stub = Stub::answering(move |request, connection| {
        sender.send(request.clone()).unwrap();
        match request.line() {
            "GET /near HTTP/1.1" | "POST /post HTTP/1.1" => {
                connection.answer("307 Temporary Redirect", "Location: /final\r\n", b"");
            }
            "GET /far HTTP/1.1" => {
                connection.answer(
                    "301 Moved Permanently",
                    &format!("Location: {elsewhere}\r\n"),
                    b"",
                );
            }
            "GET /loop HTTP/1.1" => connection.answer("302 Found", "Location: /loop\r\n", b""),
            _ => connection.answer("200 OK", "", b"final"),
        }
    });
    let http = http();
    assert_eq!(http.get(&stub.url("/near"), &[]).unwrap().body, b"final");
    seen_here.recv().unwrap();
    assert_eq!(
        seen_here.recv().unwrap().header("authorization"),
        Some(SECRET)
    );
    assert_eq!(
        http.open_stream(&stub.url("/near"), &[], IDLE)
            .unwrap()
            .status,
        200
    );
    assert_eq!(http.get(&stub.url("/far"), &[]).unwrap().body, b"ok");
    assert_eq!(seen_elsewhere.recv().unwrap().header("authorization"), None);
    assert_eq!(http.get(&stub.url("/loop"), &[]).unwrap().status, 302);
    assert_eq!(
        http.post(&stub.url("/post"), &[], b"x").unwrap().status,
        307
    );
}

#[test]
fn a_plain_target_is_asked_of_the_proxy_in_absolute_form_with_credentials() {
    let (proxy, requests) = recording();
    let http = Http::new(&Options {
        proxy: Some(format!("http://me:p%40ss@{}", proxy.address)),
        ..options()
    })
    .unwrap();
    for body in [&b"[1]"[..], b"[2]"] {
        let response = http
            .post("http://relay.test:8030/bulk?x=1", &[], body)
            .unwrap();
        assert_eq!(response.body, b"ok");
        let request = requests.recv().unwrap();
        assert_eq!(
            request.line(),
            "POST http://relay.test:8030/bulk?x=1 HTTP/1.1"
        );
        assert_eq!(
            request.header("proxy-authorization"),
            Some("Basic bWU6cEBzcw==")
        );
        assert_eq!(request.header("host"), Some("relay.test:8030"));
        assert_eq!(request.header("authorization"), Some(SECRET));
        assert_eq!(request.body, body);
    }
    assert_eq!(proxy.connections(), 1);
    let large = vec![b'x'; 100_000];
    http.post("http://relay.test/", &[], &large).unwrap();
    assert!(requests.recv().unwrap().body == large);
}

#[test]
fn the_environment_decides_per_url_which_requests_go_through_the_proxy() {
    let (proxy, through_proxy) = recording();
    let (stub, direct) = recording();
    let environment = Environment {
        http_proxy: Some(format!("http://{}", proxy.address)),
        no_proxy: Some("127.0.0.0/8".to_owned()),
        ..Environment::default()
    };
    let http = Http::new(&Options {
        environment,
        ..options()
    })
    .unwrap();
    http.get(&stub.url("/direct"), &[]).unwrap();
    http.get("http://relay.test/proxied", &[]).unwrap();
    assert_eq!(direct.recv().unwrap().line(), "GET /direct HTTP/1.1");
    assert_eq!(
        through_proxy.recv().unwrap().line(),
        "GET http://relay.test/proxied HTTP/1.1"
    );
    assert!(direct.try_recv().is_err() && through_proxy.try_recv().is_err());
}

#[test]
fn a_proxy_that_refuses_to_connect_is_a_failure_of_the_proxy_without_its_password() {
    let (sender, requests) = mpsc::channel();
    let proxy = Stub::start(move |mut connection| {
        let _ = sender.send(connection.request().unwrap());
        connection.answer("407 Proxy Authentication Required", "", b"");
    });
    let options = Options {
        proxy: Some(format!("http://me:hunter2@{}", proxy.address)),
        ..options()
    };
    let failure = Http::new(&options)
        .unwrap()
        .get("https://app.test/", &[])
        .unwrap_err();
    let request = requests.recv().unwrap();
    assert_eq!(request.line(), "CONNECT app.test:443 HTTP/1.1");
    assert_eq!(
        request.header("proxy-authorization"),
        Some("Basic bWU6aHVudGVyMg==")
    );
    assert_eq!(
        request.header("authorization"),
        None,
        "the proxy is not shown the SDK key"
    );
    assert!(
        matches!(&failure, Failure::Proxy(told) if told.contains("407")),
        "{failure:?}"
    );
}

#[test]
fn shutting_down_ends_a_wait_for_a_mute_proxy() {
    let (sender, arrived) = mpsc::channel();
    let proxy = Stub::start(move |mut connection| {
        connection.request();
        sender.send(()).unwrap();
        connection.wait_for_end();
    });
    let http = Http::new(&Options {
        proxy: Some(proxy.url("")),
        ..options()
    })
    .unwrap();
    let failure = shut_down_ends(
        &http,
        || arrived.recv().unwrap(),
        || http.get("https://app.test/", &[]),
    );
    assert_eq!(failure, Failure::Closed);
}

#[test]
fn a_header_that_cannot_be_sent_is_an_error_that_does_not_show_its_value() {
    for value in [
        "sdk-key\n",
        "sdk-key\r\nX: y",
        "sdk-key\0",
        "sdk-\u{7f}key",
        "sdk-kéy",
    ] {
        let bad = Options {
            headers: vec![("Authorization".to_owned(), value.to_owned())],
            ..Options::default()
        };
        let told = bad.check().expect_err(value);
        assert!(
            told.contains("Authorization") && !told.contains("sdk"),
            "{told}"
        );
        assert_eq!(Http::new(&bad).err(), Some(told));
    }
    let named = Options {
        headers: vec![("X Y".to_owned(), "1".to_owned())],
        ..Options::default()
    };
    assert!(named.check().is_err());
    let failure = http()
        .get("http://127.0.0.1:9/", &[("X", "a\nb")])
        .unwrap_err();
    assert!(matches!(failure, Failure::Invalid(_)), "{failure:?}");
}

#[test]
fn a_url_that_cannot_be_asked_is_invalid() {
    for url in [
        "",
        "/path",
        "app.test",
        "ftp://app.test",
        "http://",
        "http:///x",
        "https://a b",
        "://",
        "http://h:99999/",
    ] {
        let failure = http().get(url, &[]).expect_err(url);
        assert!(matches!(failure, Failure::Invalid(_)), "{url}: {failure:?}");
        assert!(Options::default().check_url(url).is_err(), "{url}");
    }
}

#[test]
fn a_proxy_is_checked_for_the_url_that_would_use_it() {
    let options = Options {
        environment: Environment {
            all_proxy: Some("socks5://me:hunter2@host:1".to_owned()),
            https_proxy: Some("http://host:1".to_owned()),
            ..Environment::default()
        },
        ..options()
    };
    assert_eq!(options.check(), Ok(()));
    assert_eq!(options.check_url("https://app.test"), Ok(()));
    assert!(
        options
            .check_url("http://app.test")
            .unwrap_err()
            .contains("SOCKS")
    );
    let failure = Http::new(&options)
        .unwrap()
        .get("http://app.test/", &[])
        .unwrap_err();
    assert!(matches!(failure, Failure::Proxy(_)), "{failure:?}");
    let chosen = Options {
        proxy: Some("socks5://me:hunter2@host:1".to_owned()),
        ..options
    };
    let told = chosen.check().unwrap_err();
    assert!(told.contains("SOCKS") && !told.contains("hunter2"));
    let shown = format!("{chosen:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains(SECRET),
        "{shown}"
    );
}
