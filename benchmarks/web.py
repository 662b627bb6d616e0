# SPDX-License-Identifier: Apache-2.0
"""nginx under wrk, and under a steady 1,000 requests a second: what is kept, what is shown, what the tool takes.

Bare and captured runs alternate, and each captured one is compared with the mean of the bare ones
before and after it.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch import Bench, Load, Nginx, nginx, wrk
from measure import NONE_LOST, Figure, Goal, at_least, at_most, median_of
from tool import End, Tool

IN_FLIGHT = 32
"""Requests that wrk may have sent but not counted when it stops: one per connection."""
UNANSWERED = b"no response"
MB = 1e6

PACED_CONNECTIONS = 8
PACED_RATE = 1000
PACED_S = 8
MEMORY_GOAL = at_most(80, 40)


@dataclass(slots=True, kw_only=True)
class Way:
    """One way to capture, and what came of it."""

    name: str
    arguments: Sequence[str]
    goal: Goal | None
    ends: Sequence[str]
    """Which of `nginx` and `wrk` are captured; empty when nothing is shown."""
    kept: list[float] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)
    exchanges: list[float] = field(default_factory=list)
    runs: list[End] = field(default_factory=list)


def _ways(server: Nginx, record: Path) -> list[Way]:
    only_nginx = ("--pid", str(server.worker_pid))
    quiet = ("--record", str(record), "--format", "none")
    return [
        Way(name="nginx only", arguments=only_nginx, goal=at_least(0.38, 0.50), ends=("nginx",)),
        Way(name="host-wide", arguments=(), goal=at_least(0.30, 0.42), ends=("nginx", "wrk")),
        Way(name="host-wide, --record only", arguments=quiet, goal=at_least(0.50, 0.58), ends=()),
        Way(name="nginx only, --record only", arguments=(*only_nginx, *quiet), goal=None, ends=()),
    ]


def _run(bench: Bench, server: Nginx, way: Way, output: Path) -> Load:
    """One captured run; counts what is missing in the output."""
    before = server.requests()
    with Tool(bench.plaintap, "tls", *way.arguments, output=output) as tool:
        load = wrk(server.port, bench.seconds)
        way.runs.append(tool.stop())
    served = server.requests() - before
    shown = output.read_bytes()
    expected = {"nginx": (server.worker_pid, served), "wrk": (load.pid, load.requests)}
    missing = 0
    for end in way.ends:
        pid, exchanges = expected[end]
        missing += max(0, exchanges - shown.count(f"{end}[{pid}]".encode()))
    missing += max(0, shown.count(UNANSWERED) - IN_FLIGHT * len(way.ends))
    if way.ends:
        way.missing.append(missing)
        way.exchanges.append(sum(expected[end][1] for end in way.ends))
    return load


def _saturated(bench: Bench, server: Nginx) -> Iterator[Figure]:
    output, record = bench.directory / "shown.txt", bench.directory / "record.ptap"
    ways = _ways(server, record)
    wrk(server.port, 1)  # the first run of a fresh server is slower
    bare = [wrk(server.port, bench.seconds).requests_per_s]
    for _ in range(bench.rounds):
        for way in ways:
            load = _run(bench, server, way, output)
            bare.append(wrk(server.port, bench.seconds).requests_per_s)
            way.kept.append(load.requests_per_s / statistics.mean(bare[-2:]))
            record.unlink(missing_ok=True)
    yield median_of(bare, what="nginx + wrk -c32: bare", unit="requests/s")
    for way in ways:
        yield median_of(
            way.kept, what=f"nginx + wrk, {way.name}: kept", unit="of bare", goal=way.goal, note=way.runs[-1].summary
        )
        if way.ends:
            note = f"of {sum(way.exchanges):,.0f} in {len(way.exchanges)} runs"
            missing = sum(way.missing)
            yield Figure(
                what="  exchanges not shown", unit="", value=missing, goal=NONE_LOST, samples=way.missing, note=note
            )
            cpu_us = [end.cpu_s * 1e6 / made for end, made in zip(way.runs, way.exchanges, strict=True)]
            yield median_of(cpu_us, what="  CPU of the tool for each", unit="us")
        lost = [float(end.lost_bytes or end.lost_anything) for end in way.runs]
        yield Figure(what="  lost", unit="bytes", value=sum(lost), goal=NONE_LOST, samples=lost)
    peaks = [end.peak_private_bytes / MB for way in ways for end in way.runs]
    yield Figure(
        what="private memory (RssAnon), peak under wrk", unit="MB", value=max(peaks), goal=MEMORY_GOAL, samples=peaks
    )


def _paced(bench: Bench, server: Nginx) -> tuple[float, str]:
    """Requests a second, and how long they took."""
    command = [str(bench.compiled("paced")), str(server.port), str(PACED_CONNECTIONS), str(PACED_RATE), str(PACED_S)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(said[0]) / float(said[1]), f"p50 {said[2]} us, p99 {said[3]} us"


def _steady(bench: Bench, server: Nginx) -> Iterator[Figure]:
    bare, bare_times = _paced(bench, server)
    output = bench.directory / "shown.txt"
    before = server.requests()
    with Tool(bench.plaintap, "tls", output=output) as tool:
        cpu_s, began_s = tool.cpu_s(), time.monotonic()
        captured, times = _paced(bench, server)
        share = (tool.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        end = tool.stop()
    exchanges = 2 * (server.requests() - before)
    shown = output.read_bytes()
    missing = exchanges - shown.count(b" nginx[") - shown.count(b" paced[")
    name = f"{PACED_RATE:,} requests/s host-wide"
    note = f"from when a request was due: bare {bare_times}; captured {times}"
    yield Figure(what=f"{name}: kept", unit="of bare", value=captured / bare, goal=at_least(0.97, 0.99), note=note)
    yield Figure(what=f"{name}: CPU of the tool", unit="% of a core", value=share * 100, goal=at_most(8, 4))
    yield Figure(what="  exchanges not shown", unit="", value=max(0, missing), goal=NONE_LOST)
    yield Figure(what="  lost", unit="bytes", value=float(end.lost_bytes or end.lost_anything), goal=NONE_LOST)


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure with nginx in it."""
    with nginx(bench.directory) as server:
        yield from _saturated(bench, server)
        yield from _steady(bench, server)
