# SPDX-License-Identifier: Apache-2.0
"""What a small function passes on: its direct calls and tail calls, with what the argument registers hold there.

A forward data-flow analysis over one function's body, following only what a compiler makes of a thin wrapper: moves
between registers, addresses of locals, zeroes. Everything else is "unknown". Which call matters is for the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from plaintap.targets.x86 import ARGUMENTS, CALLER_SAVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.x86 import Decoder, Instruction

STACK: Final = "stack"
"""An address in the function's own frame."""
ZERO: Final = "zero"

State: TypeAlias = dict[str, str]
"""Register to what it holds: an argument, by the name of the register it came in; STACK; ZERO. Missing: unknown."""

_WRAPPER_MAX_BYTES = 512
_STEPS_MAX = 4000


class CallSite(NamedTuple):
    """A direct call or tail call; `holds` are the argument registers whose content is known."""

    vaddr: int
    target: int
    holds: State


def call_sites(decoder: Decoder, vaddr: int, size: int) -> list[CallSite]:
    """The direct calls and tail calls of a small function; none for one too large to be a thin wrapper."""
    if not 0 < size <= _WRAPPER_MAX_BYTES:
        return []
    body = {instruction.vaddr: instruction for instruction in decoder.decode(vaddr, size)}
    states = _flow(body, vaddr)
    sites = []
    for at, state in states.items():
        instruction = body[at]
        leaves = instruction.is_call or (instruction.is_jump and instruction.target not in body)
        if leaves and instruction.target is not None:
            holds = {register: held for register, held in state.items() if register in ARGUMENTS}
            sites.append(CallSite(at, instruction.target, holds))
    return sites


def _flow(body: dict[int, Instruction], start: int) -> dict[int, State]:
    """What is known before each reachable instruction, on every path to it."""
    before: dict[int, State] = {start: {register: register for register in ARGUMENTS} | {"rsp": STACK}}
    work = [start] if start in body else []
    if not work:
        return {}
    for _ in range(_STEPS_MAX):
        if not work:
            return before
        instruction = body[work.pop()]
        after = _step(instruction, before[instruction.vaddr])
        for successor in _successors(instruction):
            if successor not in body:
                continue
            known = before.get(successor)
            merged = after if known is None else {key: value for key, value in known.items() if after.get(key) == value}
            if merged != known:
                before[successor] = merged
                work.append(successor)
    return {}


def _successors(instruction: Instruction) -> Iterator[int]:
    if instruction.is_jump and instruction.target is not None:
        yield instruction.target
    if not instruction.ends_flow:
        yield instruction.end


def _step(instruction: Instruction, state: State) -> State:
    lost = instruction.writes | (CALLER_SAVED if instruction.is_call else frozenset())
    after = {register: value for register, value in state.items() if register not in lost}
    after["rsp"] = STACK
    if instruction.zeroes is not None:
        after[instruction.zeroes] = ZERO
    elif instruction.copies is not None:
        to, source = instruction.copies
        if source in state:
            after[to] = state[source]
    elif instruction.points is not None:
        to, base = instruction.points
        if state.get(base) == STACK:
            after[to] = STACK
    return after
