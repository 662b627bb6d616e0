# SPDX-License-Identifier: Apache-2.0
"""What the tool itself costs, without a kernel: a recording replayed, and records through the streams."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

from launch import BODY_BYTES, Bench
from measure import NONE_LOST, Figure, at_least, at_most, median_of
from tool import run_once

from plaintap import _native
from plaintap.events import DATA, READ, SOCKET, WIRE_VERSION, WRITE, Kind, Meta, encode_meta
from plaintap.runtime.recording import MAGIC
from plaintap.streams.connections import Connections

EXCHANGES = 100_000
CONNECTIONS = 32
STEP_NS = 10_000
PID = 4242
START_NS = 3_600 * 10**9

EVENT_BYTES = 512
EVENTS = 200_000
BATCH_BYTES = 1 << 20

REQUEST = b"GET /orders/%d?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 04 Mar 2025 10:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%s"
)


def _socket(connection: int) -> bytes:
    local, remote = socket.inet_aton("192.0.2.7"), socket.inet_aton("198.51.100.9")
    return SOCKET.pack(connection + 1, local, remote, 40000 + connection, 443, socket.AF_INET, 1, 1, 3 + connection)


class Recording:
    """Records as the kernel would send them, of a few connections."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self._offsets = [[0, 0] for _ in range(CONNECTIONS)]
        self._sockets = [_socket(connection) for connection in range(CONNECTIONS)]

    def data(self, connection: int, direction: int, ts_ns: int, payload: bytes) -> None:
        """One DATA record."""
        offset = self._offsets[connection][direction]
        self._offsets[connection][direction] += len(payload)
        size = DATA.size + SOCKET.size + len(payload)
        header = (WIRE_VERSION, Kind.DATA, 0, size, ts_ns, PID, PID)
        session = (1000 + connection, offset, 0x7F0000000000 + connection, len(payload), 0, 1, direction)
        self.records += (DATA.pack(*header, *session, b"curl"), self._sockets[connection], payload)

    def write(self, path: Path) -> None:
        """As a recording that ended by itself."""
        meta = encode_meta(Meta(plaintap="0", clock_offset_ns=1_700_000_000 * 10**9), START_NS)
        path.write_bytes(b"".join([MAGIC, meta, *self.records]))


def _exchanges(count: int) -> Recording:
    recording = Recording()
    body = (b"0123456789abcdef" * (BODY_BYTES // 16))[:BODY_BYTES]
    response = RESPONSE % (len(body), body)
    for number in range(count):
        connection, ts_ns = number % CONNECTIONS, START_NS + number * STEP_NS
        recording.data(connection, WRITE, ts_ns, REQUEST % number)
        recording.data(connection, READ, ts_ns + STEP_NS // 2, response)
    return recording


def replay(bench: Bench) -> Iterator[Figure]:
    """From records to text lines; what starting costs is taken off."""
    recorded, nothing = bench.directory / "exchanges.ptap", bench.directory / "nothing.ptap"
    shown = bench.directory / "replayed.txt"
    _exchanges(EXCHANGES).write(recorded)
    Recording().write(nothing)
    start_s = min(run_once([bench.plaintap, "replay", nothing])[1] for _ in range(bench.rounds))
    cpu_s = []
    for _ in range(bench.rounds):
        _, cpu = run_once([bench.plaintap, "replay", recorded], output=shown)
        cpu_s.append(cpu)
    missing = EXCHANGES - shown.read_bytes().count(b"/orders/")
    recorded.unlink()
    yield median_of(
        [(cpu - start_s) * 1e6 / EXCHANGES for cpu in cpu_s],
        what=f"replay of {EXCHANGES:,} exchanges of 1 KB: CPU for each",
        unit="us",
        goal=at_most(20, 10),
        note=f"starting ({start_s:.2f} s) taken off",
    )
    yield Figure(what="  exchanges not shown", unit="", value=missing, goal=NONE_LOST)


class NullParser:
    """Takes everything, emits nothing."""

    def receive(self, direction: int, ts_ns: int, data: bytes, /) -> None:
        pass

    def gap(self, direction: int, ts_ns: int, missing_bytes: int, /) -> None:
        raise AssertionError("the records have no gap")

    def flush(self, ts_ns: int, /) -> None:
        pass

    def close(self, ts_ns: int, /) -> None:
        pass


def streams(bench: Bench) -> Iterator[Figure]:
    """Records to the streams' parsers, which here do nothing, on one core."""
    recording = Recording()
    payload = b"x" * EVENT_BYTES
    for number in range(EVENTS):
        recording.data(number % CONNECTIONS, number // CONNECTIONS % 2, START_NS + number * STEP_NS, payload)
    data = memoryview(b"".join(recording.records))
    rates = []
    for _ in range(bench.rounds):
        decoder = _native.Decoder()
        connections = Connections(lambda _message: None, lambda *_: NullParser())
        done, began_s = 0, time.process_time()
        while done < len(data):
            batch, taken = decoder.decode(data[done : done + BATCH_BYTES])
            connections.feed(batch)
            done += taken
        rates.append(EVENTS / (time.process_time() - began_s) / 1e6)
    yield median_of(rates, what=f"ring -> stream, events of {EVENT_BYTES} B", unit="M/s", goal=at_least(0.6, 1.0))


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from replay(bench)
    yield from streams(bench)
