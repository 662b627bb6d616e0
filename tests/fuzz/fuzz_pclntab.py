# SPDX-License-Identifier: Apache-2.0
"""Go programs from strangers: whatever the file says, there is a plan within bounds or one error, and in no time.

An input is a file. The seeds are small programs, with their table of functions in every form there has been.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache

from go_image import AARCH64, GO_1_2, GO_1_16, GO_1_18, GO_1_20, X86_64, GoImage, checked

from plaintap.errors import PlaintapError
from plaintap.modules.gotls import plan
from plaintap.targets.elf import ElfFile

SECONDS_MAX = 10
POINTS_MAX = 2000
_MACHINE_AT = 18
_BODY = bytes.fromhex("4885c97400 48894c2408 488b542410 488b02 ffd0 488b442408")
"""A count in rcx that is spilled over a deferred call."""


def _seed(version: str, magic: int, *, pie: bool = False, machine: int = X86_64) -> bytes:
    image = GoImage(version=version, magic=magic, pie=pie, machine=machine)
    for name in ("(*Conn).Read", "(*Conn).Write", "(*Conn).Close", "(*Config).writeKeyLog"):
        image.add(f"crypto/tls.{name}", checked(_BODY))
    return image.build()


SEEDS = [
    _seed("go1.15.15", GO_1_2),
    _seed("go1.15.15", GO_1_2, pie=True),
    _seed("go1.16.2", GO_1_16),
    _seed("go1.19.8", GO_1_18, pie=True),
    _seed("go1.21.13", GO_1_20),
    _seed("go1.26.8", GO_1_20, pie=True),
    _seed("go1.27.3", GO_1_20, machine=AARCH64),
]


@cache
def _file() -> int:
    return os.memfd_create("fuzz")


def one(data: bytes) -> None:
    """Raises AssertionError, or whatever reading raises but errors of ours, for an input that breaks a promise."""
    fd = _file()
    os.ftruncate(fd, 0)
    os.pwrite(fd, data, 0)
    machine = AARCH64 if data[_MACHINE_AT : _MACHINE_AT + 1] == bytes([AARCH64]) else X86_64
    start = time.monotonic()
    with suppress(PlaintapError), ElfFile(fd, name="fuzz", machine=machine) as elf:
        _check(elf)
    assert time.monotonic() - start < SECONDS_MAX, "too slow"


def _check(elf: ElfFile) -> None:
    found = plan(elf, "fuzz")
    if found is None:
        return
    assert 0 < len(found.points) <= POINTS_MAX, "more points than anybody attaches"
    for point in found.points:
        assert point.go is not None, "a place without words for its program"
        assert elf.is_code(point.go.vaddr), "a place outside of the code"
        assert point.offset == elf.file_offset(point.go.vaddr), "a place that is not where it is said to be"
        assert point.go.n < 256, "more than the cookie holds"
        assert point.go.plus < 256, "more than the cookie holds"
        assert point.go.sp_words < 1 << 16, "more than the cookie holds"
    assert found.go is not None, "no layout"
    assert all(0 <= value < 1 << 64 for value in found.go if isinstance(value, int) and value != -8), "no offsets"
