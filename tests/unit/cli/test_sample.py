# SPDX-License-Identifier: Apache-2.0
"""`--sample` without its exchange: what is missing is said, a recording stands in where nothing can be captured."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from plaintap.cli.invocation import RunningCapture
from plaintap.cli.reporter import Reporter
from plaintap.cli.sample import RECORDING, capture_sample
from plaintap.config import CaptureConfig, CommonConfig, ReplayConfig
from plaintap.errors import PlaintapError, PrivilegeError


class Stream(io.StringIO):
    """Standard error; knows when something was said."""

    def __init__(self) -> None:
        super().__init__()
        self.said = threading.Event()

    def flush(self) -> None:
        self.said.set()


@dataclass
class Session:
    """Captures until something was said, or not at all."""

    stream: Stream
    error: PlaintapError | None = None
    stopped: bool = False
    replayed: list[str] = field(default_factory=list)

    def capture(
        self,
        config: CaptureConfig,
        *,
        command: Sequence[str] | None,
        reporter: Reporter,
        after_start: Callable[[RunningCapture], None] | None = None,
    ) -> int:
        if self.error:
            raise self.error
        assert after_start
        after_start(self)
        assert self.stream.said.wait(30)
        return 0

    def stop(self) -> None:
        self.stopped = True

    def replay(self, config: ReplayConfig, *, reporter: Reporter) -> int:
        self.replayed.append(config.path)
        return 0


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host without openssl and curl."""
    monkeypatch.setenv("PATH", str(tmp_path))


def sample(session: Session, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[int, str]:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: terminal)
    reporter = Reporter(stream=session.stream, environ={})
    return capture_sample(CaptureConfig(common=CommonConfig(sample=True)), session, reporter), session.stream.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_missing_program_is_said_and_with_nobody_there_that_was_all(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    session = Session(Stream())
    code, said = sample(session, monkeypatch, terminal=terminal)
    assert said == "plaintap: the sample exchange failed: it needs openssl, as in apt-get install openssl\n"
    assert code == (0 if terminal else 1)
    assert session.stopped is not terminal


def test_without_privileges_there_is_a_recording_and_no_program_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(Stream(), error=PrivilegeError("not allowed", hint="sudo"))
    code, said = sample(session, monkeypatch, terminal=False)
    assert code == 0
    assert said.startswith("plaintap: not allowed\nplaintap: sudo\n")
    assert [path.endswith(RECORDING) for path in session.replayed] == [True]
