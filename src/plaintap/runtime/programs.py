# SPDX-License-Identifier: Apache-2.0
"""Which programs this kernel gets, and loading them: with type information or without, by what way of
telling sockets, for probes linked together or one by one.

Where they are linked, but for the hooks that tell sockets, and what the maps hold is kernel.py's.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Collection, Sequence
from importlib import resources
from pathlib import Path

from plaintap import _native
from plaintap.errors import KernelError, reason
from plaintap.runtime import sockets
from plaintap.runtime.forced import check_forced, is_forced
from plaintap.runtime.kernel_config import Filters, Wanted, pack_config
from plaintap.runtime.privileges import refused

BTF = Path("/sys/kernel/btf/vmlinux")
UPROBE_MULTI = 48  # BPF_TRACE_UPROBE_MULTI, include/uapi/linux/bpf.h
OBJECT = "tls"
NAME_PROGRAMS = ("pt_ctrl", "pt_server_name")
"""Of what is shown beside plaintext."""
OPENSSL_PROGRAMS = (
    "pt_call_enter",
    "pt_call_return",
    "pt_handshake_enter",
    "pt_handshake_return",
    "pt_session_new",
    "pt_session_free",
    "pt_session_clear",
    "pt_secret_log",
    *NAME_PROGRAMS,
)
BIO_PROGRAMS = ("pt_bio_write", "pt_bio_read_enter", "pt_bio_read_return")
GO_PROGRAMS = ("pt_go_enter", "pt_go_return", "pt_go_handshake", "pt_go_keylog", "pt_go_close")
GO_SECRETS_PROGRAMS = ("pt_go_keylog",)
CORK_PROGRAMS = ("pt_uncork_enter", "pt_uncork_return")
PROBE_PROGRAMS = (*OPENSSL_PROGRAMS, *GO_PROGRAMS, *CORK_PROGRAMS)
GNUTLS_PROGRAMS = (
    "pt_call_enter",
    "pt_call_return",
    "pt_handshake_enter",
    "pt_handshake_return",
    "pt_session_new",
    "pt_session_free",
    *CORK_PROGRAMS,
)
PROBES_OF = {
    "openssl": (*OPENSSL_PROGRAMS, *BIO_PROGRAMS),
    "gotls": GO_PROGRAMS,
    "gnutls": GNUTLS_PROGRAMS,
}
"""By the family of libraries that they are for; of BIO_PROGRAMS only with type information."""
TRACEPOINTS = {"pt_process_exit": "sched_process_exit", "pt_process_exec": "sched_process_exec"}
CLOSE_TRACEPOINTS = {"pt_socket_state": "inet_sock_set_state", "pt_socket_destroy": "tcp_destroy_sock"}
"""With type information, where plaintext is wanted; a kernel may lack them."""
CONNECT_TRACEPOINTS = {"pt_system_call": "sys_exit"}
"""Without type information."""
FOLLOW_TRACEPOINTS = {
    "pt_follow_fork": "sched_process_fork",
    "pt_hold_exec": "sched_process_exec",
    "pt_hold_mapping": "sys_exit",
}


class Programs:
    """The programs that were loaded, and the links by which they are told sockets."""

    def __init__(self, families: Collection[str], filters: Filters, wanted: Wanted, *, ring_bytes: int) -> None:
        """Loads them. Raises PrivilegeError, KernelError, and UsageError for what cannot be forced."""
        check_forced()
        self.core = not is_forced("noncore")
        """Whether they are the ones that use type information."""
        self.multi = not is_forced("nomulti") and _can_link_multi()
        """Whether they are for probes that are linked together."""
        self.way: sockets.Way | None = None
        """How sockets are told; None where the kernel has no way."""
        self.refused: list[str] = []
        """The ways that were tried in vain, and why."""
        self.links: list[int] = []
        """Of the way; whoever takes them closes them."""
        self._families = families
        self._filters = filters
        self._wanted = wanted
        self._config = pack_config(filters, wanted, self_tgid=os.getpid(), ring_bytes=ring_bytes)
        self._ring_bytes = ring_bytes
        self._object = self._load_with_sockets()

    def _load_with_sockets(self) -> _native.Object:
        """With the first way of telling sockets that this kernel takes."""
        ways = sockets.ways() if self.core else []
        for way in ways:
            try:
                programs = self._load(way)
            except KernelError as error:
                if way is ways[-1]:
                    raise
                self.refused.append(f"{way.value}: {error.message}")
                continue
            try:
                self.links = sockets.link(programs, way)
            except _native.NativeError as error:
                self.refused.append(f"{way.value}: {reason(error)}")
                programs.close()
                continue
            self.way = way
            return programs
        return self._load(None)

    def _load(self, way: sockets.Way | None) -> _native.Object:
        variant = "core" if self.core else "noncore"
        image = resources.files("plaintap").joinpath(f"bpf/{OBJECT}.{variant}.bpf.o").read_bytes()
        programs = _native.Object(image, OBJECT)
        try:
            programs.set_initial(".rodata.config", self._config)
            programs.set_max_entries("pt_ring", self._ring_bytes)
            self._choose(programs, way)
            programs.load()
        except KernelError:
            programs.close()
            raise
        except _native.NativeError as error:
            programs.close()
            if self.core and not BTF.exists():
                raise KernelError(f"this kernel has no type information (BTF): no {BTF}", hint=_BTF_HINT) from error
            raise refused(error, "load the programs") from error
        return programs

    def _choose(self, programs: _native.Object, way: sockets.Way | None) -> None:
        if self.core:
            for name in FOLLOW_TRACEPOINTS:
                programs.set_autoload(name, self._filters.follow)
            chosen = {hook.program for hook in sockets.HOOKS[way]} if way else set()
            for name in CLOSE_TRACEPOINTS:
                programs.set_autoload(name, self._wanted.plaintext)
            for name in sockets.PROGRAMS:
                programs.set_autoload(name, name in chosen)
        elif self._filters.follow:
            raise KernelError("following a command's descendants takes type information (BTF)", hint=_BTF_HINT)
        self._choose_probes(programs)

    def _choose_probes(self, programs: _native.Object) -> None:
        unwanted = set() if self._wanted.plaintext else set(NAME_PROGRAMS)
        if not self._wanted.secrets:
            unwanted |= set(GO_SECRETS_PROGRAMS)
        chosen = {name for family in self._families for name in PROBES_OF[family]} - unwanted
        for name in {name for names in PROBES_OF.values() for name in names}:
            if name in BIO_PROGRAMS and not self.core:
                continue  # not in the object
            programs.set_autoload(name, name in chosen)
            if self.multi:
                programs.set_attach_type(name, UPROBE_MULTI)

    def has(self, name: str) -> bool:
        """Whether this program was loaded: not every variant has every one."""
        try:
            return self._object.program_fd(name) >= 0
        except KeyError:
            return False

    def fd(self, name: str) -> int:
        """The descriptor of a loaded program."""
        return self._object.program_fd(name)

    def map_fd(self, name: str) -> int:
        """The descriptor of a map they share."""
        return self._object.map_fd(name)

    def missed_runs(self) -> int:
        """How often the kernel did not run one of them where it should have."""
        tracepoints = (*TRACEPOINTS, *FOLLOW_TRACEPOINTS, *CONNECT_TRACEPOINTS, *CLOSE_TRACEPOINTS)
        names = (*PROBE_PROGRAMS, *BIO_PROGRAMS, *tracepoints, *sockets.PROGRAMS)
        return sum(_native.program_missed(self.fd(name)) for name in names if self.has(name))

    def link_tracepoints(self) -> list[int]:
        """Links those at tracepoints; descriptors of the caller's. Raises KernelError or PrivilegeError."""
        wanted = dict(TRACEPOINTS)
        if self._filters.follow:
            wanted.update(FOLLOW_TRACEPOINTS)
        if not self.core:
            wanted.update(CONNECT_TRACEPOINTS)
        elif self._wanted.plaintext:
            wanted.update(CLOSE_TRACEPOINTS)
        made: list[int] = []
        for program, tracepoint in wanted.items():
            try:
                made.append(_native.link_raw_tracepoint(self.fd(program), tracepoint))
            except _native.NativeError as error:
                if program in CLOSE_TRACEPOINTS and error.errno == errno.ENOENT:
                    continue  # sessions end by their libraries and processes alone
                close_all(made)
                raise refused(error, f"use the tracepoint {tracepoint}") from error
        return made

    def close(self) -> None:
        """Links that were made keep their programs until they are closed too."""
        self._object.close()


def close_all(fds: Sequence[int]) -> None:
    """Closes each of them."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


_BTF_HINT = "it takes a kernel built with CONFIG_DEBUG_INFO_BTF, as those of Debian, Ubuntu and Fedora are"


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
