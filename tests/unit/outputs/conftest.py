# SPDX-License-Identifier: Apache-2.0
"""Messages to show: one usual connection and exchange, changed by each test where it matters."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from plaintap.events import SecretOwner, Socket
from plaintap.messages import Connection, Exchange, Request, Response, Secrets

MS = 1_000_000
START_NS = 5_000_000_000
# START_NS + this is 2023-11-14 14:03:07.412 UTC.
OFFSET_NS = 1_699_970_587_412_000_000 - START_NS


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC, whatever the host's is."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def offset_ns() -> int:
    return OFFSET_NS


@pytest.fixture
def start_ns() -> int:
    return START_NS


@pytest.fixture
def make_socket() -> Callable[..., Socket]:
    def make(
        remote: str = "93.184.216.34", port: int = 443, local: str = "10.0.0.1", local_port: int = 40001
    ) -> Socket:
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        return Socket(7, int(family), local, local_port, remote, port, 1, 5, 1)

    return make


@pytest.fixture
def make_connection(make_socket: Callable[..., Socket]) -> Callable[..., Connection]:
    def make(**changes: Any) -> Connection:
        values: dict[str, Any] = {
            "session": 1,
            "pid": 8123,
            "tid": 8123,
            "uid": 0,
            "comm": "curl",
            "library": "libssl 3.0.22",
            "socket": make_socket(),
        } | changes
        return Connection(**values)

    return make


@pytest.fixture
def make_request() -> Callable[..., Request]:
    def make(**changes: Any) -> Request:
        values: dict[str, Any] = {
            "headers": [(b"Host", b"api.example.com"), (b"Accept", b"*/*")],
            "method": "GET",
            "target": "/orders?id=7",
            "first_ns": START_NS,
            "last_ns": START_NS,
            "complete": True,
        } | changes
        return Request(**values)

    return make


@pytest.fixture
def make_response() -> Callable[..., Response]:
    def make(body: bytes = b"", **changes: Any) -> Response:
        values: dict[str, Any] = {
            "headers": [(b"Content-Type", b"application/json"), (b"Server", b"nginx")],
            "status": 200,
            "reason": "OK",
            "body": [body] if body else [],
            "body_bytes": len(body) or 1234,
            "first_ns": START_NS + 30 * MS,
            "last_ns": START_NS + 34 * MS,
            "complete": True,
        } | changes
        return Response(**values)

    return make


@pytest.fixture
def make_exchange(
    make_connection: Callable[..., Connection],
    make_request: Callable[..., Request],
    make_response: Callable[..., Response],
) -> Callable[..., Exchange]:
    def make(**changes: Any) -> Exchange:
        values: dict[str, Any] = {
            "connection": make_connection(),
            "protocol": "http/1.1",
            "outgoing": True,
            "request": make_request(),
            "response": make_response(),
        } | changes
        return Exchange(**values)

    return make


@pytest.fixture(scope="session")
def make_owner() -> Callable[..., SecretOwner]:
    def make(**changes: Any) -> SecretOwner:
        socket_of_it = Socket(7, int(socket.AF_INET), "10.0.0.1", 40001, "93.184.216.34", 443, 1, 5, 1)
        values: dict[str, Any] = {
            "session": 1,
            "ts_ns": START_NS,
            "pid": 8123,
            "tid": 8123,
            "uid": 0,
            "comm": "curl",
            "ssl": 0xABC0,
            "library": 1,
            "socket": socket_of_it,
            "client_random": bytes(range(32)),
            "hello_matched": True,
            "handshake_seen": True,
        } | changes
        return SecretOwner(**values)

    return make


@pytest.fixture(scope="session")
def make_secrets(make_owner: Callable[..., SecretOwner]) -> Callable[..., Secrets]:
    def make(**changes: Any) -> Secrets:
        values: dict[str, Any] = {
            "owner": make_owner(),
            "library": "libssl 3.0.22",
            "version": 0x0304,
            "cipher": 0x1302,
            "lines": (("EXPORTER_SECRET", b"s" * 48),),
            "gathered": 5,
        } | changes
        return Secrets(**values)

    return make
