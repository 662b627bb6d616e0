# SPDX-License-Identifier: Apache-2.0
"""What the keys and the right socket cost: handshakes kept, layouts found, symbols read, sockets told."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from launch import Bench, Helper, MissingProgramError, Nginx, copy_of_node, libssl, nginx, wrk
from measure import NONE_LOST, Figure, Goal, at_least, at_most, median_of, not_measured
from tool import End, Tool

from plaintap.modules.registry import MODULES
from plaintap.targets.elf import ElfFile

LABELS = frozenset(
    {
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
        "SERVER_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
    }
)
"""What a TLS 1.3 connection needs to be decrypted, and its exporter."""
IN_FLIGHT = 32
"""Connections of wrk that may be up without a request when it stops."""
KEPT_GOAL = at_least(0.9, 0.95)
REPEATS = 5
CALL_ROUNDS = 7
SYMBOLS_GOAL = at_most(0.3, 0.15)
MEMORY_SESSION_GOAL = at_most(0.5, 0.25)
TLS_PROCESS_GOAL = at_most(0.5, 0.25)
OTHER_PROCESS_GOAL = at_most(0.3, 0.1)
CALIBRATE = """\
import sys, time
from pathlib import Path
from plaintap.targets.calibration.cache import LayoutCache
from plaintap.targets.calibration.calibrator import calibrated
began_s = time.perf_counter()
calibrated(sys.argv[1], cache=LayoutCache(Path(sys.argv[2])))
print(time.perf_counter() - began_s)
"""


@dataclass(slots=True, kw_only=True)
class Way:
    """One way to take keys, and what came of it."""

    name: str
    arguments: Sequence[str]
    goal: Goal | None = None
    kept: list[float] = field(default_factory=list)
    missing: list[float] = field(default_factory=list)
    connections: int = 0
    runs: list[End] = field(default_factory=list)


def _complete_sets(key_log: Path) -> int:
    """Connections of which all secrets are there."""
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for line in key_log.read_text().splitlines():
        if line and not line.startswith("#"):
            label, client_random, _secret = line.split()
            labels[client_random].add(label)
    return sum(found >= LABELS for found in labels.values())


def _run(bench: Bench, server: Nginx, way: Way) -> float:
    """Handshakes a second of one captured run; counts the connections whose secrets are not all there."""
    key_log, output = bench.directory / "keys.log", bench.directory / "shown.txt"
    key_log.unlink(missing_ok=True)
    before = server.requests()
    with Tool(bench.plaintap, "tls", *way.arguments, "-k", str(key_log), output=output) as tool:
        load = wrk(server.port, bench.seconds, keep_alive=False)
        way.runs.append(tool.stop())
    connections = server.requests() - before
    way.connections += connections
    way.missing.append(max(0, connections - _complete_sets(key_log)))
    return load.requests_per_s


def handshakes(bench: Bench) -> Iterator[Figure]:
    """One request for each connection; bare and captured runs alternate."""
    with nginx(bench.directory, protocol="TLSv1.3") as server:
        only_nginx = ("--pid", str(server.worker_pid))
        ways = [
            Way(name="-m keylog", arguments=("-m", "keylog"), goal=KEPT_GOAL),
            Way(name="-m keylog, nginx only", arguments=("-m", "keylog", *only_nginx), goal=KEPT_GOAL),
            Way(name="-m text,keylog", arguments=("-m", "text,keylog")),
        ]
        wrk(server.port, 1, keep_alive=False)  # the first run of a fresh server is slower
        bare = [wrk(server.port, bench.seconds, keep_alive=False).requests_per_s]
        for _ in range(bench.rounds):
            for way in ways:
                captured = _run(bench, server, way)
                bare.append(wrk(server.port, bench.seconds, keep_alive=False).requests_per_s)
                way.kept.append(captured / statistics.mean(bare[-2:]))
    yield median_of(bare, what="nginx + wrk -c32, a handshake each: bare", unit="handshakes/s")
    for way in ways:
        yield from _figures(way)


def _figures(way: Way) -> Iterator[Figure]:
    what = f"handshakes, {way.name}: kept"
    yield median_of(way.kept, what=what, unit="of bare", goal=way.goal, note=way.runs[-1].summary)
    yield Figure(
        what="  connections without all secrets",
        unit="",
        value=sum(way.missing),
        goal=NONE_LOST,
        samples=way.missing,
        note=f"of {way.connections:,} in {len(way.missing)} runs, five for each; up to {IN_FLIGHT} more in each "
        "are of connections that asked nothing yet",
    )
    cpu_us = sum(end.cpu_s for end in way.runs) * 1e6 / way.connections
    yield Figure(what="  CPU of the tool for each", unit="us", value=cpu_us)


def calibration(bench: Bench) -> Iterator[Figure]:
    """The host's libssl, as if nobody had seen it, and then remembered; the interpreter's start is left out."""
    library = libssl()
    new_s: list[float] = []
    known_s: list[float] = []
    for number in range(REPEATS):
        command = [sys.executable, "-c", CALIBRATE, str(library), str(bench.directory / f"layouts{number}")]
        for samples in (new_s, known_s):
            samples.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    what = f"calibration of {library.name}"
    yield median_of(new_s, what=f"{what}: new", unit="s", goal=at_most(1.0, 0.5))
    yield median_of(known_s, what=f"{what}: remembered", unit="s", goal=at_most(0.1, 0.05))


def symbols(bench: Bench) -> Iterator[Figure]:
    """All that is decided from the symbols of a large program: which functions, and where in them to probe."""
    what = "reading the symbols of a 150 MB program"
    samples = []
    try:
        path = copy_of_node(bench, "node-symbols")
    except MissingProgramError as missing:
        yield not_measured(what, str(missing), goal=SYMBOLS_GOAL)
        return
    for _ in range(REPEATS):
        began_s = time.perf_counter()
        with ElfFile(str(path)) as elf:
            plan = MODULES["tls"].plan(elf, str(path))
        samples.append(time.perf_counter() - began_s)
    path.unlink()
    if plan is None:
        yield not_measured(what, "this node has no TLS library inside", goal=SYMBOLS_GOAL)
        return
    note = f"{plan.name}: the whole plan, {len(plan.points)} points to probe"
    yield median_of(samples, what=what, unit="s", goal=SYMBOLS_GOAL, note=note)


def _bare_us(target: Helper) -> float:
    return float(target.ask()[0]) / 1000


def _added_us(bench: Bench, target: Helper, *arguments: str, session: bool = False) -> list[float]:
    """What capture adds to the call that `target` makes, each time against the bare ones around it.

    With `session` the process makes a TLS session first, while it is captured.
    """
    added = []
    _bare_us(target)
    bare = [_bare_us(target)]
    for _ in range(CALL_ROUNDS):
        with Tool(bench.plaintap, "tls", *arguments, output=bench.directory / "calls.txt") as tool:
            if session:
                target.ask("session")
            _bare_us(target)  # what is attached on demand is attached now
            captured = _bare_us(target)
            tool.stop()
        bare.append(_bare_us(target))
        added.append(captured - statistics.mean(bare[-2:]))
    return added


def session_calls(bench: Bench) -> Iterator[Figure]:
    """A session that no socket is ever found for, which each call tries anew, against one that has its socket."""
    added: dict[str, list[float]] = {}
    for over in ("memory", "socket"):
        with Helper(bench.compiled("ssl_write"), over) as target:
            added[over] = _added_us(bench, target, "--pid", str(target.process.pid))
    what = "one SSL_write of 64 B"
    yield median_of(added["socket"], what=f"{what}, socket known: added", unit="us")
    yield median_of(added["memory"], what=f"{what}, socket never found: added", unit="us")
    yield median_of(
        [memory - statistics.median(added["socket"]) for memory in added["memory"]],
        what="  attribution of the dearest call",
        unit="us",
        goal=MEMORY_SESSION_GOAL,
        note="the difference of the two above: over memory, with the BIO_read that empties it; over a pair of sockets, "
        "with the read that does",
    )


def socket_calls(bench: Bench) -> Iterator[Figure]:
    """What those pay who use sockets beside TLS, or without it."""
    what = "one send and recv of 64 B"
    with Helper(bench.compiled("send_recv")) as target:
        outside = _added_us(bench, target)
    with Helper(bench.compiled("send_recv")) as target:
        bare = [_bare_us(target) for _ in range(3)]
        inside = _added_us(bench, target, session=True)
    yield median_of(bare, what=f"{what}: bare", unit="us")
    note = "host-wide; its sockets are looked at until it is known how it carries its bytes"
    yield median_of(inside, what=f"{what}, after SSL_new: added", unit="us", goal=TLS_PROCESS_GOAL, note=note)
    yield median_of(outside, what=f"{what}, no TLS session: added", unit="us", goal=OTHER_PROCESS_GOAL)


def measure(bench: Bench) -> Iterator[Figure]:
    """Every figure of this file."""
    yield from handshakes(bench)
    yield from calibration(bench)
    yield from symbols(bench)
    yield from session_calls(bench)
    yield from socket_calls(bench)
