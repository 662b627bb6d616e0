# SPDX-License-Identifier: Apache-2.0
"""A veth whose other end is in a network namespace, and what is sent over it: datagrams at full blast, one stream."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from launch import Bench, need

HERE, THERE, PORT = "10.202.0.1", "10.202.0.2", 9999
WRITE_BYTES = 128 << 10
"""Of the stream at a time, as of iperf3."""

_FAR_END = """
import socket, sys, threading
address = (sys.argv[1], int(sys.argv[2]))
datagrams = socket.socket(type=socket.SOCK_DGRAM)
datagrams.bind(address)
listener = socket.create_server(address)
def swallow():
    room = bytearray(1 << 20)
    while True:
        connection, _ = listener.accept()
        while connection.recv_into(room):
            pass
        connection.close()
threading.Thread(target=swallow, daemon=True).start()
print(flush=True)
sys.stdin.read()
"""


def ip(*words: str) -> None:
    """As of iproute2."""
    subprocess.run([need("ip", "iproute2"), *words], check=True, capture_output=True)


@contextmanager
def veth() -> Iterator[str]:
    """The device at this end; at the other one nobody reads datagrams, and streams are read to their end."""
    namespace, device = f"bench-{os.getpid()}", f"ptA{os.getpid()}"
    ip("netns", "add", namespace)
    try:
        ip("link", "add", device, "type", "veth", "peer", "name", "ptB", "netns", namespace)
        ip("address", "add", f"{HERE}/24", "dev", device)
        ip("link", "set", device, "up")
        ip("-n", namespace, "address", "add", f"{THERE}/24", "dev", "ptB")
        ip("-n", namespace, "link", "set", "ptB", "up")
        words = [need("ip", "iproute2"), "netns", "exec", namespace, sys.executable, "-c", _FAR_END, THERE, str(PORT)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as far_end:
            assert far_end.stdout
            far_end.stdout.readline()
            yield device
            far_end.kill()
    finally:
        ip("netns", "delete", namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blast:
    """What one program sent."""

    took_s: float
    cpu_ns: float
    """Of the sending processor for each packet; what is done to packets on their way is done in its time."""


def blast(bench: Bench, size: int) -> Blast:
    """Datagrams with `size` bytes each, as fast as they go."""
    words = [str(bench.compiled("blast")), THERE, str(PORT), str(size), str(bench.seconds)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    packets, took_s, cpu_s = said.split()
    return Blast(took_s=float(took_s), cpu_ns=float(cpu_s) * 1e9 / int(packets))


_STREAM = """
import socket, sys, time
piece = bytes(int(sys.argv[3]))
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
began_s, sent = time.monotonic(), 0
while time.monotonic() - began_s < float(sys.argv[4]):
    sent += connection.send(piece)
print(sent / (time.monotonic() - began_s))
"""


def stream(bench: Bench) -> float:
    """Bytes a second of one TCP connection."""
    words = [sys.executable, "-c", _STREAM, THERE, str(PORT), str(WRITE_BYTES), str(bench.seconds)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
