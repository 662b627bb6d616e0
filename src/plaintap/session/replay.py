# SPDX-License-Identifier: Apache-2.0
"""Runs a recording through the pipeline, at full speed or as slowly as it was made."""

from __future__ import annotations

import time

from plaintap.config import ReplayConfig
from plaintap.events import Fact, Meta, Record
from plaintap.runtime import recording
from plaintap.session.pipeline import Pipeline, Reporter

NS_PER_S = 1_000_000_000


class Replay:
    """One recording on its way through a pipeline."""

    def __init__(self, config: ReplayConfig, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter
        self._stopped = False
        self._counters: dict[str, int] = {}
        self._pipeline = Pipeline(
            config.common, clock_offset_ns=0, stop=self._stop, learn=self._learn, notice=reporter.notice
        )
        self._last_ns = 0
        self._began_ns = 0
        self._due_s = 0.0

    def _stop(self) -> None:
        self._stopped = True

    def run(self) -> int:
        """The exit code. Raises RecordingError."""
        for batch in recording.batches(self._config.path):
            self._feed(batch)
            if self._stopped:
                break
        seconds = (self._last_ns - self._began_ns) / NS_PER_S
        totals = self._pipeline.close(self._counters, now_ns=self._last_ns, duration_s=seconds)
        self._reporter.summary(totals)
        lost = totals.lost_bytes or totals.losses
        return 1 if lost and self._config.common.strict else 0

    def _feed(self, batch: list[Record]) -> None:
        if batch:
            self._began_ns = self._began_ns or batch[0][3]
            self._last_ns = batch[-1][3]
        if not self._config.realtime:
            self._pipeline.feed(batch)
            return
        for record in batch:
            self._wait_for(record[3])
            self._pipeline.feed([record])

    def _wait_for(self, ts_ns: int) -> None:
        if not self._due_s:
            self._due_s = time.monotonic() - ts_ns / NS_PER_S
        time.sleep(max(0.0, self._due_s + ts_ns / NS_PER_S - time.monotonic()))

    def _learn(self, fact: Fact) -> None:
        if not isinstance(fact, Meta):
            return
        values = fact.values
        if isinstance(offset := values.get("clock_offset_ns"), int):
            self._pipeline.set_clock_offset(offset)
        if isinstance(number := values.get("library"), int):
            self._pipeline.connections.libraries[number] = str(values.get("name", ""))
        if isinstance(counters := values.get("counters"), dict):
            self._counters = {str(name): int(number) for name, number in counters.items()}


def replay(config: ReplayConfig, *, reporter: Reporter) -> int:
    """Replays a recording; the exit code. Raises RecordingError."""
    return Replay(config, reporter).run()
