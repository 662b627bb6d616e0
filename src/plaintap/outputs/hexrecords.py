# SPDX-License-Identifier: Apache-2.0
"""The hex form: every piece of plaintext as it passed, whole and in order, with its offset in its direction.

Nothing is taken apart: heads, frames and codings are as the peers wrote them. `--hex` of the text form is for bodies.
"""

from __future__ import annotations

from plaintap.events import WRITE
from plaintap.messages import Connection, Lost, Message, RecordSeen
from plaintap.outputs import who
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.columns import WallClock
from plaintap.outputs.hexdump import hexdump
from plaintap.outputs.sizes import exact_bytes

_SENT, _RECEIVED = "→", "←"


class HexFormatter:
    """A line that says whose bytes they are, a dump, an empty line."""

    def __init__(self, *, clock_offset_ns: int) -> None:
        self._clock = WallClock(clock_offset_ns)

    @classmethod
    def of(cls, options: FormatOptions) -> HexFormatter:
        """What the registry makes."""
        return cls(clock_offset_ns=options.clock_offset_ns)

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        if isinstance(message, RecordSeen):
            title = self._title(message.connection, message.ts_ns, message.direction)
            what = f"{exact_bytes(len(message.data))} at offset {message.offset:,}"
            return f"{title}  {what}\n{hexdump(message.data, message.offset)}\n"
        if isinstance(message, Lost):
            title = self._title(message.connection, message.ts_ns, message.direction)
            return f"{title}  lost {exact_bytes(message.missing_bytes)} at offset {message.offset:,}\n\n"
        return ""

    def _title(self, connection: Connection, ts_ns: int, direction: int) -> str:
        peer = who.peer(connection.socket) or who.UNKNOWN
        arrow = _SENT if direction == WRITE else _RECEIVED
        return f"{self._clock.text(ts_ns)}  {who.process(connection)} {arrow} {peer}"
