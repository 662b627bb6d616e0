# SPDX-License-Identifier: Apache-2.0
"""Hostile gRPC and gRPC-Web bodies: messages do not depend on how bytes were cut, and no byte is lost unsaid.

The first byte says the form, the limit and where to cut or lose.
"""

from __future__ import annotations

import gzip
from base64 import b64encode

from plaintap.messages import Connection, Exchange, GrpcMessage, Message, Request, Response
from plaintap.parsing import BodyStream
from plaintap.protocols.bodystreams import StreamContext, finish, open_body_stream
from plaintap.protocols.grpc import NOTES_LIMIT, UNFOLDING_RATIO_LIMIT
from plaintap.protocols.options import ParserOptions


def _framed(data: bytes, flags: int = 0) -> bytes:
    return bytes((flags,)) + len(data).to_bytes(4, "big") + data


BODY = _framed(b"\x0a\x05world") + _framed(b"") + _framed(gzip.compress(b"\x08\x01"), 1) + _framed(b"\xff" * 30)
WEB = BODY + _framed(b"grpc-status: 3\r\ngrpc-message: no%20name\r\n", 0x80)
SEEDS = [
    b"\x00" + BODY,
    b"\x04" + BODY,
    b"\x51" + WEB,
    b"\x32" + b64encode(WEB),
    b"\x12" + b64encode(_framed(b"\x08\x01")) + b64encode(WEB),
    b"\x00" + _framed(gzip.compress(bytes(1 << 20)), 1),
    b"\x00" + b"\0\xff\xff\xff\xff" + BODY,
]
TYPES = (b"application/grpc", b"application/grpc-web", b"application/grpc-web-text")
CONNECTION = Connection(session=1, pid=2, tid=3, uid=4, comm="fuzz")
Shown = list[tuple[int, bytes, int, int, str, object]]


class _Played:
    """One body; `exchange` ends it."""

    def __init__(self, control: int) -> None:
        self.messages: list[Message] = []
        headers = [(b"content-type", TYPES[control % 4 % 3]), (b"grpc-encoding", b"gzip")]
        self.request = Request(target="/a.B/C", headers=headers)
        self.response = Response(headers=headers)
        options = ParserOptions(body_limit=20 if control & 4 else 1 << 22)
        context = StreamContext(CONNECTION, self.messages.append, True, self.request, 0, options)
        stream = open_body_stream(self.response, context)
        assert stream is not None
        self.stream: BodyStream = stream

    def exchange(self) -> Exchange:
        self.stream.close(9)
        exchange = Exchange(
            connection=CONNECTION, protocol="h2", outgoing=True, request=self.request, response=self.response
        )
        finish(exchange, None, self.stream)
        assert exchange.grpc is not None
        assert exchange.grpc.received == len(self.shown), "count"
        assert len(exchange.notes) <= NOTES_LIMIT
        return exchange

    @property
    def shown(self) -> Shown:
        return [
            (message.number, message.data, _transferred(message), message.missing_bytes, message.note, message.fields)
            for message in self.messages
            if isinstance(message, GrpcMessage)
        ]


def _transferred(message: GrpcMessage) -> int:
    return message.size_bytes if message.wire_bytes is None else message.wire_bytes


def one(data: bytes) -> None:
    control, body = data[0] if data else 0, data[1:]
    whole = _Played(control)
    whole.stream.receive(1, body)
    exchange = whole.exchange()
    held = sum(len(message[1]) for message in whole.shown)
    assert held <= UNFOLDING_RATIO_LIMIT * (len(body) + 1), "grows"
    if control % 4 % 3 == 0 and not exchange.notes:
        unfinished = sum(int(message[4].split()[1]) for message in whole.shown if message[4].startswith("unfinished"))
        assert sum(5 + message[2] for message in whole.shown) - unfinished == len(body), "lost bytes"

    step = 1 + control // 8
    cut = _Played(control)
    for start in range(0, len(body), step):
        cut.stream.receive(1, body[start : start + step])
    ended = cut.exchange()
    assert cut.shown == whole.shown, "cuts tell"
    assert (ended.grpc, ended.notes) == (exchange.grpc, exchange.notes), "cuts tell"

    lost = _Played(control)
    lost.stream.receive(1, body[: step * 3])
    lost.stream.gap(2, step)
    lost.stream.receive(3, body[step * 4 :])
    lost.exchange()
    assert sum(len(message[1]) for message in lost.shown) <= UNFOLDING_RATIO_LIMIT * (len(body) + 1), "grows"
