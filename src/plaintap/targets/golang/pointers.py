# SPDX-License-Identifier: Apache-2.0
"""Pointers in a file's data, as they are once the loader has relocated them. What they point to is not known here."""

from __future__ import annotations

import struct
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.elf import ElfFile

_ENTRY = struct.Struct("<QQQ")
_ENTRIES_MAX_BYTES = 128 << 20
_DATA_MAX_BYTES = 128 << 20
_CHUNK_BYTES = 4 << 20
_RELATIVE = {62: 8, 183: 1027}  # R_X86_64_RELATIVE, R_AARCH64_RELATIVE


class Pointers:
    """Reads and finds pointers in one file, relocated by its distance from where it is linked to: 0."""

    def __init__(self, elf: ElfFile) -> None:
        self.elf: Final = elf

    @cached_property
    def _tables(self) -> tuple[bytes, ...]:
        return tuple(self.elf.relocation_tables(_ENTRIES_MAX_BYTES))

    def at(self, vaddr: int) -> int:
        """The pointer at an address. Raises TargetError where the file has nothing."""
        for offset, kind, addend in self._entries(vaddr, field=0):
            if offset == vaddr and kind & 0xFFFFFFFF == _RELATIVE.get(self.elf.machine):
                return addend
        return int.from_bytes(self.elf.read(vaddr, 8), "little")

    def words(self, vaddr: int, count: int) -> tuple[int, ...]:
        """Consecutive pointers; fewer where the segment ends."""
        size = len(self.elf.read(vaddr, 8 * count)) // 8
        return tuple(self.at(vaddr + 8 * index) for index in range(size))

    def places_of(self, value: int, *, limit: int) -> Iterator[int]:
        """Addresses that hold this pointer, in what can be written to; at most `limit`."""
        return islice(self._all_places_of(value), limit)

    def _all_places_of(self, value: int) -> Iterator[int]:
        wanted = value.to_bytes(8, "little")
        for segment in self.elf.data:
            size = min(segment.size, _DATA_MAX_BYTES)
            for at, chunk in self.elf.chunks(segment.offset, size, chunk_bytes=_CHUNK_BYTES, overlap_bytes=7):
                index = chunk.find(wanted)
                while 0 <= index < _CHUNK_BYTES:
                    if (segment.vaddr + at + index) % 8 == 0:
                        yield segment.vaddr + at + index
                    index = chunk.find(wanted, index + 1)
        for offset, _, _ in self._entries(value, field=2):
            yield offset

    def _entries(self, value: int, *, field: int) -> Iterator[tuple[int, int, int]]:
        """Relocations with this value in that field (place, kind, addend)."""
        if not 0 < value < 1 << 64:
            return
        wanted = value.to_bytes(8, "little")
        for table in self._tables:
            index = table.find(wanted)
            while index >= 0:
                start = index - 8 * field
                if start % _ENTRY.size == 0 and start >= 0 and start + _ENTRY.size <= len(table):
                    yield _ENTRY.unpack_from(table, start)
                index = table.find(wanted, index + 1)
