# SPDX-License-Identifier: Apache-2.0
"""Many goroutines over few connections, with the collector always at work: every byte, in order, both ends."""

from __future__ import annotations

import pytest
from harness.golang import SUITES, WHEELS, Build
from harness.tap import Taps
from harness.target import Target, Targets

pytestmark = pytest.mark.timeout(600)  # the first of a version fetches its toolchain
WHOLE = (200, 10_000, 1 << 20)
SMALL = (50, 2_000, 1 << 18)
RING_KIB = 1 << 18
ALWAYS_COLLECTING = {"GOGC": "1"}


def start(targets: Targets, build: Build, role: str, port: object, *flags: object) -> Target:
    files = ("--certificate", targets.certificate, "--key", targets.key)
    words = (build.program("stress", targets.folder), role, "127.0.0.1", port, *files, *flags)
    return targets.start([*map(str, words)], environment=ALWAYS_COLLECTING)


@pytest.mark.parametrize(
    ("version", "form", "size"),
    [
        ("1.24", "pie-stripped", SMALL),
        *(pytest.param(version, "plain", WHOLE, marks=pytest.mark.matrix) for version in (*SUITES, *WHEELS)),
    ],
)
def test_stress(targets: Targets, taps: Taps, version: str, form: str, size: tuple[int, int, int]) -> None:
    connections, messages, most = size
    build = Build(version, form)
    server = start(targets, build, "server", 0)
    (port,) = server.expect("ready")
    amount = ("--connections", connections, "--messages", messages, "--most", most)
    client = start(targets, build, "client", port, *amount)
    client.expect("ready")
    tap = taps.ready("--pid", f"{client.pid},{server.pid}", "--mapsize", RING_KIB, command=("gotls",))
    client.go()
    client.expect("done")
    said, served = client.finish(), server.finish()
    assert len(said) == connections
    assert {truth.other_end(server.pid) for truth in said} == set(served)
    streams = tap.stop_clean().streams
    streams.check_all([*said, *served], comm="stress")
    assert streams.pids == {client.pid, server.pid}
