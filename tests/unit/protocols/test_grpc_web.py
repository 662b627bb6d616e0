# SPDX-License-Identifier: Apache-2.0
"""gRPC-Web: messages and trailers in one body, in bytes or in base64, however it is cut."""

from __future__ import annotations

import gzip
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaintap.messages import Connection, Exchange, GrpcCall, GrpcMessage, Message, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols.bodystreams import StreamContext, finish, open_body_stream
from plaintap.protocols.grpc_web import TRAILERS_LIMIT, TRAILERS_LIMIT_BYTES
from plaintap.protocols.options import ParserOptions

CONNECTION = Connection(session=1, pid=2, tid=3, uid=4, comm="browser")
BINARY = b"application/grpc-web+proto"
TEXT = b"application/grpc-web-text+proto"


def framed(data: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


FRAMES = [
    framed(b"\x0a\x05world"),
    framed(b"\x08\x01"),
    framed(b"grpc-status: 3\r\nGrpc-Message:no%20name\r\nodd\r\n", 0x80),
]
BODY = b"".join(FRAMES)
PADDED = b"".join(b64encode(frame) for frame in FRAMES)
"""As servers send it that flush after each message."""
FIELDS = [{"1": "world"}, {"1": 1}]
CALL = GrpcCall("a.B", "C", 0, 2, 3, "no name", web=True)


class Played:
    """A response's body stream, and what it emitted."""

    def __init__(
        self, content_type: bytes, *, headers: Iterable[tuple[bytes, bytes]] = (), body_limit: int = 1 << 20
    ) -> None:
        self.messages: list[Message] = []
        self.request = Request(target="/a.B/C")
        self.response = Response(status=200, headers=[(b"Content-Type", content_type), *headers])
        options = ParserOptions(body_limit=body_limit)
        context = StreamContext(CONNECTION, self.messages.append, True, self.request, 0, options)
        stream = open_body_stream(self.response, context)
        assert stream is not None
        self.stream: BodyStream = stream

    def receive(self, pieces: Iterable[bytes]) -> Played:
        for piece in pieces:
            self.stream.receive(1, piece)
        return self

    @property
    def fields(self) -> list[object]:
        return [message.fields for message in self.messages if isinstance(message, GrpcMessage)]

    @property
    def exchange(self) -> Exchange:
        self.stream.close(9)
        exchange = Exchange(
            connection=CONNECTION, protocol="http/1.1", outgoing=True, request=self.request, response=self.response
        )
        finish(exchange, None, self.stream)
        return exchange


BODIES = [(BINARY, BODY), (b"application/grpc-web", BODY), (TEXT, PADDED), (TEXT, b64encode(BODY))]


@pytest.mark.parametrize(("content_type", "body"), BODIES)
def test_whole(content_type: bytes, body: bytes) -> None:
    played = Played(content_type).receive([body])
    assert played.fields == FIELDS
    assert played.exchange.grpc == CALL
    assert played.exchange.notes == ()


@pytest.mark.parametrize(("content_type", "body"), BODIES)
def test_byte_by_byte(content_type: bytes, body: bytes) -> None:
    played = Played(content_type).receive(body[at : at + 1] for at in range(len(body)))
    assert played.fields == FIELDS
    assert played.exchange.grpc == CALL


@given(st.sampled_from(BODIES), st.lists(st.integers(0, 1 << 16)))
def test_cut_anywhere(body: tuple[bytes, bytes], places: list[int]) -> None:
    edges = [0, *sorted(place % (len(body[1]) + 1) for place in places), len(body[1])]
    played = Played(body[0]).receive(body[1][start:end] for start, end in pairwise(edges))
    assert played.fields == FIELDS
    assert played.exchange.grpc == CALL


def test_a_message_in_base64_is_emitted_when_its_last_four_characters_come() -> None:
    played = Played(TEXT)
    played.receive([PADDED[:15]])
    assert played.fields == []
    played.receive([PADDED[15:16]])
    assert played.fields == FIELDS[:1]


def test_base64_may_have_line_ends_and_the_other_alphabet() -> None:
    body = framed(b"\xfb\xff\xbe") + framed(b"\x08\x01")
    played = Played(TEXT).receive([urlsafe_b64encode(body)[:6] + b"\r\n" + urlsafe_b64encode(body)[6:]])
    assert played.fields == [None, {"1": 1}]


@pytest.mark.parametrize("body", [b"A===", b"====", b"=AAA", b"AA=A"])
def test_damaged_base64_ends_reading(body: bytes) -> None:
    played = Played(TEXT).receive([PADDED[:16], body, PADDED[16:]])
    assert played.fields == FIELDS[:1]
    assert played.exchange.notes == ("grpc: damaged base64, messages from there on are not told apart",)


@pytest.mark.parametrize(("start", "end"), [(9, 12), (8, 12), (9, 13), (10, 11), (11, 14), (8, 16), (10, 16)])
def test_a_gap_within_a_message_in_base64(start: int, end: int) -> None:
    body = b64encode(framed(b"\x0a\x0cconstantinople"[:14]) + framed(b"\x08\x01"))
    played = Played(TEXT).receive([body[:start]])
    played.stream.gap(2, end - start)
    played.receive([body[end:]])
    first, second = (message for message in played.messages if isinstance(message, GrpcMessage))
    assert first.missing_bytes >= (end - start) * 3 // 4
    assert first.missing_bytes + len(first.data) == 14
    assert second.fields == {"1": 1}


def test_gaps_in_a_row_in_base64() -> None:
    body = b64encode(framed(b"\x0a\x0cconstantinople"[:14]) + framed(b"\x08\x01"))
    played = Played(TEXT).receive([body[:9]])
    played.stream.gap(2, 1)
    played.stream.gap(2, 1)
    played.receive([body[11:12]])
    played.stream.gap(2, 1)
    played.receive([body[13:]])
    first, second = (message for message in played.messages if isinstance(message, GrpcMessage))
    assert first.missing_bytes == 6
    assert second.fields == {"1": 1}


def test_trailers_may_be_compressed() -> None:
    trailers = framed(gzip.compress(b"grpc-status:0\r\n"), 0x81)
    played = Played(BINARY, headers=[(b"Grpc-Encoding", b"gzip")]).receive([trailers])
    assert played.exchange.grpc == GrpcCall("a.B", "C", 0, 0, 0, "", web=True)


def test_trailers_do_not_depend_on_what_is_kept_of_bodies() -> None:
    played = Played(BINARY, body_limit=0).receive([BODY])
    assert [message.note for message in played.messages if isinstance(message, GrpcMessage)] == ["cut at 0 bytes"] * 2
    assert played.exchange.grpc == CALL


def test_trailers_are_bounded() -> None:
    played = Played(BINARY).receive([framed(b"a:b\r\n" * TRAILERS_LIMIT * 2 + b"grpc-status:0\r\n", 0x80)])
    grpc = played.exchange.grpc
    assert grpc is not None
    assert grpc.status is None
    huge = framed(b"grpc-status:0\r\nx:" + bytes(TRAILERS_LIMIT_BYTES), 0x80)
    assert Played(BINARY).receive([huge]).exchange.grpc == GrpcCall("a.B", "C", 0, 0, 0, "", web=True)


def test_trailers_cut_off_are_said_to_be() -> None:
    played = Played(BINARY).receive([BODY[:-8]])
    assert played.exchange.notes == ("grpc-web trailers: not all of them came",)
    assert played.exchange.grpc is not None
    assert played.exchange.grpc.status == 3


def test_a_gap_ends_a_message_unread_and_trailers_go_with_it() -> None:
    played = Played(BINARY).receive([BODY[:3]])
    played.stream.gap(2, 5)
    assert played.receive([BODY[8:]]).exchange.grpc == GrpcCall("a.B", "C", web=True)


def test_a_content_coding_is_undone() -> None:
    played = Played(BINARY, headers=[(b"content-encoding", b"gzip")]).receive([gzip.compress(BODY)])
    assert played.fields == FIELDS
    assert played.exchange.grpc == CALL


def test_status_of_the_headers_where_there_is_no_body() -> None:
    played = Played(BINARY, headers=[(b"Grpc-Status", b"16")])
    assert played.exchange.grpc == GrpcCall("a.B", "C", 0, 0, 16, "", web=True)
