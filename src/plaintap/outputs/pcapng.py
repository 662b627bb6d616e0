# SPDX-License-Identifier: Apache-2.0
"""The blocks of a pcapng file but for the packets' (draft-ietf-opsawg-pcapng): sections, interfaces, secrets, counts.

Sans-I/O. Packets become blocks in native/packets.c, in the same byte order.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

BYTE_ORDER_MAGIC = 0x1A2B3C4D
SECTION, INTERFACE, STATISTICS, SECRETS = 0x0A0D0D0A, 1, 5, 10
TLS_KEY_LOG = 0x544C534B
NANOSECONDS = b"\x09"
_UNKNOWN_LENGTH = -1
# Options, by block
_HARDWARE, _OS, _APPLICATION = 2, 3, 4
_NAME, _SPEED, _RESOLUTION, _FILTER = 2, 8, 9, 11
_START, _END, _RECEIVED, _DROPPED = 2, 3, 4, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceFacts:
    """What a file says of an interface."""

    name: str
    link_type: int
    snaplen: int
    speed_bits: int | None = None
    filter: str = ""


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    said = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options if value)
    return said + bytes(4)


def section_block(*, hardware: str, os: str, application: str) -> bytes:
    """What a file begins with. Its length is not told: it may end at any moment."""
    options = _options((_HARDWARE, hardware.encode()), (_OS, os.encode()), (_APPLICATION, application.encode()))
    return _block(SECTION, struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_LENGTH) + options)


def interface_block(facts: InterfaceFacts) -> bytes:
    """An interface; they are numbered from 0 in the order of their blocks."""
    options = _options(
        (_NAME, facts.name.encode(errors="replace")),
        (_SPEED, struct.pack("<Q", facts.speed_bits) if facts.speed_bits else b""),
        (_RESOLUTION, NANOSECONDS),
        (_FILTER, b"\0" + facts.filter.encode() if facts.filter else b""),
    )
    return _block(INTERFACE, struct.pack("<HHI", facts.link_type, 0, facts.snaplen) + options)


def secrets_block(lines: bytes) -> bytes:
    """Lines of a key log, before the packets that they decrypt."""
    return _block(SECRETS, struct.pack("<II", TLS_KEY_LOG, len(lines)) + _padded(lines))


def statistics_block(number: int, *, start_ns: int, end_ns: int, received: int, dropped: int) -> bytes:
    """What an interface counted from `start_ns` to `end_ns`, times of day."""
    options = _options(
        (_START, _timestamp(start_ns)),
        (_END, _timestamp(end_ns)),
        (_RECEIVED, struct.pack("<Q", received)),
        (_DROPPED, struct.pack("<Q", dropped)),
    )
    return _block(STATISTICS, struct.pack("<I", number) + _timestamp(end_ns) + options)


def _timestamp(ns: int) -> bytes:
    return struct.pack("<II", ns >> 32, ns & 0xFFFFFFFF)
