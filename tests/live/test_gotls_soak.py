# SPDX-License-Identifier: Apache-2.0
"""Attached and detached again and again under load: every answer is right, and what was attached costs nothing later.

PLAINTAP_SOAK_S is how long the long one takes, 60 without it.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from harness.golang import Build
from harness.goweb import Web
from harness.tap import Taps
from harness.target import Targets

SOAK_S = float(os.environ.get("PLAINTAP_SOAK_S") or 60)
AT_ONCE = 8
PATH = "/size/1000"
KEPT = 0.9


def soak(targets: Targets, taps: Taps, folder: Path, *, seconds: float, round_ms: int) -> float:
    """Rounds of load, half of each attached; throughput while detached over that of a program never attached."""
    places = [folder / name for name in ("attached", "untouched")]
    for place in places:
        place.mkdir()
    build = Build(form="pie-stripped")
    program = build.program("web", targets.folder)
    # A file of its own: what is put into the other one's code is not in it.
    untouched_program = places[1] / program.name
    shutil.copy(program, untouched_program)
    attached = Web(targets, places[0], build, server_flags=("--quiet",))
    untouched = Web(targets, places[1], build, server_flags=("--quiet",), program=untouched_program)
    counts = {"detached": 0, "untouched": 0}
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        attached.client.say(f"load {round_ms // 2} {AT_ONCE} {PATH}")
        tap = taps.ready("--elfpath", program, "--comm", "web", command=("gotls",))
        ended = tap.stop()
        ended.check_clean()
        (answered,) = attached.client.expect("done")
        assert int(answered)
        for name, web in (("detached", attached), ("untouched", untouched)):
            counts[name] += web.ask(f"load {round_ms // 4} {AT_ONCE} {PATH}")
        rounds += 1
    for web in (attached, untouched):
        web.finish()
    assert rounds >= 3
    return counts["detached"] / counts["untouched"]


@pytest.mark.timeout(600)
def test_attached_and_detached_under_load(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    soak(targets, taps, tmp_path, seconds=10, round_ms=2000)


@pytest.mark.matrix
@pytest.mark.timeout(SOAK_S * 2 + 600)
def test_soak(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    kept = soak(targets, taps, tmp_path, seconds=SOAK_S, round_ms=5000)
    assert kept >= KEPT, f"{kept:.2f} of the throughput of a program that nothing was ever attached to"
