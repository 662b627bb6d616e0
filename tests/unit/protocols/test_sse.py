# SPDX-License-Identifier: Apache-2.0
"""Event streams: these bytes in, those events out; whole, byte by byte, cut anywhere, with a gap, compressed."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterable
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from plaintap.messages import Connection, Exchange, Message, Request, Response, ServerSentEvent
from plaintap.parsing import BodyStream
from plaintap.protocols.bodystreams import StreamContext, finish, open_body_stream
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.sse import EVENT_LIMIT_BYTES, NAME_LIMIT_BYTES
from plaintap.protocols.streamcodings import UNFOLDED_FREE_BYTES, UNFOLDING_RATIO_LIMIT

CONNECTION = Connection(session=1, pid=2, tid=3, uid=4, comm="curl")
REQUEST = Request(method="GET", target="/events")

STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    b"data: one\n\n"
    b"event: tick\r\ndata:two\r\ndata:  lines\r\nid: 7\r\nretry: 2500\r\n\r\n"
    b"data\rdata\rid: a\0b\r\r"
    b"unknown: x\nretry: 1s\nevent\ndata: caf\xc3\xa9 \xff\n\n"
    b"event: dropped\n\n"
    b"id\ndata:\n\n"
)
EVENTS = [
    ("message", "one", "", None, ""),
    ("tick", "two\n lines", "7", 2500, ""),
    ("message", "\n", "7", None, ""),
    ("message", "café \ufffd", "7", None, ""),
    ("message", "", "", None, ""),
]

Event = tuple[str, str, str, int | None, str]


def opened(
    into: list[Message], *, coding: bytes = b"", body_limit: int = 1 << 24, outgoing: bool = True
) -> BodyStream | None:
    headers = [(b"Content-Type", b"text/event-stream; charset=utf-8")]
    if coding:
        headers.append((b"content-encoding", coding))
    context = StreamContext(CONNECTION, into.append, outgoing, REQUEST, 5, ParserOptions(body_limit=body_limit))
    return open_body_stream(Response(status=200, headers=headers), context)


def stream_into(into: list[Message], *, coding: bytes = b"", body_limit: int = 1 << 24) -> BodyStream:
    stream = opened(into, coding=coding, body_limit=body_limit)
    assert stream is not None
    return stream


def events(messages: Iterable[Message]) -> list[Event]:
    found = []
    for message in messages:
        assert isinstance(message, ServerSentEvent)
        found.append((message.event, message.data, message.id, message.retry_ms, message.note))
    return found


def played(pieces: Iterable[bytes], *, coding: bytes = b"", body_limit: int = 1 << 24) -> list[Event]:
    into: list[Message] = []
    stream = stream_into(into, coding=coding, body_limit=body_limit)
    for ts_ns, piece in enumerate(pieces, 1):
        stream.receive(ts_ns, piece)
    stream.close(99)
    return events(into)


def notes_of(stream: BodyStream) -> list[str]:
    exchange = Exchange(connection=CONNECTION, protocol="h2", outgoing=True, request=REQUEST, response=None)
    finish(exchange, None, stream)
    assert exchange.grpc is None
    return list(exchange.notes)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def as_the_standard_says(data: bytes) -> list[tuple[str, str, str]]:
    """The algorithm of WHATWG HTML 9.2.6 on the whole text at once."""
    found = []
    lines = re.split("\r\n|\n|\r", data.decode("utf-8", "replace").removeprefix("\ufeff"))[:-1]
    text = kind = last_id = ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if text:
                found.append((kind or "message", text[:-1], last_id))
            text = kind = ""
        elif name == "data":
            text += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return found


def test_whole() -> None:
    assert played([STREAM]) == EVENTS


def test_byte_by_byte() -> None:
    assert played(STREAM[at : at + 1] for at in range(len(STREAM))) == EVENTS


@given(st.lists(st.integers(0, 1 << 16)))
def test_cut_anywhere(places: list[int]) -> None:
    assert played(cut(STREAM, places)) == EVENTS


LINES = st.sampled_from(
    b"data: a|data|data:|data:b |: c|:|event: e|event|id: 1|id|id:\0|x|||"
    b"|\xef\xbb\xbf| data: x|retry: 5|data: \xc3\xa9".split(b"|")
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(0, 1 << 16)))
def test_any_lines_as_the_standard_says(lines: list[tuple[bytes, bytes]], places: list[int]) -> None:
    data = b"".join(line + end for line, end in lines)
    dispatched = [event for event in played(cut(data, places)) if event[4] != "unfinished"]
    assert [event[:3] for event in dispatched] == as_the_standard_says(data)


def test_an_event_is_emitted_when_its_blank_line_arrives() -> None:
    into: list[Message] = []
    stream = stream_into(into)
    stream.receive(10, b"data: a\n")
    assert into == []
    stream.receive(20, b"\r")
    (event,) = into
    assert isinstance(event, ServerSentEvent)
    assert (event.last_ns, event.stream, event.request, event.outgoing) == (20, 5, REQUEST, False)
    assert (event.first_ns, event.size_bytes, event.missing_bytes, event.complete) == (10, 1, 0, True)
    assert event.connection is CONNECTION
    stream.receive(30, b"\ndata: b\n\n")
    assert events(into[1:]) == [("message", "b", "", None, "")]


@pytest.mark.parametrize("end", [b"data: x", b"data: x\n", b"data: x\r", b"event: message\ndata: x\nevent"])
def test_an_event_that_the_end_cuts_off_is_shown(end: bytes) -> None:
    assert played([b"data: a\n\n" + end])[1:] == [("message", "x", "", None, "unfinished")]


def test_nothing_is_made_of_an_end_without_data() -> None:
    assert played([b"event: x\nid: 5"]) == []


def test_retry_of_a_block_without_data_is_told_with_the_next_event() -> None:
    assert played([b"retry: 10\n\ndata: a\n\ndata: b\n\n"]) == [
        ("message", "a", "", 10, ""),
        ("message", "b", "", None, ""),
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"data: a\n\ndata: b", b"rest\n\ndata: c\n\n"),
        (b"data: a\n\ndata: b\n", b"\n\ndata: c\n\n"),
        (b"data: a\n\n", b"\n\r\ndata: c\n\n"),
        (b"data: a\n\ndata: b\r", b"\r\n\ndata: c\n\n"),
    ],
)
def test_after_a_gap_events_begin_behind_a_blank_line(before: bytes, after: bytes) -> None:
    into: list[Message] = []
    stream = stream_into(into)
    stream.receive(1, before)
    stream.gap(2, 7)
    stream.receive(3, after + b"data: d\n\n")
    stream.close(4)
    assert events(into) == [
        ("message", "a", "", None, ""),
        ("message", "c", "", None, ""),
        ("message", "d", "", None, ""),
    ]
    assert [event.missing_bytes for event in into if isinstance(event, ServerSentEvent)] == [0, 7, 0]


@given(st.integers(0, len(STREAM)), st.integers(0, 30))
def test_a_gap_makes_no_event_that_was_not_sent(start: int, missing: int) -> None:
    into: list[Message] = []
    stream = stream_into(into)
    stream.receive(1, STREAM[:start])
    stream.gap(2, missing)
    stream.receive(3, STREAM[start + missing :])
    stream.close(4)
    complete = [event[:2] for event in events(into) if not event[4].startswith("unfinished")]
    sent = [event[:2] for event in EVENTS]
    before = len([event for event in played([STREAM[:start]]) if event[4] != "unfinished"])
    assert complete[:before] == sent[:before]
    assert complete[before:] in [sent[later:] for later in range(before, len(sent) + 1)]


@pytest.mark.parametrize("by", [1, 3, 1 << 20])
def test_data_beyond_the_limit_is_cut(by: int) -> None:
    data = b"data: abc\ndata: defg\n\ndata: abcdef\n\ndata: ab\xc3\xa9\xc3\xa9\n\n"
    pieces = (data[at : at + by] for at in range(0, len(data), by))
    assert played(pieces, body_limit=5) == [
        ("message", "abc\nd", "", None, "cut at 5 bytes"),
        ("message", "abcde", "", None, "cut at 5 bytes"),
        ("message", "abé", "", None, "cut at 5 bytes"),
    ]


def test_a_line_without_end_takes_no_memory() -> None:
    into: list[Message] = []
    stream = stream_into(into)
    stream.receive(1, b"data: ")
    piece = b"x" * 65536
    for _ in range(2 * EVENT_LIMIT_BYTES // len(piece)):
        stream.receive(1, piece)
    stream.receive(2, b"\nid: " + b"i" * 2 * NAME_LIMIT_BYTES + b"\n\n")
    ((_, data, ident, _, note),) = events(into)
    assert (len(data), len(ident), note) == (EVENT_LIMIT_BYTES, NAME_LIMIT_BYTES, f"cut at {EVENT_LIMIT_BYTES} bytes")


def compressed(coding: str, blocks: list[bytes]) -> list[bytes]:
    """Each block flushed, as servers do after an event."""
    if coding == "br":
        brotli_encoder = brotli.Compressor()
        return [brotli_encoder.process(block) + brotli_encoder.flush() for block in blocks] + [brotli_encoder.finish()]
    if coding == "zstd":
        encoder = zstandard.ZstdCompressor().compressobj()
        flush = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return [encoder.compress(block) + encoder.flush(flush) for block in blocks] + [encoder.flush()]
    wbits = {"gzip": 31, "deflate": 15, "raw": -15}[coding]
    deflater = zlib.compressobj(wbits=wbits)
    pieces = [deflater.compress(block) + deflater.flush(zlib.Z_SYNC_FLUSH) for block in blocks]
    return [*pieces, deflater.flush()]


CODINGS = ["gzip", "deflate", "raw", "br", "zstd"]


def name_of(coding: str) -> bytes:
    return {"raw": "deflate"}.get(coding, coding).encode()


@pytest.mark.parametrize("coding", CODINGS)
def test_compressed_events_come_as_they_were_flushed(coding: str) -> None:
    blocks = [b"data: one\n\n", b"data: two\n\n"]
    into: list[Message] = []
    stream = stream_into(into, coding=name_of(coding))
    for number, piece in enumerate(compressed(coding, blocks)[:2], 1):
        stream.receive(number, piece)
        assert len(into) == number
    assert [event[1] for event in events(into)] == ["one", "two"]


@pytest.mark.parametrize("coding", CODINGS)
def test_compressed_byte_by_byte(coding: str) -> None:
    data = b"".join(compressed(coding, [STREAM] * 3))
    assert played((data[at : at + 1] for at in range(len(data))), coding=name_of(coding)) == played([STREAM] * 3)


def test_members_and_codings_follow_one_another() -> None:
    members = gzip.compress(b"data: a\n\n") + b"\0\0" + gzip.compress(b"data: b\n\n")
    assert [event[1] for event in played([members], coding=b"x-gzip")] == ["a", "b"]
    frames = zstandard.compress(b"data: a\n\n") + zstandard.compress(b"data: b\n\n")
    assert [event[1] for event in played([frames], coding=b"zstd")] == ["a", "b"]
    both = gzip.compress(brotli.compress(b"data: a\n\n"))
    assert [event[1] for event in played([both], coding=b"br, gzip")] == ["a"]


@pytest.mark.parametrize(
    ("coding", "data", "why"),
    [
        (b"gzip", gzip.compress(b"data: a\n\n")[:-8] + b"damaged!", "damaged"),
        (b"br", b"\xff" * 50, "damaged"),
        (b"zstd", b"\xff" * 50, "damaged"),
        (b"lzma", b"data: a\n\n", "unknown content-encoding lzma"),
        (b"gzip," * 9, b"", "more than 8 content-encodings"),
    ],
)
def test_what_cannot_be_decoded_is_said(coding: bytes, data: bytes, why: str) -> None:
    stream = stream_into([], coding=coding)
    stream.receive(1, data)
    stream.receive(1, data)
    stream.close(1)
    (note,) = notes_of(stream)
    assert f": {why}, not read from there on" in note


def test_a_gap_in_a_coding_ends_reading() -> None:
    into: list[Message] = []
    stream = stream_into(into, coding=b"gzip")
    first, second, _ = compressed("gzip", [b"data: one\n\n", b"data: two\n\n"])
    stream.receive(1, first)
    stream.gap(2, 3)
    stream.receive(3, second)
    stream.close(4)
    assert [event[1] for event in events(into)] == ["one"]
    assert notes_of(stream) == ["content-encoding gzip: 3 bytes lost, not read from there on"]


@pytest.mark.parametrize("coding", CODINGS)
def test_bombs_are_not_unfolded(coding: str) -> None:
    into: list[Message] = []
    stream = stream_into(into, coding=name_of(coding))
    # Grows some thousandfold with br and zstd, a thousandfold with deflate.
    for piece in compressed(coding, [b"data: \n" * (1 << 20)] * 3):
        stream.receive(1, piece)
    stream.close(1)
    (note,) = notes_of(stream)
    assert f"grows more than {UNFOLDING_RATIO_LIMIT} times" in note
    assert UNFOLDED_FREE_BYTES <= 1 << 20
    assert all(len(event[1]) <= EVENT_LIMIT_BYTES for event in events(into))


def test_only_responses_have_event_streams_and_only_where_they_are_wanted() -> None:
    into: list[Message] = []
    headers = [(b"content-type", b"text/event-stream")]
    wanted = StreamContext(CONNECTION, into.append, True, REQUEST, 0, ParserOptions())
    unwanted = StreamContext(CONNECTION, into.append, True, REQUEST, 0, ParserOptions(wants_stream_messages=False))
    assert open_body_stream(Response(headers=headers), wanted) is not None
    assert open_body_stream(Response(headers=headers), unwanted) is None
    assert open_body_stream(Request(headers=headers), wanted) is None


@pytest.mark.parametrize("value", [b"", b"text/html", b"text/event-streams", b"x" * 100_000, b"application/grpcx"])
def test_ordinary_bodies_are_no_streams(value: bytes) -> None:
    into: list[Message] = []
    context = StreamContext(CONNECTION, into.append, True, REQUEST, 0, ParserOptions())
    assert open_body_stream(Response(headers=[(b"Content-Type", value)]), context) is None
    assert open_body_stream(Response(headers=[]), context) is None
