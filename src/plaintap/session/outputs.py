# SPDX-License-Identifier: Apache-2.0
"""All outputs of a capture together: which messages they get, what becomes of one that fails, when enough was shown.

One output is outputs/opened.py's; keys have a file of their own (keylog.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from plaintap.config import CommonConfig
from plaintap.errors import OutputError, UsageError, where_of
from plaintap.messages import Exchange, GrpcMessage, Message, Raw, ServerSentEvent, Totals, WebSocketMessage
from plaintap.outputs.base import FormatOptions, SinkClosed
from plaintap.outputs.filters import parse_filter
from plaintap.outputs.opened import Output, open_output
from plaintap.outputs.registry import FormatChoice
from plaintap.outputs.sinks.stdout import StdoutSink
from plaintap.protocols.bodies import decode_body
from plaintap.session.ecaptureq import Ecaptureq
from plaintap.session.routes import Route, delivery_of

BODY_MAX_BYTES = 64 << 20
"""Of one body, where all of it is asked for."""
STDOUT, STDERR = 1, 2


class Outputs:
    """`stop` is called when enough was shown, or nobody looks any more."""

    def __init__(
        self,
        common: CommonConfig,
        routes: Sequence[Route],
        *,
        clock_offset_ns: int,
        beside_keys: bool,
        lossless: bool,
        notice: Callable[[str], None],
        stop: Callable[[], None],
        watch: Callable[[Sequence[Message]], None] | None = None,
    ) -> None:
        """With `beside_keys` standard output has the keys, and what would go there goes to standard error.

        Raises UsageError for a filter that is none, OutputError for a file that cannot be written.
        """
        self.exchanges = 0
        """Shown."""
        self._common = common
        self._notice = notice
        self._stop = stop
        self._watch = watch
        self._wanted = parse_filter(common.filter) if common.filter else None
        self._left = common.count or 0
        self._failures = 0
        self._fd = STDERR if beside_keys else STDOUT
        self._outputs: list[Output] = []
        options = self._options(clock_offset_ns)
        _refuse_shared_files(common, [route.choice for route in routes])
        delivery = delivery_of(common)
        self._ecaptureq: Ecaptureq | None = None
        try:
            for choice, events, logs in routes:
                standard = StdoutSink(STDERR, name="standard error") if beside_keys else StdoutSink()
                output = open_output(
                    choice,
                    options,
                    lossless=lossless,
                    standard=standard,
                    delivery=delivery,
                    events=events,
                    logs=logs,
                )
                output.sink.on_news = notice
                self._outputs.append(output)
            if common.ecaptureq and watch is None:  # of several captures, who watches has it
                whole = replace(options, body_limit=0, decode_body=options.decode_whole, width=None, color=False)
                self._ecaptureq = Ecaptureq(common, replace(whole, numbered=True), notice=notice)
                self._outputs += self._ecaptureq.outputs
        except BaseException:
            self.abandon()
            raise

    def _options(self, clock_offset_ns: int) -> FormatOptions:
        common = self._common
        terminal = os.isatty(self._fd)
        color = common.color == "always" or (common.color == "auto" and terminal and not os.environ.get("NO_COLOR"))
        return FormatOptions(
            clock_offset_ns=clock_offset_ns,
            width=shutil.get_terminal_size().columns if terminal else None,
            color=color,
            verbose=common.verbose,
            hex_dump=common.hex,
            body_limit=common.body_limit,
            filtered=bool(common.filter) or common.once,
            name_peers=common.once,
            decode_body=partial(decode_body, limit_bytes=common.body_limit or BODY_MAX_BYTES),
            decode_whole=partial(decode_body, limit_bytes=BODY_MAX_BYTES),
        )

    @property
    def failed(self) -> bool:
        """One of them could not take everything."""
        return any(output.failed for output in self._outputs)

    def set_clock_offset(self, clock_offset_ns: int) -> None:
        """From here on times of day are shown with this offset."""
        for output in self._outputs:
            output.set_clock_offset(clock_offset_ns)

    def show(self, messages: Sequence[Message]) -> None:
        """What is wanted of them, and not beyond the count; `flush` is the caller's, once per batch."""
        if self._common.once:
            messages = [message for message in messages if not is_echo(message)]
        if self._wanted:
            messages = self._filtered(messages, self._wanted)
        if self._common.count:
            messages = self._up_to_the_count(messages)
        self.exchanges += sum(type(message) is Exchange for message in messages)
        if messages:
            if self._watch:
                self._watch(messages)
            for output in self._outputs:
                try:
                    output.show(messages)
                except Exception as error:  # noqa: BLE001 - a form's outer edge: what a peer sends must not end the capture
                    self._failed(error)

    def _filtered(self, messages: Sequence[Message], wanted: Callable[[Message], bool]) -> Sequence[Message]:
        try:
            return list(filter(wanted, messages))
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return messages

    def _failed(self, error: Exception) -> None:
        """Counted, and told the first time, without what the exception quotes."""
        if not self._failures:
            self._notice(f"a form failed ({where_of(error)}); what it should have shown is counted")
        self._failures += 1

    def _up_to_the_count(self, messages: Sequence[Message]) -> list[Message]:
        taken: list[Message] = []
        for message in messages:
            if self._left <= 0:
                break
            taken.append(message)
            self._left -= type(message) is Exchange
        if self._left <= 0:
            self._stop()
        return taken

    def tick(self, now_ns: int) -> None:
        """About once a second; `flush` is the caller's."""
        for output in self._outputs:
            try:
                output.tick(now_ns)
            except Exception as error:  # noqa: BLE001 - as in `show`
                self._failed(error)

    def flush(self) -> None:
        """Hands on what was shown."""
        for output in self._outputs:
            with self._telling(output):
                output.sink.flush()
            for news in output.sink.take_news():
                self._notice(news)

        if self._ecaptureq:
            for news in self._ecaptureq.take_news():
                self._notice(news)

    def log(self, text: str) -> None:
        """What we say of ourselves, one line, to those outputs that are for it."""
        if self._ecaptureq:
            self._ecaptureq.log(text)
        for output in self._outputs:
            if output.takes_logs:
                output.log(text, ts_ns=time.monotonic_ns())
                with contextlib.suppress(SinkClosed, OutputError):
                    output.sink.flush()

    def close(self) -> None:
        """Waits until all is written, but for nobody who does not read."""
        for output in self._outputs:
            with self._telling(output):
                output.sink.drain()
            with self._telling(output):
                output.sink.close()
            for news in output.sink.take_news():
                self._notice(news)
            if output.remark:
                self._notice(output.remark)
        if self._ecaptureq:
            self._ecaptureq.close()

    def conclude(self, totals: Totals) -> None:
        """The last line of those forms that have one; before `close`."""
        for output in self._outputs:
            output.conclude(totals)

    @contextlib.contextmanager
    def _telling(self, output: Output) -> Iterator[None]:
        """A reader that has gone ends its output; that of standard output, the capture. Failures are said once."""
        try:
            yield
        except SinkClosed:
            output.stop()
            if output.on_standard_output and self._fd == STDOUT:
                self._stop()
            elif not output.on_standard_output:
                self._notice(f"nobody reads {output.choice.path} any more")
        except OutputError as error:
            self._notice(f"{error.message}; what cannot be written is counted")

    def losses(self) -> dict[str, int]:
        """By counter."""
        return {
            "output_failures": self._failures,
            "output_unread": sum(output.unread_writes for output in self._outputs),
            "sink_dropped": sum(output.sink.dropped_writes for output in self._outputs),
            "sink_dropped_bytes": sum(output.sink.dropped_bytes for output in self._outputs),
        }

    def hurry(self) -> None:
        """Nobody is waited for longer than a moment; safe in a signal handler."""
        for output in self._outputs:
            output.sink.hurry()

    def abandon(self) -> None:
        """Lets go of them; nothing after `close`."""
        self.hurry()
        for output in self._outputs:
            with contextlib.suppress(SinkClosed, OutputError):
                output.sink.close()
        if self._ecaptureq:
            self._ecaptureq.close()


def _refuse_shared_files(common: CommonConfig, choices: Sequence[FormatChoice]) -> None:
    """Keys, records and messages do not go to one file. Raises UsageError."""
    others = {"-k": common.keylog_path if common.wants_keylog else None, "--record": common.record}
    for choice in choices:
        for flag, path in others.items():
            if choice.path and path and os.path.realpath(choice.path) == os.path.realpath(path):
                raise UsageError(
                    f"--format: {choice.name} and {flag} would both write {path}", hint="give each a file of its own"
                )


def is_echo(message: Message) -> bool:
    """Whether the other end, on this host too, says the same as the client."""
    if isinstance(message, Exchange):
        return not message.outgoing and message.connection.peer is not None
    if isinstance(message, ServerSentEvent):
        return message.outgoing and message.connection.peer is not None
    if isinstance(message, (WebSocketMessage, GrpcMessage, Raw)):
        return message.connection.peer is not None and _is_servers(message)
    return False


def _is_servers(message: WebSocketMessage | GrpcMessage | Raw) -> bool:
    """Where nothing else tells, the server has the lower port."""
    if not isinstance(message, Raw) and message.from_client is not None:
        return message.from_client != message.outgoing
    socket = message.connection.socket
    return socket is not None and socket.local_port < socket.remote_port
