# SPDX-License-Identifier: Apache-2.0
"""What every record goes through, wherever it comes from: streams, protocols, one output.

It asks for no privilege and knows no kernel; a recording and a ring feed it alike.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Protocol

from plaintap.config import CommonConfig
from plaintap.errors import OutputError
from plaintap.events import Fact, ProcessExited, Record, SessionEnded, SessionSeen, decode_fact
from plaintap.messages import Exchange, Message, Totals
from plaintap.outputs.base import FormatOptions, SinkClosed
from plaintap.outputs.registry import NothingFormatter, make_formatter
from plaintap.outputs.sinks.stdout import StdoutSink
from plaintap.protocols.bodies import decode_body
from plaintap.protocols.registry import Registry
from plaintap.streams.connections import Connections

RAW_RECORDS = 2  # -vv
KERNEL_LOSSES_IN_BYTES = ("ring_full_bytes", "unread_bytes", "beyond_ceiling_bytes")


class Reporter(Protocol):
    """Who is told, in order, what happens to a capture."""

    def ready(self, *, processes: int, tls_processes: int, libraries: list[str], seconds: float) -> None:
        """Every probe the start found is attached."""

    def notice(self, text: str) -> None:
        """One line the user should see."""

    def debug(self, text: str) -> None:
        """One line for who asked why."""

    def summary(self, totals: Totals) -> None:
        """It is over."""


class Census:
    """Who spoke, for a capture that shows nothing; sessions and processes by number only."""

    def __init__(self) -> None:
        self.processes = 0
        self.connections = 0
        self.unattributed = 0
        self._open: dict[int, bool] = {}
        self._pids: set[int] = set()

    def feed(self, batch: list[Record], learn: Callable[[Fact], None]) -> None:
        """Facts among the records; each goes to `learn` as well."""
        for session, kind, _, _, raw, _ in batch:
            fact = None if session else decode_fact(kind, raw)
            if fact is None:
                continue
            learn(fact)
            if isinstance(fact, SessionSeen):
                self._seen(fact)
            elif isinstance(fact, SessionEnded):
                self._open.pop(fact.session, None)
            elif isinstance(fact, ProcessExited):
                self._pids.discard(fact.pid)

    def _seen(self, seen: SessionSeen) -> None:
        known = self._open.get(seen.session)
        if known is None:
            self.connections += 1
            self.unattributed += seen.socket is None
        elif seen.socket and not known:
            self.unattributed -= 1
        self._open[seen.session] = seen.socket is not None
        if seen.pid not in self._pids:
            self._pids.add(seen.pid)
            self.processes += 1


class Pipeline:
    """Records in, text on standard output, totals at the end."""

    def __init__(
        self,
        common: CommonConfig,
        *,
        clock_offset_ns: int,
        stop: Callable[[], None],
        learn: Callable[[Fact], None],
        notice: Callable[[str], None],
    ) -> None:
        """`stop` is called when enough was shown or nobody looks any more, `learn` with every fact."""
        self.exchanges = 0
        self.losses: dict[str, int] = {}
        self._count = common.count or 0
        self._stop = stop
        self._notice = notice
        self._census = Census()
        self._common = common
        self._sink = StdoutSink()
        self.shows = common.format != "none"
        self._learn = learn
        self.set_clock_offset(clock_offset_ns)
        bodies = common.verbose > 0 or common.hex or common.format == "ecapture"
        registry = Registry(body_limit=_kept_bytes(common.body_limit) if bodies else 0)
        self.connections = Connections(
            self._emit, registry.recognise, want_records=common.verbose >= RAW_RECORDS, on_fact=learn
        )

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are shown with this offset."""
        common = self._common
        terminal = os.isatty(1)
        color = common.color == "always" or (common.color == "auto" and terminal and not os.environ.get("NO_COLOR"))
        options = FormatOptions(
            clock_offset_ns=clock_offset_ns,
            width=shutil.get_terminal_size().columns if terminal else None,
            color=color,
            verbose=common.verbose,
            hex_dump=common.hex,
            body_limit=common.body_limit,
            decode_body=decode_body,
        )
        self._format: Callable[[Message], str] = make_formatter(common.format, options).format

    def _emit(self, message: Message) -> None:
        if self._count and self.exchanges >= self._count:
            return
        if type(message) is Exchange:
            self.exchanges += 1
            if self.exchanges == self._count:
                self._stop()
        text = self._format(message)
        if text:
            self._sink.write(text.encode())

    def feed(self, batch: list[Record]) -> None:
        """Shows what the records complete; when nothing is shown, facts are enough."""
        if not self.shows:
            self._census.feed(batch, self._learn)
            return
        with self._output():
            self.connections.feed(batch)
            self._sink.flush()

    def tick(self, now_ns: int) -> None:
        """About once a second: shows what has waited long enough."""
        with self._output():
            self.connections.tick(now_ns)
            self._sink.flush()

    @contextlib.contextmanager
    def _output(self) -> Iterator[None]:
        """A reader that has gone ends the capture; an output that fails is said once and counted."""
        try:
            yield
        except SinkClosed:
            self._format = NothingFormatter().format
            self._stop()
        except OutputError as error:
            self._notice(f"{error.message}; what cannot be written is counted")

    def close(self, kernel: dict[str, int], *, now_ns: int, duration_s: float) -> Totals:
        """Ends every connection; the totals with the kernel side's loss counters joined in."""
        streams = self.connections
        with self._output():
            streams.close(now_ns)
            self._sink.close()
        losses = {**kernel, **self.losses}
        losses["evicted_connections"] = streams.evicted
        losses["undecodable_records"] = streams.undecodable
        losses["parser_failures"] = streams.parser_failures
        losses["sink_dropped"] = self._sink.dropped_writes
        losses["sink_dropped_bytes"] = self._sink.dropped_bytes
        return Totals(
            duration_s=duration_s,
            processes=streams.processes + self._census.processes,
            connections=streams.connections + self._census.connections,
            exchanges=self.exchanges,
            bytes=streams.read_bytes + streams.written_bytes,
            lost_bytes=max(streams.lost_bytes, sum(kernel.get(name, 0) for name in KERNEL_LOSSES_IN_BYTES)),
            losses={name: number for name, number in losses.items() if number},
            unattributed=streams.unattributed + self._census.unattributed,
        )


def _kept_bytes(body_limit: int) -> int:
    """How much of a body as transferred is kept to show `body_limit` bytes of it decoded; 0 is all."""
    return body_limit or 1 << 40
