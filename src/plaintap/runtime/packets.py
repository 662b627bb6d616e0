# SPDX-License-Identifier: Apache-2.0
"""The kernel side of a packet capture: its programs, where they are linked, and what they counted.

Everything hangs on file descriptors, but for the filters of kernels without tcx links, which are clsact.py's. Which
interfaces are wanted is the session's business, what is written of packets native/packets.c's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from plaintap import _native
from plaintap.errors import KernelError
from plaintap.runtime.classic_bpf import translate
from plaintap.runtime.clsact import Clsact
from plaintap.runtime.counters import read_counters
from plaintap.runtime.forced import is_forced
from plaintap.runtime.interfaces import LINKTYPE_ETHERNET, Interface
from plaintap.runtime.kernel_config import Filters, Wanted, pack_config
from plaintap.runtime.packet_owners import open_sockets
from plaintap.runtime.pcap_filter import compile_filter
from plaintap.runtime.privileges import refused, require_network_capability
from plaintap.runtime.sockets import Way, kernel_release

SNAPLEN_MAX = 262144
"""As of tcpdump."""
WAKES_A_ROUND = 8
"""How often the reader is woken while the ring fills once, beside its timer."""
NETNS = Path("/proc/self/ns/net")
TCX = (6, 6)
MOUNTS = Path("/proc/self/mountinfo")
CONFIG = struct.Struct("<IIIB3x")
"""struct pt_packet_config of bpf/include/owners.h."""
DLT_RAW = 12
"""What libpcap calls packets that begin with an IP header; in files they are LINKTYPE_RAW."""
COUNTS = struct.Struct("<QQ")
NUMBER = struct.Struct("<I")
# enum bpf_attach_type and flags of links, include/uapi/linux/bpf.h
SOCK_CREATE, CONNECT4, CONNECT6, TCX_INGRESS, TCX_EGRESS = 2, 10, 11, 46, 47
BEFORE = 1 << 3
CGROUP_HOOKS = {"pt_created": SOCK_CREATE, "pt_connect4": CONNECT4, "pt_connect6": CONNECT6}
LISTENING = ("pt_listen", "inet_sock_set_state")
USES = {"pt_sent": "sock_send_length", "pt_received": "sock_recv_length"}
"""Tracepoints since Linux 6.3 (6e6eda44b939)."""
USERS = ("tcp_sendmsg", "tcp_recvmsg", "udp_sendmsg", "udp_recvmsg", "udpv6_sendmsg", "udpv6_recvmsg")
"""Functions of older kernels; those of IPv6 may be in a module that is not loaded."""
ENTRIES = {
    (True, False): "pt_in_ethernet",
    (True, True): "pt_out_ethernet",
    (False, False): "pt_in_raw",
    (False, True): "pt_out_raw",
}
"""By Ethernet or not, and by direction out or in; in the order of pt_entries."""


class Counts(NamedTuple):
    """Of one interface."""

    captured: int
    dropped: int


class PacketKernel:
    """The programs that copy packets, and those that learn whose sockets are."""

    def __init__(
        self, filters: Filters, *, expression: str, snaplen: int, ring_bytes: int, filter_maps: Mapping[str, int]
    ) -> None:
        """Loads them. `filter_maps` are those of the capture's other programs.

        Raises PrivilegeError, KernelError, and UsageError for an expression that libpcap refuses.
        """
        self._expression = expression
        self._snaplen = snaplen
        self._check_expression()
        self._links: list[int] = []
        self._at: dict[int, list[int]] = {}
        """The links of each interface."""
        self._filter_programs: dict[tuple[bool, bool], int] = {}
        tcx = not is_forced("clsact") and kernel_release() >= TCX
        require_network_capability(tcx=tcx)
        self._clsact = None if tcx else Clsact()
        image = resources.files("plaintap").joinpath("bpf/packets.core.bpf.o").read_bytes()
        self._object = _native.Object(image, "packets")
        filtering = any((filters.pids, filters.follow, filters.comm, filters.cgroup_path))
        self.filtering = filtering or filters.uid is not None
        try:
            config = pack_config(filters, Wanted(), self_tgid=os.getpid(), ring_bytes=ring_bytes)
            packets = CONFIG.pack(NETNS.stat().st_ino, snaplen, ring_bytes // WAKES_A_ROUND, self.filtering)
            self._object.set_initial(".rodata.config", config)
            self._object.set_initial(".rodata.packets", packets)
            self._object.set_max_entries("pt_packets", ring_bytes)
            for name, fd in filter_maps.items():
                self._object.reuse_map(name, fd)
            self._object.load()
            self.ring = _native.PacketRing(self._map("pt_packets"), ring_bytes, self._map("pt_flows"))
            self._link_hooks(by_cgroup=filters.cgroup_path is not None)
            self._fill_entries()
        except _native.NativeError as error:
            self.close()
            raise refused(error, "load the packet programs") from error
        except BaseException:
            self.close()
            raise

    def _map(self, name: str) -> int:
        return self._object.map_fd(name)

    def _check_expression(self) -> None:
        if self._expression:
            classic = compile_filter(self._expression, link_type=LINKTYPE_ETHERNET, snaplen=self._snaplen)
            translate(classic, ethernet=True)

    def _link_hooks(self, *, by_cgroup: bool) -> None:
        program, tracepoint = LISTENING
        self._links.append(_native.link_raw_tracepoint(self._object.program_fd(program), tracepoint))
        sees_uses = (not is_forced(Way.KPROBE.value) and self._link_uses()) or self._link_users()
        if by_cgroup and not sees_uses:  # the hooks that are left cannot ask for it
            hint = "--pid, --uid and --comm need neither"
            raise KernelError("--cgroup_path chooses packets from Linux 6.3 on, or with kprobes", hint=hint)
        root = _cgroup_root()
        if root is None:
            return
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for program, attach_type in CGROUP_HOOKS.items():
                self._links.append(_native.link_at(self._object.program_fd(program), fd, attach_type, 0))
        finally:
            os.close(fd)

    def _link_uses(self) -> bool:
        """False before 6.3."""
        try:
            for program, tracepoint in USES.items():
                self._links.append(_native.link_raw_tracepoint(self._object.program_fd(program), tracepoint))
        except _native.NativeError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True

    def _link_users(self) -> bool:
        """The same by kprobes; False where the kernel has none: a socket stays its creator's."""
        program_fd = self._object.program_fd("pt_used")
        linked = 0
        for function in USERS:
            try:
                self._links += _native.link_kprobe(program_fd, function)
                linked += 1
            except _native.NativeError as error:
                if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                    raise
        return bool(linked)

    def _fill_entries(self) -> None:
        for index, program in enumerate(ENTRIES.values()):
            fd = NUMBER.pack(self._object.program_fd(program))
            _native.map_update(self._map("pt_entries"), NUMBER.pack(index), fd)

    def learn_open_sockets(self) -> None:
        """Whose the sockets are that were there before."""
        for cookie, flow, owner in open_sockets():
            _native.map_update(self._map("pt_owners"), struct.pack("<Q", cookie), owner)
            _native.map_update(self._map("pt_flows"), flow, owner)

    def attach(self, interface: Interface) -> bool:
        """Links at both directions, at loopback devices at one; False where it was done before.

        Raises KernelError or PrivilegeError, and OSError where the interface is gone.
        """
        if interface.index in self._at:
            return False
        ethernet = interface.link_type == LINKTYPE_ETHERNET
        size = COUNTS.size * _native.possible_cpus()
        _native.map_update(self._map("pt_packet_counts"), NUMBER.pack(interface.index), bytes(size))
        made: list[int] = []
        try:
            for out in (True,) if interface.is_loopback else (True, False):
                made += self._link(self._entry(ethernet=ethernet, out=out), interface.index, out=out)
        except OSError as error:
            _close_all(made)
            self._detach_filters(interface.index)
            if error.errno == errno.ENODEV:
                raise
            raise refused(error, f"capture at {interface.name}") from error
        self._at[interface.index] = made
        return True

    def _link(self, program: int, index: int, *, out: bool) -> list[int]:
        if self._clsact:
            self._clsact.attach(index, program, out=out)
            return []
        # Before others' programs, which may end a packet's way.
        return [_native.link_at(program, index, TCX_EGRESS if out else TCX_INGRESS, BEFORE)]

    def _detach_filters(self, index: int) -> None:
        if self._clsact:
            self._clsact.detach(index)

    def _entry(self, *, ethernet: bool, out: bool) -> int:
        """The program to link: without a filter the one that captures."""
        key = (ethernet, out)
        if not self._expression:
            return self._object.program_fd(ENTRIES[key])
        if key not in self._filter_programs:
            link_type = LINKTYPE_ETHERNET if ethernet else DLT_RAW
            classic = compile_filter(self._expression, link_type=link_type, snaplen=self._snaplen)
            entry = list(ENTRIES).index(key)
            code = translate(classic, ethernet=ethernet, tail_call=(self._map("pt_entries"), entry))
            self._filter_programs[key] = _native.load_packet_program(code)
        return self._filter_programs[key]

    def forget(self, index: int) -> None:
        """An interface is gone, and with it what was linked there."""
        _close_all(self._at.pop(index, []))
        self._detach_filters(index)

    def set_running(self, on: bool) -> None:
        """Packets are copied from now on, or no more."""
        _native.map_update(self._map(".bss"), NUMBER.pack(0), NUMBER.pack(on))

    def counts(self, index: int) -> Counts:
        """Packets copied and lost at an interface that was ever attached to."""
        cpus = _native.possible_cpus()
        value = _native.map_lookup(self._map("pt_packet_counts"), NUMBER.pack(index), COUNTS.size * cpus)
        each = list(COUNTS.iter_unpack(value or b""))
        return Counts(sum(count[0] for count in each), sum(count[1] for count in each))

    def owners_lost(self) -> int:
        """Processes of sockets that could not be noted."""
        return read_counters(self._map("pt_counters"))["map_full"]

    def detach(self) -> None:
        """No packet is copied any more, those in the ring stay."""
        self.set_running(False)
        self._unlink()

    def _unlink(self) -> None:
        links, self._links = self._links, []
        _close_all(links)
        for index in list(self._at):
            self.forget(index)

    def close(self) -> None:
        """Everything goes; a second call does nothing."""
        self._unlink()
        if self._clsact:
            self._clsact.close()
        _close_all(list(self._filter_programs.values()))
        self._filter_programs.clear()
        self._object.close()


def _cgroup_root() -> str | None:
    """Where the cgroup v2 hierarchy is mounted; None where it is not."""
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return before.split()[4]
    return None


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
