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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from plaintap.errors import KernelError, PlaintapError, TargetError, reason
from plaintap.modules.base import Module, ProbePlan
from plaintap.modules.carriers import Carriers
from plaintap.modules.cookies import LIBRARIES_MAX
from plaintap.modules.files import Identity, digest, identity_of
from plaintap.modules.probes import go_layout_bytes, layout_bytes, probes_of
from plaintap.runtime.kernel import Kernel
from plaintap.targets import ldcache, procmaps
from plaintap.targets.calibration.names import MEMORY_NAME
from plaintap.targets.elf import ElfFile
from plaintap.targets.layouts.model import KnownLayout
from plaintap.targets.procmaps import FileId, MappedFile

REMEMBERED_MAX_BYTES = 2 << 20
_PIDS_ASKED_MAX = 4


@dataclass(frozen=True, slots=True)
class Library:
    """A file that is attached: its number in the cookies, its name and version for people."""

    number: int
    name: str
    path: str
    tells_ends: bool
    """Whether it says when a session is over."""
    layout: KnownLayout | None = None
    """Where the fields of its structs are, as far as that is known."""
    logs_keys: bool = False
    """Whether its secrets are the lines that it would log, rather than read from its structs."""


class Found(NamedTuple):
    """What a look at the host came to, in processes."""

    processes: int
    tls_processes: int
    unreadable: int


OtherHalf = Callable[[], str | None]
"""A path that leads to the libcrypto which a process has mapped together with a library; None where none is known."""
LayoutFor = Callable[[ProbePlan, str, int, OtherHalf], KnownLayout | None]
"""`(plan, a path that leads to the file, its descriptor, its other half)`, which hold only during the call.

It must be quick; asking for the other half reads the mappings of a process.
"""


def _no_layout(_plan: ProbePlan, _path: str, _fd: int, _other_half: OtherHalf) -> None:
    return None


class Attacher:
    """Looks at files, each once, and attaches the ones that have something to probe."""

    def __init__(
        self,
        modules: Sequence[Module],
        kernel: Kernel,
        *,
        attached: Callable[[Library], None],
        debug: Callable[[str], None],
        notice: Callable[[str], None],
        layout_for: LayoutFor = _no_layout,
        pids: Sequence[int] = (),
    ) -> None:
        """`attached` is told of a library before its first probe is in place."""
        self.libraries: list[Library] = []
        self.refused = 0
        """Times the kernel would not attach a library."""
        self._modules = modules
        self._kernel = kernel
        self._tell = attached
        self._debug = debug
        self._notice = notice
        self._layout_for = layout_for
        self._pids = tuple(pids)
        self._seen: set[Identity] = set()
        self._attached: set[tuple[str, Identity]] = set()
        """By the module's name."""
        self._of_library: dict[int, tuple[Module, ProbePlan, Identity]] = {}
        self._plans: dict[tuple[str, int], tuple[bytes, ProbePlan]] = {}
        """By the module's name and the file's size."""
        self._carriers: dict[str, Carriers] = {}
        self._lock = threading.Lock()
        self._layout_lock = threading.Lock()

    def look_at_host(self, pids: Collection[int] = ()) -> Found:
        """Everything these processes, or all, have mapped, and what the loader's cache names."""
        scan = procmaps.scan(pids or None, skip=(os.getpid(),))
        tls_pids: set[int] = set()
        for file in scan.files.values():
            identity = self.look_at(file)
            if identity and any((module.name, identity) in self._attached for module in self._modules):
                tls_pids |= file.pids
        if not pids:
            self._look_at_cache()
        return Found(scan.processes, len(tls_pids), scan.unreadable)

    def _look_at_cache(self) -> None:
        for module in self._modules:
            for path in ldcache.libraries(module.ld_cache_prefixes):
                with contextlib.suppress(PlaintapError):
                    self.attach_path(path, module)

    def look_at_mapping(self, pid: int, device: tuple[int, int], inode: int) -> bool:
        """The same for one file a process has just mapped; False when it is not there any more."""
        if self._pids and pid not in self._pids:
            return False
        file = procmaps.scan((pid,)).files.get(FileId(device, inode))
        if file is not None:
            self.look_at(file)
        return file is not None

    def look_at(self, file: MappedFile) -> Identity | None:
        """Attaches the file if there is something to attach; the reason why not goes to `debug`."""
        with self._lock:
            try:
                fd = procmaps.open_mapped(file)
            except PlaintapError as error:
                self._debug(f"{file.display_path}: {error.message}")
                return None
            try:
                identity = identity_of(fd)
                if identity not in self._seen and not _is_calibrated_copy(file, fd):
                    self._seen.add(identity)
                    for module in self._modules:
                        self._try(module, fd, identity, file)
            finally:
                os.close(fd)
            self._kernel.looked_at(file.id.device, file.id.inode, identity.generation)
            return identity

    def _try(self, module: Module, fd: int, identity: Identity, file: MappedFile) -> None:
        beside = file.display_path if file.deleted else file.open_path
        try:
            self._attach(module, fd, identity, file.display_path, beside=beside, pids=file.pids)
        except KernelError as error:  # not the file's fault: the next one that maps it may have more luck
            self._seen.discard(identity)
            self.refused += 1
            self._notice(f"cannot attach to {file.display_path}: {error.message}")
        except PlaintapError as error:
            named = error.message.startswith(file.display_path)
            self._debug(error.message if named else f"{file.display_path}: {error.message}")

    def attach_path(self, path: str, module: Module) -> Library:
        """The one file the user named. Raises TargetError saying what is wrong with it."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise TargetError(f"cannot open {path}: {reason(error)}", hint=module.path_hint) from error
        try:
            library = self._attach(module, fd, identity_of(fd), path, beside=path)
        except TargetError as error:
            error.hint = error.hint or module.path_hint
            raise
        finally:
            os.close(fd)
        if library is None:
            raise TargetError(f"{path} does not define {module.defines}: nothing to attach to", hint=module.path_hint)
        for note in self._of_library[library.number][1].notes:
            self._notice(f"{path}: {note}")
        return library

    def _plan(self, module: Module, fd: int, path: str, beside: str, pids: Collection[int]) -> ProbePlan | None:
        """Copies of one library, as in many containers, are taken apart once; they go by the first one's name.

        By content, not by build-id: a file may carry another's, and its offsets would hit foreign code.
        """
        size = os.fstat(fd).st_size
        known = self._plans.get((module.name, size))
        if known and known[0] == digest(fd, size):
            return known[1]
        with ElfFile(fd, name=path) as elf:
            plan = module.plan(elf, beside)
            is_doubtful = plan is not None and (plan.version is None or _is_link_beside(beside, plan.other_half))
            other_half = _mapped_half(plan, pids) if plan and is_doubtful else None
            if other_half:
                plan = module.plan(elf, beside, other_half=other_half)
        if plan and size <= REMEMBERED_MAX_BYTES:
            self._plans[module.name, size] = digest(fd, size), plan
        return plan

    def _attach(
        self, module: Module, fd: int, identity: Identity, path: str, *, beside: str, pids: Collection[int] = ()
    ) -> Library | None:
        """`beside` is where the file's neighbours are found, in its container; `pids` have it mapped."""
        if (module.name, identity) in self._attached:
            return None
        plan = self._plan(module, fd, path, beside, pids)
        if plan is None:
            return None
        if len(self.libraries) >= LIBRARIES_MAX:
            raise TargetError(f"more than {LIBRARIES_MAX} libraries at once")
        number = len(self.libraries) + 1
        layout = None if plan.go else self._layout_for(plan, beside, fd, lambda: _mapped_half(plan, pids))
        library = Library(number, plan.name, path, plan.tells_ends, layout, logs_keys=plan.go is not None)
        self._tell(library)
        # Before the first probe, since the programs read by it; and when there is none, since the number may have been
        # that of a library which the kernel then refused.
        if plan.go:
            self._kernel.set_go_layout(number, go_layout_bytes(plan.go))
        else:
            self._kernel.set_layout(number, layout_bytes(layout))
        probes = probes_of(plan.points, library=number, kernel=self._kernel)
        self._kernel.attach(fd, probes, library=number, pids=self._pids)
        self._attached.add((module.name, identity))
        self._of_library[number] = module, plan, identity
        self._carriers.setdefault(module.name, Carriers(module, self._kernel, debug=self._debug))
        with self._layout_lock:
            self.libraries.append(library)
        for point in plan.points:
            if not point.returns:
                self._debug(f"attached {path}: {point.why}")
        for note in plan.notes:
            self._debug(f"{path}: {note}")
        return library

    def relayout(self, number: int, layout: KnownLayout) -> Library:
        """A better layout for an attached library, in force from its next call; safe from any thread.

        Programs that run now go on with the whole of the one before.
        """
        with self._layout_lock:
            library = replace(self.libraries[number - 1], layout=layout)
            self._kernel.set_layout(number, layout_bytes(layout))
            self.libraries[number - 1] = library
        return library

    def attach_bios(self, number: int, pid: int) -> bool:
        """Attaches where this library hands its bytes over in this process: in its libcrypto, or in its own file.

        For sessions that use no socket themselves. True when it is attached. Safe beside
        everything else here: it waits for nobody but another call of itself.
        """
        of_library = self._of_library.get(number)
        if of_library is None or (self._pids and pid not in self._pids):
            return False
        module, plan, identity = of_library
        return self._carriers[module.name].attach(number, plan, identity, pid=pid)


def _is_calibrated_copy(file: MappedFile, fd: int) -> bool:
    """A library that some plaintap of this user looks into: a stranger's copy of that name is captured all the same."""
    return file.display_path.startswith(f"/memfd:{MEMORY_NAME}") and os.fstat(fd).st_uid == os.geteuid()


def _mapped_half(plan: ProbePlan, pids: Collection[int]) -> str | None:
    """A library's other half as a process has it mapped, wherever that is in its root."""
    if not plan.other_half:
        return None
    for pid in sorted(pids)[:_PIDS_ASKED_MAX]:
        by_name = {Path(file.display_path).name: file for file in procmaps.scan((pid,)).files.values()}
        # Mappings have the names of files, the loader is asked for that of a link: libcrypto.so.3 for …so.3.0.13.
        for name in sorted(by_name, key=len):
            if name == plan.other_half or name.startswith(f"{plan.other_half}."):
                return by_name[name].open_path
    return None


def _is_link_beside(library: str, other_half: str) -> bool:
    """An absolute one leads elsewhere when it is followed in the process's own root."""
    return bool(other_half) and (Path(library).parent / other_half).is_symlink()
