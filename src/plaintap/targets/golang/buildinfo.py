# SPDX-License-Identifier: Apache-2.0
"""Whether an ELF file is a Go program, and of which version: its note, and what the linker wrote beside it.

Asked of every file that any process has mapped: the answer no costs some tens of microseconds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from plaintap.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from plaintap.targets.elf import ElfFile
    from plaintap.targets.golang.pointers import Pointers

# debug/buildinfo of the Go sources: 14 bytes, the size of a pointer, flags; the rest by the flags.
_MAGIC: Final = b"\xff Go buildinf:"
_HEADER_BYTES: Final = 32
_ALIGNMENT: Final = 16
_BIG_ENDIAN, _INLINE = 1, 2
_SEARCHED_MAX_BYTES = 1 << 20
_VERSION_MAX_BYTES = 256
_NOTE_OF_GO = (b"Go\0\0", 4)  # ELF_NOTE_GOBUILDID_TAG
_VERSION = re.compile(r"(?:devel )?go(\d+(?:\.\d+)*)(?:(?:rc|beta)\d+)?")


class BuildInfo(NamedTuple):
    """That a file is a Go program."""

    text: str
    """The version as Go words it (`go1.21.13`, `devel go1.27-e3d2c1`); empty where the file does not say."""

    @property
    def version(self) -> tuple[int, ...]:
        """Its numbers; empty where there are none."""
        match = _VERSION.match(self.text)
        return tuple(map(int, match[1].split("."))) if match else ()


def build_info(elf: ElfFile, pointers: Pointers) -> BuildInfo | None:
    """None when the file is no Go program."""
    section = elf.section_named(".go.buildinfo")
    if section is not None:
        return BuildInfo(_version(elf, pointers, section.vaddr))
    has_note = elf.note(*_NOTE_OF_GO) is not None
    if elf.sections and not has_note:
        return None
    vaddr = next(_searched(elf), None)
    if vaddr is None and not has_note:
        return None
    return BuildInfo("" if vaddr is None else _version(elf, pointers, vaddr))


def _searched(elf: ElfFile) -> Iterator[int]:
    """Where it may be: near the beginning of what can be written to."""
    for segment in elf.data:
        raw = elf.read(segment.vaddr, min(segment.size, _SEARCHED_MAX_BYTES))
        at = raw.find(_MAGIC)
        while at >= 0:
            if (segment.vaddr + at) % _ALIGNMENT == 0:
                yield segment.vaddr + at
            at = raw.find(_MAGIC, at + 1)


def _version(elf: ElfFile, pointers: Pointers, vaddr: int) -> str:
    try:
        raw = elf.read(vaddr, _HEADER_BYTES + 10 + _VERSION_MAX_BYTES)
        if not raw.startswith(_MAGIC) or len(raw) < _HEADER_BYTES:
            return ""
        flags = raw[15]
        if flags & _INLINE:
            return _decode(_after_length(raw[_HEADER_BYTES:]))
        if raw[14] != 8 or flags & _BIG_ENDIAN:
            return ""
        # Up to Go 1.17: a pointer to a string, which is a pointer and a length.
        string = pointers.at(vaddr + 16)
        size = int.from_bytes(elf.read(string + 8, 8), "little")
        return _decode(elf.read(pointers.at(string), min(size, _VERSION_MAX_BYTES)))
    except TargetError:  # a pointer into nothing: what is found has no version then
        return ""


def _after_length(raw: bytes) -> bytes:
    """The bytes behind their length, which has seven bits in each byte."""
    size = 0
    for index, byte in enumerate(raw[:10]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return raw[index + 1 : index + 1 + min(size, _VERSION_MAX_BYTES)]
    return b""


def _decode(raw: bytes) -> str:
    text = raw.decode("ascii", "replace").split(" X:", maxsplit=1)[0]  # experiments of the toolchain follow
    return text if text.isprintable() else ""
