"""Processes that live shortly or are frozen between two calls, as functions in a cloud: SIGSTOP stands for the freeze."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

from checks import until
from program import Program
from stand_in import StandIn, constant_flag

KEY = "your.feature.key"

# Made once; then one call for each line of the input, which is answered into a file.
FUNCTION = """
client = LDClient(config(), 5)
def handler(name):
    answer = value(client)
    client.track(name, USER)
    assert client.flush(2), "what was recorded has left before the process is frozen"
    return answer

answers = open(sys.argv[2], "w", buffering=1)
answers.write("begun\\n")
for line in sys.stdin:
    answers.write(f"{handler(line.strip())}\\n")
"""


class Function:
    """A running function."""

    def __init__(self, program: Program, answers: Path) -> None:
        self._program, self._answers = program, answers
        self._asked = 0
        until(lambda: self._told() == 1, 10)

    def _told(self) -> int:
        return len(self._answers.read_text().splitlines()) if self._answers.exists() else 0

    def call(self) -> str:
        self._asked += 1
        stdin = self._program.process.stdin
        assert stdin is not None
        stdin.write(f"call {self._asked}\n".encode())
        stdin.flush()
        until(lambda: self._told() == 1 + self._asked)
        return self._answers.read_text().splitlines()[-1]

    def freeze(self) -> None:
        os.kill(self._program.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._program.process.pid, signal.SIGCONT)


def calls(service: StandIn) -> Counter[str]:
    return Counter(event["key"] for event in service.events_of("custom"))


def test_each_call_answers_and_delivers_before_the_freeze(service: StandIn, tmp_path: Path) -> None:
    with Program(FUNCTION, service.uri, str(tmp_path / "answers")) as program:
        function = Function(program, tmp_path / "answers")
        for number in range(1, 4):
            assert function.call() == "True"
            assert calls(service)[f"call {number}"] == 1, "delivered when the call returns"
            function.freeze()
            time.sleep(0.05)
            function.thaw()
        program.go()
        program.succeeds()
    assert calls(service) == Counter(["call 1", "call 2", "call 3"])


def test_what_changed_during_the_freeze_is_there_soon_after_it(service: StandIn, tmp_path: Path) -> None:
    with Program(FUNCTION, service.uri, str(tmp_path / "answers")) as program:
        function = Function(program, tmp_path / "answers")
        service.wait_for_streams(1)
        function.freeze()
        # Whoever is in between gives the connections up; the function hears of it when it goes on.
        service.end_streams(reset=True)
        service.wait_for_streams(0)
        service.put(constant_flag(KEY, "new"))
        function.thaw()
        until(lambda: function.call() == "new")
        program.go()
        assert program.wait().code == 0


def test_a_process_that_asks_once_and_ends_delivers(service: StandIn) -> None:
    with Program(
        "client = LDClient(config(), 5)\nprint(value(client))\nclient.track('once', USER)", service.uri
    ) as program:
        assert program.succeeds() == "True\n"
    assert calls(service) == Counter(["once"])
    assert service.counted(KEY) == {0: 1}
