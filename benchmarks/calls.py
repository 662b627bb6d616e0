# SPDX-License-Identifier: Apache-2.0
"""What capture costs the traced call: one small SSL_write, and 1 GB in big ones."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path

from launch import Bench, Helper
from measure import NONE_LOST, Figure, at_least, at_most, median_of
from tool import End, Tool

from plaintap.runtime.recording import batches

MB = 1e6
BULK_BYTES = 1_000_000_000
WRITE_ROUNDS = 7
MEMORY_GOAL = at_most(80, 40)


def _ns(target: Helper) -> float:
    return float(target.ask()[0])


def small_writes(bench: Bench) -> Iterator[Figure]:
    """Bare, captured, bare, naive, bare … in one process; each against the bare ones around it."""
    output = bench.directory / "writes.txt"
    captured, naive, ends = [], [], []
    with Helper(bench.compiled("ssl_write")) as target:
        path, offset = target.ready
        _ns(target)
        bare = [_ns(target)]
        for _ in range(WRITE_ROUNDS):
            with Tool(bench.plaintap, "tls", "--pid", str(target.process.pid), output=output) as tool:
                took = _ns(target)
                ends.append(tool.stop())
            bare.append(_ns(target))
            captured.append((took - statistics.mean(bare[-2:])) / 1000)
            with Helper(bench.compiled("empty_probe"), path, offset):
                took = _ns(target)
            bare.append(_ns(target))
            naive.append((took - statistics.mean(bare[-2:])) / 1000)
    output.unlink()
    what = "one SSL_write of 64 B, memory BIO"
    yield median_of([ns / 1000 for ns in bare], what=f"{what}: bare", unit="us")
    yield median_of(captured, what=f"{what}: added by capture", unit="us", goal=at_most(3, 2), note=ends[-1].summary)
    yield median_of(naive, what=f"{what}: added by naive empty probes", unit="us")


def _unaccounted(path: Path, *, sent: int, received: int, end: End) -> int:
    """Bytes that are neither in the recording nor named as lost."""
    captured = sum(len(record[4]) for batch in batches(str(path)) for record in batch if record[0])
    return abs(sent + received - captured - end.lost_bytes)


def bulk(bench: Bench) -> Iterator[Figure]:
    """Throughput as the client sees it, then one run that is recorded and counted byte by byte."""
    output, record = bench.directory / "bulk.txt", bench.directory / "bulk.ptap"
    kept, ends = [], []
    request = str(BULK_BYTES)
    with Helper(bench.compiled("bulk")) as target:
        client = ("tls", "--pid", target.ready[0])
        target.ask(request)
        bare = [float(target.ask(request)[0])]
        for _ in range(bench.rounds):
            with Tool(bench.plaintap, *client, output=output) as tool:
                took = float(target.ask(request)[0])
                ends.append(tool.stop())
            bare.append(float(target.ask(request)[0]))
            kept.append(statistics.mean(bare[-2:]) / took)
        with Tool(bench.plaintap, *client, "--record", str(record), "--format", "none") as tool:
            _, sent, received = target.ask(request)
            end = tool.stop()
    unaccounted = _unaccounted(record, sent=int(sent), received=int(received), end=end)
    record.unlink()
    what = "1 GB in 64 KiB writes"
    yield median_of([BULK_BYTES / MB / took for took in bare], what=f"{what}: bare", unit="MB/s")
    yield median_of(kept, what=f"{what}: throughput kept", unit="of bare", goal=at_least(0, 0.8), note=ends[-1].summary)
    lost = [float(end.lost_bytes or end.lost_anything) for end in ends]
    yield Figure(
        what="  lost, all of it named", unit="bytes", value=max(lost), goal=at_most(BULK_BYTES, 0), samples=lost
    )
    yield Figure(
        what="  neither recorded nor named",
        unit="bytes",
        value=unaccounted,
        goal=NONE_LOST,
        note=f"a run with --record; {end.summary}",
    )
    peaks = [end.peak_private_bytes / MB for end in ends]
    yield Figure(
        what="private memory (RssAnon), peak at 1 GB", unit="MB", value=max(peaks), goal=MEMORY_GOAL, samples=peaks
    )
