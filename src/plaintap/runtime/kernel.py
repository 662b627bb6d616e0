# SPDX-License-Identifier: Apache-2.0
"""The programs in the kernel: filtered, linked, drained, counted, closed.

It knows nothing of TLS libraries: what to probe comes from the modules as offsets and cookies. Which programs there
are and how they are loaded is programs.py's, what the map of sessions says at the end, open_sessions.py's.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass

from plaintap import _native
from plaintap.errors import KernelError, TargetError, UsageError, reason
from plaintap.runtime import sockets
from plaintap.runtime.counters import read_counters
from plaintap.runtime.kernel_config import Filters, Wanted
from plaintap.runtime.on_demand import OnDemand
from plaintap.runtime.open_sessions import read_open_sessions
from plaintap.runtime.privileges import refused
from plaintap.runtime.programs import Programs, close_all

CLOSERS = 64
LAYOUTS_MAX = 4096
"""PT_LAYOUTS of bpf/include/layout.h; number 0 is the one that says that there is none."""
PID = struct.Struct("<I")
FILE_ID = struct.Struct("<QII")


@dataclass(frozen=True, slots=True)
class Probe:
    """One instruction of a file, the program to run there and the cookie it gets."""

    program: str
    offset: int
    cookie: int
    returns: bool = False


class Kernel:
    """The programs for some families of libraries; everything hangs on file descriptors and goes with the process."""

    def __init__(self, families: Collection[str], filters: Filters, wanted: Wanted, *, ring_bytes: int) -> None:
        """Loads the programs. Raises PrivilegeError, KernelError, UsageError (cgroup path)."""
        self.filters = filters
        self._wanted = wanted
        self._lock = threading.Lock()
        self._detached = False
        self._closed = False
        self._closers: list[threading.Thread] = []
        self._left_without_secrets = 0
        self._layouts: dict[bytes, int] = {}
        """The number of each that was set."""
        self._on_demand: OnDemand | None = None
        self._programs = Programs(families, filters, wanted, ring_bytes=ring_bytes)
        self._links = self._programs.links
        try:
            self._set_filters()
            self.ring = _native.Ring(self._programs.map_fd("pt_ring"), ring_bytes)
            self._links += self._programs.link_tracepoints()
        except _native.NativeError as error:
            self._give_up()
            raise refused(error, "make the ring and the filters") from error
        except BaseException:
            self._give_up()
            raise

    def _give_up(self) -> None:
        close_all(self._links)
        self._programs.close()

    @property
    def way(self) -> sockets.Way | None:
        """How sockets are told; None where the kernel has no way."""
        return self._programs.way

    @property
    def refused(self) -> list[str]:
        """The ways of telling sockets that the kernel refused, and why."""
        return self._programs.refused

    @property
    def _links_by_pid(self) -> bool:
        """A perf event is of one thread, and so was uprobe_multi's pid before 6.10 (46ba0e49b642)."""
        return self._programs.multi and sockets.kernel_release() >= (6, 10)

    def _set_filters(self) -> None:
        for pid in self.filters.pids:
            self.add_pid(pid)
        if self.filters.cgroup_path is None:
            return
        try:
            fd = os.open(self.filters.cgroup_path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise UsageError(
                f"cannot open cgroup {self.filters.cgroup_path}: {reason(error)}", hint=_CGROUP_HINT
            ) from error
        try:
            _native.map_update(self._programs.map_fd("pt_cgroups"), PID.pack(0), PID.pack(fd))
        except _native.NativeError as error:
            if error.errno != errno.EBADF:
                raise refused(error, "filter by cgroup") from error
            raise UsageError(
                f"{self.filters.cgroup_path} is no directory of a cgroup v2 hierarchy", hint=_CGROUP_HINT
            ) from error
        finally:
            os.close(fd)

    @property
    def sees_hellos(self) -> bool:
        """Whether it can tell that a client random went over a socket."""
        return self.way is not None

    def has(self, program: str) -> bool:
        """Whether this program was loaded: not every variant has every one."""
        return self._programs.has(program)

    def set_layout(self, library: int, packed: bytes) -> None:
        """Where the fields lie in this library's structs (`kernel_layout.pack_layout`); safe while programs run.

        A layout that was set is never changed: the library gets the number of another one. Raises KernelError when
        there are too many.
        """
        number = self._layouts.get(packed)
        if number is None:
            number = len(self._layouts) + 1
            if number >= LAYOUTS_MAX:
                raise KernelError(f"more than {LAYOUTS_MAX} different layouts of libraries at once")
            _native.map_update(self._programs.map_fd("pt_layouts"), PID.pack(number), packed)
            self._layouts[packed] = number
        _native.map_update(self._programs.map_fd("pt_layout_of"), PID.pack(library), PID.pack(number))

    def set_go_layout(self, library: int, packed: bytes) -> None:
        """The same of a Go program (`kernel_layout.pack_go_layout`), before its first probe."""
        _native.map_update(self._programs.map_fd("pt_go_layouts"), PID.pack(library), packed)

    def add_pid(self, pid: int) -> None:
        """Captures this process too, and with `follow` its descendants."""
        _native.map_update(self._programs.map_fd("pt_pids"), PID.pack(pid), PID.pack(1))

    @property
    def filter_maps(self) -> dict[str, int]:
        """What the filters compare with, by the names of the maps, for other programs of the capture."""
        return {name: self._programs.map_fd(name) for name in FILTER_MAPS}

    def followed(self) -> list[int]:
        """The pids that are captured, ended ones left out."""
        return [PID.unpack(key)[0] for key in _native.map_keys(self._programs.map_fd("pt_pids"), PID.size)]

    def looked_at(self, device: tuple[int, int], inode: int, generation: int) -> None:
        """A followed process that maps this file is not stopped."""
        if not self.filters.follow:
            return
        key = FILE_ID.pack(inode, device[0] << 20 | device[1], generation)
        _native.map_update(self._programs.map_fd("pt_looked"), key, PID.pack(1))

    def attach(self, fd: int, probes: Sequence[Probe], *, library: int, pids: Sequence[int] = ()) -> None:
        """Links every probe in the open file, for all processes or only for some.

        From then on a return from this library without its entry counts as a loss.

        Raises TargetError when the kernel refuses the file, KernelError otherwise.
        """
        made = self._link_for(fd, probes, library, pids)
        with self._lock:
            if not self._detached:
                self._links += made
                return
        close_all(made)

    def attach_on_demand(self, fd: int, probes: Sequence[Probe], *, library: int, file: Hashable, pid: int) -> None:
        """The same for as long as this process has sessions whose socket is looked for; `file` tells it from others.

        Where the kernel cannot link for one process alone it is for all.
        """
        made = self._link_for(fd, probes, library, (pid,))
        with self._lock:
            if self._on_demand is None and not self._detached:
                self._on_demand = OnDemand(self._programs.map_fd("pt_users"), close_all)
            on_demand = self._on_demand
        if on_demand is None:
            close_all(made)
        else:
            on_demand.hold(self._demand(library, file, pid), pid, made)

    def has_on_demand(self, library: int, file: Hashable, pid: int) -> bool:
        """Whether `attach_on_demand` is still in force; if so, it is for this process too from now on."""
        on_demand = self._on_demand
        return on_demand is not None and on_demand.holds(self._demand(library, file, pid), pid)

    def _demand(self, library: int, file: Hashable, pid: int) -> Hashable:
        return library, file, pid if self._links_by_pid else 0

    def _link_for(self, fd: int, probes: Sequence[Probe], library: int, pids: Sequence[int]) -> list[int]:
        path = f"/proc/self/fd/{fd}"
        made: list[int] = []
        dead = 0
        link_pids = pids if pids and self._links_by_pid else (0,)
        for pid in link_pids:
            try:
                made += self._link_all(path, probes, pid)
            except _native.NativeError as error:
                if error.errno != errno.ESRCH:
                    close_all(made)
                    raise refused(error, "attach the probes") from error
                dead += 1
        if dead == len(link_pids):
            raise TargetError(f"cannot attach to pid {', '.join(map(str, pids))}: no such process", hint=_PID_HINT)
        _native.map_update(self._programs.map_fd("pt_attached"), PID.pack(library), PID.pack(1))
        return made

    def _link_all(self, path: str, probes: Sequence[Probe], pid: int) -> list[int]:
        made: list[int] = []
        try:
            for program, group in _by_program(probes):
                made += self._link(program, path, group, pid)
        except _native.NativeError:
            close_all(made)
            raise
        return made

    def _link(self, program: str, path: str, probes: list[Probe], pid: int) -> list[int]:
        program_fd = self._programs.fd(program)
        returns = probes[0].returns
        if self._programs.multi:
            offsets = [probe.offset for probe in probes]
            cookies = [probe.cookie for probe in probes]
            return [_native.link_uprobe_multi(program_fd, path, offsets, cookies, returns=returns, pid=pid)]
        made: list[int] = []
        for probe in probes:
            made += _native.link_uprobe_perf(program_fd, path, probe.offset, probe.cookie, returns=returns)
        return made

    def set_running(self, on: bool) -> None:
        """Records are made from now on, or no more; those in the ring stay."""
        _native.map_update(self._programs.map_fd(".bss"), PID.pack(0), PID.pack(on))

    def open_sessions(self, ts_ns: int) -> list[bytes]:
        """A SESSION_END record for every session still open, so that a loss at its end shows.

        Once no program runs any more (`wait_detached`), and before `counters`, which counts what these lack.
        """
        left = read_open_sessions(self._programs.map_fd("pt_sessions"), ts_ns=ts_ns)
        self._left_without_secrets = left.without_secrets if self._wanted.secrets else 0
        return left.ends

    def counters(self) -> dict[str, int]:
        """Loss counters of the kernel side by name."""
        totals = read_counters(self._programs.map_fd("pt_counters"))
        totals["sessions_without_secrets"] += self._left_without_secrets
        totals["missed_runs"] = self._programs.missed_runs()
        return totals

    def detach(self) -> None:
        """Ends the capture at one moment; what is in the ring stays, the probes go meanwhile."""
        self.set_running(False)
        with self._lock:
            self._detached = True
            links, self._links = self._links, []
        if self._on_demand:
            links += self._on_demand.end()
        self._closers += _start_closing(links)

    def wait_detached(self) -> None:
        """After `detach`: until no probe is left, and no program that was still running. It may have made records."""
        for closer in self._closers:
            closer.join()
        if self._on_demand:
            self._on_demand.wait_ended()

    def close(self) -> None:
        """Everything goes, and has gone when this returns; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self.detach()
        self.wait_detached()
        self.ring.close()
        self._programs.close()


FILTER_MAPS = ("pt_pids", "pt_cgroups")
_PID_HINT = "pgrep -a NAME finds it"
_CGROUP_HINT = "give a directory of the cgroup v2 hierarchy, such as /sys/fs/cgroup/system.slice/nginx.service"


def _by_program(probes: Sequence[Probe]) -> list[tuple[str, list[Probe]]]:
    """Grouped; returns first, so that no call is entered whose return would not be seen."""
    groups: dict[str, list[Probe]] = {}
    for probe in sorted(probes, key=lambda probe: not probe.returns):
        groups.setdefault(probe.program, []).append(probe)
    return list(groups.items())


def _start_closing(fds: list[int]) -> list[threading.Thread]:
    """Links close side by side: each waits 40 ms for the kernel's grace period."""
    shares = [fds[start::CLOSERS] for start in range(min(CLOSERS, len(fds)))]
    closers = [threading.Thread(target=close_all, args=(share,)) for share in shares]
    for closer in closers:
        closer.start()
    return closers
