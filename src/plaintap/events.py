# SPDX-License-Identifier: Apache-2.0
"""Records as they come out of the kernel or a recording, and their decoding; no I/O.

The layout is bpf/include/wire.h, compared field by field in tests/unit/test_wire.py. Plaintext
never becomes an object here: the native extension hands it over as plain tuples (`Record`) and
only facts, which are rare, are decoded into the classes below.
"""

from __future__ import annotations

import socket as _socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

WIRE_VERSION = 1
CHUNK_MAX_BYTES = 16384


class Kind(IntEnum):
    """`enum pt_kind`: what a record is."""

    DATA = 1
    SESSION_END = 2
    PROCESS_EXIT = 3
    HELD = 4
    SECRETS = 5
    SECRET = 6
    UNIX_SOCKET = 7
    TLS = 8
    SOCKET_CLOSED = 9
    META = 128


class SocketSource(IntEnum):
    """`enum pt_socket_source`: how the socket of a session is known."""

    UNKNOWN = 0
    NESTED_CALL = 1
    DESCRIPTOR = 2
    HELLO = 3
    RECORD = 4
    CONNECT = 5


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
OWNER = struct.Struct("<QQIHBx16s")
RANDOM_SIZE = 32
SECRETS = struct.Struct("<IHH48s")
SECRETS_BLOCK_SIZE = 1024
SECRET = struct.Struct("<H6x48s64s")
UNIX_SOCKET = struct.Struct("<BBHIQII QIH2x108s4x")
TLS = struct.Struct("<BBHIQII QHHB3x64s256s")
DATA_SIZE = DATA.size + SOCKET.size
_HELLO_MATCHED, _HANDSHAKE_SEEN = 1, 2

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
    path: str = ""
    """Of a Unix socket that has one; an abstract one begins with `@`."""
    peer_pid: int = 0
    """Of a Unix socket: who connected, listened or made the pair."""


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


class SecretOwner(msgspec.Struct, frozen=True):
    """Which handshake a secret is of."""

    session: int
    ts_ns: int
    pid: int
    tid: int
    uid: int
    comm: str
    ssl: int
    library: int
    socket: Socket | None
    client_random: bytes
    hello_matched: bool
    """A ClientHello with this client random was seen at a socket of the process: it was read from the right place."""
    handshake_seen: bool
    """Read as the handshake ended; otherwise later, of a connection that may be older than the capture."""


class SecretsSeen(msgspec.Struct, frozen=True):
    """What a library keeps of a finished handshake, as it lies in its structs."""

    owner: SecretOwner
    version: int
    """As on the wire: 0x0303 for TLS 1.2."""
    cipher: int
    """The suite's number on the wire, 0 when unknown."""
    master_key: bytes
    """48 bytes, TLS 1.2 and earlier."""
    block: bytes
    """From the first to the last TLS 1.3 secret; the library's layout says where each is. Empty before TLS 1.3."""


class SecretLogged(msgspec.Struct, frozen=True):
    """A library's own line of a key log."""

    owner: SecretOwner
    label: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class UnixSocketSeen:
    """The path of the socket of a session, and who is at its other end."""

    session: int
    path: str
    peer_pid: int


@dataclass(frozen=True, slots=True)
class TlsSeen:
    """What the handshake of a session agreed on, each as far as it is known; more of it may follow."""

    session: int
    version: int
    """As on the wire: 0x0304 for TLS 1.3; 0 unknown."""
    cipher: int
    """The suite's number on the wire, 0 unknown."""
    alpn: str
    sni: str
    """The name of the server, as the program set it."""


@dataclass(frozen=True, slots=True)
class SocketClosed:
    """The socket of a session is gone; the library may still hand out what it holds. Totals as of SessionEnded."""

    session: int
    ts_ns: int
    read_bytes: int
    written_bytes: int


class ProcessFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What user space finds out of a process that speaks."""

    pid: Annotated[int, msgspec.Meta(ge=1, le=1 << 32)]
    comm: str
    """Its name then: with another one it may run another program."""
    exe: str = ""
    """Path of the program as the process sees it."""
    container: str = ""
    """Id of the container it runs in."""


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What user space knew while recording; unset where a record tells something else."""

    plaintap: str = ""
    kernel: str = ""
    clock_offset_ns: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] | None = None
    library: Annotated[int, msgspec.Meta(ge=1, le=0xFFFF)] | None = None
    name: str = ""
    path: str = ""
    layout: dict[str, Annotated[int, msgspec.Meta(ge=0, le=0xFFFF)]] | None = None
    """Of the library's TLS 1.3 secrets: where each is in the block of a SECRETS record, in bytes, by name
    (`handshake_secret`, ...: those of targets/layouts/model.py)."""
    trusted: bool | None = None
    """Whether that was found in this very library, or cannot be held against what is seen; else it is watched."""
    counters: dict[str, Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]] | None = None
    process: ProcessFacts | None = None


_META = msgspec.json.Decoder(Meta)
Fact: TypeAlias = (
    SessionSeen
    | SessionEnded
    | ProcessExited
    | ProcessHeld
    | SecretsSeen
    | SecretLogged
    | UnixSocketSeen
    | TlsSeen
    | SocketClosed
    | Meta
)


def _address(family: int, raw: bytes) -> str:
    if family == _socket.AF_INET:
        return _socket.inet_ntop(_socket.AF_INET, raw[:4])
    if family == _socket.AF_INET6:
        if raw.startswith(_IPV4_MAPPED):
            return _socket.inet_ntop(_socket.AF_INET, raw[12:])
        return _socket.inet_ntop(_socket.AF_INET6, raw)
    return ""


_IPV4_MAPPED = bytes(10) + b"\xff\xff"


def decode_socket(raw: bytes, offset: int = 0) -> Socket | None:
    """A `struct pt_socket`; None where the kernel could not tell."""
    cookie, local, remote, lport, rport, family, source, netns, fd = SOCKET.unpack_from(raw, offset)
    if not family:
        return None
    return Socket(
        cookie,
        family,
        _address(family, local) if source != SocketSource.CONNECT else "",
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


_OWNER_SIZE = OWNER.size + SOCKET.size + RANDOM_SIZE


def _owner(raw: bytes) -> SecretOwner:
    _, _, _, _, ts_ns, pid, tid = HEADER.unpack_from(raw)
    session, ssl, uid, library, flags, comm = OWNER.unpack_from(raw, HEADER.size)
    at = HEADER.size + OWNER.size
    socket = decode_socket(raw, at)
    random = raw[at + SOCKET.size : at + SOCKET.size + RANDOM_SIZE]
    matched, seen = bool(flags & _HELLO_MATCHED), bool(flags & _HANDSHAKE_SEEN)
    return SecretOwner(session, ts_ns, pid, tid, uid, decode_text(comm), ssl, library, socket, random, matched, seen)


class SecretsHead(NamedTuple):
    """A SECRETS record as far as its block, but for its process's name and its socket: those take longest to decode."""

    ts_ns: int
    pid: int
    tid: int
    session: int
    ssl: int
    uid: int
    library: int
    flags: int
    family: int
    """Of the socket, 0 when it is unknown."""
    client_random: bytes
    cipher: int
    version: int
    length: int
    master_key: bytes


# HEADER, OWNER, SOCKET, the client random and SECRETS in one.
_HEAD = struct.Struct("<8xQIIQQIHB17x44xH10x32sIHH48s")


def secrets_head(raw: bytes) -> SecretsHead | None:
    """None when the record is shorter than that."""
    return SecretsHead._make(_HEAD.unpack_from(raw)) if len(raw) >= _HEAD.size else None


def brief_secrets(head: SecretsHead, raw: bytes) -> SecretsSeen:
    """The fact without name and socket, for who makes keys of it and shows nothing."""
    owner = SecretOwner(
        head.session,
        head.ts_ns,
        head.pid,
        head.tid,
        head.uid,
        "",
        head.ssl,
        head.library,
        None,
        head.client_random,
        bool(head.flags & _HELLO_MATCHED),
        bool(head.flags & _HANDSHAKE_SEEN),
    )
    block = raw[_HEAD.size : _HEAD.size + head.length]
    return SecretsSeen(owner, head.version, head.cipher & 0xFFFF, head.master_key, block)


def _secrets(raw: bytes) -> SecretsSeen:
    at = HEADER.size + _OWNER_SIZE
    cipher, version, length, master_key = SECRETS.unpack_from(raw, at)
    block = raw[at + SECRETS.size :][:length]
    return SecretsSeen(_owner(raw), version, cipher & 0xFFFF, master_key, block)


def _unix_path(raw: bytes) -> str:
    abstract = raw[:1] == b"\0"
    name = raw[1:] if abstract else raw.split(b"\0", 1)[0]
    return ("@" if abstract else "") + name.decode("utf-8", "replace")


def _session_seen(raw: bytes) -> SessionSeen:
    _, _, _, _, ts_ns, pid, tid, session, _, ssl, _, uid, library, _, comm = DATA.unpack_from(raw)
    return SessionSeen(session, ts_ns, pid, tid, uid, decode_text(comm), ssl, library, decode_socket(raw, DATA.size))


def _session_ended(raw: bytes) -> SessionEnded:
    _, _, _, _, ts_ns, _, _, session, read_bytes, written_bytes = SESSION_END.unpack_from(raw)
    return SessionEnded(session, ts_ns, read_bytes, written_bytes)


def _process_exited(raw: bytes) -> ProcessExited:
    _, _, _, _, ts_ns, pid, _ = HEADER.unpack_from(raw)
    return ProcessExited(pid, ts_ns)


def _held(raw: bytes) -> ProcessHeld:
    _, _, _, _, _, pid, _, inode, _, device, generation = HELD.unpack_from(raw)
    return ProcessHeld(pid, (device >> 20, device & 0xFFFFF), inode, generation)


def _logged(raw: bytes) -> SecretLogged:
    length, label, secret = SECRET.unpack_from(raw, HEADER.size + _OWNER_SIZE)
    return SecretLogged(_owner(raw), decode_text(label), secret[:length])


def _unix_socket(raw: bytes) -> UnixSocketSeen:
    _, _, _, _, _, _, _, session, peer_pid, length, path = UNIX_SOCKET.unpack_from(raw)
    return UnixSocketSeen(session, _unix_path(path[:length]), peer_pid)


def _tls(raw: bytes) -> TlsSeen:
    _, _, _, _, _, _, _, session, version, cipher, length, alpn, sni = TLS.unpack_from(raw)
    return TlsSeen(session, version, cipher, alpn[:length].decode("utf-8", "replace"), decode_text(sni))


def _socket_closed(raw: bytes) -> SocketClosed:
    _, _, _, _, ts_ns, _, _, session, read_bytes, written_bytes = SESSION_END.unpack_from(raw)
    return SocketClosed(session, ts_ns, read_bytes, written_bytes)


def _meta(raw: bytes) -> Meta:
    return _META.decode(raw[HEADER.size :])


_DECODERS: dict[int, Callable[[bytes], Fact]] = {
    Kind.DATA: _session_seen,
    Kind.SESSION_END: _session_ended,
    Kind.PROCESS_EXIT: _process_exited,
    Kind.HELD: _held,
    Kind.SECRETS: _secrets,
    Kind.SECRET: _logged,
    Kind.UNIX_SOCKET: _unix_socket,
    Kind.TLS: _tls,
    Kind.SOCKET_CLOSED: _socket_closed,
    Kind.META: _meta,
}


def decode_fact(kind: int, raw: bytes) -> Fact | None:
    """The fact in a raw record; None for kinds this version does not know.

    Raises struct.error when the record is shorter than its kind, ValueError when its JSON is not a META's.
    """
    decoder = _DECODERS.get(kind)
    return decoder(raw) if decoder else None


def encode_meta(meta: Meta, ts_ns: int) -> bytes:
    """A Kind.META record."""
    body = msgspec.json.encode(meta)
    return HEADER.pack(WIRE_VERSION, Kind.META, 0, HEADER.size + len(body), ts_ns, 0, 0) + body
