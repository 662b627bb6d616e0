# SPDX-License-Identifier: Apache-2.0
"""The addresses of Go types by their names: what an interface's first word leads to.

A type's description (src/internal/abi/type.go, before Go 1.21 src/runtime/type.go) says where its name is, as an offset
from the beginning of all types; that is looked for, since nothing lists the types in every version.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from plaintap.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.elf import ElfFile
    from plaintap.targets.golang.moduledata import Module
    from plaintap.targets.golang.pointers import Pointers

_TYPES_MAX_BYTES: Final = 128 << 20
_NAMES_MAX = 32
_PLACES_MAX = 10_000
_POINTER_KIND = 22
_KIND_MASK = 0x1F
_HAS_METHODS = 1  # tflagUncommon
_FLAGS_AT, _KIND_AT, _NAME_AT = 20, 23, 40
_TYPE_BYTES = 48
_UNCOMMON_AT = _TYPE_BYTES + 8
"""Behind a pointer's description and what it points to: what is known of a type with methods."""
_STRUCT_KIND = 25
_FIELDS_AT = _TYPE_BYTES + 8
"""Behind a struct's description and its package: pointer and number of its fields."""
_FIELD_BYTES = 24
_FIELDS_MAX = 200
_NAME_MAX_BYTES = 64


class Field(NamedTuple):
    """A field of a struct; `offset` in bytes, `kind` as Go's reflect.Kind."""

    offset: int
    kind: int


class Types:
    """The types of one program."""

    def __init__(self, elf: ElfFile, pointers: Pointers, module: Module) -> None:
        self._pointers = pointers
        size = module.etypes - module.types
        self._raw: Final = elf.read(module.types, size) if 0 < size <= _TYPES_MAX_BYTES else b""
        self._vaddr: Final = module.types

    def pointer_to(self, package: str, name: str) -> int:
        """The address of `*package.name`, of exactly that package; 0 when the program has none.

        A package's own name is the last part of its path as a rule; copies of crypto/tls are called tls.
        """
        short = dict.fromkeys((package.rpartition("/")[2], "tls"))
        for place in chain.from_iterable(self._names(f"*{each}.{name}") for each in short):
            for begin in self._named(place):
                at = begin + _UNCOMMON_AT
                path = int.from_bytes(self._raw[at : at + 4], "little")
                if _text(self._raw[path : path + _NAME_MAX_BYTES]) == package:
                    return self._vaddr + begin
        return 0

    def fields_of(self, package: str, name: str) -> dict[str, Field]:
        """The fields of the struct `package.name`; none when there is no pointer to it, or it makes no sense."""
        pointer = self.pointer_to(package, name)
        try:
            return self._fields(self._pointers.at(pointer + _TYPE_BYTES)) if pointer else {}
        except TargetError:  # it leads to nothing
            return {}

    def _fields(self, struct: int) -> dict[str, Field]:
        if self._word(struct + _KIND_AT, 1) & _KIND_MASK != _STRUCT_KIND:
            return {}
        size, first = self._word(struct, 8), self._pointers.at(struct + _FIELDS_AT)
        count = min(self._word(struct + _FIELDS_AT + 8, 8), _FIELDS_MAX)
        found = {}
        for at in range(first, first + count * _FIELD_BYTES, _FIELD_BYTES):
            kind = self._word(self._pointers.at(at + 8) + _KIND_AT, 1) & _KIND_MASK
            found[_text(self._pointers.elf.read(self._pointers.at(at), _NAME_MAX_BYTES))] = Field(
                self._word(at + 16, 8), kind
            )
        if any(field.offset >= size for field in found.values()):
            # Up to Go 1.18 the lowest bit says whether the field is embedded.
            found = {name: Field(field.offset >> 1, field.kind) for name, field in found.items()}
        return found if all(field.offset < size for field in found.values()) else {}

    def _word(self, vaddr: int, size: int) -> int:
        return int.from_bytes(self._pointers.elf.read(vaddr, size), "little")

    def _names(self, text: str) -> Iterator[int]:
        """Where this name may be, in either form."""
        encoded = text.encode()
        assert len(encoded) < 128
        for at in self._found(bytes([len(encoded)]) + encoded, limit=_NAMES_MAX):
            if at > 0 and self._raw[at - 1] < 16:
                yield at - 1
            if at > 1 and self._raw[at - 1] == 0 and self._raw[at - 2] < 16:
                yield at - 2

    def _named(self, place: int) -> Iterator[int]:
        for at in self._found(place.to_bytes(4, "little"), limit=_PLACES_MAX):
            begin = at - _NAME_AT
            if begin < 0 or (self._vaddr + begin) % 8 or begin + _UNCOMMON_AT + 4 > len(self._raw):
                continue
            size = int.from_bytes(self._raw[begin : begin + 8], "little")
            kind, flags = self._raw[begin + _KIND_AT] & _KIND_MASK, self._raw[begin + _FLAGS_AT]
            if size == 8 and kind == _POINTER_KIND and flags & _HAS_METHODS:
                yield begin

    def _found(self, wanted: bytes, *, limit: int) -> Iterator[int]:
        at = self._raw.find(wanted)
        for _ in range(limit):
            if at < 0:
                return
            yield at
            at = self._raw.find(wanted, at + 1)


def _text(raw: bytes) -> str:
    """Of a name: flags, its length as a varint, before Go 1.17 in two bytes, then the text."""
    length, begin = (raw[1:2], 2) if raw[1:2] != b"\0" else (raw[2:3], 3)
    return raw[begin : begin + int.from_bytes(length, "little")].decode("utf-8", "replace")
