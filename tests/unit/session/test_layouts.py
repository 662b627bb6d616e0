# SPDX-License-Identifier: Apache-2.0
"""Which layout a library begins with, whom calibration is asked for, and that nothing is left of it at the end."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from plaintap.errors import TargetError, UsageError
from plaintap.modules.attacher import Library
from plaintap.modules.base import ProbePlan
from plaintap.session.layouts import Layouts, Settled
from plaintap.targets.calibration import calibrator
from plaintap.targets.layouts.model import KnownLayout, Layout, Origin

FOUND = KnownLayout(layout=Layout(version=8), origin=Origin.CALIBRATION, label="calibrated")
WITHIN_S = 10.0


class FakeCalibrator:
    """Answers each library when the test says so; `asked` tells when one has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[KnownLayout | Exception] = queue.SimpleQueue()
        monkeypatch.setattr(calibrator, "calibrated", self._calibrated)

    def _calibrated(self, fd: int, *, name: str, beside: str) -> KnownLayout:
        os.fstat(fd)
        self.asked.put(name)
        answer = self.answers.get(timeout=WITHIN_S)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> FakeCalibrator:
    return FakeCalibrator(monkeypatch)


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    file = os.open(tmp_path, os.O_RDONLY)
    yield file
    os.close(file)


def plan(version: str | None) -> ProbePlan:
    return ProbePlan(name="libssl", version=version, points=(), tells_ends=True)


def library(number: int) -> Library:
    return Library(number, f"library {number}", "/somewhere", tells_ends=True)


def attach(layouts: Layouts, number: int, fd: int) -> None:
    layouts.find(plan(None), "/somewhere", fd)
    layouts.attached(library(number))


def finish(layouts: Layouts) -> None:
    layouts.close()
    if layouts._thread:
        layouts._thread.join(WITHIN_S)
        assert not layouts._thread.is_alive()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_version_of_the_tables_is_tested_where_keys_are_wanted(fd: int) -> None:
    for keys in (False, True):
        layouts = Layouts(ssl_version=None, keys=keys)
        known = layouts.find(plan("3.0.13"), "/somewhere", fd)
        assert known is not None
        assert known.origin is Origin.TABLE
        assert (layouts._file is not None) == keys
        layouts.close()


def test_an_unknown_version_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="no layout is known of '9.9.9'"):
        Layouts(ssl_version="9.9.9", keys=True)


def test_what_was_forced_is_not_tested(fd: int) -> None:
    layouts = Layouts(ssl_version="3.0.13", keys=True)
    known = layouts.find(plan(None), "/somewhere", fd)
    assert known is not None
    assert known.label
    assert layouts._file is None


def test_answers_come_in_order(calibration: FakeCalibrator, fd: int) -> None:
    layouts = Layouts(ssl_version=None, keys=True)
    attach(layouts, 1, fd)
    attach(layouts, 2, fd)
    attach(layouts, 3, fd)
    for answer in (FOUND, TargetError("it crashed"), ValueError("a mistake")):
        calibration.answers.put(answer)
    for number in (1, 2, 3):
        assert calibration.asked.get(timeout=WITHIN_S) == f"library {number}"
    layouts._queue.put(None)  # the end, but after the rest
    assert layouts._thread is not None
    layouts._thread.join(WITHIN_S)
    mistake = "library 3 cannot be calibrated: ValueError('a mistake')"
    assert layouts.take_settled() == [
        Settled(library(1), FOUND),
        Settled(library(2), None, "it crashed"),
        Settled(library(3), None, mistake),
    ]
    assert layouts.take_settled() == []


def test_what_is_put_back_comes_again() -> None:
    layouts = Layouts(ssl_version=None, keys=True)
    settled = Settled(library(1), FOUND)
    layouts.put_back(settled)
    assert layouts.take_settled() == [settled]


def test_after_the_end_no_child_is_started(calibration: FakeCalibrator, fd: int) -> None:
    before = descriptors()
    layouts = Layouts(ssl_version=None, keys=True)
    for number in (1, 2, 3):
        attach(layouts, number, fd)
    assert calibration.asked.get(timeout=WITHIN_S) == "library 1"
    layouts.close()
    assert descriptors() == before + 1  # of the one that is being calibrated
    calibration.answers.put(FOUND)
    finish(layouts)
    assert calibration.asked.empty()
    assert descriptors() == before


def test_what_is_attached_after_the_end_is_not_calibrated(calibration: FakeCalibrator, fd: int) -> None:
    """The watching thread may be in the middle of it."""
    before = descriptors()
    layouts = Layouts(ssl_version=None, keys=True)
    layouts.find(plan(None), "/somewhere", fd)
    layouts.close()
    layouts.attached(library(1))
    attach(layouts, 2, fd)
    finish(layouts)
    assert calibration.asked.empty()
    assert descriptors() == before
