# SPDX-License-Identifier: Apache-2.0
"""Where the count that a Go function returns is before each of its instructions, on x86-64.

A backward data-flow analysis from the returns: the count is what some registers or stack slots hold, or the sum of two.
It follows moves, additions and spills, as the compiler makes of `return n + m, err`; everything else is "unknown".
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from plaintap.targets.x86 import Instruction

Place: TypeAlias = str | int
"""A register by its 64-bit name, or a stack slot by its distance from the stack pointer at the entry, in bytes."""
Sum: TypeAlias = tuple[Place, ...]
"""What is added to make the count; nothing: 0."""
Sums: TypeAlias = frozenset[Sum]
"""One for each way to a return; they are the same number where a count is known. None: there is no return ahead."""

_SUMS_MAX: Final = 4
_STEPS_MAX: Final = 200_000
_SIZES = {"byte": 1, "word": 2, "dword": 4, "qword": 8, "xmmword": 16, "ymmword": 32, "zmmword": 64}
_ON_STACK = re.compile(r"(\w+) ptr \[rsp(?: ([+-]) (0x[0-9a-f]+|\d+))?\]$")
_ADDRESS = re.compile(r"\[rsp(?: ([+-]) (0x[0-9a-f]+|\d+))?\]$")
_TWO_REGISTERS = re.compile(r"\[(r\w+) \+ (r\w+)\]$")
_WHOLE = re.compile(r"r(?:[abcd]x|[sd]i|[bs]p|\d+)$")
_KEEPS_MEMORY = frozenset({"cmp", "test", "push", "call", "jmp", "bt", "nop"})
_KEEPS_REGISTERS = re.compile(r"runtime\.gcWriteBarrier\d?$")
"""These save all but r11, which the first forms leave alone too."""
_NEVER_RETURNS = re.compile(r"runtime\.(panic|gopanic|goPanic|throw|fatal)")


class Flow(NamedTuple):
    """A function and what is known of it."""

    body: dict[int, Instruction]
    entry: int
    successors: dict[int, tuple[int, ...]]
    predecessors: dict[int, list[int]]
    """Of what is reached from the entry."""
    depths: dict[int, int]
    """By how many bytes the stack pointer is below the entry's."""
    counts: dict[int, Sums | None]
    """Before each instruction; None: unknown."""


def trace(instructions: Sequence[Instruction], result: Place, names: Callable[[int], str]) -> Flow | None:
    """`result` is where the count is at a return, `names` tells the function at an address. None when it is not clear.

    What is not reached from the entry, as the way out after a recovered panic, is in `body` alone.
    """
    body = {each.vaddr: each for each in instructions}
    entry = instructions[0].vaddr
    successors = {at: tuple(_successors(each, body, names)) for at, each in body.items()}
    depths = _depths(body, successors, entry)
    if depths is None or any("[rbp" in each.operands.partition(",")[0] for each in body.values()):
        return None
    predecessors: dict[int, list[int]] = {}
    for at in depths:
        for successor in successors[at]:
            predecessors.setdefault(successor, []).append(at)
    counts = _Backward(body, depths, names, result).run(successors, predecessors)
    return None if counts is None else Flow(body, entry, successors, predecessors, depths, counts)


def _successors(instruction: Instruction, body: dict[int, Instruction], names: Callable[[int], str]) -> Iterator[int]:
    if instruction.is_jump and instruction.target in body:
        yield instruction.target
    if instruction.ends_flow or instruction.end not in body:
        return
    if instruction.is_call and instruction.target is not None and _NEVER_RETURNS.match(names(instruction.target)):
        return
    yield instruction.end


def _depths(body: dict[int, Instruction], successors: dict[int, tuple[int, ...]], entry: int) -> dict[int, int] | None:
    """None where two ways to an instruction disagree, or the stack pointer moves in another way than usual."""
    depths = {entry: 0}
    work = deque([entry])
    while work:
        at = work.popleft()
        moved = _moved(body[at])
        if moved is None:
            return None
        for successor in successors[at]:
            if successor not in depths:
                depths[successor] = depths[at] + moved
                work.append(successor)
            elif depths[successor] != depths[at] + moved:
                return None
    return depths


def _moved(instruction: Instruction) -> int | None:
    if "rsp" not in instruction.writes or instruction.is_call or instruction.mnemonic == "ret":
        return 0
    if instruction.mnemonic in ("push", "pop"):
        return 8 if instruction.mnemonic == "push" else -8
    to, _, amount = instruction.operands.partition(", ")
    if instruction.mnemonic not in ("sub", "add") or to != "rsp" or not re.fullmatch(r"-?(0x[0-9a-f]+|\d+)", amount):
        return None
    return int(amount, 0) if instruction.mnemonic == "sub" else -int(amount, 0)


class _Backward:
    """The analysis of one function."""

    def __init__(
        self, body: dict[int, Instruction], depths: dict[int, int], names: Callable[[int], str], result: Place
    ) -> None:
        self._result = result
        self._body = body
        self._depths = depths
        self._names = names
        self._stack_abi = isinstance(result, int)
        reached = [body[at] for at in depths]
        self._stored = {
            slot for each in reached if (slot := self._slot(each, each.operands.split(", ")[0])) is not None
        }
        self._taken = sorted(set(self._addresses(reached)))

    def run(
        self, successors: dict[int, tuple[int, ...]], predecessors: dict[int, list[int]]
    ) -> dict[int, Sums | None] | None:
        before: dict[int, Sums | None] = {}
        work = deque(at for at in self._depths if self._body[at].mnemonic == "ret")
        for _ in range(_STEPS_MAX):
            if not work:
                return {at: before.get(at) for at in self._depths}
            at = work.popleft()
            if self._body[at].mnemonic == "ret":
                found: Sums | None = frozenset({(self._result,)})
            else:
                after = [before[each] for each in successors[at] if each in before]
                found = None if None in after else frozenset().union(*filter(None, after))
                found = self._over(self._body[at], found)
            if at not in before or before[at] != found:
                before[at] = found
                work.extend(predecessors.get(at, ()))
        return None

    def _over(self, instruction: Instruction, after: Sums | None) -> Sums | None:
        """What holds before an instruction, by what holds behind it."""
        if after is None:
            return None
        found = set()
        for each in after:
            earlier = self._before(instruction, each)
            if earlier is None or len(earlier) > 2:
                return None
            found.add(tuple(sorted(earlier, key=str)))
        return frozenset(found) if len(found) <= _SUMS_MAX else None

    def _before(self, instruction: Instruction, count: Sum) -> Sum | None:
        if instruction.is_call:
            return self._before_call(instruction, count)
        to = self._destination(instruction)
        if to is not None and to in count:
            value = self._value(instruction, to)
            return None if value is None or count.count(to) > 1 else (*(each for each in count if each != to), *value)
        begin, size = self._written(instruction)
        for place in count:
            if isinstance(place, str) and place in instruction.writes:
                return None
            if isinstance(place, int) and begin is not None and begin - 8 < place < begin + size and place != to:
                return None
        return count

    def _before_call(self, instruction: Instruction, count: Sum) -> Sum | None:
        name = self._names(instruction.target) if instruction.target is not None else ""
        keeps = _KEEPS_REGISTERS.match(name) is not None
        for place in count:
            if isinstance(place, str) and (not keeps or place == "r11"):
                return None
            if isinstance(place, int) and not self._is_own(place):
                return None
        return count

    def _is_own(self, slot: int) -> bool:
        """Whether no other function writes to it: the result's, or one that is stored to, its address never taken.

        With arguments on the stack, those for other functions lie there too, and are theirs.
        """
        if slot >= 0:
            return all(each < 0 for each in self._taken)
        return not self._stack_abi and slot in self._stored and not any(each <= slot for each in self._taken)

    def _destination(self, instruction: Instruction) -> Place | None:
        """The one place of 64 bits that is written."""
        to = instruction.operands.partition(", ")[0]
        if _WHOLE.match(to):
            return to
        return instruction.zeroes if instruction.zeroes is not None else self._slot(instruction, to)

    def _value(self, instruction: Instruction, to: Place) -> Sum | None:
        """What is written there."""
        if instruction.zeroes == to:
            return ()
        source = instruction.operands.partition(", ")[2]
        if instruction.mnemonic == "lea":
            pair = _TWO_REGISTERS.match(source)
            return (pair[1], pair[2]) if pair else None
        value = source if _WHOLE.match(source) else self._slot(instruction, source)
        if instruction.mnemonic == "mov":
            return () if source == "0" else None if value is None else (value,)
        if instruction.mnemonic == "add" and value is not None and value != to:
            return (to, value)
        return None

    def _slot(self, instruction: Instruction, operand: str) -> int | None:
        """The 64-bit stack slot that an operand is."""
        match = _ON_STACK.match(operand)
        if match is None or match[1] != "qword" or instruction.mnemonic in _KEEPS_MEMORY:
            return None
        return _offset(match[2], match[3]) - self._depths[instruction.vaddr]

    def _written(self, instruction: Instruction) -> tuple[int | None, int]:
        """The stretch of the stack that is written."""
        to = instruction.operands.partition(", ")[0]
        match = _ON_STACK.match(to)
        if match is None or instruction.mnemonic in _KEEPS_MEMORY:
            everywhere = "[rsp" in to and match is None and instruction.mnemonic not in _KEEPS_MEMORY
            return (-1 << 31, 1 << 32) if everywhere else (None, 0)
        return _offset(match[2], match[3]) - self._depths[instruction.vaddr], _SIZES.get(match[1], 64)

    def _addresses(self, reached: Sequence[Instruction]) -> Iterator[int]:
        """Of things on the stack, as they are handed on; not what the frame's own pointer and the check compute."""
        for each in reached:
            to, _, source = each.operands.partition(", ")
            if each.mnemonic == "lea" and "rsp" in source and to not in ("rbp", "r12", "r13"):
                match = _ADDRESS.match(source)
                yield (_offset(match[1], match[2]) if match else 0) - self._depths[each.vaddr]
            elif each.mnemonic == "mov" and source == "rsp" and to != "rbp":
                yield -self._depths[each.vaddr]


def _offset(sign: str | None, amount: str | None) -> int:
    return 0 if amount is None else int(amount, 0) * (-1 if sign == "-" else 1)
