# SPDX-License-Identifier: Apache-2.0
"""Attaches, on demand, where a library hands its bytes over: in its other half, or in its own file.

Only sessions that use no socket themselves need it, and the functions are busy ones. A library's other half is
another one in each container, so it is looked for in the process that has such a session.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from plaintap.errors import PlaintapError
from plaintap.modules.files import identity_of
from plaintap.modules.probes import probes_of
from plaintap.targets import procmaps
from plaintap.targets.elf import ElfFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from plaintap.modules.base import Module, Point, ProbePlan
    from plaintap.modules.files import Identity
    from plaintap.runtime.kernel import Kernel
    from plaintap.targets.procmaps import MappedFile

_REMEMBERED_MAX = 1024
_NEEDED_PROGRAM = "pt_bio_write"
"""A kernel side that has it has all that are linked here."""


class _Carrier(NamedTuple):
    """What is in a file that may be a library's other half."""

    soname: str | None
    points: tuple[Point, ...]


class Carriers:
    """Every file that holds them, each attached once for each library that uses it."""

    def __init__(self, module: Module, kernel: Kernel, *, debug: Callable[[str], None], pids: Sequence[int]) -> None:
        self._module = module
        self._kernel = kernel
        self._debug = debug
        self._pids = tuple(pids)
        self._attached: set[tuple[int, Identity]] = set()
        self._known: dict[Identity, _Carrier] = {}
        self._asked: dict[tuple[int, int], bool] = {}
        """What came of it, by library and pid; the oldest goes when there are too many."""
        self._lock = threading.Lock()

    def attach(self, number: int, plan: ProbePlan, own: Identity, *, pid: int) -> bool:
        """Whether library `number`, of this plan and file, is attached in this process now, or was before.

        A process is looked at once: it may have many such sessions, and no time to lose between them.
        """
        if not self._kernel.has(_NEEDED_PROGRAM):
            return False
        with self._lock:
            known = self._asked.get((number, pid))
            if known is not None:
                return known
            files = procmaps.scan((pid,)).files.values()
            attached = self._attach_first(number, plan, own, files)
            if files:  # else the process has gone, and its pid may be another's one day
                if len(self._asked) >= _REMEMBERED_MAX:
                    del self._asked[next(iter(self._asked))]
                self._asked[number, pid] = attached
            return attached

    def _attach_first(self, number: int, plan: ProbePlan, own: Identity, files: Iterable[MappedFile]) -> bool:
        for file in _candidates(files, plan, own):
            try:
                if self._attach(number, plan, own, file):
                    return True
            except PlaintapError as error:
                self._debug(f"{file.display_path}: {error.message}")
        return False

    def _attach(self, number: int, plan: ProbePlan, own: Identity, file: MappedFile) -> bool:
        fd = procmaps.open_mapped(file)
        try:
            identity = identity_of(fd)
            if plan.carriers and identity != own:
                return False
            if (number, identity) in self._attached:
                return True
            points = plan.carriers or self._points_in(fd, identity, plan, file)
            probes = probes_of(points, library=number, kernel=self._kernel)
            if not probes:
                return False
            self._kernel.attach(fd, probes, library=number, pids=self._pids)
        finally:
            os.close(fd)
        self._attached.add((number, identity))
        for point in points:
            if not point.returns:
                self._debug(f"attached {file.display_path} for {plan.name}: {point.why}")
        return True

    def _points_in(self, fd: int, identity: Identity, plan: ProbePlan, file: MappedFile) -> tuple[Point, ...]:
        known = self._known.get(identity)
        if known is None:
            with ElfFile(fd, name=file.display_path) as elf:
                known = _Carrier(elf.soname(), self._module.carriers(elf))
            if len(self._known) < _REMEMBERED_MAX:
                self._known[identity] = known
        asked_for = known.soname in plan.needs or Path(file.display_path).name in plan.needs
        return known.points if asked_for else ()


def _candidates(files: Iterable[MappedFile], plan: ProbePlan, own: Identity) -> Iterator[MappedFile]:
    """The library's own file, or those that may be what it asks the loader for: by name, or by the name's beginning."""
    files = list(files)
    if plan.carriers:
        yield from (file for file in files if file.id.inode == own.inode)
        return
    for needed in plan.needs:
        stem = needed.partition(".so")[0]
        named = [file for file in files if Path(file.display_path).name.startswith(stem)]
        yield from sorted(named, key=lambda file: Path(file.display_path).name != needed)
