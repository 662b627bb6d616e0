# SPDX-License-Identifier: Apache-2.0
"""Runs a recording through the pipeline, at full speed or as slowly as it was made."""

from __future__ import annotations

import time
from collections.abc import Iterator
from operator import itemgetter

from plaintap.config import ReplayConfig
from plaintap.errors import PlaintapError, RecordingError
from plaintap.events import Fact, Kind, Meta, ProcessFacts, Record, decode_fact
from plaintap.messages import Totals
from plaintap.runtime import recording
from plaintap.session.logs import LoggedReporter
from plaintap.session.pipeline import Pipeline, Reporter
from plaintap.session.processes import Processes

_META = int(Kind.META)
_TIME = itemgetter(3)

NS_PER_S = 1_000_000_000
LONGEST_WAIT_S = 3600
SILENT_TICKS_MAX = 16


class Replay:
    """One recording on its way through a pipeline."""

    def __init__(self, config: ReplayConfig, reporter: Reporter) -> None:
        self._config = config
        self._reporter = reporter = LoggedReporter(reporter)
        self._stopped = False
        self._ended = False
        self._counters: dict[str, int] = {}
        self._processes = Processes()
        self._pipeline = Pipeline(
            config.common,
            clock_offset_ns=0,
            stop=self._stop,
            learn=self._learn,
            reporter=reporter,
            processes=self._processes,
            live=False,
        )
        self._last_ns = 0
        self._began_ns = 0
        self._next_tick_ns = 0
        self._due_s = 0.0

    def _stop(self) -> None:
        self._stopped = True

    def run(self) -> int:
        """The exit code. Raises PlaintapError, and KeyboardInterrupt unless it is as slow as what was recorded."""
        try:
            for batch in self._batches():
                self._feed(batch)
                if self._stopped:
                    break
        except KeyboardInterrupt:
            self._pipeline.hurry()
            if not (self._began_ns and self._config.realtime):  # that one was watched for as long as it was of interest
                self._give_up()
                raise
            self._stopped = True
        except PlaintapError:
            self._give_up()
            raise
        if not self._ended and not self._stopped:
            self._reporter.notice(f"{self._config.path} has no end: it was cut, or its capture was killed")
            self._pipeline.losses["unfinished_recording"] = 1
        if self._config.common.wants_keylog and not self._pipeline.secret_sets:
            self._reporter.notice(self._why_no_keys())
        totals = self._sum_up()
        return int(self._pipeline.failed or (self._config.common.strict and totals.lost_anything))

    def _give_up(self) -> None:
        if self._began_ns:
            self._sum_up()
        self._pipeline.abandon()

    def _why_no_keys(self) -> str:
        path, common = self._config.path, self._config.common
        if self._pipeline.repeated_secrets:
            return f"{path} has no keys that are new: {common.keylog_path} has them all"
        return f"{path} holds no keys to write: only a recording made with -m keylog does"

    def _sum_up(self) -> Totals:
        seconds = (self._last_ns - self._began_ns) / NS_PER_S
        totals = self._pipeline.close(self._counters, now_ns=self._last_ns, duration_s=seconds)
        self._reporter.summary(totals)
        return totals

    def _cut(self, size_bytes: int) -> None:
        self._reporter.notice(f"{self._config.path} ends inside a record: its {size_bytes} bytes are left out")
        self._pipeline.losses["cut_recording_bytes"] = size_bytes

    def _batches(self) -> Iterator[list[Record]]:
        """Each after the next was looked at."""
        before: list[Record] = []
        try:
            for batch in recording.batches(self._config.path, cut=self._cut):
                self._look_ahead(batch)
                yield before
                before = batch
        except RecordingError:
            yield before
            raise
        yield before

    def _look_ahead(self, batch: list[Record]) -> None:
        """What was found out of a process stands behind the records that made it known."""
        for session, kind, _, _, data, _ in batch:
            if not session and kind == _META and (facts := _process_of(data)):
                self._processes.tell(facts)

    def _feed(self, batch: list[Record]) -> None:
        if not batch:
            return
        if not self._began_ns:
            self._began_ns = batch[0][3]
            self._next_tick_ns = self._began_ns + NS_PER_S
        self._last_ns = max(self._last_ns, *map(_TIME, batch))
        if self._config.realtime:
            self._feed_slowly(batch)
            return
        fed = 0
        if self._last_ns >= self._next_tick_ns:
            for at, record in enumerate(batch):
                if record[3] >= self._next_tick_ns:
                    self._pipeline.feed(batch[fed:at])
                    fed = at
                    self._tick_up_to(record[3])
        self._pipeline.feed(batch[fed:] if fed else batch)

    def _tick_up_to(self, ts_ns: int) -> None:
        """The ticks that a capture had between two records; of a long silence those after which all is said."""
        passed = (ts_ns - self._next_tick_ns) // NS_PER_S + 1
        for number in range(min(passed, SILENT_TICKS_MAX)):
            self._pipeline.tick(self._next_tick_ns + number * NS_PER_S)
        self._next_tick_ns += passed * NS_PER_S

    def _feed_slowly(self, batch: list[Record]) -> None:
        for record in batch:
            ts_ns = record[3]
            self._shorten_wait(ts_ns)
            while ts_ns >= self._next_tick_ns and not self._stopped:
                self._wait_for(self._next_tick_ns)
                self._pipeline.tick(self._next_tick_ns)
                self._next_tick_ns += NS_PER_S
            if self._stopped:
                break
            self._wait_for(ts_ns)
            self._pipeline.feed([record])

    def _shorten_wait(self, ts_ns: int) -> None:
        """A damaged time stamp must not be waited for for ever."""
        if not self._due_s:
            self._due_s = time.monotonic() - ts_ns / NS_PER_S
        beyond_ns = ts_ns - self._next_tick_ns - LONGEST_WAIT_S * NS_PER_S
        if beyond_ns > 0:
            self._next_tick_ns += beyond_ns
            self._due_s -= beyond_ns / NS_PER_S

    def _wait_for(self, ts_ns: int) -> None:
        time.sleep(max(0.0, self._due_s + ts_ns / NS_PER_S - time.monotonic()))

    def _learn(self, fact: Fact) -> None:
        if not isinstance(fact, Meta):
            return
        if fact.clock_offset_ns is not None:
            self._pipeline.set_clock_offset(fact.clock_offset_ns)
        if fact.library is not None:
            # Where that was not recorded there is no telling either whether ClientHellos were seen.
            trusted = fact.trusted is not False
            self._pipeline.add_library(fact.library, fact.name, tells_ends=True, secrets=fact.layout, trusted=trusted)
        if fact.counters is not None:
            self._counters = fact.counters
            self._ended = True


def _process_of(record: bytes) -> ProcessFacts | None:
    try:
        fact = decode_fact(_META, record)
    except ValueError:
        return None  # counted when it is fed
    return fact.process if isinstance(fact, Meta) else None


def replay(config: ReplayConfig, *, reporter: Reporter) -> int:
    """Replays a recording; the exit code. Raises RecordingError."""
    return Replay(config, reporter).run()
