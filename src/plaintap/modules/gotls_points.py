# SPDX-License-Identifier: Apache-2.0
"""Makes the points of a Go program's plan: a function, the programs to run there, and the places for them.

Which functions is gotls.py's business, what an instruction does targets/golang's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plaintap.modules.base import Point
from plaintap.targets.golang import amd64, arm64
from plaintap.targets.golang.pclntab import GO_1_16
from plaintap.targets.golang.spots import RESULT_REGISTER, GoSpot, stack_place
from plaintap.targets.x86 import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.golang.amd64 import Entry
    from plaintap.targets.golang.pclntab import Function
    from plaintap.targets.golang.program import GoProgram

_AARCH64 = 183
_RESULT_WORDS: Final = 5
"""Stack ABI: the return address (or its place), the receiver and a slice lie below the first result."""


class Placer:
    """Finds the places in one program's functions; what it finds none for goes to `notes`."""

    def __init__(self, program: GoProgram) -> None:
        self.notes: list[str] = []
        self._elf = program.elf
        self._decoder = Decoder(program.elf)
        self._is_arm = program.elf.machine == _AARCH64
        # The registers came to 64-bit ARM with Go 1.18, to x86-64 with 1.17, where the code tells.
        old_table = program.table_magic >= GO_1_16
        self._stack_abi_on_arm = program.info.version < (1, 18) if program.info.version else old_table

    def call(self, function: Function, *, arguments: int, write: bool, foreign: bool) -> Iterator[Point]:
        """The entry and the exits of a `(receiver, slice) (n, error)`."""
        found = self._arm(function, once=False) if self._is_arm else self._x86(function, arguments, once=False)
        if found is None:
            return
        entry, exits = found
        spot = GoSpot(entry.vaddr, entry.stack_abi, foreign)
        yield self._point("pt_go_enter", function, spot, entry.why, write=write)
        for exit_spot, why in exits:
            yield self._point("pt_go_return", function, exit_spot._replace(foreign=foreign), why, write=write)

    def once(self, program: str, function: Function, *, arguments: int, foreign: bool) -> Iterator[Point]:
        """Where `program` sees the arguments, once per call."""
        found = self._arm(function, once=True) if self._is_arm else self._x86(function, arguments, once=True)
        if found is not None:
            entry = found[0]
            yield self._point(program, function, GoSpot(entry.vaddr, entry.stack_abi, foreign), entry.why)

    def _x86(self, function: Function, arguments: int, *, once: bool) -> tuple[Entry, list[tuple[GoSpot, str]]] | None:
        body = amd64.decode(self._decoder, function)
        entry = amd64.find_entry(body, arguments=arguments, once=once)
        if entry is None or (not once and amd64.leaves_otherwise(body)):
            self.notes.append(f"{function.name} cannot be probed: its code is unlike what Go's compiler makes")
            return None
        if once:
            return entry, []
        n = stack_place(_RESULT_WORDS) if entry.stack_abi else RESULT_REGISTER
        exits = [(GoSpot(each.vaddr, entry.stack_abi, n=n), "ret, single-stepped") for each in amd64.returns(body)]
        return entry, exits

    def _arm(self, function: Function, *, once: bool) -> tuple[Entry, list[tuple[GoSpot, str]]] | None:
        body = arm64.decode(self._elf.read(function.vaddr, function.size))
        entry = arm64.find_entry(function.vaddr, body, stack_abi=self._stack_abi_on_arm, once=once)
        if entry is None:
            self.notes.append(f"{function.name} cannot be probed: its code is unlike what Go's compiler makes")
            return None
        n = stack_place(_RESULT_WORDS) if entry.stack_abi else RESULT_REGISTER
        return entry, [(GoSpot(each, entry.stack_abi, n=n), "ret") for each in arm64.returns(function.vaddr, body)]

    def _point(self, program: str, function: Function, spot: GoSpot, why: str, *, write: bool = False) -> Point:
        return Point(
            program=program,
            offset=self._elf.file_offset(spot.vaddr),
            function=function.name,
            why=f"{function.name} at {function.vaddr:#x}; {why} at {spot.vaddr:#x}",
            write=write,
            go=spot,
        )
