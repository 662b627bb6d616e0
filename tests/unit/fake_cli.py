# SPDX-License-Identifier: Apache-2.0
"""The command line with an outer world of the test's own: a session that only writes down what it was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from plaintap.cli.invocation import RunningCapture
from plaintap.cli.main import main
from plaintap.cli.reporter import Reporter
from plaintap.config import CaptureConfig, ReplayConfig


@dataclass
class FakeSession:
    """Stands for plaintap.session."""

    code: int = 0
    error: BaseException | None = None
    captures: list[tuple[CaptureConfig, Sequence[str] | None]] = field(default_factory=list)
    replays: list[ReplayConfig] = field(default_factory=list)

    def capture(
        self,
        config: CaptureConfig,
        *,
        command: Sequence[str] | None,
        reporter: Reporter,
        after_start: Callable[[RunningCapture], None] | None = None,
    ) -> int:
        assert isinstance(reporter, Reporter)
        self.captures.append((config, command))
        return self._end()

    def replay(self, config: ReplayConfig, *, reporter: Reporter) -> int:
        assert isinstance(reporter, Reporter)
        self.replays.append(config)
        return self._end()

    def _end(self) -> int:
        if self.error is not None:
            raise self.error
        return self.code


@dataclass
class Outcome:
    """How a call ended."""

    code: int
    out: str
    err: str
    session: FakeSession

    @property
    def capture(self) -> CaptureConfig:
        (only,) = self.session.captures
        return only[0]

    @property
    def replay(self) -> ReplayConfig:
        (only,) = self.session.replays
        return only


@dataclass
class Cli:
    """Calls the command line."""

    capsys: pytest.CaptureFixture[str]
    session: FakeSession
    environ: dict[str, str]

    def __call__(self, *arguments: str) -> Outcome:
        self.session = FakeSession(self.session.code, self.session.error)
        code = main(arguments, environ=self.environ, import_session=lambda: self.session)
        out, err = self.capsys.readouterr()
        return Outcome(code, out, err, self.session)

    def refused(self, *arguments: str) -> str:
        """What is said of a wrong use; nothing was captured."""
        outcome = self(*arguments)
        assert outcome.code == 2
        assert outcome.out == ""
        assert not outcome.session.captures
        assert not outcome.session.replays
        return outcome.err
