# SPDX-License-Identifier: Apache-2.0
"""Which layout a library begins with, whom calibration is asked for, and that nothing is left of it at the end."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from plaintap.errors import TargetError, UsageError
from plaintap.modules.attacher import Library
from plaintap.modules.base import ProbePlan
from plaintap.session.layouts import Layouts, Settled
from plaintap.targets.calibration import calibrator
from plaintap.targets.layouts.lookup import find_layout
from plaintap.targets.layouts.model import KnownLayout, Layout, Origin

FOUND = KnownLayout(layout=Layout(version=8), origin=Origin.CALIBRATION, label="calibrated")
WITHIN_S = 10.0


class FakeCalibrator:
    """Answers each library when the test says so; `asked` tells when one has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.libcryptos: list[bytes | None] = []
        self.answers: queue.SimpleQueue[KnownLayout | Exception] = queue.SimpleQueue()
        monkeypatch.setattr(calibrator, "calibrated", self._calibrated)

    def _calibrated(self, fd: int, *, name: str, beside: str, libcrypto: str | None) -> KnownLayout:
        os.fstat(fd)
        self.libcryptos.append(Path(libcrypto).read_bytes() if libcrypto else None)
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


def nobody(said: str) -> None:
    """There is nothing to say."""
    raise AssertionError(said)


def nothing() -> None:
    """No other half is mapped."""


def attach(layouts: Layouts, number: int, fd: int) -> None:
    layouts.find(plan(None), "/somewhere", fd, nothing)
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
        layouts = Layouts(ssl_version=None, keys=keys, notice=nobody)
        known = layouts.find(plan("3.0.13"), "/somewhere", fd, nothing)
        assert known is not None
        assert known.origin is Origin.TABLE
        assert (layouts._file is not None) == keys
        layouts.close()


@pytest.mark.parametrize("version", ["9.9.9", "GnuTLS 3.7.9"])
def test_an_unknown_version_is_told_at_once(version: str) -> None:
    with pytest.raises(UsageError, match=f"no layout is known of '{version}'"):
        Layouts(ssl_version=version, keys=True, notice=nobody)


@pytest.mark.parametrize(
    ("version", "label", "said"),
    [
        ("GnuTLS 3.7.9", "GnuTLS 3.7.7-3.7.11", []),
        ("GnuTLS 3.8.10", "GnuTLS 3.8.7-3.8.9", ["GnuTLS 3.8.7-3.8.9 is used: keys may be wrong"]),
        ("GnuTLS 4.0.0", None, ["no keys"]),
        (None, None, ["no keys"]),
    ],
)
def test_what_cannot_be_calibrated_is_said_at_once(
    fd: int, version: str | None, label: str | None, said: list[str]
) -> None:
    """Nothing is kept open of it, nor of the library before."""
    notices: list[str] = []
    layouts = Layouts(ssl_version=None, keys=True, notice=notices.append)
    layouts.find(plan("3.0.22"), "/somewhere", fd, nothing)
    known = layouts.find(replace(plan(version), calibrated=False), "/somewhere", fd, nothing)
    assert (known.label if known else None) == label
    assert layouts._file is None
    assert len(notices) == len(said)
    assert all(part in notice for part, notice in zip(said, notices, strict=True))


def test_what_was_forced_is_not_tested(fd: int) -> None:
    layouts = Layouts(ssl_version="3.0.13", keys=True, notice=nobody)
    known = layouts.find(plan(None), "/somewhere", fd, nothing)
    assert known is not None
    assert known.label
    assert layouts._file is None


@pytest.mark.parametrize(
    ("forced", "version", "said"),
    [
        ("3.0.13", "3.0.22", "libssl: says that it is 3.0.22, is taken for 3.0.13 (--ssl_version)"),
        ("3.0.13", "3.0.13+quic", "libssl: says that it is 3.0.13+quic, is taken for 3.0.13 (--ssl_version)"),
        ("openssl 3.0.13", "3.0.13", None),
        ("3.0.13", None, None),
        ("BoringSSL", None, None),
        ("boringssl_a_14", "BoringSSL", None),
    ],
)
def test_what_the_file_says_otherwise_is_said_once(fd: int, forced: str, version: str | None, said: str | None) -> None:
    notices: list[str] = []
    layouts = Layouts(ssl_version=forced, keys=True, notice=notices.append)
    for _ in range(2):
        known = layouts.find(plan(version), "/somewhere", fd, nothing)
        assert known == find_layout(forced)
    assert notices == ([said] if said else [])


@pytest.mark.parametrize(
    ("forced", "version", "said"),
    [
        ("3.0.13", "BoringSSL", "libssl: says that it is BoringSSL, is no 3.0.13 (--ssl_version)"),
        ("boringssl", "3.0.22", "libssl: says that it is 3.0.22, is no boringssl (--ssl_version)"),
        ("boringssl", "LibreSSL 3.8.2", "libssl: says that it is LibreSSL 3.8.2, is no boringssl (--ssl_version)"),
    ],
)
def test_another_family_keeps_its_layout(fd: int, forced: str, version: str, said: str) -> None:
    notices: list[str] = []
    layouts = Layouts(ssl_version=forced, keys=False, notice=notices.append)
    assert layouts.find(plan(version), "/somewhere", fd, nothing) == find_layout(version)
    assert notices == [said]


def test_answers_come_in_order(calibration: FakeCalibrator, fd: int) -> None:
    layouts = Layouts(ssl_version=None, keys=True, notice=nobody)
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


def test_the_libcrypto_of_the_process_is_given(calibration: FakeCalibrator, fd: int, tmp_path: Path) -> None:
    """It is held open: its process may have ended when its library's turn comes."""
    before = descriptors()
    crypto = tmp_path / "libcrypto.so.3"
    crypto.write_bytes(b"the mapped one")
    layouts = Layouts(ssl_version=None, keys=True, notice=nobody)
    layouts.find(plan(None), "/somewhere", fd, lambda: str(crypto))
    crypto.unlink()
    layouts.attached(library(1))
    layouts.find(plan(None), "/somewhere", fd, lambda: str(crypto))
    layouts.attached(library(2))
    for _ in range(2):
        calibration.answers.put(FOUND)
        calibration.asked.get(timeout=WITHIN_S)
    layouts._queue.put(None)
    assert layouts._thread is not None
    layouts._thread.join(WITHIN_S)
    assert calibration.libcryptos == [b"the mapped one", None]
    assert descriptors() == before


def test_what_is_put_back_comes_again() -> None:
    layouts = Layouts(ssl_version=None, keys=True, notice=nobody)
    settled = Settled(library(1), FOUND)
    layouts.put_back(settled)
    assert layouts.take_settled() == [settled]


def test_after_the_end_no_child_is_started(calibration: FakeCalibrator, fd: int) -> None:
    before = descriptors()
    layouts = Layouts(ssl_version=None, keys=True, notice=nobody)
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
    layouts = Layouts(ssl_version=None, keys=True, notice=nobody)
    layouts.find(plan(None), "/somewhere", fd, nothing)
    layouts.close()
    layouts.attached(library(1))
    attach(layouts, 2, fd)
    finish(layouts)
    assert calibration.asked.empty()
    assert descriptors() == before
