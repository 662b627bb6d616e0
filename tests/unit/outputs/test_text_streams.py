# SPDX-License-Identifier: Apache-2.0
"""The default form of what is no plain exchange: HTTP/2, gRPC, WebSocket, events, protocols known by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plaintap.events import READ, WRITE
from plaintap.messages import (
    Exchange,
    GrpcCall,
    GrpcMessage,
    Raw,
    Request,
    Response,
    ServerSentEvent,
    WebSocketMessage,
)
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.text import TextFormatter

MS = 1_000_000
Make = Callable[..., Any]


@pytest.fixture
def text(offset_ns: int) -> Callable[..., TextFormatter]:
    def make(**changes: Any) -> TextFormatter:
        values: dict[str, Any] = {
            "clock_offset_ns": offset_ns,
            "width": None,
            "color": False,
            "verbose": 0,
            "hex_dump": False,
            "body_limit": 65536,
        } | changes
        return TextFormatter(FormatOptions(**values))

    return make


@pytest.fixture
def h2(make_connection: Make, start_ns: int) -> Make:
    def make(*, status: int = 200, **changes: Any) -> Exchange:
        request = Request(
            version="2",
            method="GET",
            target="/orders?id=7",
            authority="api.example.com",
            first_ns=start_ns,
            complete=True,
        )
        response = Response(
            version="2",
            status=status,
            headers=[(b"content-type", b"application/json")],
            body_bytes=1200,
            last_ns=start_ns + 34 * MS,
            complete=True,
        )
        return Exchange(make_connection(), "h2", True, request, response, stream=1, **changes)

    return make


def test_an_exchange_of_http2_is_a_line_like_any_other(text: Make, h2: Make) -> None:
    assert text().format(h2()) == (
        "14:03:07.412  curl[8123]       →  GET  https://api.example.com/orders?id=7                          "
        "200  json   1.2 kB    34 ms    93.184.216.34:443\n"
    )


def test_what_a_late_capture_does_not_know_is_a_question_mark(text: Make, h2: Make) -> None:
    exchange = h2(status=0)
    exchange.request.method = exchange.request.target = ""
    assert "→  ?    https://api.example.com ?    " in text().format(exchange)
    assert "    ?  json " in text().format(exchange)
    exchange.request.headers = [(b"accept", b"*/*"), (b"", b""), (b"", b"known")]
    shown = text(verbose=1).format(exchange)
    assert "? ? HTTP/2\n:authority: api.example.com\naccept: */*\n?: ?\n?: known\n" in shown
    assert "\nHTTP/2 ?\n" in shown


def test_notes_and_pushes_are_said(text: Make, h2: Make) -> None:
    assert text().format(h2(notes=("reset: CANCEL",))).endswith("  reset: CANCEL\n")
    assert text().format(h2(pushed=True)).endswith("  pushed\n")
    assert "\nreset: CANCEL\n" in text(verbose=1).format(h2(notes=("reset: CANCEL",)))


def test_a_call_has_its_own_status(text: Make, h2: Make) -> None:
    assert text().format(h2(grpc=GrpcCall("orders.Orders", "Place", 1, 1, 0))) == (
        "14:03:07.412  curl[8123]       →  grpc orders.Orders/Place                                           "
        "OK  1 ↑ 1 ↓          34 ms    93.184.216.34:443\n"
    )
    failed = text().format(h2(grpc=GrpcCall("orders.Orders", "Place", 1, 0, 14, "connection refused")))
    assert "  14  1 ↑ 0 ↓          34 ms !  93.184.216.34:443      UNAVAILABLE: connection refused\n" in failed
    assert " ---  1 ↑ 0 ↓ " in text().format(h2(grpc=GrpcCall("orders.Orders", "Place", 1, 0)))


def test_a_call_in_a_block(text: Make, h2: Make) -> None:
    exchange = h2(grpc=GrpcCall("orders.Orders", "Place", 1, 1, 5, "no such order"))
    exchange.response.trailers = [(b"grpc-status", b"5")]
    shown = text(verbose=1).format(exchange)
    assert shown.endswith(
        "HTTP/2 200\ncontent-type: application/json\n\ngrpc-status: 5\n1 ↑ 1 ↓, NOT_FOUND: no such order\n\n"
    )


@pytest.fixture
def grpc(make_connection: Make, start_ns: int) -> Make:
    def make(number: int, **changes: Any) -> GrpcMessage:
        values: dict[str, Any] = {"fields": {"1": 7}, "stream": 1} | changes
        return GrpcMessage(
            make_connection(),
            False,
            False,
            "orders.Orders",
            "Watch",
            b"\x08\x07",
            2,
            start_ns,
            start_ns,
            number,
            **values,
        )

    return make


def test_messages_of_a_streaming_call_are_lines_behind_one_that_names_it(text: Make, grpc: Make) -> None:
    formatter = text()
    assert formatter.format(grpc(1)) == ""
    assert formatter.format(grpc(1, stream=3)) == ""
    opened, first, second = formatter.format(grpc(2)).splitlines()
    assert opened == (
        "14:03:07.412  curl[8123]       →  grpc orders.Orders/Watch                                              "
        " open                      93.184.216.34:443"
    )
    assert first == (
        '14:03:07.412  curl[8123]       ←  grpc {"1": 7}                                                         '
        " #1        2 B             93.184.216.34:443"
    )
    assert " #2 " in second
    assert " #3 " in formatter.format(grpc(3))


def test_a_call_that_stays_open_is_shown_though_nothing_follows(text: Make, grpc: Make, start_ns: int) -> None:
    formatter = text()
    asked = grpc(1)
    asked.outgoing = asked.from_client = True
    assert formatter.format(asked) == ""
    assert formatter.tick(start_ns + 400 * MS) == ""
    opened, sent = formatter.tick(start_ns + 600 * MS).splitlines()
    assert (" open " in opened, " → " in opened, " #1 " in sent, " → " in sent) == (True,) * 4
    assert formatter.tick(start_ns + 9000 * MS) == ""
    assert formatter.format(grpc(1)).count("\n") == 1


def test_a_call_that_stays_open_is_shown_when_another_speaks(text: Make, grpc: Make, start_ns: int) -> None:
    formatter = text()
    assert formatter.format(grpc(1)) == ""
    later = grpc(1, stream=3)
    later.last_ns = start_ns + 600 * MS
    assert formatter.format(later).count("\n") == 2


def test_a_call_of_one_message_each_way_is_one_line(text: Make, grpc: Make, h2: Make, start_ns: int) -> None:
    formatter = text()
    asked = grpc(1)
    asked.outgoing = asked.from_client = True
    ended = h2(grpc=GrpcCall("orders.Orders", "Place", 1, 1, 0))
    shown = [formatter.format(message) for message in (asked, grpc(1), ended)]
    assert (shown[0], shown[1], shown[2].count("\n")) == ("", "", 1)
    assert formatter.tick(start_ns + 9000 * MS) == ""


def test_with_v_every_message_of_a_call_is_a_block(text: Make, grpc: Make) -> None:
    assert text(verbose=1).format(grpc(1)) == (
        "14:03:07.412  curl[8123] ← 93.184.216.34:443   grpc #1 orders.Orders/Watch: 2 bytes received\n"
        '{\n  "1": 7\n}\n\n'
    )


@pytest.fixture
def websocket(make_connection: Make, start_ns: int) -> Make:
    def make(data: bytes, **changes: Any) -> WebSocketMessage:
        values: dict[str, Any] = {"kind": "text", "size_bytes": len(data)} | changes
        return WebSocketMessage(make_connection(), True, first_ns=start_ns, last_ns=start_ns, data=data, **values)

    return make


@pytest.mark.parametrize(
    ("data", "changes", "shown"),
    [
        (b'{"symbol":"ABC"}', {}, ('{"symbol":"ABC"} ', " text ")),
        (b"\x00\x01", {"kind": "binary"}, ("\\x00\\x01 ", " bin ")),
        (b"bye", {"kind": "close", "close_code": 1000}, ("1000 bye ", " close ")),
        (b"", {"kind": "ping"}, (" ping ",)),
        (b"half", {"missing_bytes": 5}, ("lost 5 bytes of it",)),
        (b"half", {"complete": False}, ("incomplete",)),
    ],
)
def test_websocket_messages_are_lines(
    data: bytes, changes: dict[str, Any], shown: tuple[str, ...], text: Make, websocket: Make
) -> None:
    line = text().format(websocket(data, **changes))
    assert line.startswith("14:03:07.412  curl[8123]       →  ws   ")
    assert line.count("\n") == 1
    assert all(part in line for part in shown)


def test_a_websocket_message_in_a_block(text: Make, websocket: Make) -> None:
    assert text(verbose=1).format(websocket(b"hello\x1b[31m", note="odd\n")) == (
        "14:03:07.412  curl[8123] → 93.184.216.34:443   ws text: 10 bytes sent\nhello\\x1b[31m\n(odd\\n)\n\n"
    )


def test_events_are_lines(text: Make, make_connection: Make, start_ns: int) -> None:
    event = ServerSentEvent(make_connection(), False, "price", "a\nb", 3, start_ns, start_ns, id="7")
    line = text().format(event)
    assert line.startswith("14:03:07.412  curl[8123]       ←  sse  a\\nb ")
    assert " price " in line
    assert text(verbose=1).format(event) == (
        "14:03:07.412  curl[8123] ← 93.184.216.34:443   sse price id 7: 3 bytes received\na\nb\n\n"
    )


def test_a_protocol_known_by_name(text: Make, make_connection: Make, start_ns: int) -> None:
    formatter = text()
    asked = formatter.format(Raw(make_connection(), WRITE, start_ns, 0, b"*1\r\n$4\r\nPING\r\n", "redis"))
    answered = formatter.format(Raw(make_connection(), READ, start_ns, 0, b"+PONG\r\n", "redis"))
    assert "→  redis *1\\r\\n$4\\r\\nPING\\r\\n " in asked
    assert " sent " in asked
    assert "←  redis +PONG\\r\\n " in answered
    assert asked.index("93.184") == answered.index("93.184")


def test_the_size_of_a_compressed_message_is_that_of_what_it_says(text: Make, websocket: Make) -> None:
    said = websocket(b"hello " * 20, compressed=True, wire_bytes=14)
    assert "  120 B" in text().format(said)
    assert "ws text: 120 bytes sent, 14 bytes on the wire\n" in text(verbose=1).format(said)
    assert "on the wire" not in text(verbose=1).format(websocket(b"hello"))


def test_a_block_names_the_process_at_the_other_end(text: Make, h2: Make, make_connection: Make) -> None:
    exchange = h2()
    exchange.connection.peer = make_connection(session=2, pid=611, comm="nginx")
    assert "  curl[8123] → nginx[611] at 93.184.216.34:443 (" in text(verbose=1, name_peers=True).format(exchange)
    assert "nginx" not in text(verbose=1).format(exchange)


def test_one_more_interim_response_is_one(text: Make, h2: Make) -> None:
    assert "… 1 more interim response\n" in text(verbose=1).format(h2(more_interim=1))
    assert "… 2 more interim responses\n" in text(verbose=1).format(h2(more_interim=2))
