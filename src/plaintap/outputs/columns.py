# SPDX-License-Identifier: Apache-2.0
"""The columns of one-line forms: which fit a terminal, cutting, the clock, remembered cells.

Knows no message; text.py fills the columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import Generic, TypeVar

from plaintap.outputs.escape import cells
from plaintap.outputs.sizes import NS_PER_MS, NS_PER_S

Key = TypeVar("Key")
Value = TypeVar("Value")

ELLIPSIS = "…"
MILLISECONDS = tuple(f".{ms:03d}" for ms in range(1000))

STATUS_COLUMNS = 7
KIND_COLUMNS = 6
SIZE_COLUMNS = 7
DURATION_COLUMNS = 9
MARK_COLUMNS = 2
# Two blanks and 255.255.255.255:65535.
PEER_COLUMNS = 23

_SECONDS_COLUMNS = 8
_MILLISECONDS_COLUMNS = 4
# The gap behind the time, and that around the arrow with the arrow itself.
_TIME_GAP = 2
_ARROW_COLUMNS = 4
_WANTED_URL_COLUMNS = 36
_LEAST_URL_COLUMNS = 16
_PIPED_URL_COLUMNS = 64
_PIPED_PROCESS_COLUMNS = 16
_PROCESS_COLUMNS = 12
# The longest there is: fifteen characters of name, seven digits of pid, brackets.
_WIDEST_PROCESS_COLUMNS = 24
_PROCESS_COLUMNS_WHEN_NARROW = 16
_ROOMY_COLUMNS = 140
_LONGEST_KEY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which columns there are. What gives way on a narrow terminal, in this order: as they stand here."""

    peer: bool
    milliseconds: bool
    kind: bool
    duration: bool
    size: bool
    clock: bool
    url_end: int
    """Columns before the status column, which is at the same place on every line."""
    process: int
    """Columns of `process[pid]` at first; it grows to `process_most` as longer ones are seen."""
    process_most: int
    tail: int | None
    """Columns behind the duration and its mark; None when there is no end."""

    @property
    def time(self) -> int:
        """Columns of the time with its gap."""
        return self.clock * (_SECONDS_COLUMNS + self.milliseconds * _MILLISECONDS_COLUMNS + _TIME_GAP)

    @property
    def tight(self) -> bool:
        """Whether even a long name of a process must give way."""
        return not self.duration

    @property
    def numbers(self) -> int:
        """Columns of type, size and duration with its mark."""
        kind, size, duration = self.kind * KIND_COLUMNS, self.size * SIZE_COLUMNS, DURATION_COLUMNS + MARK_COLUMNS
        return kind + size + self.duration * duration


def layout(width: int | None) -> Layout:
    """The columns for a terminal of `width`; with None nothing is left out or cut."""
    if width is None:
        before = _SECONDS_COLUMNS + _MILLISECONDS_COLUMNS + _TIME_GAP + _PIPED_PROCESS_COLUMNS + _ARROW_COLUMNS
        return Layout(
            peer=True,
            milliseconds=True,
            kind=True,
            duration=True,
            size=True,
            clock=True,
            url_end=before + _PIPED_URL_COLUMNS,
            process=_PIPED_PROCESS_COLUMNS,
            process_most=_WIDEST_PROCESS_COLUMNS,
            tail=None,
        )
    right = STATUS_COLUMNS + KIND_COLUMNS + SIZE_COLUMNS + DURATION_COLUMNS + MARK_COLUMNS + PEER_COLUMNS
    left = _SECONDS_COLUMNS + _MILLISECONDS_COLUMNS + _TIME_GAP + _PROCESS_COLUMNS + _ARROW_COLUMNS
    peer = milliseconds = kind = duration = size = clock = True
    if width - left - right < _WANTED_URL_COLUMNS:
        peer, right = False, right - PEER_COLUMNS
    if width - left - right < _WANTED_URL_COLUMNS:
        milliseconds, left = False, left - _MILLISECONDS_COLUMNS
    if width - left - right < _WANTED_URL_COLUMNS:
        kind, right = False, right - KIND_COLUMNS
    if width - left - right < _LEAST_URL_COLUMNS:
        duration, right = False, right - DURATION_COLUMNS - MARK_COLUMNS
    if width - left - right < _LEAST_URL_COLUMNS:
        size, right = False, right - SIZE_COLUMNS
    if width - left - right < _LEAST_URL_COLUMNS:
        clock, left = False, left - _SECONDS_COLUMNS - _TIME_GAP
    url = max(_LEAST_URL_COLUMNS, width - left - right)
    # Beyond what most URLs need, every other column is for remarks behind the peer.
    url_end = left + url - max(0, url - _PIPED_URL_COLUMNS) // 2
    roomy = width >= _ROOMY_COLUMNS
    return Layout(
        peer=peer,
        milliseconds=milliseconds,
        kind=kind,
        duration=duration,
        size=size,
        clock=clock,
        url_end=url_end,
        process=_PIPED_PROCESS_COLUMNS if roomy else _PROCESS_COLUMNS,
        process_most=_WIDEST_PROCESS_COLUMNS if roomy else _PROCESS_COLUMNS_WHEN_NARROW,
        tail=max(0, width - url_end - right + peer * PEER_COLUMNS),
    )


def cut_middle(text: str, columns: int) -> str:
    """`text` in at most `columns`, its middle replaced by one `…`."""
    if (len(text) if text.isascii() else cells(text)) <= columns:
        return text
    if columns <= 1:
        return ELLIPSIS[: max(0, columns)]
    if text.isascii():
        head_columns = columns // 2
        return f"{text[:head_columns]}{ELLIPSIS}{text[len(text) - columns + head_columns + 1 :]}"
    head = _take(text, columns // 2)
    tail = _take(text[::-1], columns - 1 - cells(head))[::-1]
    return f"{head}{ELLIPSIS}{tail}"


def cut_end(text: str, columns: int) -> str:
    """`text` in at most `columns`, what is beyond replaced by one `…`."""
    if cells(text) <= columns:
        return text
    if columns <= 0:
        return ""
    return f"{text[: columns - 1] if text.isascii() else _take(text, columns - 1)}{ELLIPSIS}"


def _take(text: str, columns: int) -> str:
    used = 0
    for position, char in enumerate(text):
        used += cells(char)
        if used > columns:
            return text[:position]
    return text


def pad(text: str, columns: int) -> str:
    """`text` with blanks to `columns`, as a terminal counts them."""
    return text if (missing := columns - cells(text)) <= 0 else text + " " * missing


class Memo(dict[Key, Value], Generic[Key, Value]):
    """A function's results by argument: a lookup costs what a dict's costs.

    Bounded: emptied when full, and long keys, which strangers choose, are not kept.
    """

    __slots__ = ("_limit", "_make")

    def __init__(self, make: Callable[[Key], Value], *, limit: int = 4096) -> None:
        super().__init__()
        self._make = make
        self._limit = limit

    def __missing__(self, key: Key) -> Value:
        value = self._make(key)
        if isinstance(key, Sized) and len(key) > _LONGEST_KEY:
            return value
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value


class WallClock:
    """Local time of recorded times; the calendar is asked once per second of the capture."""

    __slots__ = ("_milliseconds", "_offset_ns", "_second", "_text")

    def __init__(self, offset_ns: int, *, milliseconds: bool = True) -> None:
        self._offset_ns = offset_ns
        self._milliseconds = milliseconds
        self._second = -1
        self._text = ""

    def text(self, ts_ns: int) -> str:
        """`14:03:07.412`, or without the milliseconds."""
        now_ns = ts_ns + self._offset_ns
        second = now_ns // NS_PER_S
        if second != self._second:
            self._second = second
            self._text = time.strftime("%H:%M:%S", time.localtime(second))
        if self._milliseconds:
            return self._text + MILLISECONDS[(now_ns - second * NS_PER_S) // NS_PER_MS]
        return self._text
