# SPDX-License-Identifier: Apache-2.0
"""The har form: what stands in an entry, and which WebSocket's messages wait for how long."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.messages import (
    Connection,
    ConnectionEnded,
    Exchange,
    GrpcCall,
    Lost,
    Request,
    Response,
    Totals,
    WebSocketMessage,
)
from plaintap.outputs import har_sockets
from plaintap.outputs.har import HarFormatter
from plaintap.protocols.bodies import decode_body

Make = Callable[..., Any]
UPGRADED = {"status": 101, "reason": "Switching Protocols", "headers": [(b"Upgrade", b"websocket")], "body_bytes": 0}


@pytest.fixture
def har(offset_ns: int) -> HarFormatter:
    return HarFormatter(clock_offset_ns=offset_ns, decode_body=decode_body)


def entries(text: str) -> list[dict[str, Any]]:
    assert text.isascii() or text.replace("\n", "").isprintable()
    return [json.loads(line) for line in text.splitlines()]


def one(text: str) -> dict[str, Any]:
    (entry,) = entries(text)
    return entry


def test_an_exchange(har: HarFormatter, make_exchange: Make, make_request: Make, make_response: Make) -> None:
    headers = [(b"Host", b"api.example.com"), (b"Cookie", b"a=1; b=x=y; ;c")]
    response_headers = [
        (b"Content-Type", b"application/json"),
        (
            b"Set-Cookie",
            b"a=2; Path=/; Domain=.e; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly; Secure; SameSite=Lax",
        ),
        (b"set-cookie", b"broken; expires=never"),
    ]
    entry = one(
        har.format(
            make_exchange(
                request=make_request(headers=headers, target="/orders?id=7&q=a+b%20c&e"),
                response=make_response(b'{"id":7}', headers=response_headers),
            )
        )
    )
    assert entry["startedDateTime"] == "2023-11-14T14:03:07.412Z"
    assert entry["time"] == 34
    assert entry["timings"] == {
        "blocked": -1, "dns": -1, "connect": -1, "ssl": -1, "send": 0, "wait": 30, "receive": 4,
    }  # fmt: skip
    assert entry["request"] == {
        "method": "GET",
        "url": "https://api.example.com/orders?id=7&q=a+b%20c&e",
        "httpVersion": "HTTP/1.1",
        "cookies": [{"name": "a", "value": "1"}, {"name": "b", "value": "x=y"}, {"name": "c", "value": ""}],
        "headers": [{"name": "Host", "value": "api.example.com"}, {"name": "Cookie", "value": "a=1; b=x=y; ;c"}],
        "queryString": [
            {"name": "id", "value": "7"},
            {"name": "q", "value": "a b c"},
            {"name": "e", "value": ""},
        ],
        "headersSize": -1,
        "bodySize": 0,
    }
    response = entry["response"]
    assert response["cookies"] == [
        {
            "name": "a",
            "value": "2",
            "path": "/",
            "domain": ".e",
            "expires": "2026-10-21T07:28:00+00:00",
            "httpOnly": True,
            "secure": True,
            "sameSite": "Lax",
        },
        {"name": "broken", "value": ""},
    ]
    assert response["content"] == {"size": 8, "mimeType": "application/json", "text": '{"id":7}'}
    assert (response["status"], response["statusText"], response["redirectURL"]) == (200, "OK", "")
    assert (response["headersSize"], response["bodySize"]) == (-1, 8)
    assert entry["cache"] == {}
    assert (entry["serverIPAddress"], entry["connection"], entry["_direction"]) == ("93.184.216.34", "1", "out")
    assert entry["_process"]["comm"] == "curl"
    assert entry["_connection"]["remote"]["port"] == 443


def test_who_was_asked(har: HarFormatter, make_exchange: Make, make_connection: Make) -> None:
    assert one(har.format(make_exchange(outgoing=False)))["serverIPAddress"] == "10.0.0.1"
    assert "serverIPAddress" not in one(har.format(make_exchange(connection=make_connection(socket=None))))


def test_an_http2_exchange(har: HarFormatter, make_exchange: Make, make_request: Make, make_response: Make) -> None:
    exchange = make_exchange(
        protocol="h2",
        stream=3,
        pushed=True,
        interim=[103],
        notes=["reset"],
        grpc=GrpcCall("s", "m", 1, 2, 0, "fine"),
        request=make_request(
            version="2", authority="a.example", headers=[(b"", b""), (b"x", b"y")], trailers=[(b"t", b"1")]
        ),
        response=make_response(version="2", missing_bytes=2, trailers=[(b"grpc-status", b"0")]),
    )
    entry = one(har.format(exchange))
    assert entry["request"]["url"] == "https://a.example/orders?id=7"
    assert entry["request"]["httpVersion"] == "HTTP/2.0"
    assert (entry["request"]["headers"], entry["request"]["_unknownHeaders"]) == ([{"name": "x", "value": "y"}], 1)
    assert entry["request"]["_trailers"] == [{"name": "t", "value": "1"}]
    assert entry["response"]["_missingBytes"] == 2
    assert entry["response"]["content"]["comment"] == "1,232 bytes left out; 2 bytes lost"
    assert (entry["_stream"], entry["_pushed"], entry["_interim"], entry["_notes"]) == (3, True, [103], ["reset"])
    assert entry["_grpc"]["statusName"] == "OK"


def test_bodies(har: HarFormatter, make_exchange: Make, make_request: Make, make_response: Make) -> None:
    form = [(b"content-type", b"application/x-www-form-urlencoded")]
    posted = make_request(method="POST", headers=form, body=[b"a=1&b=%C3%BC&", b"c"], body_bytes=14)
    packed = gzip.compress(b"y" * 500)
    coded = make_response(packed, headers=[(b"Content-Encoding", b"gzip"), (b"Content-Type", b"text/plain")])
    entry = one(har.format(make_exchange(request=posted, response=coded)))
    assert entry["request"]["postData"] == {
        "mimeType": "application/x-www-form-urlencoded",
        "text": "a=1&b=%C3%BC&c",
        "params": [{"name": "a", "value": "1"}, {"name": "b", "value": "ü"}, {"name": "c", "value": ""}],
    }
    content = entry["response"]["content"]
    assert (content["size"], content["compression"]) == (500, 500 - len(packed))
    assert content["text"] == "y" * 500
    latin = make_response(b"\xfc", headers=[(b"Content-Type", b"text/plain; charset=iso-8859-1")])
    binary = make_request(method="POST", headers=[], body=[b"\xff\0"], body_bytes=2)
    entry = one(har.format(make_exchange(request=binary, response=latin)))
    assert entry["request"]["postData"] == {"mimeType": "", "text": "/wA=", "_encoding": "base64"}
    assert base64.b64decode(entry["response"]["content"]["text"]) == b"\xfc"
    assert entry["response"]["content"]["encoding"] == "base64"


def test_a_request_alone_and_a_response_alone(har: HarFormatter, make_exchange: Make) -> None:
    entry = one(har.format(make_exchange(response=None)))
    assert (entry["response"]["status"], entry["response"]["_error"]) == (0, "no response was seen")
    assert (entry["timings"]["wait"], entry["timings"]["receive"]) == (0, 0)
    assert har.remark == ""
    assert har.format(make_exchange(request=None)) == ""
    assert har.remark == "1 response whose request was not seen"


def test_a_redirect(har: HarFormatter, make_exchange: Make, make_response: Make) -> None:
    response = make_response(status=302, headers=[(b"Location", b"/login")])
    assert one(har.format(make_exchange(response=response)))["response"]["redirectURL"] == "/login"


@pytest.mark.parametrize(
    ("target", "host", "url"),
    [
        ("/a", b"", "https://93.184.216.34/a"),
        ("", b"", "https://93.184.216.34"),
        ("h:443", b"", "https://h:443"),
        ("http://h/a", b"", "http://h/a"),
    ],
)
def test_every_entry_has_a_url(
    har: HarFormatter, make_exchange: Make, make_request: Make, target: str, host: bytes, url: str
) -> None:
    request = make_request(target=target, headers=[(b"host", host)] if host else [])
    assert one(har.format(make_exchange(request=request)))["request"]["url"] == url


def message(connection: Connection, data: bytes = b"hi", **changes: Any) -> WebSocketMessage:
    values: dict[str, Any] = {"outgoing": True, "kind": "text", "size_bytes": len(data), "first_ns": 5_000_000_000}
    return WebSocketMessage(connection, data=data, last_ns=0, **(values | changes))


def test_a_websocket_is_one_entry(
    har: HarFormatter, make_exchange: Make, make_response: Make, make_connection: Make
) -> None:
    connection = make_connection()
    assert har.format(make_exchange(connection=connection, response=make_response(**UPGRADED))) == ""
    assert har.format(message(connection)) == ""
    assert har.format(message(connection, b"\x01\xff", outgoing=False, kind="binary")) == ""
    assert har.format(message(connection, b"bye", kind="close", close_code=1000)) == ""
    assert har.format(Lost(connection, 0, 0, 0, 1)) == ""
    entry = one(har.format(ConnectionEnded(connection, 0, "closed", 0, 0, 0)))
    assert entry["request"]["url"] == "wss://api.example.com/orders?id=7"
    assert entry["_resourceType"] == "websocket"
    assert entry["response"]["status"] == 101
    assert entry["_webSocketMessages"] == [
        {"type": "send", "time": 1699970587.412, "opcode": 1, "data": "hi"},
        {"type": "receive", "time": 1699970587.412, "opcode": 2, "data": "Af8="},
        {"type": "send", "time": 1699970587.412, "opcode": 8, "data": "bye", "_closeCode": 1000},
    ]
    assert har.format(ConnectionEnded(connection, 0, "closed", 0, 0, 0)) == ""


def test_a_websocket_of_http2_comes_with_its_exchange(
    har: HarFormatter, make_exchange: Make, make_request: Make, make_response: Make, make_connection: Make
) -> None:
    connection, request = make_connection(), make_request(method="CONNECT", target="/chat")
    assert har.format(message(connection, stream=5, request=request)) == ""
    exchange = make_exchange(connection=connection, request=request, response=make_response(), stream=5)
    entry = one(har.format(exchange))
    assert [each["data"] for each in entry["_webSocketMessages"]] == ["hi"]
    assert entry["response"]["status"] == 200
    assert har.format(ConnectionEnded(connection, 0, "closed", 0, 0, 0)) == ""


def test_a_websocket_whose_opening_was_not_seen(har: HarFormatter, make_connection: Make, make_request: Make) -> None:
    connection = make_connection()
    assert har.format(message(connection)) == ""
    assert har.remark == "1 WebSocket message whose opening was not seen"
    assert har.format(message(connection, request=make_request(), from_client=False)) == ""
    entry = one(har.format(ConnectionEnded(connection, 0, "closed", 0, 0, 0)))
    assert (entry["_direction"], entry["response"]["status"]) == ("in", 0)


def test_at_the_end_nothing_waits(
    har: HarFormatter, make_exchange: Make, make_response: Make, make_connection: Make
) -> None:
    connection = make_connection()
    har.format(make_exchange(connection=connection, response=make_response(**UPGRADED)))
    har.format(message(connection))
    assert len(one(har.summary(Totals()))["_webSocketMessages"]) == 1
    assert har.summary(Totals()) == ""


def test_how_much_waits_is_bounded(
    har: HarFormatter, monkeypatch: pytest.MonkeyPatch, make_exchange: Make, make_response: Make, make_connection: Make
) -> None:
    monkeypatch.setattr(har_sockets, "OPEN_MAX", 2)
    monkeypatch.setattr(har_sockets, "HELD_BYTES", 5000)
    connections = [make_connection(session=session) for session in range(3)]
    opened = [har.format(make_exchange(connection=each, response=make_response(**UPGRADED))) for each in connections]
    assert [len(entries(text)) for text in opened] == [0, 0, 1]
    assert har.format(message(connections[2], b"x" * 3000)) == ""
    first = one(har.format(message(connections[2], b"x" * 3000)))
    assert first["connection"] == "2"
    assert len(first["_webSocketMessages"]) == 2
    assert len(entries(har.format(ConnectionEnded(connections[1], 0, "closed", 0, 0, 0)))) == 1
    assert har.format(message(connections[2])) == ""
    second = one(har.format(ConnectionEnded(connections[2], 0, "closed", 0, 0, 0)))
    assert len(second["_webSocketMessages"]) == 1
    assert (second["request"], second["response"]) == (first["request"], first["response"])


def test_one_that_has_gone_before_its_end_is_in_no_second_entry(
    har: HarFormatter, monkeypatch: pytest.MonkeyPatch, make_exchange: Make, make_response: Make, make_connection: Make
) -> None:
    monkeypatch.setattr(har_sockets, "HELD_BYTES", 100)
    connection = make_connection()
    har.format(make_exchange(connection=connection, response=make_response(**UPGRADED)))
    assert len(entries(har.format(message(connection)))) == 1
    assert har.format(ConnectionEnded(connection, 0, "closed", 0, 0, 0)) == ""


def test_a_form_of_many_parts_is_cut(har: HarFormatter, make_exchange: Make, make_request: Make) -> None:
    request = make_request(target="/?" + "a&" * 100_000, headers=[(b"cookie", b"a;" * 100_000)])
    entry = one(har.format(make_exchange(request=request)))
    assert len(entry["request"]["queryString"]) == 2000
    assert len(entry["request"]["cookies"]) == 2000


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5), st.binary(max_size=50), st.text()
)
def test_any_bytes_are_an_entry(headers: list[tuple[bytes, bytes]], body: bytes, text: str) -> None:
    har = HarFormatter(clock_offset_ns=0, decode_body=decode_body)
    connection = Connection(1, 2, 3, 4, text)
    fields = [*headers, (b"set-cookie", body), (b"cookie", body), (b"content-type", body)]
    request = Request(headers=fields, method=text, target=text, body=[body], body_bytes=len(body))
    response = Response(headers=fields, status=200, reason=text, body=[body], body_bytes=len(body))
    assert one(har.format(Exchange(connection, "http/1.1", True, request, response)))["startedDateTime"]


def test_a_request_without_a_host_over_a_socket_without_an_address(
    har: HarFormatter, make_exchange: Make, make_connection: Make
) -> None:
    exchange = make_exchange(connection=make_connection(socket=None))
    exchange.request.headers = []
    entry = one(har.format(exchange))
    assert entry["request"]["url"] == "https://unknown.invalid/orders?id=7"
    assert entry["request"]["queryString"] == [{"name": "id", "value": "7"}]
