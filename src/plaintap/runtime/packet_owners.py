# SPDX-License-Identifier: Apache-2.0
"""Whose the sockets are that are open when a packet capture begins: netlink's sock_diag(7) and /proc.

Later ones are seen by the programs of bpf/include/owners.h, whose structs this packs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from plaintap.runtime.netlink import DUMP, Netlink

PROC = Path("/proc")
SOCK_DIAG_BY_FAMILY = 20
NETLINK_SOCK_DIAG = 4
REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2
ALL_STATES = 0xFFFFFFFF
TCP_LISTEN = 10
OWNER = struct.Struct("<IIB3x4x16s")  # struct pt_process
FLOW = struct.Struct("<16s16sHHB3x")  # struct pt_flow
WANTED, UNDECIDED = 1, 2
MAPPED = bytes(10) + b"\xff\xff"


def open_sockets() -> Iterator[tuple[int, bytes, bytes]]:
    """Cookie, `struct pt_flow` and `struct pt_process` of each TCP and UDP socket that has a process.

    None where the kernel has no tcp_diag or udp_diag: a socket is known then when it is used next.
    """
    owners = _owners()
    netlink = Netlink(NETLINK_SOCK_DIAG)
    try:
        for family in (socket.AF_INET, socket.AF_INET6):
            for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
                for answer in _ask(netlink, REQUEST.pack(family, protocol, 0, ALL_STATES)):
                    cookie, flow, inode = diag_socket(answer, protocol)
                    if owner := owners.get(inode):
                        yield cookie, flow, owner
    finally:
        netlink.close()


def _ask(netlink: Netlink, request: bytes) -> Iterator[bytes]:
    with contextlib.suppress(FileNotFoundError):
        yield from netlink.ask(SOCK_DIAG_BY_FAMILY, DUMP, request)


def diag_socket(answer: bytes, protocol: int) -> tuple[int, bytes, int]:
    """Cookie, flow and inode of what `struct inet_diag_msg` tells."""
    family, state = answer[0], answer[1]
    local_port, remote_port = struct.unpack_from("!HH", answer, 4)
    local, remote = answer[8:24], answer[24:40]
    if family == socket.AF_INET:
        local, remote = MAPPED + local[:4], MAPPED + remote[:4]
    if state == TCP_LISTEN or not remote_port:
        local = remote = bytes(16)
    low, high = struct.unpack_from("=II", answer, 44)
    (inode,) = struct.unpack_from("=I", answer, 68)
    return low | high << 32, FLOW.pack(local, remote, local_port, remote_port, protocol), inode


def _owners() -> dict[int, bytes]:
    """The process of each socket by inode: of several that share it the one begun last, as of a server's workers."""
    found: dict[int, bytes] = {}
    for pid in sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal()):
        with contextlib.suppress(OSError):
            owner: bytes | None = None
            for link in os.scandir(PROC / str(pid) / "fd"):
                with contextlib.suppress(OSError):
                    target = os.readlink(link)  # noqa: PTH115 - of all descriptors of the host: half the time
                    if target.startswith("socket:["):
                        owner = owner or _owner(pid)
                        found[int(target[8:-1])] = owner
    return found


def _owner(pid: int) -> bytes:
    comm = (PROC / str(pid) / "comm").read_bytes().rstrip(b"\n")
    return OWNER.pack(pid, (PROC / str(pid)).stat().st_uid, UNDECIDED, comm)
