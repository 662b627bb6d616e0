# SPDX-License-Identifier: Apache-2.0
"""The places where a Go function's return is seen on x86-64: cheap ones where every call passes exactly one of them.

A return is single-stepped by the kernel, a jump or a call is not (x86.py). A jump will do from which every way to a
return returns the count that is known there. How counts are followed is countflow.py's business.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from plaintap.targets.golang.amd64 import returns
from plaintap.targets.golang.countflow import trace
from plaintap.targets.golang.spots import (
    PLACES_MAX,
    RESULT_REGISTER,
    RESULT_WORDS,
    Exit,
    GoSpot,
    register_place,
    stack_place,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from plaintap.targets.golang.countflow import Flow, Place, Sum
    from plaintap.targets.x86 import Instruction

_INSTRUCTIONS_MAX = 8000
_CANDIDATES_MAX = 256
_REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))
# What a Read may still call when the caller's buffer has been filled.
_FILLS_NOTHING = re.compile(
    r"runtime\.(panic|gopanic|goPanic|deferreturn|gcWriteBarrier|newobject|typeAssert|assertE2I|convT)"
    r"|(internal/)?sync\.\(\*(Mutex|RWMutex)\)\."
    r"|.*\.\(\*Conn\)\.(readRecord|readRecordOrCCS)$"
)


def find_exits(body: Sequence[Instruction], *, stack_abi: bool, write: bool, names: Callable[[int], str]) -> list[Exit]:
    """`names` tells which function is at an address. Without `write` the buffer is filled before all of them."""
    result: Place = 8 * RESULT_WORDS if stack_abi else "rax"
    ends = returns(body)
    flow = trace(body, result, names) if len(body) <= _INSTRUCTIONS_MAX else None
    cheap = [] if flow is None else _cheap_places(flow, write=write, names=names)
    exits = [exit_ for exit_ in (_cheap_exit(flow, at, stack_abi) for at in cheap if flow is not None) if exit_]
    if flow is None or len(exits) != len(cheap):
        exits, cheap = [], []
    behind = _reached(flow, cheap) if flow is not None else frozenset[int]()
    place = stack_place(RESULT_WORDS) if stack_abi else RESULT_REGISTER
    dear = [each.vaddr for each in ends if each.vaddr not in behind]
    return exits + [Exit(GoSpot(at, stack_abi, n=place), "ret, single-stepped") for at in dear]


def _cheap_places(flow: Flow, *, write: bool, names: Callable[[int], str]) -> list[int]:
    """The first on each way from the entry, of those that every way passes at most one of."""
    candidates = [
        at
        for at in sorted(flow.depths)
        if flow.depths[at] > 0  # behind the function's own entry place
        and flow.body[at].is_emulated
        and not flow.body[at].is_refused
        and _count_at(flow, at) is not None
    ][:_CANDIDATES_MAX]
    ahead = {at: _reached(flow, flow.successors[at]) for at in candidates}
    usable = {at for at in candidates if at not in ahead[at] and (write or _is_filled(flow, ahead[at] | {at}, names))}
    while usable:
        chosen = _first_of(flow, usable)
        early = {at for at in chosen if any(other in ahead[at] for other in chosen)}
        if not early:
            return sorted(chosen)
        usable -= early
    return []


def _count_at(flow: Flow, at: int) -> Sum | None:
    """What the count is there; of several sums any one, when further back on the only way here they are the same."""
    counts = flow.counts[at]
    if not counts:
        return None
    shortest = min(counts, key=lambda count: (len(count), str(count)))
    seen = {at}
    while counts and len(counts) > 1:
        before = flow.predecessors.get(at, ())
        if len(before) != 1 or before[0] in seen:
            return None
        at = before[0]
        seen.add(at)
        counts = flow.counts[at]
    return shortest if counts and shortest else None


def _reached(flow: Flow, starts: Collection[int]) -> frozenset[int]:
    seen = set(starts)
    work = list(starts)
    while work:
        for successor in flow.successors[work.pop()]:
            if successor not in seen:
                seen.add(successor)
                work.append(successor)
    return frozenset(seen)


def _first_of(flow: Flow, usable: Collection[int]) -> set[int]:
    """Those that are reached from the entry without passing another."""
    seen = {flow.entry}
    work = [flow.entry]
    chosen = set()
    while work:
        at = work.pop()
        if at in usable:
            chosen.add(at)
            continue
        for successor in flow.successors[at]:
            if successor not in seen:
                seen.add(successor)
                work.append(successor)
    return chosen


def _is_filled(flow: Flow, ahead: Collection[int], names: Callable[[int], str]) -> bool:
    """Whether nothing that runs from here on can write to the caller's buffer; deferred functions do not."""
    for at in ahead:
        instruction = flow.body[at]
        if instruction.is_call and instruction.target is None and not _is_deferred(flow, instruction):
            return False
        if instruction.is_call and instruction.target and not _FILLS_NOTHING.match(names(instruction.target)):
            return False
    return True


def _is_deferred(flow: Flow, call: Instruction) -> bool:
    """`mov rax, [rdx]; call rax`: the closure that rdx points to."""
    return any(
        at + len(flow.body[at].code) == call.vaddr and flow.body[at].operands == f"{call.operands}, qword ptr [rdx]"
        for at in range(call.vaddr - 8, call.vaddr)
        if at in flow.body
    )


def _cheap_exit(flow: Flow, at: int, stack_abi: bool) -> Exit | None:
    count = _count_at(flow, at)
    depth = flow.depths[at]
    numbers = [_number(place, depth) for place in count or ()]
    if not count or any(number is None for number in numbers) or depth % 8:
        return None
    n, plus = (*numbers, 0)[:2]
    assert n is not None
    assert plus is not None
    spot = GoSpot(at, stack_abi, n=n, plus=plus, sp_words=depth // 8)
    where = " + ".join(place if isinstance(place, str) else f"[rsp{place + depth:+#x}]" for place in count)
    return Exit(spot, f"{flow.body[at].mnemonic} that leads to every return of {where}, which the kernel emulates")


def _number(place: Place, depth: int) -> int | None:
    if isinstance(place, str):
        return register_place(_REGISTERS.index(place))
    words, rest = divmod(place + depth, 8)
    return stack_place(words) if not rest and 0 <= words < PLACES_MAX else None
