# SPDX-License-Identifier: Apache-2.0
"""Finds functions by name in an ELF symbol table without reading it symbol by symbol.

The names are searched in the string table, then the entries that refer to those places: a table of 500,000 symbols
takes tens of milliseconds. Which tables a file has is elf.py's business.
"""

from __future__ import annotations

import re
import struct
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ENTRY = struct.Struct("<IBBHQQ")
_ENTRY_WORDS = _ENTRY.size // 4
_CHUNK_BYTES = 24 * 40_000
_TABLE_MAX_BYTES = 256 * 1024 * 1024
"""Larger tables are read up to here, so that a made-up one costs a second and not a day."""
_STRINGS_MAX = 256
_ANY_MAX_BYTES = 256
_ENTRIES_MAX = 256
_STT_FUNC = 2
_HIDDEN_VERSION = 0x8000
_BINDING_RANK = {1: 0, 2: 1, 0: 2}  # global, weak, local


class Symbol(NamedTuple):
    """A function defined in the file; `size` in bytes, 0 when the table does not say."""

    name: str
    vaddr: int
    file_offset: int
    size: int


class SymbolTable(NamedTuple):
    """Where a symbol table, its strings and its versions are in the file."""

    offset: int
    size: int
    strings_offset: int
    strings_size: int
    versions_offset: int | None = None


class Readable(Protocol):
    """The part of ElfFile that is needed here."""

    def read_file(self, offset: int, size: int) -> bytes: ...
    def chunks(
        self, offset: int, size: int, *, chunk_bytes: int, overlap_bytes: int = 0
    ) -> Iterator[tuple[int, bytes]]: ...
    def is_code(self, vaddr: int) -> bool: ...
    def file_offset(self, vaddr: int) -> int: ...


def find_symbols(elf: Readable, table: SymbolTable, names: Iterable[str]) -> dict[str, Symbol]:
    """The best definition of each name: default version before others, global before weak before local.

    A `*` in a name stands for any letters and digits or none, as in a mangled one; what is found is under the name
    asked for. Go's `(*` is meant as it is.
    """
    places = _find_strings(elf, table, names)
    if not places:
        return {}
    best: dict[str, tuple[tuple[bool, int, int], Symbol]] = {}
    for index, (name_at, info, _, section, vaddr, size) in _entries(elf, table, frozenset(places)):
        if info & 0xF != _STT_FUNC or not section or not elf.is_code(vaddr):
            continue
        wanted, name = places[name_at]
        rank = (_is_hidden(elf, table, index), _BINDING_RANK.get(info >> 4, 3), index)
        if wanted not in best or rank < best[wanted][0]:
            best[wanted] = (rank, Symbol(name, vaddr, elf.file_offset(vaddr), size))
    return {name: symbol for name, (_, symbol) in best.items()}


def mentions(elf: Readable, table: SymbolTable, names: Iterable[str]) -> bool:
    """Whether one of the names is in the table's strings, defined here or asked for."""
    return bool(_find_strings(elf, table, names))


class _Name(NamedTuple):
    """What stands at a place in the string table."""

    wanted: str
    """The name asked for."""
    name: str


def _find_strings(elf: Readable, table: SymbolTable, names: Iterable[str]) -> dict[int, _Name]:
    """Where one of the names stands in the string table, as the tail of a longer string too (linkers share those)."""
    places: dict[int, _Name] = {}
    wanted = sorted(set(names))
    exact = [name for name in wanted if not _is_open(name)]
    # The regular expression engine is ten times as fast when all alternatives begin alike.
    patterns = [(_pattern(prefix, group), "") for prefix, group in groupby(exact, key=lambda name: name[:4])]
    patterns += [(_open_pattern(name), name) for name in wanted if _is_open(name)]
    overlap = max((len(name) + _ANY_MAX_BYTES * name.count("*") for name in wanted), default=0)
    size = min(table.strings_size, _TABLE_MAX_BYTES)
    for at, chunk in elf.chunks(table.strings_offset, size, chunk_bytes=_CHUNK_BYTES, overlap_bytes=overlap):
        for pattern, asked in patterns:
            for match in pattern.finditer(chunk):
                name = match[0][:-1].decode()
                places[at + match.start()] = _Name(asked or name, name)
                if len(places) >= _STRINGS_MAX:
                    return places
    return places


def _is_open(name: str) -> bool:
    """Whether a `*` in it stands for others: one behind a parenthesis is part of a name of Go's, as `(*Conn).Read`."""
    return "*" in name.replace("(*", "")


def _pattern(prefix: str, names: Iterable[str]) -> re.Pattern[bytes]:
    tails = b"|".join(re.escape(name[len(prefix) :].encode()) for name in names)
    return re.compile(re.escape(prefix.encode()) + b"(?:" + tails + b")\0")


def _open_pattern(name: str) -> re.Pattern[bytes]:
    any_letters = rb"[A-Za-z0-9_]{0,%d}?" % _ANY_MAX_BYTES
    return re.compile(any_letters.join(re.escape(part.encode()) for part in name.split("*")) + b"\0")


def _entries(
    elf: Readable, table: SymbolTable, places: frozenset[int]
) -> Iterator[tuple[int, tuple[int, int, int, int, int, int]]]:
    """Index and fields of the entries whose name is at one of these places."""
    size = min(table.size, _TABLE_MAX_BYTES) // _ENTRY.size * _ENTRY.size
    found = 0
    for at, chunk in elf.chunks(table.offset, size, chunk_bytes=_CHUNK_BYTES):
        names = memoryview(chunk).cast("I")[::_ENTRY_WORDS].tolist()
        for name_at in places.intersection(names):
            index = -1
            for _ in range(names.count(name_at)):
                index = names.index(name_at, index + 1)
                yield at // _ENTRY.size + index, _ENTRY.unpack_from(chunk, index * _ENTRY.size)
                found += 1
                if found >= _ENTRIES_MAX:
                    return


def _is_hidden(elf: Readable, table: SymbolTable, index: int) -> bool:
    """Whether the linker would not take this version by default (`SSL_read@OLD` beside `SSL_read@@NEW`)."""
    if table.versions_offset is None:
        return False
    return bool(int.from_bytes(elf.read_file(table.versions_offset + 2 * index, 2), "little") & _HIDDEN_VERSION)
