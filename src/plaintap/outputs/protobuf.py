# SPDX-License-Identifier: Apache-2.0
"""The protobuf form: messages as `event.LogEntry` of proto/event.proto, each behind its length; for programs.

Which bytes a payload has is protobuf_payload.py's, which events a sink keeps whole framing.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from plaintap.events import WRITE
from plaintap.messages import (
    Connection,
    Exchange,
    GrpcMessage,
    Lost,
    Message,
    Raw,
    ServerSentEvent,
    WebSocketMessage,
)
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.framing import with_length
from plaintap.outputs.protobuf_payload import request_payload, response_payload
from plaintap.outputs.wiretext import clean

UNKNOWN, HTTP1_REQUEST, HTTP2_REQUEST, HTTP1_RESPONSE, HTTP2_RESPONSE = range(5)
HEARTBEAT, PROCESS_LOG, EVENT = range(3)
_SCHEMA = Path(__file__).with_name("event.binpb")
_NS_PER_S = 1_000_000_000


@cache
def log_entry() -> Any:  # noqa: ANN401 - classes that are made of the schema have no static type
    """The class of `event.LogEntry`."""
    # 30 ms that only this form and the eCaptureQ server should cost.
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415

    files = descriptor_pb2.FileDescriptorSet.FromString(_SCHEMA.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)  # type: ignore[no-untyped-call,unused-ignore]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("event.LogEntry"))


def heartbeat(seconds: int, count: int) -> bytes:
    """One entry, without its length."""
    beat = {"timestamp": seconds, "count": count, "message": f"heartbeat:{count}"}
    data: bytes = log_entry()(log_type=HEARTBEAT, heartbeat_payload=beat).SerializeToString()
    return data


def process_log(text: str) -> bytes:
    """One entry, without its length."""
    data: bytes = log_entry()(log_type=PROCESS_LOG, run_log=clean(text)).SerializeToString()
    return data


class _Part(NamedTuple):
    """What becomes an event."""

    connection: Connection
    sent: bool
    """By the process that was captured."""
    ts_ns: int
    type: int
    payload: bytes


class ProtobufFormatter:
    """Entries behind their lengths."""

    def __init__(self, options: FormatOptions) -> None:
        self._offset_ns = options.clock_offset_ns
        self._decode_body = options.decode_body
        self._seq = 0
        self._entry = log_entry()

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are told with this offset."""
        self._offset_ns = clock_offset_ns

    def format(self, _message: Message) -> str:
        """Always "": there is no text of it, see `encode`."""
        return ""

    def encode(self, messages: Iterable[Message]) -> bytes:
        """Of each message as many entries as it has sides."""
        return b"".join([with_length(entry) for message in messages for entry in self._entries(message)])

    def log(self, text: str, *, ts_ns: int) -> bytes:
        """A line of ours."""
        return with_length(process_log(text))

    def _entries(self, message: Message) -> Iterator[bytes]:
        if isinstance(message, Lost):
            way = "sent" if message.direction == WRITE else "received"
            who = message.connection
            yield process_log(f"lost {message.missing_bytes} bytes that pid {who.pid} ({who.comm}) {way}")
            return
        for part in self._parts(message):
            yield self._event(part)

    def _parts(self, message: Message) -> Iterator[_Part]:
        if isinstance(message, Exchange):
            yield from self._exchange(message)
        elif isinstance(message, Raw):
            yield _Part(message.connection, message.direction == WRITE, message.ts_ns, UNKNOWN, message.data)
        elif isinstance(message, ServerSentEvent):
            data = clean(message.data).encode()
            yield _Part(message.connection, message.outgoing, message.last_ns, UNKNOWN, data)
        elif isinstance(message, WebSocketMessage | GrpcMessage):
            yield _Part(message.connection, message.outgoing, message.last_ns, UNKNOWN, message.data)

    def _exchange(self, exchange: Exchange) -> Iterator[_Part]:
        second = exchange.protocol == "h2"
        if request := exchange.request:
            kind = HTTP2_REQUEST if second else HTTP1_REQUEST
            payload = request_payload(request, self._decode_body)
            yield _Part(exchange.connection, exchange.outgoing, request.first_ns, kind, payload)
        if response := exchange.response:
            kind = HTTP2_RESPONSE if second else HTTP1_RESPONSE
            payload = response_payload(response, self._decode_body)
            yield _Part(exchange.connection, not exchange.outgoing, response.first_ns, kind, payload)

    def _event(self, part: _Part) -> bytes:
        connection, socket = part.connection, part.connection.socket
        self._seq += 1
        entry = self._entry()
        entry.log_type = EVENT
        event = entry.event_payload
        event.timestamp = part.ts_ns + self._offset_ns
        event.pid, event.pname = connection.pid, clean(connection.comm)
        fd = socket.fd if socket else -1
        event.uuid = f"{connection.pid}_{connection.tid}_{event.pname}_{fd}_{connection.session:x}"
        if socket:
            local, remote = (socket.local_address, socket.local_port), (socket.remote_address, socket.remote_port)
            source, destination = (local, remote) if part.sent else (remote, local)
            event.src_ip, event.src_port = source
            event.dst_ip, event.dst_port = destination
        event.type, event.length, event.payload, event.seq = part.type, len(part.payload), part.payload, self._seq
        data: bytes = entry.SerializeToString()
        return data
