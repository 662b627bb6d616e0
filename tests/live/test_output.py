# SPDX-License-Identifier: Apache-2.0
"""Standard output that is full, closed, or nobody's: the capture, its recording and its end do not depend on it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.require import require_command
from harness.streams import Streams
from harness.tap import Taps
from harness.target import Targets

ENDS_WITHIN_S = 3.0
LOST = re.compile(r"lost ([\d,]+) writes? \(([\d,]+) bytes\): the output could not take them$")


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The end for writing of a pipe that holds all it can and is never read."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(write_end, False)
    while True:
        try:
            os.write(write_end, b"\0" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(write_end, True)
    yield write_end
    os.close(write_end)
    os.close(read_end)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.matrix)])
def test_output_that_nobody_reads(targets: Targets, taps: Taps, full_pipe: int, number: int) -> None:
    """It ends soon all the same, names what it could not show, and the recording has everything."""
    server = targets.server("http")
    paths = [f"/number/{number}000" for number in range(9)]
    client = targets.ready("client.py", *server.address, targets.certificate, *paths)
    comm = client.comm
    tap = taps.ready("--pid", f"{client.pid},{os.getpid()}", "--format", "text", "-v", stdout=full_pipe)
    client.go()
    said = client.finish()
    tap.wait_until_drained()
    began = time.monotonic()
    ended = tap.stop(number)
    assert time.monotonic() - began < ENDS_WITHIN_S
    ended.check_clean()
    lost = LOST.search(ended.summary)
    assert lost, ended.err
    assert int(lost[1].replace(",", "")) >= 1
    assert int(lost[2].replace(",", "")) > sum(int(path.rpartition("/")[2]) for path in paths)
    assert f"{len(paths)} exchanges" in ended.summary
    ended.streams.check_all(said, comm=comm)


@pytest.mark.matrix
def test_output_that_nobody_reads_after_a_capture_that_ended_by_itself(
    targets: Targets, taps: Taps, full_pipe: int
) -> None:
    """It waits for its reader until it is interrupted; with --strict what was never shown is a failure."""
    target = targets.ready("pairs", 1, 1, 100, 1)
    tap = taps.ready("--pid", target.pid, "--format", "text", "--strict", stdout=full_pipe)
    target.go()
    said = target.finish()
    tap.wait_for_err(f"pid {target.pid} ended")
    began = time.monotonic()
    ended = tap.stop()
    assert time.monotonic() - began < ENDS_WITHIN_S
    ended.check_clean(code=1)
    assert LOST.search(ended.summary), ended.err
    ended.streams.check_all(said, comm="pairs")


def test_closed_output_beside_a_recording(targets: Targets, taps: Taps) -> None:
    """The recording may get the free descriptor; text never gets into it."""
    close = ("sh", "-c", 'exec "$0" "$@" >&-')
    target = targets.ready("pairs", 2, 2, 500, 1)
    tap = taps.ready("--pid", target.pid, "--format", "text", before=close)
    target.go()
    said = target.finish()
    ended = tap.wait()
    assert ended.code in {0, 1}
    ended.check_clean(code=ended.code)
    ended.streams.check_all(said, comm="pairs")
    replayed = taps.run("replay", "--strict", tap.record)
    replayed.check_clean()
    assert replayed.summary.endswith("nothing lost")


def test_everything_closed_beside_a_recording(targets: Targets, taps: Taps) -> None:
    """Standard input and error too, as a careless daemon would."""
    close = ("sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-')
    target = targets.ready("pairs", 2, 2, 500, 1)
    tap = taps.ready("--pid", target.pid, "--format", "text", before=close)
    target.go()
    said = target.finish()
    ended = tap.wait()
    assert ended.err == ""
    ended.streams.check_all(said, comm="pairs")


# Where it is recorded.


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A /dev/null of our own: the host's is not risked."""
    path = tmp_path / "null"
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 3))
    path.chmod(0o666)
    return path


def test_recording_to_a_device_keeps_its_mode(targets: Targets, taps: Taps, device: Path) -> None:
    before = device.stat()
    target = targets.ready("pairs", 1, 1, 100, 1)
    tap = taps.ready("--pid", target.pid, "--record", device)
    target.go()
    target.finish()
    ended = tap.wait()
    ended.check_clean()
    assert ended.summary.endswith("nothing lost")
    after = device.stat()
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)


def test_recording_to_a_fifo(targets: Targets, taps: Taps, tmp_path: Path) -> None:
    """Its mode stays, and who reads it gets the recording."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o640)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = fifo.stat().st_mode
        target = targets.ready("pairs", 1, 2, 500, 1)
        tap = taps.ready("--pid", target.pid, "--record", fifo)
        target.go()
        said = target.finish()
        tap.wait().check_clean()
        assert fifo.stat().st_mode == mode
        content = b""
        while select.select([reader], [], [], 0)[0] and (piece := os.read(reader, 1 << 16)):
            content += piece
    finally:
        os.close(reader)
    copy = tmp_path / "copy"
    copy.write_bytes(content)
    Streams.from_recording(copy).check_all(said, comm="pairs")


def test_recording_to_a_fifo_that_nobody_reads(taps: Taps, tmp_path: Path) -> None:
    """Said at once, rather than waited for."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ended = taps.run("tls", "--record", fifo, "--format", "none", "--duration", "100ms")
    ended.check_clean(code=1)
    assert f"cannot record to {fifo}: " in ended.err


@pytest.mark.parametrize("reason", ["library", "pid", "privilege"])
def test_start_that_fails_leaves_a_recording_as_it_was(taps: Taps, tmp_path: Path, reason: str) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"the only recording of that day")
    path.chmod(0o644)
    before = path.stat()
    flags: dict[str, tuple[object, ...]] = {
        "library": ("--libssl", "/bin/ls"),
        "pid": ("--pid", int(Path("/proc/sys/kernel/pid_max").read_text()) - 1),
        "privilege": (),
    }
    words = (require_command("setpriv"), "--bounding-set=-all", "--inh-caps=-all") if reason == "privilege" else ()
    ended = taps.run("tls", *flags[reason], "--record", path, before=words)
    ended.check_clean(code=1)
    assert path.read_bytes() == b"the only recording of that day"
    after = path.stat()
    assert (after.st_mode, after.st_ino, after.st_mtime_ns) == (before.st_mode, before.st_ino, before.st_mtime_ns)
