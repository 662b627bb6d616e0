# SPDX-License-Identifier: Apache-2.0
"""The cells of an exchange's line, each padded and painted once for a value and remembered; lines.py joins them."""

from __future__ import annotations

from plaintap.outputs import who
from plaintap.outputs.columns import (
    DURATION_COLUMNS,
    KIND_COLUMNS,
    SIZE_COLUMNS,
    Layout,
    Memo,
    cut_middle,
    pad,
)
from plaintap.outputs.escape import cells, escape
from plaintap.outputs.kinds import kind_name
from plaintap.outputs.palette import Palette
from plaintap.outputs.sizes import duration as duration_text
from plaintap.outputs.sizes import size

METHOD_COLUMNS = 5
_SLOW_US = 1_000_000


class Cells:
    """By method (with its columns), content type, status, bytes and microseconds."""

    def __init__(self, *, layout: Layout, palette: Palette) -> None:
        self._layout = layout
        self._palette = palette
        self.methods: Memo[str, tuple[str, int]] = Memo(self._method_cell, limit=64)
        self.kinds: Memo[bytes, str] = Memo(self._kind_cell, limit=512)
        self.statuses: Memo[int, str] = Memo(self._status_cell, limit=1024)
        self.sizes: Memo[int, str] = Memo(
            lambda size_bytes: f"{size(size_bytes):>{SIZE_COLUMNS}}" if layout.size else ""
        )
        self.durations: Memo[int, str] = Memo(lambda us: self._duration_cell(us, bad=False))
        self.durations_of_errors: Memo[int, str] = Memo(lambda us: self._duration_cell(us, bad=True))

    def _method_cell(self, method: str) -> tuple[str, int]:
        text = cut_middle(escape(method), 2 * METHOD_COLUMNS) or who.UNKNOWN
        columns = max(METHOD_COLUMNS, cells(text) + 1)
        return self._palette.paint(self._palette.dim, text) + " " * (columns - cells(text)), columns

    def _kind_cell(self, content_type: bytes) -> str:
        return pad(kind_name(content_type), KIND_COLUMNS) if self._layout.kind else ""

    def _status_cell(self, status: int) -> str:
        return f"  {self._palette.paint(self._palette.status(status), f'{status or who.UNKNOWN:>3}')}  "

    def _duration_cell(self, us: int, *, bad: bool) -> str:
        if not self._layout.duration:
            return ""
        text = duration_text(max(0, us) * 1000)
        slow = us > _SLOW_US
        blanks = " " * (DURATION_COLUMNS - len(text))
        painted = self._palette.paint(self._palette.slow, text) if slow else text
        mark = self._palette.paint(self._palette.bad, "!") if slow or bad else " "
        return f"{blanks}{painted} {mark}"
