"""How a client starts and ends: at the end of a program, by `close`, by being dropped, and while the service fails.

Forked processes are left to `test_fork`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

import pytest

from program import Program
from stand_in import StandIn, silent_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for threads and sockets")


def tracked(service: StandIn) -> Counter[str]:
    return Counter(event["key"] for event in service.events_of("custom"))


# The end of a program

ENDS = {
    "flushes and ends": "client.track('done', USER)\nclient.flush()",
    "just ends": "client.track('done', USER)",
    "ends in a function that drops the client": """
def main(client):
    client.track('done', USER)
given = [client]
del client
main(given.pop())
""",
    "ends by sys.exit in a thread's shadow": """
threading.Thread(target=lambda: (time.sleep(0.05), client.track('done', USER))).start()
sys.exit(0)
""",
    "tracks in an exit handler that was registered before the client": """
# (`early` was registered at the top.)
handlers.append(lambda: client.track('done', USER))
""",
    "tracks in an exit handler": "import atexit; atexit.register(lambda: client.track('done', USER))",
    "closes in an exit handler": """
import atexit
client.track('done', USER)
atexit.register(client.close)
""",
    "closes in an exit handler that was registered before the client": """
client.track('done', USER)
handlers.append(client.close)
""",
}

OPEN = """
import atexit
handlers = []
atexit.register(lambda: [handler() for handler in handlers])
client = LDClient(config(), 5)
"""


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS.keys())
def test_a_program_that_ends_delivers_and_is_silent(service: StandIn, source: str) -> None:
    with Program(OPEN + source, service.uri) as program:
        assert program.succeeds() == ""
    assert tracked(service) == Counter(["done"])


def test_a_program_that_ends_waits_for_a_client_that_it_has_dropped(service: StandIn) -> None:
    service.fault("/bulk", status=503, times=1)
    with Program(f"{OPEN}client.track('done', USER)\ndel client", service.uri) as program:
        assert program.wait().code == 0
    assert tracked(service) == Counter(["done"])


def test_ten_of_ten_programs_deliver(service: StandIn) -> None:
    for number in range(10):
        source = f"{OPEN}client.track('done {number}', USER)" + ("\nclient.flush()" if number % 2 else "")
        with Program(source, service.uri) as program:
            program.succeeds()
    assert tracked(service) == Counter(f"done {number}" for number in range(10))


def test_a_program_that_ends_by_an_exception_delivers_and_keeps_its_exit_code(service: StandIn) -> None:
    source = f"{OPEN}client.track('done', USER)\nraise RuntimeError('on purpose')"
    with Program(source, service.uri) as program:
        ended = program.wait()
    assert ended.code == 1
    assert ended.errors.splitlines()[-1] == "RuntimeError: on purpose"
    assert ended.errors.count("Traceback") == 1
    assert tracked(service) == Counter(["done"])


@pytest.mark.parametrize("kind", ["stall", "black_hole", "stall_body"])
def test_a_program_whose_service_stalls_ends_in_time_with_its_own_exit_code(service: StandIn, kind: str) -> None:
    service.fault("/bulk", kind)  # type: ignore[arg-type]
    source = f"""{OPEN}
for _ in range(3):
    client.track('done', USER)
print("end", flush=True)
sys.exit(7)
"""
    began = time.monotonic()
    with Program(source, service.uri) as program:
        service.wait_for_requests("/all")
        ended = program.wait()
    # 2 s for the client; the rest is the interpreter's.
    assert time.monotonic() - began < 2 + 2.5
    assert (ended.code, ended.output) == (7, "end\n")
    assert "Traceback" not in ended.errors


def test_a_program_whose_service_is_gone_ends_in_time(service: StandIn) -> None:
    source = f"""{OPEN}
client.track('done', USER)
until(lambda: not sys.stdin.readline())
"""
    with Program(source, service.uri) as program:
        service.wait_for_streams(1)
        service.close()
        began = time.monotonic()
        program.go()
        ended = program.wait()
        assert time.monotonic() - began < 2 + 1.5
    assert ended.code == 0
    assert "Traceback" not in ended.errors


# Log lines


@pytest.mark.parametrize("first", ["import logging", "pass"], ids=["logging first", "logging last"])
@pytest.mark.parametrize("mode", ["a", "w"])
def test_log_lines_of_background_threads_reach_handlers_that_are_still_open_at_exit(
    service: StandIn, tmp_path: object, first: str, mode: str
) -> None:
    path = f"{tmp_path}/log"
    # The events' failure is known at exit only.
    service.fault("/bulk", status=401)
    source = f"""
import logging
logging.basicConfig(filename=sys.argv[2], filemode="{mode}", level=logging.DEBUG, format="%(threadName)s %(message)s")
client = LDClient(config(), 5)
client.track("done", USER)
"""
    # The prelude imports the package; with "logging first" that is the other way round.
    with Program(source, service.uri, path, before=first) as program:
        program.succeeds()
    with open(path) as log:
        lines = log.read()
    assert lines.count("the service refuses events") == 1, lines
    assert "sdk-key" not in lines


def test_log_lines_arrive_while_the_program_runs(service: StandIn) -> None:
    service.fault("/all", status=503, times=1)
    source = """
import logging
lines = []
class Handler(logging.Handler):
    def emit(self, record):
        lines.append((record.levelname, record.getMessage(), record.created))
logging.getLogger("ldclient").addHandler(Handler())
began = time.time()
client = LDClient(config(initial_reconnect_delay=0.05), 0)
until(lambda: (value(client), any("503" in message for _, message, _ in lines))[1])
(warning,) = [line for line in lines if "503" in line[1]]
assert warning[0] == "WARNING"
assert began <= warning[2] <= time.time()
client.close()
"""
    with Program(source, service.uri) as program:
        program.succeeds()


def test_a_handler_that_uses_the_client_does_no_harm(service: StandIn) -> None:
    source = """
import logging
class Handler(logging.Handler):
    def emit(self, record):
        client = globals().get("client")
        if client is not None:
            value(client)
            client.track("logged", USER)
logger = logging.getLogger("ldclient")
logger.addHandler(Handler())
logger.setLevel(logging.DEBUG)
client = LDClient(config(), 5)
for _ in range(10):
    value(client)
client.close()
"""
    with Program(source, service.uri) as program:
        program.succeeds()


# Closing


def test_closing_twice_from_many_threads_and_at_exit_is_closing_once(service: StandIn) -> None:
    source = """
client = LDClient(config(), 5)
client.track("done", USER)
begin = time.monotonic()
threads = [threading.Thread(target=client.close) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(5)
    assert not thread.is_alive()
client.close()
client.close(0)
assert time.monotonic() - begin < 2
assert client.is_closed()
assert native_threads() == []
import atexit
atexit.register(client.close)
"""
    with Program(source, service.uri) as program:
        program.succeeds()
    assert tracked(service) == Counter(["done"])
    assert len(service.requests_to("/bulk")) == 1


@pytest.mark.parametrize("seconds", [0, 0.3, 1])
def test_close_keeps_its_deadline_when_the_service_swallows_events(service: StandIn, seconds: float) -> None:
    service.fault("/bulk", "black_hole")
    source = f"""
before = sockets()
client = LDClient(config(), 5)
client.track("done", USER)
client.flush()
begin = time.monotonic()
client.close({seconds})
took = time.monotonic() - begin
assert took < {seconds} + 0.25, took
# The post that was cut off ends at once.
until(lambda: native_threads() == [] and sockets() <= before, 1)
assert client.stats()["events"]["dropped"]["closed"] >= 1
"""
    with Program(source, service.uri) as program:
        program.succeeds()


def test_nothing_is_left_after_close(service: StandIn) -> None:
    source = """
before = sockets()
client = LDClient(config(), 5)
# A thread gives itself its name.
until(lambda: native_threads() == ["ld-events", "ld-source"], 5)
client.track("done", USER)
client.flush(5)
assert len(sockets()) > len(before)
client.close()
assert native_threads() == []
assert sockets() <= before
assert value(client) is True
client.track("late", USER)
client.identify(USER)
assert client.flush(1) is not None
assert client.wait_for_initialization(5)
assert client.stats()["threads"] == 0
assert client.stats()["state"] == "OFF"
"""
    with Program(source, service.uri) as program:
        program.succeeds()
    service.wait_for_streams(0)
    assert tracked(service) == Counter(["done"])


def test_waiting_for_the_flags_of_a_closed_client_ends_at_once(service: StandIn) -> None:
    service.fault("/all", "black_hole")
    source = """
client = LDClient(config(), 0)
threading.Timer(0.2, client.close).start()
begin = time.monotonic()
assert not client.wait_for_initialization(20)
assert not client.wait_for_initialization(20)
assert time.monotonic() - begin < 2
"""
    with Program(source, service.uri) as program:
        program.succeeds()


def test_a_dropped_client_delivers_and_leaves_nothing(service: StandIn) -> None:
    # So that it takes time, in which nobody holds the client any more.
    service.fault("/bulk", status=503, times=1)
    source = """
import gc
before = sockets()
client = LDClient(config(), 5)
client.track("done", USER)
del client
gc.collect()
until(lambda: native_threads() == [] and sockets() <= before)
"""
    with Program(source, service.uri) as program:
        program.succeeds()
    assert tracked(service) == Counter(["done"])
    service.wait_for_streams(0)


def test_a_client_that_is_dropped_while_data_streams_in_leaves_nothing(service: StandIn) -> None:
    # Whoever drops the last reference may be the source's own thread.
    source = """
import gc
for _ in range(60):
    client = LDClient(config(), 5)
    assert value(client) != "default"
    del client
gc.collect()
until(lambda: native_threads() == [])
print("through")
"""
    with Program(source, service.uri) as program:
        while program.process.poll() is None:
            service.put({"key": "other", "on": False, "variations": [True], "offVariation": 0, "salt": ""})
            time.sleep(0.001)
        assert program.succeeds() == "through\n"


def test_a_hundred_clients_leave_no_thread_and_no_descriptor(service: StandIn) -> None:
    source = """
def descriptors():
    return len(os.listdir("/proc/self/fd"))
LDClient(config(), 5).close()
before = descriptors()
for number in range(100):
    with LDClient(config(), 5) as client:
        assert value(client) is True
    assert native_threads() == [], number
assert descriptors() == before
"""
    with Program(source, service.uri) as program:
        program.succeeds()
    assert service.counted("your.feature.key") == {0: 100}


# Starting


def address(service: StandIn, kind: str, silent: str) -> str:
    if kind == "refuse":
        return "http://127.0.0.1:1"
    if kind == "silent":
        return silent
    if kind == "unresolvable":
        return "http://no-such-host.invalid"
    service.fault("/all", kind)  # type: ignore[arg-type]
    return service.uri


STARTS = ["stall", "black_hole", "stall_body", "refuse", "silent", "unresolvable"]


@pytest.mark.parametrize("kind", STARTS)
def test_a_start_is_as_long_as_it_may_be_whatever_the_service_does(service: StandIn, kind: str) -> None:
    source = """
import gc
# What the first client imports and loads is no wait for the service.
LDClient(config(), 0).close(0)
def start(seconds):
    begin = time.monotonic()
    client = LDClient(config(), seconds)
    return client, time.monotonic() - begin
client, took = start(0)
assert took < 0.05, took
assert value(client) == "default"
assert not client.is_initialized()
begin = time.monotonic()
assert not client.wait_for_initialization(0.2)
assert 0.2 <= time.monotonic() - begin < 0.5
client.close(1)
client, took = start(0.4)
assert 0.4 <= took < 0.7, took
begin = time.monotonic()
client.close(1)
assert time.monotonic() - begin < 1.3
assert native_threads() == []
"""
    with silent_port() as silent, Program(source, address(service, kind, silent)) as program:
        ended = program.wait()
    assert ended.code == 0, ended


@pytest.mark.parametrize("kind", ["black_hole", "unresolvable"])
def test_a_start_is_interrupted_by_ctrl_c_and_leaves_nothing(service: StandIn, kind: str) -> None:
    source = """
import signal
def interrupt():
    global at
    time.sleep(0.3)
    at = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
for wait in (lambda: LDClient(config(), 20), lambda: LDClient(config(), 0).wait_for_initialization(20)):
    threading.Thread(target=interrupt).start()
    try:
        wait()
    except KeyboardInterrupt:
        assert time.monotonic() - at < 0.3
    else:
        raise AssertionError("nothing was interrupted")
until(lambda: native_threads() == [])
"""
    with Program(source, address(service, kind, "")) as program:
        ended = program.wait()
    assert ended.code == 0, ended


def test_waiting_ends_when_the_flags_arrive(service: StandIn) -> None:
    service.fault("/all", "stall", seconds=0.4, times=1)
    source = """
client = LDClient(config(), 0)
begin = time.monotonic()
assert client.wait_for_initialization(10)
assert 0.2 < time.monotonic() - begin < 2
assert value(client) is True
"""
    with Program(source, service.uri) as program:
        program.succeeds()
