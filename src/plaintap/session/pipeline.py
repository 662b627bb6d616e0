# SPDX-License-Identifier: Apache-2.0
"""What every record goes through, wherever it comes from: streams, protocols, text and key log.

It asks for no privilege and knows no kernel; a recording and a ring feed it alike.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from plaintap.config import CommonConfig
from plaintap.config_show import STANDARD_OUTPUT
from plaintap.errors import UsageError
from plaintap.events import Fact, Kind, Record, SecretLogged, SecretsSeen, brief_secrets, secrets_head
from plaintap.messages import Connection, Message, Totals
from plaintap.outputs.registry import FormatChoice
from plaintap.outputs.summary import summary_line
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.registry import ENTRIES, Registry
from plaintap.session.census import Census
from plaintap.session.keylog import KeyLog
from plaintap.session.logs import LoggedReporter
from plaintap.session.outputs import BODY_MAX_BYTES, Outputs
from plaintap.session.processes import Processes
from plaintap.session.routes import routes_of
from plaintap.streams.connections import Connections, LifeCycle

if TYPE_CHECKING:
    from plaintap.protocols.protobuf_schema import ProtoSchemas

_SECRETS = int(Kind.SECRETS)
RAW_RECORDS = 2  # -vv
KERNEL_LOSSES_IN_BYTES = ("ring_full_bytes", "unread_bytes", "beyond_ceiling_bytes")


class Reporter(Protocol):
    """Who is told, in order, what happens to a capture."""

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
        """Every probe the start found is attached; keys, if any, go to `keys_to`, packets to `packets_to`."""

    def notice(self, text: str) -> None:
        """One line the user should see."""

    def debug(self, text: str) -> None:
        """One line for who asked why."""

    def summary(self, totals: Totals) -> None:
        """It is over."""


class Pipeline:
    """Records in; text on standard output and keys in their file, as far as asked for; totals at the end."""

    def __init__(  # noqa: PLR0913 - all by keyword, told once per capture
        self,
        common: CommonConfig,
        *,
        clock_offset_ns: int,
        stop: Callable[[], None],
        learn: Callable[[Fact], None],
        reporter: Reporter,
        processes: Processes,
        live: bool = True,
        copy_secrets: Callable[[bytes], None] | None = None,
        watch: Callable[[Sequence[Message]], None] | None = None,
    ) -> None:
        """`stop` is called when enough was shown or nobody looks any more, `learn` with every fact.

        `copy_secrets` is given every new line of a key log, `watch` every message that outputs get. A live pipeline
        drops and counts what its output does not take in time; another waits. Raises OutputError when keys are all
        that is wanted and their file cannot be written.
        """
        self.losses: dict[str, int] = {}
        routes = routes_of(common)
        choices = [route.choice for route in routes]
        if common.ecaptureq:
            choices.append(FormatChoice("protobuf", None))
        self.shows = common.wants_text and bool(choices or not live)
        """Without it only facts are asked for, and counted."""
        self._common = common
        self._stop = stop
        self._learn = learn
        self._reporter = reporter
        self._census = Census()
        self._endless: set[str] = set()
        registry = _registry(common, choices)
        self._copy_secrets = copy_secrets
        self._concludes = watch is None  # of several captures with the same outputs none has the last word
        self._keylog = self._open_keylog(live=live) if common.wants_secrets else None
        self._outputs = Outputs(
            common,
            routes,
            clock_offset_ns=clock_offset_ns,
            # Where keys are all that standard output has, what is said of them goes beside it.
            beside_keys=common.wants_keylog and common.keylog_path == STANDARD_OUTPUT,
            lossless=not live,
            notice=reporter.notice,
            stop=stop,
            watch=watch,
        )
        if isinstance(reporter, LoggedReporter):
            reporter.log_to(self._outputs.log)
        self.connections = Connections(
            self._emit,
            registry.recognise,
            want_records=common.verbose >= RAW_RECORDS or any(choice.form.records for choice in choices),
            life_cycle=self._life_cycle,
            on_fact=self._take_fact,
            on_failure=lambda where: reporter.debug(f"a parser failed, its stream is shown raw: {where}"),
        )
        self.connections.describe = processes.describe

    def _open_keylog(self, *, live: bool) -> KeyLog:
        common = self._common
        return KeyLog(
            common.keylog_path if common.wants_keylog else None,
            lossless=not live,
            alone=not self.shows and not common.wants_packets,
            notice=self._reporter.notice,
            stop=self._stop,
            in_company=not self._concludes,
            copy=self._copy_secrets,
        )

    @property
    def failed(self) -> bool:
        """An output could not take everything; of keys only where they were all that was wanted."""
        return self._outputs.failed or (self._keylog is not None and self._keylog.failed)

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
        self._outputs.set_clock_offset(clock_offset_ns)

    def _emit(self, messages: list[Message]) -> None:
        self._outputs.show(messages)

    def _take_fact(self, fact: Fact) -> None:
        """Keys go to their file at once; what is told of them is no loss when it cannot be."""
        if self._keylog and isinstance(fact, (SecretsSeen, SecretLogged)):
            secrets = self._keylog.take(fact)
            if secrets:
                self._outputs.show([secrets])
        self._learn(fact)

    def feed(self, batch: list[Record]) -> None:
        """Shows what the records complete; when nothing is shown, facts are enough."""
        if self.shows:
            self.connections.feed(batch)
        else:
            for record in batch:
                if record[1] == _SECRETS and self._took_secrets(record):
                    continue
                if fact := self._census.take(record):
                    self._take_fact(fact)
        self._flush()

    def _flush(self) -> None:
        self._outputs.flush()
        if self._keylog:
            self._keylog.flush()

    def _took_secrets(self, record: Record) -> bool:
        """What comes for every handshake where only keys are wanted; False leaves the record to who takes any."""
        if not self._keylog or record[0] or self._common.verbose:
            return False
        head = secrets_head(record[4])
        if head is None:
            return False
        self._census.take_head(head)
        if self._keylog.collector.has_all(head.client_random):
            self._keylog.collector.repeated += 1  # the other end of the connection
        else:
            fact = brief_secrets(head, record[4])
            self._keylog.take(fact)
            self._learn(fact)
        return True

    def tick(self, now_ns: int) -> None:
        """About once a second: shows what has waited long enough."""
        self.connections.tick(now_ns)
        self._outputs.tick(now_ns)
        self._flush()

    def close(self, kernel: dict[str, int], *, now_ns: int, duration_s: float) -> Totals:
        """Ends every connection; the totals with the kernel side's loss counters joined in."""
        self.connections.close(now_ns)
        # What the outputs are told cannot hold what they themselves lose.
        totals = self.totals(kernel, duration_s=duration_s)
        if self._concludes:
            self._outputs.conclude(totals)
        self._outputs.log(summary_line(totals))
        self._outputs.close()
        if self._keylog:
            self._keylog.close()
        return self.totals(kernel, duration_s=duration_s)

    def totals(self, kernel: dict[str, int], *, duration_s: float) -> Totals:
        """What there was so far, with the kernel side's loss counters joined in."""
        streams, census = self.connections, self._census
        losses = {
            **kernel,
            **self.losses,
            **(self._keylog.losses() if self._keylog else {}),
            **self._outputs.losses(),
            "evicted_connections": streams.evicted,
            "undecodable_records": streams.undecodable + census.undecodable,
            "parser_failures": streams.parser_failures,
        }
        return Totals(
            duration_s=duration_s,
            processes=streams.processes + census.processes,
            connections=streams.connections + census.connections,
            exchanges=self._outputs.exchanges,
            bytes=streams.read_bytes + streams.written_bytes,
            lost_bytes=max(streams.lost_bytes, sum(kernel.get(name, 0) for name in KERNEL_LOSSES_IN_BYTES)),
            losses={name: number for name, number in losses.items() if number},
            unattributed=streams.unattributed + census.unattributed,
            secret_sets=self.secret_sets if self._keylog else None,
        )

    def hurry(self) -> None:
        """Whoever reads the output is waited for no longer than a moment; safe in a signal handler."""
        self._outputs.hurry()
        if self._keylog:
            self._keylog.hurry()

    def abandon(self) -> None:
        """Lets go of the outputs; nothing after `close`."""
        self._outputs.abandon()
        if self._keylog:
            self._keylog.abandon()


def _registry(common: CommonConfig, choices: Sequence[FormatChoice]) -> Registry:
    """The parsers, told what the outputs need of them. Raises UsageError."""
    if common.protocol is not None and common.protocol not in ENTRIES:
        near = difflib.get_close_matches(common.protocol, ENTRIES, 1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(ENTRIES)}"
        raise UsageError(f"--protocol: expected a protocol, got {common.protocol!r}", hint=hint)
    limit_bytes = common.body_limit or BODY_MAX_BYTES
    if any(choice.form.whole_bodies for choice in choices):
        limit_bytes = BODY_MAX_BYTES
    options = ParserOptions(
        body_limit=limit_bytes if choices else 0,
        schemas=_schemas(common.proto),
        wants_stream_messages=bool(choices),
    )
    return Registry(options, only=common.protocol)


def _schemas(files: Sequence[str]) -> ProtoSchemas | None:
    if not files:
        return None
    from plaintap.protocols.protobuf_schema import load_schemas  # noqa: PLC0415 - few captures need it

    return load_schemas([Path(file) for file in files])
