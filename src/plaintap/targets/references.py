# SPDX-License-Identifier: Apache-2.0
"""Finds a function without a symbol by the strings it is called with, and the places that call a function.

Looks for `lea rsi, [rip + string]` followed by a direct call in straight code: by construction the function called
gets the string as its second argument. One such call proves little, since strings are compared and printed too; a
function that several of the strings are passed to is taken. Which strings tell which function is the caller's.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Final

from plaintap.targets.unwind import function_starts, start_before

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from plaintap.targets.elf import ElfFile
    from plaintap.targets.x86 import Decoder

CODE_MAX_BYTES: Final = 16 << 20
"""Files with more code, or more constants, are not searched: a library is smaller, a browser is larger."""
_AGREED_MIN = 2
_PLACES_MAX = 64
_LOADS_MAX = 256
_CALLERS_CODE_MAX_BYTES = 2 << 20
_CALLERS_MAX = 32
_CALL_BYTES = 5
# A disp32 follows, whose highest byte is the sign where there is no more code than that.
_CALL_OR_JUMP = re.compile(rb"[\xe8\xe9](?=...[\x00\xff])", re.DOTALL)
_FUNCTION_MAX_BYTES = 64 << 10
_LOAD_SECOND = b"\x48\x8d\x35"  # lea rsi, [rip + disp32]
_LOAD_BYTES = 7


def function_called_with(decoder: Decoder, strings: Sequence[bytes]) -> int | None:
    """The address of the one function that at least two of these strings are the second argument of.

    None when there is none, when another one is called with as many, or when the file is too large to look.
    """
    elf = decoder.elf
    if sum(segment.size for segment in elf.code) > CODE_MAX_BYTES:
        return None
    places = _string_places(elf, strings)
    if len(set(places.values())) < _AGREED_MIN:
        return None
    calls = {(target, places[string]) for string, target in _calls_with(decoder, places.keys())}
    ranked = Counter(target for target, _ in calls).most_common(2)
    if not ranked or ranked[0][1] < _AGREED_MIN or (len(ranked) > 1 and ranked[1][1] == ranked[0][1]):
        return None
    return ranked[0][0]


def _string_places(elf: ElfFile, strings: Sequence[bytes]) -> dict[int, bytes]:
    """Every address in the constants where one of these strings is, also as the tail of a longer one."""
    places: dict[int, bytes] = {}
    for offset, size in elf.read_only_data():
        if size > CODE_MAX_BYTES:
            continue
        data = elf.read_file(offset, size)
        start = elf.address_of(offset)
        if start is None:
            continue
        for string in strings:
            at = data.find(string + b"\0")
            while at >= 0 and len(places) < _PLACES_MAX:
                places[start + at] = string
                at = data.find(string + b"\0", at + 1)
    return places


def _calls_with(decoder: Decoder, places: Collection[int]) -> Iterator[tuple[int, int]]:
    """The places that are passed as second argument, each with the function it is passed to."""
    for place, end in islice(_loads_of(decoder.elf, places), _LOADS_MAX):
        target = _called_next(decoder, end)
        if target is not None:
            yield place, target


def _loads_of(elf: ElfFile, places: Collection[int]) -> Iterator[tuple[int, int]]:
    """Each load of one of the places into the second argument's register, with the address behind it."""
    for segment in elf.code:
        code = elf.read_file(segment.offset, segment.size)
        at = code.find(_LOAD_SECOND)
        while at >= 0:
            end = segment.vaddr + at + _LOAD_BYTES
            place = end + int.from_bytes(code[at + len(_LOAD_SECOND) : at + _LOAD_BYTES], "little", signed=True)
            if place in places:
                yield place, end
            at = code.find(_LOAD_SECOND, at + 1)


def _called_next(decoder: Decoder, vaddr: int) -> int | None:
    """The function here that straight code from this address calls before it loads another second argument."""
    for instruction in decoder.straight_line(vaddr):
        if "rsi" in instruction.writes:
            return None
        target = instruction.target
        if instruction.is_call and target is not None and decoder.elf.is_code(target):
            return target if decoder.stub_slot(target) is None else None
    return None


def callers(decoder: Decoder, vaddr: int) -> list[int]:
    """The addresses of all direct calls and tail calls of this function.

    None at all when one of them is not surely an instruction: what looks like one may be inside another, where a probe
    would break the program. None either when there is too much code to look through.
    """
    found: list[int] = []
    elf = decoder.elf
    if sum(segment.size for segment in elf.code) > _CALLERS_CODE_MAX_BYTES:
        return found
    for segment in elf.code:
        code = elf.read_file(segment.offset, segment.size)
        for match in _CALL_OR_JUMP.finditer(code):
            end = match.end() + _CALL_BYTES - 1
            distance = int.from_bytes(code[match.end() : end], "little", signed=True)
            if segment.vaddr + end + distance != vaddr or end > len(code):
                continue
            found.append(segment.vaddr + match.start())
            if len(found) > _CALLERS_MAX:
                return []
    starts = function_starts(elf) if found else []
    return found if all(_is_instruction(decoder, starts, site) for site in found) else []


def _is_instruction(decoder: Decoder, starts: list[int], vaddr: int) -> bool:
    """Whether decoding its function from the beginning comes upon this address."""
    start = start_before(starts, vaddr)
    if start is None or vaddr - start > _FUNCTION_MAX_BYTES:
        return False
    return any(at == vaddr for at in decoder.addresses(start, vaddr - start + _CALL_BYTES))
