# SPDX-License-Identifier: Apache-2.0
"""Makes the points of a plan: a function, the programs to run there, and the cheapest place for them.

Which functions is the modules' business, which instruction targets/attachpoints.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plaintap.modules.base import Point
from plaintap.targets.attachpoints import cheapest_point
from plaintap.targets.references import callers
from plaintap.targets.x86 import ARGUMENTS

if TYPE_CHECKING:
    from plaintap.targets.elfsymbols import Symbol
    from plaintap.targets.x86 import Decoder


def entry_point(
    decoder: Decoder, program: str, function: Symbol, *, arguments: int, reason: str = ""
) -> tuple[Point, ...]:
    """Where `program` sees the first `arguments` arguments of the function; none when nothing there can be probed."""
    found = cheapest_point(decoder, function.vaddr, size=function.size, arguments=ARGUMENTS[:arguments], returns=False)
    if found is None:
        return ()
    offset = decoder.elf.file_offset(found.vaddr)
    return (Point(program=program, offset=offset, function=function.name, why=_why(function, reason, found.why)),)


def entry_or_callers(
    decoder: Decoder, program: str, function: Symbol, *, arguments: int, reason: str = ""
) -> tuple[Point, ...]:
    """The same, but at all calls of the function where the kernel would have to single-step its entry.

    For a function that nothing outside the file calls. A call is emulated, and the arguments are there.
    """
    found = cheapest_point(decoder, function.vaddr, size=function.size, arguments=ARGUMENTS[:arguments], returns=False)
    sites = [] if found is None or found.is_emulated else callers(decoder, function.vaddr)
    if not sites:
        return entry_point(decoder, program, function, arguments=arguments, reason=reason)
    return tuple(
        Point(
            program=program,
            offset=decoder.elf.file_offset(site),
            function=function.name,
            why=_why(function, reason, f"its call at {site:#x}, which the kernel emulates"),
        )
        for site in sites
    )


def call_points(
    decoder: Decoder,
    programs: tuple[str, str],
    function: Symbol,
    *,
    arguments: int,
    reason: str = "",
    write: bool = False,
    done_argument: int = 0,
    gnutls: bool = False,
) -> tuple[Point, ...]:
    """One place for the function's entry and for its return, with a program for each; none as above."""
    found = cheapest_point(decoder, function.vaddr, size=function.size, arguments=ARGUMENTS[:arguments], returns=True)
    if found is None:
        return ()
    offset = decoder.elf.file_offset(found.vaddr)
    why = _why(function, reason, found.why)
    return tuple(
        Point(
            program=program,
            offset=offset,
            function=function.name,
            why=why,
            returns=returns,
            write=write,
            done_argument=done_argument,
            gnutls=gnutls,
        )
        for program, returns in zip(programs, (False, True), strict=True)
    )


def _why(function: Symbol, reason: str, place: str) -> str:
    return f"{function.name} at {function.vaddr:#x}{reason and ', '}{reason}; {place}"
