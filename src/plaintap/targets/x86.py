# SPDX-License-Identifier: Apache-2.0
"""x86-64 machine code as far as placing probes needs it: decoding, branches, copies of registers.

The only user of capstone, whose import takes 50 ms and therefore waits for the first instruction to be decoded.
What the code is for is not known here.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.elf import ElfFile

ARGUMENTS: Final = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")
"""Registers of integer arguments in order (System V ABI)."""
CALLER_SAVED: Final = frozenset({"rax", "r10", "r11", *ARGUMENTS})

_LONGEST_BYTES = 15
_STRAIGHT_LINE_MAX = 24
_DIRECT = re.compile(r"0x[0-9a-f]+$")
_GOT_SLOT = re.compile(r"qword ptr \[rip ([+-]) (0x[0-9a-f]+|\d+)\]$")


def _register_names() -> dict[str, str]:
    """Every general register's parts to its 64-bit name."""
    names: dict[str, str] = {}
    for letter in "abcd":
        names |= dict.fromkeys((f"r{letter}x", f"e{letter}x", f"{letter}x", f"{letter}l", f"{letter}h"), f"r{letter}x")
    for name in ("si", "di", "sp", "bp"):
        names |= dict.fromkeys((f"r{name}", f"e{name}", name, f"{name}l"), f"r{name}")
    for number in range(8, 16):
        names |= dict.fromkeys((f"r{number}", f"r{number}d", f"r{number}w", f"r{number}b"), f"r{number}")
    return names


_WHOLE_REGISTER = _register_names()


class Instruction(NamedTuple):
    """One decoded instruction; registers by their 64-bit names."""

    vaddr: int
    code: bytes
    mnemonic: str
    target: int | None = None
    """Where a direct branch or call goes."""
    slot: int | None = None
    """The address an indirect branch or call through a fixed slot reads, as through the global offset table."""
    writes: frozenset[str] = frozenset()
    copies: tuple[str, str] | None = None
    """(to, from) for a move between registers."""
    points: tuple[str, str] | None = None
    """(to, base) for an address computed from one register."""
    zeroes: str | None = None
    operands: str = ""
    """As an assembler writes them."""

    @property
    def end(self) -> int:
        return self.vaddr + len(self.code)

    @property
    def is_call(self) -> bool:
        return self.mnemonic.endswith("call")

    @property
    def is_jump(self) -> bool:
        """Conditional or not."""
        return self.mnemonic.startswith(("j", "bnd j", "notrack j", "loop"))

    @property
    def ends_flow(self) -> bool:
        """Nothing runs behind it."""
        return self.mnemonic.split()[-1] in ("jmp", "ret", "ud2", "hlt", "int3")

    @property
    def is_transfer(self) -> bool:
        return self.is_call or self.is_jump or self.ends_flow

    @property
    def is_locked(self) -> bool:
        """Whether it changes memory that others may change too, as the count of an object's references."""
        return self.code[0] == 0xF0

    @property
    def is_refused(self) -> bool:
        """Whether the kernel takes no probe here: prefixes of locks and segments, as in is_prefix_bad()."""
        return self.code[0] in (0x26, 0x2E, 0x36, 0x3E, 0xF0)

    @property
    def is_emulated(self) -> bool:
        """Whether the kernel runs a probed one itself (about 1 us) and need not single-step it (10 to 20 us).

        As in arch/x86/kernel/uprobes.c: branch_setup_xol_ops and push_setup_xol_ops, there since Linux 3.16 and 4.16.
        """
        code = self.code
        first = code[0]
        if len(code) == 1:
            return first == 0x90 or 0x50 <= first <= 0x57
        if first == 0x41:
            return len(code) == 2 and 0x50 <= code[1] <= 0x57
        return first in (0xE8, 0xE9, 0xEB) or 0x70 <= first <= 0x7F or (first == 0x0F and 0x80 <= code[1] <= 0x8F)


_SEEN_MAX = 8192
_seen: dict[bytes, Instruction] = {}
"""By their bytes, those whose meaning is the same everywhere: programs of one compiler are full of the same ones."""


class Branches(NamedTuple):
    """Every call and jump in a stretch of code, whether reached or not."""

    targets: frozenset[int]
    """Of direct calls and jumps."""
    slots: frozenset[int]
    """Fixed slots called or jumped through."""
    indirect: bool
    """Whether something is called through a register or a structure."""


def load_decoder() -> None:
    """Does at once what the first instruction to be decoded would wait for."""
    import capstone  # type: ignore[import-untyped,unused-ignore] # noqa: F401, PLC0415 - see above


class Decoder:
    """Decodes the code of one ELF file."""

    def __init__(self, elf: ElfFile) -> None:
        self.elf: Final = elf

    @cached_property
    def _capstone(self) -> Any:  # noqa: ANN401 - capstone has no types
        import capstone  # type: ignore[import-untyped,unused-ignore] # noqa: PLC0415 - 50 ms, see above

        return capstone

    @cached_property
    def _engine(self) -> Any:  # noqa: ANN401 - capstone has no types
        engine = self._capstone.Cs(self._capstone.CS_ARCH_X86, self._capstone.CS_MODE_64)
        engine.detail = True
        return engine

    @cached_property
    def _fast_engine(self) -> Any:  # noqa: ANN401 - capstone has no types
        return self._capstone.Cs(self._capstone.CS_ARCH_X86, self._capstone.CS_MODE_64)

    def decode(self, vaddr: int, size: int) -> Iterator[Instruction]:
        """The instructions of a stretch in order; ends early where there is none."""
        code = self.elf.read(vaddr, size)
        for at, length, _, operands in self._fast_engine.disasm_lite(code, vaddr):
            one = code[at - vaddr : at - vaddr + length]
            known = _seen.get(one)
            if known is None:
                known = self._convert(next(self._engine.disasm(one, at)))
                # Of a branch the operand is where it leads from here.
                if known.slot is None and not operands.startswith("0x"):
                    if len(_seen) >= _SEEN_MAX:
                        _seen.clear()
                    _seen[one] = known
            yield known if known.vaddr == at else Instruction(at, *known[1:])

    def addresses(self, vaddr: int, size: int) -> Iterator[int]:
        """Where the instructions of a stretch begin, quickly."""
        for at, _, _, _ in self._fast_engine.disasm_lite(self.elf.read(vaddr, size), vaddr):
            yield at

    def straight_line(self, vaddr: int) -> list[Instruction]:
        """What always runs from here: up to and with the first call, jump or return."""
        line = []
        for instruction in self.decode(vaddr, _STRAIGHT_LINE_MAX * _LONGEST_BYTES):
            line.append(instruction)
            if instruction.is_transfer or len(line) == _STRAIGHT_LINE_MAX:
                break
        return line

    def branches(self, vaddr: int, size: int) -> Branches:
        """All branches of a stretch, quickly."""
        targets: set[int] = set()
        slots: set[int] = set()
        indirect = False
        code = self.elf.read(vaddr, size)
        for at, length, mnemonic, operand in self._fast_engine.disasm_lite(code, vaddr):
            if mnemonic[0] != "j" and not mnemonic.endswith(("call", "jmp")):
                continue
            if _DIRECT.match(operand):
                targets.add(int(operand, 16))
            elif slot := _GOT_SLOT.match(operand):
                slots.add(at + length + int(slot[1] + slot[2], 0))
            elif mnemonic.endswith("call"):
                indirect = True
        return Branches(frozenset(targets), frozenset(slots), indirect)

    def stub_slot(self, vaddr: int) -> int | None:
        """The slot that code here only jumps through: what a procedure linkage table entry is."""
        if not self.elf.is_code(vaddr):
            return None
        code = self.elf.read(vaddr, 4 + 7)
        at = 4 if code.startswith(b"\xf3\x0f\x1e\xfa") else 0  # endbr64
        at += code[at : at + 1] == b"\xf2"  # bnd
        if code[at : at + 2] != b"\xff\x25" or len(code) < at + 6:
            return None
        return vaddr + at + 6 + int.from_bytes(code[at + 2 : at + 6], "little", signed=True)

    def _convert(self, raw: Any) -> Instruction:  # noqa: ANN401 - capstone has no types
        x86 = self._capstone.x86
        names = (raw.reg_name(number) for number in raw.regs_access()[1])
        writes = frozenset(_WHOLE_REGISTER[name] for name in names if name in _WHOLE_REGISTER)
        operands = raw.operands
        target = slot = copies = points = zeroes = None
        mnemonic = raw.mnemonic
        if len(operands) == 1 and (mnemonic.endswith("call") or "j" in mnemonic):
            operand = operands[0]
            if operand.type == x86.X86_OP_IMM:
                target = operand.imm
            elif operand.type == x86.X86_OP_MEM and operand.mem.base == x86.X86_REG_RIP:
                slot = raw.address + raw.size + operand.mem.disp
        elif len(operands) == 2 and operands[0].type == x86.X86_OP_REG:
            to, other = raw.reg_name(operands[0].reg), operands[1]
            whole = _WHOLE_REGISTER.get(to)
            if other.type == x86.X86_OP_REG and whole is not None:
                source = raw.reg_name(other.reg)
                if mnemonic in ("xor", "sub") and source == to:
                    zeroes = whole
                elif mnemonic == "movsxd" or (mnemonic == "mov" and operands[0].size == 8):
                    copies = (whole, _WHOLE_REGISTER.get(source, source))
            elif mnemonic == "mov" and other.type == x86.X86_OP_IMM and other.imm == 0:
                zeroes = whole
            elif mnemonic == "lea" and whole is not None and other.mem.base and not other.mem.index:
                points = (whole, _WHOLE_REGISTER.get(raw.reg_name(other.mem.base), ""))
        return Instruction(
            raw.address, bytes(raw.bytes), mnemonic, target, slot, writes, copies, points, zeroes, raw.op_str
        )
