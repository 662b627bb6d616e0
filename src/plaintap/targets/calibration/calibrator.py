# SPDX-License-Identifier: Apache-2.0
"""The way in to calibration: a library's path or descriptor in, its layout or a TargetError out; remembered on disk.

Joins the steps and nothing more: what belongs to the library is library.py's, running it launcher.py's and confined/'s,
understanding what was seen search.py's, remembering cache.py's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from plaintap.errors import TargetError
from plaintap.targets.calibration import launcher, observation
from plaintap.targets.calibration.cache import LayoutCache
from plaintap.targets.calibration.launcher import Part
from plaintap.targets.calibration.library import collect, locate
from plaintap.targets.calibration.search import find_layout
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.model import Family, KnownLayout, Layout, Origin

TIMEOUT_S = 5.0
_HINT = "give the version (--ssl_version), so that the table of its version is used"


def calibrate(
    file: str | int,
    *,
    name: str | None = None,
    beside: str | None = None,
    libcrypto: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Layout:
    """The layout of this very library, by loading it into a child without rights. Takes up to `timeout_s`.

    `file` is a path or an open file; `name` what messages call it; `beside` the path in whose folder the libraries it
    needs may lie (`file`, when that is a path); `libcrypto` the path of its other half where that is known.
    Raises TargetError, with a hint, when it cannot: an executable, a damaged or hostile library, a host without nobody.
    """
    called = name or str(file)
    try:
        with ExitStack() as stack:
            parts = collect(stack, file, called, beside=beside, libcrypto=libcrypto)
            return _calibrate(_copies(stack, parts), timeout_s)
    except TargetError as error:
        raise _told(error, called) from error


def calibrated(
    file: str | int,
    *,
    name: str | None = None,
    beside: str | None = None,
    libcrypto: str | None = None,
    timeout_s: float = TIMEOUT_S,
    cache: LayoutCache | None = None,
) -> KnownLayout:
    """The same, remembered from the last time: by build-id and content, its libcrypto's content included.

    By both, since a file may carry another's build-id, and its layout would be another's too.
    """
    cache = cache or LayoutCache.standard()
    called = name or str(file)
    try:
        with ExitStack() as stack:
            parts = collect(stack, file, called, beside=beside, libcrypto=libcrypto)
            layout = cache.get(_key(parts))
            if layout is None:
                copies = _copies(stack, parts)
                layout = _calibrate(copies, timeout_s)
                # Of what was loaded: the files may have been exchanged meanwhile.
                cache.put(_key(copies), layout)
    except TargetError as error:
        raise _told(error, called) from error
    source = "found by letting the library shake hands with itself in a process without rights"
    return KnownLayout(layout=layout, origin=Origin.CALIBRATION, label="calibrated", source=source)


def _told(error: TargetError, name: str) -> TargetError:
    return TargetError(f"{name} cannot be calibrated: {error.message}", hint=error.hint or _HINT)


def _copies(stack: ExitStack, parts: Sequence[Part]) -> list[Part]:
    return stack.enter_context(launcher.sealed_copies(parts))


def _key(parts: Sequence[Part]) -> tuple[str, ...]:
    with ElfFile(parts[-1].fd, name=parts[-1].name) as elf:
        return (elf.build_id or "", *launcher.digests(parts))


def _calibrate(copies: Sequence[Part], timeout_s: float) -> Layout:
    parts, family = locate(copies)
    answer = launcher.observe(parts, boringssl=family is Family.BORINGSSL, timeout_s=timeout_s)
    return find_layout(observation.decode(answer), family)
