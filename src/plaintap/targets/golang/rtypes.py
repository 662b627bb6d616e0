# SPDX-License-Identifier: Apache-2.0
"""The addresses of Go types by their names: what an interface's first word leads to.

A type's description (src/internal/abi/type.go, before Go 1.21 src/runtime/type.go) says where its name is, as an offset
from the beginning of all types; that is looked for, since nothing lists the types in every version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.elf import ElfFile
    from plaintap.targets.golang.moduledata import Module

_TYPES_MAX_BYTES: Final = 128 << 20
_CANDIDATES_MAX = 64
_POINTER_KIND = 22
_KIND_MASK = 0x1F
_HAS_METHODS = 1  # tflagUncommon
_FLAGS_AT, _KIND_AT, _NAME_AT = 20, 23, 40
_TYPE_BYTES = 48
_UNCOMMON_AT = _TYPE_BYTES + 8
"""Behind a pointer's description and what it points to: what is known of a type with methods."""


class Types:
    """The types of one program."""

    def __init__(self, elf: ElfFile, module: Module) -> None:
        size = module.etypes - module.types
        self._raw: Final = elf.read(module.types, size) if 0 < size <= _TYPES_MAX_BYTES else b""
        self._vaddr: Final = module.types

    def pointer_to(self, package: str, name: str) -> int:
        """The address of `*package.name`, of exactly that package; 0 when the program has none or several."""
        paths = set(self._names(package))
        found = set()
        for place in self._names(f"*{package.rpartition('/')[2]}.{name}"):
            found |= {each for each in self._named(place) if self._package_of(each) in paths}
        return self._vaddr + found.pop() if len(found) == 1 else 0

    def _names(self, text: str) -> Iterator[int]:
        """Where this name is: flags, its length as a varint (Go 1.17), before in two bytes, then the text."""
        encoded = text.encode()
        assert len(encoded) < 128
        for at in self._found(bytes([len(encoded)]) + encoded):
            if at > 0 and self._raw[at - 1] < 16:
                yield at - 1
            if at > 1 and self._raw[at - 1] == 0 and self._raw[at - 2] < 16:
                yield at - 2

    def _named(self, place: int) -> Iterator[int]:
        for at in self._found(place.to_bytes(4, "little")):
            begin = at - _NAME_AT
            if begin < 0 or (self._vaddr + begin) % 8 or begin + _UNCOMMON_AT + 4 > len(self._raw):
                continue
            size = int.from_bytes(self._raw[begin : begin + 8], "little")
            kind, flags = self._raw[begin + _KIND_AT] & _KIND_MASK, self._raw[begin + _FLAGS_AT]
            if size == 8 and kind == _POINTER_KIND and flags & _HAS_METHODS:
                yield begin

    def _package_of(self, begin: int) -> int:
        at = begin + _UNCOMMON_AT
        return int.from_bytes(self._raw[at : at + 4], "little")

    def _found(self, wanted: bytes) -> Iterator[int]:
        at = self._raw.find(wanted)
        for _ in range(_CANDIDATES_MAX):
            if at < 0:
                return
            yield at
            at = self._raw.find(wanted, at + 1)
