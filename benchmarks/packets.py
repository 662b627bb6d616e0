# SPDX-License-Identifier: Apache-2.0
"""Packets written at full blast over a veth, against `tcpdump -w` in the same run, and the memory that takes.

And what the capture costs those it is not about: traffic that its filter refuses, and the speed of a stream.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from launch import Bench, need
from measure import Figure, at_least, at_most, median_of
from tool import Tool
from veth import PORT, Blast, blast, stream, veth

from plaintap import _native

SIZES = {"64 B": 22, "1500 B": 1458}
"""Of packets, and what is said in each."""
MEBI = 1 << 20
RATIO_GOAL = at_least(0.8, 1.0)
RSS_GOAL = at_most(80, 60)
REFUSED_GOAL = at_most(1.2, 1.1)

NOBODYS_PORT = 1
GO_ON = struct.pack("<BBhi", 0xB7, 0, 0, -1) + struct.pack("<BBhi", 0x95, 0, 0, 0)
"""`return TCX_NEXT;`"""
TCX_INGRESS, TCX_EGRESS = 46, 47


@contextmanager
def _tcpdump(bench: Bench, device: str, expression: str) -> Iterator[Callable[[], int]]:
    """Running; what is yielded ends it and says how many packets it wrote."""
    words = [need("tcpdump", "tcpdump"), "-n", "-s", "0", "-Z", "root", "-i", device]
    words += ["-w", str(bench.directory / "theirs"), expression]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        errors = process.stderr
        assert errors
        assert "listening" in errors.readline()

        def stop() -> int:
            process.send_signal(signal.SIGINT)
            (captured,) = re.findall(r"^(\d+) packets captured", errors.read(), re.MULTILINE)
            return int(captured)

        try:
            yield stop
        finally:
            process.kill()


def _plaintap(bench: Bench, device: str, expression: str) -> Tool:
    words = ("tls", "-m", "pcap", "-i", device, "-w", str(bench.directory / "ours"), expression)
    return Tool(bench.plaintap, *words)


def _written_by_tcpdump(bench: Bench, device: str, size: int) -> float:
    """Packets a second."""
    with _tcpdump(bench, device, f"udp port {PORT}") as stop:
        took_s = blast(bench, size).took_s
        return stop() / took_s


def _written_by_plaintap(bench: Bench, device: str, size: int, *, rss_mb: Callable[[float], None]) -> float:
    """Packets a second."""
    with _plaintap(bench, device, f"udp port {PORT}") as tool:
        took_s = blast(bench, size).took_s
        status = Path(f"/proc/{tool.pid}/status").read_text()
        rss_mb(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / MEBI)
        (written,) = re.findall(r"([\d,]+) packets? ·", tool.stop().summary)
    return int(written.replace(",", "")) / took_s


def _past_an_empty_program(bench: Bench, device: str) -> Blast:
    index = socket.if_nametoindex(device)
    fds = [_native.load_packet_program(GO_ON)]
    try:
        fds += [_native.link_at(fds[0], index, direction, 0) for direction in (TCX_INGRESS, TCX_EGRESS)]
        return blast(bench, SIZES["64 B"])
    finally:
        for fd in fds:
            os.close(fd)


def _refused(bench: Bench, device: str) -> Figure:
    """What the filter does not let through, as the sender's processor sees it."""
    ratios = []
    for _ in range(bench.rounds):
        empty = _past_an_empty_program(bench, device)
        with _plaintap(bench, device, f"udp port {NOBODYS_PORT}"):
            ratios.append(blast(bench, SIZES["64 B"]).cpu_ns / empty.cpu_ns)
    note = "CPU time of a sender of 64-byte packets, by that with an empty tcx program at both directions"
    return median_of(ratios, what="packets a filter refuses", unit="x empty", goal=REFUSED_GOAL, note=note)


def _streams(bench: Bench, device: str) -> Iterator[Figure]:
    """Of packets with up to 64 KiB."""
    expression = f"tcp port {PORT}"
    written, while_theirs, while_ours = [], [], []
    for _ in range(bench.rounds):
        alone = stream(bench)
        with _tcpdump(bench, device, expression):
            theirs = stream(bench)
        with _plaintap(bench, device, expression):
            ours = stream(bench)
        written.append((bench.directory / "ours").stat().st_size / (bench.directory / "theirs").stat().st_size)
        while_theirs.append(theirs / alone)
        while_ours.append(ours / alone)
    note = "bytes in the file of one TCP connection with GSO, by those of tcpdump -w"
    yield median_of(written, what="a stream with GSO written", unit="x tcpdump", goal=RATIO_GOAL, note=note)
    note = "bytes a second of it while it is captured, by those while nobody captures"
    yield median_of(while_ours, what="  throughput kept", unit="of bare", note=note)
    yield median_of(while_theirs, what="  throughput kept by tcpdump -w", unit="of bare", note=note)


def measure(bench: Bench) -> Iterator[Figure]:
    """Both write to the same disk, in turns; what either loses it has not written."""
    peaks_mb: list[float] = []
    with veth() as device:
        for name, size in SIZES.items():
            ratios = []
            for _ in range(bench.rounds):
                theirs = _written_by_tcpdump(bench, device, size)
                ratios.append(_written_by_plaintap(bench, device, size, rss_mb=peaks_mb.append) / theirs)
            note = "packets a second in the file while one program sends as fast as it can, by those of tcpdump -w"
            yield median_of(ratios, what=f"packets of {name} written", unit="x tcpdump", goal=RATIO_GOAL, note=note)
        yield _refused(bench, device)
        yield from _streams(bench, device)
    yield median_of(peaks_mb, what="peak memory with packets", unit="MB", goal=RSS_GOAL)
