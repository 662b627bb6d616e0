# SPDX-License-Identifier: Apache-2.0
"""Where a probe sees a Go function called and returning, on x86-64.

A function begins with a check of its stack's size, which is run again when the stack has grown; behind it, the first
instruction that moves the stack pointer is the first that runs once a call. Return probes, which write into the stack,
break programs that move theirs: the places of returns are those of the code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from plaintap.targets.golang.spots import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plaintap.targets.x86 import Instruction

ARGUMENTS: Final = ("rax", "rbx", "rcx", "rdi", "rsi", "r8", "r9", "r10", "r11")
"""Registers of integer arguments in order (src/cmd/compile/abi-internal.md), from Go 1.17 on."""
_GOROUTINE = "r14"
_FROM_THREAD = re.compile(
    r"rcx, qword ptr fs:\[(0x[0-9a-f]+)\]|rcx, (-?(?:0x[0-9a-f]+|\d+)); rcx, qword ptr fs:\[rcx\]"
)
_THREAD_MAX_BYTES = 1 << 15
_PROLOGUE_MAX = 10
PROLOGUE_MAX_BYTES: Final = 128
_WORD_BYTES = 8
_KEPT_WORDS = 3
_LOWERED = re.compile(r"sub rsp, (0x[0-9a-f]+|\d+)$")
_STORED = re.compile(r"qword ptr \[rsp \+ (0x[0-9a-f]+|\d+)\], (r[a-z0-9]+)$")


def find_entry(body: Sequence[Instruction], *, arguments: int, once: bool) -> Entry | None:
    """The place behind the stack check with these arguments intact; None when there is no such place.

    Unless it must be passed `once` per call, the check's own jump will do where the place behind is a dear one: it is
    passed again, with the same stack pointer, after the stack has grown.
    """
    kept = frozenset(ARGUMENTS[:arguments])
    text = " ".join(f"{each.mnemonic} {each.operands}" for each in body[:3])
    stack_abi = f"[{_GOROUTINE}" not in text and "fs:" in text
    g_tls_offset = _g_tls_offset(body) if stack_abi else None
    if stack_abi and g_tls_offset is None:
        return None
    check = None
    for instruction in body[:_PROLOGUE_MAX]:
        if "rsp" in instruction.writes and not instruction.is_transfer:
            if not instruction.is_emulated and check is not None and not once and not check.is_refused:
                return Entry(check.vaddr, stack_abi, f"{check.mnemonic} of the stack check", g_tls_offset)
            behind = "behind the stack check" if check else "at the entry"
            return Entry(instruction.vaddr, stack_abi, f"{instruction.mnemonic} {behind}", g_tls_offset)
        if instruction.is_jump and instruction.target is not None and instruction.target > instruction.vaddr:
            check = instruction
        elif instruction.is_transfer or (not stack_abi and instruction.writes & kept):
            return None
    return None


def _g_tls_offset(body: Sequence[Instruction]) -> int | None:
    """`mov rcx, fs:[-8]`, or `mov rcx, -8; mov rcx, fs:[rcx]`.

    A shared library gets the number from the loader: None.
    """
    text = "; ".join(each.operands for each in body[:2])
    match = _FROM_THREAD.match(text)
    if match is None:
        return None
    offset = int(match[1] or match[2], 0)
    offset -= 1 << 64 if offset >> 63 else 0
    return offset if -_THREAD_MAX_BYTES <= offset < 0 else None


def keeps_arguments(body: Sequence[Instruction]) -> bool:
    """Whether the receiver and the first two words of a slice are put where the caller left room for them.

    That is above the return address, in the order of the registers (src/cmd/compile/abi-internal.md, spill space), and
    done before anything is called, by a function that needs them behind a call.
    """
    below, kept = 0, set()
    for instruction in body:
        if instruction.is_call or instruction.mnemonic.split()[-1] == "ret":
            break
        if instruction.mnemonic == "push":
            below += _WORD_BYTES
        elif (moved := _LOWERED.match(f"{instruction.mnemonic} {instruction.operands}")) is not None:
            below += int(moved[1], 0)
        elif instruction.mnemonic == "mov" and (stored := _STORED.match(instruction.operands)) is not None:
            number, rest = divmod(int(stored[1], 0) - below, _WORD_BYTES)
            if not rest and 1 <= number <= _KEPT_WORDS and ARGUMENTS[number - 1] == stored[2]:
                kept.add(number)
    return len(kept) == _KEPT_WORDS


def returns(body: Sequence[Instruction]) -> list[Instruction]:
    """Every instruction that returns; there the stack pointer is what it was at the entry."""
    return [each for each in body if each.mnemonic.split()[-1] == "ret"]


def leaves_otherwise(body: Sequence[Instruction]) -> bool:
    """Whether the function jumps into another one, so that its return is seen nowhere."""
    inside = range(body[0].vaddr, body[-1].end)
    return any(each.is_jump and (each.target is None or each.target not in inside) for each in body)
