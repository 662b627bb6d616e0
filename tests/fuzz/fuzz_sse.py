# SPDX-License-Identifier: Apache-2.0
"""Hostile event streams: events do not depend on how bytes were cut, and are not more than what came.

The first byte says the coding, the limit and where to cut or lose.
"""

from __future__ import annotations

import gzip

import brotli
import zstandard

from plaintap.messages import Connection, Exchange, Message, Response, ServerSentEvent
from plaintap.parsing import BodyStream
from plaintap.protocols.bodystreams import StreamContext, finish, open_body_stream
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.sse import EVENT_LIMIT_BYTES
from plaintap.protocols.streamcodings import UNFOLDED_FREE_BYTES, UNFOLDING_RATIO_LIMIT

EVENTS = (
    b": c\n\ndata: one\n\nevent: e\r\ndata:two\r\ndata: 2\r\nid: 7\r\nretry: 25\r\n\r\n"
    b"data\rid: \0\r\rdata: caf\xc3\xa9"
)
CODINGS = (b"", b"gzip", b"br", b"zstd", b"deflate", b"gzip, br", b"x")
SEEDS = [
    b"\x00" + EVENTS,
    b"\x48" + EVENTS,
    b"\xb0" + EVENTS,
    b"\x01" + gzip.compress(EVENTS),
    b"\x42" + brotli.compress(EVENTS * 50),
    b"\x03" + zstandard.compress(EVENTS * 50),
    b"\x01" + gzip.compress(bytes(1 << 20)),
    b"\x42" + brotli.compress(b"data: \n" * (1 << 15)),
    b"\x03" + zstandard.compress(b"\n" * (1 << 18)),
]
CONNECTION = Connection(session=1, pid=2, tid=3, uid=4, comm="fuzz")


def _opened(control: int, into: list[Message]) -> BodyStream:
    headers = [(b"content-type", b"text/event-stream")]
    if coding := CODINGS[control % 8 % len(CODINGS)]:
        headers.append((b"content-encoding", coding))
    options = ParserOptions(body_limit=10 if control & 8 else 1 << 20)
    context = StreamContext(CONNECTION, into.append, True, None, 0, options)
    stream = open_body_stream(Response(headers=headers), context)
    assert stream is not None
    return stream


def _finished(stream: BodyStream) -> None:
    stream.close(9)
    exchange = Exchange(connection=CONNECTION, protocol="h2", outgoing=True, request=None, response=None)
    finish(exchange, None, stream)
    assert len(exchange.notes) <= 1


def _shown(messages: list[Message]) -> list[tuple[str, str, str, int | None, str]]:
    return [
        (message.event, message.data, message.id, message.retry_ms, message.note)
        for message in messages
        if isinstance(message, ServerSentEvent)
    ]


def one(data: bytes) -> None:
    control, body = data[0] if data else 0, data[1:]
    whole: list[Message] = []
    stream = _opened(control, whole)
    stream.receive(1, body)
    _finished(stream)
    limit = UNFOLDED_FREE_BYTES + UNFOLDING_RATIO_LIMIT * len(body) + 2 * EVENT_LIMIT_BYTES
    assert sum(len(event[1]) for event in _shown(whole)) <= limit, "grows"

    cut: list[Message] = []
    stream = _opened(control, cut)
    step = 1 + control // 16
    for start in range(0, len(body), step):
        stream.receive(1, body[start : start + step])
    _finished(stream)
    # A coding that is damaged or a bomb gives more, the less comes at once.
    if not CODINGS[control % 8 % len(CODINGS)]:
        assert _shown(cut) == _shown(whole), "cuts tell"

    lost: list[Message] = []
    stream = _opened(control, lost)
    stream.receive(1, body[: step * 3])
    stream.gap(2, step)
    stream.receive(3, body[step * 4 :])
    _finished(stream)
    assert sum(len(event[1]) for event in _shown(lost)) <= limit, "grows"
