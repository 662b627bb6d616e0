# SPDX-License-Identifier: Apache-2.0
"""Builds small Go programs for tests: table of functions, runtime's description, types, build information.

No compiler, every byte chosen. Without section headers, as what strips them leaves it. Text, constants and data lie at
different distances from their places in the file, so that a mixed-up offset and address show.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

TEXT_OFFSET, TEXT_VADDR = 0x1000, 0x401000
CONSTANTS_SKEW = 0x800000
DATA_SKEW = 0x900000

GO_1_2, GO_1_16, GO_1_18, GO_1_20 = 0xFFFFFFFB, 0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1
X86_64, AARCH64 = 62, 183

# What Go's compiler makes of functions, shortened; registers as from 1.21 on.
CHECK = b"\x49\x3b\x66\x10\x76"  # cmp rsp, [r14+0x10]; jbe
PUSH = b"\x55\x48\x89\xe5\x48\x83\xec\x18"  # push rbp; mov rbp, rsp; sub rsp, 0x18
POP_RET = b"\x48\x83\xc4\x18\x5d\xc3"  # add rsp, 0x18; pop rbp; ret
GROW = b"\xe8\x00\x00\x00\x00\xeb"  # call (morestack); jmp back


def checked(body: bytes, frame: bytes = PUSH) -> bytes:
    """A function: stack check, frame, body, epilogue, and the growing of the stack."""
    inner = frame + body + POP_RET
    code = CHECK + bytes([len(inner)]) + inner + GROW
    return code + struct.pack("<b", -len(code) - 1)


@dataclass
class GoImage:
    """Functions are added, then `build` or `write` makes the file."""

    version: str = "go1.21.13"
    """Empty: no build information."""
    magic: int = GO_1_20
    pie: bool = False
    machine: int = X86_64
    note: bool = True
    stores_text: bool = True
    """Whether the header says where the text begins, as before Go 1.26."""
    describes: bool = True
    """Whether there is a description of the program (moduledata)."""
    symbols: bool = False
    """Keep a full symbol table, and with it section headers."""
    conn_fields: tuple[tuple[str, int, int], ...] = (("conn", 0, 20), ("vers", 72, 9), ("isClient", 16, 1))
    """Name, offset and kind of the fields of tls.Conn."""
    functions: list[tuple[str, bytes]] = field(default_factory=lambda: [("runtime.text", b"\xc3")])
    pointers: list[tuple[int, int]] = field(default_factory=list)
    addresses: dict[str, int] = field(default_factory=dict)
    """Of the types, by package and name, once built."""

    def add(self, name: str, code: bytes) -> int:
        """Its address."""
        vaddr = TEXT_VADDR + self._begins()[-1]
        self.functions.append((name, code))
        return vaddr

    def write(self, path: Path) -> str:
        path.write_bytes(self.build())
        return str(path)

    def build(self) -> bytes:
        self.pointers = []
        text = b"".join(code + self._padding(code) for _, code in self.functions)
        data = bytearray(TEXT_OFFSET) + text
        data += bytes(-len(data) % 4096)
        constants_at = len(data)
        types = self._types(constants_at + CONSTANTS_SKEW)
        data += types
        table_at = len(data)
        data += self._table() + bytes(64)
        data += bytes(-len(data) % 4096)
        data_at = len(data)
        if self.version:
            data += self._build_information(data_at + DATA_SKEW)
        if self.describes:
            self._describe(data, table_at + CONSTANTS_SKEW, constants_at + CONSTANTS_SKEW, len(types))
        note_at = len(data)
        data += struct.pack("<III", 4, 4, 4) + b"Go\0\0" + b"id-1"
        kinds = [(2, self._relocate(data))] if self.pie else []
        kinds += [(4, (note_at, 20))] if self.note else []
        self._headers(data, len(text), constants_at, data_at, kinds)
        if self.symbols:
            self._put_symbols(data)
        return bytes(data)

    def _padding(self, code: bytes) -> bytes:
        return (b"\xcc" if self.machine == X86_64 else b"\0") * (-len(code) % 16)

    def _begins(self) -> list[int]:
        begins = [0]
        for _, code in self.functions:
            begins.append(begins[-1] + len(code) + len(self._padding(code)))
        return begins

    def _table(self) -> bytes:
        wide = self.magic in (GO_1_2, GO_1_16)
        width, base = (8, TEXT_VADDR) if wide else (4, 0)
        begins = [base + begin for begin in self._begins()]
        names = b"".join(name.encode() + b"\0" for name, _ in self.functions)
        names += bytes(-len(names) % 8)
        header = 16 if self.magic == GO_1_2 else 64 if self.magic == GO_1_16 else 72
        pairs_size = (2 * len(self.functions) + 1) * width
        records_at = pairs_size + (-pairs_size % 8)
        inside = self.magic == GO_1_2  # names and records are counted from the beginning there
        names_at = header + records_at + 40 * len(self.functions) if inside else header
        pairs_at = header if inside else names_at + len(names)
        pairs, records, name = b"", b"", names_at if inside else 0
        for index, (text, _) in enumerate(self.functions):
            record = records_at + len(records) + (pairs_at if inside else 0)
            pairs += begins[index].to_bytes(width, "little") + record.to_bytes(width, "little")
            records += (begins[index].to_bytes(width, "little") + name.to_bytes(4, "little")).ljust(40, b"\0")
            name += len(text) + 1
        pairs += begins[-1].to_bytes(width, "little")
        pairs += bytes(records_at - len(pairs))
        head = struct.pack("<IHBB", self.magic, 0, 1 if self.machine == X86_64 else 4, 8)
        words = [len(self.functions)]
        if not inside:
            offsets = [names_at, pairs_at, pairs_at, pairs_at, pairs_at]
            stored = [] if self.magic == GO_1_16 else [TEXT_VADDR if self.stores_text and not self.pie else 0]
            words += [1, *stored, *offsets]
        head += struct.pack(f"<{len(words)}Q", *words)
        assert len(head) == header, (len(head), header)
        return head + (pairs + records + names if inside else names + pairs + records)

    def _types(self, base: int) -> bytes:
        """Descriptions of *net.TCPConn and tls.Conn, behind names like theirs that mean nothing."""
        data = bytearray(64)
        names: dict[str, int] = {}
        old = self.magic in (GO_1_2, GO_1_16)
        fields = [name for name, _, _ in self.conn_fields]
        for name in ("x", "net", "crypto/tls", "*net.TCPConn", "*tls.Conn", "other/net", *fields):
            names[name] = len(data)
            data += b"\x01" + struct.pack(">H" if old else "B", len(name)) + name.encode()
        data += bytes(-len(data) % 8)
        for package, name in (("other/net", "*net.TCPConn"), ("net", "*net.TCPConn"), ("crypto/tls", "*tls.Conn")):
            self.addresses[f"{package} {name}"] = base + len(data)
            self.pointers.append((base + len(data) + 48, base + len(data) + 80))
            data += struct.pack("<QQIBBBB", 8, 8, 1, 1, 8, 8, 22) + bytes(16) + struct.pack("<ii", names[name], 0)
            data += bytes(8) + struct.pack("<iHHII", names[package], 0, 0, 0, 0) + bytes(8)
        size = 8 + max((offset for _, offset, _ in self.conn_fields), default=0)
        self.pointers.append((base + len(data) + 56, base + len(data) + 80))
        count = len(fields)
        data += struct.pack("<QQIBBBB", size, 8, 1, 1, 8, 8, 25) + bytes(40) + struct.pack("<QQ", count, count)
        kinds_at = base + len(data) + 24 * count
        for index, (name, offset, _) in enumerate(self.conn_fields):
            at = base + len(data)
            self.pointers += [(at, base + names[name]), (at + 8, kinds_at + 48 * index)]
            shift = 1 if self.magic in (GO_1_2, GO_1_16) else 0
            data += bytes(16) + struct.pack("<Q", offset << shift)
        for _, _, kind in self.conn_fields:
            data += bytes(23) + bytes([kind]) + bytes(24)
        return self._filled(data, base)

    def _filled(self, data: bytearray, base: int) -> bytes:
        """With pointers in place, unless the loader puts them there."""
        data += bytes(-len(data) % 64)
        for place, value in self.pointers:
            if base <= place < base + len(data):
                data[place - base : place - base + 8] = struct.pack("<Q", 0 if self.pie else value)
        return bytes(data)

    def _build_information(self, base: int) -> bytes:
        text = self.version.encode()
        head = b"\xff Go buildinf:\x08"
        if self.magic in (GO_1_18, GO_1_20):
            return (head + b"\x02").ljust(32, b"\0") + bytes([len(text)]) + text + bytes(-(33 + len(text)) % 64)
        data = bytearray((head + b"\0").ljust(48, b"\0") + text)
        data[40:48] = struct.pack("<Q", len(text))
        self.pointers += [(base + 16, base + 32), (base + 32, base + 48)]
        return self._filled(data, base)

    def _describe(self, data: bytearray, table: int, types: int, types_size: int) -> None:
        base = len(data) + DATA_SKEW
        end = TEXT_VADDR + self._begins()[-1]
        names = 16 if self.magic == GO_1_2 else 64 if self.magic == GO_1_16 else 72
        first = {GO_1_2: 10, GO_1_16: 20, GO_1_18: 20, GO_1_20: 20}[self.magic]
        at = {GO_1_2: 25, GO_1_16: 35, GO_1_18: 35, GO_1_20: 37}[self.magic]
        newest = self.version.startswith("go1.27")
        words = {0: table, 1: table + names, first: TEXT_VADDR, first + 1: end, first + 2: TEXT_VADDR}
        words |= {at: types, at + 1: types_size if newest else types + types_size}
        words |= {at + 2: types + types_size} if newest else {}
        lengths = {at + 1} if newest else set()
        raw = bytearray(8 * 48)
        for index, value in words.items():
            in_place = index in lengths or not self.pie
            raw[8 * index : 8 * index + 8] = struct.pack("<Q", value if in_place else 0)
        self.pointers += [(base + 8 * index, value) for index, value in words.items() if index not in lengths]
        data += raw

    def _relocate(self, data: bytearray) -> tuple[int, int]:
        """Where the dynamic table is."""
        kind = 8 if self.machine == X86_64 else 1027
        data += bytes(-len(data) % 8)
        table_at = len(data)
        data += b"".join(struct.pack("<QQQ", place, kind, value) for place, value in sorted(self.pointers))
        dynamic_at = len(data)
        data += struct.pack("<qQqQqQ", 7, table_at + DATA_SKEW, 8, dynamic_at - table_at, 0, 0)
        return dynamic_at, len(data) - dynamic_at

    def _put_symbols(self, data: bytearray) -> None:
        names, table = b"\0", bytes(24)
        for (name, code), begin in zip(self.functions, self._begins(), strict=False):
            table += struct.pack("<IBBHQQ", len(names), 0x12, 0, 1, TEXT_VADDR + begin, len(code))
            names += name.encode() + b"\0"
        at = len(data)
        data += table + names + bytes(-len(table + names) % 8)
        rows = bytes(64) + struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, at, len(table), 2, 0, 8, 24)
        rows += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at + len(table), len(names), 0, 0, 1, 0)
        struct.pack_into("<Q", data, 40, len(data))
        struct.pack_into("<HH", data, 60, 3, 2)
        data += rows

    def _headers(
        self, data: bytearray, text_size: int, constants_at: int, data_at: int, kinds: list[tuple[int, tuple[int, int]]]
    ) -> None:
        segments = [
            (1, 5, TEXT_OFFSET, TEXT_VADDR, text_size),
            (1, 4, constants_at, constants_at + CONSTANTS_SKEW, data_at - constants_at),
            (1, 6, data_at, data_at + DATA_SKEW, len(data) - data_at),
            *((kind, 4, at, at + DATA_SKEW, size) for kind, (at, size) in kinds),
        ]
        ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        header = struct.pack(
            "<16sHHIQQQIHHHHHH", ident, 3, self.machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0
        )
        rows = b"".join(
            struct.pack("<IIQQQQQQ", kind, flags, offset, vaddr, vaddr, size, size, 4096)
            for kind, flags, offset, vaddr, size in segments
        )
        data[: len(header) + len(rows)] = header + rows
