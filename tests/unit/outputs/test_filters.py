# SPDX-License-Identifier: Apache-2.0
"""Filters: which expression shows which message, and where a wrong one is wrong."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plaintap.errors import UsageError
from plaintap.events import READ
from plaintap.messages import (
    Connection,
    ConnectionEnded,
    Exchange,
    GrpcCall,
    GrpcMessage,
    Lost,
    Message,
    Raw,
    Request,
    Response,
    WebSocketMessage,
)
from plaintap.outputs.filter_fields import FIELDS
from plaintap.outputs.filters import DEPTH_LIMIT, parse_filter

CONNECTION = Connection(1, 8123, 8123, 0, "curl", exe="/usr/bin/curl", container="0123456789abcdef" * 4)
REQUEST = Request(
    method="POST",
    target="/orders/7?full=1",
    headers=[(b"Host", b"API.example.com:443"), (b"Content-Type", b"application/x-www-form-urlencoded")],
    first_ns=1_000_000_000,
    body_bytes=20,
)
RESPONSE = Response(
    status=503, headers=[(b"content-type", b"application/problem+json")], last_ns=2_500_000_000, body_bytes=2000
)
EXCHANGE = Exchange(CONNECTION, "http/1.1", True, REQUEST, RESPONSE)
UNANSWERED = Exchange(CONNECTION, "h2", True, Request(method="GET", target="/", authority="b.test"), None)
CALL = Exchange(CONNECTION, "h2", True, Request(method="POST", target="/a.B/C"), None, grpc=GrpcCall("a.B", "C"))
RAW = Raw(CONNECTION, READ, 0, 0, b"+OK\r\n", "redis")
WEBSOCKET = WebSocketMessage(CONNECTION, True, "text", b"hello", 5, 0, 0, request=REQUEST)
GRPC = GrpcMessage(CONNECTION, True, True, "a.B", "C", b"", 12, 0, 0, 1)


@pytest.mark.parametrize(
    "expression",
    [
        "host=api.example.com",
        "host=*.EXAMPLE.com",
        "host!=b.test",
        "method=post",
        "path=/orders/*",
        "path='/orders/7'",
        "status=503",
        "status=5xx",
        "status>=500 and status<600",
        "not status=200",
        "status!=4XX",
        "process=curl",
        "process=cu*",
        "pid=8123",
        "exe=/usr/bin/curl",
        "exe=curl",
        "container=0123456789ab",
        "type=json",
        "type=application/problem+json",
        "type=application/x-www-form-urlencoded",
        "size=2000",
        "size>=2kB",
        "size<1.5MB",
        "time>1s",
        "time<=1500ms",
        "protocol=http",
        "protocol=http1",
        "protocol=http/1.1",
        "method=GET or method=POST",
        "method=GET and status=100 or status=503",
        "status=503 or method=GET and status=100",
        "(method=GET or method=POST) and status=503",
        "not (method=GET or not status=503)",
        "  method = POST  AND NOT  status = 200 ",
        'process="curl"',
    ],
)
def test_shown(expression: str) -> None:
    assert parse_filter(expression)(EXCHANGE)
    assert not parse_filter(f"not ({expression})")(EXCHANGE)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("host=b.test and method=GET", UNANSWERED),
        ("not status>=0", UNANSWERED),
        ("protocol=h2 and protocol=http2", UNANSWERED),
        ("protocol=grpc", CALL),
        ("protocol=grpc and protocol=http1 and size=12", GRPC),
        ("protocol=redis and size=5", RAW),
        ("protocol=raw", RAW),
        ("protocol=websocket and host=api.example.com and size<6", WEBSOCKET),
    ],
)
def test_other_messages(expression: str, message: Message) -> None:
    assert parse_filter(expression)(message)


@pytest.mark.parametrize("expression", ["status=200", "status<100", "time>0s", "type=json", "path=/*", "host=*"])
def test_what_a_message_has_not_is_equal_to_nothing(expression: str) -> None:
    assert not parse_filter(expression)(RAW)


def test_losses_are_always_shown() -> None:
    nothing = parse_filter("pid=1")
    assert not nothing(EXCHANGE)
    assert nothing(Lost(CONNECTION, READ, 0, 0, 5))
    assert nothing(ConnectionEnded(CONNECTION, 0, "closed", 0, 0, 0))


@pytest.mark.parametrize(
    ("expression", "column", "what"),
    [
        ("", 1, "expected a field"),
        ("   ", 1, "expected a field"),
        ("hots=x", 1, "unknown field 'hots'"),
        ("host=a and mehtod=GET", 12, "unknown field 'mehtod'"),
        ("host", 5, "expected one of = != > >= < <="),
        ("host a", 6, "expected one of = != > >= < <=, got 'a'"),
        ("host=", 6, "expected a value for host"),
        ("host==a", 6, "expected a value for host, got '='"),
        ("host=a b", 8, "expected and, or, or the end, got 'b'"),
        ("host>a", 6, "host>a: expected = or != as it is a text"),
        ("status=abc", 8, "status=abc: expected a status such as 404 or 5xx"),
        ("status>5xx", 8, "status>5xx: expected = or != before a class of statuses"),
        ("size>1parsec", 6, "size>1parsec: expected a number such as 500, 10kB or 1.5MB"),
        ("time>soon", 6, "time>soon: expected a number such as 200ms or 1.5s"),
        ("protocol=grcp", 10, "protocol=grcp: expected one of grpc"),
        ("status=99999", 8, "status=99999: expected a status such as 404 or 5xx"),
        ("status!=42", 9, "status!=42: expected a status such as 404 or 5xx"),
        ("path=/echo?q=1", 13, "expected and, or, or the end, got '='"),
        ("(host=a", 1, "this parenthesis is not closed"),
        ("host=a)", 7, "expected and, or, or the end, got ')'"),
        ("host=a and", 11, "expected a field"),
        ("not", 4, "expected a field"),
        ("host='a", 6, "a quote that does not end"),
        ("host!a", 5, "expected !=, got '!'"),
        ("and host=a", 1, "expected a field, got 'and'"),
        ("not " * DEPTH_LIMIT + "host=a", 1 + 4 * DEPTH_LIMIT, f"more than {DEPTH_LIMIT} levels"),
    ],
)
def test_errors_point_at_the_column(expression: str, column: int, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter(expression)
    assert caught.value.message == f"--filter, column {column}: {what}"
    assert caught.value.hint


def test_the_nearest_field_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter("proces=curl")
    assert caught.value.hint == "did you mean process?"


def test_a_value_with_signs_is_to_be_quoted() -> None:
    with pytest.raises(UsageError) as caught:
        parse_filter("path=/a?b=c")
    assert "path='/a?b=c'" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("expression", "host", "shown"),
    [
        ("host=localhost", "localhost:29443", True),
        ("host=localhost:29443", "localhost:29443", True),
        ("host=localhost:1", "localhost:29443", False),
        ("host!=localhost", "localhost:29443", False),
        ("host=a.test", "a.test:443", True),
        ("host=[::1]", "[::1]:8443", True),
        ("host=[::1]", "1", False),
    ],
)
def test_a_host_is_meant_with_any_port(expression: str, host: str, shown: bool) -> None:
    request = Request([(b"host", host.encode())], "1.1", [], method="GET", target="/echo?q=1")
    exchange = Exchange(CONNECTION, "http/1.1", True, request, None)
    assert parse_filter(expression)(exchange) is shown
    assert parse_filter("path='/echo?q=1' and path=/echo")(exchange)


@given(target=st.text(max_size=20), host=st.binary(max_size=10))
@example(target="http://[x/", host=b"")
def test_any_message_can_be_asked_anything(target: str, host: bytes) -> None:
    request = Request(method="GET", target=target, headers=[(b"host", host), (b"content-type", host)])
    message = Exchange(CONNECTION, "http/1.1", True, request, RESPONSE)
    for field in FIELDS:
        parse_filter(f"{field}={'500' if field in ('pid', 'size', 'time', 'status') else '*'}")(message)


@given(st.text(alphabet="host=andornt()!<>='\" *5x", max_size=40))
def test_any_text_is_a_filter_or_an_error(expression: str) -> None:
    with contextlib.suppress(UsageError):
        test = parse_filter(expression)
        test(EXCHANGE)
        test(RAW)
