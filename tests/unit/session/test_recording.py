# SPDX-License-Identifier: Apache-2.0
"""A recording that cannot go on says so once, and what is left of it is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from plaintap.errors import RecordingError
from plaintap.events import Meta
from plaintap.runtime import recording as files
from plaintap.session.recording import Recording


def test_without_a_path_nothing_happens() -> None:
    why: list[str] = []
    recording = Recording(None, clock_offset_ns=5, ended=why.append)
    recording.begin()
    recording.meta(Meta(name="a"))
    recording.raw(b"record")
    recording.close()
    assert (recording.fd, recording.failed, why) == (-1, False, [])


def test_what_is_ours_comes_after_the_beginning(tmp_path: Path) -> None:
    recording = Recording(str(tmp_path / "a.ptap"), clock_offset_ns=5, ended=pytest.fail)
    recording.meta(Meta(library=1, name="a"))
    recording.begin()
    assert recording.fd >= 0
    recording.close()
    assert len(list(files.read(str(tmp_path / "a.ptap")))) == 2


def test_a_full_disk_is_told_once() -> None:
    why: list[str] = []
    recording = Recording("/dev/full", clock_offset_ns=5, ended=why.append)
    for _ in range(2):
        recording.meta(Meta(library=1, name="a"))
    assert why == ["cannot record to /dev/full: no space left on device"]
    assert (recording.failed, recording.fd) == (True, -1)
    recording.close()


def test_a_beginning_that_fails_is_the_callers() -> None:
    recording = Recording("/dev/full", clock_offset_ns=5, ended=pytest.fail)
    with pytest.raises(RecordingError, match="cannot record to /dev/full"):
        recording.begin()
    recording.close()


def test_where_the_ring_cannot_write_it_ends(tmp_path: Path) -> None:
    why: list[str] = []
    path = tmp_path / "a.ptap"
    recording = Recording(str(path), clock_offset_ns=5, ended=why.append)
    recording.begin()
    size_bytes = path.stat().st_size
    recording.fail("no space left on device")
    recording.raw(b"more")
    assert why == [f"cannot record to {path}: no space left on device"]
    assert (recording.fd, path.stat().st_size) == (-1, size_bytes)
    recording.close()
