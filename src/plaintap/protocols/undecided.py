# SPDX-License-Identifier: Apache-2.0
"""The parser of a connection whose first bytes are too few to tell: keeps them until they are enough, or time is up."""

from __future__ import annotations

from collections.abc import Callable

from plaintap.parsing import Outlet, Parser

HELD_LIMIT_BYTES = 16384
"""Of one direction; whoever says "still" for longer is not waited for."""


class Undecided:
    """`recognise` is asked again with all bytes of a direction, and answers with another `Undecided` for "still"."""

    __slots__ = ("_first_ns", "_heads", "_outlet", "_recognise")

    def __init__(self, outlet: Outlet, recognise: Callable[[int, bytes, Outlet], Parser | None]) -> None:
        self._outlet = outlet
        self._recognise = recognise
        # By direction, in the order they began.
        self._heads: dict[int, bytes] = {}
        self._first_ns: dict[int, int] = {}

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        self._first_ns.setdefault(direction, ts_ns)
        self._heads[direction] = head = self._heads.get(direction, b"") + data
        parser = self._recognise(direction, head, self._outlet)
        if parser is None or (isinstance(parser, Undecided) and len(head) > HELD_LIMIT_BYTES):
            self._give_up()
        elif not isinstance(parser, Undecided):
            self._outlet.become(parser)
            for known_direction, known in self._heads.items():
                self._outlet.receive(known_direction, self._first_ns[known_direction], known)

    def gap(self, _direction: int, _ts_ns: int, _missing_bytes: int, /) -> None:
        self._give_up()

    def flush(self, _ts_ns: int, /) -> None:
        self._give_up()

    def close(self, _ts_ns: int, /) -> None:
        self._give_up()

    def _give_up(self) -> None:
        for direction, head in self._heads.items():
            self._outlet.unclaimed(direction, self._first_ns[direction], head)
        self._outlet.become(None)
