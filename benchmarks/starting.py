# SPDX-License-Identifier: Apache-2.0
"""How long it takes to start, to be attached, to stop, and to notice a library or program nobody has seen."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from launch import Bench, MissingProgramError, copy_of_node, libssl, nginx
from measure import Figure, at_most, median_of, not_measured
from tool import Tool, run_once

PROCESSES = 200
REPEATS = 5
HELP_REPEATS = 9
LIBRARY_GOAL = at_most(20, 20)
PROGRAM_GOAL = at_most(400, 400)
MARKS_S = 1.5
NS_PER_MS = 1e6


def help_text(bench: Bench) -> Iterator[Figure]:
    samples = [run_once([bench.plaintap, "--help"])[0] for _ in range(HELP_REPEATS)]
    yield median_of(samples, what="plaintap --help", unit="s", goal=at_most(0.2, 0.12))


def start_and_stop(bench: Bench) -> Iterator[Figure]:
    """Host-wide among many processes. Ready means all probes are attached, the first one earlier."""
    started, stopped = [], []
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(PROCESSES)]
    try:
        for _ in range(REPEATS):
            with Tool(bench.plaintap, "tls") as tool:
                started.append(tool.ready_s - tool.began_s)
                stopped.append(tool.stop().took_s)
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    what = f"start to READY (all attached), {PROCESSES} processes more"
    yield median_of(started, what=what, unit="s", goal=at_most(1.0, 0.4))
    yield median_of(stopped, what="Ctrl-C to exit (all detached)", unit="s", goal=at_most(0.3, 0.1))


def _first_marks(record: Path) -> dict[str, int]:
    """When the first captured mark of each tag was made, in ns."""
    first: dict[str, int] = {}
    for tag, at_ns in re.findall(rb"mark=(\w+):(\d+)", record.read_bytes()):
        name = tag.decode()
        first[name] = min(first.get(name, int(at_ns)), int(at_ns))
    return first


def _latencies(record: Path, mapped_ns: dict[str, int], figure: Figure) -> Figure:
    first = _first_marks(record)
    samples = [(first[tag] - at_ns) / NS_PER_MS for tag, at_ns in mapped_ns.items() if tag in first]
    if unseen := len(mapped_ns) - len(samples):
        figure.note = f"{unseen} of {len(mapped_ns)} were never captured"
        return figure
    return median_of(samples, what=figure.what, unit="ms", goal=figure.goal, note=figure.note)


def fresh_library(bench: Bench) -> Iterator[Figure]:
    """A copy of libssl that a running program maps; from just before dlopen, so the loading counts too."""
    record = bench.directory / "library.ptap"
    program, original = bench.compiled("late_library"), libssl()
    mapped_ns = {}
    with Tool(bench.plaintap, "tls", "--record", str(record), "--format", "none") as tool:
        for number in range(REPEATS):
            copy = bench.directory / f"libssl-fresh{number}.so"
            shutil.copyfile(original, copy)
            said = subprocess.run([program, copy, f"lib{number}"], check=True, capture_output=True, text=True).stdout
            mapped_ns[f"lib{number}"] = int(said)
        tool.stop()
    figure = not_measured("a libssl mapped to its first captured byte", "", goal=LIBRARY_GOAL)
    figure.note = "dlopen and a handshake included"
    yield _latencies(record, mapped_ns, figure)


def fresh_program(bench: Bench) -> Iterator[Figure]:
    """A copy of node, which has its TLS library inside."""
    what = "a new 150 MB program to its first captured byte"
    record = bench.directory / "program.ptap"
    script = Path(__file__).parent / "programs" / "late_program.js"
    mapped_ns, own_start_ms = {}, []
    try:
        copies = [copy_of_node(bench, f"node-fresh{number}") for number in range(bench.rounds)]
    except MissingProgramError as missing:
        yield not_measured(what, str(missing), goal=PROGRAM_GOAL)
        return
    with (
        nginx(bench.directory) as server,
        Tool(bench.plaintap, "tls", "--record", str(record), "--format", "none") as tool,
    ):
        for number, copy in enumerate(copies):
            command = [str(copy), str(script), str(server.port), f"node{number}", str(MARKS_S)]
            mapped_ns[f"node{number}"] = began_ns = time.monotonic_ns()
            first_write_ns = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            own_start_ms.append((first_write_ns - began_ns) / NS_PER_MS)
            copy.unlink()
        tool.stop()
    note = f"from exec; the program itself takes {min(own_start_ms):.0f} ms and more to its first write"
    yield _latencies(record, mapped_ns, Figure(what=what, unit="ms", value=None, goal=PROGRAM_GOAL, note=note))


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from help_text(bench)
    yield from start_and_stop(bench)
    yield from fresh_library(bench)
    yield from fresh_program(bench)
