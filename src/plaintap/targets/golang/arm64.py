# SPDX-License-Identifier: Apache-2.0
"""Where a probe sees a Go function called and returning, on 64-bit ARM; see amd64.py for what the places are.

Instructions are told by their bits, all being of four bytes (Arm ARM, C4.1). The kernel emulates branches, returns too
(arch/arm64/kernel/probes/decode-insn.c), and single-steps what moves the stack pointer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaintap.targets.golang.spots import RESULT_REGISTER, RESULT_WORDS, Entry, Exit, GoSpot, stack_place

if TYPE_CHECKING:
    from collections.abc import Sequence

_RET = 0xD65F03C0
_PROLOGUE_MAX = 12
_WORD_BYTES = 8
_KEPT_WORDS = 3
_STACK = 31


def decode(code: bytes) -> tuple[int, ...]:
    """The words of a function."""
    return tuple(int.from_bytes(code[at : at + 4], "little") for at in range(0, len(code) // 4 * 4, 4))


def find_entry(vaddr: int, body: Sequence[int], *, stack_abi: bool, once: bool) -> Entry | None:
    """As in amd64.py. Arguments are registers that a stack check leaves alone."""
    check = None
    for index, word in enumerate(body[:_PROLOGUE_MAX]):
        if _moves_stack(word):
            if check is not None and not once:
                return Entry(vaddr + 4 * check, stack_abi, "b.ls of the stack check")
            behind = "behind the stack check" if check is not None else "at the entry"
            return Entry(vaddr + 4 * index, stack_abi, f"the frame is made {behind}")
        if _is_conditional_branch(word):
            check = index
        elif not _is_check(word, stack_abi=stack_abi):
            return None
    return None


def find_exits(vaddr: int, body: Sequence[int], *, stack_abi: bool) -> list[Exit]:
    """Every instruction that returns; there the stack pointer is what it was at the entry."""
    n = stack_place(RESULT_WORDS) if stack_abi else RESULT_REGISTER
    spilled = stack_abi or keeps_arguments(body)
    places = (vaddr + 4 * index for index, word in enumerate(body) if word == _RET)
    return [Exit(GoSpot(at, stack_abi, n=n, spilled=spilled), "ret, which the kernel emulates") for at in places]


def keeps_arguments(body: Sequence[int]) -> bool:
    """Whether the receiver and the first two words of a slice are put where the caller left room for them.

    As in amd64.py, above the word that is the caller's own.
    """
    below, kept = 0, set()
    for word in body:
        if _is_call(word) or word == _RET:
            break
        if _moves_stack(word):
            below += _lowers(word)
        for register, offset in _stored(word):
            if register < _KEPT_WORDS and offset == below + _WORD_BYTES * (register + 1):
                kept.add(register)
    return len(kept) == _KEPT_WORDS


def _is_call(word: int) -> bool:
    return word & 0xFC00_0000 == 0x9400_0000 or word & 0xFFFF_FC1F == 0xD63F_0000


def _lowers(word: int) -> int:
    """By how many bytes an instruction of _moves_stack does so."""
    if word & 0xFF80_0000 == 0xD100_0000:
        return (word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0)
    if word & 0xFFC0_0000 == 0xA980_0000:
        return _WORD_BYTES * -_signed(word >> 15, 7)
    return -_signed(word >> 12, 9)


def _stored(word: int) -> list[tuple[int, int]]:
    """Registers that an instruction stores, whole, at offsets from the stack pointer: `str`, `stp`."""
    if word >> 5 & 31 != _STACK:
        return []
    if word & 0xFFC0_0000 == 0xF900_0000:
        return [(word & 31, _WORD_BYTES * (word >> 10 & 0xFFF))]
    if word & 0xFFC0_0000 == 0xA900_0000:
        offset = _WORD_BYTES * _signed(word >> 15, 7)
        return [(word & 31, offset), (word >> 10 & 31, offset + _WORD_BYTES)]
    return []


def _signed(value: int, bits: int) -> int:
    low = value & ((1 << bits) - 1)
    return low - (1 << bits) if low >> (bits - 1) else low


def _moves_stack(word: int) -> bool:
    """`sub sp, sp, #n`, the same into x20 (x27 up to Go 1.16) for a large frame, or a store that moves sp first."""
    base = word >> 5 & 31
    if word & 0xFF80_0000 == 0xD100_0000:
        return base == 31 and word & 31 in (31, 20, 27)
    pre_indexed = word & 0xFFE0_0C00 == 0xF800_0C00 or word & 0xFFC0_0000 == 0xA980_0000
    return pre_indexed and base == 31


def _is_conditional_branch(word: int) -> bool:
    return word & 0xFF00_0010 == 0x5400_0000


def _is_check(word: int, *, stack_abi: bool) -> bool:
    """What a stack check is made of: loads, moves, subtractions of registers that are no arguments, comparisons."""
    to = word & 31
    if to in (16, 17, 27) or (stack_abi and to in (1, 2, 3)):
        return True
    return word & 0x7F00_0000 in (0x6B00_0000, 0x7100_0000) and to == 31  # cmp
