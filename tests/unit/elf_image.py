# SPDX-License-Identifier: Apache-2.0
"""Builds small x86-64 ELF files for tests, and the machine code in them: no compiler, every byte chosen.

Text lies at file offset 0x1000 and address 0x402000, so that a mixed-up offset and address show. Constants lie before
it, where code can refer to them, unless they are too large for that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

TEXT_OFFSET = 0x1000
TEXT_VADDR = 0x402000
DATA_SKEW = 0x500000
"""Address minus file offset of everything that is not text."""
GOT_VADDR = 0x900000
RODATA_OFFSET = 0x400
RODATA_VADDR = RODATA_OFFSET + DATA_SKEW

ENDBR64 = b"\xf3\x0f\x1e\xfa"
PUSH_RBP = b"\x55"
RET = b"\xc3"

Piece: TypeAlias = bytes | tuple[str, int]
"""Bytes as they are, or `("call", "jmp" or "lea rsi", address)`."""

_OPCODES = {"call": b"\xe8", "jmp": b"\xe9", "lea rsi": b"\x48\x8d\x35"}


def assemble(vaddr: int, pieces: Iterable[Piece]) -> bytes:
    code = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            code += piece
        else:
            opcode = _OPCODES[piece[0]]
            code += opcode + struct.pack("<i", piece[1] - (vaddr + len(code) + len(opcode) + 4))
    return code


@dataclass
class _Symbol:
    name: str
    vaddr: int
    size: int
    info: int = 0x12
    section: int = 1
    version: int = 2


@dataclass
class ElfImage:
    """Functions are added, then `build` or `write` makes the file."""

    sections: bool = True
    full_table: bool = False
    """Put functions into .symtab instead of .dynsym."""
    machine: int = 62
    kind: int = 3
    rodata: bytes = b"nothing\0"
    needed: tuple[str, ...] = ()
    soname: str = ""
    interpreter: bool = False
    """Make it a program."""
    unwind: bool = False
    """Keep the table of where functions begin."""
    build_id: bytes = bytes(range(20))
    text: bytes = b""
    symbols: list[_Symbol] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def add(self, name: str, pieces: Iterable[Piece] | Callable[[int], bytes], **fields: int) -> int:
        """A function; its address. Without a name it gets no symbol."""
        self.text += b"\x90" * (-len(self.text) % 16)
        vaddr = TEXT_VADDR + len(self.text)
        self.starts.append(vaddr)
        code = pieces(vaddr) if callable(pieces) else assemble(vaddr, pieces)
        self.text += code
        if name:
            self.symbols.append(_Symbol(name, vaddr, len(code), **fields))
        return vaddr

    def add_import(self, name: str) -> int:
        """An imported function; the address of its stub."""
        slot = GOT_VADDR + 8 * len(self.imports)
        self.imports.append(name)
        return self.add("", lambda vaddr: ENDBR64 + b"\xff\x25" + struct.pack("<i", slot - (vaddr + 10)))

    def build(self) -> bytes:
        data = bytearray(TEXT_OFFSET) + self.text
        places: dict[str, tuple[int, int]] = {}

        if RODATA_OFFSET + len(self.rodata) <= TEXT_OFFSET:
            places["rodata"] = (RODATA_OFFSET, len(self.rodata))
            data[RODATA_OFFSET : RODATA_OFFSET + len(self.rodata)] = self.rodata

        def put(name: str, content: bytes) -> None:
            data.extend(bytes(-len(data) % 16))
            places[name] = (len(data), len(content))
            data.extend(content)

        undefined = [_Symbol(name, 0, 0, section=0) for name in self.imports]
        strings = bytearray(b"\0")
        needed = [self._string(strings, name) for name in self.needed]
        soname = [(14, self._string(strings, self.soname))] if self.soname else []
        defined = [] if self.full_table else self.symbols
        put("dynsym", self._table([*undefined, *defined], strings))
        put("dynstr", bytes(strings))
        put(
            "versym",
            struct.pack(f"<{1 + len(undefined) + len(defined)}H", 0, *(s.version for s in (*undefined, *defined))),
        )
        slots = enumerate(self.imports)
        put("rela", b"".join(struct.pack("<QQq", GOT_VADDR + 8 * at, (at + 1) << 32 | 7, 0) for at, _ in slots))
        put("note", struct.pack("<III", 4, len(self.build_id), 3) + b"GNU\0" + self.build_id)
        if "rodata" not in places:
            put("rodata", self.rodata)
        dynamic = [(1, at) for at in needed] + soname
        dynamic += [(6, places["dynsym"][0] + DATA_SKEW), (5, places["dynstr"][0] + DATA_SKEW), (10, len(strings))]
        dynamic += [(0x6FFFFFF0, places["versym"][0] + DATA_SKEW)]
        dynamic += [(23, places["rela"][0] + DATA_SKEW), (2, places["rela"][1]), (0, 0)]
        if self.interpreter:
            put("interpreter", b"/lib64/ld-linux-x86-64.so.2\0")
        if self.unwind:
            data.extend(bytes(-len(data) % 16))
            put("unwind", self._unwind_table(len(data) + DATA_SKEW))
        put("dynamic", b"".join(struct.pack("<qQ", tag, value) for tag, value in dynamic))
        if self.full_table:
            strings = bytearray(b"\0")
            put("symtab", self._table(self.symbols, strings))
            put("strtab", bytes(strings))
        sections_at = self._put_sections(data, places) if self.sections else (0, 0, 0)
        self._put_headers(data, places, sections_at)
        return bytes(data)

    def write(self, path: Path) -> str:
        path.write_bytes(self.build())
        return str(path)

    def _unwind_table(self, vaddr: int) -> bytes:
        entries = b"".join(struct.pack("<ii", start - vaddr, 0) for start in sorted(self.starts))
        return struct.pack("<BBBBiI", 1, 0x1B, 0x03, 0x3B, 0, len(self.starts)) + entries

    @staticmethod
    def _string(strings: bytearray, name: str) -> int:
        at = strings.find(name.encode() + b"\0")
        if at < 0:
            at = len(strings)
            strings.extend(name.encode() + b"\0")
        return at

    def _table(self, symbols: list[_Symbol], strings: bytearray) -> bytes:
        table = bytes(24)
        for symbol in symbols:
            name = self._string(strings, symbol.name)
            table += struct.pack("<IBBHQQ", name, symbol.info, 0, symbol.section, symbol.vaddr, symbol.size)
        return table

    @staticmethod
    def _put_sections(data: bytearray, places: dict[str, tuple[int, int]]) -> tuple[int, int, int]:
        kinds = {"dynsym": 11, "dynstr": 3, "versym": 0x6FFFFFFF, "rela": 4, "rodata": 1, "symtab": 2, "strtab": 3}
        links = {"dynsym": "dynstr", "symtab": "strtab"}
        names = [name for name in kinds if name in places]
        name_table = b"\0" + b"".join(b"." + name.encode() + b"\0" for name in names) + b".shstrtab\0"
        rows = [bytes(64)]
        for name in names:
            offset, size = places[name]
            link = 1 + names.index(links[name]) if name in links else 0
            at = name_table.index(b"." + name.encode() + b"\0")
            rows.append(struct.pack("<IIQQQQIIQQ", at, kinds[name], 0, offset + DATA_SKEW, offset, size, link, 0, 1, 0))
        at = name_table.index(b".shstrtab\0")
        rows.append(struct.pack("<IIQQQQIIQQ", at, 3, 0, 0, len(data), len(name_table), 0, 0, 1, 0))
        data.extend(name_table)
        start = len(data)
        data.extend(b"".join(rows))
        return start, len(rows), len(rows) - 1

    def _put_headers(
        self, data: bytearray, places: dict[str, tuple[int, int]], sections_at: tuple[int, int, int]
    ) -> None:
        text_end = TEXT_OFFSET + len(self.text)
        kinds = {2: "dynamic", 3: "interpreter", 4: "note", 0x6474E550: "unwind"}
        segments = [
            (1, 4, 0, DATA_SKEW, TEXT_OFFSET),
            (1, 5, TEXT_OFFSET, TEXT_VADDR, len(self.text)),
            (1, 4, text_end, text_end + DATA_SKEW, places["dynamic"][0] + places["dynamic"][1] - text_end),
            *(
                (kind, 4, places[name][0], places[name][0] + DATA_SKEW, places[name][1])
                for kind, name in kinds.items()
                if name in places
            ),
        ]
        offset, count, names = sections_at
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        fields = (self.kind, self.machine, 1, 0, 64, offset, 0, 64, 56, len(segments), 64, count, names)
        data[:64] = struct.pack("<16sHHIQQQIHHHHHH", ident, *fields)
        rows = (
            struct.pack("<IIQQQQQQ", kind, flags, at, vaddr, vaddr, size, size, 1)
            for kind, flags, at, vaddr, size in segments
        )
        table = b"".join(rows)
        data[64 : 64 + len(table)] = table
