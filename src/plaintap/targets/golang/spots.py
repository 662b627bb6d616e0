# SPDX-License-Identifier: Apache-2.0
"""Places in a Go function, and what a probe there has to tell its program. Finding them is not here."""

from __future__ import annotations

from typing import Final, NamedTuple

RESULT_REGISTER: Final = 0
"""The first result's register: rax, x0."""
RESULT_WORDS: Final = 5
"""Stack ABI: the return address (or its place), the receiver and a slice lie below the first result."""
PLACES_MAX: Final = 127
"""Words on the stack that can be named."""


def stack_place(words: int) -> int:
    """The number of a 64-bit word that many words above the stack pointer, of at most `PLACES_MAX`."""
    return words + 1


def register_place(number: int) -> int:
    """The number of a register, which is given as instructions encode it."""
    return 128 + number


class GoSpot(NamedTuple):
    """A place in a Go function. Places of values: 0 the result register, 1-127 words on the stack, 128- registers."""

    vaddr: int
    stack_abi: bool = False
    """Arguments and results are on the stack, as before Go 1.17 (amd64) and 1.18 (arm64)."""
    foreign: bool = False
    """In a copy of crypto/tls: of the layout only the place of the connection is true."""
    indirect: bool = False
    """The receiver is not the Conn: its first word points to it."""
    n: int = 0
    """Where the count is that the function returns."""
    plus: int = 0
    """Where a second count is that it adds; 0: none."""
    sp_words: int = 0
    """How far the stack pointer is below what it was at the function's entry."""
    spilled: bool = False
    """Where it leaves: receiver, buffer and its length are in the words that the caller keeps for them."""


class Entry(NamedTuple):
    """Where a call is seen with the stack pointer as the caller left it; `why` is for people."""

    vaddr: int
    stack_abi: bool
    why: str
    g_tls_offset: int | None = None
    """Stack ABI on x86-64: where the goroutine is, from the thread's pointer on."""


class Exit(NamedTuple):
    """Where a return is seen; `why` is for people."""

    spot: GoSpot
    why: str
