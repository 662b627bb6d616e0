# SPDX-License-Identifier: Apache-2.0
"""Events into each sink, and what a peer that reads nothing costs the capture."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

from launch import Bench, nginx, wrk
from measure import Figure, at_least, at_most, median_of
from offline import recorded_exchanges
from tool import Tool

EXCHANGES = 30_000
MB = 1e6
_READER = """
import socket, sys
with socket.create_server(("127.0.0.1", 0)) as listening:
    print(listening.getsockname()[1], flush=True)
    while True:
        connection, _ = listening.accept()
        with connection:
            while connection.recv(1 << 20):
                pass
"""
_WEBSOCKET = """
from websockets.sync.server import serve
def read(connection):
    for _ in connection:
        pass
with serve(read, "127.0.0.1", 0, compression=None) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
"""


@contextlib.contextmanager
def _peer(program: str) -> Iterator[int]:
    """A process that reads; its port."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _into_each(bench: Bench) -> Iterator[Figure]:
    recorded = bench.directory / "sinks.ptap"
    recorded_exchanges(EXCHANGES).write(recorded)
    with _peer(_READER) as tcp, _peer(_WEBSOCKET) as web:
        places = {
            "a file": str(bench.directory / "events"),
            "TCP": f"tcp://127.0.0.1:{tcp}",
            "a WebSocket": f"ws://127.0.0.1:{web}/",
        }
        for form in ("json", "protobuf"):
            for name, place in places.items():
                rates = []
                for _ in range(bench.rounds):
                    began_s = time.monotonic()
                    words = [str(bench.plaintap), "replay", str(recorded), "--format", form, "--eventaddr", place]
                    subprocess.run(words, check=True, capture_output=True)
                    rates.append(EXCHANGES / (time.monotonic() - began_s))
                yield median_of(rates, what=f"replay of 1 KB exchanges as {form} into {name}", unit="exchanges/s")


def _reads_nothing(bench: Bench) -> Iterator[Figure]:
    kept, peaks_mb = [], []
    with nginx(bench.directory) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        words = ("--pid", str(server.worker_pid), "--format", "json")
        wrk(server.port, 1)
        for _ in range(bench.rounds):
            with Tool(bench.plaintap, "tls", *words, output=bench.directory / "shown") as tool:
                before = wrk(server.port, bench.seconds).requests_per_s
                tool.stop()
            with Tool(bench.plaintap, "tls", *words, "--eventaddr", address) as tool:
                kept.append(wrk(server.port, bench.seconds).requests_per_s / before)
                peaks_mb.append(tool.stop().peak_private_bytes / MB)
    note = "requests/s of nginx under wrk while its exchanges go, as JSON, to a TCP peer that reads nothing, by a file"
    yield median_of(kept, what="a sink that reads nothing: kept", unit="of a file's", goal=at_least(0.95, 1), note=note)
    yield median_of(peaks_mb, what="  private memory, peak", unit="MB", goal=at_most(120, 80))


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from _into_each(bench)
    yield from _reads_nothing(bench)
