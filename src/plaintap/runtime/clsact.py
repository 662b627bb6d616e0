# SPDX-License-Identifier: Apache-2.0
"""Packet programs as filters of the clsact queueing discipline, for kernels before tcx links (6.6): tc-bpf(8).

A filter outlives the process that made it, so each is named after that: who begins takes away those of the dead.
Nobody else's filters are touched, and a discipline only goes with the last filter if it was made here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from plaintap.runtime.netlink import DUMP, NESTED, Netlink, attribute, attributes
from plaintap.runtime.processes import process_is_alive

NAME = "plaintap-"
"""Before the pid."""
MESSAGE = struct.Struct("=BxxxiIII")  # struct tcmsg
NEW_QDISC, DELETE_QDISC, NEW_FILTER, DELETE_FILTER, GET_FILTER = 36, 37, 44, 45, 46
CREATE, EXCLUSIVE = 0x400, 0x200
CLSACT, HANDLE = 0xFFFFFFF1, 0xFFFF0000
INGRESS, EGRESS = 0xFFFFFFF2, 0xFFFFFFF3
TCA_KIND, TCA_OPTIONS = 1, 2
TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS = 6, 7, 8
DIRECT_ACTION = 1
ALL_PROTOCOLS = socket.htons(3)  # ETH_P_ALL
FIRST, ANYWHERE = 1 << 16, 0
"""Priorities: another's filter may end a packet's way through them. The kernel chooses one where the first is taken."""


class _Filter(NamedTuple):
    handle: int
    parent: int
    info: int
    pid: int | None
    """Of the plaintap that made it; None for anybody else's."""


class Clsact:
    """The filters of this process."""

    def __init__(self) -> None:
        self._netlink = Netlink(socket.NETLINK_ROUTE)
        self._made: set[int] = set()
        """Interfaces whose discipline was made here."""

    def attach(self, index: int, program_fd: int, *, out: bool) -> None:
        """Raises OSError."""
        self._remove(index, lambda pid: pid != os.getpid() and not process_is_alive(pid))
        self._make_discipline(index)
        options = (
            attribute(TCA_BPF_FD, struct.pack("=I", program_fd))
            + attribute(TCA_BPF_NAME, f"{NAME}{os.getpid()}\0".encode())
            + attribute(TCA_BPF_FLAGS, struct.pack("=I", DIRECT_ACTION))
        )
        words = attribute(TCA_KIND, b"bpf\0") + attribute(TCA_OPTIONS | NESTED, options)
        parent = EGRESS if out else INGRESS
        with contextlib.suppress(OSError):
            head = MESSAGE.pack(0, index, 0, parent, FIRST | ALL_PROTOCOLS)
            self._netlink.ask(NEW_FILTER, CREATE | EXCLUSIVE, head + words)
            return
        head = MESSAGE.pack(0, index, 0, parent, ANYWHERE | ALL_PROTOCOLS)
        self._netlink.ask(NEW_FILTER, CREATE | EXCLUSIVE, head + words)

    def detach(self, index: int) -> None:
        """Takes back what is ours at the interface; does nothing where that is gone."""
        with contextlib.suppress(OSError):
            self._remove(index, lambda pid: pid == os.getpid())
            if index in self._made and not list(self._filters(index)):
                self._netlink.ask(DELETE_QDISC, 0, _discipline(index))
        self._made.discard(index)

    def close(self) -> None:
        self._netlink.close()

    def _make_discipline(self, index: int) -> None:
        try:
            self._netlink.ask(NEW_QDISC, CREATE | EXCLUSIVE, _discipline(index))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        else:
            self._made.add(index)

    def _remove(self, index: int, is_stale: Callable[[int], bool]) -> None:
        for each in list(self._filters(index)):
            if each.pid is not None and is_stale(each.pid):
                head = MESSAGE.pack(0, index, each.handle, each.parent, each.info)
                self._netlink.ask(DELETE_FILTER, 0, head + attribute(TCA_KIND, b"bpf\0"))

    def _filters(self, index: int) -> Iterator[_Filter]:
        for parent in (INGRESS, EGRESS):
            for answer in self._netlink.ask(GET_FILTER, DUMP, MESSAGE.pack(0, index, 0, parent, 0)):
                if found := tc_filter(answer):
                    yield found


def _discipline(index: int) -> bytes:
    return MESSAGE.pack(0, index, HANDLE, CLSACT, 0) + attribute(TCA_KIND, b"clsact\0")


def tc_filter(answer: bytes) -> _Filter | None:
    """What an answer says; None for the head of a chain, which is no filter."""
    _, _, handle, parent, info = MESSAGE.unpack_from(answer)
    if not handle:
        return None
    options = attributes(attributes(answer[MESSAGE.size :]).get(TCA_OPTIONS, b""))
    name = options.get(TCA_BPF_NAME, b"").rstrip(b"\0").decode(errors="replace")
    pid = name.removeprefix(NAME)
    return _Filter(handle, parent, info, int(pid) if name != pid and pid.isdecimal() else None)
