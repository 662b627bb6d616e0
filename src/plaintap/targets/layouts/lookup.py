# SPDX-License-Identifier: Apache-2.0
"""Which layout a version has, by the tables; which versions there are, and which are meant by a misspelt one.

Whether a table is right for a certain file is calibration's to say, not decided here.
"""

from __future__ import annotations

import re
import string
from functools import cache
from typing import TYPE_CHECKING

from msgspec import structs

from plaintap.targets.layouts import boringssl, gnutls, openssl
from plaintap.targets.layouts.model import KnownLayout, Layout, LayoutRow, Origin
from plaintap.targets.layouts.releases import AWS_LC, GNUTLS, Release, parse_release

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES_MAX = 3
_BORINGSSL = re.compile(r"boringssl(_a_\d{2}|_na)?")
"""Also as eCapture's users name it, by Android release."""


def known_versions() -> tuple[LayoutRow, ...]:
    """Every row of the tables, in the order of a listing."""
    return (*openssl.ROWS, boringssl.BORINGSSL, *boringssl.AWS_LC_ROWS, *gnutls.ROWS)


def find_layout(version: str) -> KnownLayout | None:
    """The layout of a version as `openssl_version` words it, or as a user may (`openssl 1.1.1k`).

    A version in the tables has that layout. Another patch of a minor version in the tables has the nearest lower one,
    with `Origin.NEAREST`: a guess, which whoever uses it says aloud. Everything else has none: LibreSSL, minor versions
    that nobody knows, and those of which only higher patches are known.
    """
    if _BORINGSSL.fullmatch(version.lower()):
        return _known(boringssl.BORINGSSL, Origin.TABLE)
    release = parse_release(version)
    if release is None:
        return None
    of_kind = [each for each in _ranges() if _same_kind(each[0], release)]
    below = [(last, row) for first, last, row in of_kind if first.order <= release.order]
    if not below:
        return None
    last, row = below[-1]
    if release.order <= last.order:
        return _known(row, Origin.TABLE if release.plain and release.final else Origin.NEAREST)
    return _known(row, Origin.NEAREST) if last.series == release.series else None


def _same_kind(one: Release, other: Release) -> bool:
    return (one.family, one.flavour) == (other.family, other.flavour)


def _known(row: LayoutRow, origin: Origin) -> KnownLayout:
    return KnownLayout(layout=row.layout, origin=origin, label=row.label, source=row.source)


@cache
def _ranges() -> tuple[tuple[Release, Release, LayoutRow], ...]:
    found = []
    for row in (*openssl.ROWS, *boringssl.AWS_LC_ROWS, *gnutls.ROWS):
        first, last = parse_release(row.first), parse_release(row.last)
        assert first is not None, row.first
        assert last is not None, row.last
        found.append((first, last, row))
    return tuple(found)


def is_same_release(one: str, other: str) -> bool:
    """Whether two texts name the same version, in whatever words; BoringSSL has none, so that its name will do."""
    first, second = parse_release(one), parse_release(other)
    if first and second:
        return _same_kind(first, second) and first.order == second.order
    return bool(_BORINGSSL.fullmatch(one.lower()) and _BORINGSSL.fullmatch(other.lower()))


def nearest_names(text: str) -> list[str]:
    """Known versions that may be meant by a text that names none of them, the likeliest first; at most three."""
    from difflib import get_close_matches  # noqa: PLC0415 - 5 ms that only a mistake should cost

    names = list(_names())
    release = parse_release(text)
    if release is not None:
        alike = [(other, name) for name in names if (other := parse_release(name)) and _same_kind(other, release)]
        below = max((pair for pair in alike if pair[0].order < release.order), default=None)
        above = min((pair for pair in alike if pair[0].order > release.order), default=None)
        if below or above:
            return [name for _, name in filter(None, (below, above))]
    folded = {name.lower(): name for name in names}
    typed = text.strip().lower().removeprefix("openssl").strip(" -_")
    if typed[:1].isdigit():
        begun = [name for low, name in folded.items() if low.startswith(f"{typed.rstrip('.')}.") and "+" not in low]
        if begun:
            return begun[: -_NAMES_MAX - 1 : -1]
    return [folded[name] for name in get_close_matches(typed, folded, _NAMES_MAX, 0.5)]


def _names() -> Iterable[str]:
    """Each version of each row. AWS-LC's third number is not known in between: only the ends are named."""
    for first, last, row in _ranges():
        if first.family == AWS_LC:
            yield from dict.fromkeys((row.first, row.last))
            continue
        family = f"{GNUTLS} " if first.family == GNUTLS else ""
        number = ".".join(map(str, first.numbers))
        flavour = f"+{first.flavour}" if first.flavour else ""
        if last.letter:
            letters = ("", *string.ascii_lowercase)
            for letter in letters[letters.index(first.letter) : letters.index(last.letter) + 1]:
                yield f"{number}{letter}{flavour}"
        else:
            *series, patch = first.numbers
            for each in range(patch, last.numbers[-1] + 1):
                yield f"{family}{'.'.join(map(str, series))}.{each}{flavour}"
    yield boringssl.BORINGSSL.first


def differences(expected: Layout, found: Layout) -> dict[str, tuple[int, int]]:
    """The fields both layouts have, at different places: `(expected, found)` by name."""
    before, after = structs.asdict(expected), structs.asdict(found)
    return {
        name: (before[name], after[name])
        for name in before
        if before[name] is not None and after[name] is not None and before[name] != after[name]
    }
