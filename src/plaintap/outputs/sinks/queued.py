# SPDX-License-Identifier: Apache-2.0
"""A thread between the capture and its output, so that a slow or dead peer never stops the capture.

Owns the bounded queue and what is dropped when it is full. Writing is the inner sink's, in the
thread only.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from plaintap.errors import OutputError
from plaintap.outputs.base import Sink, SinkClosed
from plaintap.outputs.sinks.writer import BATCH_BYTES, unwritten

LIMIT_BYTES = 16 << 20
FLUSH_TIMEOUT_S = 2.0
_ONE_WRITE_BYTES = 1 << 20
"""A thread that let go of the interpreter waits milliseconds for it, so it takes much at a time."""
_LOOK_S = 0.1
"""How often one who waits looks whether to `hurry`: a signal handler cannot safely wake it."""

_IDLE_S = 5.0
_STOP_S = 1.0
"""How long a sink that was stopped may take to say what has gone out."""

_Batch = tuple[list[bytes], int]


@runtime_checkable
class Distant(Protocol):
    """A sink whose peer may go and come while nothing is written, and who takes part of a write."""

    news: deque[str]
    """What to tell people."""
    taken_bytes: int
    """Of the last write, in whole events."""

    def idle(self) -> None:
        """Every few seconds without anything to write."""

    def stop(self) -> None:
        """From another thread: what has not gone out by now is dropped."""


class QueuedSink:
    """Hands `sink` what was written, batch by batch, from a thread of its own.

    A batch that finds more than `limit_bytes` waiting is dropped and counted; with `lossless` its
    writer waits instead, until `hurry`. Where `close` gives up on a peer that took part of a
    batch, the whole of it is counted.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        limit_bytes: int = LIMIT_BYTES,
        lossless: bool = False,
        flush_timeout_s: float = FLUSH_TIMEOUT_S,
        count: Callable[[bytes], int] | None = None,
        name: str = "",
    ) -> None:
        """Starts no thread yet: that is the first batch's.

        `count` says how many events some bytes are; without it a write is one. Drops of a sink with a `name` are told,
        once for each time that it does not keep up.
        """
        self.dropped_writes = 0
        self.dropped_bytes = 0
        self.failed = False
        self.unread_writes = 0
        """Since the reader left, the one it left in included. No loss where that is how it should end."""
        self._sink = sink
        self._limit_bytes = limit_bytes
        self._lossless = lossless
        self._flush_timeout_s = flush_timeout_s
        self._count = count
        self._name = name
        self._news: deque[str] = deque()
        self.on_news: Callable[[str], object] | None = None
        """Told while somebody waits; else `take_news` is the owner's."""
        self._dropped_before: int | None = None
        """When it stopped keeping up; None while it keeps up."""
        self._distant = sink if isinstance(sink, Distant) else None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._hurried = False
        self._closed = False
        self._thread: threading.Thread | None = None
        # Everything below is looked at with this held.
        self._changed = threading.Condition()
        self._queue: deque[_Batch] = deque()
        self._in_hand: _Batch = ([], 0)
        self._held_bytes = 0
        self._large_bytes = 0
        self._failure: Exception | None = None
        self._reader_gone = False
        self._no_more = False
        self._ended = False
        self._given_up = False

    def write(self, data: bytes) -> None:
        """See `outputs.base.Sink`."""
        self._pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes >= BATCH_BYTES:
            self._hand_over()

    def flush(self) -> None:
        """See `outputs.base.Sink`; what it raises may be about an earlier batch."""
        self._hand_over()
        with self._changed:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def take_news(self) -> list[str]:
        """What became of the peer since the last call, for people."""
        sources = (self._distant.news, self._news) if self._distant else (self._news,)
        return [source.popleft() for source in sources for _ in range(len(source))]

    def hurry(self) -> None:
        """From now on nothing waits longer than the flush timeout; safe in a signal handler."""
        self._hurried = True

    def drain(self) -> None:
        """Waits until all is written, as long as that takes or until `hurry`: for a capture that ended by itself.

        For a peer that takes nothing at all, the flush timeout.
        """
        self._hand_over()
        with self._changed:
            left_bytes, moved_s = self._held_bytes, time.monotonic()
            while self._held_bytes and not self._hurried:
                self._wait_a_little()
                if self._held_bytes != left_bytes:
                    left_bytes, moved_s = self._held_bytes, time.monotonic()
                elif self._distant and time.monotonic() - moved_s >= self._flush_timeout_s:
                    return

    def close(self) -> None:
        """See `outputs.base.Sink`. Waits for the flush timeout at most; `lossless` drains first."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._lossless:
                self.drain()
            self._hand_over()
            self._wait_for_the_end()
        finally:  # an interrupt ends the waiting too
            self._give_up()
        with contextlib.suppress(SinkClosed):
            self.flush()

    def _hand_over(self) -> None:
        if not self._pending:
            return
        with self._changed:
            room = self._wait_for_room(self._pending_bytes)
            batch = (self._pending, self._pending_bytes)
            self._pending, self._pending_bytes = [], 0
            if self._reader_gone:
                self.unread_writes += len(batch[0])
                return
            if not room or self._given_up:
                self._drop(*batch)
                return
            self._queue.append(batch)
            self._held_bytes += batch[1]
            self._large_bytes += self._if_large(batch[1])
            self._changed.notify_all()
        if self._thread is None:
            # A daemon: it may be stuck in a write for ever, which must not keep the process.
            self._thread = threading.Thread(target=self._work, name="output", daemon=True)
            self._thread.start()

    def _wait_for_room(self, size_bytes: int) -> bool:
        """Only a lossless one waits."""
        while self._is_full(size_bytes):
            if not self._lossless or self._hurried or self._given_up:
                return False
            self._wait_a_little()
        return True

    def _is_full(self, more_bytes: int) -> bool:
        """What is being written does not count, nor a batch over the limit, of which one may wait."""
        if more_bytes > self._limit_bytes:
            return self._large_bytes > 0
        return self._held_bytes - self._in_hand[1] - self._large_bytes + more_bytes > self._limit_bytes

    def _wait_a_little(self) -> None:
        try:
            self._changed.wait(_LOOK_S)
        except BaseException:  # Ctrl-C: who then closes will not wait either
            self._hurried = True
            raise
        if self.on_news:
            for news in self.take_news():
                self.on_news(news)

    def _drop(self, writes: list[bytes], size_bytes: int, *, written_bytes: int = 0) -> None:
        if self._name and self._dropped_before is None:
            self._dropped_before = self.dropped_writes
            self._news.append(f"{self._name} does not keep up: what does not fit in its queue is dropped and counted")
        if self._count:
            self.dropped_writes += self._count(b"".join(writes)[written_bytes:])
        else:
            self.dropped_writes += unwritten(writes, written_bytes)
        self.dropped_bytes += size_bytes - written_bytes

    def _caught_up(self) -> None:
        if self._dropped_before is not None:
            number = self.dropped_writes - self._dropped_before
            what = "is left behind" if self._closed else "keeps up again"
            self._news.append(f"{self._name} {what}: {number} events were dropped for it")
            self._dropped_before = None

    def _wait_for_the_end(self) -> None:
        if self._thread is None:
            self._sink.close()
            self._ended = True
            return
        deadline = time.monotonic() + self._flush_timeout_s
        with self._changed:
            self._no_more = True
            self._changed.notify_all()
            while not self._ended and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)

    def _give_up(self) -> None:
        """Whatever the thread still does counts no more."""
        if self._distant and not self._ended:
            self._distant.stop()
        with self._changed:
            if self._distant and self._thread and not self._ended:
                self._changed.wait_for(lambda: self._ended, _STOP_S)
            if self._ended:
                return
            self._given_up = True
            self._drop(*self._in_hand, written_bytes=self._distant.taken_bytes if self._distant else 0)
            for batch in self._queue:
                self._drop(*batch)
            self._forget_all()

    def _forget_all(self) -> None:
        self._queue.clear()
        self._in_hand = ([], 0)
        self._held_bytes = self._large_bytes = 0

    def _if_large(self, size_bytes: int) -> int:
        return size_bytes if size_bytes > self._limit_bytes else 0

    def _work(self) -> None:
        """The thread: one inner write for all that has gathered, until told that no more comes."""
        while (batch := self._take()) is not None:
            if not batch[0]:
                self._look_at_the_peer()
                continue
            before_bytes = self._sink.dropped_bytes
            try:
                self._sink.write(b"".join(batch[0]))
                self._sink.flush()
            except (OutputError, SinkClosed) as error:
                self._done(batch, error, dropped_bytes=self._sink.dropped_bytes - before_bytes)
            except Exception as error:  # noqa: BLE001 - a thread's outer edge: `flush` raises it to the caller
                self._done(batch, error, dropped_bytes=batch[1])
            else:
                self._done(batch, None, dropped_bytes=self._sink.dropped_bytes - before_bytes)
        failure: Exception | None = None
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001 - as above
            failure = error
        with self._changed:
            self._ended = True
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _look_at_the_peer(self) -> None:
        if self._distant:
            self._distant.idle()

    def _take(self) -> _Batch | None:
        """None at the end, nothing when there was nothing for a while."""
        with self._changed:
            while not self._queue and not self._no_more:
                if not self._changed.wait(_IDLE_S if self._distant else None):
                    return [], 0
            writes: list[bytes] = []
            size_bytes = 0
            while self._queue and size_bytes < _ONE_WRITE_BYTES:
                more, more_bytes = self._queue.popleft()
                self._large_bytes -= self._if_large(more_bytes)
                writes += more
                size_bytes += more_bytes
            self._in_hand = (writes, size_bytes)
            return self._in_hand if writes else None

    def _done(self, batch: _Batch, failure: Exception | None, *, dropped_bytes: int) -> None:
        with self._changed:
            if self._given_up:
                return
            writes, size_bytes = batch
            if dropped_bytes:
                self._drop(writes, size_bytes, written_bytes=size_bytes - dropped_bytes)
            self._in_hand = ([], 0)
            self._held_bytes -= size_bytes
            if not self._held_bytes:
                self._caught_up()
            self._failure = self._failure or failure
            if isinstance(failure, SinkClosed):
                self._reader_gone = True
                self.unread_writes += len(writes) + sum(len(queued) for queued, _ in self._queue)
                self._forget_all()
            elif failure is not None:
                self.failed = True
            self._changed.notify_all()
