# SPDX-License-Identifier: Apache-2.0
"""Records as they come out of the kernel or a recording, and their decoding; no I/O.

The layout is bpf/include/wire.h, compared field by field in tests/unit/test_wire.py. Plaintext
never becomes an object here: the native extension hands it over as plain tuples (`Record`) and
only facts, which are rare, are decoded into the classes below.
"""

from __future__ import annotations

import ipaddress
import socket as _socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, TypeAlias

import msgspec

WIRE_VERSION = 1
CHUNK_MAX_BYTES = 16384


class Kind(IntEnum):
    """`enum pt_kind`: what a record is."""

    DATA = 1
    SESSION_END = 2
    PROCESS_EXIT = 3
    HELD = 4
    META = 128


class Direction(IntEnum):
    """`enum pt_direction`: seen from the process, READ is what it received."""

    READ = 0
    WRITE = 1


READ = int(Direction.READ)
WRITE = int(Direction.WRITE)

HEADER = struct.Struct("<BBHIQII")
SOCKET = struct.Struct("<Q16s16sHHHBxIi")
DATA = struct.Struct("<BBHIQII QQQIIHB5x16s")
SESSION_END = struct.Struct("<BBHIQII QQQ")
HELD = struct.Struct("<BBHIQII QQII")
DATA_SIZE = DATA.size + SOCKET.size

Record: TypeAlias = tuple[int, int, int, int, bytes, int]
"""What `_native` yields: `(session, direction, offset, ts_ns, data, tid)`.

A fact has session 0: `(0, kind, 0, ts_ns, record, tid)`, where `record` is the raw record (for
Kind.DATA its first DATA_SIZE bytes, sent whenever a session is new or its identity changed).
"""


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket's identity; the addresses are text, empty for families without addresses."""

    cookie: int
    family: int
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    netns: int
    fd: int
    source: int


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """A TLS session is new, or its process name or socket became known."""

    session: int
    ts_ns: int
    pid: int
    tid: int
    uid: int
    comm: str
    ssl: int
    library: int
    socket: Socket | None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A TLS session was freed; the totals count every byte that passed, lost ones too."""

    session: int
    ts_ns: int
    read_bytes: int
    written_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """A process that had sessions is gone."""

    pid: int
    ts_ns: int


@dataclass(frozen=True, slots=True)
class ProcessHeld:
    """A followed process was stopped because it mapped a file nobody had looked at."""

    pid: int
    device: tuple[int, int]
    inode: int
    generation: int


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What user space knew while recording; unset where a record tells something else."""

    plaintap: str = ""
    kernel: str = ""
    clock_offset_ns: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] | None = None
    library: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] | None = None
    name: str = ""
    path: str = ""
    counters: dict[str, Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]] | None = None


_META = msgspec.json.Decoder(Meta)
Fact: TypeAlias = SessionSeen | SessionEnded | ProcessExited | ProcessHeld | Meta


def _address(family: int, raw: bytes) -> str:
    if family == _socket.AF_INET:
        return str(ipaddress.IPv4Address(raw[:4]))
    if family == _socket.AF_INET6:
        address = ipaddress.IPv6Address(raw)
        return str(address.ipv4_mapped or address)
    return ""


def decode_socket(raw: bytes, offset: int = 0) -> Socket | None:
    """A `struct pt_socket`; None where the kernel could not tell."""
    cookie, local, remote, lport, rport, family, source, netns, fd = SOCKET.unpack_from(raw, offset)
    if not family:
        return None
    return Socket(
        cookie,
        family,
        _address(family, local),
        lport,
        _address(family, remote),
        rport,
        netns,
        fd,
        source,
    )


def decode_text(raw: bytes) -> str:
    """A NUL-padded kernel string."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def decode_fact(kind: int, raw: bytes) -> Fact | None:
    """The fact in a raw record; None for kinds this version does not know.

    Raises struct.error when the record is shorter than its kind, ValueError when its JSON is not a META's.
    """
    if kind == Kind.DATA:
        _, _, _, _, ts_ns, pid, tid, session, _, ssl, _, uid, library, _, comm = DATA.unpack_from(raw)
        return SessionSeen(
            session, ts_ns, pid, tid, uid, decode_text(comm), ssl, library, decode_socket(raw, DATA.size)
        )
    if kind == Kind.SESSION_END:
        _, _, _, _, ts_ns, _, _, session, read_bytes, written_bytes = SESSION_END.unpack_from(raw)
        return SessionEnded(session, ts_ns, read_bytes, written_bytes)
    if kind == Kind.PROCESS_EXIT:
        _, _, _, _, ts_ns, pid, _ = HEADER.unpack_from(raw)
        return ProcessExited(pid, ts_ns)
    if kind == Kind.HELD:
        _, _, _, _, _, pid, _, inode, _, device, generation = HELD.unpack_from(raw)
        return ProcessHeld(pid, (device >> 20, device & 0xFFFFF), inode, generation)
    if kind == Kind.META:
        return _META.decode(raw[HEADER.size :])
    return None


def encode_meta(meta: Meta, ts_ns: int) -> bytes:
    """A Kind.META record."""
    body = msgspec.json.encode(meta)
    return HEADER.pack(WIRE_VERSION, Kind.META, 0, HEADER.size + len(body), ts_ns, 0, 0) + body
