# SPDX-License-Identifier: Apache-2.0
"""What a capture says of itself, to the user and, from the first line on, to the outputs that want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from plaintap import __version__
from plaintap.messages import Totals
from plaintap.outputs.summary import ready_line

if TYPE_CHECKING:
    from plaintap.session.pipeline import Reporter

_EARLY_LINES = 128


class LoggedReporter:
    """A reporter that tells another one, and a log."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._early: list[str] = []
        self._log: Callable[[str], None] | None = None

    def log_to(self, log: Callable[[str], None]) -> None:
        """From now on, and what was said before."""
        self._log = log
        early, self._early = self._early, []
        for text in early:
            log(text)

    def ready(
        self,
        *,
        processes: int,
        tls_processes: int,
        libraries: list[str],
        seconds: float,
        keys_to: str = "",
        packets_to: str = "",
    ) -> None:
        """See `pipeline.Reporter`."""
        self._tell(
            ready_line(
                __version__, processes, libraries, tls_processes, seconds, keys_to=keys_to, packets_to=packets_to
            )
        )
        self._reporter.ready(
            processes=processes,
            tls_processes=tls_processes,
            libraries=libraries,
            seconds=seconds,
            keys_to=keys_to,
            packets_to=packets_to,
        )

    def notice(self, text: str) -> None:
        """See `pipeline.Reporter`."""
        self._reporter.notice(text)
        self._tell(text)

    def debug(self, text: str) -> None:
        """See `pipeline.Reporter`; a log of others has no debugging."""
        self._reporter.debug(text)

    def summary(self, totals: Totals) -> None:
        """See `pipeline.Reporter`; the log had it before it was closed."""
        self._reporter.summary(totals)

    def _tell(self, text: str) -> None:
        if self._log:
            self._log(text)
        elif len(self._early) < _EARLY_LINES:
            self._early.append(text)
