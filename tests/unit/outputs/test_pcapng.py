# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

from plaintap.outputs.pcapng import InterfaceFacts, interface_block, secrets_block, section_block, statistics_block


def body(block: bytes, kind: int) -> bytes:
    """What is in the one block, whose frame is right."""
    assert struct.unpack_from("<II", block) == (kind, len(block))
    assert struct.unpack_from("<I", block, len(block) - 4) == (len(block),)
    assert len(block) % 4 == 0
    return block[8:-4]


def options(data: bytes) -> dict[int, bytes]:
    found = {}
    while data != bytes(4):
        code, length = struct.unpack_from("<HH", data)
        found[code] = data[4 : 4 + length]
        padded = 4 + length + -length % 4
        assert not any(data[4 + length : padded])
        data = data[padded:]
    return found


def test_section() -> None:
    data = body(section_block(hardware="a cpu", os="Linux 6.6", application="plaintap 0.1"), 0x0A0D0D0A)
    assert data[:16] == bytes.fromhex("4d3c2b1a 0100 0000 ffffffffffffffff")
    assert options(data[16:]) == {2: b"a cpu", 3: b"Linux 6.6", 4: b"plaintap 0.1"}


def test_interface() -> None:
    facts = InterfaceFacts(name="eth0", link_type=1, snaplen=96, speed_bits=10**9, filter="tcp port 443")
    data = body(interface_block(facts), 1)
    assert data[:8] == struct.pack("<HHI", 1, 0, 96)
    assert options(data[8:]) == {2: b"eth0", 8: struct.pack("<Q", 10**9), 9: b"\x09", 11: b"\0tcp port 443"}


def test_interface_of_which_little_is_known() -> None:
    data = body(interface_block(InterfaceFacts(name="tun0", link_type=101, snaplen=262144)), 1)
    assert options(data[8:]) == {2: b"tun0", 9: b"\x09"}


def test_secrets_are_padded_but_their_length_is_theirs() -> None:
    data = body(secrets_block(b"CLIENT_RANDOM 00 11\n"), 10)
    assert data == struct.pack("<II", 0x544C534B, 20) + b"CLIENT_RANDOM 00 11\n"
    assert body(secrets_block(b"12345"), 10) == struct.pack("<II", 0x544C534B, 5) + b"12345\0\0\0"


def test_statistics() -> None:
    data = body(statistics_block(3, start_ns=1 << 33, end_ns=(1 << 33) + 5, received=7, dropped=2), 5)
    assert data[:12] == struct.pack("<III", 3, 2, 5)
    assert options(data[12:]) == {
        2: struct.pack("<II", 2, 0),
        3: struct.pack("<II", 2, 5),
        4: struct.pack("<Q", 7),
        5: struct.pack("<Q", 2),
    }
