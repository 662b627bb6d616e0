# SPDX-License-Identifier: Apache-2.0
"""What a capture module is: which functions of a file to probe, and which programs run there.

Knows no library. Looking at files and attaching is attacher.py's, the modules there are registry.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from plaintap.errors import TargetError
from plaintap.targets.elf import ElfFile


class NotHookable(TargetError):  # noqa: N818 - a finding about a file, as its caller says it
    """The file has functions of the family, but none that can be probed."""


@dataclass(frozen=True, slots=True)
class CallPoint:
    """One function that moves plaintext, to be probed at entry and return; offsets are in the file."""

    entry_offset: int
    return_offset: int
    write: bool
    done_argument: int
    """0: the return value is the count. 4 or 5: that argument (1-based) is a `size_t *`, and 1 returned is success."""
    function: str
    why: str


@dataclass(frozen=True, slots=True)
class FreePoint:
    """Where a session's object, the first argument, is given up; the offset is in the file."""

    offset: int
    why: str


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """Everything to attach in one file."""

    name: str
    """For people: `libssl 3.0.22`, `node: OpenSSL 3.0.16`."""
    version: str | None
    calls: tuple[CallPoint, ...]
    frees: tuple[FreePoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One family of libraries, under its command's name."""

    name: str
    family: str
    """Names the BPF object, as in bpf/meson.build."""
    plan: Callable[[ElfFile, str], ProbePlan | None]
    """`(file, its path)`; None when there is nothing of the family in it. Raises TargetError."""
    ld_cache_prefixes: tuple[str, ...]
    """Names in the loader's cache that are worth a look although no process has them mapped yet."""
    defines: str
    """What a file must define to be one of the family, for people."""
