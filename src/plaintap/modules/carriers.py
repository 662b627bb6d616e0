# SPDX-License-Identifier: Apache-2.0
"""Attaches, on demand, where a library hands its bytes over: in its other half, or in its own file.

Only sessions that use no socket themselves need it, and the functions are busy ones: the kernel side takes it back
when a process has none left that looks for its socket. A library's other half is
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
    from collections.abc import Callable, Iterable, Iterator

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
    """Every file that holds them, each attached once at a time for each library that uses it."""

    def __init__(self, module: Module, kernel: Kernel, *, debug: Callable[[str], None]) -> None:
        self._module = module
        self._kernel = kernel
        self._debug = debug
        self._known: dict[Identity, _Carrier] = {}
        self._asked: dict[tuple[int, int], Identity | None] = {}
        """The file that holds them, or that there is none, by library and pid; the oldest goes when they are many."""
        self._lock = threading.Lock()

    def attach(self, number: int, plan: ProbePlan, own: Identity, *, pid: int) -> bool:
        """Whether library `number`, of this plan and file, is attached in this process now.

        A process is not looked at again while it is: it may have many such sessions, and no time to lose between them.
        """
        if not self._kernel.has(_NEEDED_PROGRAM):
            return False
        with self._lock:
            if (number, pid) in self._asked:
                known = self._asked[number, pid]
                if known is None or self._kernel.has_on_demand(number, known, pid):
                    return known is not None
            files = procmaps.scan((pid,)).files.values()
            attached = self._attach_first(number, plan, own, files, pid)
            if files:  # else the process has gone, and its pid may be another's one day
                self._asked.pop((number, pid), None)
                if len(self._asked) >= _REMEMBERED_MAX:
                    del self._asked[next(iter(self._asked))]
                self._asked[number, pid] = attached
            return attached is not None

    def _attach_first(
        self, number: int, plan: ProbePlan, own: Identity, files: Iterable[MappedFile], pid: int
    ) -> Identity | None:
        for file in _candidates(files, plan, own):
            try:
                if identity := self._attach(number, plan, own, file, pid):
                    return identity
            except PlaintapError as error:
                self._debug(f"{file.display_path}: {error.message}")
        return None

    def _attach(self, number: int, plan: ProbePlan, own: Identity, file: MappedFile, pid: int) -> Identity | None:
        fd = procmaps.open_mapped(file)
        try:
            identity = identity_of(fd)
            if plan.carriers and identity != own:
                return None
            if self._kernel.has_on_demand(number, identity, pid):
                return identity
            points = plan.carriers or self._points_in(fd, identity, plan, file)
            probes = probes_of(points, library=number, kernel=self._kernel)
            if not probes:
                return None
            self._kernel.attach_on_demand(fd, probes, library=number, file=identity, pid=pid)
        finally:
            os.close(fd)
        for point in points:
            if not point.returns:
                self._debug(f"attached {file.display_path} in pid {pid} for {plan.name}: {point.why}")
        return identity

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
