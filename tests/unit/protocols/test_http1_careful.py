# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 messages that a strict parser refuses: shown all the same, however they are cut, and their oddities said."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from dataclasses import dataclass

import pytest
from http1_play import (
    CONNECT,
    GET,
    HEAD,
    HELLO,
    OK,
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
from hypothesis import given
from hypothesis import strategies as st

from plaintap.events import READ, WRITE
from plaintap.messages import Exchange, Message, Raw, ServerSentEvent
from plaintap.protocols.http1_framing import QUOTED_LIMIT
from plaintap.protocols.http1_heads import LINES_LIMIT
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HEAD_LIMIT_BYTES
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

CHUNKS = b"\r\n5\r\nhello\r\n0\r\n\r\n"


def notes_of(messages: list[Message]) -> list[str]:
    return [note for message in messages if isinstance(message, Exchange) for note in message.notes]


@dataclass(frozen=True)
class Odd:
    name: str
    fields: bytes
    body: bytes
    shown: str
    notes: list[str]


# Of a request; each with its body as it is read.
SMUGGLED = [
    Odd(
        "both",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        CHUNKS,
        "hello",
        ["both Transfer-Encoding and Content-Length", "body read as chunks"],
    ),
    Odd(
        "differing lengths",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"\r\nhello",
        "hello",
        ['differing Content-Length "5, 6"', "body read as 5 bytes"],
    ),
    Odd(
        "the same length twice",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"\r\nhello",
        "hello",
        ['repeated Content-Length "5, 5"', "body read as 5 bytes"],
    ),
    Odd(
        "lengths in a list",
        b"Content-Length: 5, 5\r\n",
        b"\r\nhello",
        "hello",
        ['repeated Content-Length "5, 5"', "body read as 5 bytes"],
    ),
    Odd(
        "sign",
        b"Content-Length: +5\r\n",
        b"\r\nhello",
        "hello",
        ['Content-Length "+5" is no number', "body read as 5 bytes"],
    ),
    Odd(
        "negative",
        b"Content-Length: -5\r\n",
        b"\r\n",
        "",
        ['Content-Length "-5" is no number', "read without a body"],
    ),
    Odd("no length", b"Content-Length:\r\n", b"\r\n", "", ["empty Content-Length", "read without a body"]),
    Odd(
        "digits and a blank",
        b"Content-Length: 5 0\r\n",
        b"\r\nhello",
        "hello",
        ['Content-Length "5 0" is no number', "body read as 5 bytes"],
    ),
    Odd(
        "xchunked",
        b"Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
        b"\r\nhello",
        "hello",
        [
            'obfuscated Transfer-Encoding "xchunked"',
            "both Transfer-Encoding and Content-Length",
            "body read as 5 bytes",
        ],
    ),
    Odd(
        "chunked is not the last",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"\r\n",
        "",
        ['obfuscated Transfer-Encoding "chunked, identity"', "read without a body"],
    ),
    Odd(
        "twice",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        CHUNKS,
        "hello",
        ['chunked more than once in Transfer-Encoding "chunked, chunked"', "body read as chunks"],
    ),
    Odd(
        "vertical tab",
        b"Transfer-Encoding: \x0bchunked\r\n",
        CHUNKS,
        "hello",
        [
            'control characters in the value of "Transfer-Encoding"',
            'obfuscated Transfer-Encoding "\x0bchunked"',
            "body read as chunks",
        ],
    ),
    Odd(
        "blank before the colon",
        b"Transfer-Encoding\t: chunked\r\n",
        CHUNKS,
        "hello",
        ['blank before the colon of "Transfer-Encoding"', "body read as chunks"],
    ),
    Odd(
        "folded",
        b"Transfer-Encoding:\r\n chunked\r\n",
        CHUNKS,
        "hello",
        ['"Transfer-Encoding" folded over lines', "body read as chunks"],
    ),
    Odd("empty", b"Transfer-Encoding:\r\n", b"\r\n", "", ["empty Transfer-Encoding", "read without a body"]),
    Odd(
        "a request of unknown length",
        b"Transfer-Encoding: gzip\r\n",
        b"\r\n",
        "",
        ['Transfer-Encoding "gzip" of a request', "read without a body"],
    ),
    Odd(
        "line feed",
        b"Transfer-Encoding: chunked\nX: y\r\n",
        CHUNKS,
        "hello",
        ["bare LF ends a line", "body read as chunks"],
    ),
    Odd(
        "carriage return",
        b"X: y\rTransfer-Encoding: chunked\r\n",
        b"\r\n",
        "",
        ["bare CR inside a line", 'control characters in the value of "X"'],
    ),
    Odd(
        "blank before a field",
        b" X: y\r\nContent-Length: 5\r\n",
        b"\r\nhello",
        "hello",
        ["blanks before the first field", "body read as 5 bytes"],
    ),
    Odd("odd name", b"A(b): c\r\n", b"\r\n", "", ['odd characters in the field name "A(b)"']),
]


def records_of(odd: Odd) -> list[Piece]:
    return [
        (WRITE, GET),
        (READ, OK),
        (WRITE, b"POST /x HTTP/1.1\r\n" + odd.fields + odd.body),
        (READ, OK),
        (WRITE, GET),
        (READ, OK),
    ]


def expected_of(odd: Odd) -> list[str]:
    return [HELLO, f"-> POST /x{f' {odd.shown!r}' if odd.shown else ''} = 200 'hello'", HELLO]


@pytest.mark.parametrize("odd", SMUGGLED, ids=lambda odd: odd.name)
def test_shapes_of_smuggling_are_said(odd: Odd) -> None:
    messages = play(records_of(odd))
    assert show(messages) == expected_of(odd)
    assert notes_of(messages) == [f"request: {note}" for note in odd.notes]


@pytest.mark.parametrize("odd", SMUGGLED, ids=lambda odd: odd.name)
def test_byte_by_byte(odd: Odd) -> None:
    messages = play([(way, data[at : at + 1]) for way, data in records_of(odd) for at in range(len(data))])
    assert show(messages) == expected_of(odd)
    assert notes_of(messages) == [f"request: {note}" for note in odd.notes]


@given(odd=st.sampled_from(SMUGGLED), data=st.data())
def test_cut_anywhere(odd: Odd, data: st.DataObject) -> None:
    pieces: list[Piece] = []
    for direction, record in records_of(odd):
        cuts = sorted(data.draw(st.sets(st.integers(1, len(record) - 1), max_size=4)))
        pieces += [(direction, record[a:b]) for a, b in zip([0, *cuts], [*cuts, len(record)], strict=True)]
    assert show(play(pieces)) == expected_of(odd)


@pytest.mark.parametrize("odd", SMUGGLED, ids=lambda odd: odd.name)
def test_in_one_record_with_others(odd: Odd) -> None:
    requests = GET + b"POST /x HTTP/1.1\r\n" + odd.fields + odd.body + GET
    assert show(play([(WRITE, requests), (READ, OK + OK), (READ, OK)])) == expected_of(odd)


@pytest.mark.parametrize("odd", SMUGGLED, ids=lambda odd: odd.name)
@given(st.integers(0, 200), st.integers(1, 30))
def test_a_gap_is_one(odd: Odd, at: int, size: int) -> None:
    request = b"POST /x HTTP/1.1\r\n" + odd.fields + odd.body
    at = min(at, len(request) - 1)
    size = min(size, len(request) - at)
    steps: list[tuple[int, bytes | int]] = [
        (WRITE, GET),
        (WRITE, size),
        (WRITE, request[at + size :] or GET),
        (READ, OK),
    ]
    if at:
        steps.insert(1, (WRITE, request[:at]))
    lost = [line for line in show(play_lossy(steps)) if line.startswith("lost")]
    assert lost == [f"lost wrote@{len(GET) + at} {size}"]


# Start lines.


@pytest.mark.parametrize(
    ("line", "shown", "notes"),
    [
        (b"GET /\xc3\xa9?\xff HTTP/1.1", "GET /é?\\xff", []),
        (b"GET /a b\tc HTTP/1.1", "GET /a b\tc", ["blanks in the target"]),
        (b"GET  / HTTP/1.1 ", "GET /", ["odd blanks in the request line"]),
        (b"BREW /pot HTTP/1.1", "BREW /pot", []),
        (b"get / HTTP/1.1", "get /", []),
        (b"GET any-thing HTTP/1.1", "GET any-thing", []),
        (b"GET / HTTP/1.7", "GET /", ["version HTTP/1.7"]),
    ],
)
def test_request_lines(line: bytes, shown: str, notes: list[str]) -> None:
    odd = line + b"\r\nHost: x\r\n\r\n"
    pieces = [(WRITE, GET), (READ, OK), (WRITE, odd + GET), (READ, OK + OK)]
    for cut in (pieces, [(way, data[at : at + 1]) for way, data in pieces for at in range(len(data))]):
        messages = play(cut)
        assert show(messages) == [HELLO, f"-> {shown} = 200 'hello'", HELLO]
        assert notes_of(messages) == [f"request: {note}" for note in notes]


@pytest.mark.parametrize(
    "line", [b"GET /\xc3\xa9 HTTP/1.1", b"GET /a b HTTP/1.1", b"BREW /pot HTTP/1.1", b"get / HTTP/1.0"]
)
def test_first_of_a_connection(line: bytes) -> None:
    request = line + b"\r\n\r\n"
    shown = [f"-> {line.rpartition(b' ')[0].decode()} = 200 'hello'"]
    assert show(play([(WRITE, request), (READ, OK)])) == shown
    # With less it could be anything.
    enough = request.index(b" /") + 2
    pieces = [request[:enough], *(request[at : at + 1] for at in range(enough, len(request)))]
    assert show(play([*((WRITE, piece) for piece in pieces), (READ, OK)])) == shown


@pytest.mark.parametrize(
    ("line", "status", "notes"),
    [
        (b"HTTP/1.1 200", 200, []),
        (b"HTTP/1.1  404 No", 404, ["response: odd blanks in the status line", "response: body read as 0 bytes"]),
        (b"HTTP/1.3 200 OK", 200, ["response: version HTTP/1.3"]),
    ],
)
def test_status_lines(line: bytes, status: int, notes: list[str]) -> None:
    messages = play([(WRITE, GET), (READ, line + b"\r\nContent-Length: 0\r\n\r\n" + OK)])
    assert show(messages) == [f"-> GET /a?b=1 = {status}", "-> ? = 200 'hello'"]
    assert notes_of(messages)[:1] == notes[:1]


def test_a_long_target_is_bounded() -> None:
    target = b"/" + b"\xc3\xa9" * 400_000
    assert show(play([(WRITE, b"GET %b HTTP/1.1\r\n\r\n" % target), (READ, OK)])) == [
        f"-> GET {target.decode()} = 200 'hello'"
    ]
    request = b"GET %b HTTP/1.1\r\n\r\n" % (target * 2)
    assert show(play([(WRITE, request)])) == [raw_line(WRITE, 0, request)]


# Responses.

BARE = OK.replace(b"\r", b"")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([(WRITE, GET), (READ, BARE), (WRITE, GET), (READ, BARE)], [HELLO, HELLO]),
        ([(WRITE, GET), (READ, b"HTTP/1.1 200 OK\n\nuntil close")], ["-> GET /a?b=1 = 200 'until close'"]),
        ([(WRITE, GET), (READ, b"HTTP/1.1 103 Early\n\n" + BARE)], ["-> GET /a?b=1 = 103 200 'hello'"]),
        (
            [(WRITE, HEAD + GET), (READ, b"HTTP/1.1 200 OK\nContent-Length: 5\n\n" + BARE)],
            ["-> HEAD /h = 200", HELLO],
        ),
        (
            [(WRITE, CONNECT), (READ, b"HTTP/1.1 200 OK\n\n"), (WRITE, GET), (READ, OK)],
            ["-> CONNECT example.com:443 = 200", HELLO],
        ),
        (
            [(WRITE, UPGRADE.replace(b"\r", b"")), (READ, SWITCHED.replace(b"\r", b"")), (READ, b"\x81\x02hi")],
            ["-> GET /ws = 101", "ws read b'hi'"],
        ),
        (
            [(WRITE, UPGRADE.replace(b"\r", b"")), (READ, BARE), (WRITE, GET), (READ, BARE)],
            ["-> GET /ws = 200 'hello'", HELLO],
        ),
        (
            [(WRITE, GET), (READ, b"HTTP/1.1 204 No\nContent-Length: 5\n\n"), (WRITE, GET), (READ, BARE)],
            ["-> GET /a?b=1 = 204", HELLO],
        ),
    ],
    ids=["length", "close", "interim", "head", "connect", "upgrade", "declined", "no content"],
)
def test_lines_that_end_in_line_feeds_only(records: list[Piece], expected: list[str]) -> None:
    assert show(play(records)) == expected
    assert show(play([(way, data[at : at + 1]) for way, data in records for at in range(len(data))])) == expected


BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"


@pytest.mark.parametrize(
    ("chunks", "shown", "rest", "note"),
    [
        (b"5\nhello\r\n0\r\n\r\n", "'abhello'", b"", "bare LF ends a chunk's line"),
        (b"5;\r\nhello\r\n0\r\n\r\n", "'abhello'", b"", "empty chunk extension"),
        (b"5\r\nhello\r\n0\r\nX: y\nZ: 1\r\n\r\n", "'abhello'", b"", "bare LF ends a chunk's line"),
        (b" 5\r\nhello\r\n0\r\n\r\n", "'abhello'", b"", "blanks around a chunk's size"),
        (b"0x5\r\nhello", "'ab' cut", b"0x5\r\nhello", 'cannot be read on: chunk size "0x5"'),
        (b"-1\r\nhello", "'ab' cut", b"-1\r\nhello", 'cannot be read on: chunk size "-1"'),
        (
            b"1000000000000000000\r\nhello",
            "'ab' cut",
            b"1000000000000000000\r\nhello",
            'cannot be read on: chunk size "1000000000000000000" is too large',
        ),
        (b"5\r\nhelloX\r\n", "'abhello' cut", b"X\r\n", "cannot be read on: more data than the chunk's size"),
        (b"0\r\nno trailer\r\n", "'ab' cut", b"no trailer\r\n", "cannot be read on: a line that is no trailer field"),
    ],
)
@pytest.mark.parametrize("before", [b"", OK], ids=["alone", "behind another"])
def test_odd_chunks(chunks: bytes, shown: str, rest: bytes, note: str, before: bytes) -> None:
    messages = play([(WRITE, GET * (1 + bool(before))), (READ, before + BEGUN + chunks)])
    expected = [HELLO] * bool(before) + [f"-> GET /a?b=1 = 200 {shown}"]
    if rest:
        expected.append(raw_line(READ, len(before + BEGUN + chunks) - len(rest), rest))
    assert show(messages) == expected
    assert notes_of(messages) == [f"response: {note}"]


def test_odd_trailers_are_trailers() -> None:
    (exchange,) = play([(WRITE, GET), (READ, BEGUN + b"0\nX: y\n\n")])
    assert isinstance(exchange, Exchange)
    assert exchange.response is not None
    assert exchange.response.trailers == [(b"X", b"y")]
    assert exchange.response.complete


@pytest.mark.parametrize(
    ("head", "note"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n", 'obfuscated Transfer-Encoding "xchunked"'),
        (
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "Transfer-Encoding in HTTP/1.0",
        ),
    ],
)
def test_odd_framing_that_a_strict_parser_takes(head: bytes, note: str) -> None:
    assert notes_of(play([(WRITE, GET), (READ, head)])) == [f"response: {note}"]


def test_usual_messages_have_no_notes() -> None:
    gzipped = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    assert notes_of(play([(WRITE, GET + GET), (READ, OK), (READ, gzipped)])) == []


def test_notes_are_short() -> None:
    request = b"POST / HTTP/1.1\r\nContent-Length: " + b"5," * 10_000 + b"5\r\n\r\nhello"
    notes = notes_of(play([(WRITE, request), (READ, OK)]))
    assert notes
    assert all(len(note) < QUOTED_LIMIT + 60 for note in notes)


def test_what_follows_an_odd_message_as_no_http_is_raw() -> None:
    odd = b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n"
    assert show(play([(WRITE, odd + b"\x00junk"), (READ, OK)])) == [
        "-> GET /é = ?",
        raw_line(WRITE, len(odd), b"\x00junk"),
        "-> ? = 200 'hello'",
    ]


# Losses.


def test_a_gap_in_a_body_whose_length_is_odd() -> None:
    request = b"POST /x HTTP/1.1\r\nContent-Length: +5\r\n\r\nh"
    assert show(play_lossy([(WRITE, request), (WRITE, 3), (WRITE, b"o" + GET), (READ, OK + OK)])) == [
        f"lost wrote@{len(request)} 3",
        "-> POST /x 'ho' -3 = 200 'hello'",
        HELLO,
    ]


def test_a_gap_in_an_odd_head_gives_it_back() -> None:
    begun = b"GET /\xc3\xa9 HTTP/1.1\r\nHo"
    assert show(
        play_lossy([(WRITE, GET), (READ, OK), (WRITE, begun), (WRITE, 3), (WRITE, b"x\r\n\r\n"), (WRITE, GET)])
    ) == [
        HELLO,
        f"lost wrote@{len(GET) + len(begun)} 3",
        raw_line(WRITE, len(GET), begun),
        raw_line(WRITE, len(GET) + len(begun) + 3, b"x\r\n\r\n"),
        "-> GET /a?b=1 = ?",
    ]


# Bounds.

ODD_HEAD = b"GET /\xc3\xa9 HTTP/1.1\r\n"
ENDLESS = {
    "target": (b"GET /\xc3\xa9", b"x" * 4096),
    "value": (ODD_HEAD + b"X: ", b"x" * 4096),
    "folds": (ODD_HEAD + b"X: ", b"\n x" * 1000),
    "fields": (ODD_HEAD, b"X: y\r\n" * 100),
    "few bytes at a time": (ODD_HEAD + b"X: ", b"xy"),
    "empty lines": (ODD_HEAD + b"\n", b"\r\n" * 1000),
    "chunk extension": (BEGUN.replace(b"\r", b"") + b"1;", b"x" * 4096),
    "trailers": (BEGUN.replace(b"\r", b"") + b"0\n", b"X: y\n" * 100),
    "chunks of nothing much": (BEGUN.replace(b"\r", b""), b"1;x\na\n" * 500),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_nothing_endless_is_kept(name: str) -> None:
    start, piece = ENDLESS[name]
    direction = READ if start.startswith(b"HTTP/") else WRITE
    connections = Connections(lambda _messages: None, Registry(ParserOptions(body_limit=1 << 16)).recognise)
    tracemalloc.start()
    began_s = time.process_time()
    offset = 0
    for number in range(min(20_000, 2 * HEAD_LIMIT_BYTES // len(piece))):
        data = piece if number else start
        connections.feed([(SESSION, direction, offset, 1, data, 1)])
        offset += len(data)
    connections.close(2)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - began_s < 20  # seconds even where everything is slow
    assert peak_bytes < 8 * HEAD_LIMIT_BYTES
    assert connections.parser_failures == 0


@pytest.mark.parametrize(
    "head",
    [ODD_HEAD + b"X: y\r\n" * (FIELDS_LIMIT + 1) + b"\r\n", ODD_HEAD + b"X:" + b"\r\n y" * LINES_LIMIT + b"\r\n\r\n"],
    ids=["fields", "lines"],
)
def test_too_much_in_a_head_is_raw(head: bytes) -> None:
    assert show(play([(WRITE, head)])) == [raw_line(WRITE, 0, head)]
    pieces = [(WRITE, head[at : at + 999]) for at in range(0, len(head), 999)]
    assert show(play(pieces))[0].startswith(raw_line(WRITE, 0, head)[:40])


def test_an_interim_response_has_no_body() -> None:
    interim = b"HTTP/1.1 108 Odd\r\nContent-Length: 9\r\n\r\n"
    records = [(WRITE, GET), (READ, interim + OK), (WRITE, GET), (READ, OK)]
    for cut in (records, [(way, data[at : at + 1]) for way, data in records for at in range(len(data))]):
        assert show(play(cut)) == ["-> GET /a?b=1 = 108 200 'hello'", HELLO]


def test_a_status_that_is_none() -> None:
    odd = b"HTTP/1.1 000 OK\r\n\r\nbody"
    assert show(play([(WRITE, GET), (READ, odd)])) == ["-> GET /a?b=1 = ?", raw_line(READ, 0, odd)]


def test_junk_behind_the_response_to_head() -> None:
    junk = b"HTTP/1.1 2Trans"
    messages = play([(WRITE, HEAD), (READ, b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n" + junk), (READ, b"fer\r\n")])
    assert show(messages) == ["-> HEAD /h = 200", raw_line(READ, 38, junk + b"fer\r\n")]


# Bodies that are streams of messages.

EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def test_events_are_shown_as_they_arrive() -> None:
    player = Player(body_limit=7)
    player.say(WRITE, GET)
    player.say(READ, EVENTS + b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n")
    assert show(player.messages) == ["event message 'a'"]
    player.say(READ, b"9\r\ndata: b\n\n\r\n")
    assert show(player.messages[1:]) == ["event message 'b'"]
    player.say(READ, b"0\r\n\r\n")
    assert show(player.close()[2:]) == ["-> GET /a?b=1 = 200 'data: a'"]


def test_events_of_an_odd_response_and_of_usual_ones_behind() -> None:
    stream = EVENTS + b"Content-Length: 9\r\n\r\ndata: x\n\n"
    both = stream.replace(b"\r", b"") + OK + stream
    assert show(play([(WRITE, GET * 3), (READ, both)], body_limit=7)) == [
        "event message 'x'",
        "-> GET /a?b=1 = 200 'data: x'",
        HELLO,
        "event message 'x'",
        "-> GET /a?b=1 = 200 'data: x'",
    ]


def test_transfer_codings_of_events_are_undone() -> None:
    packed = gzip.compress(b"data: x\n\n", mtime=0)
    response = EVENTS + b"Transfer-Encoding: gzip, chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(packed), packed)
    events = [message for message in play([(WRITE, GET), (READ, response)]) if isinstance(message, ServerSentEvent)]
    assert [event.data for event in events] == ["x"]


def test_a_gap_among_events_is_said() -> None:
    head = EVENTS + b"Content-Length: 30\r\n\r\n"
    steps: list[tuple[int, bytes | int]] = [
        (WRITE, GET),
        (READ, head + b"data: a\n\n"),
        (READ, 9),
        (READ, b"b\n\ndata: c\n\n"),
    ]
    events = [message for message in play_lossy(steps, body_limit=7) if isinstance(message, ServerSentEvent)]
    assert [event.data for event in events] == ["a", "c"]
    assert events[1].missing_bytes == 9


def test_a_stream_that_is_cut_is_over() -> None:
    messages = play([(WRITE, GET), (READ, EVENTS + b"Content-Length: 99\r\n\r\ndata: a\n\ndata: b")], body_limit=7)
    assert show(messages)[0] == "event message 'a'"
    assert show(messages)[-1] == "-> GET /a?b=1 = 200 'data: a' cut"


def test_an_early_answer_keeps_the_notes_of_both() -> None:
    player = Player()
    player.say(WRITE, b"POST /p HTTP/1.1\nContent-Length: 4\n\nwo")
    player.say(READ, OK.replace(b"\r", b""))
    player.connections.tick(10)
    player.connections.tick(20)
    player.say(WRITE, b"rk" + GET)
    player.say(READ, OK)
    messages = player.close()
    assert show(messages) == ["-> POST /p 'work' = 200 'hello'", HELLO]
    assert [note.partition(":")[0] for note in notes_of(messages)] == ["request", "request", "response", "response"]


def test_what_is_behind_a_body_follows_no_older_head() -> None:
    post = b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\n"
    records = [(WRITE, GET[:9]), (WRITE, GET[9:]), (WRITE, post + b"w"), (WRITE, b"ork\x00"), (READ, OK)]
    raws = [message for message in play(records) if isinstance(message, Raw)]
    assert [(raw.offset, raw.data) for raw in raws] == [(len(GET + post) + 1, b"ork\x00")]


def test_a_line_of_blanks_takes_time_in_proportion() -> None:
    began_s = time.process_time()
    play([(WRITE, b"GET /" + b" " * 500_000 + b"\r\nHost: h\r\n\r\n")])
    assert time.process_time() - began_s < 2
