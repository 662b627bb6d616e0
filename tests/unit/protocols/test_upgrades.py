# SPDX-License-Identifier: Apache-2.0
"""What follows a 101: by what the response says, else by what the request asked for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from plaintap.events import READ, WRITE
from plaintap.messages import Connection, Exchange, Message, Request, Response, WebSocketMessage
from plaintap.parsing import Parser
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.upgrades import parser_after
from plaintap.protocols.websocket import WebSocket

OPTIONS = ParserOptions(body_limit=1000)


class FakeOutlet:
    def __init__(self) -> None:
        self.connection = Connection(1, 2, 3, 0, "x")
        self.messages: list[Message] = []
        self.emit: Callable[[Message], None] = self.messages.append
        self.receive: Callable[[int, int, bytes], None] = self._receive

    def _receive(self, _direction: int, _ts_ns: int, _data: bytes) -> None:
        raise AssertionError

    def unclaimed(self, direction: int, ts_ns: int, data: bytes, /, protocol: str = "") -> None:
        assert not data

    def become(self, parser: Parser | None, /) -> None:
        raise AssertionError


def exchange(
    asked: bytes | None, answered: bytes | None, *, status: int = 101, method: str = "GET", outgoing: bool = True
) -> Exchange:
    outlet = FakeOutlet()
    request = Request(method=method, target="/chat", headers=[(b"Upgrade", asked)] if asked else [])
    response = Response(status=status, headers=[(b"uPgRaDe", answered)] if answered else [])
    return Exchange(outlet.connection, "http/1.1", outgoing=outgoing, request=request, response=response)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [(b"websocket", b"websocket"), (b"WebSocket", b" WebSocket "), (b"websocket", None), (None, b"websocket")],
)
def test_websocket(asked: bytes | None, answered: bytes | None) -> None:
    assert isinstance(parser_after(exchange(asked, answered), FakeOutlet(), OPTIONS), WebSocket)


@pytest.mark.parametrize(
    "told",
    [
        exchange(b"websocket", b"foo"),
        exchange(b"TLS/1.0", None),
        exchange(None, None),
        exchange(None, None, status=200, method="CONNECT"),
        exchange(b"websocket", b"websocket", status=200),
    ],
    ids=["other", "tls", "nothing", "connect", "refused"],
)
def test_anything_else_is_recognised_afresh(told: Exchange) -> None:
    assert parser_after(told, FakeOutlet(), OPTIONS) is None


def test_without_a_response_it_is_recognised_afresh() -> None:
    told = exchange(b"websocket", b"websocket")
    told.response = None
    assert parser_after(told, FakeOutlet(), OPTIONS) is None


@pytest.mark.parametrize("outgoing", [True, False])
def test_its_messages_know_the_request_and_who_is_the_client(*, outgoing: bool) -> None:
    outlet = FakeOutlet()
    told = exchange(b"websocket", b"websocket", outgoing=outgoing)
    parser = parser_after(told, outlet, OPTIONS)
    assert parser is not None
    parser.receive(WRITE if outgoing else READ, 1, b"\x81\x82\0\0\0\0hi")
    (message,) = outlet.messages
    assert isinstance(message, WebSocketMessage)
    assert (message.outgoing, message.from_client, message.data, message.note) == (outgoing, True, b"hi", "")
    assert message.request is told.request
