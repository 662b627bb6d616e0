# SPDX-License-Identifier: Apache-2.0
"""Packet filters in the kernel take what libpcap's own interpreter takes, packet by packet."""

from __future__ import annotations

import ctypes
import os
import random
import struct
from collections.abc import Callable, Iterator

import pytest

from plaintap import _native
from plaintap.errors import UsageError
from plaintap.runtime.classic_bpf import Classic, translate
from plaintap.runtime.pcap_filter import compile_filter

ETHERNET, SNAPLEN = 1, 262144
PACKETS = 2000
HOSTS = ("10.0.0.1", "10.0.0.2", "192.168.1.77", "255.255.255.255", "224.0.0.5")
HOSTS6 = ("fe80::1", "2001:db8::2", "ff02::fb")
NETWORKS = ("10.0.0.0/8", "192.168.0.0/16", "10.0.0.0/31")
MACS = ("02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:05")
PORTS = (0, 22, 53, 80, 443, 8443, 65535)
PRIMITIVES = (
    *"arp rarp ip ip6 tcp udp icmp icmp6 sctp igmp vlan broadcast multicast".split(),
    *(f"{way}host {host}" for way in ("", "src ", "dst ") for host in (*HOSTS[:3], HOSTS6[1])),
    *(f"{way}net {net}" for way in ("", "src ", "dst ") for net in NETWORKS),
    *(f"ether {way} {mac}" for way in ("host", "src", "dst") for mac in MACS),
    *(f"{way}port {port}" for way in ("", "src ", "tcp dst ", "udp ") for port in PORTS[1:6]),
    *("portrange 20-60", "tcp portrange 400-9000", "src portrange 0-1"),
    *("less 60", "greater 100", "less 1500", "len = 60", "len > 64 and len < 200"),
    *("ether broadcast", "ether multicast", "ip multicast", "ip6 multicast"),
    *("ether proto 0x88cc", "ip proto 6", "ip6 proto 17", "proto 1"),
    *("vlan 5", "vlan 7 and tcp", "vlan and ip host 10.0.0.1", "vlan 5 and vlan 6", "mpls", "pppoes", "llc"),
    *("tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[13] = 2", "tcp[tcpflags] == tcp-ack", "tcp[0:2] > 1024"),
    *("icmp[icmptype] = icmp-echo", "icmp[0] != 8", "udp[4:2] > 30", "udp[8:4] = 0x01020304"),
    *("ip[0] & 0xf != 5", "ip[6:2] & 0x1fff != 0", "ip[6] & 0x20 != 0", "ip[8] < 5", "ip[2:2] - ip[0] > 40"),
    *("ether[0] & 1 = 1", "ether[12:2] = 0x800", "ether[10:4] != 0", "ether[60] = 0", "ether[1500] = 1"),
    *("ip6[6] = 58", "ip6[40] = 128", "ip6[0] >> 4 = 6"),
    *("len / 7 = 3", "len % 3 = 1", "ip[8] << 3 > 100", "ip[8] >> ip[9] = 0", "ip[9] << ip[8] > 7", "-ip[9] < 0"),
    *("ip[8] * ip[9] > 500", "ip[8] ^ ip[9] = 70", "ip[8] | 1 = ip[8]", "ip[8] / ip[1] = 2", "ip[8] % ip[1] = 0"),
    *("tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420", "ether[ether[14]:2] = 0", "ip[ip[8]] = ip[9]"),
    *("ip and tcp[20] = 0x16", "not ip", "not arp and not ip6", "0 = 0", "1 = 2 or ip"),
)
JOINED = 110


def expressions() -> Iterator[str]:
    """Each by itself, and some joined at random."""
    chosen = random.Random(3)  # noqa: S311 - which are joined needs no secrecy
    yield from PRIMITIVES
    for _ in range(JOINED):
        words = [chosen.choice(PRIMITIVES) for _ in range(chosen.randrange(2, 5))]
        text = f"({words[0]})"
        for word in words[1:]:
            text += f" {chosen.choice(('and', 'or', 'and not'))} ({word})"
        yield text


def addresses(chosen: random.Random) -> bytes:
    pool = [bytes.fromhex(mac.replace(":", "")) for mac in MACS]
    return chosen.choice(pool) + chosen.choice(pool)


def transport(chosen: random.Random) -> tuple[int, bytes]:
    ports = struct.pack("!HH", chosen.choice(PORTS), chosen.choice(PORTS))
    kind = chosen.choice((6, 6, 6, 17, 17, 1, 58, 2, 132))
    payload = chosen.choice((b"", b"GET / HTTP/1.1", b"\x16\x03\x01", b"\x01\x02\x03\x04", chosen.randbytes(90)))
    if kind == 6:
        return kind, ports + chosen.randbytes(8) + bytes([chosen.choice((5, 6, 8)) << 4, chosen.randrange(64)]) + bytes(
            6
        ) + payload
    if kind == 17:
        return kind, ports + struct.pack("!HH", 8 + len(payload), 0) + payload
    return kind, bytes([chosen.choice((0, 8, 128, 135)), 0]) + ports + payload


def packet(chosen: random.Random) -> bytes:
    """IPv4 with options and fragments, IPv6 with extensions, ARP, VLAN, some cut short, some of noise."""
    head = addresses(chosen)
    for _ in range(chosen.choice((0, 0, 0, 1, 2))):
        head += struct.pack("!HH", chosen.choice((0x8100, 0x88A8)), chosen.choice((5, 6, 7, 0x2005)))
    kind, body = transport(chosen)
    what = chosen.randrange(10)
    if what < 5:
        words = chosen.choice((5, 5, 5, 6, 15))
        fragment = chosen.choice((0, 0, 0x4000, 0x2000, 0x2010, 0x00FF))
        length = words * 4 + len(body)
        fixed = struct.pack(
            "!BBHHHBBH", 0x40 | words, chosen.choice((0, 1, 2)), length, 9, fragment, chosen.randrange(70), kind, 0
        )
        ends = b"".join(bytes(map(int, chosen.choice(HOSTS).split("."))) for _ in range(2))
        data = head + b"\x08\x00" + fixed + ends + bytes(4 * (words - 5)) + body
    elif what < 8:
        extension = b"" if chosen.random() < 0.7 else bytes([kind, 0]) + bytes(6)
        after = chosen.choice((0, 44, 60)) if extension else kind
        fixed = struct.pack("!IHBB", 0x60000000, len(extension + body), after, 64)
        ends = bytes([0x20, 1, 0xD, 0xB8]) + bytes(11) + b"\2" + bytes.fromhex("ff02") + bytes(13) + b"\xfb"
        data = head + b"\x86\xdd" + fixed + ends + extension + body
    elif what == 8:
        data = head + b"\x08\x06" + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + chosen.randbytes(20)
    else:
        data = head + chosen.randbytes(chosen.randrange(2, 1600))
    return data[: chosen.randrange(15, len(data) + 1)] if chosen.random() < 0.15 else data


class _Header(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("captured", ctypes.c_uint),
        ("length", ctypes.c_uint),
    )


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


def offline(classic: list[Classic]) -> Callable[[bytes], bool]:
    """libpcap's interpreter."""
    library = ctypes.CDLL("libpcap.so.0.8")
    array = (_Instruction * len(classic))(*(_Instruction(*one) for one in classic))
    program = _Program(len(classic), array)

    def takes(data: bytes) -> bool:
        header = _Header(0, 0, len(data), len(data))
        return bool(library.pcap_offline_filter(ctypes.byref(program), ctypes.byref(header), data))

    return takes


def can_be_run(data: bytes) -> bool:
    """The kernel lets no program be tried with an IP header that is cut; with whatever is behind it cut it does."""
    least = {b"\x08\x00": 34, b"\x86\xdd": 54}
    return len(data) >= least.get(data[12:14], 15)


@pytest.mark.usefixtures("privileged")
def test_as_libpcap() -> None:
    """Every expression over every packet."""
    chosen = random.Random(1)  # noqa: S311 - packets need no secrecy
    packets: list[bytes] = []
    while len(packets) < PACKETS:
        data = packet(chosen)
        if can_be_run(data):
            packets.append(data)
    tried = 0
    for expression in expressions():
        try:
            classic = compile_filter(expression, link_type=ETHERNET, snaplen=SNAPLEN)
        except UsageError as error:
            if "expression rejects all packets" not in error.message:
                raise
            continue
        tried += 1
        takes = offline(classic)
        program = _native.load_packet_program(translate(classic, ethernet=True))
        try:
            wrong = [data for data in packets if _native.run_packet_program(program, data) != takes(data)]
        finally:
            os.close(program)
        assert not wrong, (expression, wrong[0].hex(), len(wrong))
    assert tried >= 200
