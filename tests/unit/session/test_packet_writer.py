# SPDX-License-Identifier: Apache-2.0
"""Secrets before packets, in every file; counts at the end of each; what happens when nothing can be written."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

from plaintap.outputs.pcapng import INTERFACE, SECRETS, SECTION, STATISTICS, InterfaceFacts
from plaintap.outputs.sinks.packetfile import UNLIMITED, PacketFile, Rotation
from plaintap.session.packet_writer import PacketWriter

PACKET = 6
ETHERNET = 1
LINES = b"CLIENT_RANDOM 00 11\n"


class Ring:
    """Packets of 100 bytes of an interface with index 7; `error` is what writing one comes to."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting = waiting
        self.taken = 0
        self.lost = 0
        self.error = 0

    def write_packets(self, fd: int, *, until_ns: int, room_bytes: int, packet_id: int) -> tuple[int, int, int]:
        del until_ns, packet_id
        written = packets = 0
        while self.waiting and written < room_bytes:
            self.waiting -= 1
            self.taken += 1
            packets += 1
            if fd >= 0 and self.error:
                return written, packets, self.error
            if fd >= 0:
                os.write(fd, struct.pack("<II", PACKET, 100) + bytes(88) + struct.pack("<I", 100))
                written += 100
        return written, packets, 0

    def counts(self, index: int, /) -> tuple[int, int]:
        assert index == 7
        return self.taken, self.lost


class Bench:
    def __init__(self, tmp_path: Path, *, size_bytes: int | None = None) -> None:
        self.path = tmp_path / "out.pcapng"
        self.ring = Ring()
        self.said: list[str] = []
        self.stopped = False
        self.file = PacketFile(str(self.path), Rotation(size_bytes=size_bytes))
        self.writer = PacketWriter(self.file, self.ring, notice=self.said.append, stop=self.stop)
        self.writer.begin()
        assert self.writer.describe(7, InterfaceFacts(name="lo", link_type=ETHERNET, snaplen=65535)) == 0

    def stop(self) -> None:
        self.stopped = True

    def packets(self, number: int) -> None:
        self.ring.waiting += number
        self.writer.write_due(UNLIMITED)


def blocks(path: Path) -> list[tuple[int, bytes]]:
    """Their types and bodies."""
    data, found = path.read_bytes(), []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert struct.unpack_from("<I", data, length - 4) == (length,)
        found.append((kind, data[8 : length - 4]))
        data = data[length:]
    return found


def kinds(path: Path) -> list[int]:
    return [kind for kind, _ in blocks(path)]


def test_secrets_stand_before_the_packets_that_wait(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.writer.add_secrets(LINES)
    bench.packets(2)
    bench.writer.end()
    assert kinds(bench.path) == [SECTION, INTERFACE, SECRETS, PACKET, PACKET, STATISTICS]
    assert bench.writer.packets == 2
    assert LINES in dict(blocks(bench.path))[SECRETS]


def test_the_next_file_begins_with_what_is_needed_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, size_bytes=450)
    bench.writer.add_secrets(LINES)
    bench.packets(3)
    bench.packets(1)
    bench.ring.lost = 5
    bench.writer.end()
    assert kinds(bench.path)[-1] == STATISTICS
    following = bench.path.with_name("out.pcapng1")
    assert kinds(following)[:3] == [SECTION, INTERFACE, SECRETS]
    both = kinds(bench.path) + kinds(following)
    assert both.count(PACKET) == 4


def test_each_file_counts_its_own(tmp_path: Path) -> None:
    bench = Bench(tmp_path, size_bytes=400)
    bench.packets(4)
    bench.ring.lost = 5
    bench.packets(1)
    bench.writer.end()
    received = []
    for path in sorted(tmp_path.iterdir()):
        body = dict(blocks(path))[STATISTICS]
        received.append(_counters(body))
    assert sum(dropped for _, dropped in received) == 5
    assert sum(came - dropped for came, dropped in received) == 5


def _counters(body: bytes) -> tuple[int, int]:
    """isb_ifrecv and isb_ifdrop (options 4 and 5)."""
    at, found = 12, {}
    while at < len(body):
        code, length = struct.unpack_from("<HH", body, at)
        found[code] = body[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
    return struct.unpack("<Q", found[4])[0], struct.unpack("<Q", found[5])[0]


def test_a_full_disk_is_said_once_and_packets_are_counted_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ring.error = errno.ENOSPC
    bench.packets(3)
    bench.writer.end()
    assert bench.writer.failed
    assert len(bench.said) == 1
    assert "no space left on device; they are only counted from here on" in bench.said[0]
    assert bench.writer.packets == 3
    assert kinds(bench.path) == [SECTION, INTERFACE]


def test_a_reader_that_leaves_ends_the_capture(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.ring.error = errno.EPIPE
    bench.packets(1)
    assert bench.stopped
    assert not bench.writer.failed
    assert bench.said == []


def test_a_next_file_that_cannot_be_made(tmp_path: Path) -> None:
    bench = Bench(tmp_path, size_bytes=400)
    bench.path.with_name("out.pcapng1").mkdir()
    bench.packets(4)
    assert bench.writer.failed
    assert "out.pcapng1" in bench.said[0]
    assert kinds(bench.path)[-1] == STATISTICS
