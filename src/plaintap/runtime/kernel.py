# SPDX-License-Identifier: Apache-2.0
"""The programs of one family in the kernel: loaded, filtered, linked, drained, counted, closed.

It knows nothing of TLS libraries: what to probe comes from the modules as offsets and cookies.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import re
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from plaintap import _native
from plaintap.errors import KernelError, TargetError, UsageError, reason
from plaintap.events import SESSION_END, WIRE_VERSION, Kind
from plaintap.runtime.counters import read_counters
from plaintap.runtime.kernel_config import Filters, pack_config
from plaintap.runtime.privileges import refused

FORCE = "PLAINTAP_FORCE"
"""Environment variable for tests: `nomulti` walks the path of kernels without uprobe_multi."""
BTF = Path("/sys/kernel/btf/vmlinux")
UPROBE_MULTI = 48  # BPF_TRACE_UPROBE_MULTI, include/uapi/linux/bpf.h
PROBE_PROGRAMS = ("pt_call_enter", "pt_call_return", "pt_session_free")
TRACEPOINTS = {
    "pt_process_exit": "sched_process_exit",
    "pt_socket_send": "sock_send_length",
    "pt_socket_receive": "sock_recv_length",
}
FOLLOW_TRACEPOINTS = {
    "pt_follow_fork": "sched_process_fork",
    "pt_hold_exec": "sched_process_exec",
    "pt_hold_mapping": "sys_exit",
}
CLOSERS = 64
SOCKET_PROGRAMS = ("pt_socket_send", "pt_socket_receive")
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

    def __init__(self, family: str, filters: Filters, *, ring_bytes: int) -> None:
        """Loads the programs. Raises PrivilegeError, KernelError, UsageError (cgroup path)."""
        self.filters = filters
        self.addresses = True
        """False where the kernel has no way to tell which socket a call used."""
        self._links: list[int] = []
        self._lock = threading.Lock()
        self._detached = False
        self._closed = False
        self._closers: list[threading.Thread] = []
        self._multi = "nomulti" not in os.environ.get(FORCE, "").split(",")
        self._family = family
        self._ring_bytes = ring_bytes
        self._object = self._load()
        if self._multi and not self._can_link_multi():
            self._multi = False
            self._object.close()
            self._object = self._load()
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

    def _load(self) -> _native.Object:
        image = resources.files("plaintap").joinpath(f"bpf/{self._family}.core.bpf.o").read_bytes()
        config = pack_config(self.filters, self_tgid=os.getpid(), ring_bytes=self._ring_bytes)
        try:
            programs = _native.Object(image, self._family)
            programs.set_initial(".rodata.config", config)
            programs.set_max_entries("pt_ring", self._ring_bytes)
            for name in FOLLOW_TRACEPOINTS:
                programs.set_autoload(name, self.filters.follow)
            if self._multi:
                for name in PROBE_PROGRAMS:
                    programs.set_attach_type(name, UPROBE_MULTI)
            programs.load()
        except _native.NativeError as error:
            if not BTF.exists():
                raise KernelError(f"this kernel has no type information (BTF): no {BTF}", hint=_BTF_HINT) from error
            raise refused(error, "load the programs") from error
        return programs

    @property
    def _links_by_pid(self) -> bool:
        """A perf event is of one thread, and so was uprobe_multi's pid before 6.10 (46ba0e49b642)."""
        release = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
        return self._multi and release >= (6, 10)

    def _can_link_multi(self) -> bool:
        """By doing it: kernels before 6.6 load the programs all the same."""
        program = self._object.program_fd("pt_session_free")
        try:
            link = _native.link_uprobe_multi(program, "/proc/self/exe", [0], [0], pid=os.getpid())
        except _native.NativeError as error:
            return error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}
        os.close(link)
        return True

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
        for program, tracepoint in wanted.items():
            try:
                link = _native.link_raw_tracepoint(self._object.program_fd(program), tracepoint)
            except _native.NativeError as error:
                if program in SOCKET_PROGRAMS and error.errno == errno.ENOENT:
                    self.addresses = False  # before Linux 6.3
                    continue
                raise refused(error, f"use the tracepoint {tracepoint}") from error
            self._links.append(link)

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
        totals["missed_runs"] = sum(
            _native.program_missed(self._object.program_fd(name)) for name in (*PROBE_PROGRAMS, *TRACEPOINTS)
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
