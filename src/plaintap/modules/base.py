# SPDX-License-Identifier: Apache-2.0
"""What a capture module is: which functions of a file to probe, and which programs run there.

Knows no library. Looking at files and attaching is attacher.py's, the modules there are registry.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from plaintap.errors import TargetError
from plaintap.targets.elf import ElfFile
from plaintap.targets.golang.spots import GoSpot
from plaintap.targets.layouts.golang import GoLayout


class NotHookable(TargetError):  # noqa: N818 - a finding about a file, as its caller says it
    """The file holds a library of the family, but nothing in it that can be probed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place of a file to probe and the program that runs there; the offset is in the file."""

    program: str
    offset: int
    function: str
    why: str
    returns: bool = False
    """Run when the function that is at its entry here returns."""
    write: bool = False
    done_argument: int = 0
    """0: the return value is the count. 4 or 5: that argument (1-based) is a `size_t *`, and 1 returned is success."""
    gnutls: bool = False
    """What it returns is GnuTLS's: a handshake is over with 0, and a write that has to wait has taken its bytes."""
    go: GoSpot | None = None
    """What a place in a Go function has to tell besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePlan:
    """Everything to attach in one file."""

    name: str
    """For people: `libssl 3.0.22`, `node: OpenSSL 3.0.16`."""
    version: str | None
    points: tuple[Point, ...]
    tells_ends: bool
    """Whether one of them is where a session's object is given up."""
    carriers: tuple[Point, ...] = ()
    """Where the library hands its bytes over, when that is in this file; attached on demand."""
    needs: tuple[str, ...] = ()
    """The libraries it asks the loader for, in one of which they are otherwise."""
    other_half: str = ""
    """The one of them that is half of this library: its libcrypto."""
    calibrated: bool = True
    """Whether calibration knows this family's structs; otherwise the tables have to do."""
    go: GoLayout | None = None
    """What the programs of Go need to know of the file."""
    notes: tuple[str, ...] = ()
    """What will not be seen, or was guessed, for people."""


class Planner(Protocol):
    """None when there is nothing of the family in the file. Raises TargetError."""

    def __call__(self, elf: ElfFile, path: str, /, *, other_half: str | None = None) -> ProbePlan | None:
        """`other_half` is the path of the library this one is used with, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One family of libraries, under its command's name."""

    name: str
    family: str
    """Whose programs it needs: PROBES_OF of src/plaintap/runtime/programs.py."""
    plan: Planner
    carriers: Callable[[ElfFile], tuple[Point, ...]]
    """The points of `ProbePlan.carriers` in a file that holds them apart; none in any other."""
    ld_cache_prefixes: tuple[str, ...]
    """Names in the loader's cache that are worth a look although no process has them mapped yet."""
    defines: str
    """What a file must define to be one of the family, for people."""
    path_hint: str
    """Which file to name."""
