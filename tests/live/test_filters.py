# SPDX-License-Identifier: Apache-2.0
"""Who is captured: every filter lets one process in and keeps another one out at the same time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness.tap import Tap, Taps
from harness.target import NOBODY, Target, Targets, as_nobody

MARKER = "this was said by somebody who is not captured"


def check_one_in_one_out(targets: Targets, tap: Tap, wanted: Target, *, unwanted_before: tuple[str, ...] = ()) -> None:
    bystander = targets.bystander(MARKER, before=unwanted_before)
    bystander.speak()
    comm = wanted.comm
    wanted.go()
    said = wanted.finish()
    bystander.check_spoke()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm=comm)
    assert streams.pids == {wanted.pid}
    bystander.check_absent(tap.record)


def test_pid(targets: Targets, taps: Taps) -> None:
    wanted = targets.ready("pairs", 2, 3, 5000, 1)
    check_one_in_one_out(targets, taps.ready("--pid", wanted.pid), wanted)


def test_more_pids_than_get_links_of_their_own(targets: Targets, taps: Taps) -> None:
    """With many pids the probes go in for everybody, and the programs choose."""
    wanted = [targets.ready("pairs", 1, 2, 100, 1) for _ in range(20)]
    bystander = targets.bystander(MARKER)
    tap = taps.ready("--pid", ",".join(str(target.pid) for target in wanted))
    bystander.speak()
    for target in wanted:
        target.go()
    said = [truth for target in wanted for truth in target.finish()]
    bystander.check_spoke()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm="pairs")
    assert streams.pids == {target.pid for target in wanted}
    bystander.check_absent(tap.record)


def test_uid(targets: Targets, taps: Taps) -> None:
    wanted = targets.ready("pairs", 2, 3, 5000, 1, before=as_nobody())
    check_one_in_one_out(targets, taps.ready("-u", NOBODY), wanted)


def test_uid_is_recorded(targets: Targets, taps: Taps) -> None:
    wanted = targets.ready("pairs", 1, 1, 10, 1, before=as_nobody())
    tap = taps.ready("--pid", wanted.pid)
    wanted.go()
    wanted.finish()
    streams = tap.stop_clean().streams
    assert {seen.uid for stream in streams.all for seen in stream.seen} == {NOBODY}


def test_uid_zero_is_root(targets: Targets, taps: Taps) -> None:
    """Other processes of root may speak meanwhile, so only these two are looked at."""
    wanted = targets.ready("pairs", 2, 3, 5000, 1)
    bystander = targets.bystander(MARKER, before=as_nobody())
    tap = taps.ready("-u", 0)
    bystander.speak()
    wanted.go()
    said = wanted.finish()
    bystander.check_spoke()
    streams = tap.stop_clean().streams
    streams.check_all(said, comm="pairs")
    streams.check_absent(bystander.pid)
    bystander.check_absent(tap.record)


def test_comm(targets: Targets, taps: Taps) -> None:
    """The whole name counts: a name that only begins like it is another one."""
    names = ("wanted-program", "wanted-programs")
    for name in names:
        shutil.copy(targets.compiled("pairs"), targets.folder / name)
    wanted, alike = (targets.start([str(targets.folder / name), "1", "2", "100", "1"]) for name in names)
    for target in (wanted, alike):
        target.expect("ready")
    tap = taps.ready("--comm", names[0])
    alike.go()
    alike.finish()
    check_one_in_one_out(targets, tap, wanted)


def test_comm_of_a_process_not_of_its_threads(targets: Targets, taps: Taps) -> None:
    server = targets.server()
    name = "thread-leader"
    shutil.copy(targets.compiled("threads"), targets.folder / name)
    words = [*map(str, server.address), "3", "2", "100"]
    wanted = targets.start([str(targets.folder / name), *words])
    wanted.expect("ready")
    check_one_in_one_out(targets, taps.ready("--comm", name), wanted)


def test_filters_together(targets: Targets, taps: Taps) -> None:
    """All must let a process in."""
    wanted = targets.ready("pairs", 1, 2, 100, 1, before=as_nobody())
    same_name = targets.ready("pairs", 1, 2, 100, 1)
    tap = taps.ready("--comm", "pairs", "-u", NOBODY)
    same_name.go()
    same_name.finish()
    check_one_in_one_out(targets, tap, wanted, unwanted_before=as_nobody())


@pytest.mark.parametrize("place", [".", "below"])
def test_cgroup_with_descendants(targets: Targets, taps: Taps, cgroup: Path, place: str) -> None:
    wanted = targets.ready("pairs", 2, 3, 5000, 1)
    (cgroup / place / "cgroup.procs").write_text(str(wanted.pid))
    check_one_in_one_out(targets, taps.ready("--cgroup_path", cgroup), wanted)


def test_cgroup_above_is_outside(targets: Targets, taps: Taps, cgroup: Path) -> None:
    above = targets.ready("pairs", 1, 2, 100, 1)
    wanted = targets.ready("pairs", 2, 3, 5000, 1)
    (cgroup / "cgroup.procs").write_text(str(above.pid))
    (cgroup / "below" / "cgroup.procs").write_text(str(wanted.pid))
    tap = taps.ready("--cgroup_path", cgroup / "below")
    above.go()
    above.finish()
    check_one_in_one_out(targets, tap, wanted)


def test_libssl_narrows_to_one_library(targets: Targets, taps: Taps, library_copy: Path) -> None:
    wanted = targets.start(
        targets.command("pairs", 2, 3, 5000, 1), environment={"LD_LIBRARY_PATH": str(library_copy.parent)}
    )
    wanted.expect("ready")
    check_one_in_one_out(targets, taps.ready("--libssl", library_copy), wanted)
