# SPDX-License-Identifier: Apache-2.0
"""The attach cookie: what a probe tells its program about the function it sits in.

The programs take it apart with the COOKIE_ macros of bpf/include/calls.h and golang.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plaintap.targets.golang.spots import GoSpot

LIBRARIES_MAX = 4095
"""PT_LIBRARIES of bpf/include/layout.h, less one: libraries are counted from 1."""


def pack_cookie(*, library: int, write: bool = False, done_argument: int = 0, gnutls: bool = False) -> int:
    """`done_argument` is the 1-based argument (4 or 5) that points to the count; 0: none does.

    `gnutls`: what the function returns is GnuTLS's.
    """
    return library | write << 16 | done_argument << 20 | gnutls << 23


def pack_go_cookie(spot: GoSpot, *, library: int, write: bool, leaves: bool) -> int:
    """Of a place in a Go function, where it is entered or where it `leaves`."""
    what = library | write << 16 | spot.stack_abi << 17 | spot.foreign << 18 | spot.indirect << 19
    if leaves:
        return what | spot.spilled << 20 | spot.n << 32 | spot.plus << 40 | spot.sp_words << 48
    return what | (spot.vaddr & 0xFFFFFFFF) << 32
