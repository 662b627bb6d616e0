# SPDX-License-Identifier: Apache-2.0
"""What every record goes through, wherever it comes from: streams, protocols, text and key log.

It asks for no privilege and knows no kernel; a recording and a ring feed it alike.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol

from plaintap.config import STANDARD_OUTPUT, CommonConfig
from plaintap.errors import OutputError
from plaintap.events import Fact, Kind, Record, SecretLogged, SecretsSeen, secrets_head
from plaintap.messages import Connection, Exchange, Message, Totals
from plaintap.outputs.base import FormatOptions, SinkClosed
from plaintap.outputs.registry import NothingFormatter, make_formatter
from plaintap.outputs.sinks.queued import QueuedSink
from plaintap.outputs.sinks.stdout import StdoutSink
from plaintap.protocols.bodies import decode_body
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import Registry
from plaintap.session.census import Census
from plaintap.session.keylog import KeyLog
from plaintap.streams.connections import Connections, LifeCycle

_SECRETS = int(Kind.SECRETS)
RAW_RECORDS = 2  # -vv
BODY_MAX_BYTES = 64 << 20
"""Of one body, where all of it is asked for."""
STDOUT, STDERR = 1, 2
KERNEL_LOSSES_IN_BYTES = ("ring_full_bytes", "unread_bytes", "beyond_ceiling_bytes")


class Reporter(Protocol):
    """Who is told, in order, what happens to a capture."""

    def ready(
        self, *, processes: int, tls_processes: int, libraries: list[str], seconds: float, keys_to: str = ""
    ) -> None:
        """Every probe the start found is attached; keys, if any, go to `keys_to`."""

    def notice(self, text: str) -> None:
        """One line the user should see."""

    def debug(self, text: str) -> None:
        """One line for who asked why."""

    def summary(self, totals: Totals) -> None:
        """It is over."""


class Pipeline:
    """Records in; text on standard output and keys in their file, as far as asked for; totals at the end."""

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

        A live pipeline drops and counts what its output does not take in time; another waits. Raises OutputError when
        keys are all that is wanted and their file cannot be written.
        """
        self.exchanges = 0
        self.losses: dict[str, int] = {}
        self.shows = common.wants_text and (common.format != "none" or not live)
        """Without it only facts are asked for, and counted."""
        self._common = common
        self._stop = stop
        self._learn = learn
        self._reporter = reporter
        self._census = Census()
        self._endless: set[str] = set()
        self._keylog = self._open_keylog(live=live) if common.wants_keylog else None
        # Where keys are all that standard output has, what is said of them goes beside it.
        beside = self._keylog is not None and common.keylog_path == STANDARD_OUTPUT
        self._fd = STDERR if beside else STDOUT
        stdout = StdoutSink(STDERR, name="standard error") if beside else StdoutSink()
        self._sink = QueuedSink(stdout, lossless=not live)
        self.set_clock_offset(clock_offset_ns)
        limit_bytes = common.body_limit or BODY_MAX_BYTES
        bodies = common.verbose > 0 or common.hex or common.format == "ecapture"
        self.connections = Connections(
            self._emit,
            Registry(ParserOptions(body_limit=limit_bytes if bodies else 0)).recognise,
            want_records=common.verbose >= RAW_RECORDS,
            life_cycle=self._life_cycle,
            on_fact=self._take_fact,
            on_failure=lambda where: reporter.debug(f"a parser failed, its stream is shown raw: {where}"),
        )

    def _open_keylog(self, *, live: bool) -> KeyLog:
        common, alone = self._common, not self.shows
        notice = self._reporter.notice
        return KeyLog(common.keylog_path, lossless=not live, alone=alone, notice=notice, stop=self._stop)

    @property
    def failed(self) -> bool:
        """An output could not take everything; of keys only where they were all that was wanted."""
        return self._sink.failed or (self._keylog is not None and self._keylog.failed)

    @property
    def keys_to(self) -> str:
        """Where keys go, for the ready line; "" when they go nowhere."""
        return self._keylog.place if self._keylog else ""

    @property
    def secret_sets(self) -> int:
        """Handshakes of which keys were had."""
        return self._keylog.collector.handshakes if self._keylog else 0

    @property
    def repeated_secrets(self) -> int:
        """How often there were keys that the key log has already."""
        return self._keylog.collector.repeated if self._keylog else 0

    def add_library(
        self,
        number: int,
        name: str,
        *,
        tells_ends: bool,
        secrets: Mapping[str, int] | None = None,
        trusted: bool = True,
    ) -> None:
        """What the number in the records stands for; once more when more is known of it.

        `secrets` says where the library's TLS 1.3 secrets are in the block of its records, by name, in bytes. A layout
        that is not `trusted` is held against the ClientHellos that are seen.
        """
        self.connections.libraries[number] = name
        if not tells_ends:
            self._endless.add(name)
        if self._keylog:
            self._keylog.collector.set_layout(number, name, secrets, trusted=trusted)

    def _life_cycle(self, connection: Connection) -> LifeCycle:
        return LifeCycle.DEFAULT if connection.library in self._endless else LifeCycle.SOCKET

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are shown with this offset."""
        common = self._common
        terminal = os.isatty(self._fd)
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

    def _take_fact(self, fact: Fact) -> None:
        """Keys go to their file at once; what is told of them is no loss when it cannot be."""
        if self._keylog and isinstance(fact, (SecretsSeen, SecretLogged)):
            secrets = self._keylog.take(fact)
            if secrets and (text := self._format(secrets)):
                self._sink.write(text.encode())
        self._learn(fact)

    def feed(self, batch: list[Record]) -> None:
        """Shows what the records complete; when nothing is shown, facts are enough."""
        with self._output():
            if self.shows:
                self.connections.feed(batch)
            else:
                for record in batch:
                    if record[1] == _SECRETS and self._is_known_handshake(record):
                        continue
                    if fact := self._census.take(record):
                        self._take_fact(fact)
            self._sink.flush()
        if self._keylog:
            self._keylog.flush()

    def _is_known_handshake(self, record: Record) -> bool:
        """The other end's secrets, which are most of what comes where only keys are wanted, told by a few bytes."""
        if not self._keylog or record[0]:
            return False
        head = secrets_head(record[4])
        if head is None or not self._keylog.collector.has_all(head.client_random):
            return False
        self._keylog.collector.repeated += 1
        self._census.other_end(head)
        return True

    def tick(self, now_ns: int) -> None:
        """About once a second: shows what has waited long enough."""
        with self._output():
            self.connections.tick(now_ns)
            self._sink.flush()
        if self._keylog:
            self._keylog.flush()

    @contextlib.contextmanager
    def _output(self) -> Iterator[None]:
        """A reader that has gone ends the capture; an output that fails is said once and counted."""
        try:
            yield
        except SinkClosed:
            self._format = NothingFormatter().format
            if self._fd == STDOUT:
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
        if self._keylog:
            self._keylog.close()
        losses = {
            **kernel,
            **self.losses,
            **(self._keylog.losses() if self._keylog else {}),
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
            secret_sets=self.secret_sets if self._keylog else None,
        )

    def hurry(self) -> None:
        """Whoever reads the output is waited for no longer than a moment; safe in a signal handler."""
        self._sink.hurry()
        if self._keylog:
            self._keylog.hurry()

    def abandon(self) -> None:
        """Lets go of the outputs; nothing after `close`."""
        self._sink.hurry()
        with contextlib.suppress(SinkClosed, OutputError):
            self._sink.close()
        if self._keylog:
            self._keylog.abandon()
