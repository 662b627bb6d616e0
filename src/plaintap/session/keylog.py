# SPDX-License-Identifier: Apache-2.0
"""The key log of a capture or a replay: from facts about secrets to lines in its file, and what is lost on the way.

Joins the keys stage and the key log's form and file; the pipeline decides which facts come here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from plaintap.config_show import STANDARD_OUTPUT
from plaintap.errors import OutputError
from plaintap.events import SecretLogged, SecretsSeen
from plaintap.keys.collector import Collector
from plaintap.messages import Secrets
from plaintap.outputs.base import SinkClosed
from plaintap.outputs.keylog import keylog_lines
from plaintap.outputs.sinks.keyfile import KeyFile
from plaintap.outputs.sinks.queued import QueuedSink


class KeyLog:
    """Lines are written as facts come; what the file has already is not written again."""

    def __init__(
        self,
        path: str | None,
        *,
        lossless: bool,
        alone: bool,
        notice: Callable[[str], None],
        stop: Callable[[], None],
        in_company: bool = False,
        copy: Callable[[bytes], None] | None = None,
    ) -> None:
        """Without a `path` lines go nowhere but to `copy`, which is called with what is new.

        `alone` says that nothing else is wanted: raises OutputError for a file that cannot be written.

        Otherwise that is said, and what would have gone there counted. `stop` is called when nobody reads any more and
        nothing else is wanted. `in_company` other captures of this process may write there too.
        """
        self.collector = Collector(notice)
        self._path = path
        self._alone = alone
        self._notice = notice
        self._stop = stop
        self._lossless = lossless
        self._closed = False
        self._unwritten = 0
        self._sink: QueuedSink | None = None
        self._copy = copy
        if path is None:
            return
        try:
            self._file = file = KeyFile(path)
        except OutputError as error:
            if alone:
                raise
            notice(f"{error.message}; the keys are only counted")
            return
        if file.is_shared and not in_company:
            notice(f"another plaintap writes keys to {path} too: lines of both may be in it twice")
        for label, client_random in file.lines():
            self.collector.know(label, client_random)
        self._sink = QueuedSink(file, lossless=lossless)

    @property
    def place(self) -> str:
        """Where the keys go, for people; "" when they go nowhere."""
        if not self._sink or self._path is None:
            return ""
        return "standard output" if self._path == STANDARD_OUTPUT else self._path

    @property
    def failed(self) -> bool:
        """The file could not take everything, and there was nothing else to do."""
        return self._alone and self._sink is not None and self._sink.failed

    def take(self, fact: SecretsSeen | SecretLogged) -> Secrets | None:
        """What was new in the fact, already on its way to the file."""
        secrets = self.collector.take(fact)
        if secrets:
            lines = keylog_lines(secrets)
            if self._copy:
                self._copy(lines)
            if self._sink:
                self._sink.write(lines)
            elif self._path is not None:
                self._unwritten += 1
        return secrets

    def flush(self) -> None:
        """Hands on what was taken; to be called once per batch."""
        self._telling(lambda sink: sink.flush())

    def close(self) -> None:
        """Waits until all is written, but not for somebody to come and read."""
        self._closed = True
        if self._sink and (self._file.waits_for_reader or (not self._lossless and self._file.is_pipe)):
            self._sink.hurry()
        self._telling(lambda sink: sink.drain())
        self._telling(lambda sink: sink.close())

    def losses(self) -> dict[str, int]:
        """What `--strict` asks, by counter."""
        return {
            "keylog_failed": int(self._sink is None and self._path is not None),
            "keylog_lost": self._unwritten + (self._sink.dropped_writes if self._sink else 0),
            "secrets_refused": self.collector.refused,
        }

    def hurry(self) -> None:
        """Nobody is waited for longer than a moment; safe in a signal handler."""
        if self._sink:
            self._sink.hurry()

    def abandon(self) -> None:
        """Lets go of the file, and altogether of one that was made for nothing; nothing after `close`."""
        if not self._sink or self._closed:
            return
        self._closed = True
        self.hurry()
        with contextlib.suppress(SinkClosed, OutputError):
            self._sink.close()
        self._file.remove_if_unused()

    def _telling(self, do: Callable[[QueuedSink], None]) -> None:
        if not self._sink:
            return
        try:
            do(self._sink)
        except SinkClosed:
            if self._alone:
                self._stop()
            else:
                self._notice(f"nobody reads the keys at {self.place} any more")
        except OutputError as error:
            self._notice(f"{error.message}; what cannot be written is counted")
