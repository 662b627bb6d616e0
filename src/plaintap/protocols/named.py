# SPDX-License-Identifier: Apache-2.0
"""Protocols that are recognised and not parsed: their bytes are shown raw under their name.

How their first bytes look is named_starts.py's and named_lines.py's.
"""

from __future__ import annotations

import re

from plaintap.parsing import Outlet
from plaintap.protocols.base import Fit, ProtocolEntry
from plaintap.protocols.named_lines import MAIL, Start
from plaintap.protocols.named_starts import STARTS
from plaintap.protocols.options import ParserOptions

# A whole request line, or HTTP/2's preface: more than their own recognition asks, since values may be anything.
_HTTP = re.compile(rb"[A-Z-]{3,16} [!-~]{1,8192} HTTP/1\.[01]\r\n|PRI \* HTTP/2\.0\r\n\r\nSM\r\n\r\n")
_HTTP_FIRST = frozenset(b"ABCDGHLMNOPQRSTU")


class Named:
    """Gives way when a record begins like HTTP, as where a connection was taken for something else."""

    __slots__ = ("_gives_way", "_name", "_outlet")

    def __init__(self, name: str, head: bytes, outlet: Outlet) -> None:
        self._name = name
        self._outlet = outlet
        # A mail may quote anything at all; and what is forced to be this whatever it looks like stays it.
        self._gives_way = name not in MAIL and not _HTTP.match(head)

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        if self._gives_way and data and data[0] in _HTTP_FIRST and _HTTP.match(data):
            self._outlet.become(None)
            self._outlet.receive(direction, ts_ns, data)
        else:
            self._outlet.unclaimed(direction, ts_ns, data, self._name)

    def gap(self, _direction: int, _ts_ns: int, _missing_bytes: int, /) -> None:
        """Nothing is kept that could be wrong now."""

    def flush(self, _ts_ns: int, /) -> None:
        """Nothing is kept."""

    def close(self, _ts_ns: int, /) -> None:
        """Nothing is kept."""


def _entry(name: str, start: Start) -> ProtocolEntry:
    first_bytes, matches = start

    def fit(_direction: int, head: bytes) -> Fit:
        return Fit.YES if head and head[0] in first_bytes and matches(head) else Fit.NO

    def create(_direction: int, head: bytes, outlet: Outlet, _options: ParserOptions) -> Named:
        return Named(name, head, outlet)

    return ProtocolEntry(name=name, fit=fit, create=create)


NAMED: tuple[ProtocolEntry, ...] = tuple(_entry(name, start) for name, start in STARTS.items())

_CANDIDATES = tuple(
    tuple(entry for entry in NAMED if first_byte in STARTS[entry.name].first_bytes) for first_byte in range(256)
)


def candidates(head: bytes) -> tuple[ProtocolEntry, ...]:
    """Those of `NAMED` that `head`, which is not empty, may fit: asking all of them takes several times as long."""
    return _CANDIDATES[head[0]]
