# SPDX-License-Identifier: Apache-2.0
"""The parser of a connection whose first bytes are too few to tell: keeps them until they are enough, or time is up.

Time is never up for the beginning of an HTTP message, which nothing else begins like: its sender may be slow.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from plaintap.parsing import Outlet, Parser
from plaintap.protocols.http2_frames import PREFACE

HELD_LIMIT_BYTES = 16384
"""Of one direction; whoever says "still" for longer is not waited for."""
_ASKED_ALWAYS_BYTES = 64
"""Up to so many every record is asked of, then each that ends a line, and whenever they are twice as many."""
_UNMISTAKABLE = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT) |HTTP/1\.")


class Undecided:
    """`recognise` is asked again with all bytes of a direction, and answers with another `Undecided` for "still"."""

    __slots__ = ("_asked_bytes", "_first_ns", "_heads", "_outlet", "_recognise")

    def __init__(self, outlet: Outlet, recognise: Callable[[int, bytes, Outlet], Parser | None]) -> None:
        self._outlet = outlet
        self._recognise = recognise
        # By direction, in the order they began.
        self._heads: dict[int, bytearray] = {}
        self._first_ns: dict[int, int] = {}
        self._asked_bytes = 0

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        self._first_ns.setdefault(direction, ts_ns)
        held = self._heads.setdefault(direction, bytearray())
        held += data
        if len(held) > _ASKED_ALWAYS_BYTES and b"\n" not in data and len(held) < 2 * self._asked_bytes:
            return
        self._asked_bytes = len(held)
        parser = self._recognise(direction, bytes(held), self._outlet)
        if parser is None or (isinstance(parser, Undecided) and len(held) > HELD_LIMIT_BYTES):
            self._give_up()
        elif not isinstance(parser, Undecided):
            self._outlet.become(parser)
            for known_direction, known in self._heads.items():
                self._outlet.receive(known_direction, self._first_ns[known_direction], bytes(known))

    def gap(self, _direction: int, _ts_ns: int, _missing_bytes: int, /) -> None:
        self._give_up()

    def flush(self, _ts_ns: int, /) -> None:
        if not all(map(_is_unmistakable, self._heads.values())):
            self._give_up()

    def close(self, _ts_ns: int, /) -> None:
        self._give_up()

    def _give_up(self) -> None:
        for direction, head in self._heads.items():
            self._outlet.unclaimed(direction, self._first_ns[direction], bytes(head))
        self._outlet.become(None)


def _is_unmistakable(head: bytearray) -> bool:
    return bool(_UNMISTAKABLE.match(head)) or (head[:4] == PREFACE[:4] and PREFACE.startswith(bytes(head)))
