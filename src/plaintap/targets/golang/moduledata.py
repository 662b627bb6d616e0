# SPDX-License-Identifier: Apache-2.0
"""The Go runtime's description of a program: where its text and its types begin. Found by what it points to.

Its fields by version are runtime.moduledata's in src/runtime/symtab.go, in words of 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from plaintap.errors import TargetError
from plaintap.targets.golang.pclntab import GO_1_2, GO_1_16, GO_1_18, GO_1_20

if TYPE_CHECKING:
    from plaintap.targets.elf import ElfFile
    from plaintap.targets.golang.pclntab import FunctionTable
    from plaintap.targets.golang.pointers import Pointers

_PLACES_MAX = 64
_NAMES = 1
"""Which word points to the names (from Go 1.16 on; before, the first points to the table and no other does)."""


class _Form(NamedTuple):
    """Which words of it say what."""

    minimum_pc: int
    text: int
    types: int
    etypes: int


# Go 1.20 has two words more before the types (covctrs), and Go 1.27 one between their ends (typedesclen).
_FORMS: Final = {
    GO_1_2: (_Form(10, 12, 25, 26),),
    GO_1_16: (_Form(20, 22, 35, 36),),
    GO_1_18: (_Form(20, 22, 35, 36),),
    GO_1_20: (_Form(20, 22, 37, 38), _Form(20, 22, 37, 39)),
}


class Module(NamedTuple):
    """Addresses; `types` and `etypes` are 0 where they were not found."""

    text: int
    types: int
    etypes: int


def find_module(elf: ElfFile, pointers: Pointers, table: FunctionTable) -> Module | None:
    """The description that goes with this table of functions; None when there is none that fits."""
    for place in pointers.places_of(table.vaddr, limit=_PLACES_MAX):
        try:
            module = _module(elf, pointers, table, place)
        except TargetError:  # a chance match at the end of a segment
            continue
        if module is not None:
            return module
    return None


def _module(elf: ElfFile, pointers: Pointers, table: FunctionTable, place: int) -> Module | None:
    def word(index: int) -> int:
        return pointers.at(place + 8 * index)

    if table.magic != GO_1_2 and word(_NAMES) != table.vaddr + table.names:
        return None
    form = _FORMS[table.magic][0]
    first, last, text = word(form.minimum_pc), word(form.minimum_pc + 1), word(form.text)
    if not text <= first < last or not elf.is_code(text) or not elf.is_code(first) or not elf.is_code(last - 1):
        return None
    for each in _FORMS[table.magic]:
        types, etypes = word(each.types), word(each.etypes)
        segment = elf.segment_of(types)
        if segment is not None and types < etypes <= segment.vaddr + segment.size:
            return Module(text, types, etypes)
    return Module(text, 0, 0)
