"""How the client connects: proxies and TLS, with a proxy of the standard library and certificates made on the spot."""

from __future__ import annotations

import base64
import http.client
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ldclient import Config, LDClient
from ldclient.config import HTTPConfig
from stand_in import StandIn

FLAG = "your.feature.key"
USER = {"key": "u"}
PROXIED = "http://flags.invalid"
VARIABLES = (
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Proxy(ThreadingHTTPServer):
    """Passes polls and events on to the service, whatever host they are for."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.target = target
        self.asked: list[tuple[str, str | None]] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Passing(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Proxy-Authorization"]))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(self.server.target)
        parts = urlsplit(self.path)
        connection.request(self.command, parts.path, body, {"Authorization": self.headers["Authorization"]})
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        connection.close()

    do_POST = do_GET  # noqa: N815, the library's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, the library's name
        """Nothing is printed."""


@pytest.fixture
def proxy(service: StandIn) -> Iterator[Proxy]:
    with Proxy(f"127.0.0.1:{service.port}") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def polling(uri: str, start_wait: float = 10, **http: Any) -> LDClient:
    config = Config(
        "k",
        base_uri=uri,
        events_uri=uri,
        stream=False,
        poll_interval=30,
        diagnostic_opt_out=True,
        http=HTTPConfig(connect_timeout=2, read_timeout=2, **http),
    )
    return LDClient(config, start_wait)


@pytest.mark.parametrize("credentials", ["", "us%40er:p%3Ass@"])
@pytest.mark.parametrize("how", ["option", "http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_is_used_with_its_credentials(
    how: str, credentials: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = proxy.uri.replace("http://", f"http://{credentials}")
    if how != "option":
        monkeypatch.setenv(how, address)
    with polling(PROXIED, **({"http_proxy": address} if how == "option" else {})) as client:
        assert client.variation(FLAG, USER, None) is True
        assert client.flush(timeout=10)
    expected = "Basic " + base64.b64encode(b"us@er:p:ss").decode() if credentials else None
    assert {path for path, _ in proxy.asked} == {f"{PROXIED}/sdk/latest-all", f"{PROXIED}/bulk"}
    assert {authorization for _, authorization in proxy.asked} == {expected}


@pytest.mark.parametrize("without", ["127.0.0.1", "127.0.0.0/8", "*", "example.com, 127.0.0.1"])
def test_no_proxy_is_used_for_hosts_that_need_none(
    without: str, service: StandIn, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.uri)
    monkeypatch.setenv("no_proxy", without)
    with polling(service.uri) as client:
        assert client.variation(FLAG, USER, None) is True
    assert proxy.asked == []


def test_the_option_wins_over_the_environment(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")
    with polling(PROXIED, http_proxy=proxy.uri) as client:
        assert client.variation(FLAG, USER, None) is True


@pytest.mark.parametrize("address", ["nonsense://127.0.0.1:1", "http://", "http://127.0.0.1:99999"])
def test_a_proxy_that_cannot_be_one_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="proxy"):
        polling(PROXIED, http_proxy=address)


# --- TLS ---


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ca.pem``; ``server.pem`` for 127.0.0.1 and ``client.pem`` signed by it, each with its key; ``other.pem``."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes the certificates, is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        openssl(
            folder, "req", "-x509", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem",
            *extensions,
        )  # fmt: skip
    for name, use in (("server", "serverAuth"), ("client", "clientAuth")):
        openssl(folder, "req", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / "ext").write_text(
            f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={use}\nbasicConstraints=critical,CA:FALSE\n"
        )
        openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "ext", "-out", f"{name}.crt",
        )  # fmt: skip
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())
    return folder


@pytest.fixture
def secure(certificates: Path) -> Iterator[Callable[[bool], str]]:
    """Starts a service behind TLS; the argument is whether it asks for a client certificate. Gives its URI."""
    from stand_in import constant_flag

    running: list[StandIn] = []

    def begin(mutual: bool = False) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem")
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificates / "ca.pem")
        service = StandIn({FLAG: constant_flag(FLAG, True)})
        # The handshake is made by the thread of the connection, when it first reads.
        service._http.socket = context.wrap_socket(
            service._http.socket, server_side=True, do_handshake_on_connect=False
        )
        running.append(service.__enter__())
        return service.uri.replace("http:", "https:")

    yield begin
    for service in running:
        service.close()


@pytest.mark.parametrize("how", ["ca_certs", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "off"])
def test_a_certificate_is_trusted_when_that_is_said(
    how: str, secure: Callable[..., str], certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = str(certificates / "ca.pem")
    if how.isupper():
        monkeypatch.setenv(how, authority)
    options = {"ca_certs": {"ca_certs": authority}, "off": {"disable_ssl_verification": True}}.get(how, {})
    with polling(secure(), **options) as client:
        assert client.variation(FLAG, USER, None) is True
        assert client.flush(timeout=10)


@pytest.mark.parametrize("trusted", [None, "other.pem"])
def test_another_certificate_is_not_trusted(
    trusted: str | None, secure: Callable[..., str], certificates: Path
) -> None:
    options = {"ca_certs": str(certificates / trusted)} if trusted else {}
    with polling(secure(), 0.5, **options) as client:
        assert not client.is_initialized()
        assert "certificate" in client.stats()["last_error"]["message"].lower()
        assert client.stats()["last_error"]["kind"] == "NETWORK_ERROR"


def test_a_client_certificate_is_shown_where_one_is_asked_for(secure: Callable[..., str], certificates: Path) -> None:
    uri, authority = secure(True), str(certificates / "ca.pem")
    with polling(uri, ca_certs=authority, cert_file=str(certificates / "client.pem")) as client:
        assert client.variation(FLAG, USER, None) is True
    with polling(uri, 0.5, ca_certs=authority) as client:
        assert not client.is_initialized()


@pytest.mark.parametrize("option", ["ca_certs", "cert_file"])
@pytest.mark.parametrize(
    "content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_certificates_is_refused_by_name(option: str, content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=r"file\.pem"):
        polling("https://127.0.0.1:9", 0, **{option: str(path)})
