# SPDX-License-Identifier: Apache-2.0
"""Where functions begin, by the table for unwinding the stack (.eh_frame_hdr), which stripped files keep.

The table is sorted and described in the Linux Standard Base, "Exception Frames". Its entries for how to unwind are not
looked at.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plaintap.targets.elf import ElfFile

_PT_GNU_EH_FRAME: Final = 0x6474E550
_HEADER = struct.Struct("<BBBBiI")
# Version 1; a pointer relative to itself, a count, and entries relative to the table: what every linker writes.
_KNOWN: Final = (1, 0x1B, 0x03, 0x3B)
_ENTRY_BYTES = 8
_TABLE_MAX_BYTES = 16 << 20


def function_starts(elf: ElfFile) -> list[int]:
    """The addresses at which functions begin, sorted; none where the table is missing or written otherwise."""
    segment = next((segment for segment in elf.segments if segment.kind == _PT_GNU_EH_FRAME), None)
    if segment is None or not _HEADER.size <= segment.size <= _TABLE_MAX_BYTES:
        return []
    raw = elf.read_file(segment.offset, segment.size)
    *kind, _, count = _HEADER.unpack_from(raw)
    end = _HEADER.size + count * _ENTRY_BYTES
    if tuple(kind) != _KNOWN or end > len(raw):
        return []
    entries = struct.iter_unpack("<ii", raw[_HEADER.size : end])
    return [segment.vaddr + start for start, _ in entries]


def start_before(starts: list[int], vaddr: int) -> int | None:
    """The beginning of the function that this address is in, or would be if there were no gaps."""
    index = bisect_right(starts, vaddr)
    return starts[index - 1] if index else None
