# SPDX-License-Identifier: Apache-2.0
"""Which messages repeat what the other end of the connection, on this host too, has said."""

from __future__ import annotations

import socket as _socket

import pytest

from plaintap.events import READ, Socket
from plaintap.messages import Connection, Exchange, GrpcMessage, Lost, Message, Raw, ServerSentEvent, WebSocketMessage
from plaintap.session.outputs import is_echo


def pair() -> tuple[Connection, Connection]:
    """A client and a server that know of each other."""
    client, server = Connection(1, 10, 10, 0, "curl"), Connection(2, 11, 11, 0, "nginx")
    client.socket = Socket(1, _socket.AF_INET, "127.0.0.1", 40000, "127.0.0.1", 443, 1, 3, 1)
    server.socket = Socket(2, _socket.AF_INET, "127.0.0.1", 443, "127.0.0.1", 40000, 1, 3, 1)
    client.peer, server.peer = server, client
    return client, server


CLIENT, SERVER = pair()


def websocket(connection: Connection, *, outgoing: bool, from_client: bool | None) -> Message:
    return WebSocketMessage(connection, outgoing, "text", b"", 0, 0, 0, from_client=from_client)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (Exchange(CLIENT, "h2", True, None, None), False),
        (Exchange(SERVER, "h2", False, None, None), True),
        (ServerSentEvent(CLIENT, False, "message", "", 0, 0, 0), False),
        (ServerSentEvent(SERVER, True, "message", "", 0, 0, 0), True),
        (websocket(CLIENT, outgoing=True, from_client=True), False),
        (websocket(CLIENT, outgoing=False, from_client=False), False),
        (websocket(SERVER, outgoing=False, from_client=True), True),
        (websocket(SERVER, outgoing=True, from_client=False), True),
        (websocket(CLIENT, outgoing=True, from_client=None), False),
        (websocket(SERVER, outgoing=True, from_client=None), True),
        (GrpcMessage(CLIENT, True, True, "s", "m", b"", 0, 0, 0, 1), False),
        (GrpcMessage(SERVER, False, True, "s", "m", b"", 0, 0, 0, 1), True),
        (Raw(CLIENT, READ, 0, 0, b""), False),
        (Raw(SERVER, READ, 0, 0, b""), True),
        (Lost(SERVER, READ, 0, 0, 1), False),
        (Exchange(Connection(3, 12, 12, 0, "nginx"), "h2", False, None, None), False),
    ],
)
def test_is_echo(message: Message, expected: bool) -> None:
    assert is_echo(message) == expected
