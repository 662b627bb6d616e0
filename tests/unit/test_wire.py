# SPDX-License-Identifier: Apache-2.0
"""bpf/include/wire.h and events.py describe the same bytes."""

from __future__ import annotations

import re
import socket
import struct

import msgspec
import pytest
from record_bytes import NO_SOCKET, Handshake, ipv4_socket
from wire_header import Header

from plaintap import events
from plaintap.events import Direction, Kind, SocketSource

WIRE = Header("wire.h")
CODES = {"B": 1, "H": 2, "I": 4, "i": 4, "Q": 8, "s": 1, "x": 1}


def python_offsets(layout: struct.Struct) -> list[tuple[int, int]]:
    """(offset, size in bytes) of every value a little-endian struct format unpacks."""
    offset, found = 0, []
    for count, code in re.findall(r"(\d*)([a-zA-Z])", layout.format):
        number = int(count or 1)
        if code == "s":
            found.append((offset, number))
        elif code != "x":
            found += [(offset + CODES[code] * i, CODES[code]) for i in range(number)]
        offset += CODES[code] * number
    assert offset == layout.size
    return found


def c_offsets(name: str) -> list[tuple[int, int]]:
    """The same of a C struct, structs inside taken apart, padding left out."""
    found = []
    for field in WIRE.structs[name].fields.values():
        if field.name in {"pad", "pad2"}:
            continue
        if field.name in {"header", "owner", "socket"}:
            found += [(field.offset + offset, size) for offset, size in c_offsets(f"pt_{field.name}")]
        elif field.size == 1 and field.count > 1:
            found.append((field.offset, field.count))
        else:
            found += [(field.offset + field.size * i, field.size) for i in range(field.count)]
    return found


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("pt_header", events.HEADER),
        ("pt_socket", events.SOCKET),
        ("pt_session_end", events.SESSION_END),
        ("pt_unix_socket", events.UNIX_SOCKET),
        ("pt_tls", events.TLS),
        ("pt_socket_closed", events.SESSION_END),
    ],
)
def test_every_field_is_where_the_kernel_puts_it(name: str, layout: struct.Struct) -> None:
    assert python_offsets(layout) == c_offsets(name)
    assert layout.size == WIRE.structs[name].size


def test_the_data_record_is_its_head_and_a_socket() -> None:
    head = [(offset, size) for offset, size in c_offsets("pt_data") if offset < events.DATA.size]
    assert python_offsets(events.DATA) == head
    assert WIRE.structs["pt_data"].fields["socket"].offset == events.DATA.size
    assert WIRE.structs["pt_data"].size == events.DATA_SIZE


def test_a_held_record() -> None:
    assert python_offsets(events.HELD) == c_offsets("pt_held")
    assert events.HELD.size == WIRE.structs["pt_held"].size


OWNER_SIZE = events.OWNER.size + events.SOCKET.size + events.RANDOM_SIZE


def test_an_owner_is_its_head_a_socket_and_a_client_random() -> None:
    owner = WIRE.structs["pt_owner"]
    assert python_offsets(events.OWNER) == [place for place in c_offsets("pt_owner") if place[0] < events.OWNER.size]
    assert owner.fields["socket"].offset == events.OWNER.size
    assert owner.fields["client_random"].offset == events.OWNER.size + events.SOCKET.size
    assert owner.fields["client_random"].count == events.RANDOM_SIZE
    assert owner.size == OWNER_SIZE


@pytest.mark.parametrize(
    ("name", "layout", "behind"),
    [("pt_secrets", events.SECRETS, events.SECRETS_BLOCK_SIZE), ("pt_secret", events.SECRET, 0)],
)
def test_what_follows_an_owner(name: str, layout: struct.Struct, behind: int) -> None:
    start = events.HEADER.size + OWNER_SIZE
    own = [(offset - start, size) for offset, size in c_offsets(name) if offset >= start]
    assert WIRE.structs[name].fields["owner"].offset == events.HEADER.size
    assert python_offsets(layout) == [place for place in own if place[0] < layout.size]
    assert own[len(python_offsets(layout)) :] == ([(layout.size, behind)] if behind else [])
    assert WIRE.structs[name].size == start + layout.size + behind


def test_constants() -> None:
    assert WIRE.constants["PT_WIRE_VERSION"] == events.WIRE_VERSION
    assert WIRE.constants["PT_CHUNK_MAX"] == events.CHUNK_MAX_BYTES
    assert WIRE.enum("pt_kind") == {f"PT_{kind.name}": kind.value for kind in Kind}
    assert WIRE.enum("pt_socket_source") == {f"PT_SOCKET_{source.name}": source.value for source in SocketSource}
    assert WIRE.enum("pt_secret_flags") == {"PT_HELLO_MATCHED": 1, "PT_HANDSHAKE_SEEN": 2}
    assert WIRE.enum("pt_direction") == {f"PT_{way.name}": way.value for way in Direction}


def data_record(**socket_fields: object) -> bytes:
    values = {
        "cookie": 7,
        "local": b"",
        "remote": b"",
        "local_port": 1,
        "remote_port": 2,
        "family": 0,
        "source": 1,
        "netns": 3,
        "fd": -1,
        **socket_fields,
    }
    end = events.SOCKET.pack(*values.values())
    head = events.DATA.pack(1, Kind.DATA, 0, events.DATA_SIZE, 99, 10, 11, 5, 0, 0xABC, 0, 1000, 4, 1, b"curl")
    return head + end


def test_a_session_without_a_socket() -> None:
    seen = events.decode_fact(Kind.DATA, data_record())
    assert seen == events.SessionSeen(5, 99, 10, 11, 1000, "curl", 0xABC, 4, None)


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, bytes([127, 0, 0, 1]), "127.0.0.1"),
        (socket.AF_INET6, bytes(15) + b"\1", "::1"),
        (socket.AF_INET6, bytes(10) + b"\xff\xff" + bytes([10, 0, 0, 7]), "10.0.0.7"),
        (socket.AF_UNIX, b"", ""),
    ],
)
def test_addresses_are_text(family: int, address: bytes, text: str) -> None:
    seen = events.decode_fact(Kind.DATA, data_record(family=family, local=address, remote=address))
    assert isinstance(seen, events.SessionSeen)
    assert seen.socket
    assert (seen.socket.local_address, seen.socket.remote_address) == (text, text)
    assert (seen.socket.local_port, seen.socket.remote_port, seen.socket.fd) == (1, 2, -1)


def test_ends_exits_and_holds() -> None:
    head = (1, 0, 0, 48, 99, 10, 11)
    ended = events.decode_fact(Kind.SESSION_END, events.SESSION_END.pack(*head, 5, 100, 200))
    assert ended == events.SessionEnded(5, 99, 100, 200)
    assert events.decode_fact(Kind.PROCESS_EXIT, events.HEADER.pack(*head)) == events.ProcessExited(10, 99)
    held = events.decode_fact(Kind.HELD, events.HELD.pack(*head, 123, 0x1000, 254 << 20 | 1, 9))
    assert held == events.ProcessHeld(10, (254, 1), 123, 9)


@pytest.mark.parametrize("flags", range(4))
def test_secrets_and_whose_they_are(flags: int) -> None:
    handshake = Handshake(flags=flags)
    seen = events.decode_fact(Kind.SECRETS, handshake.secrets(block=b"b" * 900, cipher=0x1302))
    assert isinstance(seen, events.SecretsSeen)
    assert (seen.version, seen.cipher, seen.master_key, seen.block) == (0x0304, 0x1302, bytes(48), b"b" * 900)
    owner = seen.owner
    assert (owner.session, owner.ssl, owner.pid, owner.tid, owner.uid, owner.library) == (5, 0xABC0, 77, 77, 1000, 1)
    assert (owner.comm, owner.socket, owner.client_random) == ("curl", None, handshake.client_random)
    assert (owner.hello_matched, owner.handshake_seen) == (bool(flags & 1), bool(flags & 2))


def test_a_block_is_as_long_as_it_says() -> None:
    seen = events.decode_fact(Kind.SECRETS, Handshake().secrets(version=0x0303, master_key=b"m" * 48))
    assert isinstance(seen, events.SecretsSeen)
    assert (seen.version, seen.master_key, seen.block) == (0x0303, b"m" * 48, b"")


@pytest.mark.parametrize("flags", range(4))
@pytest.mark.parametrize("address", [NO_SOCKET, ipv4_socket(local_port=40000, remote_port=443)], ids=["none", "ipv4"])
def test_in_brief_secrets_are_the_same_but_for_name_and_socket(flags: int, address: bytes) -> None:
    raw = Handshake(flags=flags, socket=address, ts_ns=7).secrets(block=b"b" * 900, cipher=0x1302, master_key=b"m" * 48)
    seen = events.decode_fact(Kind.SECRETS, raw)
    assert isinstance(seen, events.SecretsSeen)
    head = events.secrets_head(raw)
    assert head
    assert (head.family != 0) == (seen.owner.socket is not None)
    owner = msgspec.structs.replace(seen.owner, comm="", socket=None)
    assert events.brief_secrets(head, raw) == msgspec.structs.replace(seen, owner=owner)
    without_block = raw[: len(raw) - events.SECRETS_BLOCK_SIZE]
    assert events.secrets_head(without_block) == head
    assert events.secrets_head(without_block[:-1]) is None


def test_a_logged_secret() -> None:
    handshake = Handshake()
    seen = events.decode_fact(Kind.SECRET, handshake.logged("EXPORTER_SECRET", b"s" * 48))
    assert isinstance(seen, events.SecretLogged)
    assert (seen.label, seen.secret) == ("EXPORTER_SECRET", b"s" * 48)
    assert seen.owner.client_random == handshake.client_random


@pytest.mark.parametrize(
    ("path", "text"),
    [(b"/run/api.sock", "/run/api.sock"), (b"\0abstract\0\xff", "@abstract\0\ufffd"), (b"", "")],
)
def test_a_unix_socket(path: bytes, text: str) -> None:
    head = (1, Kind.UNIX_SOCKET, 0, events.UNIX_SOCKET.size, 99, 10, 11)
    record = events.UNIX_SOCKET.pack(*head, 5, 4242, len(path), path + b"not of it")
    assert events.decode_fact(Kind.UNIX_SOCKET, record) == events.UnixSocketSeen(5, text, 4242)


@pytest.mark.parametrize("kind", [Kind.SECRETS, Kind.SECRET, Kind.UNIX_SOCKET])
def test_a_secret_cut_short_is_refused(kind: Kind) -> None:
    handshake = Handshake()
    whole = {
        Kind.SECRETS: handshake.secrets(block=b""),
        Kind.SECRET: handshake.logged("EXPORTER_SECRET", b"s" * 32),
        Kind.UNIX_SOCKET: bytes(events.UNIX_SOCKET.size),
    }[kind]
    at_least = len(whole) - (events.SECRETS_BLOCK_SIZE if kind == Kind.SECRETS else 0)
    for size in range(0, at_least, 7):
        with pytest.raises(struct.error):
            events.decode_fact(kind, whole[:size])


def test_meta_comes_back_as_it_went_in() -> None:
    meta = events.Meta(library=1, name="libssl 3.0.22", layout={"exporter_secret": 576}, counters={"too_deep": 3})
    assert events.decode_fact(Kind.META, events.encode_meta(meta, 5)) == meta


@pytest.mark.parametrize(
    "body",
    [
        b"[1]",
        b"[" * 100_000,
        b"\xff",
        b'{"clock_offset_ns":1e999}',
        b'{"counters":{"x":"abc"}}',
        b'{"library":0}',
        b'{"layout":{"exporter_secret":-1}}',
    ],
)
def test_meta_that_is_none_is_refused(body: bytes) -> None:
    record = events.HEADER.pack(1, Kind.META, 0, events.HEADER.size + len(body), 0, 0, 0) + body
    with pytest.raises(ValueError, match=r"."):
        events.decode_fact(Kind.META, record)


def test_kinds_of_later_versions_are_passed_over() -> None:
    assert events.decode_fact(77, b"") is None


def test_a_record_cut_short_is_refused() -> None:
    with pytest.raises(struct.error):
        events.decode_fact(Kind.SESSION_END, bytes(20))


@pytest.mark.parametrize(
    ("alpn", "length", "sni", "expected"),
    [
        (b"h2", 2, b"example.org", ("h2", "example.org")),
        (b"http/1.1", 8, b"", ("http/1.1", "")),
        (b"", 0, b"x" * 256, ("", "x" * 256)),
        (b"h2", 255, b"", ("h2" + 62 * "\0", "")),
        (b"\xff", 1, b"\xfe\0left", ("\ufffd", "\ufffd")),
    ],
)
def test_what_a_handshake_agreed_on(alpn: bytes, length: int, sni: bytes, expected: tuple[str, str]) -> None:
    raw = events.TLS.pack(1, Kind.TLS, 0, events.TLS.size, 99, 10, 11, 5, 0x0304, 0x1302, length, alpn, sni)
    assert events.decode_fact(Kind.TLS, raw) == events.TlsSeen(5, 0x0304, 0x1302, *expected)


def test_a_socket_that_is_gone() -> None:
    raw = events.SESSION_END.pack(1, Kind.SOCKET_CLOSED, 0, events.SESSION_END.size, 99, 10, 0, 5, 7, 8)
    assert events.decode_fact(Kind.SOCKET_CLOSED, raw) == events.SocketClosed(5, 99, 7, 8)
