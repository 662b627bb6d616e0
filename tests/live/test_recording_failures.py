# SPDX-License-Identifier: Apache-2.0
"""A recording that cannot go on: said once, whole up to there, and the capture itself goes on."""

from __future__ import annotations

import re
import resource
from pathlib import Path

from harness.streams import Stream, Streams
from harness.tap import Ended, Tap, Taps
from harness.target import Target, Targets
from harness.truth import Truth

NOTICE = "recording ends here"


def limit(tap: Tap, size_bytes: int) -> None:
    """No file of this process grows beyond so much, as on a disk that is full."""
    resource.prlimit(tap.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))


def check_notice(ended: Ended, record: Path) -> None:
    assert ended.err.count(NOTICE) == 1, ended.err
    assert f"plaintap: cannot record to {record}: file too large; {NOTICE}" in ended.err
    assert re.search(r"lost .*recording", ended.summary), ended.summary


def check_beginning(stream: Stream, said: Truth, *, size: int) -> None:
    """What was recorded is the beginning, without holes, and less than all."""
    for direction, truth in ((stream.read, said.read), (stream.written, said.written)):
        assert direction.gaps == []
        assert len(direction.bytes) <= truth.count
    assert len(stream.written.bytes) < size


def speaker(targets: Targets) -> tuple[Target, str]:
    server = targets.server("http")
    paths = [f"/number/{number}0000" for number in range(1, 9)]
    client = targets.ready("client.py", *server.address, targets.certificate, *(f"{path}+" for path in paths))
    return client, client.comm


def test_recording_that_fails_midway(targets: Targets, taps: Taps) -> None:
    """Everything is still shown."""
    client, _ = speaker(targets)
    tap = taps.ready("--pid", client.pid, "--format", "text")
    limit(tap, 60_000)
    client.go()
    (said,) = client.finish()
    ended = tap.wait()
    ended.check_clean(code=1)
    check_notice(ended, tap.record)
    assert len([line for line in ended.out.splitlines() if "/number/" in line]) == 8
    assert "8 exchanges" in ended.summary
    assert tap.record.stat().st_size <= 60_000
    (stream,) = ended.streams.all
    check_beginning(stream, said, size=said.written.count)
    replayed = taps.run("replay", tap.record)
    replayed.check_clean()
    *whole, last = [line for line in replayed.out.splitlines() if " 200 " in line]
    assert whole
    assert whole == [line for line in ended.out.splitlines() if " 200 " in line][: len(whole)]
    assert "incomplete" in last


def test_recording_that_fails_where_nothing_is_shown(targets: Targets, taps: Taps) -> None:
    """There is nothing left to do: it ends by itself although the target lives."""
    target = targets.ready("two_parts", *targets.server().address, 200_000, 20)
    tap = taps.ready("--pid", target.pid)
    target.go()
    target.expect("first")
    limit(tap, 30_000)
    target.go()
    target.expect("spoken")
    ended = tap.wait()
    ended.check_clean(code=1)
    check_notice(ended, tap.record)
    (stream,) = ended.streams.all
    assert stream.written.gaps == []
    assert len(stream.written.bytes) < 200_000
    target.go()
    target.finish()


def test_recording_that_fails_at_the_end(targets: Targets, taps: Taps) -> None:
    """What is written last, the counters and the ends of what is open, finds no room."""
    target = targets.ready("two_parts", *targets.server().address, 5_000, 5)
    tap = taps.ready("--pid", target.pid, "--format", "text")
    target.go()
    target.expect("first")
    target.go()
    target.expect("spoken")
    tap.wait_until_drained()
    limit(tap, tap.record.stat().st_size)
    ended = tap.stop()
    ended.check_clean(code=1)
    check_notice(ended, tap.record)
    (stream,) = ended.streams.all
    assert len(stream.written.bytes) == 22 + 100 + 22 + 5_000
    assert stream.written.gaps == []
    target.go()
    target.finish()


def test_recording_to_a_full_disk(targets: Targets, taps: Taps) -> None:
    """/dev/full refuses every byte with the words of a full disk."""
    target = targets.ready("pairs", 1, 1, 1, 1)
    ended = taps.run("tls", "--pid", target.pid, "--record", "/dev/full", "--format", "none")
    ended.check_clean(code=1)
    assert "cannot record to /dev/full: no space left on device" in ended.err


def test_recording_after_the_failure_is_left_alone(targets: Targets, taps: Taps) -> None:
    """Even when there is room again: a hole in the middle would be worse."""
    target = targets.ready("two_parts", *targets.server().address, 100_000, 20)
    tap = taps.ready("--pid", target.pid, "--format", "text")
    target.go()
    target.expect("first")
    tap.wait_until_drained()
    limit(tap, tap.record.stat().st_size + 1_000)
    target.go()
    target.expect("spoken")
    tap.wait_for_err(NOTICE)
    resource.prlimit(tap.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    target.go()
    target.finish()
    ended = tap.wait()
    ended.check_clean(code=1)
    check_notice(ended, tap.record)
    (stream,) = Streams.from_recording(tap.record).all
    assert (stream.read.gaps, stream.written.gaps) == ([], [])
    assert tap.record.stat().st_size < 50_000
