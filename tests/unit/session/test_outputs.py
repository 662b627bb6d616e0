# SPDX-License-Identifier: Apache-2.0
"""Which messages repeat what the other end of the connection, on this host too, has said; readers that leave."""

from __future__ import annotations

import os
import socket as _socket
from pathlib import Path

import pytest

from plaintap.config import CommonConfig
from plaintap.events import READ, Socket
from plaintap.messages import Connection, Exchange, GrpcMessage, Lost, Message, Raw, ServerSentEvent, WebSocketMessage
from plaintap.outputs.registry import parse_formats
from plaintap.session.outputs import Outputs, is_echo
from plaintap.session.routes import Route


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


def test_a_reader_that_leaves_costs_what_it_did_not_get(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    notices: list[str] = []
    outputs = Outputs(
        CommonConfig(),
        [Route(parse_formats(f"text,json:{path}")[1], events=True, logs=False)],
        clock_offset_ns=0,
        beside_keys=False,
        lossless=True,
        notice=notices.append,
        stop=lambda: None,
    )
    os.close(reader)
    outputs.show([Exchange(CLIENT, "h2", True, None, None)])
    outputs.close()
    assert outputs.failed
    assert outputs.losses()["output_unread"] == 1
    assert set(notices) <= {f"nobody reads {path} any more"}
