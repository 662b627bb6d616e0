# SPDX-License-Identifier: Apache-2.0
"""HTTP/1: these records in, those messages out; whole, byte by byte, cut anywhere, with a tail, with a gap.

Records go the way they go in a capture, through the streams stage, so that offsets and raw bytes are checked too.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass

import pytest
from http1_play import (
    BAD,
    CHUNKED,
    CONNECT,
    FRAMES,
    GET,
    HEAD,
    HEAD_OK,
    HELLO,
    OK,
    POST,
    REFUSED,
    SESSION,
    SWITCHED,
    UPGRADE,
    Piece,
    Player,
    play,
    play_lossy,
    raw_line,
    show,
)
from hypothesis import assume, given
from hypothesis import strategies as st

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, Message, Raw, WebSocketMessage
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HEAD_LIMIT_BYTES
from plaintap.protocols.http1_pairing import INTERIM_LIMIT, PENDING_LIMIT, PENDING_LIMIT_BYTES, TURNS_LIMIT
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections


@dataclass(frozen=True)
class Row:
    name: str
    records: list[Piece]
    expected: list[str]
    cuttable: bool = True
    """Cutting its records anywhere changes nothing."""


ROWS = [
    Row("get", [(WRITE, GET), (READ, OK)], ["-> GET /a?b=1 = 200 'hello'"]),
    Row("served", [(READ, GET), (WRITE, OK)], ["<- GET /a?b=1 = 200 'hello'"]),
    Row("post", [(WRITE, POST), (READ, OK)], ["-> POST /p 'work' = 200 'hello'"]),
    Row("chunked with extension and trailer", [(WRITE, GET), (READ, CHUNKED)], ["-> GET /a?b=1 = 200 'hello\\nworld'"]),
    Row(
        "keep-alive",
        [(WRITE, GET), (READ, OK), (WRITE, POST), (READ, CHUNKED)],
        ["-> GET /a?b=1 = 200 'hello'", "-> POST /p 'work' = 200 'hello\\nworld'"],
    ),
    Row(
        "pipelined",
        [(WRITE, GET + POST + GET), (READ, OK + CHUNKED + OK)],
        ["-> GET /a?b=1 = 200 'hello'", "-> POST /p 'work' = 200 'hello\\nworld'", "-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "head",
        [(WRITE, HEAD), (READ, HEAD_OK), (WRITE, GET), (READ, OK)],
        ["-> HEAD /h = 200", "-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "head among others",
        [
            (WRITE, POST + HEAD + HEAD + GET),
            (READ, OK + HEAD_OK + b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED),
        ],
        [
            "-> POST /p 'work' = 200 'hello'",
            "-> HEAD /h = 200",
            "-> HEAD /h = 404",
            "-> GET /a?b=1 = 200 'hello\\nworld'",
        ],
    ),
    Row(
        "no body by status",
        [
            (WRITE, GET + GET + GET),
            (READ, b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + OK),
        ],
        ["-> GET /a?b=1 = 204", "-> GET /a?b=1 = 304", "-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "interim",
        [(WRITE, POST), (READ, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)],
        ["-> POST /p 'work' = 100 103 200 'hello'"],
    ),
    Row(
        "until close",
        [(WRITE, GET), (READ, b"HTTP/1.0 200 OK\r\n\r\nuntil the end")],
        ["-> GET /a?b=1 = 200 'until the end'"],
    ),
    Row("interim alone", [(WRITE, POST), (READ, b"HTTP/1.1 100 Continue\r\n\r\n")], ["-> POST /p 'work' = 100 ?"]),
    Row("request alone", [(WRITE, GET)], ["-> GET /a?b=1 = ?"]),
    Row("response alone", [(READ, OK)], ["-> ? = 200 'hello'"]),
    Row("cut request", [(WRITE, POST[:-2])], ["-> POST /p 'wo' cut = ?"]),
    Row("cut response", [(WRITE, GET), (READ, OK[:-2])], ["-> GET /a?b=1 = 200 'hel' cut"]),
    Row("answered before asked in full", [(WRITE, POST[:-2]), (READ, OK)], ["-> POST /p 'wo' cut = 200 'hello'"]),
    Row(
        "after close",
        [(WRITE, GET), (READ, OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")), (WRITE, GET), (READ, OK)],
        ["-> GET /a?b=1 = 200 'hello'"] * 2,
    ),
    Row(
        "line feeds only",
        [(WRITE, GET.replace(b"\r", b"")), (READ, OK.replace(b"\r", b""))],
        ["-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "websocket",
        [(WRITE, UPGRADE), (READ, SWITCHED), (READ, b"\x81\x02hi"), (WRITE, b"\x81\x82mask..")],
        [
            "-> GET /ws = 101",
            "ws read b'hi'",
            "ws wrote b'CO'",
        ],
    ),
    Row(
        "websocket in one record",
        [(WRITE, UPGRADE + b"\x81\x82mask.."), (READ, SWITCHED + b"\x81\x02hi")],
        ["-> GET /ws = 101", "ws read b'hi'", "ws wrote b'CO'"],
        cuttable=False,  # which side speaks first depends on it
    ),
    Row(
        "upgrade declined",
        [(WRITE, UPGRADE + GET), (READ, OK + CHUNKED)],
        ["-> GET /ws = 200 'hello'", "-> GET /a?b=1 = 200 'hello\\nworld'"],
    ),
    Row(
        "upgrade declined behind early frames",
        [(WRITE, UPGRADE), (WRITE, FRAMES), (READ, REFUSED), (WRITE, GET), (READ, OK)],
        [raw_line(WRITE, len(UPGRADE), FRAMES), "-> GET /ws = 403 'secret'", "-> GET /a?b=1 = 200 'hello'"],
        cuttable=False,
    ),
    Row(
        "upgrade declined behind a bad request",
        [(WRITE, UPGRADE), (WRITE, BAD), (READ, REFUSED), (WRITE, GET), (READ, OK)],
        [
            "-> GET /ws = 403 cut",
            raw_line(WRITE, len(UPGRADE), BAD),
            raw_line(READ, REFUSED.index(b"secret"), b"secret"),
            "-> GET /a?b=1 = 200 'hello'",
        ],
        cuttable=False,
    ),
    Row(
        "upgrade with a body declined",
        [
            (WRITE, UPGRADE.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc") + GET),
            (READ, OK + OK),
        ],
        ["-> POST /ws 'abc' = 200 'hello'", "-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "switched without saying to what",
        [(WRITE, GET), (READ, b"HTTP/1.1 101 Yes\r\n\r\nother")],
        ["-> GET /a?b=1 = 101", raw_line(READ, 20, b"other")],
        cuttable=False,
    ),
    Row(
        "connect, then HTTP inside",
        [(WRITE, CONNECT), (READ, b"HTTP/1.1 200 Connection established\r\n\r\n"), (WRITE, GET), (READ, OK)],
        ["-> CONNECT example.com:443 = 200", "-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "connect, then something else inside",
        [
            (WRITE, CONNECT),
            (READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
            (WRITE, b"\x16\x03\x01"),
            (READ, b"\x16\x03\x03"),
        ],
        [
            "-> CONNECT example.com:443 = 200",
            raw_line(WRITE, len(CONNECT), b"\x16\x03\x01"),
            raw_line(READ, 38, b"\x16\x03\x03"),
        ],
        cuttable=False,
    ),
    Row(
        "connect refused",
        [(WRITE, CONNECT + GET), (READ, b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno" + OK)],
        ["-> CONNECT example.com:443 = 407 'no'", "-> GET /a?b=1 = 200 'hello'"],
    ),
    Row(
        "junk behind a response",
        [(WRITE, GET), (READ, OK + b"\x00junk"), (WRITE, GET), (READ, OK)],
        ["-> GET /a?b=1 = 200 'hello'", raw_line(READ, len(OK), b"\x00junk"), "-> GET /a?b=1 = 200 'hello'"],
        cuttable=False,
    ),
    Row(
        "junk in a head",
        [(WRITE, b"GET /a HTTP/1.1\r\nA: "), (WRITE, b"b\r\n\x00\r\n\r\n"), (WRITE, GET), (READ, OK)],
        [raw_line(WRITE, 0, b"GET /a HTTP/1.1\r\nA: b\r\n\x00\r\n\r\n"), "-> GET /a?b=1 = 200 'hello'"],
        cuttable=False,
    ),
    Row(
        "bad chunk",
        [
            (WRITE, GET),
            (READ, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
            (READ, b"zz\r\n"),
            (WRITE, GET),
            (READ, OK),
        ],
        ["-> GET /a?b=1 = 200 'ab' cut", raw_line(READ, 54, b"zz\r\n"), "-> GET /a?b=1 = 200 'hello'"],
        cuttable=False,
    ),
    Row(
        "late, in a body",
        [(READ, b"tail of a body"), (WRITE, GET), (READ, OK)],
        [raw_line(READ, 0, b"tail of a body"), "-> GET /a?b=1 = 200 'hello'"],
        cuttable=False,
    ),
    Row(
        "not HTTP",
        [(WRITE, b"*1\r\n$4\r\nPING\r\n"), (READ, b"+PONG\r\n")],
        [raw_line(WRITE, 0, b"*1\r\n$4\r\nPING\r\n"), raw_line(READ, 0, b"+PONG\r\n")],
        cuttable=False,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_records_become_messages(row: Row) -> None:
    assert show(play(row.records)) == row.expected


@pytest.mark.parametrize("row", [row for row in ROWS if row.cuttable], ids=lambda row: row.name)
def test_byte_by_byte(row: Row) -> None:
    pieces = [(direction, data[at : at + 1]) for direction, data in row.records for at in range(len(data))]
    assert show(play(pieces)) == row.expected


@given(row=st.sampled_from([row for row in ROWS if row.cuttable]), data=st.data())
def test_cut_anywhere(row: Row, data: st.DataObject) -> None:
    pieces = []
    for direction, record in row.records:
        cuts = sorted(data.draw(st.sets(st.integers(1, len(record) - 1), max_size=5)))
        pieces += [(direction, record[a:b]) for a, b in zip([0, *cuts], [*cuts, len(record)], strict=True)]
    assert show(play(pieces)) == row.expected


def raw_bytes(messages: list[Message], direction: int) -> bytes:
    return b"".join(message.data for message in messages if isinstance(message, Raw) and message.direction == direction)


@given(st.lists(st.tuples(st.sampled_from([READ, WRITE]), st.binary(min_size=1, max_size=40)), max_size=12))
def test_bytes_that_are_no_http_come_out_as_they_went_in(pieces: list[Piece]) -> None:
    assume(not any(b"HTTP/" in data for _, data in pieces))  # it finds "A / HTTP/1.0"
    messages = play(pieces)
    assume(not any(isinstance(message, WebSocketMessage) for message in messages))  # and 88 00 ends one
    for direction in (READ, WRITE):
        assert raw_bytes(messages, direction) == b"".join(data for way, data in pieces if way == direction)


PARTS = [
    GET,
    OK,
    CHUNKED,
    POST,
    HEAD,
    HEAD_OK,
    CONNECT,
    UPGRADE,
    SWITCHED,
    b"\r\n",
    b"HTTP/1.1 ",
    b"GET /",
    b"junk",
    b"0\r\n\r\n",
    FRAMES,
    REFUSED,
    BAD,
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
]


@given(
    st.lists(
        st.tuples(st.sampled_from([READ, WRITE]), st.sampled_from(PARTS), st.integers(0, 20), st.booleans()),
        max_size=14,
    )
)
def test_no_order_of_parts_and_losses_breaks_it(steps: list[tuple[int, bytes, int, bool]]) -> None:
    player = Player()
    for direction, part, cut, is_lost in steps:
        piece = part[cut:] or part
        if is_lost:
            player.lose(direction, len(piece))
        else:
            player.say(direction, piece)
            player.connections.tick(player.now_ns)
    messages = player.close()
    exchanges = [message for message in messages if isinstance(message, Exchange)]
    assert len({id(exchange.request) for exchange in exchanges if exchange.request}) == sum(
        bool(exchange.request) for exchange in exchanges
    )
    assert all(exchange.request or exchange.response for exchange in exchanges)
    assert player.connections.parser_failures == 0
    for message in messages:
        if isinstance(message, Raw):
            said = player.said[message.direction]
            assert message.data == said[message.offset : message.offset + len(message.data)]


# What a message holds.


def only(messages: list[Message]) -> Exchange:
    (exchange,) = messages
    assert isinstance(exchange, Exchange)
    return exchange


def test_an_exchange_in_full() -> None:
    exchange = only(play([(WRITE, GET[:10]), (WRITE, GET[10:]), (READ, CHUNKED[:60]), (READ, CHUNKED[60:])]))
    request, response = exchange.request, exchange.response
    assert request is not None
    assert response is not None
    assert (exchange.protocol, exchange.outgoing, exchange.interim) == ("http/1.1", True, [])
    assert (request.method, request.target, request.version, request.complete) == ("GET", "/a?b=1", "1.1", True)
    assert request.headers == [(b"Host", b"example.com"), (b"Accept", b"*/*")]
    assert (request.first_ns, request.last_ns, response.first_ns, response.last_ns) == (1, 2, 3, 4)
    assert (response.status, response.reason, response.body_bytes) == (200, "OK", 11)
    assert response.headers == [(b"Transfer-Encoding", b"chunked")]
    assert response.trailers == [(b"X-Trailer", b"yes")]


def test_versions() -> None:
    exchange = only(play([(WRITE, GET.replace(b"1.1", b"1.0")), (READ, OK.replace(b"1.1", b"1.0"))]))
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.version, exchange.response.version, exchange.protocol) == ("1.0", "1.0", "http/1.0")


def test_versions_within_one_record() -> None:
    messages = play([(WRITE, GET + GET.replace(b"1.1", b"1.0")), (READ, OK + OK.replace(b"1.1", b"1.0"))])
    assert [message.protocol for message in messages if isinstance(message, Exchange)] == ["http/1.1", "http/1.0"]


def test_times_of_pipelined_requests_cut_by_records() -> None:
    messages = play([(WRITE, GET + GET[:20]), (WRITE, GET[20:]), (READ, OK + OK)])
    spans = [(m.request.first_ns, m.request.last_ns) for m in messages if isinstance(m, Exchange) and m.request]
    assert spans == [(1, 1), (1, 2)]


def test_reason_that_is_no_utf8() -> None:
    exchange = only(play([(READ, b"HTTP/1.1 404 \xff\xc3\xa9\r\nContent-Length: 0\r\n\r\n")]))
    assert exchange.response is not None
    assert exchange.response.reason == "\\xffé"


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, b""), (3, b"hel"), (5, b"hello"), (8, b"hello\nwo"), (99, b"hello\nworld")]
)
def test_body_limit(limit: int, kept: bytes) -> None:
    for message in play([(WRITE, GET + GET), (READ, CHUNKED), (READ, CHUNKED)], body_limit=limit):
        assert isinstance(message, Exchange)
        assert message.response is not None
        assert b"".join(message.response.body) == kept
        assert message.response.body_bytes == 11


def test_upgrade_with_a_body_keeps_to_the_limit() -> None:
    request = UPGRADE.replace(b"GET", b"POST").replace(
        b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    exchange = only(play([(WRITE, request), (READ, OK)], body_limit=2))
    assert exchange.request is not None
    assert (exchange.request.body, exchange.request.body_bytes, exchange.request.complete) == ([b"ab"], 3, True)


# Losses.


WORK = "-> POST /p 'work' = 200 'hello'"

GAPS: dict[str, tuple[list[tuple[int, bytes | int]], list[str]]] = {
    "in a body": (
        [(WRITE, GET), (READ, OK[:-4]), (READ, 2), (READ, b"lo" + OK)],
        ["lost read@65 2", "-> GET /a?b=1 = 200 'hlo' -2", "-> ? = 200 'hello'"],
    ),
    "tail of a body": (
        [(WRITE, GET), (READ, OK[:-4]), (READ, 4), (WRITE, POST), (READ, OK)],
        ["lost read@65 4", "-> GET /a?b=1 = 200 'h' -4", WORK],
    ),
    "body and next head": (
        [(WRITE, GET), (READ, OK[:-4]), (READ, 14), (READ, b"ent-Length: 5\r\n\r\nhello"), (WRITE, POST), (READ, OK)],
        [
            "lost read@65 14",
            "-> GET /a?b=1 = 200 'h' -4",
            raw_line(READ, 79, b"ent-Length: 5\r\n\r\nhello"),
            WORK,
        ],
    ),
    "in chunks": (
        [(WRITE, GET), (READ, CHUNKED[:70]), (READ, 3), (READ, CHUNKED[73:]), (WRITE, POST), (READ, OK)],
        ["lost read@70 3", "-> GET /a?b=1 = 200 'hello' -3 cut", raw_line(READ, 73, CHUNKED[73:]), WORK],
    ),
    "until close": (
        [(WRITE, GET), (READ, b"HTTP/1.0 200 OK\r\n\r\nbegin"), (READ, 1000), (READ, b"end")],
        ["lost read@24 1000", "-> GET /a?b=1 = 200 'beginend' -1000"],
    ),
    "a whole response": (
        [(WRITE, GET), (READ, 50), (WRITE, POST), (READ, OK)],
        ["lost read@0 50", "-> GET /a?b=1 = ?", WORK],
    ),
    "a whole response, seen late": (
        [(WRITE, GET), (READ, OK), (WRITE, GET), (READ, 50), (WRITE, POST), (READ, OK)],
        [HELLO, f"lost read@{len(OK)} 50", "-> GET /a?b=1 = ?", WORK],
    ),
    "a whole request": (
        [(WRITE, GET), (READ, OK), (WRITE, 50), (READ, OK), (WRITE, POST), (READ, OK)],
        [HELLO, f"lost wrote@{len(GET)} 50", "-> ? = 200 'hello'", WORK],
    ),
    "a whole exchange": (
        [(WRITE, GET), (READ, OK), (WRITE, 50), (READ, 50), (WRITE, POST), (READ, OK)],
        [HELLO, f"lost wrote@{len(GET)} 50", f"lost read@{len(OK)} 50", WORK],
    ),
    "in a request's head": (
        [(WRITE, GET[:30]), (WRITE, 5), (WRITE, GET[35:]), (READ, OK), (WRITE, POST), (READ, OK)],
        ["lost wrote@30 5", raw_line(WRITE, 35, GET[35:]), "-> GET /a?b=1 -5 cut = 200 'hello'", WORK],
    ),
    "in a response's head": (
        [(WRITE, GET), (READ, OK[:30]), (READ, 10), (READ, OK[40:]), (WRITE, POST), (READ, OK)],
        ["lost read@30 10", "-> GET /a?b=1 = 200 -10 cut", raw_line(READ, 40, OK[40:]), WORK],
    ),
    "in a request's body": (
        [(WRITE, POST[:-3]), (WRITE, 1), (WRITE, POST[-2:] + GET), (READ, OK + OK)],
        [f"lost wrote@{len(POST) - 3} 1", "-> POST /p 'wrk' -1 = 200 'hello'", HELLO],
    ),
    "behind HEAD": (
        [(WRITE, HEAD), (READ, 30), (WRITE, HEAD), (READ, HEAD_OK), (WRITE, GET), (READ, OK)],
        ["lost read@0 30", "-> HEAD /h = ?", "-> HEAD /h = 200", HELLO],
    ),
    "between an upgrade and its answer": (
        [(WRITE, UPGRADE), (WRITE, b"early"), (WRITE, 3), (WRITE, b"late"), (READ, SWITCHED + b"\x81\x02hi")],
        [
            f"lost wrote@{len(UPGRADE) + 5} 3",
            raw_line(WRITE, len(UPGRADE), b"early"),
            raw_line(WRITE, len(UPGRADE) + 8, b"late"),
            "-> GET /ws = 101",
            "ws read b'hi'",
        ],
    ),
    "in a body before HEAD": (
        [(WRITE, GET + HEAD + GET), (READ, OK[:-4]), (READ, 2), (READ, b"lo" + HEAD_OK + OK)],
        ["lost read@65 2", "-> GET /a?b=1 = 200 'hlo' -2", "-> HEAD /h = 200", HELLO],
    ),
    "pipelined": (
        [(WRITE, GET + GET), (READ, OK), (READ, OK), (WRITE, GET + GET), (READ, 50), (READ, b"tail"), (READ, OK)],
        [
            HELLO,
            HELLO,
            f"lost read@{2 * len(OK)} 50",
            raw_line(READ, 2 * len(OK) + 50, b"tail"),
            "-> GET /a?b=1 = ?",
            "-> GET /a?b=1 = ?",
            "-> ? = 200 'hello'",
        ],
    ),
}


@pytest.mark.parametrize("name", GAPS)
def test_gaps(name: str) -> None:
    steps, expected = GAPS[name]
    assert show(play_lossy(steps)) == expected


def test_a_hole_in_an_encoded_body_ends_what_is_kept() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 9\r\n\r\n"
    messages = play_lossy([(WRITE, GET), (READ, head + b"abc"), (READ, 3), (READ, b"def")])
    response = next(message.response for message in messages if isinstance(message, Exchange))
    assert response is not None
    assert (response.body, response.body_bytes, response.complete) == ([b"abc"], 9, True)


# Silence and bounds.


def test_silence_shows_an_early_answer_once() -> None:
    player = Player()
    player.say(WRITE, POST[:-2])
    player.say(READ, OK)
    player.connections.tick(10)
    assert player.messages == []
    player.connections.tick(20)
    assert show(player.messages) == ["-> POST /p 'wo' cut = 200 'hello'"]
    player.say(WRITE, POST[-2:] + GET)
    player.say(READ, OK)
    assert show(player.close()[1:]) == ["-> GET /a?b=1 = 200 'hello'"]


def test_silence_keeps_nothing_of_what_is_over() -> None:
    connections = Connections(lambda _messages: None, Registry(ParserOptions(body_limit=1 << 20)).recognise)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n"
    tracemalloc.start()
    connections.feed([(SESSION, READ, 0, 1, head, 1), (SESSION, READ, len(head), 1, b"x", 1)])
    connections.feed([(SESSION, READ, len(head) + 1, 1, bytes(1_000_000), 1)])
    connections.tick(1)
    connections.tick(2)
    left_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left_bytes < 100_000


def test_silence_leaves_a_pending_request_alone() -> None:
    player = Player()
    player.say(WRITE, GET)
    for tick in range(5):
        player.connections.tick(tick)
    assert player.messages == []
    player.say(READ, OK)
    assert show(player.close()) == ["-> GET /a?b=1 = 200 'hello'"]


def test_pending_requests_are_bounded() -> None:
    player = Player()
    player.say(WRITE, GET * (PENDING_LIMIT + 2))
    assert show(player.messages) == ["-> GET /a?b=1 = ?"] * 2
    player.close()


def test_endless_heads_are_given_up() -> None:
    player = Player()
    player.say(WRITE, GET[:-2])
    line = b"X: " + b"x" * 65536
    for _ in range(HEAD_LIMIT_BYTES // len(line) + 2):
        player.say(WRITE, line)
    assert not any(isinstance(message, Exchange) for message in player.close())
    sizes = [len(message.data) for message in player.messages if isinstance(message, Raw)]
    assert sum(sizes) == player.offset[WRITE]


def test_responses_find_their_request_though_others_were_shown_without() -> None:
    player = Player()
    for number in range(PENDING_LIMIT + 3):
        player.say(WRITE, b"%b /%d HTTP/1.1\r\n\r\n" % (b"HEAD" if number == 1 else b"GET", number))
    assert show(player.messages) == ["-> GET /0 = ?", "-> HEAD /1 = ?", "-> GET /2 = ?"]
    player.say(READ, OK + HEAD_OK + OK + OK)
    assert show(player.messages[3:]) == [
        "-> ? = 200 'hello'",
        "-> ? = 200",
        "-> ? = 200 'hello'",
        "-> GET /3 = 200 'hello'",
    ]
    for _ in range(PENDING_LIMIT - 1):
        player.say(READ, OK)
    assert show(player.close())[-1] == f"-> GET /{PENDING_LIMIT + 2} = 200 'hello'"


def test_one_who_is_never_answered_is_shown_for_ever() -> None:
    player = Player()
    asked = PENDING_LIMIT + TURNS_LIMIT + 50
    for _ in range(asked // 2):
        player.say(WRITE, GET + HEAD)
    assert len(player.messages) == asked - PENDING_LIMIT
    shown = show(player.close())
    assert shown == ["-> GET /a?b=1 = ?", "-> HEAD /h = ?"] * (asked // 2)


def test_pending_requests_are_bounded_by_memory() -> None:
    player = Player()
    request = b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000)
    for _ in range(10):
        player.say(WRITE, request)
    assert len(player.messages) == 10 - 1 - PENDING_LIMIT_BYTES // 1_000_000
    player.say(READ, OK * 10)
    answered = [bool(message.request) for message in player.close()[-10:] if isinstance(message, Exchange)]
    assert answered == [False] * 5 + [True] * 5


def test_interim_responses_are_bounded_and_counted() -> None:
    player = Player()
    player.say(WRITE, GET)
    for _ in range(INTERIM_LIMIT):
        player.say(READ, b"HTTP/1.1 102 Processing\r\n\r\n" * 3)
    player.say(READ, OK)
    player.say(WRITE, GET)
    player.say(READ, OK)
    first, second = player.close()
    assert isinstance(first, Exchange)
    assert isinstance(second, Exchange)
    assert (first.interim, first.more_interim) == ([102] * INTERIM_LIMIT, 2 * INTERIM_LIMIT)
    assert (second.interim, second.more_interim) == ([], 0)


CHUNKS_BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
TRAILERS_BEGUN = CHUNKS_BEGUN + b"0\r\n"
MANY_FIELDS = b"".join(b"N%d: v\r\n" % number for number in range(FIELDS_LIMIT + 1))

ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "target": (b"GET /", b"x" * 4096),
    "field name": (GET[:-2], b"x" * 4096),
    "field value": (GET[:-2] + b"X: ", b"x" * 4096),
    "folded value": (GET[:-2] + b"X: ", b"\r\n x" * 1000),
    "fields": (GET[:-2], b"X: y\r\n" * 100),
    "few bytes at a time": (GET[:-2] + b"X: ", b"xy"),
    "reason": (b"HTTP/1.1 200 ", b"x" * 4096),
    "trailers": (TRAILERS_BEGUN, b"X: y\r\n" * 100),
    "trailer value": (TRAILERS_BEGUN + b"X: ", b"x" * 4096),
    "chunk extension": (CHUNKS_BEGUN + b"1;", b"x" * 4096),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_nothing_endless_is_kept(name: str) -> None:
    start, piece = ENDLESS[name]
    direction = READ if start.startswith(b"HTTP/") else WRITE
    shown_bytes = 0

    def show_raw(messages: list[Message]) -> None:
        nonlocal shown_bytes
        shown_bytes += sum(len(message.data) for message in messages if isinstance(message, Raw))

    connections = Connections(show_raw, Registry(ParserOptions(body_limit=1 << 16)).recognise)
    tracemalloc.start()
    began_s = time.process_time()
    offset = 0
    for number in range(min(50_000, 8 * HEAD_LIMIT_BYTES // len(piece))):
        data = piece if number else start
        connections.feed([(SESSION, direction, offset, 1, data, 1)])
        offset += len(data)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    connections.close(2)
    assert time.process_time() - began_s < 10  # seconds even where everything is slow; it took minutes
    assert peak_bytes < 6 * HEAD_LIMIT_BYTES
    assert connections.parser_failures == 0
    assert shown_bytes > offset // 2


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([(WRITE, GET[:-2] + MANY_FIELDS + b"\r\n")], [raw_line(WRITE, 0, GET[:-2] + MANY_FIELDS + b"\r\n")]),
        (
            [(WRITE, GET), (READ, OK + OK[:17] + MANY_FIELDS + b"\r\n"), (WRITE, GET), (READ, OK)],
            [HELLO, raw_line(READ, len(OK), OK[:17] + MANY_FIELDS + b"\r\n"), HELLO],
        ),
        (
            [(WRITE, GET), (READ, TRAILERS_BEGUN), (READ, MANY_FIELDS + b"\r\n"), (WRITE, GET), (READ, OK)],
            ["-> GET /a?b=1 = 200 'ab' cut", raw_line(READ, len(TRAILERS_BEGUN), MANY_FIELDS + b"\r\n"), HELLO],
        ),
    ],
    ids=["request", "response behind another", "trailers"],
)
def test_too_many_fields(records: list[Piece], expected: list[str]) -> None:
    assert show(play(records)) == expected


def test_trailers_of_a_message_that_was_cut_are_shown() -> None:
    exchange = only(play([(WRITE, GET), (READ, TRAILERS_BEGUN + b"A: b\r\nC: ")]))
    assert exchange.response is not None
    assert exchange.response.headers == [(b"Transfer-Encoding", b"chunked")]
    assert exchange.response.trailers == [(b"A", b"b")]
    assert not exchange.response.complete


def test_pipelined_heads_are_not_kept() -> None:
    connections = Connections(lambda _messages: None, Registry(ParserOptions(body_limit=1 << 16)).recognise)
    head = GET[:-2] + b"X: y\r\n" * 900 + b"\r\n"
    tracemalloc.start()
    for number in range(500):
        connections.feed([(SESSION, WRITE, number * len(head), 1, head, 1)])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2 * PENDING_LIMIT_BYTES


def test_a_body_in_tiny_pieces_takes_little_more_than_its_bytes() -> None:
    connections = Connections(lambda _messages: None, Registry(ParserOptions(body_limit=1 << 40)).recognise)
    chunks = b"2\r\nab\r\n" * 2000
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    tracemalloc.start()
    connections.feed([(SESSION, READ, 0, 1, head, 1)])
    for number in range(200):
        connections.feed([(SESSION, READ, len(head) + number * len(chunks), 1, chunks, 1)])
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2 * (200 * 2 * 2000)


def test_bodies_are_bounded_for_who_wants_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaintap.protocols.registry.KEPT_BODY_LIMIT_BYTES", 3)
    exchange = only(play([(WRITE, GET), (READ, OK)], body_limit=1 << 40))
    assert exchange.response is not None
    assert (exchange.response.body, exchange.response.body_bytes) == ([b"hel"], 5)


def test_bytes_behind_an_upgrade_are_bounded() -> None:
    player = Player()
    player.say(WRITE, UPGRADE)
    for _ in range(5):
        player.say(WRITE, b"x" * 16384)
    assert raw_bytes(player.messages, WRITE) == b"x" * 5 * 16384
    player.say(READ, SWITCHED)
    assert "-> GET /ws = 101" in show(player.close())


# Two threads use a connection: the answer's record may come a moment before that of its request.


@pytest.mark.parametrize("pieces", [1, 2, 1000])
@pytest.mark.parametrize("again", [False, True])
def test_an_answer_that_is_seen_before_its_request(pieces: int, again: bool) -> None:
    player = Player()
    expected = []
    if again:
        player.say(WRITE, GET)
        player.say(READ, OK)
        expected = [HELLO]
    size = -(-len(OK) // pieces)
    for at in range(0, len(OK), size):
        player.say(READ, OK[at : at + size])
    player.say(WRITE, GET)
    assert show(player.close()) == [*expected, HELLO]


def test_an_answer_to_head_that_is_seen_before_it() -> None:
    player = Player()
    player.say(READ, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    player.say(WRITE, HEAD)
    player.say(WRITE, GET)
    player.say(READ, OK)
    assert show(player.close()) == ["-> HEAD /h = 200", HELLO]


def test_an_answer_whose_request_does_not_come_is_shown_by_itself() -> None:
    player = Player()
    player.say(READ, OK)
    for now_ns in (10, 20):
        player.connections.tick(now_ns)
    assert show(player.messages) == ["-> ? = 200 'hello'"]
    player.say(WRITE, GET)
    player.say(READ, OK)
    assert show(player.close()) == ["-> ? = 200 'hello'", HELLO]


def test_answers_to_nothing_are_held_within_bounds() -> None:
    player = Player()
    for _ in range(8000):
        player.say(READ, OK)
    assert len(player.messages) > 5000
    assert len(player.close()) == 8000


@pytest.mark.parametrize("cut", [5, 12, 20])
def test_a_sender_may_be_slow_at_the_beginning(cut: int) -> None:
    player = Player()
    player.say(WRITE, GET[:cut])
    for now_ns in (10, 20):
        player.connections.tick(now_ns)
    player.say(WRITE, GET[cut:])
    player.say(READ, OK)
    assert show(player.close()) == [HELLO]
