# SPDX-License-Identifier: Apache-2.0
"""The functions of a Go program, from the table its runtime keeps even in stripped files (.gopclntab).

The forms of its header: Go 1.2, 1.16, 1.18, 1.20 (src/debug/gosym/pclntab.go); Go 1.26 left the form and stopped
storing where the text begins. Every number may be forged: sizes are bounded, and the work grows with the file only.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from plaintap.errors import TargetError
from plaintap.targets.elfbytes import AARCH64, X86_64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from plaintap.targets.elf import ElfFile

GO_1_2, GO_1_16, GO_1_18, GO_1_20 = 0xFFFFFFFB, 0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1
_MAGICS = (GO_1_2, GO_1_16, GO_1_18, GO_1_20)
_QUANTUM = {X86_64: 1, AARCH64: 4}
_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")

_FUNCTIONS_MAX = 4_000_000
_TABLE_MAX_BYTES = 512 << 20
_NAME_MAX_BYTES = 1024
_FUNCTION_MAX_BYTES = 16 << 20
_MATCHES_MAX = 256
_CANDIDATES_MAX = 64
_CHUNK_BYTES = 4 << 20
_FIRST_NAME = re.compile(rb"[\x21-\x7e\x80-\xff]+\0")


class Function(NamedTuple):
    """A function; `size` in bytes, up to where the next one begins."""

    name: str
    vaddr: int
    size: int


class FunctionTable(NamedTuple):
    """Where the parts of a table are; offsets are from its beginning, addresses are the file's."""

    magic: int
    vaddr: int
    size: int
    functions: int
    stored_text: int
    """The address of the text, or 0 where the header has none or the loader writes it."""
    names: int
    names_size: int
    entries: int
    """Where the pairs (begin, record) are, by which all else is found; records are counted from `records`."""
    records: int

    @property
    def is_wide(self) -> bool:
        """Whether the pairs are addresses of 64 bits, not offsets from the text of 32."""
        return self.magic in (GO_1_2, GO_1_16)


def find_table(elf: ElfFile) -> FunctionTable | None:
    """The table, checked as far as it can be without what refers to it. Section headers are not needed."""
    for vaddr, size in _candidates(elf):
        table = _parse(elf, vaddr, min(size, _TABLE_MAX_BYTES))
        if table is not None and _is_plausible(elf, table):
            return table
    return None


def _candidates(elf: ElfFile) -> Iterator[tuple[int, int]]:
    """Addresses, and the bytes there are at most."""
    for name in _SECTIONS:
        section = elf.section_named(name)
        if section is not None:
            yield section.vaddr, section.size
    # Without section headers: by the magic's end, two zeroes, the quantum of instructions, the size of a pointer.
    wanted = b"\xff\xff\xff\0\0" + bytes([_QUANTUM.get(elf.machine, 1), 8])
    found = 0
    for segment in (*elf.constants, *elf.data):
        overlap = len(wanted)
        for at, chunk in elf.chunks(segment.offset, segment.size, chunk_bytes=_CHUNK_BYTES, overlap_bytes=overlap):
            index = chunk.find(wanted)
            while 0 <= index <= _CHUNK_BYTES:
                vaddr = segment.vaddr + at + index - 1
                if vaddr % 8 == 0 and found < _CANDIDATES_MAX:
                    found += 1
                    yield vaddr, segment.vaddr + segment.size - vaddr
                index = chunk.find(wanted, index + 1)


def _parse(elf: ElfFile, vaddr: int, size: int) -> FunctionTable | None:
    segment = elf.segment_of(vaddr)
    if segment is None:
        return None
    size = min(size, segment.vaddr + segment.size - vaddr)
    header = elf.read(vaddr, min(72, size))
    magic = int.from_bytes(header[:4], "little")
    if len(header) < 72 or header[4:6] != b"\0\0" or magic not in _MAGICS:
        return None
    if header[6] != _QUANTUM.get(elf.machine) or header[7] != 8:
        return None
    words = [int.from_bytes(header[at : at + 8], "little") for at in range(8, 72, 8)]
    functions = words[0]
    if magic == GO_1_2:
        # Names lie between the records, anywhere in the table.
        offsets, text, names, names_size, entries, records = [], 0, 0, size, 16, 0
    else:
        text = words[2] if magic in (GO_1_18, GO_1_20) else 0
        offsets = words[2:7] if magic == GO_1_16 else words[3:8]
        names, names_size, entries, records = offsets[0], offsets[1] - offsets[0], offsets[4], offsets[4]
    width = 8 if magic in (GO_1_2, GO_1_16) else 4
    ends = entries + (2 * functions + 1) * width
    if not 0 < functions <= _FUNCTIONS_MAX or offsets != sorted(offsets) or ends > size or names_size <= 0:
        return None
    return FunctionTable(magic, vaddr, size, functions, text, names, names_size, entries, records)


def _is_plausible(elf: ElfFile, table: FunctionTable) -> bool:
    """Whether the first function has a record that says the same of it, and a name."""
    try:
        words = _Words(elf, table)
        name = table.vaddr + table.names + words.name_of(0)
        return words.agrees(0) and _FIRST_NAME.match(elf.read(name, _NAME_MAX_BYTES)) is not None
    except (TargetError, IndexError):
        return False


class _Words:
    """The numbers of a table, one by one; each costs a read."""

    def __init__(self, elf: ElfFile, table: FunctionTable) -> None:
        self._elf = elf
        self._table = table
        self._width = 8 if table.is_wide else 4

    def _read(self, offset: int, size: int) -> int:
        if not 0 <= offset <= self._table.size - size:
            raise IndexError(offset)
        return int.from_bytes(self._elf.read(self._table.vaddr + offset, size), "little")

    def entry(self, index: int) -> int:
        return self._read(self._table.entries + 2 * index * self._width, self._width)

    def _record(self, index: int) -> int:
        return self._table.records + self._read(
            self._table.entries + (2 * index + 1) * self._width,
            self._width,
        )

    def name_of(self, index: int) -> int:
        return self._read(self._record(index) + self._width, 4)

    def agrees(self, index: int) -> bool:
        """Whether the record of a function begins with the entry that led to it, unless the loader writes both."""
        begin = self._read(self._record(index), self._width)
        return begin == self.entry(index)


class Functions:
    """What a table says; `text` is where the text begins. Raises TargetError when the table contradicts itself."""

    def __init__(self, elf: ElfFile, table: FunctionTable, *, text: int) -> None:
        self._elf = elf
        self._table = table
        self._base = 0 if table.is_wide else text

    @cached_property
    def _records(self) -> _Records:
        return _records(self._elf, self._table)

    def ending_in(self, tails: Iterable[str]) -> list[Function]:
        """The functions whose names end in one of these, as `.(*Conn).Read`."""
        matches = _matches(self._elf, self._table, tuple(tails))
        return (
            [self._function(index, name) for index, name in _functions_named(self._records, matches)] if matches else []
        )

    def name_at(self, vaddr: int) -> str:
        """Of the function that begins at an address; empty when none does."""
        records = self._records
        index = bisect_left(records.pairs[::2], vaddr - self._base)
        if index >= self._table.functions or records.entry(index) != vaddr - self._base:
            return ""
        try:
            at = self._table.vaddr + self._table.names + records.name_of(index)
            name = self._elf.read(at, _NAME_MAX_BYTES)
        except (TargetError, IndexError):
            return ""
        return name.partition(b"\0")[0].decode("utf-8", "replace")

    def _function(self, index: int, name: str) -> Function:
        elf, records = self._elf, self._records
        begin, end = (records.entry(each) for each in (index, index + 1))
        vaddr = self._base + begin
        if records.begin_in_record(index) != begin or not 0 < end - begin <= _FUNCTION_MAX_BYTES:
            raise TargetError(f"{elf.name} has a damaged table of functions: {name} is not where it says")
        if not elf.is_code(vaddr) or not elf.is_code(vaddr + end - begin - 1):
            raise TargetError(f"{elf.name} has a damaged table of functions: {name} is not in its code")
        return Function(name, vaddr, end - begin)


def _matches(elf: ElfFile, table: FunctionTable, tails: tuple[str, ...]) -> list[tuple[int, int, bytes]]:
    """Where names end so: `(begin of the tail, end of the name, bytes before it)`, all from the names' beginning."""
    found: list[tuple[int, int, bytes]] = []
    names = elf.read(table.vaddr + table.names, table.names_size)
    for tail in tails:
        wanted = tail.encode() + b"\0"
        at = names.find(wanted)
        while at >= 0 and len(found) < _MATCHES_MAX:
            found.append((at, at + len(wanted) - 1, names[max(at - _NAME_MAX_BYTES, 0) : at + len(wanted) - 1]))
            at = names.find(wanted, at + 1)
    return found


class _Records(NamedTuple):
    """The pairs and records of a table in memory."""

    pairs: memoryview[int]
    words: memoryview[int]
    """From the records' beginning, 32 bits each."""
    name_word: int
    """Which word of a record says where its name is."""

    def entry(self, index: int) -> int:
        return self.pairs[2 * index]

    def begin_in_record(self, index: int) -> int:
        at = self.pairs[2 * index + 1] >> 2
        low = self.words[at]  # within, as names() has found
        return low | self.words[at + 1] << 32 if self.name_word == 2 else low

    def name_of(self, index: int) -> int:
        return self.words[(self.pairs[2 * index + 1] >> 2) + self.name_word]

    def names(self) -> list[int]:
        """Where the name of each function is."""
        words, step = self.words, self.name_word
        try:
            return [words[(record >> 2) + step] for record in self.pairs[1::2].tolist()]
        except IndexError:
            raise TargetError("the table of functions is damaged: a record is outside of it") from None


def _records(elf: ElfFile, table: FunctionTable) -> _Records:
    width = 8 if table.is_wide else 4
    raw = elf.read(table.vaddr + table.records, table.size - table.records)
    raw = raw[: len(raw) // 4 * 4]
    begin = table.entries - table.records
    pairs = memoryview(raw)[begin : begin + (2 * table.functions + 1) * width]
    return _Records(pairs.cast("Q" if table.is_wide else "I"), memoryview(raw).cast("I"), width // 4)


def _functions_named(records: _Records, matches: list[tuple[int, int, bytes]]) -> Iterator[tuple[int, str]]:
    """Index and name of the functions that have one of these names."""
    windows = [range(end - len(before) + before.rfind(b"\0") + 1, tail + 1) for tail, end, before in matches]
    possible = set().union(*windows)
    places = records.names()
    begins = {place for place in places if place in possible}
    wanted: dict[int, str] = {}
    for window, (_, end, before) in zip(windows, matches, strict=True):
        # The nearest: up to Go 1.15 anything may lie before a name.
        begin = max((each for each in window if each in begins), default=end)
        if begin < end:
            wanted[begin] = before[begin - end :].decode("utf-8", "replace")
    for index in [index for index, place in enumerate(places) if place in wanted][:_MATCHES_MAX]:
        yield index, wanted[places[index]]
