# SPDX-License-Identifier: Apache-2.0
"""What the tool itself costs, without a kernel: a recording replayed, and records through the streams."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import hpack
from launch import BODY_BYTES, Bench
from measure import NONE_LOST, Figure, at_least, at_most, median_of
from tool import run_once

from plaintap import _native
from plaintap.events import DATA, READ, SOCKET, WIRE_VERSION, WRITE, Kind, Meta, encode_meta
from plaintap.messages import Message
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.registry import make_formatter
from plaintap.protocols.http2_frames import DATA as DATA_FRAME
from plaintap.protocols.http2_frames import END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS
from plaintap.protocols.registry import Registry
from plaintap.runtime.recording import MAGIC
from plaintap.streams.connections import Connections

EXCHANGES = 100_000
CONNECTIONS = 32
STEP_NS = 10_000
PID = 4242
START_NS = 3_600 * 10**9

HTTP2_EXCHANGES = 30_000
OPEN_CONNECTIONS = 50_000
FORMATTED = 20_000

EVENT_BYTES = 512
EVENTS = 200_000
BATCH_BYTES = 1 << 20

REQUEST = b"GET /orders/%d?page=2 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 04 Mar 2025 10:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%s"
)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"
ASKED_PSEUDO_FIELDS = [(":method", "GET"), (":scheme", "https"), (":authority", "api.example.com")]
ASKED_FIELDS = [
    ("user-agent", "curl/7.88.1"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, br"),
    ("cookie", "session=abcdef; theme=dark"),
    ("authorization", "Bearer abc.def.ghi"),
]
ANSWERED_FIELDS = [
    ("server", "nginx"),
    ("date", "Tue, 04 Mar 2025 10:00:00 GMT"),
    ("content-type", "application/json"),
    ("cache-control", "no-cache"),
    ("vary", "accept-encoding"),
    ("x-frame-options", "DENY"),
    ("strict-transport-security", "max-age=31536000"),
]


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


def recorded_exchanges(count: int) -> Recording:
    recording = Recording()
    body = (b"0123456789abcdef" * (BODY_BYTES // 16))[:BODY_BYTES]
    response = RESPONSE % (len(body), body)
    for number in range(count):
        connection, ts_ns = number % CONNECTIONS, START_NS + number * STEP_NS
        recording.data(connection, WRITE, ts_ns, REQUEST % number)
        recording.data(connection, READ, ts_ns + STEP_NS // 2, response)
    return recording


def _http2_exchanges(count: int) -> Recording:
    """Ten fields each way, some of them new in every exchange, over one connection."""
    recording = Recording()
    asks, answers = hpack.Encoder(), hpack.Encoder()
    recording.data(0, WRITE, START_NS, PREFACE + _frame(SETTINGS, 0, 0))
    recording.data(0, READ, START_NS, _frame(SETTINGS, 0, 0))
    body = (b"0123456789abcdef" * (BODY_BYTES // 16))[:BODY_BYTES]
    for number in range(count):
        stream, ts_ns = 2 * number + 1, START_NS + number * STEP_NS
        new = [(":path", f"/orders/{number}?page=2"), ("x-request-id", f"{number * 2654435761:032x}")]
        fields = [*ASKED_PSEUDO_FIELDS, *new, *ASKED_FIELDS]
        recording.data(0, WRITE, ts_ns, _frame(HEADERS, END_HEADERS | END_STREAM, stream, asks.encode(fields)))
        new = [(":status", "200"), ("etag", f'"{number * 40503:016x}"'), ("content-length", str(len(body)))]
        fields = [*new, *ANSWERED_FIELDS]
        answered = _frame(HEADERS, END_HEADERS, stream, answers.encode(fields)) + _frame(DATA_FRAME, 1, stream, body)
        recording.data(0, READ, ts_ns + STEP_NS // 2, answered)
    return recording


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def replay(bench: Bench) -> Iterator[Figure]:
    """From records to what is shown of them; what starting costs is taken off."""
    nothing = bench.directory / "nothing.ptap"
    Recording().write(nothing)
    start_s = min(run_once([bench.plaintap, "replay", nothing])[1] for _ in range(bench.rounds))
    http1, http2 = bench.directory / "http1.ptap", bench.directory / "http2.ptap"
    recorded_exchanges(EXCHANGES).write(http1)
    _http2_exchanges(HTTP2_EXCHANGES).write(http2)
    for recorded, name, count, form, goal in (
        (http1, f"{EXCHANGES:,} exchanges of 1 KB", EXCHANGES, "text", at_most(20, 10)),
        (http1, "the same", EXCHANGES, "json", at_most(15, 7.5)),
        (http2, f"{HTTP2_EXCHANGES:,} HTTP/2 exchanges, 10 fields each way", HTTP2_EXCHANGES, "text", at_most(60, 25)),
    ):
        shown = bench.directory / "replayed.txt"
        cpu_s = []
        for _ in range(bench.rounds):
            _, cpu = run_once([bench.plaintap, "replay", "--format", form, recorded], output=shown)
            cpu_s.append(cpu)
        yield median_of(
            [(cpu - start_s) * 1e6 / count for cpu in cpu_s],
            what=f"replay of {name} to {form}: CPU for each",
            unit="us",
            goal=goal,
            note=f"starting ({start_s:.2f} s) taken off",
        )
        missing = count - sum(b"/orders/" in line for line in shown.read_bytes().splitlines())
        yield Figure(what="  exchanges not shown", unit="", value=missing, goal=NONE_LOST)
    http1.unlink()
    http2.unlink()


def open_connections(bench: Bench) -> Iterator[Figure]:
    """Memory while very many connections are open, each with an exchange behind it."""
    del bench
    before = _resident_bytes()
    connections = Connections(lambda _messages: None, Registry().recognise)
    for number in range(OPEN_CONNECTIONS):
        session = number + 1
        connections.feed([(session, WRITE, 0, number, REQUEST % number, 1), (session, READ, 0, number, EMPTY, 1)])
    held_mb = (_resident_bytes() - before) / 1e6
    yield Figure(
        what=f"{OPEN_CONNECTIONS:,} open HTTP/1 connections: memory", unit="MB", value=held_mb, goal=at_most(500, 250)
    )
    connections.close(OPEN_CONNECTIONS)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def formatting(bench: Bench) -> Iterator[Figure]:
    """An exchange to its line for a terminal."""
    exchanges: list[Message] = []
    connections = Connections(exchanges.extend, Registry().recognise)
    offset = [0, 0]
    for number in range(FORMATTED):
        for direction, data in ((WRITE, REQUEST % number), (READ, EMPTY)):
            connections.feed([(1, direction, offset[direction], number * STEP_NS, data, 1)])
            offset[direction] += len(data)
    samples = []
    for _ in range(bench.rounds):
        options = FormatOptions(clock_offset_ns=1_700_000_000 * 10**9, width=160, color=True)
        show = make_formatter("text", options).format
        began_s = time.process_time()
        for exchange in exchanges:
            show(exchange)
        samples.append((time.process_time() - began_s) * 1e6 / len(exchanges))
    yield median_of(samples, what="an exchange to its line on a terminal", unit="us", goal=at_most(20, 10))


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
    yield from formatting(bench)
    yield from open_connections(bench)
    yield from streams(bench)
