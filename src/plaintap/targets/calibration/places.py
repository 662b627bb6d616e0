# SPDX-License-Identifier: Apache-2.0
"""Where a value lies in copies of a struct, and the one place that is the same in all of them.

Pure: bytes in, offsets out. Which values are looked for is search.py's and tls13_secrets.py's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from plaintap.errors import TargetError

INT_BYTES = 4
POINTER_BYTES = 8
_PLACES_MAX = 64
"""More of one value is no chance: somebody wants the search to take long."""


def agree(field: str, places: Iterable[set[int]]) -> int:
    """The one offset that is in all the sets; TargetError names the field when there is none, or more than one."""
    common: set[int] | None = None
    for found in places:
        common = found if common is None else common & found
    if not common:
        raise TargetError(f"{field} is at no place that all handshakes agree on")
    if len(common) > 1:
        several = ", ".join(f"{offset:#x}" for offset in sorted(common)[:4])
        raise TargetError(f"{field} is at several places, cannot tell which: {several}")
    return common.pop()


def places_of(image: bytes, value: bytes, align: int = 1) -> set[int]:
    """The offsets of these bytes, in multiples of `align`; none of bytes that are all zero, which are everywhere."""
    if not any(value):
        return set()
    found, at = set(), image.find(value)
    while at >= 0:
        if at % align == 0:
            found.add(at)
            check_few(found)
        at = image.find(value, at + 1)
    return found


def check_few(places: Collection[object]) -> None:
    """Raises TargetError when there are too many of them to go on."""
    if len(places) > _PLACES_MAX:
        raise TargetError(f"a value is at more than {_PLACES_MAX} places at once")


def pointers(image: bytes, address: int) -> set[int]:
    """Where a pointer to this address is."""
    return places_of(image, (address & (1 << 64) - 1).to_bytes(POINTER_BYTES, "little"), POINTER_BYTES)


def ints(image: bytes, number: int) -> set[int]:
    """Where an int of this value is."""
    value = number.to_bytes(INT_BYTES, "little")
    return {at for at in range(0, len(image), INT_BYTES) if image.startswith(value, at)}
