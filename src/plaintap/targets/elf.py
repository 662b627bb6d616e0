# SPDX-License-Identifier: Apache-2.0
"""What an ELF file says of itself: the libraries it needs, its names, its imports, its functions, its build id.

Its bytes, and that every number in them is a stranger's claim, are elfbytes.py's; searching the symbol tables is
elfsymbols.py's. What the bytes mean to a TLS library is not known here.
"""

from __future__ import annotations

import struct
from functools import cached_property
from typing import TYPE_CHECKING

from plaintap.targets.elfbytes import SHT_NOBITS, ElfBytes
from plaintap.targets.elfsymbols import Symbol, SymbolTable, find_symbols, mentions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DYNAMIC = struct.Struct("<qQ")
_RELOCATION = struct.Struct("<QQq")
_NOTE = struct.Struct("<III")
_SYMBOL_BYTES = 24

_PT_DYNAMIC, _PT_NOTE = 2, 4
_SHT_SYMTAB, _SHT_DYNSYM, _SHT_VERSYM = 2, 11, 0x6FFFFFFF
_DT_NEEDED, _DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_STRSZ = 1, 2, 5, 6, 7, 8, 10
_DT_SONAME, _DT_JMPREL, _DT_VERSYM = 14, 23, 0x6FFFFFF0
# Dynamic tables by address; the one that follows the symbol table bounds it, since nothing says its length.
_DT_TABLES = (4, _DT_STRTAB, _DT_RELA, _DT_JMPREL, 0x6FFFFEF5, _DT_VERSYM, 0x6FFFFFFC, 0x6FFFFFFE)

_DYNAMIC_MAX_BYTES = 64 * 1024
_NOTES_MAX_BYTES = 64 * 1024
_RELOCATIONS_MAX_BYTES = 16 * 1024 * 1024
_NAME_MAX_BYTES = 256


class ElfFile(ElfBytes):
    """A 64-bit ELF file; opened and closed, and its bytes read, as `ElfBytes` says."""

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

    def relocation_tables(self, max_bytes: int) -> Iterator[bytes]:
        """What the loader writes where: entries `(place, kind, addend)` of 24 bytes; cut off behind `max_bytes`."""
        for table, size in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
            if table in self._dynamic:
                yield self.read(self._dynamic[table], min(self._dynamic.get(size, 0), max_bytes))

    @cached_property
    def build_id(self) -> str | None:
        """The linker's fingerprint in hexadecimal (NT_GNU_BUILD_ID)."""
        value = self.note(b"GNU\0", 3)
        return None if value is None else value.hex()

    def note(self, owner: bytes, wanted: int) -> bytes | None:
        """The first note of that owner and kind."""
        for segment in self.segments:
            if segment.kind != _PT_NOTE or segment.size > _NOTES_MAX_BYTES:
                continue
            raw = self.read_file(segment.offset, segment.size)
            at = 0
            while at + _NOTE.size <= len(raw):
                name_bytes, value_bytes, kind = _NOTE.unpack_from(raw, at)
                name_at = at + _NOTE.size
                value_at = name_at + (name_bytes + 3 & ~3)
                if kind == wanted and raw[name_at : name_at + name_bytes] == owner:
                    return raw[value_at : value_at + value_bytes]
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
            if strings.kind == SHT_NOBITS:
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
