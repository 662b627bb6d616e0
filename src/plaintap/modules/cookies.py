# SPDX-License-Identifier: Apache-2.0
"""The attach cookie: what a probe tells its program about the function it sits in.

The programs take it apart with the COOKIE_ macros of bpf/include/calls.h.
"""

from __future__ import annotations

LIBRARIES_MAX = 4095
"""PT_LIBRARIES of bpf/include/layout.h, less one: libraries are counted from 1."""


def pack_cookie(*, library: int, write: bool = False, done_argument: int = 0) -> int:
    """`done_argument` is the 1-based argument (4 or 5) that points to the count; 0: none does."""
    return library | write << 16 | done_argument << 20
