"""DynamoDB and Consul for tests: their stand-ins, each a process of its own on a free port of loopback, ended with it.

Stopped ones come back empty. A real Consul agent is used where one is installed; without ``moto`` and ``boto3`` tests of
DynamoDB are skipped.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_server import unused_port

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
TABLE = "flags"


class Database:
    """A process that listens on a port of its own."""

    def __init__(self, *command: str) -> None:
        self.port = unused_port()
        self._command = [word.replace("PORT", str(self.port)) for word in command]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Neither proxies nor accounts of AWS, which the machine may have.
        left_out = ("AWS_", "HTTP_", "HTTPS_", "ALL_", "CONSUL_")
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(left_out)}
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)
        end = time.monotonic() + 40
        while time.monotonic() < end:
            assert self._process.poll() is None, f"{self._command} ended with {self._process.returncode}"
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        self.stop()
        raise TimeoutError(f"{self._command} did not start")

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


class Table(Database):
    """DynamoDB's stand-in, with one table."""

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", "PORT")
        self.options = account(self.port)
        self._client: Any = None

    def start(self) -> None:
        super().start()
        schema = (("namespace", "HASH"), ("key", "RANGE"))
        self.client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in schema],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in schema],
            BillingMode="PAY_PER_REQUEST",
        )

    @property
    def client(self) -> Any:
        import boto3

        if self._client is None:
            self._client = boto3.client("dynamodb", **self.options)
        return self._client

    def clear(self) -> None:
        for page in self.client.get_paginator("scan").paginate(TableName=TABLE):
            for row in page["Items"]:
                self.client.delete_item(TableName=TABLE, Key={name: row[name] for name in ("namespace", "key")})

    def put(self, namespace: str, key: str, **more: Any) -> None:
        item = {"namespace": {"S": namespace}, "key": {"S": key}, **more}
        self.client.put_item(TableName=TABLE, Item=item)


def account(port: int) -> dict[str, Any]:
    """Options of ``boto3`` for an account that nobody has, asked once and not for long."""
    import botocore.config

    patience = botocore.config.Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing", "region_name": "us-east-1"}
    return {"endpoint_url": f"http://127.0.0.1:{port}", "config": patience, **keys}


class Consul(Database):
    """An agent."""

    def __init__(self) -> None:
        if agent := shutil.which("consul"):
            ports = [f"-{name}-port=-1" for name in ("dns", "grpc", "grpc-tls")]
            options = ["-bind", "127.0.0.1", "-http-port", "PORT", *ports]
            for name in ("serf-lan", "serf-wan", "server"):
                options += [f"-{name}-port", str(unused_port())]
            super().__init__(agent, "agent", "-dev", *options)
        else:
            super().__init__(sys.executable, str(CONTRACT / "consul_stand_in.py"), "PORT")

    def ask(self, method: str, path: str, body: str | None = None) -> str:
        """Asks the key-value store itself; '' where there is no such key."""
        from http.client import HTTPConnection

        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, f"/v1/kv/{path}", body)
            answer = connection.getresponse()
            text = answer.read().decode()
            return text if answer.status == 200 else ""
        finally:
            connection.close()


@contextlib.contextmanager
def dynamodb() -> Iterator[Table]:
    for name in ("moto", "boto3"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (the dependency group 'contract')")
    yield from _running(Table())


@contextlib.contextmanager
def consul() -> Iterator[Consul]:
    yield from _running(Consul())


def _running(database: Any) -> Iterator[Any]:
    database.start()
    try:
        yield database
    finally:
        database.stop()
