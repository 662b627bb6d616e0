# SPDX-License-Identifier: Apache-2.0
"""Reads compiled BPF objects, so that tests can hold them against what a kernel takes: no libbpf, no compiler.

Instructions: Documentation/bpf/standardization/instruction-set.rst of the kernel; BTF: Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
"""Instruction classes."""
LOAD_64 = 0x18
"""The one instruction of two slots: a 64-bit constant, or a map's address."""
CALL, EXIT = 0x85, 0x95
TO_FUNCTION = 1  # BPF_PSEUDO_CALL, in a call's source register
FRAME = 10  # r10, the top of the stack

_ELF_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_INSTRUCTION = struct.Struct("<BBhi")
_REL, _EM_BPF, _FUNCTION, _EXECUTABLE, _WRITE, _ALLOC = 9, 247, 2, 4, 1, 2
_BTF_HEADER = struct.Struct("<HBBIIIII")
_BTF_EXT_HEADER = struct.Struct("<HBBIIIIIII")
_BTF_TYPE = struct.Struct("<III")
_ARRAY, _STRUCT, _DATASEC = 3, 4, 15
# What follows a type: bytes whatever it holds, and bytes for each thing it holds.
_BTF_FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
_BTF_EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


class Section(NamedTuple):
    name: str
    kind: int
    flags: int
    data: bytes
    size: int
    link: int
    info: int


class Symbol(NamedTuple):
    name: str
    kind: int
    section: int
    value: int
    size: int


class Instruction(NamedTuple):
    """One slot; `at` is its number in its section."""

    at: int
    code: int
    target: int
    source: int
    offset: int
    constant: int

    @property
    def kind(self) -> int:
        return self.code & 7

    @property
    def jumps(self) -> bool:
        return self.kind in {JMP, JMP32} and self.code not in {CALL, EXIT}

    @property
    def destination(self) -> int:
        """Of a jump: from Linux 6.6 on one of 32 bits has its distance elsewhere."""
        return self.at + 1 + (self.constant if self.code == JMP32 else self.offset)

    @property
    def always_jumps(self) -> bool:
        return self.code in {JMP, JMP32}


@dataclass(frozen=True)
class Function:
    """A program, or what programs call."""

    name: str
    section: int
    start: int
    slots: int
    """What the kernel counts as instructions."""
    instructions: tuple[Instruction, ...]

    def followers(self, instruction: Instruction) -> list[int]:
        """The numbers of those that may run next in this function."""
        if instruction.code == EXIT:
            return []
        after = instruction.at + (2 if instruction.code == LOAD_64 else 1)
        if not instruction.jumps:
            return [after]
        return [instruction.destination] if instruction.always_jumps else [after, instruction.destination]

    def helpers(self) -> set[int]:
        """The numbers of the kernel's functions it calls."""
        return {each.constant for each in self.instructions if each.code == CALL and each.source != TO_FUNCTION}

    def stack_bytes(self) -> int:
        """How far down it reaches, directly or by an address it makes of r10."""
        lowest = 0
        for before, each in zip((None, *self.instructions), self.instructions, strict=False):
            if (each.kind == LDX and each.source == FRAME) or (each.kind in {ST, STX} and each.target == FRAME):
                lowest = min(lowest, each.offset)
            elif before and each.code == 0x07 and (before.code, before.source) == (0xBF, FRAME):
                assert each.target == before.target, f"{self.name}: an address on the stack this does not understand"
                lowest = min(lowest, each.constant)
        return -lowest


class BpfObject:
    """An object file as the compiler left it."""

    def __init__(self, image: bytes) -> None:
        header = _ELF_HEADER.unpack_from(image)
        assert image[:6] == b"\x7fELF\x02\x01"
        assert header[1] == _EM_BPF
        raw = [_SECTION.unpack_from(image, header[5] + _SECTION.size * i) for i in range(header[11])]
        names = image[raw[header[12]][4] :]
        self.sections = [
            Section(_text(names, name), kind, flags, image[at : at + size], size, link, info)
            for name, kind, flags, _, at, size, link, info, _, _ in raw
        ]
        table = self.section(".symtab")
        strings = self.sections[table.link].data
        self.symbols = [
            Symbol(_text(strings, name), info & 15, section, value, size)
            for name, info, _, section, value, size in _SYMBOL.iter_unpack(table.data)
        ]

    def section(self, name: str) -> Section:
        """Raises ValueError where there is none, or more than one."""
        (found,) = (section for section in self.sections if section.name == name)
        return found

    def global_data(self) -> list[str]:
        """Sections that libbpf would make maps of, which came with Linux 5.2 (d859900c4c56)."""
        named = [section for section in self.sections if section.flags & _ALLOC and not section.flags & _EXECUTABLE]
        return [section.name for section in named if section.size and section.name not in {"license", ".maps"}]

    def undefined(self) -> list[str]:
        """What libbpf would look for in the kernel: its configuration, its variables and functions."""
        return [symbol.name for symbol in self.symbols if symbol.name and not symbol.section]

    def relocations(self, section: int) -> dict[int, Symbol]:
        """What the instructions of a section refer to, by the number of the instruction."""
        found = {}
        for each in self.sections:
            if each.kind == _REL and each.info == section:
                for at, info in _RELOCATION.iter_unpack(each.data):
                    found[at // _INSTRUCTION.size] = self.symbols[info >> 32]
        return found

    @cached_property
    def functions(self) -> dict[tuple[int, int], Function]:
        """By section and number of their first instruction."""
        found = {}
        for symbol in self.symbols:
            if symbol.kind == _FUNCTION:
                start, slots = symbol.value // _INSTRUCTION.size, symbol.size // _INSTRUCTION.size
                code = self.sections[symbol.section].data[symbol.value : symbol.value + symbol.size]
                instructions = tuple(_instructions(code, start))
                found[symbol.section, start] = Function(symbol.name, symbol.section, start, slots, instructions)
        return found

    @cached_property
    def programs(self) -> dict[str, Function]:
        """By name; the rest of the functions lies in .text."""
        return {each.name: each for each in self.functions.values() if self.place(each) != ".text"}

    def place(self, function: Function) -> str:
        """The name of its section, which says what kind of program it is."""
        return self.sections[function.section].name

    def callees(self, function: Function) -> list[Function]:
        """The functions it calls itself, as often as it does."""
        relocations = self.relocations(function.section)
        found = []
        for each in function.instructions:
            if each.code == CALL and each.source == TO_FUNCTION:
                symbol = relocations.get(each.at)
                section = symbol.section if symbol else function.section
                base = symbol.value // _INSTRUCTION.size if symbol else each.at
                found.append(self.functions[section, base + 1 + each.constant])
        return found

    def with_callees(self, function: Function) -> list[Function]:
        """All that is loaded as one program: the function, and each that is called from there once."""
        found = {function.name: function}
        waiting = [function]
        while waiting:
            for callee in self.callees(waiting.pop()):
                if callee.name not in found:
                    found[callee.name] = callee
                    waiting.append(callee)
        return list(found.values())

    def stack_bytes(self, function: Function) -> int:
        """Of the deepest chain of calls, as the kernel adds it up: each a multiple of 32, and at least that."""
        own = -(-max(function.stack_bytes(), 1) // 32) * 32
        return own + max((self.stack_bytes(callee) for callee in self.callees(function)), default=0)

    def map_types(self) -> dict[str, int]:
        """`enum bpf_map_type` of each map: how many elements the array has to which its `type` points."""
        return {name: self._btf.array_of(struct_type, "type") for name, struct_type in self._btf.variables(".maps")}

    def core_relocations_bytes(self) -> int:
        """The size of what asks for offsets in the running kernel's structs."""
        fields = _BTF_EXT_HEADER.unpack_from(self.section(".BTF.ext").data)
        assert fields[0] == 0xEB9F
        assert fields[3] >= _BTF_EXT_HEADER.size
        return int(fields[9])

    @cached_property
    def _btf(self) -> _Btf:
        return _Btf(self.section(".BTF").data)


class _Btf:
    """Types by number, as far as maps need them."""

    def __init__(self, raw: bytes) -> None:
        magic, _, _, length, types_at, types_size, strings_at, _ = _BTF_HEADER.unpack_from(raw)
        assert magic == 0xEB9F
        self._strings = raw[length + strings_at :]
        self._types: list[tuple[str, int, int, bytes]] = [("void", 0, 0, b"")]
        at, end = length + types_at, length + types_at + types_size
        while at < end:
            name, info, size_or_type = _BTF_TYPE.unpack_from(raw, at)
            kind, count = info >> 24 & 31, info & 0xFFFF
            size = _BTF_FIXED.get(kind, 0) + _BTF_EACH.get(kind, 0) * count
            body = raw[at + _BTF_TYPE.size : at + _BTF_TYPE.size + size]
            self._types.append((_text(self._strings, name), kind, size_or_type, body))
            at += _BTF_TYPE.size + size

    def variables(self, section: str) -> Iterator[tuple[str, int]]:
        """Name and type of each variable in it."""
        for name, kind, _, body in self._types:
            if kind == _DATASEC and name == section:
                for number, _, _ in struct.iter_unpack("<III", body):
                    yield self._types[number][0], self._types[number][2]

    def array_of(self, number: int, member: str) -> int:
        """How many elements the array has that this member of a struct points to."""
        _, kind, _, body = self._types[number]
        assert kind == _STRUCT
        for name, pointer, _ in struct.iter_unpack("<III", body):
            if _text(self._strings, name) == member:
                _, kind, _, array = self._types[self._types[pointer][2]]
                assert kind == _ARRAY
                return int(struct.unpack("<III", array)[2])
        raise AssertionError(f"a map without {member}")


def _text(strings: bytes, at: int) -> str:
    return strings[at : strings.index(b"\0", at)].decode()


def _instructions(code: bytes, start: int) -> Iterator[Instruction]:
    second_half = False
    for at, (opcode, registers, offset, constant) in enumerate(_INSTRUCTION.iter_unpack(code), start):
        if not second_half:
            yield Instruction(at, opcode, registers & 15, registers >> 4, offset, constant)
        second_half = not second_half and opcode == LOAD_64
