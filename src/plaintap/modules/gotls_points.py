# SPDX-License-Identifier: Apache-2.0
"""Makes the points of a Go program's plan: a function, the programs to run there, and the places for them.

Which functions is gotls.py's business, what their code does targets/golang's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaintap.modules.base import Point
from plaintap.targets.golang.code import code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.golang.pclntab import Function
    from plaintap.targets.golang.program import GoProgram
    from plaintap.targets.golang.spots import Entry, GoSpot


class Placer:
    """Finds the places in one program's functions; what it finds none for goes to `notes`."""

    def __init__(self, program: GoProgram) -> None:
        self.notes: list[str] = []
        self.g_tls_offset: int | None = None
        """Of the functions that were placed, where they have one; they agree, having been linked together."""
        self._elf = program.elf
        self._code = code_of(program)

    def call(self, function: Function, what: GoSpot, *, arguments: int, write: bool) -> Iterator[Point]:
        """The entry and the exits of a `(receiver, slice) (n, error)`; `what` is all but the places."""
        entry = self._code.entry(function, arguments=arguments, once=False)
        exits = self._code.exits(function, entry, write=write) if entry is not None else []
        if entry is None or not exits:
            self._refuse(function)
            return
        yield self._entry("pt_go_enter", function, entry, what, write=write)
        for exit_ in exits:
            spot = exit_.spot._replace(foreign=what.foreign, indirect=what.indirect)
            yield self._point("pt_go_return", function, spot, exit_.why, write=write)

    def once(self, program: str, function: Function, what: GoSpot, *, arguments: int) -> Iterator[Point]:
        """Where `program` sees the arguments, once per call."""
        entry = self._code.entry(function, arguments=arguments, once=True)
        if entry is None:
            self._refuse(function)
            return
        yield self._entry(program, function, entry, what)

    def _entry(self, program: str, function: Function, entry: Entry, what: GoSpot, *, write: bool = False) -> Point:
        self.g_tls_offset = entry.g_tls_offset if self.g_tls_offset is None else self.g_tls_offset
        spot = what._replace(vaddr=entry.vaddr, stack_abi=entry.stack_abi)
        return self._point(program, function, spot, entry.why, write=write)

    def _refuse(self, function: Function) -> None:
        self.notes.append(f"{function.name} cannot be probed: its code is unlike what Go's compiler makes")

    def _point(self, program: str, function: Function, spot: GoSpot, why: str, *, write: bool = False) -> Point:
        return Point(
            program=program,
            offset=self._elf.file_offset(spot.vaddr),
            function=function.name,
            why=f"{function.name} at {function.vaddr:#x}; {why} at {spot.vaddr:#x}",
            write=write,
            go=spot,
        )
