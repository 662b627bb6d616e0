# SPDX-License-Identifier: Apache-2.0
"""The form users of eCapture know: `PID:…, Comm:…, Src:…, Dest:…,` and the message as text below it.

One block per message, so an exchange makes two; Src is whoever sent it. What that tool does not know is a block too:
WebSockets, event streams and gRPC have a first line that says what it is.
"""

from __future__ import annotations

from plaintap.events import WRITE, Socket
from plaintap.messages import (
    Connection,
    Exchange,
    GrpcMessage,
    HttpHead,
    Lost,
    Message,
    Raw,
    Request,
    Response,
    ServerSentEvent,
    WebSocketMessage,
)
from plaintap.outputs.base import DecodeBody, FormatOptions
from plaintap.outputs.escape import escape, escape_bytes, escape_lines
from plaintap.outputs.hexdump import hexdump
from plaintap.outputs.pieces import left_out_bytes
from plaintap.outputs.sizes import exact_bytes
from plaintap.outputs.wiretext import clean

_UNKNOWN = "(unknown)"


class EcaptureFormatter:
    """Never cut but by `body_limit`, never coloured; control characters escaped like everywhere."""

    def __init__(self, *, hex_dump: bool, body_limit: int, decode_body: DecodeBody) -> None:
        self._hex_dump = hex_dump
        self._body_limit = body_limit
        self._decode_body = decode_body

    @classmethod
    def of(cls, options: FormatOptions) -> EcaptureFormatter:
        """What the registry makes."""
        return cls(hex_dump=options.hex_dump, body_limit=options.body_limit, decode_body=options.decode_body)

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        if isinstance(message, Exchange):
            return self._exchange(message)
        if isinstance(message, Raw):
            sent = message.direction == WRITE
            return f"{_title(message.connection, sent=sent)}{self._content(message.data, message.offset)}\n"
        if isinstance(message, Lost):
            sent = message.direction == WRITE
            what = f"lost {exact_bytes(message.missing_bytes)} at offset {message.offset:,}"
            return f"{_title(message.connection, sent=sent)}{what}\n\n"
        if isinstance(message, WebSocketMessage):
            return self._websocket(message)
        if isinstance(message, ServerSentEvent):
            return self._event(message)
        return self._grpc(message) if isinstance(message, GrpcMessage) else ""

    def _websocket(self, message: WebSocketMessage) -> str:
        code = f" {message.close_code}" if message.close_code is not None else ""
        line = f"WebSocket {escape(message.kind)}{code}, {exact_bytes(message.size_bytes)}"
        return self._block(message, line, message.data, sent=message.outgoing, more_bytes=left_out_bytes(message))

    def _event(self, message: ServerSentEvent) -> str:
        data = clean(message.data).encode()
        name = f" {escape(message.id)}" if message.id else ""
        line = f"event {escape(message.event)}{name}"
        more = max(0, message.size_bytes - len(data))
        return self._block(message, line, data, sent=message.outgoing, more_bytes=more)

    def _grpc(self, message: GrpcMessage) -> str:
        size = exact_bytes(message.size_bytes)
        line = f"gRPC {escape(message.service)}/{escape(message.method)}, message {message.number}, {size}"
        return self._block(message, line, message.data, sent=message.outgoing, more_bytes=left_out_bytes(message))

    def _block(
        self,
        message: WebSocketMessage | ServerSentEvent | GrpcMessage,
        line: str,
        data: bytes,
        *,
        sent: bool,
        more_bytes: int,
    ) -> str:
        text = f"{_title(message.connection, sent=sent)}{line}\n{self._content(data, 0, more_bytes=more_bytes)}"
        return f"{text}({escape(message.note)})\n\n" if message.note else f"{text}\n"

    def _exchange(self, exchange: Exchange) -> str:
        out = ""
        if request := exchange.request:
            method, target = escape(request.method) or _UNKNOWN, escape(request.target) or _UNKNOWN
            line = f"{method} {target} HTTP/{escape(request.version)}"
            out += _title(exchange.connection, sent=exchange.outgoing) + self._http(line, request)
        if response := exchange.response:
            status = response.status or _UNKNOWN
            line = f"HTTP/{escape(response.version)} {status} {escape(response.reason)}".rstrip()
            out += _title(exchange.connection, sent=not exchange.outgoing) + self._http(line, response)
        return out

    def _http(self, first_line: str, head: Request | Response) -> str:
        lines = [first_line, *map(_field, head.headers)]
        trailers = "".join([f"{_field(field)}\n" for field in head.trailers])
        return "\n".join(lines) + f"\n\n{self._body(head)}{trailers}\n"

    def _body(self, head: HttpHead) -> str:
        if not head.body_bytes:
            return ""
        content, note = self._decode_body(head.headers, head.body)
        kept_bytes = sum(map(len, head.body))
        more_bytes = max(0, head.body_bytes - kept_bytes - head.missing_bytes)
        text = self._content(content, 0, more_bytes=more_bytes)
        if head.missing_bytes:
            text += f"(lost {exact_bytes(head.missing_bytes)})\n"
        return f"{text}({escape(note)})\n" if note else text

    def _content(self, data: bytes, offset: int, *, more_bytes: int = 0) -> str:
        shown = data[: self._body_limit] if self._body_limit else data
        more_bytes += len(data) - len(shown)
        if self._hex_dump:
            text = hexdump(shown, offset)
        else:
            text = escape_lines(shown.decode("utf-8", "surrogateescape"))
            text += "" if not text or text.endswith("\n") else "\n"
        return f"{text}… {exact_bytes(more_bytes)} more\n" if more_bytes else text


def _field(field: tuple[bytes, bytes]) -> str:
    name, value = field
    return f"{escape_bytes(name)}: {escape_bytes(value)}" if name else f"{_UNKNOWN}: {escape_bytes(value) or _UNKNOWN}"


def _title(connection: Connection, *, sent: bool) -> str:
    local, remote = _ends(connection.socket)
    source, destination = (local, remote) if sent else (remote, local)
    return f"PID:{connection.pid}, Comm:{escape(connection.comm)}, Src:{source}, Dest:{destination},\n"


def _ends(socket: Socket | None) -> tuple[str, str]:
    if socket is None:
        return "?:0", "?:0"
    return f"{socket.local_address}:{socket.local_port}", f"{socket.remote_address}:{socket.remote_port}"
