# SPDX-License-Identifier: Apache-2.0
"""Where to put a probe: the function behind several public ones, and the cheapest legal instruction of a function.

Cost: a probed instruction the kernel emulates takes about 1 us, one it single-steps 10 to 20 us. Legality: an entry
probe must see the arguments exactly once per call; a return probe takes the return address from the top of the stack,
so it must sit where the stack pointer has not moved yet. A return probe that has to sit on a single-stepped entry is
joined by its entry probe: both share one stop. Library names and signatures are the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from plaintap.targets.callsites import STACK, ZERO, call_sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from plaintap.targets.callsites import State
    from plaintap.targets.elfsymbols import Symbol
    from plaintap.targets.x86 import Decoder, Instruction

_ENDBR64 = b"\xf3\x0f\x1e\xfa"
_UNKNOWN_SIZE_BYTES = 2048
_REACH_MAX_BYTES = 8192


class AttachPoint(NamedTuple):
    """An instruction to probe, and why this one, for people."""

    vaddr: int
    why: str
    is_emulated: bool = True
    """Whether the kernel need not single-step it."""


class Form(NamedTuple):
    """One public form of a call `(object, buffer, length, ...)`.

    `done_argument` is the 1-based index of its `size_t *` argument, 0 for a form that returns the count.
    """

    symbol: Symbol
    done_argument: int


class Callee(NamedTuple):
    """The function behind: called with a form's object, buffer and length, and with a `size_t *` to store the count."""

    vaddr: int
    done_argument: int


def cheapest_point(
    decoder: Decoder, vaddr: int, *, size: int, arguments: Iterable[str], returns: bool
) -> AttachPoint | None:
    """The first emulated instruction that every call passes once with its arguments intact, else the entry.

    Nothing behind a locked instruction is chosen, so that a count of references is still the caller's. With `returns`
    the place is legal for a return probe too. `size` is the function's in bytes, 0 when unknown.
    None where there is no code, or none that the kernel lets be probed.
    """
    line = decoder.straight_line(vaddr)
    if not line or line[0].is_refused:
        return None
    kept = frozenset(arguments)
    obstacle = "the stack pointer moves" if returns else "an argument is lost"
    for instruction in line:
        if instruction.is_emulated and not _is_entered_again(decoder, vaddr, size, instruction):
            where = "at the entry" if instruction.vaddr == vaddr else f"{instruction.vaddr - vaddr} bytes in"
            return AttachPoint(instruction.vaddr, f"{instruction.mnemonic} {where}, which the kernel emulates")
        if instruction.is_locked:
            obstacle = "a count changes"
            break
        if instruction.writes & kept or (returns and "rsp" in instruction.writes):
            break
    why = f"{line[0].mnemonic} at the entry, single-stepped: nothing emulated before {obstacle}"
    return AttachPoint(vaddr, why, is_emulated=False)


def _is_entered_again(decoder: Decoder, vaddr: int, size: int, instruction: Instruction) -> bool:
    """Whether the function jumps back to here or before, so that one call would pass twice."""
    before = instruction.vaddr - vaddr
    if before == 0 or decoder.elf.read(vaddr, before) == _ENDBR64:
        return False
    targets = decoder.branches(vaddr, size or _UNKNOWN_SIZE_BYTES).targets
    return any(vaddr < target <= instruction.vaddr for target in targets)


class Wrappers:
    """The public forms of one direction, and what they share."""

    def __init__(self, decoder: Decoder, forms: Sequence[Form]) -> None:
        self._decoder = decoder
        self._by_vaddr = {form.symbol.vaddr: form.symbol.name for form in forms}
        self._forms = forms
        self._callees = {form.symbol.name: self._callees_of(form) for form in forms}

    def function_behind(self) -> tuple[Callee, list[str]] | None:
        """The one function that the counting form and at least one other form wrap, with the names of those that do."""
        for form in self._forms:
            callees = self._callees[form.symbol.name]
            if form.done_argument or len(callees) != 1:
                continue
            (callee,) = callees
            agreed = [name for name, others in self._callees.items() if others == callees]
            if len(agreed) > 1:
                return callee, agreed
        return None

    def reaches(self, form: Form, probed: Mapping[int, str]) -> str | None:
        """The probed function (by address) that everything this form does passes through, as far as its calls tell.

        None as well when the form calls something through a register or a structure: it may do the work there.
        """
        symbol = form.symbol
        branches = self._decoder.branches(symbol.vaddr, min(symbol.size, _REACH_MAX_BYTES) or _UNKNOWN_SIZE_BYTES)
        if branches.indirect:
            return None
        slots = {self._decoder.stub_slot(target) for target in branches.targets if target not in probed}
        imports = (self._decoder.elf.import_name(slot) for slot in (slots | branches.slots) if slot is not None)
        called = {probed.get(target) for target in branches.targets} | set(imports)
        known = {name for name in probed.values() if name in called and name != symbol.name}
        return min(known, default=None)

    def _callees_of(self, form: Form) -> frozenset[Callee]:
        """What the form hands its arguments to; empty when it also calls something unknown, as inlined ones do."""
        symbol = form.symbol
        if self._decoder.branches(symbol.vaddr, min(symbol.size, _REACH_MAX_BYTES)).indirect:
            return frozenset()
        callees = set()
        for site in call_sites(self._decoder, symbol.vaddr, symbol.size):
            done_argument = _passed_done_argument(form, site.holds)
            outside = site.target not in self._by_vaddr and self._decoder.elf.is_code(site.target)
            if done_argument and outside and self._decoder.stub_slot(site.target) is None:
                callees.add(Callee(site.target, done_argument))
        return frozenset(callees)


def _passed_done_argument(form: Form, holds: State) -> int:
    """Which argument of the callee is the `size_t *`; 0 when this call does not pass the form's arguments on.

    The fourth, or the fifth behind flags (OpenSSL 3.3 and later): told by what the registers hold, not by a version.
    """
    if any(holds.get(register) != register for register in ("rdi", "rsi", "rdx")):
        return 0
    fourth, fifth = holds.get("rcx"), holds.get("r8")
    own = {0: STACK, 4: "rcx", 5: "r8"}[form.done_argument]
    if fourth == own:
        return 4
    flags = "rcx" if form.done_argument == 5 else ZERO
    return 5 if fifth == own and fourth == flags else 0
