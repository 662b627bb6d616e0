# SPDX-License-Identifier: Apache-2.0
"""The default form: one line per exchange, a line for every loss; with `-v` blocks, with `-vv` records too.

Owns what is shown of which message. Lines are lines.py's, blocks verbose.py's.
"""

from __future__ import annotations

from plaintap.events import WRITE
from plaintap.messages import ConnectionEnded, Exchange, Lost, Message, Raw, RecordSeen, Secrets
from plaintap.outputs import who
from plaintap.outputs.base import DecodeBody, FormatOptions, undecoded
from plaintap.outputs.columns import WallClock, layout
from plaintap.outputs.handshakes import connection_of, handshake_words
from plaintap.outputs.lines import ABOUT, ASKED, WAS_ASKED, Lines
from plaintap.outputs.palette import palette
from plaintap.outputs.sizes import exact_bytes
from plaintap.outputs.verbose import Blocks

_RECORDS = 2  # -vv


class TextFormatter:
    """See `FormatOptions` for the parameters."""

    def __init__(
        self,
        *,
        clock_offset_ns: int,
        width: int | None,
        color: bool,
        verbose: int,
        hex_dump: bool,
        body_limit: int,
        decode_body: DecodeBody = undecoded,
    ) -> None:
        columns = layout(width)
        self._palette = palette(color=color)
        self._verbose = verbose
        self._hex_dump = hex_dump
        # An exchange is more than its line.
        self._rich = bool(verbose or hex_dump)
        # Behind a line among blocks.
        self._gap = "\n" if verbose else ""
        clock = WallClock(clock_offset_ns, milliseconds=columns.milliseconds)
        self._lines = Lines(layout=columns, palette=self._palette, clock=clock)
        self._blocks = Blocks(
            clock=WallClock(clock_offset_ns),
            palette=self._palette,
            hex_dump=hex_dump,
            body_limit=body_limit,
            decode_body=decode_body,
        )
        # Sessions that showed something; only needed, and only kept, with -v.
        self._shown: set[int] = set()

    @classmethod
    def of(cls, options: FormatOptions) -> TextFormatter:
        """What the registry makes."""
        return cls(
            clock_offset_ns=options.clock_offset_ns,
            width=options.width,
            color=options.color,
            verbose=options.verbose,
            hex_dump=options.hex_dump,
            body_limit=options.body_limit,
            decode_body=options.decode_body,
        )

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        if isinstance(message, Exchange):
            return self._exchange(message) if self._rich else self._lines.exchange(message)
        if isinstance(message, Raw):
            return self._raw(message)
        if isinstance(message, Lost):
            return self._lost(message)
        if isinstance(message, ConnectionEnded):
            return self._ended(message)
        if isinstance(message, Secrets):
            return self._secrets(message)
        return self._record(message) if isinstance(message, RecordSeen) else ""

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

    def _raw(self, raw: Raw) -> str:
        if self._verbose:
            self._shown.add(raw.connection.session)
            return self._blocks.raw(raw)
        sent = raw.direction == WRITE
        arrow, word = (ASKED, "sent") if sent else (WAS_ASKED, "got")
        line = self._lines.bytes_line(raw.connection, raw.ts_ns, arrow, word, raw.data)
        return line + self._blocks.raw_bytes(raw) if self._hex_dump else line

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
        if self._verbose and (ended.lost_bytes or connection.session not in self._shown):
            left = self._lines.left(connection, ended.ts_ns, ABOUT)
            facts = [f"{exact_bytes(ended.read_bytes)} received", f"{exact_bytes(ended.written_bytes)} sent"]
            if ended.lost_bytes:
                facts.append(self._palette.paint(self._palette.bad, f"{exact_bytes(ended.lost_bytes)} lost"))
            if connection.session not in self._shown:
                facts.append("nothing of it was shown")
            peer = who.peer(connection.socket) or "an unknown address"
            text = f"{left}ended ({ended.reason}), {peer}: {', '.join(facts)}\n{self._gap}"
        self._shown.discard(connection.session)
        self._lines.forget(connection)
        return text
