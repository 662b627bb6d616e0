# SPDX-License-Identifier: Apache-2.0
"""The programs of one family in the kernel: loaded, filtered, linked, drained, counted, closed.

It knows nothing of TLS libraries: what to probe comes from the modules as offsets and cookies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from plaintap import _native
from plaintap.errors import KernelError, TargetError, UsageError, reason
from plaintap.events import SESSION_END, WIRE_VERSION, Kind
from plaintap.runtime import sockets
from plaintap.runtime.counters import read_counters
from plaintap.runtime.forced import is_forced
from plaintap.runtime.kernel_config import Filters, Wanted, pack_config
from plaintap.runtime.privileges import refused

BTF = Path("/sys/kernel/btf/vmlinux")
UPROBE_MULTI = 48  # BPF_TRACE_UPROBE_MULTI, include/uapi/linux/bpf.h
PROBE_PROGRAMS = (
    "pt_call_enter",
    "pt_call_return",
    "pt_handshake_enter",
    "pt_handshake_return",
    "pt_session_new",
    "pt_session_free",
    "pt_session_clear",
    "pt_secret_log",
)
BIO_PROGRAMS = ("pt_bio_write", "pt_bio_read_enter", "pt_bio_read_return")
TRACEPOINTS = {"pt_process_exit": "sched_process_exit", "pt_process_exec": "sched_process_exec"}
CONNECT_TRACEPOINTS = {"pt_system_call": "sys_exit"}
"""Without type information."""
FOLLOW_TRACEPOINTS = {
    "pt_follow_fork": "sched_process_fork",
    "pt_hold_exec": "sched_process_exec",
    "pt_hold_mapping": "sys_exit",
}
CLOSERS = 64
PID = struct.Struct("<I")
FILE_ID = struct.Struct("<QII")
SESSION_KEY_SIZE = 16
SESSION_SIZE = 128
SESSION_HEAD = struct.Struct("<QQQ")  # struct session: id, offset[2]


@dataclass(frozen=True, slots=True)
class Probe:
    """One instruction of a file, the program to run there and the cookie it gets."""

    program: str
    offset: int
    cookie: int
    returns: bool = False


class Kernel:
    """One family's programs; everything hangs on file descriptors and goes with the process."""

    def __init__(self, family: str, filters: Filters, wanted: Wanted, *, ring_bytes: int) -> None:
        """Loads the programs. Raises PrivilegeError, KernelError, UsageError (cgroup path)."""
        self.filters = filters
        self.way: sockets.Way | None = None
        """How sockets are told; None where the kernel has no way."""
        self._wanted = wanted
        self._variant = "noncore" if is_forced("noncore") else "core"
        self._links: list[int] = []
        self._lock = threading.Lock()
        self._detached = False
        self._closed = False
        self._closers: list[threading.Thread] = []
        self._multi = not is_forced("nomulti") and _can_link_multi()
        self._family = family
        self._ring_bytes = ring_bytes
        self._object = self._load_with_sockets()
        try:
            self._set_filters()
            self.ring = _native.Ring(self._object.map_fd("pt_ring"), ring_bytes)
            self._link_tracepoints()
        except _native.NativeError as error:
            _close(self._links)
            self._object.close()
            raise refused(error, "make the ring and the filters") from error
        except BaseException:
            _close(self._links)
            self._object.close()
            raise

    def _load_with_sockets(self) -> _native.Object:
        """The programs, with the first way of telling sockets that this kernel takes."""
        ways = sockets.ways() if self._variant == "core" else []
        for way in ways:
            try:
                programs = self._load(way)
            except KernelError:
                if way is ways[-1]:
                    raise
                continue
            try:
                self._links += sockets.link(programs, way)
            except _native.NativeError:
                programs.close()
                continue
            self.way = way
            return programs
        return self._load(None)

    def _load(self, way: sockets.Way | None) -> _native.Object:
        name = f"{self._family}.{self._variant}"
        image = resources.files("plaintap").joinpath(f"bpf/{name}.bpf.o").read_bytes()
        config = pack_config(self.filters, self._wanted, self_tgid=os.getpid(), ring_bytes=self._ring_bytes)
        programs = _native.Object(image, self._family)
        try:
            programs.set_initial(".rodata.config", config)
            programs.set_max_entries("pt_ring", self._ring_bytes)
            self._choose_programs(programs, way)
            programs.load()
        except KernelError:
            programs.close()
            raise
        except _native.NativeError as error:
            programs.close()
            if self._variant == "core" and not BTF.exists():
                raise KernelError(f"this kernel has no type information (BTF): no {BTF}", hint=_BTF_HINT) from error
            raise refused(error, "load the programs") from error
        return programs

    def _choose_programs(self, programs: _native.Object, way: sockets.Way | None) -> None:
        probes: tuple[str, ...] = PROBE_PROGRAMS
        if self._variant == "core":
            probes += BIO_PROGRAMS
            for name in FOLLOW_TRACEPOINTS:
                programs.set_autoload(name, self.filters.follow)
            chosen = {hook.program for hook in sockets.HOOKS[way]} if way else set()
            for name in sockets.PROGRAMS:
                programs.set_autoload(name, name in chosen)
        elif self.filters.follow:
            raise KernelError("following a command's descendants takes type information (BTF)", hint=_BTF_HINT)
        if self._multi:
            for name in probes:
                programs.set_attach_type(name, UPROBE_MULTI)

    @property
    def _links_by_pid(self) -> bool:
        """A perf event is of one thread, and so was uprobe_multi's pid before 6.10 (46ba0e49b642)."""
        return self._multi and sockets.kernel_release() >= (6, 10)

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
            _native.map_update(self._object.map_fd("pt_cgroups"), PID.pack(0), PID.pack(fd))
        except _native.NativeError as error:
            if error.errno != errno.EBADF:
                raise refused(error, "filter by cgroup") from error
            raise UsageError(
                f"{self.filters.cgroup_path} is no directory of a cgroup v2 hierarchy", hint=_CGROUP_HINT
            ) from error
        finally:
            os.close(fd)

    def _link_tracepoints(self) -> None:
        wanted = dict(TRACEPOINTS)
        if self.filters.follow:
            wanted.update(FOLLOW_TRACEPOINTS)
        if self._variant != "core":
            wanted.update(CONNECT_TRACEPOINTS)
        for program, tracepoint in wanted.items():
            try:
                self._links.append(_native.link_raw_tracepoint(self._object.program_fd(program), tracepoint))
            except _native.NativeError as error:
                raise refused(error, f"use the tracepoint {tracepoint}") from error

    @property
    def sees_hellos(self) -> bool:
        """Whether it can tell that a client random went over a socket."""
        return self.way is not None

    def has(self, program: str) -> bool:
        """Whether this program was loaded: not every variant has every one."""
        try:
            return self._object.program_fd(program) >= 0
        except KeyError:
            return False

    def set_layout(self, library: int, packed: bytes) -> None:
        """Where the fields lie in this library's structs (`kernel_layout.pack_layout`)."""
        _native.map_update(self._object.map_fd("pt_layouts"), PID.pack(library), packed)

    def add_pid(self, pid: int) -> None:
        """Captures this process too, and with `follow` its descendants."""
        _native.map_update(self._object.map_fd("pt_pids"), PID.pack(pid), PID.pack(1))

    def followed(self) -> list[int]:
        """The pids that are captured, ended ones left out."""
        return [PID.unpack(key)[0] for key in _native.map_keys(self._object.map_fd("pt_pids"), PID.size)]

    def looked_at(self, device: tuple[int, int], inode: int, generation: int) -> None:
        """A followed process that maps this file is not stopped."""
        if not self.filters.follow:
            return
        key = FILE_ID.pack(inode, device[0] << 20 | device[1], generation)
        _native.map_update(self._object.map_fd("pt_looked"), key, PID.pack(1))

    def attach(self, fd: int, probes: Sequence[Probe], *, library: int, pids: Sequence[int] = ()) -> None:
        """Links every probe in the open file, for all processes or only for some.

        From then on a return from this library without its entry counts as a loss.

        Raises TargetError when the kernel refuses the file, KernelError otherwise.
        """
        path = f"/proc/self/fd/{fd}"
        made: list[int] = []
        dead = 0
        link_pids = pids if pids and self._links_by_pid else (0,)
        for pid in link_pids:
            try:
                made += self._link_all(path, probes, pid)
            except _native.NativeError as error:
                if error.errno != errno.ESRCH:
                    _close(made)
                    raise refused(error, "attach the probes") from error
                dead += 1
        if dead == len(link_pids):
            raise TargetError(f"cannot attach to pid {', '.join(map(str, pids))}: no such process", hint=_PID_HINT)
        _native.map_update(self._object.map_fd("pt_attached"), PID.pack(library), PID.pack(1))
        with self._lock:
            if not self._detached:
                self._links += made
                return
        _close(made)

    def _link_all(self, path: str, probes: Sequence[Probe], pid: int) -> list[int]:
        made: list[int] = []
        try:
            for program, group in _by_program(probes):
                made += self._link(program, path, group, pid)
        except _native.NativeError:
            _close(made)
            raise
        return made

    def _link(self, program: str, path: str, probes: list[Probe], pid: int) -> list[int]:
        program_fd = self._object.program_fd(program)
        returns = probes[0].returns
        if self._multi:
            offsets = [probe.offset for probe in probes]
            cookies = [probe.cookie for probe in probes]
            return [_native.link_uprobe_multi(program_fd, path, offsets, cookies, returns=returns, pid=pid)]
        made: list[int] = []
        for probe in probes:
            made += _native.link_uprobe_perf(program_fd, path, probe.offset, probe.cookie, returns=returns)
        return made

    def set_running(self, on: bool) -> None:
        """Records are made from now on, or no more; those in the ring stay."""
        _native.map_update(self._object.map_fd(".bss"), PID.pack(0), PID.pack(on))

    def counters(self) -> dict[str, int]:
        """Loss counters of the kernel side by name."""
        totals = read_counters(self._object.map_fd("pt_counters"))
        tracepoints = (*TRACEPOINTS, *FOLLOW_TRACEPOINTS, *CONNECT_TRACEPOINTS)
        programs = (*PROBE_PROGRAMS, *BIO_PROGRAMS, *tracepoints, *sockets.PROGRAMS)
        totals["missed_runs"] = sum(
            _native.program_missed(self._object.program_fd(name)) for name in programs if self.has(name)
        )
        return totals

    def open_sessions(self, ts_ns: int) -> list[bytes]:
        """A SESSION_END record for every session still open, so that a loss at its end shows."""
        sessions = self._object.map_fd("pt_sessions")
        records = []
        for key in _native.map_keys(sessions, SESSION_KEY_SIZE):
            value = _native.map_lookup(sessions, key, SESSION_SIZE)
            if value:
                head = (WIRE_VERSION, Kind.SESSION_END, 0, SESSION_END.size, ts_ns, 0, 0)
                records.append(SESSION_END.pack(*head, *SESSION_HEAD.unpack_from(value)))
        return records

    def detach(self) -> None:
        """Ends the capture at one moment; what is in the ring stays, the probes go meanwhile."""
        self.set_running(False)
        with self._lock:
            self._detached = True
            links, self._links = self._links, []
        self._closers += _start_closing(links)

    def close(self) -> None:
        """Everything goes, and has gone when this returns; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self.detach()
        for closer in self._closers:
            closer.join()
        self.ring.close()
        self._object.close()


_BTF_HINT = "it takes a kernel built with CONFIG_DEBUG_INFO_BTF, as those of Debian, Ubuntu and Fedora are"
_PID_HINT = "pgrep -a NAME finds it"
_CGROUP_HINT = "give a directory of the cgroup v2 hierarchy, such as /sys/fs/cgroup/system.slice/nginx.service"


def _can_link_multi() -> bool:
    """By doing it: kernels before 6.6 load the programs all the same."""
    try:
        program = _native.empty_program(UPROBE_MULTI)
    except _native.NativeError:
        return True  # loading the real ones fails too, and says why
    try:
        os.close(_native.link_uprobe_multi(program, "/proc/self/exe", [0], [0], pid=os.getpid()))
    except _native.NativeError as error:
        return error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}
    finally:
        os.close(program)
    return True


def _by_program(probes: Sequence[Probe]) -> list[tuple[str, list[Probe]]]:
    """Grouped; returns first, so that no call is entered whose return would not be seen."""
    groups: dict[str, list[Probe]] = {}
    for probe in sorted(probes, key=lambda probe: not probe.returns):
        groups.setdefault(probe.program, []).append(probe)
    return list(groups.items())


def _start_closing(fds: list[int]) -> list[threading.Thread]:
    """Links close side by side: each waits 40 ms for the kernel's grace period."""
    shares = [fds[start::CLOSERS] for start in range(min(CLOSERS, len(fds)))]
    closers = [threading.Thread(target=_close, args=(share,)) for share in shares]
    for closer in closers:
        closer.start()
    return closers


def _close(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
