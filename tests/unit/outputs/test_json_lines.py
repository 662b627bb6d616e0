# SPDX-License-Identifier: Apache-2.0
"""The json form: what stands in each line, and that the schema says the same."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import plaintap.outputs
from plaintap.events import READ, WRITE, Socket
from plaintap.messages import (
    Connection,
    ConnectionEnded,
    Exchange,
    GrpcCall,
    GrpcMessage,
    Lost,
    Raw,
    RecordSeen,
    Request,
    Response,
    ServerSentEvent,
    Totals,
    WebSocketMessage,
)
from plaintap.outputs.json_lines import JsonFormatter
from plaintap.outputs.json_parts import Line, LogLine, SummaryLine
from plaintap.protocols.bodies import decode_body

Make = Callable[..., Any]
SCHEMA = json.loads((Path(plaintap.outputs.__file__).parent / "schema" / "plaintap-v1.schema.json").read_text())
VALIDATOR = Draft202012Validator(SCHEMA)
DOCUMENTED = (Path(__file__).parents[3] / "docs" / "schema.md").read_text()
START_TIME = "2023-11-14T14:03:07.412000000Z"
LAST_TIME = "2023-11-14T14:03:07.446000000Z"


@pytest.fixture
def show(offset_ns: int) -> Callable[..., dict[str, Any]]:
    """A message as the object of its line, which the schema takes."""

    def of(message: Any, *, body_limit: int = 0) -> dict[str, Any]:
        decode = partial(decode_body, limit_bytes=body_limit or 1 << 20)
        formatter = JsonFormatter(clock_offset_ns=offset_ns, body_limit=body_limit, decode_body=decode)
        line = formatter.format(message)
        assert line.endswith("\n")
        assert line.count("\n") == 1
        assert line[:-1].isprintable()
        value: dict[str, Any] = json.loads(line)
        VALIDATOR.validate(value)
        return value

    return of


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_an_exchange(show: Make, make_exchange: Make, make_response: Make) -> None:
    assert show(make_exchange(response=make_response(b'{"id":7}'))) == {
        "type": "exchange",
        "v": 1,
        "time": START_TIME,
        "process": {"pid": 8123, "comm": "curl", "uid": 0},
        "connection": {
            "id": "1",
            "local": {"address": "10.0.0.1", "port": 40001},
            "remote": {"address": "93.184.216.34", "port": 443},
            "tls": {"library": "libssl 3.0.22"},
            "netns": 1,
            "fd": 5,
        },
        "direction": "out",
        "protocol": "http/1.1",
        "request": {
            "method": "GET",
            "url": "https://api.example.com/orders?id=7",
            "target": "/orders?id=7",
            "version": "1.1",
            "headers": [["Host", "api.example.com"], ["Accept", "*/*"]],
            "body": "",
            "body_encoding": "text",
            "body_bytes": 0,
            "missing_bytes": 0,
            "complete": True,
        },
        "response": {
            "status": 200,
            "reason": "OK",
            "version": "1.1",
            "headers": [["Content-Type", "application/json"], ["Server", "nginx"]],
            "body": '{"id":7}',
            "body_encoding": "text",
            "body_bytes": 8,
            "missing_bytes": 0,
            "complete": True,
        },
        "timings": {"request_ms": 0.0, "wait_ms": 30.0, "response_ms": 4.0, "total_ms": 34.0},
        "last_time": LAST_TIME,
    }


def test_an_exchange_with_everything(show: Make, make_exchange: Make, make_request: Make, make_response: Make) -> None:
    exchange = make_exchange(
        protocol="h2",
        outgoing=False,
        request=make_request(version="2", scheme="https", authority="a.example", trailers=((b"t", b"1"),), headers=[]),
        response=make_response(b"x", version="2", trailers=[(b"grpc-status", b"5")]),
        interim=[100, 103],
        more_interim=3,
        stream=7,
        notes=["odd"],
        pushed=True,
        grpc=GrpcCall("orders.Orders", "Place", 1, 2, 5, "no such\u202eorder", web=True),
    )
    shown = show(exchange)
    assert shown["direction"] == "in"
    assert (shown["stream"], shown["pushed"], shown["interim"], shown["more_interim"]) == (7, True, [100, 103], 3)
    assert shown["notes"] == ["odd"]
    assert shown["request"]["url"] == "https://a.example/orders?id=7"
    assert (shown["request"]["trailers"], shown["response"]["trailers"]) == ([["t", "1"]], [["grpc-status", "5"]])
    assert shown["grpc"] == {
        "service": "orders.Orders",
        "method": "Place",
        "sent": 1,
        "received": 2,
        "status": 5,
        "status_name": "NOT_FOUND",
        "message": "no such\u202eorder",
        "web": True,
    }


def test_one_side(show: Make, make_exchange: Make) -> None:
    nothing = show(make_exchange(request=None))
    assert nothing["request"] is None
    assert nothing["timings"] == {"request_ms": None, "wait_ms": None, "response_ms": 4.0, "total_ms": None}
    assert nothing["time"] == "2023-11-14T14:03:07.442000000Z"
    asked = show(make_exchange(response=None))
    assert asked["response"] is None
    assert asked["timings"] == {"request_ms": 0.0, "wait_ms": None, "response_ms": None, "total_ms": None}
    neither = show(make_exchange(request=None, response=None))
    assert neither["timings"]["response_ms"] is None


def test_what_is_unknown_is_null(show: Make, make_exchange: Make, make_request: Make, make_response: Make) -> None:
    request = make_request(method="", target="", headers=[(b"", b""), (b"", b"v"), (b"accept", b"")], version="2")
    shown = show(make_exchange(request=request, response=make_response(status=0)))
    request = shown["request"]
    assert (request["method"], request["target"], request["url"]) == (None, None, None)
    assert request["headers"] == [[None, None], [None, "v"], ["accept", ""]]
    assert shown["response"]["status"] is None


@pytest.mark.parametrize(
    ("method", "target", "host", "url"),
    [
        ("GET", "/a?b", b"h:8443", "https://h:8443/a?b"),
        ("GET", "/a", b"", None),
        ("GET", "http://other/a", b"h", "http://other/a"),
        ("OPTIONS", "*", b"h", "https://h"),
        ("CONNECT", "h:443", b"h", "h:443"),
        ("GET", "/\udcff", b"h\xff", "https://h\xff/\xff"),
    ],
)
def test_urls(
    show: Make, make_exchange: Make, make_request: Make, method: str, target: str, host: bytes, url: str
) -> None:
    request = make_request(method=method, target=target, headers=[(b"HOST", host)])
    assert show(make_exchange(request=request))["request"]["url"] == url


@pytest.mark.parametrize(
    ("content_type", "data", "text"),
    [
        (b"", "grüß".encode(), "grüß"),
        (b"text/plain; charset=ISO-8859-1", b"gr\xfc\xdf", "grüß"),
        (b'text/plain; charset="utf-16"', "grüß".encode("utf-16"), "grüß"),
        (b"text/plain", b"\x1b[31m\x01", "\x1b[31m\x01"),
        (b"text/plain; charset=unicode_escape", b"\\n", "\\n"),
        (b"", b"\x01\x02", None),
        (b"text/plain", b"a\0", "a\0"),
        (b"", b"a\0", None),
        (b"text/plain", b"gr\xfc", None),
        (b"image/png", b"text", None),
        (b"application/grpc+proto", b"text", None),
        (b"image/svg+xml", b"<svg/>", "<svg/>"),
    ],
)
def test_text_or_base64(
    show: Make, make_exchange: Make, make_response: Make, content_type: bytes, data: bytes, text: str | None
) -> None:
    response = show(make_exchange(response=make_response(data, headers=[(b"content-type", content_type)])))["response"]
    if text is None:
        assert response["body_encoding"] == "base64"
        assert base64.b64decode(response["body"]) == data
    else:
        assert (response["body_encoding"], response["body"]) == ("text", text)


def test_a_body_is_cut_at_the_limit(show: Make, make_exchange: Make, make_response: Make) -> None:
    def body(data: bytes, limit: int, **changes: Any) -> tuple[Any, ...]:
        response = make_response(data, **({"headers": []} | changes))
        shown = show(make_exchange(response=response), body_limit=limit)["response"]
        return tuple(shown.get(f"body{name}") for name in ("", "_truncated", "_left_out_bytes", "_note"))

    assert body(b"0123456789", 10) == ("0123456789", None, None, None)
    assert body(b"0123456789", 4) == ("0123", True, 6, None)
    assert body("ab€".encode(), 4) == ("ab", True, 3, None)
    assert body(b"0123", 4, body_bytes=30, missing_bytes=5) == ("0123", True, 21, None)
    assert body("ab€".encode()[:-1], 0, body_bytes=30) == ("ab", True, 28, None)
    assert body(b"\xff\xff\xff", 2) == ("//8=", True, 1, None)


def test_content_codings_are_undone(show: Make, make_exchange: Make, make_response: Make) -> None:
    import gzip  # noqa: PLC0415

    packed = gzip.compress(b"x" * 1000)
    headers = [(b"Content-Encoding", b"gzip")]
    shown = show(make_exchange(response=make_response(packed, headers=headers)))["response"]
    assert (shown["body"], shown["body_bytes"]) == ("x" * 1000, len(packed))
    transfer = [(b"transfer-encoding", b"gzip, chunked")]
    assert show(make_exchange(response=make_response(packed, headers=transfer)))["response"]["body"] == "x" * 1000
    cut = show(make_exchange(response=make_response(packed, headers=headers)), body_limit=100)["response"]
    assert (cut["body"], cut["body_truncated"], cut["body_note"]) == ("x" * 100, True, "gzip: cut at 100 bytes")
    assert "body_left_out_bytes" not in cut
    unknown = make_response(b"??", headers=[(b"content-encoding", b"rot13")])
    assert show(make_exchange(response=unknown))["response"]["body_note"] == "unknown content-encoding rot13"


def test_a_websocket(
    show: Make, make_connection: Make, make_exchange: Make, make_request: Make, make_response: Make, start_ns: int
) -> None:
    opening = make_exchange(response=make_response(status=101, headers=[(b"Upgrade", b"WebSocket")]))
    assert show(opening)["request"]["url"] == "wss://api.example.com/orders?id=7"
    message = WebSocketMessage(
        make_connection(), False, "text", b"hello", 5, start_ns, start_ns, request=make_request()
    )
    shown = show(message)
    assert {name: shown[name] for name in ("direction", "kind", "data", "data_encoding", "data_bytes", "url")} == {
        "direction": "in",
        "kind": "text",
        "data": "hello",
        "data_encoding": "text",
        "data_bytes": 5,
        "url": "wss://api.example.com/orders?id=7",
    }
    assert "from_client" not in shown
    binary = WebSocketMessage(make_connection(), True, "binary", b"hello", 9, 0, 0, missing_bytes=1, from_client=False)
    shown = show(binary)
    assert (shown["data"], shown["data_encoding"], shown["data_left_out_bytes"]) == ("aGVsbG8=", "base64", 3)
    assert (shown["from_client"], shown["url"], shown["missing_bytes"]) == (False, None, 1)
    close = WebSocketMessage(
        make_connection(),
        True,
        "close",
        b"bye",
        5,
        0,
        0,
        1000,
        2,
        compressed=True,
        complete=False,
        note="odd",
        stream=3,
    )
    shown = show(close)
    assert (shown["close_code"], shown["fragments"], shown["compressed"]) == (1000, 2, True)
    assert (shown["complete"], shown["notes"], shown["stream"]) == (False, ["odd"], 3)


def test_an_event(show: Make, make_connection: Make, make_request: Make) -> None:
    message = ServerSentEvent(
        make_connection(), False, "tick", "a€", 4, 0, 1, "7", 10, 6, note="cut", stream=3, request=make_request()
    )
    shown = show(message)
    assert (shown["direction"], shown["event"], shown["data"], shown["data_bytes"]) == ("in", "tick", "a€", 4)
    assert (shown["id"], shown["retry_ms"], shown["stream"], shown["notes"]) == ("7", 10, 3, ["cut"])
    assert (shown["last_time"] > shown["time"], shown["missing_bytes"], shown["complete"]) == (True, 6, True)
    shown = show(message, body_limit=3)
    assert (shown["data"], shown["data_truncated"], shown["data_left_out_bytes"]) == ("a", True, 3)
    assert show(ServerSentEvent(make_connection(), True, "message", "\udc80", 1, 0, 0))["data"] == "\x80"


@pytest.mark.parametrize("kind", ["text", "close"])
def test_what_a_websocket_says_is_text_has_any_character(show: Make, make_connection: Make, kind: str) -> None:
    shown = show(WebSocketMessage(make_connection(), True, kind, b"a\0\x01\x1b[2J", 7, 0, 0))
    assert (shown["data"], shown["data_encoding"]) == ("a\0\x01\x1b[2J", "text")
    ping = show(WebSocketMessage(make_connection(), True, "ping", b"a\0", 2, 0, 0))
    assert ping["data_encoding"] == "base64"


def test_the_code_of_a_close_is_not_left_out(show: Make, make_connection: Make) -> None:
    shown = show(WebSocketMessage(make_connection(), True, "close", b"bye", 5, 0, 0, 1000))
    assert ("data_left_out_bytes" in shown, "data_truncated" in shown) == (False, False)


def test_messages_in_streams_say_the_same_by_the_same_names(show: Make, make_connection: Make) -> None:
    connection = make_connection()
    common: dict[str, Any] = {"missing_bytes": 2, "complete": False, "stream": 3}
    messages = [
        WebSocketMessage(connection, True, "text", b"hi", 4, 5, 6, wire_bytes=9, **common),
        ServerSentEvent(connection, True, "tick", "hi", 4, 5, 6, **common),
        GrpcMessage(connection, True, False, "s", "m", b"hi", 4, 5, 6, 1, wire_bytes=9, **common),
    ]
    names = ("direction", "data_bytes", "data_left_out_bytes", "missing_bytes", "complete", "stream", "url")
    for message in messages:
        shown = show(message)
        assert [shown[name] for name in names] == ["out", 4, 2, 2, False, 3, None]
        assert (shown["time"][-4:], shown["last_time"][-4:]) == ("005Z", "006Z")
        assert shown.get("wire_bytes") == getattr(message, "wire_bytes", None)


def test_the_process_at_the_other_end_is_named(show: Make, make_connection: Make) -> None:
    connection = make_connection()
    assert "peer" not in show(Lost(connection, READ, 0, 7, 9))["connection"]
    connection.peer = make_connection(session=2, pid=611, comm="nginx", exe="/usr/sbin/nginx")
    peer = show(Lost(connection, READ, 0, 7, 9))["connection"]["peer"]
    assert peer == {"pid": 611, "comm": "nginx", "uid": 0, "exe": "/usr/sbin/nginx"}


def test_a_grpc_message(show: Make, make_connection: Make) -> None:
    fields: dict[str, Any] = {"1": ["x", 2**64 - 1], "id": None}
    message = GrpcMessage(
        make_connection(), True, True, "orders.Orders", "Place", b"\n\x01x", 3, 0, 1, 1, fields=fields
    )
    shown = show(message)
    assert (shown["fields"], shown["data"], shown["number"], shown["from_client"]) == (fields, "CgF4", 1, True)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for odd in (deep, "\ud800", {("a",): object()}):
        message.fields = odd
        assert show(message)["fields"] is None
    while deep:
        deep = deep.pop()


def test_bytes_losses_and_ends(show: Make, make_connection: Make) -> None:
    connection = make_connection()
    raw = show(Raw(connection, WRITE, 0, 7, b"PING\r\n", "redis"))
    assert (raw["type"], raw["direction"], raw["offset"]) == ("raw", "out", 7)
    assert (raw["data"], raw["data_bytes"], raw["protocol"]) == ("PING\r\n", 6, "redis")
    record = show(RecordSeen(connection, READ, 0, 7, b"\0\x01\x02", 99), body_limit=1)
    assert (record["type"], record["tid"], record["data"]) == ("record", 99, "AA==")
    assert (record["data_truncated"], record["data_left_out_bytes"]) == (True, 2)
    assert show(Lost(connection, READ, 0, 7, 9))["missing_bytes"] == 9
    end = show(ConnectionEnded(connection, 0, "idle", 1, 2, 3))
    assert (end["reason"], end["read_bytes"], end["written_bytes"], end["lost_bytes"]) == ("idle", 1, 2, 3)


def test_secrets_are_only_counted(show: Make, make_secrets: Make) -> None:
    shown = show(make_secrets(missing=("EXPORTER_SECRET",)))
    assert (shown["secrets"], shown["version"], shown["cipher"]) == (5, "TLS 1.3", "TLS_AES_256_GCM_SHA384")
    assert shown["missing"] == ["EXPORTER_SECRET"]
    assert (b"s" * 48).hex() not in json.dumps(shown)


def test_the_summary() -> None:
    formatter = JsonFormatter(clock_offset_ns=0, body_limit=0, decode_body=decode_body)
    line = json.loads(formatter.summary(Totals(1.5, 2, 3, 4, 5, 6, {"unread_bytes": 6}, 0, None)))
    VALIDATOR.validate(line)
    assert (line["exchanges"], line["losses"], line["secret_sets"]) == (4, {"unread_bytes": 6}, None)


def test_a_connection_with_everything(show: Make, make_connection: Make, make_exchange: Make) -> None:
    connection = make_connection(
        comm="\udcff\x1b",
        exe="/usr/bin/curl",
        container="abc",
        tls_version=0x0304,
        cipher=0x1302,
        alpn="h2",
        sni="s\u202e",
    )
    shown = show(make_exchange(connection=connection))
    assert shown["process"] == {"pid": 8123, "comm": "\xff\x1b", "uid": 0, "exe": "/usr/bin/curl", "container": "abc"}
    assert shown["connection"]["tls"] == {
        "library": "libssl 3.0.22",
        "version": "TLS 1.3",
        "cipher": "TLS_AES_256_GCM_SHA384",
        "alpn": "h2",
        "sni": "s\u202e",
    }
    unix = Socket(1, int(socket.AF_UNIX), "", 0, "", 0, 5, 6, 1, "/run/api.sock", 77)
    where = show(make_exchange(connection=make_connection(socket=unix)))["connection"]
    assert (where["local"], where["unix"]) == (None, {"path": "/run/api.sock", "peer_pid": 77})
    where = show(make_exchange(connection=make_connection(socket=None)))["connection"]
    assert (where["local"], where["remote"], "netns" in where) == (None, None, False)


def test_what_is_learnt_of_a_connection_shows(make_connection: Make, make_exchange: Make) -> None:
    formatter = JsonFormatter(clock_offset_ns=0, body_limit=0, decode_body=decode_body)
    connection = make_connection(socket=None)
    assert json.loads(formatter.format(make_exchange(connection=connection)))["connection"]["tls"].get("alpn") is None
    connection.alpn = "h2"
    assert json.loads(formatter.format(make_exchange(connection=connection)))["connection"]["tls"]["alpn"] == "h2"


def test_the_schema_names_every_field() -> None:
    """Of the structs that lines are made of, and no other."""
    seen = set()
    kind: Any
    for kind in (*below(Line), LogLine, SummaryLine):
        name = f"{kind.__struct_config__.tag}_line"
        if name in SCHEMA["$defs"]:
            assert set(SCHEMA["$defs"][name]["properties"]) == {"type", *kind.__struct_encode_fields__}
            seen.add(name)
    assert [{"$ref": f"#/$defs/{name}"} for name in sorted(seen)] == sorted(SCHEMA["oneOf"], key=str)


def below(kind: type[Line]) -> list[type[Line]]:
    return [each for sub in kind.__subclasses__() for each in (sub, *below(sub))]


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=5), st.binary(max_size=50), st.text()
)
def test_any_bytes_are_valid_lines(headers: list[tuple[bytes, bytes]], body: bytes, text: str) -> None:
    connection = Connection(1, 2, 3, 4, text)
    request = Request(headers=headers, method=text, target=text, body=[body], body_bytes=len(body))
    response = Response(headers=[(b"Content-Type", body)], status=200, reason=text, body=[body], body_bytes=len(body))
    exchange = Exchange(connection, "http/1.1", True, request, response, notes=(text,))
    formatter = JsonFormatter(clock_offset_ns=0, body_limit=7, decode_body=decode_body)
    line = formatter.format(exchange)
    assert line[:-1].isprintable()
    VALIDATOR.validate(json.loads(line))


def test_documented_examples_that_need_the_end_have_one() -> None:
    examples = re.findall(r"^plaintap .*\| jq .*$", DOCUMENTED, re.MULTILINE)
    assert len(examples) > 5
    for example in examples:
        _, _, options = example.partition("| jq ")
        assert (" -rs " in f" {options}") == ("--duration" in example)
