# SPDX-License-Identifier: Apache-2.0
"""An output that is open: a form, what it is told, and the sink its bytes go to.

Which there are is registry.py's; the files themselves are those of sinks/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

from plaintap.messages import Message, Totals
from plaintap.outputs.base import FormatOptions, Formatter, Sink
from plaintap.outputs.escape import escape_lines
from plaintap.outputs.json_document import unfit_for_json
from plaintap.outputs.registry import FormatChoice, NothingFormatter
from plaintap.outputs.sinks.address import is_peer
from plaintap.outputs.sinks.harfile import HarFile
from plaintap.outputs.sinks.peer import PeerSink
from plaintap.outputs.sinks.queued import FLUSH_TIMEOUT_S, QueuedSink
from plaintap.outputs.sinks.reaching import Trust, opener
from plaintap.outputs.sinks.rotating import RotatingFile, Rotation
from plaintap.outputs.sinks.stdout import StdoutSink
from plaintap.outputs.utctime import UtcTime


@runtime_checkable
class Resettable(Protocol):
    """A form that remembers what it has still to show, so that no new one can take its place."""

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are told with this offset."""


@runtime_checkable
class Encoding(Protocol):
    """A form that is quicker for many messages at once."""

    def encode(self, messages: Iterable[Message]) -> bytes:
        """The bytes of what `format` says of each."""


@runtime_checkable
class Summing(Protocol):
    """A form that has something to say at the end: the totals, or what it held back."""

    def summary(self, totals: Totals) -> str:
        """Whole lines."""


@runtime_checkable
class Ticking(Protocol):
    """A form that holds things back for a moment."""

    def tick(self, now_ns: int) -> str:
        """Whole lines of what has waited long enough; `now_ns` as in messages."""


@runtime_checkable
class Remarking(Protocol):
    """A form that has no place for some messages."""

    @property
    def remark(self) -> str:
        """What it left out, for people; "" for nothing."""


@runtime_checkable
class Logging(Protocol):
    """A form with a place for what we say of ourselves."""

    def log(self, text: str, *, ts_ns: int) -> bytes:
        """The bytes of one line; `ts_ns` as in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How sinks hand on what they are given."""

    rotation: Rotation = field(default_factory=Rotation)
    trust: Trust = field(default_factory=Trust)
    flush_timeout_s: float = FLUSH_TIMEOUT_S


class Output:
    """One of the outputs of a capture. Formatting is paid here, writing in the sink's thread."""

    def __init__(
        self,
        choice: FormatChoice,
        options: FormatOptions,
        sink: QueuedSink,
        *,
        events: bool = True,
        logs: bool = False,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """While it is not `wanted` nothing is formatted for it."""
        self.choice = choice
        self.takes_logs = logs
        self._events = events
        self._wanted = wanted
        self.sink = sink
        self._stopped = False
        self._unread_writes = 0
        self._options = options
        self._formatter: Formatter = choice.form.make(options)

    @property
    def on_standard_output(self) -> bool:
        """A reader that has gone ends the capture."""
        return self.choice.path is None

    @property
    def remark(self) -> str:
        """`not in FILE: 3 responses whose request was not seen`; "" when everything is."""
        left_out = self._formatter.remark if isinstance(self._formatter, Remarking) else ""
        return f"not in {self.choice.path}: {left_out}" if left_out else ""

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are shown with this offset."""
        self._options = replace(self._options, clock_offset_ns=clock_offset_ns)
        if isinstance(self._formatter, Resettable):
            self._formatter.set_clock_offset(clock_offset_ns)
        elif not isinstance(self._formatter, NothingFormatter):
            self._formatter = self.choice.form.make(self._options)

    def format(self, message: Message) -> str:
        """See `outputs.base.Formatter`."""
        return self._formatter.format(message)

    def show(self, messages: Iterable[Message]) -> None:
        """Formats them and hands them to the sink; `sink.flush` is the caller's, once per batch."""
        if not self._events or not self._wanted():
            return
        if self._stopped:
            self._unread_writes += 1
            return
        formatter = self._formatter
        if isinstance(formatter, Encoding):
            data = formatter.encode(messages)
        else:
            data = "".join(map(formatter.format, messages)).encode()
        if data:
            self.sink.write(data)

    def tick(self, now_ns: int) -> None:
        """About once a second: what a form shows because time has passed."""
        if self._events and isinstance(self._formatter, Ticking) and (text := self._formatter.tick(now_ns)):
            self.sink.write(text.encode())

    def conclude(self, totals: Totals) -> None:
        """What a form says at the end; before the sink is drained."""
        if self._events and isinstance(self._formatter, Summing) and (text := self._formatter.summary(totals)):
            self.sink.write(text.encode())

    def log(self, text: str, *, ts_ns: int) -> None:
        """What we say of ourselves, one line; `sink.flush` is the caller's."""
        if self._stopped or self.choice.form.has_end:
            return
        if isinstance(self._formatter, Logging):
            self.sink.write(self._formatter.log(text, ts_ns=ts_ns))
        else:
            lines = escape_lines(text).rstrip("\n").replace("\n", " ")
            self.sink.write(f"{UtcTime(self._options.clock_offset_ns).text(ts_ns)} {lines}\n".encode())

    @property
    def unread_writes(self) -> int:
        """That its reader, who has gone, did not get; of standard output none, whose reader says what is enough."""
        return 0 if self.on_standard_output else self.sink.unread_writes + self._unread_writes

    @property
    def failed(self) -> bool:
        """It could not take everything: of a file or pipe also what its reader was too slow for."""
        return (
            self.sink.failed or self.unread_writes > 0 or (not self.on_standard_output and self.sink.dropped_writes > 0)
        )

    def stop(self) -> None:
        """Its reader has gone: nothing is formatted for it any more."""
        self._stopped = True
        self._formatter = NothingFormatter()


def open_output(
    choice: FormatChoice,
    options: FormatOptions,
    *,
    lossless: bool = False,
    standard: StdoutSink | None = None,
    delivery: Delivery | None = None,
    events: bool = True,
    logs: bool = False,
) -> Output:
    """Opens one. `options` are those of the terminal; a file has no width and no colour. Raises OutputError.

    A peer need not be there yet. With `lossless` the capture waits for the sink; `standard` is what stands for
    standard output.
    """
    form, delivery = choice.form, delivery or Delivery()
    options = replace(options, numbered=True)
    count, framing, wait_s = form.framing.count, form.framing, delivery.flush_timeout_s
    if form.whole_bodies:
        options = replace(options, body_limit=0, decode_body=options.decode_whole)
    if choice.path is None:
        return Output(
            choice, options, QueuedSink(standard or StdoutSink(), lossless=lossless, flush_timeout_s=wait_s), logs=logs
        )
    options = replace(options, width=None, color=False)
    if is_peer(choice.path):
        open_link, peer, bare = opener(choice.path, binary=framing.binary, trust=delivery.trust)
        name = str(peer)
        distant = PeerSink(open_link, name=name, framing=framing, bare=bare)
        queued = QueuedSink(distant, lossless=lossless, flush_timeout_s=wait_s, count=count, name=name)
        return Output(choice, options, queued, events=events, logs=logs)
    sink: Sink
    if form.has_end:
        sink = HarFile(choice.path)
    else:
        unfit = unfit_for_json if choice.name == "json" else _anything
        sink = RotatingFile(choice.path, form=choice.name, unfit=unfit, framing=framing, rotation=delivery.rotation)
    return Output(
        choice,
        options,
        QueuedSink(sink, lossless=lossless, flush_timeout_s=wait_s, count=None if form.has_end else count),
        events=events,
        logs=logs,
    )


def _anything(_fd: int) -> str:
    """Text can follow any text."""
    return ""
