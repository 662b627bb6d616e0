# SPDX-License-Identifier: Apache-2.0
"""Reads ELF files of this host's architecture: headers, code, dynamic section, function symbols, build id.

Every number in a file is a stranger's claim: a wrong one ends in TargetError, never in another exception or in work
without bound. Files are read with pread, not mapped: a mapped file that shrinks would end the tool with SIGBUS.
What the bytes mean to a TLS library is not known here; searching the symbol tables is elfsymbols.py.
"""

from __future__ import annotations

import os
import stat
import struct
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from plaintap.errors import TargetError
from plaintap.targets.elfsymbols import Symbol, SymbolTable, find_symbols, mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")
_RELOCATION = struct.Struct("<QQq")
_NOTE = struct.Struct("<III")
_SYMBOL_BYTES = 24

_MACHINES = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x86-64", 183: "aarch64"}
_MACHINES |= {243: "riscv64", 258: "loongarch64"}
_X86_64 = 62
_EXECUTABLE, _SHARED = 2, 3

_PT_LOAD, _PT_DYNAMIC, _PT_INTERPRETER, _PT_NOTE = 1, 2, 3, 4
_PF_X, _PF_W = 1, 2
_SHT_SYMTAB, _SHT_NOBITS, _SHT_DYNSYM, _SHT_VERSYM = 2, 8, 11, 0x6FFFFFFF
_DT_NEEDED, _DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ = 1, 2, 5, 6, 7, 8, 10
_DT_SONAME, _DT_JMPREL, _DT_VERSYM = 14, 23, 0x6FFFFFF0
# Dynamic tables by address; the one that follows the symbol table bounds it, since nothing says its length.
_DT_TABLES = (4, _DT_STRTAB, _DT_RELA, _DT_JMPREL, 0x6FFFFEF5, _DT_VERSYM, 0x6FFFFFFC, 0x6FFFFFFE)

_SEGMENTS_MAX = 1024
_DYNAMIC_MAX_BYTES = 64 * 1024
_NOTES_MAX_BYTES = 64 * 1024
_RELOCATIONS_MAX_BYTES = 16 * 1024 * 1024
_NAME_MAX_BYTES = 256


class Segment(NamedTuple):
    """A program header; addresses and sizes in bytes."""

    kind: int
    flags: int
    offset: int
    vaddr: int
    size: int
    """Bytes in the file, which may be fewer than in memory."""

    @property
    def executable(self) -> bool:
        return bool(self.flags & _PF_X)

    @property
    def writable(self) -> bool:
        return bool(self.flags & _PF_W)


class Section(NamedTuple):
    """A section header; `name` is its offset in the section name table."""

    name: int
    kind: int
    vaddr: int
    offset: int
    size: int
    link: int


class ElfFile:
    """A 64-bit x86-64 ELF file, opened by path or by file descriptor (which stays the caller's).

    `name` is what messages call the file. Raises TargetError when it is not there, no ELF file, another
    architecture's, or truncated.
    """

    segments: tuple[Segment, ...]
    _loads: tuple[Segment, ...]
    _sections_at: tuple[int, int, int]
    """File offset, number, and which one holds the names."""

    def __init__(self, file: str | int, *, name: str | None = None) -> None:
        self.name: Final = name if name is not None else f"file descriptor {file}" if isinstance(file, int) else file
        self._fd = self._open(file)
        try:
            self.size_bytes: Final = os.fstat(self._fd).st_size
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, file: str | int) -> int:
        try:
            # Non-blocking, since a path may name a pipe by the time it is opened.
            fd = os.dup(file) if isinstance(file, int) else os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            raise TargetError(f"{self.name}: no such file") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise TargetError(f"{self.name}: cannot be opened: {reason.lower()}") from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise TargetError(f"{self.name} is no ELF file: not a regular file")
        return fd

    def _read_headers(self) -> None:
        magic = self.read_file(0, min(self.size_bytes, 4))
        if magic != b"\x7fELF":
            raise TargetError(f"{self.name} is no ELF file")
        fields = _HEADER.unpack(self.read_file(0, _HEADER.size))
        ident, kind, machine = fields[:3]
        self._check_kind(ident, kind, machine)
        segments_at, sections_at = fields[5:7]
        _, segment_bytes, segments, section_bytes, sections, names = fields[8:]
        if segments and segment_bytes != _SEGMENT.size:
            raise TargetError(f"{self.name} is damaged: program headers of {segment_bytes} bytes, expected 56")
        if segments > _SEGMENTS_MAX:
            raise TargetError(f"{self.name} is damaged: {segments} program headers, expected at most {_SEGMENTS_MAX}")
        raw = self.read_file(segments_at, segments * _SEGMENT.size)
        self.segments = tuple(
            Segment(kind, flags, offset, vaddr, size)
            for kind, flags, offset, vaddr, _, size, _, _ in _SEGMENT.iter_unpack(raw)
        )
        self._loads = tuple(segment for segment in self.segments if segment.kind == _PT_LOAD and segment.size)
        for segment in self._loads:
            self._check_range(segment.offset, segment.size)
        self._sections_at = (sections_at, sections if section_bytes == _SECTION.size else 0, names)

    def _check_kind(self, ident: bytes, kind: int, machine: int) -> None:
        if ident[5] == 2:
            machine = int.from_bytes(machine.to_bytes(2, "little"), "big")
        if machine != _X86_64 or ident[5] != 1:
            name = _MACHINES.get(machine, f"machine {machine}")
            raise TargetError(f"{self.name} is for {name}, this host is x86-64")
        if ident[4] != 2:
            raise TargetError(f"{self.name} is a 32-bit ELF file, expected a 64-bit one")
        if kind not in (_EXECUTABLE, _SHARED):
            raise TargetError(f"{self.name} is an ELF file of type {kind}, expected a program or a shared library")

    def _check_range(self, offset: int, size: int) -> None:
        if offset + size > self.size_bytes:
            found = f"it refers to byte {offset + size}, the file has {self.size_bytes}"
            raise TargetError(f"{self.name} is truncated or damaged: {found}")

    def read_file(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes at a file offset."""
        self._check_range(offset, size)
        try:
            data = os.pread(self._fd, size, offset)
        except OSError as error:
            raise TargetError(f"{self.name}: cannot be read: {os.strerror(error.errno or 0).lower()}") from None
        if len(data) != size:
            raise TargetError(f"{self.name} became shorter while it was read")
        return data

    def chunks(
        self, offset: int, size: int, *, chunk_bytes: int, overlap_bytes: int = 0
    ) -> Iterator[tuple[int, bytes]]:
        """A stretch of the file in pieces `(offset in the stretch, bytes)`, one beginning every `chunk_bytes`."""
        for at in range(0, size, chunk_bytes):
            yield at, self.read_file(offset + at, min(chunk_bytes + overlap_bytes, size - at))

    def segment_of(self, vaddr: int) -> Segment | None:
        """The loaded segment with file bytes at this address."""
        for segment in self._loads:
            if segment.vaddr <= vaddr < segment.vaddr + segment.size:
                return segment
        return None

    def file_offset(self, vaddr: int) -> int:
        segment = self.segment_of(vaddr)
        if segment is None:
            raise TargetError(f"{self.name} has nothing at address {vaddr:#x}")
        return vaddr - segment.vaddr + segment.offset

    def address_of(self, offset: int) -> int | None:
        """Where the byte at this file offset is loaded."""
        for segment in self._loads:
            if segment.offset <= offset < segment.offset + segment.size:
                return segment.vaddr + offset - segment.offset
        return None

    @property
    def code(self) -> tuple[Segment, ...]:
        """The loaded segments that are executable."""
        return tuple(segment for segment in self._loads if segment.executable)

    @property
    def is_program(self) -> bool:
        """Whether it is started, and not loaded by another; a program without an interpreter is not told apart."""
        return any(segment.kind == _PT_INTERPRETER for segment in self.segments)

    def is_code(self, vaddr: int) -> bool:
        segment = self.segment_of(vaddr)
        return segment is not None and segment.executable

    def read(self, vaddr: int, size: int) -> bytes:
        """Up to `size` bytes at an address; fewer where its segment ends."""
        segment = self.segment_of(vaddr)
        if segment is None:
            raise TargetError(f"{self.name} has nothing at address {vaddr:#x}")
        into = vaddr - segment.vaddr
        return self.read_file(segment.offset + into, min(size, segment.size - into))

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """Section headers; none where they are stripped."""
        offset, count, _ = self._sections_at
        if not offset or not count:
            return ()
        raw = self.read_file(offset, count * _SECTION.size)
        return tuple(
            Section(name, kind, vaddr, at, size, link)
            for name, kind, _, vaddr, at, size, link, _, _, _ in _SECTION.iter_unpack(raw)
        )

    def section_named(self, name: str) -> Section | None:
        """The first section of that name with bytes in the file."""
        index = self._sections_at[2]
        if index >= len(self.sections):
            return None
        names = self.sections[index]
        # A table of section names is small; one that is not is not looked at.
        if names.kind == _SHT_NOBITS or names.size > 1 << 20:
            return None
        strings = self.read_file(names.offset, names.size)
        wanted = name.encode() + b"\0"
        for section in self.sections:
            if section.kind != _SHT_NOBITS and strings.startswith(wanted, section.name):
                return section
        return None

    def read_only_data(self) -> list[tuple[int, int]]:
        """Where constants are: `(file offset, size)` of .rodata, else of every segment that is not written to."""
        section = self.section_named(".rodata")
        if section is not None:
            return [(section.offset, section.size)]
        return [(segment.offset, segment.size) for segment in self._loads if not segment.writable]

    @cached_property
    def _dynamic_entries(self) -> tuple[tuple[int, int], ...]:
        for segment in self.segments:
            if segment.kind == _PT_DYNAMIC:
                size = min(segment.size, _DYNAMIC_MAX_BYTES) // _DYNAMIC.size * _DYNAMIC.size
                entries = list(_DYNAMIC.iter_unpack(self.read_file(segment.offset, size)))
                end = next((index for index, (tag, _) in enumerate(entries) if tag == 0), len(entries))
                return tuple(entries[:end])
        return ()

    @cached_property
    def _dynamic(self) -> dict[int, int]:
        return dict(self._dynamic_entries)

    def needed(self) -> list[str]:
        """The libraries this file asks the loader for (DT_NEEDED)."""
        strings = self._dynamic.get(_DT_STRTAB)
        if strings is None:
            return []
        return [self._string(strings + value) for tag, value in self._dynamic_entries if tag == _DT_NEEDED]

    def soname(self) -> str | None:
        """The name that others ask the loader for when they want this file (DT_SONAME)."""
        strings, name = self._dynamic.get(_DT_STRTAB), self._dynamic.get(_DT_SONAME)
        return None if strings is None or name is None else self._string(strings + name)

    def _string(self, vaddr: int) -> str:
        return self.read(vaddr, _NAME_MAX_BYTES).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def import_name(self, slot: int) -> str | None:
        """The symbol the loader puts into this slot of the global offset table."""
        dynamic = self._dynamic
        symbols, strings = dynamic.get(_DT_SYMTAB), dynamic.get(_DT_STRTAB)
        if symbols is None or strings is None or not 0 <= slot < 1 << 64:
            return None
        wanted = slot.to_bytes(8, "little")
        for table, size in ((_DT_JMPREL, _DT_PLTRELSZ), (_DT_RELA, _DT_RELASZ)):
            if table not in dynamic:
                continue
            raw = self._relocations(dynamic[table], dynamic.get(size, 0))
            at = raw.find(wanted)
            while at >= 0 and at % _RELOCATION.size:
                at = raw.find(wanted, at + _RELOCATION.size - at % _RELOCATION.size)
            if at >= 0:
                index = _RELOCATION.unpack_from(raw, at)[1] >> 32
                entry = self.read(symbols + index * _SYMBOL_BYTES, 4)
                return self._string(strings + int.from_bytes(entry, "little")) if index else None
        return None

    def _relocations(self, vaddr: int, size: int) -> bytes:
        key = (vaddr, size)
        if key not in self._relocation_cache:
            raw = self.read(vaddr, min(size, _RELOCATIONS_MAX_BYTES))
            self._relocation_cache[key] = raw[: len(raw) // _RELOCATION.size * _RELOCATION.size]
        return self._relocation_cache[key]

    @cached_property
    def _relocation_cache(self) -> dict[tuple[int, int], bytes]:
        return {}

    @cached_property
    def build_id(self) -> str | None:
        """The linker's fingerprint in hexadecimal (NT_GNU_BUILD_ID)."""
        for segment in self.segments:
            if segment.kind != _PT_NOTE or segment.size > _NOTES_MAX_BYTES:
                continue
            raw = self.read_file(segment.offset, segment.size)
            at = 0
            while at + _NOTE.size <= len(raw):
                name_bytes, value_bytes, kind = _NOTE.unpack_from(raw, at)
                name_at = at + _NOTE.size
                value_at = name_at + (name_bytes + 3 & ~3)
                if kind == 3 and raw[name_at : name_at + name_bytes] == b"GNU\0":
                    return raw[value_at : value_at + value_bytes].hex()
                at = value_at + (value_bytes + 3 & ~3)
        return None

    def symbols(self, names: Iterable[str]) -> dict[str, Symbol]:
        """The functions defined here under these names: from the dynamic symbols, then from the full table.

        A `*` in a name stands for any letters and digits; what is found is under the name asked for.
        """
        missing = set(names)
        found: dict[str, Symbol] = {}
        for table in self._symbol_tables():
            found |= find_symbols(self, table, missing)
            missing -= found.keys()
            if not missing:
                break
        return found

    def mentions(self, names: Iterable[str]) -> bool:
        """Whether one of the names is in a symbol table at all: defined, or asked of the loader."""
        names = tuple(names)
        return any(mentions(self, table, names) for table in self._symbol_tables())

    def _symbol_tables(self) -> Iterator[SymbolTable]:
        by_kind = {section.kind: section for section in reversed(self.sections)}
        versions = by_kind.get(_SHT_VERSYM)
        if _SHT_DYNSYM not in by_kind:
            yield from self._dynamic_symbol_table()
        for kind in (_SHT_DYNSYM, _SHT_SYMTAB):
            section = by_kind.get(kind)
            if section is None or section.link >= len(self.sections):
                continue
            strings = self.sections[section.link]
            if strings.kind == _SHT_NOBITS:
                continue
            yield SymbolTable(
                offset=section.offset,
                size=section.size,
                strings_offset=strings.offset,
                strings_size=strings.size,
                versions_offset=versions.offset if versions is not None and kind == _SHT_DYNSYM else None,
            )

    def _dynamic_symbol_table(self) -> Iterator[SymbolTable]:
        dynamic = self._dynamic
        symbols, strings = dynamic.get(_DT_SYMTAB), dynamic.get(_DT_STRTAB)
        segment = self.segment_of(symbols) if symbols is not None else None
        if symbols is None or strings is None or segment is None:
            return
        ends = [dynamic[tag] for tag in _DT_TABLES if dynamic.get(tag, 0) > symbols]
        end = min([*ends, segment.vaddr + segment.size])
        versions = dynamic.get(_DT_VERSYM)
        yield SymbolTable(
            offset=self.file_offset(symbols),
            size=end - symbols,
            strings_offset=self.file_offset(strings),
            strings_size=dynamic.get(_DT_STRSZ, 0),
            versions_offset=self.file_offset(versions) if versions is not None else None,
        )
