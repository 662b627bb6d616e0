# SPDX-License-Identifier: Apache-2.0
"""`-m pcap`: packets of every length are in the file byte by byte, and a batch that fits in part ends at a block."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from harness.require import require_command
from harness.tap import Taps

PACKET_BLOCK = 6
HEADERS = 14 + 20 + 8
"""Of Ethernet, IPv4 and UDP, none with options."""
LENGTHS = [*range(1024 - HEADERS - 4, 1024 - HEADERS + 5), 0, 1, 2, 3, 1400, 1458, 9000, 65507 - 8]
ROUNDS = 40
FILE_BYTES = 300_001


def _datagrams() -> list[bytes]:
    """More than one batch, long and short ones next to each other in every order."""
    chosen = random.Random(9)  # noqa: S311 - what is sent needs no secrecy
    return [chosen.randbytes(length) for _ in range(ROUNDS) for length in chosen.sample(LENGTHS, len(LENGTHS))]


def _send(datagrams: list[bytes], receiver: socket.socket) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, receiver.getsockname())
            assert receiver.recv(1 << 16) == datagram


def _payloads(file: Path) -> Iterator[bytes]:
    """Of the packets, each block looked at whole."""
    data = file.read_bytes()
    start = 0
    while start < len(data):
        kind, size = struct.unpack_from("<II", data, start)
        assert struct.unpack_from("<I", data, start + size - 4) == (size,)
        if kind == PACKET_BLOCK:
            captured, length = struct.unpack_from("<II", data, start + 20)
            assert captured == length
            yield data[start + 28 + HEADERS : start + 28 + captured]
        start += size


def _receiver() -> socket.socket:
    receiver = socket.socket(type=socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    return receiver


def test_every_length(taps: Taps, tmp_path: Path) -> None:
    file, datagrams = tmp_path / "out.pcapng", _datagrams()
    with _receiver() as receiver:
        port = receiver.getsockname()[1]
        tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "udp", "port", port)
        _send(datagrams, receiver)
        tap.stop_clean()
    assert list(_payloads(file)) == datagrams


def test_a_file_that_is_full_in_mid_batch(taps: Taps, tmp_path: Path) -> None:
    file, datagrams = tmp_path / "out.pcapng", _datagrams()
    limit = [require_command("prlimit"), f"--fsize={FILE_BYTES}"]
    with _receiver() as receiver:
        port = receiver.getsockname()[1]
        tap = taps.ready("-m", "pcap", "-i", "lo", "-w", file, "udp", "port", port, before=limit)
        _send(datagrams, receiver)
        ended = tap.stop()
    assert ended.code == 1
    assert f"cannot write packets to {file}: file too large" in ended.err
    written = list(_payloads(file))
    assert written == datagrams[: len(written)]
    assert FILE_BYTES // 2 < file.stat().st_size <= FILE_BYTES
