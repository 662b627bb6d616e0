# SPDX-License-Identifier: Apache-2.0
"""Messages as they come, for whoever listens at GET /events: JSON lines with numbers, each listener with its own queue.

A listener that does not read loses what does not fit its queue, and is told how much; the capture never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence

from plaintap.messages import Message

QUEUE_BYTES = 4 << 20
"""Of one listener."""
LISTENERS_MAX = 32


class Listener:
    """One reader's queue; `take` is called in its event loop, everything else from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        self._lock = threading.Lock()
        self._queue: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._dropped = 0

    def put(self, number: int, line: bytes) -> bool:
        """False where it did not fit."""
        with self._lock:
            if self._bytes + len(line) > QUEUE_BYTES:
                self._dropped += 1
                return False
            was_empty = not self._queue
            self._queue.append((number, line))
            self._bytes += len(line)
        if was_empty:
            with contextlib.suppress(RuntimeError):  # the server has ended
                self._loop.call_soon_threadsafe(self._ready.set)
        return True

    async def take(self, timeout_s: float) -> tuple[list[tuple[int, bytes]], int]:
        """What has gathered, and how many were dropped behind that; both empty after the timeout."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        except TimeoutError:
            return [], 0
        with self._lock:
            self._ready.clear()
            taken, self._queue = list(self._queue), deque()
            dropped, self._dropped = self._dropped, 0
            self._bytes = 0
        return taken, dropped


class Feed:
    """All listeners; `encode` makes JSON lines of messages."""

    def __init__(self, encode: Callable[[Sequence[Message]], bytes]) -> None:
        self._encode = encode
        self._lock = threading.Lock()
        self._listeners: list[Listener] = []
        self._number = 0
        self.dropped = 0
        """Events that readers missed, of all of them."""
        self.failures = 0
        """Batches that could not be encoded."""

    def show(self, messages: Sequence[Message]) -> None:
        """Hands them to everybody; from any thread."""
        with self._lock:
            if not self._listeners:
                return
            try:
                lines = self._encode(messages).splitlines()
            except Exception:  # noqa: BLE001 - a form's outer edge: what a peer sends must not end the capture
                self.failures += 1
                return
            for line in lines:
                self._number += 1
                self.dropped += sum(not listener.put(self._number, line) for listener in self._listeners)

    def status(self) -> dict[str, int]:
        """Who reads, and what they missed."""
        return {"readers": len(self._listeners), "dropped": self.dropped, "failures": self.failures}

    def add(self, loop: asyncio.AbstractEventLoop) -> Listener | None:
        """A new listener; None where there are enough."""
        listener = Listener(loop)
        with self._lock:
            if len(self._listeners) >= LISTENERS_MAX:
                return None
            self._listeners.append(listener)
        return listener

    def remove(self, listener: Listener) -> None:
        """It has gone."""
        with self._lock:
            self._listeners.remove(listener)
