# SPDX-License-Identifier: Apache-2.0
"""gRPC: messages of a body, however it is cut; compressed, huge and lost ones; the status at a call's end."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable
from itertools import pairwise

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from plaintap.messages import Connection, Exchange, GrpcCall, GrpcMessage, Message, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols.bodystreams import StreamContext, finish, open_body_stream
from plaintap.protocols.grpc import NOTES_LIMIT, STATUS_MESSAGE_LIMIT, UNFOLDED_LIMIT_BYTES
from plaintap.protocols.options import ParserOptions, Schemas
from plaintap.protocols.protobuf import DECODED_LIMIT_BYTES, ProtobufError
from plaintap.protocols.protobuf_grammar import parse
from plaintap.protocols.protobuf_schema import link

CONNECTION = Connection(session=1, pid=2, tid=3, uid=4, comm="grpc")
TARGET = "/helloworld.Greeter/SayHello"
HELLO = b"\x0a\x05world"
BIG_LIMIT = 1 << 24


def framed(data: bytes, *, compressed: bool = False) -> bytes:
    return bytes((compressed,)) + len(data).to_bytes(4, "big") + data


BODY = framed(HELLO) + framed(b"") + framed(b"\x08\x96\x01") + framed(b"\xff" * 300)
SHOWN: list[tuple[int, bytes, object, str]] = [
    (1, HELLO, {"1": "world"}, ""),
    (2, b"", {}, ""),
    (3, b"\x08\x96\x01", {"1": 150}, ""),
    (4, b"\xff" * 300, None, "no protobuf"),
]


class Call:
    """One call: its request's and its response's body stream, what they emitted, what `finish` makes of them."""

    def __init__(
        self,
        *,
        body_limit: int = BIG_LIMIT,
        wanted: bool = True,
        outgoing: bool = True,
        encoding: bytes = b"",
        content_type: bytes = b"application/grpc",
        schemas: Schemas | None = None,
        target: str = TARGET,
    ) -> None:
        self.messages: list[Message] = []
        headers = [(b"content-type", content_type), *([(b"grpc-encoding", encoding)] if encoding else [])]
        self.request = Request(method="POST", target=target, headers=headers)
        self.response = Response(status=200, headers=headers)
        options = ParserOptions(body_limit=body_limit, wants_stream_messages=wanted, schemas=schemas)
        context = StreamContext(CONNECTION, self.messages.append, outgoing, self.request, 3, options)
        self.streams = [self._opened(head, context) for head in (self.request, self.response)]

    def _opened(self, head: Request | Response, context: StreamContext) -> BodyStream:
        stream = open_body_stream(head, context)
        assert stream is not None
        return stream

    def finished(self) -> Exchange:
        for stream in self.streams:
            stream.close(99)
        exchange = Exchange(
            connection=CONNECTION, protocol="h2", outgoing=True, request=self.request, response=self.response
        )
        finish(exchange, self.streams[0], self.streams[1])
        return exchange

    @property
    def shown(self) -> list[tuple[int, bytes, object, str]]:
        return [(message.number, message.data, message.fields, message.note) for message in self.grpc_messages]

    @property
    def grpc_messages(self) -> list[GrpcMessage]:
        return [message for message in self.messages if isinstance(message, GrpcMessage)]


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def test_whole() -> None:
    call = Call()
    call.streams[0].receive(7, BODY)
    assert call.shown == SHOWN
    first = call.grpc_messages[0]
    assert (first.service, first.method, first.stream, first.first_ns) == ("helloworld.Greeter", "SayHello", 3, 7)
    assert (first.size_bytes, first.compressed, first.missing_bytes) == (len(HELLO), False, 0)
    assert first.request is call.request
    assert first.connection is CONNECTION


def test_byte_by_byte() -> None:
    call = Call()
    for at in range(len(BODY)):
        call.streams[1].receive(at, BODY[at : at + 1])
    assert call.shown == SHOWN
    assert [message.last_ns for message in call.grpc_messages][:2] == [11, 16]


@given(st.lists(st.integers(0, 1 << 16)))
def test_cut_anywhere(places: list[int]) -> None:
    call = Call()
    for piece in cut(BODY, places):
        call.streams[1].receive(1, piece)
    assert call.shown == SHOWN


@pytest.mark.parametrize("outgoing", [True, False])
def test_who_sent_it(outgoing: bool) -> None:
    call = Call(outgoing=outgoing)
    for stream in call.streams:
        stream.receive(1, framed(HELLO))
    request, response = call.grpc_messages
    assert (request.from_client, request.outgoing, request.number) == (True, outgoing, 1)
    assert (response.from_client, response.outgoing, response.number) == (False, not outgoing, 1)


@pytest.mark.parametrize(
    ("coding", "compress"),
    [(b"gzip", gzip.compress), (b"deflate", zlib.compress), (b"br", brotli.compress), (b"zstd", zstandard.compress)],
)
def test_compressed(coding: bytes, compress: Callable[[bytes], bytes]) -> None:
    call = Call(encoding=coding)
    packed = compress(HELLO)
    call.streams[0].receive(1, framed(packed, compressed=True) + framed(HELLO))
    assert call.shown == [(1, HELLO, {"1": "world"}, ""), (2, HELLO, {"1": "world"}, "")]
    sizes = [(message.compressed, message.size_bytes, message.wire_bytes) for message in call.grpc_messages]
    assert sizes == [(True, len(HELLO), len(packed)), (False, len(HELLO), None)]


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_coding_whose_name_was_missed_is_known_by_its_first_bytes(compress: Callable[[bytes], bytes]) -> None:
    call = Call()
    call.streams[1].receive(1, framed(compress(HELLO), compressed=True))
    assert call.shown == [(1, HELLO, {"1": "world"}, "")]


@pytest.mark.parametrize(
    ("coding", "data", "note"),
    [
        (b"snappy", HELLO, "compressed by snappy, which is unknown here"),
        (b"", HELLO, "compressed, by a coding nobody named"),
        (b"identity", HELLO, "compressed, by a coding nobody named"),
        (b"gzip", HELLO, "gzip: damaged, decoded up to there"),
    ],
)
def test_what_cannot_be_decompressed_is_said(coding: bytes, data: bytes, note: str) -> None:
    call = Call(encoding=coding)
    call.streams[0].receive(1, framed(data, compressed=True))
    ((_, _, fields, said),) = call.shown
    assert (fields, said) == (None, note)


def test_bombs_are_cut() -> None:
    call = Call(encoding=b"br", body_limit=1 << 40)
    call.streams[0].receive(1, framed(brotli.compress(bytes(UNFOLDED_LIMIT_BYTES // 2)), compressed=True))
    ((_, data, fields, note),) = call.shown
    assert len(data) < UNFOLDED_LIMIT_BYTES // 8
    assert note == f"br: cut at {len(data)} bytes"
    assert fields is None


def test_data_beyond_the_limit_is_cut() -> None:
    call = Call(body_limit=4)
    for at in range(len(BODY)):
        call.streams[0].receive(1, BODY[at : at + 1])
    assert [(data, fields, note) for _, data, fields, note in call.shown] == [
        (HELLO[:4], None, "cut at 4 bytes"),
        (b"", {}, ""),
        (b"\x08\x96\x01", {"1": 150}, ""),
        (b"\xff" * 4, None, "cut at 4 bytes"),
    ]
    assert call.grpc_messages[0].size_bytes == len(HELLO)


def test_four_gigabytes_take_no_memory() -> None:
    call = Call(body_limit=1000)
    call.streams[0].receive(1, b"\0" + b"\xff" * 4)
    piece = bytes(1 << 20)
    for _ in range(4095):
        call.streams[0].receive(1, piece)
    call.streams[0].receive(2, piece[:-1] + framed(HELLO))
    assert [message.size_bytes for message in call.grpc_messages] == [(1 << 32) - 1, len(HELLO)]
    assert len(call.grpc_messages[0].data) == 1000


def test_messages_too_big_to_decode_are_said_to_be() -> None:
    call = Call()
    call.streams[0].receive(1, framed(bytes(DECODED_LIMIT_BYTES + 1)))
    ((_, _, fields, note),) = call.shown
    assert fields is None
    assert note == f"too big for its fields to be shown, over {DECODED_LIMIT_BYTES} bytes"


@pytest.mark.parametrize("content_type", [b"application/grpc+json", b"application/grpc+thrift;x=y"])
def test_other_codecs_have_no_fields(content_type: bytes) -> None:
    call = Call(content_type=content_type)
    call.streams[0].receive(1, framed(b"{}"))
    assert call.shown == [(1, b"{}", None, "")]


@pytest.mark.parametrize("content_type", [b"Application/gRPC+proto", b"application/grpc ; charset=utf-8"])
def test_the_media_type_may_be_written_otherwise(content_type: bytes) -> None:
    call = Call(content_type=content_type)
    call.streams[0].receive(1, framed(HELLO))
    assert call.shown == [(1, HELLO, {"1": "world"}, "")]


# Losses.


def test_a_gap_within_a_message_leaves_the_next_ones_alone() -> None:
    call = Call()
    call.streams[0].receive(1, BODY[:7])
    call.streams[0].gap(2, 3)
    call.streams[0].receive(3, BODY[10:])
    assert call.shown == [(1, HELLO[:2] + HELLO[5:], None, ""), *SHOWN[1:]]
    assert [message.missing_bytes for message in call.grpc_messages] == [3, 0, 0, 0]
    assert call.finished().notes == ()


def test_a_gap_to_a_messages_end_ends_it() -> None:
    call = Call()
    call.streams[0].receive(1, BODY[:7])
    call.streams[0].gap(2, 5)
    assert call.shown == [(1, HELLO[:2], None, "")]
    call.streams[0].receive(3, BODY[12:])
    assert call.shown[1:] == SHOWN[1:]


@pytest.mark.parametrize(("before", "missing"), [(7, 6), (12, 1), (3, 2), (0, 17)])
def test_a_gap_over_a_messages_head_ends_reading(before: int, missing: int) -> None:
    call = Call()
    call.streams[0].receive(1, BODY[:before])
    call.streams[0].gap(2, missing)
    call.streams[0].receive(3, BODY[before + missing :])
    exchange = call.finished()
    assert [number for number, *_ in call.shown] == ([1] if before > 5 else [])
    assert exchange.notes == (f"grpc: {missing} bytes lost, messages from there on are not told apart",)
    assert exchange.grpc is not None
    assert exchange.grpc.sent == len(call.shown)


def test_what_is_no_message_ends_reading() -> None:
    call = Call()
    call.streams[0].receive(1, framed(HELLO) + b"\x02\0\0\0\0" + framed(HELLO))
    assert len(call.shown) == 1
    assert call.finished().notes == (
        "grpc: a message cannot begin with byte 0x02, messages from there on are not told apart",
    )


def test_a_message_cut_off_is_shown() -> None:
    call = Call(encoding=b"gzip")
    call.streams[0].receive(1, framed(HELLO)[:-2])
    call.streams[1].receive(1, framed(HELLO) + b"\0\0")
    exchange = call.finished()
    assert call.shown[1:] == [(1, HELLO[:-2], None, "unfinished, 2 bytes did not come")]
    assert exchange.notes == ("grpc: ends within the head of a message",)
    assert exchange.grpc is not None
    assert (exchange.grpc.sent, exchange.grpc.received) == (1, 1)


# The end of a call.


@pytest.mark.parametrize("wanted", [True, False])
def test_messages_are_counted_wanted_or_not(wanted: bool) -> None:
    call = Call(wanted=wanted)
    call.streams[0].receive(1, framed(HELLO))
    call.streams[1].receive(1, BODY)
    call.response.trailers = [(b"grpc-status", b"0"), (b"grpc-message", b"")]
    assert call.finished().grpc == GrpcCall("helloworld.Greeter", "SayHello", 1, 4, 0, "")
    assert len(call.messages) == (5 if wanted else 0)


def test_status_and_message_of_the_trailers() -> None:
    call = Call()
    call.response.trailers = [(b"grpc-status", b"5"), (b"grpc-message", b"no %22caf%C3%A9%22 100% %zz")]
    grpc = call.finished().grpc
    assert grpc is not None
    assert (grpc.status, grpc.message) == (5, 'no "café" 100% %zz')


def test_a_response_of_nothing_but_trailers() -> None:
    call = Call()
    call.response.headers.append((b"grpc-status", b"12"))
    call.response.headers.append((b"grpc-message", b"unknown method"))
    exchange = call.finished()
    assert exchange.grpc == GrpcCall("helloworld.Greeter", "SayHello", 0, 0, 12, "unknown method")


def test_a_response_that_is_no_grpc_leaves_the_status_unknown() -> None:
    call = Call()
    call.streams[0].close(1)
    exchange = Exchange(
        connection=CONNECTION, protocol="h2", outgoing=True, request=call.request, response=Response(status=502)
    )
    finish(exchange, call.streams[0], None)
    assert exchange.grpc is not None
    assert exchange.grpc.status is None
    exchange = Exchange(connection=CONNECTION, protocol="h2", outgoing=True, request=None, response=None)
    finish(exchange, None, call.streams[1])
    assert exchange.grpc == GrpcCall("", "")
    exchange = Exchange(connection=CONNECTION, protocol="h2", outgoing=True, request=None, response=None)
    finish(exchange, None, None)
    assert exchange.grpc is None


@pytest.mark.parametrize("digits", [b"", b"x", b"-1", b"9" * 100_000])
def test_a_status_that_is_no_number_is_unknown(digits: bytes) -> None:
    call = Call()
    call.response.trailers = [(b"grpc-status", digits), (b"grpc-message", b"m" * 100_000)]
    grpc = call.finished().grpc
    assert grpc is not None
    assert grpc.status == 2  # UNKNOWN
    assert len(grpc.message) == STATUS_MESSAGE_LIMIT


@pytest.mark.parametrize(
    ("target", "service", "method"),
    [("/a.B/C?x=1", "a.B", "C"), ("", "", ""), ("/", "", ""), ("/C", "", "C"), ("/x/a.B/C", "x/a.B", "C")],
)
def test_service_and_method_are_the_path(target: str, service: str, method: str) -> None:
    call = Call(target=target)
    call.streams[1].receive(1, framed(HELLO))
    (message,) = call.grpc_messages
    assert (message.service, message.method) == (service, method)
    assert call.finished().grpc == GrpcCall(service, method, 0, 1)


def test_notes_are_few() -> None:
    call = Call()
    call.streams[0].receive(1, b"\xff")
    for _ in range(2 * NOTES_LIMIT):
        call.streams[0].receive(1, b"\xff" * 5)
        call.streams[0].gap(1, 1)
    assert len(call.finished().notes) == 1


# Schemas.


class FakeSchemas:
    """Knows one call; of it, messages that begin with a field 1."""

    def fields(self, path: str, *, from_client: bool, data: bytes) -> object:
        if path != TARGET:
            return None
        if data[:1] != b"\x0a":
            raise ProtobufError("name has wire type 0, expected 2")
        return {"name": from_client}


def test_fields_have_names_where_a_schema_knows_them() -> None:
    call = Call(schemas=FakeSchemas())
    call.streams[0].receive(1, framed(HELLO))
    call.streams[1].receive(1, framed(HELLO) + framed(b"\x08\x01") + framed(b"\xff"))
    assert [(fields, note) for _, _, fields, note in call.shown] == [
        ({"name": True}, ""),
        ({"name": False}, ""),
        ({"1": 1}, "does not fit its schema: name has wire type 0, expected 2"),
        (None, "does not fit its schema: name has wire type 0, expected 2"),
    ]


def test_schemas_of_proto_files() -> None:
    text = "package helloworld; message M { string name = 1; } service Greeter { rpc SayHello (M) returns (M); }"
    call = Call(schemas=link([parse("hello.proto", text)]))
    call.streams[0].receive(1, framed(HELLO) + framed(b"\x08\x01"))
    assert [(fields, note) for _, _, fields, note in call.shown] == [
        ({"name": "world"}, ""),
        ({"1": 1}, "does not fit its schema: name has wire type 0, expected 2"),
    ]


def test_a_call_that_no_schema_knows_is_decoded_without() -> None:
    call = Call(schemas=FakeSchemas(), target="/other/Call")
    call.streams[0].receive(1, framed(HELLO))
    assert call.shown == [(1, HELLO, {"1": "world"}, "")]
