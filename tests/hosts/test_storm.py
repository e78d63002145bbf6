"""Hundreds of forks while everything in the parent moves: no child hangs, each answers, and each event arrives once.

1. Ways to fork: ``os.fork``, with several Python threads; the C library's ``fork``, as uWSGI calls it, which CPython
   allows only while it has one Python thread. Not its ``_Fork``, which runs no handler at all: while other threads run,
   the C library's own locks may be held for ever after it, its allocator's among them.
2. What moves: evaluations, deliveries and changes by the stream all the time; or look-ups of names and TLS handshakes;
   or clients that are made, flushed and closed, the one that the child uses among them.
3. A child that does not end in time is shown with its stacks, the native ones where gdb is installed.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Program
from stand_in import StandIn, constant_flag

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and calls the C library's fork"),
    pytest.mark.timeout(240),
]

KEY = "your.feature.key"
FORKS = 300
# How many children there are at a time.
TOGETHER = 3

STORM = f"""
import ctypes, logging, random, shutil, subprocess
from collections import deque

# Some storms have many clients of one key, which is worth a warning elsewhere.
logging.getLogger("ldclient").setLevel(logging.ERROR)

os.fork = {{"os.fork": os.fork, "fork": ctypes.PyDLL(None).fork}}[sys.argv[2]]
stop = threading.Event()

def show(child):
    os.kill(child, signal.SIGUSR1)
    time.sleep(0.2)
    gdb = shutil.which("gdb")
    if gdb:
        stacks = [gdb, "-p", str(child), "-batch", "-ex", "thread apply all bt 30"]
        print(subprocess.run(stacks, capture_output=True, text=True, timeout=60).stdout, file=sys.stderr, flush=True)

class Storm:
    def __init__(self):
        self.children = deque()

    def fork(self, work):
        child = fork(work)
        assert child > 0
        self.children.append(child)
        if len(self.children) == {TOGETHER}:
            self.reap()

    def reap(self):
        child = self.children.popleft()
        end = time.monotonic() + 20
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                assert status == 0, f"a child ended with {{status}}"
                return
            if time.monotonic() > end:
                show(child)
                raise AssertionError("a child hangs")
            time.sleep(0.001)

    def finish(self):
        while self.children:
            self.reap()

storm = Storm()

def work():
    for _ in range(20):
        assert value(client) in (True, False)
    detail = client.variation_detail("your.feature.key", USER, "default")
    assert detail.reason["kind"] == "FALLTHROUGH", detail.reason
    assert client.all_flags_state(USER).valid
    client.track("child", USER)
    client.close(5)
    assert native_threads() == []

def start(*works):
    def until_stopped(work):
        while not stop.is_set():
            work()
            time.sleep(0.0005)
    threads = [threading.Thread(target=until_stopped, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    return threads

def finish(threads):
    storm.finish()
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
"""

EVALUATING = f"""
client = LDClient(config(flush_interval=0.02), 5)
tracked = []
def evaluate():
    client.variation_detail("your.feature.key", USER, "default")
    client.track("busy", USER)
    tracked.append(1)
threads = start(evaluate, evaluate) if sys.argv[2] == "os.fork" else []
for _ in range({FORKS}):
    evaluate()
    storm.fork(work)
finish(threads)
client.close(5)
print(len(tracked))
"""

CONNECTING = f"""
SECURE, LOCALHOST = sys.argv[3:]
client = LDClient(config(), 5)
def https(**options):
    uris = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), SECURE)
    return LDClient(config(**uris, http=HTTPConfig(disable_ssl_verification=True), **options), 0)
def named():
    uris = dict.fromkeys(("base_uri", "stream_uri", "events_uri"), LOCALHOST)
    return LDClient(config(**uris), 0)
def connect():
    for open in (https, named):
        connecting = open()
        time.sleep(random.random() * 0.004)
        connecting.close(0)
def connect_itself():
    # The child's own connections go the same ways.
    for open in (https, named):
        own = open()
        assert own.wait_for_initialization(10)
        assert value(own) in (True, False)
        own.close(5)
    work()
threads = start(connect, connect) if sys.argv[2] == "os.fork" else []
for _ in range({FORKS}):
    connecting = [https(), named()]
    time.sleep(random.random() * 0.004)
    storm.fork(connect_itself)
    for one in connecting:
        one.close(0)
finish(threads)
client.close(5)
"""

# The child has whatever was there at the fork: a client that is half made by another thread is no client yet.
CHANGING = f"""
import ldclient
ldclient.start_wait = 5
made = []
def make():
    if sys.argv[2] == "os.fork":
        # The client that it replaces is closed by a Python thread.
        ldclient.set_config(config(flush_interval=random.choice((0.02, 600))))
    one = LDClient(config(), 0)
    one.track("made", USER)
    made.append(one)
    if len(made) > 3:
        made.pop(0).close(random.choice((0, 0.001, 1)))
ldclient.set_config(config())
client = ldclient.get()
def flush():
    client.track("flushed", USER)
    client.flush(random.choice((0, 0.001, 1)))
def inherited():
    begin = time.monotonic()
    current = ldclient.get()
    assert current.wait_for_initialization(10)
    assert value(current) in (True, False)
    current.track("child", USER)
    assert current.flush(10).complete
    for one in list(made):
        one.is_initialized()
        one.close(5)
    ldclient.set_config(config(sdk_key="sdk-key-of-the-child"))
    assert ldclient.get().wait_for_initialization(10)
    assert value(ldclient.get()) in (True, False)
    ldclient.get().close(5)
threads = start(make, flush) if sys.argv[2] == "os.fork" else []
for _ in range({FORKS}):
    if not threads:
        make()
        flush()
    else:
        time.sleep(random.random() * 0.004)
    storm.fork(inherited)
finish(threads)
for one in made:
    one.close(5)
"""


@pytest.mark.parametrize("way", ["os.fork", "fork"])
def test_children_of_a_busy_parent_answer_and_deliver_once(service: StandIn, way: str) -> None:
    with Program(STORM + EVALUATING, service.uri, way) as program:
        on = False
        while program.process.poll() is None:
            # The stream delivers all the time, so forks happen at every stage of it.
            service.put(constant_flag(KEY, on))
            on = not on
            try:
                program.process.wait(0.002)
            except subprocess.TimeoutExpired:
                continue
        busy = int(program.succeeds(200))
    assert tracked(service) == Counter({"busy": busy, "child": FORKS})


@pytest.mark.parametrize("way", ["os.fork", "fork"])
def test_children_of_a_parent_that_looks_names_up_and_shakes_hands_connect_themselves(
    service: StandIn, secure: StandIn, way: str
) -> None:
    addresses = (secure.uri.replace("http:", "https:"), f"http://localhost:{service.port}")
    with Program(
        "from ldclient.config import HTTPConfig\n" + STORM + CONNECTING, service.uri, way, *addresses
    ) as program:
        program.succeeds(200)
    assert tracked(service) == Counter({"child": FORKS})


@pytest.mark.parametrize("way", ["os.fork", "fork"])
def test_children_of_a_parent_that_makes_flushes_and_closes_clients_live(service: StandIn, way: str) -> None:
    with Program(STORM + CHANGING, service.uri, way) as program:
        program.succeeds(200)
    assert tracked(service)["child"] == FORKS


def tracked(service: StandIn) -> Counter[str]:
    return Counter(event["key"] for event in service.events_of("custom"))


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[StandIn]:
    """The same service behind TLS, with a certificate that nobody need trust."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which makes the certificate, is not installed")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    request = ["openssl", "req", "-x509", *new, "-subj", "/CN=127.0.0.1", "-keyout", "key", "-out", "certificate"]
    subprocess.run(request, cwd=tmp_path, check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")
    running = StandIn({KEY: constant_flag(KEY, True)})
    # The handshake is made by the thread of the connection, when it first reads.
    running._http.socket = context.wrap_socket(running._http.socket, server_side=True, do_handshake_on_connect=False)
    with running:
        yield running
