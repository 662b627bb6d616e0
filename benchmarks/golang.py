# SPDX-License-Identifier: Apache-2.0
"""Go programs: requests kept, as fast as they go and at a steady rate; one Write; how long many take to be found."""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from launch import Bench, Helper
from measure import NONE_LOST, Figure, at_least, at_most, median_of
from tool import End, Tool

from plaintap.modules.gotls import plan
from plaintap.targets.elf import ElfFile

MODULE = "gotls"
PACED_RATE = 1000
PACED_MS = 6000
WRITE_ROUNDS = 7
PROCESSES = 100
BINARIES = 5
STARTS = 5
MS_PER_S = 1000
WRITE = ".(*Conn).Write"


class Pair:
    """programs/go_web.go at both ends."""

    def __init__(self, bench: Bench, protocol: str) -> None:
        program = bench.compiled_go("go_web")
        self.server = Helper(program, "server")
        self.client = Helper(program, "client", self.server.ready[0], protocol)

    @property
    def pids(self) -> tuple[int, int]:
        return self.client.process.pid, self.server.process.pid

    def ask(self, line: str) -> tuple[int, float, str]:
        """Requests, a second, and how long they took."""
        requests, seconds, p50, p99 = self.client.ask(line)
        return int(requests), int(requests) / float(seconds), f"p50 {p50} us, p99 {p99} us"

    def close(self) -> None:
        self.client.close()
        self.server.close()


def _missing(shown: bytes, pids: Sequence[int], requests: int) -> int:
    return sum(max(0, requests - shown.count(f"go_web[{pid}]".encode())) for pid in pids)


def _saturated(bench: Bench, pair: Pair, protocol: str) -> Iterator[Figure]:
    output = bench.directory / "go.txt"
    line = f"most {bench.seconds * MS_PER_S:.0f}"
    ways = {"server only": pair.pids[1:], "both ends": pair.pids}
    kept: dict[str, list[float]] = {name: [] for name in ways}
    missing: dict[str, list[float]] = {name: [] for name in ways}
    ends: dict[str, list[End]] = {name: [] for name in ways}
    pair.ask(f"most {MS_PER_S}")
    bare = [pair.ask(line)[1]]
    for _ in range(bench.rounds):
        for name, pids in ways.items():
            with Tool(bench.plaintap, MODULE, "--pid", ",".join(map(str, pids)), output=output) as tool:
                requests, rate, _ = pair.ask(line)
                ends[name].append(tool.stop())
            bare.append(pair.ask(line)[1])
            kept[name].append(rate / statistics.mean(bare[-2:]))
            missing[name].append(_missing(output.read_bytes(), pids, requests))
    what = f"Go net/http, {protocol}"
    yield median_of(bare, what=f"{what}: bare", unit="requests/s")
    for name in ways:
        note = ends[name][-1].summary
        goal = at_least(0.5, 0.6) if name == "server only" else None
        yield median_of(kept[name], what=f"{what}, {name}: kept", unit="of bare", goal=goal, note=note)
        yield Figure(what="  exchanges not shown", unit="", value=sum(missing[name]), samples=missing[name])
        lost = [float(end.lost_bytes or end.lost_anything) for end in ends[name]]
        yield Figure(what="  lost", unit="bytes", value=sum(lost), goal=NONE_LOST, samples=lost)


def _steady(bench: Bench, pair: Pair, protocol: str) -> Iterator[Figure]:
    output = bench.directory / "go.txt"
    line = f"paced {PACED_RATE} {PACED_MS}"
    _, bare, bare_times = pair.ask(line)
    with Tool(bench.plaintap, MODULE, "--pid", ",".join(map(str, pair.pids)), output=output) as tool:
        requests, captured, times = pair.ask(line)
        end = tool.stop()
    note = f"from when a request was due: bare {bare_times}; captured {times}"
    what = f"Go net/http, {protocol}, {PACED_RATE:,} requests/s: kept"
    yield Figure(what=what, unit="of bare", value=captured / bare, goal=at_least(0.97, 0.99), note=note)
    missing = _missing(output.read_bytes(), pair.pids, requests)
    yield Figure(what="  exchanges not shown", unit="", value=missing, goal=NONE_LOST)
    yield Figure(what="  lost", unit="bytes", value=float(end.lost_bytes or end.lost_anything), goal=NONE_LOST)


def _places_of_write(program: Path) -> list[str]:
    """Offsets in the file of what is probed in (*Conn).Write."""
    with ElfFile(str(program)) as elf:
        found = plan(elf, str(program))
    assert found
    return [str(point.offset) for point in found.points if point.function.endswith(WRITE)]


def writes(bench: Bench) -> Iterator[Figure]:
    """Bare, captured, bare, with empty programs at the same places, bare … in one process."""
    output = bench.directory / "go.txt"
    program = bench.compiled_go("go_write")
    places = _places_of_write(program)
    captured, empty, ends = [], [], []
    with Helper(program) as target:
        target.ask()
        bare = [float(target.ask()[0])]
        for _ in range(WRITE_ROUNDS):
            with Tool(bench.plaintap, MODULE, "--pid", str(target.process.pid), output=output) as tool:
                took = float(target.ask()[0])
                ends.append(tool.stop())
            bare.append(float(target.ask()[0]))
            captured.append((took - statistics.mean(bare[-2:])) / MS_PER_S)
            with Helper(bench.compiled("empty_probe"), program, *places):
                took = float(target.ask()[0])
            bare.append(float(target.ask()[0]))
            empty.append((took - statistics.mean(bare[-2:])) / MS_PER_S)
    what = "one Go Write of 64 B"
    yield median_of([ns / MS_PER_S for ns in bare], what=f"{what}: bare", unit="us")
    yield median_of(captured, what=f"{what}: added by capture", unit="us", note=ends[-1].summary)
    yield median_of(empty, what=f"{what}: added by empty probes at the same {len(places)} places", unit="us")
    ratios = [ours / theirs for ours, theirs in zip(captured, empty, strict=True)]
    yield median_of(ratios, what="  capture over empty probes", unit="x", goal=at_most(1.5, 1.3))


def discovery(bench: Bench) -> Iterator[Figure]:
    """Start to READY, host-wide, without and with many Go processes; in turns."""
    original = bench.compiled_go("go_web")
    programs = [bench.directory / f"go_web{number}" for number in range(BINARIES)]
    for program in programs:
        shutil.copy(original, program)

    def started() -> float:
        with Tool(bench.plaintap, MODULE) as tool:
            took = tool.ready_s - tool.began_s
            tool.stop()
        return took

    without, added = [], []
    for _ in range(STARTS):
        without.append(started())
        with ExitStack() as running:
            for number in range(PROCESSES):
                running.enter_context(Helper(programs[number % BINARIES], "server"))
            added.append(started() - without[-1])
    what = f"start to READY, {PROCESSES} Go processes of {BINARIES} files"
    yield median_of(without, what=f"{what}: without them", unit="s")
    yield median_of(added, what=f"{what}: added", unit="s", goal=at_most(0.2, 0.1))


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from writes(bench)
    yield from discovery(bench)
    for protocol in ("http1", "http2"):
        pair = Pair(bench, protocol)
        try:
            yield from _saturated(bench, pair, protocol)
            yield from _steady(bench, pair, protocol)
        except (OSError, RuntimeError, subprocess.SubprocessError):
            pair.client.process.kill()
            raise
        finally:
            pair.close()
