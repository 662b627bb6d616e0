# SPDX-License-Identifier: Apache-2.0
"""Both ends of a connection on this host: two exchanges, or with `--once` one, which names both processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.h2 import H2
from harness.require import require_command
from harness.shown import Shown
from harness.tap import Taps
from harness.target import Target, Targets


def start_any(targets: Targets, version: str) -> tuple[Target, int]:
    """A server that curl speaks this version with, and its port."""
    if version == "--http2":
        h2 = H2(targets)
        return h2.server, h2.port
    server = targets.server("http")
    return server, server.port


@pytest.mark.parametrize("flag", [(), ("--once",)], ids=["both ends", "once"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_once(targets: Targets, taps: Taps, tmp_path: Path, version: str, flag: tuple[str, ...]) -> None:
    """`--once`: what both ends say is shown as the client's, and the process at the other end is named."""
    server, port = start_any(targets, version)
    comm = server.comm
    tap = taps.ready("--format", f"json,text:{tmp_path / 'text'}", "-t", 0, *flag)
    urls = [f"https://127.0.0.1:{port}/once/{number}/{number}00" for number in range(5)]
    curl = targets.start([require_command("curl"), "-sS", version, "--cacert", str(targets.certificate), *urls])
    assert curl.wait() == 0, curl.errors
    assert server.wait() == 0
    shown = Shown.of(tap.stop_clean().out).of_processes({curl.pid, server.pid})
    shown.check_whole()
    for pid, expected in ((curl.pid, urls), (server.pid, [] if flag else urls)):
        exchanges = shown.type("exchange", pid)
        assert [line["request"]["url"] for line in exchanges] == expected
        assert {line["direction"] for line in exchanges} <= {"out" if pid == curl.pid else "in"}
    lines = [line for line in (tmp_path / "text").read_text().splitlines() if f"curl[{curl.pid}]" in line]
    named = [line.endswith(f"{comm}[{server.pid}]") for line in lines]
    assert named == [bool(flag)] * len(urls), lines
