# SPDX-License-Identifier: Apache-2.0
"""Pointers in a file's data, as they are once the loader has relocated them. What they point to is not known here."""

from __future__ import annotations

import struct
from bisect import bisect_left
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Final

from plaintap.errors import TargetError
from plaintap.targets.elfbytes import AARCH64, X86_64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.elf import ElfFile

_ENTRY = struct.Struct("<QQQ")
_KIND_AND_ADDEND = struct.Struct("<QQ")
_ADDEND_AT = 16
_ENTRIES_MAX_BYTES = 64 << 20
_DATA_MAX_BYTES = 128 << 20
_SEARCHED_MAX_BYTES = 256 << 20
"""Of relocations that are in no order, in all searches of a file together."""
_CHUNK_BYTES = 4 << 20
_RELATIVE = {X86_64: 8, AARCH64: 1027}  # R_X86_64_RELATIVE, R_AARCH64_RELATIVE


class Pointers:
    """Reads and finds pointers in one file, relocated by its distance from where it is linked to: 0."""

    def __init__(self, elf: ElfFile) -> None:
        self.elf: Final = elf
        self._left_bytes = _SEARCHED_MAX_BYTES

    @cached_property
    def _tables(self) -> tuple[tuple[bytes, memoryview[int]], ...]:
        """Entries, and their places alone."""
        tables = self.elf.relocation_tables(_ENTRIES_MAX_BYTES)
        whole = [raw[: len(raw) // _ENTRY.size * _ENTRY.size] for raw in tables]
        return tuple((raw, memoryview(raw).cast("Q")[::3]) for raw in whole)

    def at(self, vaddr: int) -> int:
        """The pointer at an address. Raises TargetError where the file has nothing."""
        for table, places in self._tables:
            for index in self._entries_for(vaddr, table, places):
                kind, addend = _KIND_AND_ADDEND.unpack_from(table, index * _ENTRY.size + 8)
                if kind & 0xFFFFFFFF == _RELATIVE.get(self.elf.machine):
                    return int(addend)
        return int.from_bytes(self.elf.read(vaddr, 8), "little")

    def _entries_for(self, place: int, table: bytes, places: memoryview[int]) -> Iterator[int]:
        """Tables are in order as a rule, and searched where they are not."""
        index = bisect_left(places, place)
        if index < len(places) and places[index] == place:
            yield index
        elif 0 <= place < 1 << 64:
            self._left_bytes -= len(table)
            if self._left_bytes < 0:
                raise TargetError(f"{self.elf.name} has relocations in no order")
            yield from (at // _ENTRY.size for at in _found(table, place.to_bytes(8, "little")) if at % _ENTRY.size == 0)

    def places_of(self, value: int, *, limit: int) -> Iterator[int]:
        """Addresses that hold this pointer, in what can be written to; at most `limit`."""
        return islice(self._all_places_of(value), limit)

    def _all_places_of(self, value: int) -> Iterator[int]:
        if not 0 < value < 1 << 64:
            return
        wanted = value.to_bytes(8, "little")
        for segment in self.elf.data:
            size = min(segment.size, _DATA_MAX_BYTES)
            for at, chunk in self.elf.chunks(segment.offset, size, chunk_bytes=_CHUNK_BYTES, overlap_bytes=7):
                yield from (vaddr for each in _found(chunk, wanted) if (vaddr := segment.vaddr + at + each) % 8 == 0)
        for table, places in self._tables:
            for at in _found(table, wanted):
                number, rest = divmod(at, _ENTRY.size)
                if rest == _ADDEND_AT:
                    yield places[number]


def _found(raw: bytes, wanted: bytes) -> Iterator[int]:
    at = raw.find(wanted)
    while at >= 0:
        yield at
        at = raw.find(wanted, at + 1)
