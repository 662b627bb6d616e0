# SPDX-License-Identifier: Apache-2.0
"""The default form: one line per exchange, a line for every loss; with `-v` blocks, with `-vv` records too.

Owns what is shown of which message. Lines are lines.py's, blocks verbose.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plaintap.events import WRITE
from plaintap.messages import (
    ConnectionEnded,
    Exchange,
    GrpcMessage,
    Lost,
    Message,
    Raw,
    RecordSeen,
    Secrets,
    ServerSentEvent,
    WebSocketMessage,
)
from plaintap.outputs import who
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.columns import WallClock, layout
from plaintap.outputs.handshakes import connection_of, handshake_words
from plaintap.outputs.lines import ABOUT, ASKED, WAS_ASKED, Lines
from plaintap.outputs.opencalls import OpenCalls
from plaintap.outputs.palette import palette
from plaintap.outputs.pieces import StreamMessage, opening, piece_of
from plaintap.outputs.sizes import exact_bytes
from plaintap.outputs.verbose import Blocks

_RECORDS = 2  # -vv


class TextFormatter:
    """One for each output: it remembers what it has shown."""

    def __init__(self, options: FormatOptions) -> None:
        columns = layout(options.width)
        self._palette = palette(color=options.color)
        self._verbose = options.verbose
        self._filtered = options.filtered
        self._hex_dump = options.hex_dump
        # An exchange is more than its line.
        self._rich = bool(options.verbose or options.hex_dump)
        # Behind a line among blocks.
        self._gap = "\n" if options.verbose else ""
        clock = WallClock(options.clock_offset_ns, milliseconds=columns.milliseconds)
        self._lines = Lines(layout=columns, palette=self._palette, clock=clock, name_peers=options.name_peers)
        self._blocks = Blocks(
            clock=WallClock(options.clock_offset_ns),
            palette=self._palette,
            hex_dump=options.hex_dump,
            body_limit=options.body_limit,
            decode_body=options.decode_body,
            name_peers=options.name_peers,
        )
        # Sessions that showed something; only needed, and only kept, with -v.
        self._shown: set[int] = set()
        self._calls = OpenCalls()
        self._shows: dict[type, Callable[[Any], str]] = {
            WebSocketMessage: self._piece,
            ServerSentEvent: self._piece,
            GrpcMessage: self._grpc,
            Raw: self._piece,
            Lost: self._lost,
            ConnectionEnded: self._ended,
            Secrets: self._secrets,
            RecordSeen: self._record,
        }

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        if isinstance(message, Exchange):
            if message.grpc and self._calls:
                self._calls.ended(message.connection.session, message.stream)
            return self._exchange(message) if self._rich else self._lines.exchange(message)
        show = self._shows.get(type(message))
        return show(message) if show else ""

    def _exchange(self, exchange: Exchange) -> str:
        if not self._verbose:
            return self._lines.exchange(exchange) + self._blocks.hex_bodies(exchange)
        self._shown.add(exchange.connection.session)
        return self._blocks.exchange(exchange)

    def _secrets(self, secrets: Secrets) -> str:
        """With -v only, one line per handshake. Who asked whom is not known of it."""
        if not self._verbose or not secrets.gathered:
            return ""
        left = self._lines.left(connection_of(secrets), secrets.owner.ts_ns, ABOUT)
        return f"{left}{handshake_words(secrets)}\n"

    def _record(self, record: RecordSeen) -> str:
        if self._verbose < _RECORDS:
            return ""
        self._shown.add(record.connection.session)
        return self._blocks.record(record)

    def _piece(self, message: StreamMessage | Raw) -> str:
        """A message of a stream as it happens, or bytes nobody parses."""
        piece = piece_of(message)
        if self._verbose:
            self._shown.add(message.connection.session)
            return self._blocks.piece(message.connection, piece, offset=_offset(message))
        line = self._lines.piece(message.connection, piece)
        return line + self._blocks.piece_bytes(piece, offset=_offset(message)) if self._hex_dump else line

    def _grpc(self, message: GrpcMessage) -> str:
        """A short call of one message each way is a line of its own; of any other each message is one."""
        if self._verbose:
            return self._piece(message)
        due = self._calls.due(message.last_ns)
        return self._messages_of_calls([*due, *self._calls.take(message)])

    def tick(self, now_ns: int) -> str:
        """What is shown because time has passed: calls that stay open."""
        return self._messages_of_calls(self._calls.due(now_ns)) if self._calls else ""

    def _messages_of_calls(self, messages: list[GrpcMessage]) -> str:
        """Each behind a line that says which call it is, where its call was not heard of before."""
        out = []
        for message in messages:
            if self._calls.is_first(message):
                out.append(self._lines.piece(message.connection, opening(message)))
            out.append(self._piece(message))
        return "".join(out)

    def _lost(self, lost: Lost) -> str:
        sent = lost.direction == WRITE
        left = self._lines.left(lost.connection, lost.ts_ns, ASKED if sent else WAS_ASKED)
        peer = who.peer(lost.connection.socket) or "an unknown address"
        what = f"lost {exact_bytes(lost.missing_bytes)} {'sent to' if sent else 'received from'} {peer}"
        return f"{left}{self._palette.paint(self._palette.bad, f'{what} at offset {lost.offset:,}')}\n{self._gap}"

    def _ended(self, ended: ConnectionEnded) -> str:
        """With -v only, and only if it has not been heard of otherwise or its losses sum up."""
        connection = ended.connection
        text = ""
        unheard = connection.session not in self._shown and not self._filtered
        if self._verbose and (ended.lost_bytes or unheard):
            left = self._lines.left(connection, ended.ts_ns, ABOUT)
            facts = [f"{exact_bytes(ended.read_bytes)} received", f"{exact_bytes(ended.written_bytes)} sent"]
            if ended.lost_bytes:
                facts.append(self._palette.paint(self._palette.bad, f"{exact_bytes(ended.lost_bytes)} lost"))
            if unheard:
                facts.append("nothing of it was shown")
            peer = who.peer(connection.socket) or "an unknown address"
            text = f"{left}ended ({ended.reason}), {peer}: {', '.join(facts)}\n{self._gap}"
        self._shown.discard(connection.session)
        if self._calls:
            self._calls.ended(connection.session)
        self._lines.forget(connection)
        return text


def _offset(message: StreamMessage | Raw) -> int:
    """Where in its direction it begins; what has a protocol begins by itself."""
    return message.offset if isinstance(message, Raw) else 0
