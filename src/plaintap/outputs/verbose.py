# SPDX-License-Identifier: Apache-2.0
"""Blocks of several lines: `-v` exchanges with headers and bodies, raw bytes, raw records, hex dumps."""

from __future__ import annotations

from collections.abc import Iterable

from plaintap.events import WRITE
from plaintap.messages import Connection, Exchange, HttpHead, RecordSeen, Request, Response
from plaintap.outputs import who
from plaintap.outputs.base import DecodeBody
from plaintap.outputs.columns import WallClock
from plaintap.outputs.escape import escape, escape_bytes, escape_lines
from plaintap.outputs.grpcstatus import status_words
from plaintap.outputs.hexdump import hexdump
from plaintap.outputs.lines import ASKED, WAS_ASKED
from plaintap.outputs.palette import Palette
from plaintap.outputs.pieces import Piece
from plaintap.outputs.pretty import as_text, show_body
from plaintap.outputs.remarks import header
from plaintap.outputs.sizes import count, duration, exact_bytes, size
from plaintap.outputs.suites import suite_name, version_name


class Blocks:
    """Makes blocks, each with an empty line behind it; keeps nothing."""

    def __init__(
        self,
        *,
        clock: WallClock,
        palette: Palette,
        hex_dump: bool,
        body_limit: int,
        decode_body: DecodeBody,
        name_peers: bool = False,
    ) -> None:
        self._clock = clock
        self._palette = palette
        self._hex_dump = hex_dump
        self._body_limit = body_limit
        self._decode_body = decode_body
        self._name_peers = name_peers

    def exchange(self, exchange: Exchange) -> str:
        """The line about the connection, the request, the response."""
        request, response = exchange.request, exchange.response
        out = [self._title(exchange)]
        if request:
            target = escape(request.target) or who.UNKNOWN
            method = self._palette.paint(self._palette.head, escape(request.method) or who.UNKNOWN)
            out.append(f"{method} {target} HTTP/{escape(request.version)}\n")
            if request.authority:
                out.append(self._field(":authority", escape(request.authority)))
            out.append(self._message(request, "request", call=exchange.grpc is not None))
        else:
            out.append(self._remark("request not seen"))
        out.append("\n")
        out.extend(f"{self._status(exchange, status, '')}\n" for status in exchange.interim)
        if exchange.more_interim:
            out.append(f"… {count(exchange.more_interim, 'more interim response')}\n")
        if response:
            out.append(f"{self._status(exchange, response.status, escape(response.reason))}\n")
            out.append(self._message(response, "response", call=exchange.grpc is not None))
        else:
            out.append(self._remark("no response"))
        if call := exchange.grpc:
            name = status_words(call.status) or ("OK" if call.status == 0 else "status not seen")
            words = f"{call.sent} ↑ {call.received} ↓, {name}{f': {escape(call.message)}' if call.message else ''}"
            out.append(f"{self._palette.paint(self._palette.bad if call.status else '', words)}\n")
        out.extend(f"{self._palette.paint(self._palette.bad, escape(note))}\n" for note in exchange.notes)
        return "".join(out) + "\n"

    def hex_bodies(self, exchange: Exchange) -> str:
        """The bodies alone, as hex dumps under their exchange's line."""
        out = []
        for arrow, head in (("request", exchange.request), ("response", exchange.response)):
            if head and head.body:
                out.append(f"{arrow} body\n{self._body(head)}")
        return "".join(out)

    def piece(self, connection: Connection, piece: Piece, *, offset: int) -> str:
        """A message of a stream, or bytes no protocol claimed: text escaped, anything else as a hex dump."""
        arrow = ASKED if piece.sent else WAS_ASKED
        verb = "sent" if piece.sent else "received"
        what = " ".join(
            filter(None, (piece.name, piece.word if piece.about or piece.name == "ws" else "", piece.about))
        )
        where = f" at offset {offset:,}" if offset or piece.name == "raw" else ""
        notes = "".join(map(self._remark, piece.notes))
        line = f"{self._clock.text(piece.ts_ns)}  {self._who(connection, arrow)}"
        wire = f", {piece.on_the_wire}" if piece.on_the_wire else ""
        title = f"{line}   {what}: {exact_bytes(piece.size_bytes or 0)} {verb}{wire}{where}\n"
        return f"{title}{self.piece_bytes(piece, offset=offset)}{notes}\n"

    def piece_bytes(self, piece: Piece, *, offset: int) -> str:
        """The bytes of `piece` without a title."""
        data = piece.data
        if piece.content_type and not self._hex_dump:
            return show_body(data, content_type=piece.content_type, limit=self._body_limit)
        shown = data[: self._body_limit] if self._body_limit else data
        text = None if self._hex_dump else as_text(shown)
        body = hexdump(shown, offset) if text is None else _with_newline(escape_lines(text)) if text else ""
        return body + self._more(len(data) - len(shown))

    def record(self, record: RecordSeen) -> str:
        """A record as it left the kernel."""
        return f"{self._bytes_title(record, f'record, thread {record.tid}')}{hexdump(record.data, record.offset)}\n"

    def _title(self, exchange: Exchange) -> str:
        request, response = exchange.request, exchange.response
        connection = exchange.connection
        first = request or response
        who_text = self._who(connection, ASKED if exchange.outgoing else WAS_ASKED)
        host = ""
        if request and exchange.outgoing:
            host = escape(request.authority) or escape_bytes(header(request, b"host")) or escape(connection.sni)
        agreed = f"{version_name(connection.tls_version)} {suite_name(connection.cipher)}".strip()
        facts = [agreed, connection.library and escape(connection.library), exchange.protocol]
        if exchange.pushed:
            facts.append("pushed")
        if request and response:
            facts.append(duration(max(0, response.last_ns - request.first_ns)))
        line = f"{self._clock.text(first.first_ns if first else 0)}  {who_text}"
        return f"{line}{f' ({host})' if host else ''}   {', '.join(filter(None, facts))}\n"

    def _bytes_title(self, seen: RecordSeen, what: str) -> str:
        arrow = ASKED if seen.direction == WRITE else WAS_ASKED
        verb = "sent" if seen.direction == WRITE else "received"
        line = f"{self._clock.text(seen.ts_ns)}  {self._who(seen.connection, arrow)}"
        return f"{line}   {what}: {exact_bytes(len(seen.data))} {verb} at offset {seen.offset:,}\n"

    def _who(self, connection: Connection, arrow: str) -> str:
        process = self._palette.paint(self._palette.head, who.process(connection))
        address = who.peer(connection.socket) or who.UNKNOWN
        peer = f"{who.process(connection.peer)} at " if self._name_peers and connection.peer else ""
        return f"{process} {arrow} {peer}{address}"

    def _status(self, exchange: Exchange, status: int, reason: str) -> str:
        head: HttpHead | None = exchange.response or exchange.request
        version = escape(head.version) if head else ""
        text = f"{status or who.UNKNOWN} {reason}".rstrip()
        return f"HTTP/{version} {self._palette.paint(self._palette.status(status), text)}"

    def _field(self, name: str, value: str) -> str:
        return f"{self._palette.paint(self._palette.name, name)}: {value}\n"

    def _fields(self, fields: Iterable[tuple[bytes, bytes]]) -> str:
        """What is unknown of them is a question mark: an empty name is none."""
        lines = []
        for name, value in fields:
            known = escape_bytes(value) if name or value else who.UNKNOWN
            lines.append(self._field(escape_bytes(name) or who.UNKNOWN, known))
        return "".join(lines)

    def _message(self, head: Request | Response, name: str, *, call: bool) -> str:
        out = [self._fields(head.headers)]
        body = "" if call and not self._hex_dump else self._body(head)  # its messages were shown as they came
        if body:
            out.append(f"\n{body}")
        if head.trailers:
            out.append(f"\n{self._fields(head.trailers)}")
        if head.missing_bytes:
            text = f"lost {exact_bytes(head.missing_bytes)} of the {name}"
            out.append(f"{self._palette.paint(self._palette.bad, text)}\n")
        elif not head.complete:
            out.append(self._remark(f"{name} incomplete"))
        return "".join(out)

    def _body(self, head: HttpHead) -> str:
        """Decoded, by type; "" for no body."""
        content, note = self._decode_body(head.headers, head.body) if head.body else (b"", "")
        kept_bytes = sum(map(len, head.body))
        never_kept_bytes = max(0, head.body_bytes - kept_bytes - head.missing_bytes)
        if self._hex_dump:
            shown = content[: self._body_limit] if self._body_limit else content
            text = hexdump(shown) + self._more(len(content) - len(shown) + never_kept_bytes)
        else:
            kind = header(head, b"content-type")
            text = show_body(content, content_type=kind, limit=self._body_limit, more_bytes=never_kept_bytes)
        return text + (self._remark(escape(note)) if note else "")

    def _more(self, more_bytes: int) -> str:
        return f"… {size(more_bytes)} more\n" if more_bytes else ""

    def _remark(self, text: str) -> str:
        return f"{self._palette.paint(self._palette.dim, f'({text})')}\n"


def _with_newline(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"
