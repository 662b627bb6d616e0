# SPDX-License-Identifier: Apache-2.0
"""What every record goes through, wherever it comes from: streams, protocols, one output.

It asks for no privilege and knows no kernel; a recording and a ring feed it alike.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Protocol

from plaintap.config import CommonConfig
from plaintap.events import Fact, Record
from plaintap.messages import Exchange, Message, Totals
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.registry import make_formatter
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


class Pipeline:
    """Records in, text on standard output, totals at the end."""

    def __init__(
        self,
        common: CommonConfig,
        *,
        clock_offset_ns: int,
        stop: Callable[[], None],
        learn: Callable[[Fact], None],
    ) -> None:
        """`stop` is called when `common.count` exchanges were shown, `learn` with every fact."""
        self.exchanges = 0
        self.losses: dict[str, int] = {}
        self._count = common.count or 0
        self._stop = stop
        self._common = common
        self._sink = StdoutSink()
        self.shows = common.format != "none"
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
        self._format = make_formatter(common.format, options).format

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
        """Shows what the records complete. Raises SinkClosed, OutputError."""
        self.connections.feed(batch)
        self._sink.flush()

    def tick(self, now_ns: int) -> None:
        """About once a second: shows what has waited long enough."""
        self.connections.tick(now_ns)
        self._sink.flush()

    def close(self, kernel: dict[str, int], *, now_ns: int, duration_s: float) -> Totals:
        """Ends every connection; the totals with the kernel side's loss counters joined in."""
        streams = self.connections
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
            processes=streams.processes,
            connections=streams.connections,
            exchanges=self.exchanges,
            bytes=streams.read_bytes + streams.written_bytes,
            lost_bytes=max(streams.lost_bytes, sum(kernel.get(name, 0) for name in KERNEL_LOSSES_IN_BYTES)),
            losses={name: number for name, number in losses.items() if number},
            unattributed=streams.unattributed,
        )


def _kept_bytes(body_limit: int) -> int:
    """How much of a body as transferred is kept to show `body_limit` bytes of it decoded; 0 is all."""
    return body_limit or 1 << 40
