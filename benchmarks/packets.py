# SPDX-License-Identifier: Apache-2.0
"""Packets written at full blast over a veth, against `tcpdump -w` in the same run, and the memory that takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from launch import Bench, need
from measure import Figure, at_least, at_most, median_of
from tool import Tool

HERE, THERE, PORT = "10.202.0.1", "10.202.0.2", 9999
SIZES = {"64 B": 22, "1500 B": 1458}
"""Of packets, and what is said in each."""
MEBI = 1 << 20
RATIO_GOAL = at_least(0.8, 1.0)
RSS_GOAL = at_most(80, 60)


def _ip(*words: str) -> None:
    subprocess.run([need("ip", "iproute2"), *words], check=True, capture_output=True)


@contextmanager
def _veth() -> Iterator[str]:
    """A device whose other end is in a network namespace where somebody listens."""
    namespace, device = f"bench-{os.getpid()}", f"ptA{os.getpid()}"
    _ip("netns", "add", namespace)
    listen = "import socket,sys; s=socket.socket(type=socket.SOCK_DGRAM); s.bind((sys.argv[1], int(sys.argv[2]))); "
    try:
        _ip("link", "add", device, "type", "veth", "peer", "name", "ptB", "netns", namespace)
        _ip("address", "add", f"{HERE}/24", "dev", device)
        _ip("link", "set", device, "up")
        _ip("-n", namespace, "address", "add", f"{THERE}/24", "dev", "ptB")
        _ip("-n", namespace, "link", "set", "ptB", "up")
        words = ["ip", "netns", "exec", namespace, "python3", "-c", f"{listen}print(flush=True); sys.stdin.read()"]
        with subprocess.Popen([*words, THERE, str(PORT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
            assert listener.stdout
            listener.stdout.readline()
            yield device
            listener.kill()
    finally:
        _ip("netns", "delete", namespace)


def _blast(bench: Bench, size: int) -> float:
    """Seconds it took."""
    words = [str(bench.compiled("blast")), THERE, str(PORT), str(size), str(bench.seconds)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return float(said.split()[1])


def _with_tcpdump(bench: Bench, device: str, size: int) -> float:
    """Packets written a second."""
    words = [
        need("tcpdump", "tcpdump"),
        "-n",
        "-i",
        device,
        "-s",
        "0",
        "-Z",
        "root",
        "-w",
        str(bench.directory / "theirs"),
    ]
    with subprocess.Popen([*words, f"udp port {PORT}"], stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr
        assert "listening" in tcpdump.stderr.readline()
        took_s = _blast(bench, size)
        tcpdump.send_signal(signal.SIGINT)
        (captured,) = re.findall(r"^(\d+) packets captured", tcpdump.stderr.read(), re.MULTILINE)
    return int(captured) / took_s


def _with_plaintap(bench: Bench, device: str, size: int, *, rss_mb: Callable[[float], None]) -> float:
    """Packets written a second."""
    words = ("tls", "-m", "pcap", "-i", device, "-w", str(bench.directory / "ours"), f"udp port {PORT}")
    with Tool(bench.plaintap, *words) as tool:
        took_s = _blast(bench, size)
        status = Path(f"/proc/{tool.pid}/status").read_text()
        rss_mb(int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024 / MEBI)
        (written,) = re.findall(r"([\d,]+) packets? ·", tool.stop().summary)
    return int(written.replace(",", "")) / took_s


def measure(bench: Bench) -> Iterator[Figure]:
    """Both write to the same disk, in turns; what either loses it has not written."""
    peaks_mb: list[float] = []
    with _veth() as device:
        for name, size in SIZES.items():
            ratios = []
            for _ in range(bench.rounds):
                theirs = _with_tcpdump(bench, device, size)
                ratios.append(_with_plaintap(bench, device, size, rss_mb=peaks_mb.append) / theirs)
            note = "packets a second in the file while one program sends as fast as it can, by those of tcpdump -w"
            yield median_of(ratios, what=f"packets of {name} written", unit="x tcpdump", goal=RATIO_GOAL, note=note)
    yield median_of(peaks_mb, what="peak memory with packets", unit="MB", goal=RSS_GOAL)
