# SPDX-License-Identifier: Apache-2.0
"""A recording as streams, and the comparison with what the peers say. Starts nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from harness.truth import Address, Digest, Truth

from plaintap.events import Meta, ProcessExited, Record, SessionEnded, SessionSeen, decode_fact
from plaintap.runtime import recording

_Key = tuple[int, Address | None, Address | None] | tuple[int, int | None]


@dataclass(slots=True)
class Direction:
    """What was captured of one direction: pieces with their offsets, in the order of the records."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    ended_at: int | None = None

    @property
    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """`(offset, missing bytes)`; fails where pieces overlap or are out of order."""
        gaps = []
        expected = 0
        for offset, data in self.pieces:
            assert offset >= expected, f"bytes of offset {offset} come again or late, expected {expected}"
            if offset > expected:
                gaps.append((expected, offset - expected))
            expected = offset + len(data)
        if self.ended_at is not None and self.ended_at > expected:
            gaps.append((expected, self.ended_at - expected))
        return gaps

    @property
    def missing_bytes(self) -> int:
        return sum(size for _, size in self.gaps)


@dataclass(slots=True)
class Stream:
    """One TLS session of the recording."""

    session: int
    seen: list[SessionSeen] = field(default_factory=list)
    read: Direction = field(default_factory=Direction)
    written: Direction = field(default_factory=Direction)
    ended: SessionEnded | None = None

    @property
    def pid(self) -> int:
        (pid,) = {seen.pid for seen in self.seen}
        return pid

    @property
    def comm(self) -> str:
        return self.seen[-1].comm

    @property
    def ssl(self) -> int:
        return self.seen[-1].ssl

    @property
    def local(self) -> Address | None:
        socket = self.seen[-1].socket
        return (socket.local_address, socket.local_port) if socket else None

    @property
    def remote(self) -> Address | None:
        socket = self.seen[-1].socket
        return (socket.remote_address, socket.remote_port) if socket else None

    @property
    def key(self) -> _Key:
        """What a peer knows this session by."""
        return (self.pid, self.local, self.remote) if self.local else (self.pid, self.ssl)

    def __repr__(self) -> str:
        return (
            f"<{self.comm}[{self.pid}] {self.local}-{self.remote} ssl {self.ssl:#x} "
            f"read {len(self.read.bytes)} gaps {self.read.gaps} "
            f"written {len(self.written.bytes)} gaps {self.written.gaps}>"
        )


class Streams:
    """Every session of a recording."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_session: dict[int, Stream] = {}
        self.meta: list[dict[str, object]] = []
        self.exited: list[int] = []
        for record in records:
            self._add(record)
        self._by_key: defaultdict[_Key, list[Stream]] = defaultdict(list)
        for stream in self.all:
            self._by_key[stream.key].append(stream)

    @classmethod
    def from_recording(cls, path: Path) -> Streams:
        return cls(recording.read(str(path)))

    def _add(self, record: Record) -> None:
        session, direction_or_kind, offset, _, data, _ = record
        if session:
            stream = self._by_session[session]
            assert stream.seen, f"bytes of session {session} before it was seen"
            direction = stream.written if direction_or_kind else stream.read
            direction.pieces.append((offset, data))
            return
        fact = decode_fact(direction_or_kind, data)
        assert fact is not None, f"unknown kind {direction_or_kind}"
        if isinstance(fact, SessionSeen):
            self._by_session.setdefault(fact.session, Stream(fact.session)).seen.append(fact)
        elif isinstance(fact, SessionEnded) and fact.session in self._by_session:
            stream = self._by_session[fact.session]
            stream.ended = fact
            stream.read.ended_at, stream.written.ended_at = fact.read_bytes, fact.written_bytes
        elif isinstance(fact, ProcessExited):
            self.exited.append(fact.pid)
        elif isinstance(fact, Meta):
            self.meta.append({name: value for name, value in msgspec.structs.asdict(fact).items() if value})

    @property
    def all(self) -> list[Stream]:
        return list(self._by_session.values())

    @property
    def pids(self) -> set[int]:
        return {stream.pid for stream in self.all}

    def of(self, pid: int) -> list[Stream]:
        return [stream for stream in self.all if stream.pid == pid]

    def find(self, truth: Truth) -> Stream:
        """The one stream with the pid and the 5-tuple (or SSL pointer, without a socket) of `truth`."""
        found = self._by_key[(truth.pid, truth.local, truth.remote) if truth.local else (truth.pid, truth.ssl)]
        assert len(found) == 1, f"{len(found)} streams for {truth}, of that process: {self.of(truth.pid)}"
        return found[0]

    def check(self, truth: Truth, *, comm: str) -> Stream:
        """Asserts that this connection was captured whole, in order, and under the right name."""
        stream = self.find(truth)
        assert (stream.read.gaps, stream.written.gaps) == ([], []), stream
        assert Digest.of(stream.read.bytes) == truth.read, stream
        assert Digest.of(stream.written.bytes) == truth.written, stream
        assert {seen.comm for seen in stream.seen} == {comm}, stream
        if truth.local is not None:
            sockets = {seen.socket for seen in stream.seen}
            assert len(sockets) == 1, f"its address was not right from the first record: {sockets}"
        else:
            assert stream.local is None, stream
        return stream

    def check_all(self, truths: Iterable[Truth], *, comm: str) -> None:
        """Asserts the same of every connection, and that their processes had no others."""
        truths = list(truths)
        assert truths, "the peers had no connection"
        for truth in truths:
            self.check(truth, comm=comm)
        for pid in {truth.pid for truth in truths}:
            expected = sum(truth.pid == pid for truth in truths)
            assert len(self.of(pid)) == expected, self.of(pid)

    def check_absent(self, pid: int) -> None:
        """Asserts that nothing of this process was captured."""
        assert self.of(pid) == []
