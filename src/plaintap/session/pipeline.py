# SPDX-License-Identifier: Apache-2.0
"""What every record goes through, wherever it comes from: streams, protocols, one output.

It asks for no privilege and knows no kernel; a recording and a ring feed it alike.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from plaintap.config import CommonConfig
from plaintap.errors import OutputError
from plaintap.events import Fact, Record
from plaintap.messages import Connection, Exchange, Message, Totals
from plaintap.outputs.base import FormatOptions, SinkClosed
from plaintap.outputs.registry import NothingFormatter, make_formatter
from plaintap.outputs.sinks.queued import QueuedSink
from plaintap.outputs.sinks.stdout import StdoutSink
from plaintap.protocols.bodies import decode_body
from plaintap.protocols.registry import Registry
from plaintap.session.census import Census
from plaintap.streams.connections import Connections, LifeCycle

RAW_RECORDS = 2  # -vv
BODY_MAX_BYTES = 64 << 20
"""Of one body, where all of it is asked for."""
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


class Pipeline:
    """Records in, text on standard output, totals at the end."""

    def __init__(
        self,
        common: CommonConfig,
        *,
        clock_offset_ns: int,
        stop: Callable[[], None],
        learn: Callable[[Fact], None],
        reporter: Reporter,
        live: bool = True,
    ) -> None:
        """`stop` is called when enough was shown or nobody looks any more, `learn` with every fact.

        A live pipeline drops and counts what its output does not take in time; another waits.
        """
        self.exchanges = 0
        self.losses: dict[str, int] = {}
        self.shows = common.format != "none" or not live
        """Without it only facts are asked for, and counted."""
        self._common = common
        self._stop = stop
        self._learn = learn
        self._reporter = reporter
        self._census = Census()
        self._endless: set[str] = set()
        self._sink = QueuedSink(StdoutSink(), lossless=not live)
        self.set_clock_offset(clock_offset_ns)
        limit_bytes = common.body_limit or BODY_MAX_BYTES
        bodies = common.verbose > 0 or common.hex or common.format == "ecapture"
        self.connections = Connections(
            self._emit,
            Registry(body_limit=limit_bytes if bodies else 0).recognise,
            want_records=common.verbose >= RAW_RECORDS,
            life_cycle=self._life_cycle,
            on_fact=learn,
            on_failure=lambda where: reporter.debug(f"a parser failed, its stream is shown raw: {where}"),
        )

    @property
    def failed(self) -> bool:
        """The output could not take everything."""
        return self._sink.failed

    def add_library(self, number: int, name: str, *, tells_ends: bool) -> None:
        """What the number in the records stands for."""
        self.connections.libraries[number] = name
        if not tells_ends:
            self._endless.add(name)

    def _life_cycle(self, connection: Connection) -> LifeCycle:
        return LifeCycle.DEFAULT if connection.library in self._endless else LifeCycle.SOCKET

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
            decode_body=partial(decode_body, limit_bytes=common.body_limit or BODY_MAX_BYTES),
        )
        self._format: Callable[[Message], str] = make_formatter(common.format, options).format

    def _emit(self, messages: list[Message]) -> None:
        if self._common.count:
            messages = self._up_to_the_count(messages, self._common.count)
        self.exchanges += sum(type(message) is Exchange for message in messages)
        text = "".join(map(self._format, messages))
        if text:
            self._sink.write(text.encode())

    def _up_to_the_count(self, messages: list[Message], count: int) -> list[Message]:
        left = count - self.exchanges
        taken: list[Message] = []
        for message in messages:
            if left <= 0:
                break
            taken.append(message)
            left -= type(message) is Exchange
        if left <= 0:
            self._stop()
        return taken

    def feed(self, batch: list[Record]) -> None:
        """Shows what the records complete; when nothing is shown, facts are enough."""
        if not self.shows:
            for record in batch:
                if fact := self._census.take(record):
                    self._learn(fact)
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
            self._reporter.notice(f"{error.message}; what cannot be written is counted")

    def close(self, kernel: dict[str, int], *, now_ns: int, duration_s: float) -> Totals:
        """Ends every connection; the totals with the kernel side's loss counters joined in."""
        streams, census = self.connections, self._census
        with self._output():
            streams.close(now_ns)
        with self._output():
            self._sink.drain()
        with self._output():
            self._sink.close()
        losses = {
            **kernel,
            **self.losses,
            "evicted_connections": streams.evicted,
            "undecodable_records": streams.undecodable + census.undecodable,
            "parser_failures": streams.parser_failures,
            "sink_dropped": self._sink.dropped_writes,
            "sink_dropped_bytes": self._sink.dropped_bytes,
        }
        return Totals(
            duration_s=duration_s,
            processes=streams.processes + census.processes,
            connections=streams.connections + census.connections,
            exchanges=self.exchanges,
            bytes=streams.read_bytes + streams.written_bytes,
            lost_bytes=max(streams.lost_bytes, sum(kernel.get(name, 0) for name in KERNEL_LOSSES_IN_BYTES)),
            losses={name: number for name, number in losses.items() if number},
            unattributed=streams.unattributed + census.unattributed,
        )

    def hurry(self) -> None:
        """Whoever reads the output is waited for no longer than a moment; safe in a signal handler."""
        self._sink.hurry()

    def abandon(self) -> None:
        """Lets go of the output; nothing after `close`."""
        self._sink.hurry()
        with contextlib.suppress(SinkClosed, OutputError):
            self._sink.close()
