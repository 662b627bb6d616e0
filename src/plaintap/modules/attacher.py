# SPDX-License-Identifier: Apache-2.0
"""Keeps every library of interest attached: those found at the start and those mapped later.

A probe belongs to an inode, so one attachment serves every process that maps the file, in
whatever container. What to probe in a file is the plan of a module; where files come from is
targets/.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from plaintap.errors import PlaintapError, TargetError, reason
from plaintap.modules.base import Module, ProbePlan
from plaintap.modules.cookies import LIBRARIES_MAX, pack_cookie
from plaintap.runtime.kernel import Kernel, Probe
from plaintap.targets import ldcache, procmaps
from plaintap.targets.elf import ElfFile
from plaintap.targets.procmaps import FileId, MappedFile


@dataclass(frozen=True, slots=True)
class Library:
    """A file that is attached: its number in the cookies, its name and version for people."""

    number: int
    name: str
    path: str


class Attacher:
    """Looks at files, each once, and attaches the ones that have something to probe."""

    def __init__(
        self,
        module: Module,
        kernel: Kernel,
        *,
        attached: Callable[[Library], None],
        debug: Callable[[str], None],
        pids: Sequence[int] = (),
    ) -> None:
        self.libraries: list[Library] = []
        self._module = module
        self._kernel = kernel
        self._tell = attached
        self._debug = debug
        self._pids = tuple(pids)
        self._seen: set[FileId] = set()
        self._attached: set[tuple[int, int]] = set()
        self._plans: dict[str, ProbePlan | None] = {}
        self._lock = threading.Lock()

    def look_at_host(self, pids: Collection[int] = ()) -> procmaps.Scan:
        """Everything these processes, or all, have mapped, and what the loader's cache names."""
        found = procmaps.scan(pids or None, skip=(os.getpid(),))
        for file in found.files.values():
            self.look_at(file)
        if not pids:
            for path in ldcache.libraries(self._module.ld_cache_prefixes):
                with contextlib.suppress(PlaintapError):
                    self.attach_path(path)
        return found

    def look_at_mapping(self, pid: int, device: tuple[int, int], inode: int) -> bool:
        """The same for one file a process has just mapped; False when it is not there any more."""
        if self._pids and pid not in self._pids:
            return False
        file = procmaps.scan((pid,)).files.get(FileId(device, inode))
        if file is not None:
            self.look_at(file)
        return file is not None

    def look_at(self, file: MappedFile) -> None:
        """Attaches the file if there is something to attach; the reason why not goes to `debug`."""
        with self._lock:
            if file.id in self._seen:
                return
            self._seen.add(file.id)
            try:
                fd = procmaps.open_mapped(file)
                try:
                    self._attach(fd, file.display_path)
                finally:
                    os.close(fd)
            except PlaintapError as error:
                self._debug(f"{file.display_path}: {error.message}")
            self.looked_at(*file.id)

    def looked_at(self, device: tuple[int, int], inode: int) -> None:
        """No followed process is stopped for this file again."""
        if self._kernel.filters.follow:
            self._kernel.looked_at(device, inode)

    def is_attached(self, file: MappedFile) -> bool:
        """Whether probes sit in this file."""
        return file.id in self._seen and any(inode == file.id.inode for _, inode in self._attached)

    def attach_path(self, path: str) -> Library:
        """The one file the user named. Raises TargetError saying what is wrong with it."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise TargetError(f"cannot open {path}: {reason(error)}", hint=_PATH_HINT) from error
        try:
            library = self._attach(fd, path)
        except TargetError as error:
            error.hint = error.hint or _PATH_HINT
            raise
        finally:
            os.close(fd)
        if library is None:
            raise TargetError(f"{path} does not define {self._module.defines}: nothing to attach to", hint=_PATH_HINT)
        return library

    def _plan(self, elf: ElfFile, path: str) -> ProbePlan | None:
        """Copies of one build, such as in many containers, are taken apart once."""
        build_id = elf.build_id
        if build_id is None:
            return self._module.plan(elf, path)
        if build_id not in self._plans:
            self._plans[build_id] = self._module.plan(elf, path)
        return self._plans[build_id]

    def _attach(self, fd: int, path: str) -> Library | None:
        status = os.fstat(fd)
        inode = (status.st_dev, status.st_ino)
        if inode in self._attached:
            return None
        with ElfFile(fd, name=path) as elf:
            plan = self._plan(elf, path)
        if plan is None:
            return None
        if len(self.libraries) >= LIBRARIES_MAX:
            raise TargetError(f"more than {LIBRARIES_MAX} libraries at once")
        library = Library(len(self.libraries) + 1, plan.name, path)
        self._tell(library)
        self._kernel.attach(fd, _probes(plan, library.number), library=library.number, pids=self._pids)
        self._attached.add(inode)
        self.libraries.append(library)
        for call in plan.calls:
            self._debug(f"attached {path}: {call.why}")
        return library


def _probes(plan: ProbePlan, number: int) -> list[Probe]:
    probes = []
    for call in plan.calls:
        cookie = pack_cookie(library=number, write=call.write, done_argument=call.done_argument)
        probes.append(Probe("pt_call_enter", call.entry_offset, cookie))
        probes.append(Probe("pt_call_return", call.return_offset, cookie, returns=True))
    probes += [Probe("pt_session_free", free.offset, number) for free in plan.frees]
    return probes


_PATH_HINT = "give the path of a libssl or of an executable that contains OpenSSL"
