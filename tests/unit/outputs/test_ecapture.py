# SPDX-License-Identifier: Apache-2.0
"""The form eCapture's users know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plaintap.events import READ, WRITE
from plaintap.messages import ConnectionEnded, GrpcMessage, Lost, Raw, ServerSentEvent, WebSocketMessage
from plaintap.outputs.base import undecoded
from plaintap.outputs.ecapture import EcaptureFormatter

Make = Callable[..., Any]
SENT = "PID:8123, Comm:curl, Src:10.0.0.1:40001, Dest:93.184.216.34:443,\n"
RECEIVED = "PID:8123, Comm:curl, Src:93.184.216.34:443, Dest:10.0.0.1:40001,\n"


def formatter(**changes: Any) -> EcaptureFormatter:
    values: dict[str, Any] = {"hex_dump": False, "body_limit": 0, "decode_body": undecoded} | changes
    return EcaptureFormatter(**values)


def test_an_exchange_is_two_blocks(make_exchange: Make, make_response: Make) -> None:
    exchange = make_exchange(response=make_response(b'{"id":7}'))
    request = "GET /orders?id=7 HTTP/1.1\nHost: api.example.com\nAccept: */*\n\n\n"
    response = 'HTTP/1.1 200 OK\nContent-Type: application/json\nServer: nginx\n\n{"id":7}\n\n'
    assert formatter().format(exchange) == SENT + request + RECEIVED + response
    exchange.outgoing = False
    assert formatter().format(exchange) == RECEIVED + request + SENT + response
    exchange.request = None
    assert formatter().format(exchange) == SENT + response


def test_bodies_are_cut_and_losses_named(make_exchange: Make, make_response: Make) -> None:
    response = make_response(b"0123456789", body_bytes=30, missing_bytes=5)
    text = formatter(body_limit=4).format(make_exchange(request=None, response=response))
    assert text.endswith("\n\n0123\n… 21 bytes more\n(lost 5 bytes)\n\n")
    noted = formatter(decode_body=lambda _, __: (b"x", "note")).format(make_exchange(request=None))
    assert noted.endswith("\n\nx\n… 1,234 bytes more\n(note)\n\n")


def test_raw_lost_and_ends(make_connection: Make) -> None:
    connection = make_connection()
    assert formatter().format(Raw(connection, WRITE, 0, 0, b"a\x1b\n")) == f"{SENT}a\\x1b\n\n"
    assert formatter(hex_dump=True).format(Raw(connection, READ, 0, 0, b"ab")) == (
        f"{RECEIVED}00000000  61 62                                             |ab|\n\n"
    )
    assert formatter().format(Lost(connection, READ, 0, 7, 9)) == f"{RECEIVED}lost 9 bytes at offset 7\n\n"
    assert formatter().format(ConnectionEnded(connection, 0, "idle", 0, 0, 0)) == ""


def test_unknown_socket(make_connection: Make) -> None:
    text = formatter().format(Raw(make_connection(socket=None), WRITE, 0, 0, b"x"))
    assert text == "PID:8123, Comm:curl, Src:?:0, Dest:?:0,\nx\n\n"


def test_messages_in_streams(make_connection: Make) -> None:
    connection = make_connection()
    sent = WebSocketMessage(connection, True, "text", b"hi\x1b", 9, 0, 0, missing_bytes=1, note="odd")
    assert formatter().format(sent) == f"{SENT}WebSocket text, 9 bytes\nhi\\x1b\n… 5 bytes more\n(odd)\n\n"
    close = WebSocketMessage(connection, False, "close", b"", 2, 0, 0, 1000)
    assert formatter().format(close) == f"{RECEIVED}WebSocket close 1000, 2 bytes\n\n"
    event = ServerSentEvent(connection, False, "tick", "a\nb", 3, 0, 0, "7")
    assert formatter().format(event) == f"{RECEIVED}event tick 7\na\nb\n\n"
    call = GrpcMessage(connection, False, False, "orders.Orders", "Place", b"\n\x01x", 3, 0, 0, 1)
    text = formatter(hex_dump=True).format(call)
    assert text.startswith(f"{RECEIVED}gRPC orders.Orders/Place, message 1, 3 bytes\n00000000  0a 01 78 ")


def test_what_is_unknown_says_so(make_exchange: Make, make_request: Make, make_response: Make) -> None:
    request = make_request(
        method="", target="", version="2", headers=[(b"", b""), (b"a", b"b")], trailers=((b"t", b"1"),)
    )
    response = make_response(status=0, version="2", reason="", headers=[], body_bytes=0)
    text = formatter().format(make_exchange(request=request, response=response))
    assert text == (
        f"{SENT}(unknown) (unknown) HTTP/2\n(unknown): (unknown)\na: b\n\nt: 1\n\n{RECEIVED}HTTP/2 (unknown)\n\n\n"
    )
