# SPDX-License-Identifier: Apache-2.0
"""The network interfaces of this network namespace: which there are, what their packets begin with, what changes.

Attaching programs to them is packets.py's.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from plaintap.runtime.netlink import DUMP, Netlink, attributes

LINKTYPE_ETHERNET, LINKTYPE_RAW = 1, 101
"""Link types of capture files (tcpdump.org/linktypes.html)."""
RTM_GETLINK = 18
RTMGRP_LINK = 1
LINK = struct.Struct("=BxHiII")  # struct ifinfomsg
IFLA_IFNAME = 3
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
_ETHERNET = {1, 772}  # ARPHRD_ETHER, ARPHRD_LOOPBACK, include/uapi/linux/if_arp.h
_RAW = {512, 519, 768, 769, 776, 778, 823, 0xFFFE}
"""PPP, RAWIP, tunnels (IPv4, IPv6, SIT, GRE and GRE over IPv6), NONE, as tun and WireGuard devices say."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One of them as it is now."""

    index: int
    name: str
    link_type: int | None
    """None where packets begin in a way we do not know."""
    is_up: bool
    is_loopback: bool

    @property
    def speed_bits(self) -> int | None:
        """Bits a second, where the driver knows."""
        with contextlib.suppress(OSError, ValueError):
            megabits = int(Path(f"/sys/class/net/{self.name}/speed").read_text(encoding="ascii"))
            return megabits * 1_000_000 if megabits > 0 else None
        return None


class Interfaces:
    """Lists them, and notices changes."""

    def __init__(self) -> None:
        self._asking = Netlink(socket.NETLINK_ROUTE)
        self._listening = Netlink(socket.NETLINK_ROUTE, groups=RTMGRP_LINK)

    def all(self) -> list[Interface]:
        """Every one, by index."""
        return [
            interface(body) for body in self._asking.ask(RTM_GETLINK, DUMP, LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0))
        ]

    def changed(self) -> bool:
        """Whether anything about them changed since the last time."""
        return self._listening.has_news()

    def close(self) -> None:
        self._asking.close()
        self._listening.close()


def interface(body: bytes) -> Interface:
    """What an answer says: struct ifinfomsg and attributes."""
    _, kind, index, flags, _ = LINK.unpack_from(body)
    name = attributes(body[LINK.size :]).get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    link_type = LINKTYPE_ETHERNET if kind in _ETHERNET else LINKTYPE_RAW if kind in _RAW else None
    return Interface(index, name, link_type, bool(flags & IFF_UP), bool(flags & IFF_LOOPBACK))
