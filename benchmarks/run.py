# SPDX-License-Identifier: Apache-2.0
"""`make bench`: measures speed and memory, prints one table, stores it as JSON in benchmarks/results/.

Figures are ratios within one run wherever a host's speed would show. A missed figure is printed as
such and is no failure: this is a measurement, not a test.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import calls
import golang
import keys
import offline
import packets
import sinks
import starting
import web
from launch import Bench, MissingProgramError
from measure import MISSED, Figure, as_json, not_measured, table
from tool import ToolError

RESULTS = Path(__file__).parent / "results"
PLAINTAP = Path(sys.executable).parent / "plaintap"

Measurement = Callable[[Bench], Iterator[Figure]]
MEASUREMENTS: dict[str, Measurement] = {
    "web": web.measure,
    "writes": calls.small_writes,
    "bulk": calls.bulk,
    "keys": keys.measure,
    "golang": golang.measure,
    "packets": packets.measure,
    "offline": offline.measure,
    "sinks": sinks.measure,
    "starting": starting.measure,
}
NEED_ROOT = {"web", "writes", "bulk", "keys", "golang", "packets", "sinks", "starting"}


def _figures(name: str, bench: Bench) -> Iterator[Figure]:
    """What a measurement yields; when it cannot go on, a line that says why."""
    if name in NEED_ROOT and os.geteuid() != 0:
        yield not_measured(name, "needs root")
        return
    try:
        yield from MEASUREMENTS[name](bench)
    except (MissingProgramError, ToolError, OSError, RuntimeError) as error:
        yield not_measured(name, str(error))


def _store(figures: list[Figure], *, took_s: float, load: float) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / time.strftime("%Y%m%d-%H%M%S.json")
    host = {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load_before": load,
        "python": platform.python_version(),
    }
    result = {"host": host, "took_s": round(took_s, 1), "figures": [as_json(figure) for figure in figures]}
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="measures speed and memory")
    parser.add_argument("only", nargs="*", metavar="WHAT", help=f"all, or some of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions of what is repeated")
    parser.add_argument("--seconds", type=int, default=3, help="of one run under load")
    parser.add_argument("--plaintap", type=Path, default=PLAINTAP, help="the program to measure")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(MEASUREMENTS):
        parser.error(f"no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    return arguments


def main() -> None:
    """Measures what was asked for, in the table's order."""
    arguments = _arguments()
    began_s, load = time.monotonic(), os.getloadavg()[0]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="plaintap-bench-") as directory:
        bench = Bench(
            directory=Path(directory),
            plaintap=arguments.plaintap,
            rounds=arguments.rounds,
            seconds=arguments.seconds,
        )
        for name in MEASUREMENTS:
            if arguments.only and name not in arguments.only:
                continue
            print(f"measuring {name} …", file=sys.stderr, flush=True)
            figures += _figures(name, bench)
    took_s = time.monotonic() - began_s
    print(table(figures))
    missed = sum(figure.verdict == MISSED for figure in figures)
    stored = _store(figures, took_s=took_s, load=load)
    print(f"\n{took_s:.0f} s; load before {load:.1f}; {missed or 'no'} must missed; {stored}")


if __name__ == "__main__":
    main()
