# SPDX-License-Identifier: Apache-2.0
"""All connections of a capture: from batches of records to messages, with both life cycles and every count.

The socket life cycle keeps a worker until its TLS session, its socket or its process has ended; the default one closes
it after some ticks without an event and is for sessions none of whose ends can be observed. Order, gaps and parsers of
one connection are worker.py's. No clock: times are the records', and the owner ticks.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Callable
from enum import Enum

from plaintap.events import (
    READ,
    WRITE,
    Fact,
    ProcessExited,
    Record,
    SessionEnded,
    SessionSeen,
    SocketClosed,
    SocketSource,
    TlsSeen,
    UnixSocketSeen,
    decode_fact,
)
from plaintap.messages import Connection, Message, RecordSeen
from plaintap.parsing import Recognise
from plaintap.streams.sockets import Sockets
from plaintap.streams.worker import Losses, Worker

MAX_WORKERS = 65536
"""6.6 KB each, measured with HTTP/1 on them."""
IDLE_TICKS = 10
_EVICTED_SHARE = 16


class LifeCycle(Enum):
    """When a connection is over."""

    SOCKET = "socket"
    DEFAULT = "default"


def always_socket(_connection: Connection) -> LifeCycle:
    """The policy for libraries that say when they free a session."""
    return LifeCycle.SOCKET


def _closing_is_seen(connection: Connection) -> bool:
    """Whether the kernel tells when its socket is gone: of TCP, where it sees sockets at all."""
    socket = connection.socket
    return socket is not None and bool(socket.remote_port) and socket.source != SocketSource.CONNECT


class Connections:
    """`emit` gets the messages of a feed, a tick or the end at once and in order, none when there are none.

    The list is emptied when `emit` returns or raises: who keeps messages copies them. `on_failure` is told, for each
    failure of a parser, the exception's type and place in the code, never what was parsed.
    """

    def __init__(
        self,
        emit: Callable[[list[Message]], None],
        recognise: Recognise,
        *,
        max_workers: int = MAX_WORKERS,
        idle_ticks: int = IDLE_TICKS,
        want_records: bool = False,
        life_cycle: Callable[[Connection], LifeCycle] = always_socket,
        on_fact: Callable[[Fact], None] | None = None,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self.libraries: dict[int, str] = {}
        """Name of a library by its number in the records; its owner fills it."""
        self.describe: Callable[[Connection], None] | None = None
        """Its owner may set it: adds what else is known of the process of a connection, once that is known."""
        self.connections = 0
        self.processes = 0
        self.evicted = 0
        self.undecodable = 0
        self._emit = emit
        self._recognise = recognise
        self._max_workers = max_workers
        self._idle_ticks = idle_ticks
        self._want_records = want_records
        self._life_cycle = life_cycle
        self._on_fact = on_fact
        self._losses = Losses(on_failure=on_failure)
        self._workers: dict[int, Worker] = {}
        # Evicted and idle sessions may speak again, and their identity is told only once; of a process that has
        # exited, the totals may still come.
        self._dormant: dict[int, tuple[Connection, tuple[int, int]]] = {}
        # Sessions whose socket is gone. They end once they are silent: a library may hold what it has not handed out.
        self._closed: dict[int, SocketClosed] = {}
        # Of sessions that have not spoken yet.
        self._tls: dict[int, TlsSeen] = {}
        self._sockets = Sockets(max_sockets=max_workers)
        self._sessions_of: dict[int, set[int]] = {}
        self._living: set[int] = set()
        self._ended_bytes = [0, 0]
        self._ended_unattributed = 0
        self._messages: list[Message] = []

    @property
    def lost_bytes(self) -> int:
        return self._losses.lost_bytes

    @property
    def parser_failures(self) -> int:
        """Connections shown raw because a parser raised: ours to repair."""
        return self._losses.parser_failures

    @property
    def read_bytes(self) -> int:
        """Plaintext bytes captured that processes received."""
        return self._ended_bytes[READ] + sum(worker.seen_bytes(READ) for worker in self._workers.values())

    @property
    def written_bytes(self) -> int:
        """Plaintext bytes captured that processes sent."""
        return self._ended_bytes[WRITE] + sum(worker.seen_bytes(WRITE) for worker in self._workers.values())

    @property
    def unattributed(self) -> int:
        """Sessions, open or ended, whose socket is not known."""
        still = sum(worker.connection.socket is None for worker in self._workers.values())
        return self._ended_unattributed + still

    def feed(self, batch: list[Record]) -> None:
        """The hot loop: what it does per record is looked up, compared and handed on, nothing else."""
        workers = self._workers
        want_records = self._want_records
        try:
            for session, direction, offset, ts_ns, data, tid in batch:
                if not session:
                    self._fact(direction, ts_ns, data)
                    continue
                try:
                    worker = workers[session]
                except KeyError:
                    worker = self._unknown(session, tid, ts_ns)
                worker.last_ns = ts_ns
                if want_records:
                    self._messages.append(RecordSeen(worker.connection, direction, ts_ns, offset, data, tid))
                end = worker.end
                if end[direction] == offset:
                    end[direction] = offset + len(data)
                    try:
                        worker.receive(direction, ts_ns, data)
                    except Exception as error:  # noqa: BLE001 - a parser's outer edge: what a peer sends must not end the capture
                        worker.parser_failed(error)
                        worker.unclaimed(direction, ts_ns, data)
                else:
                    worker.out_of_order(direction, offset, ts_ns, data)
        finally:
            self._hand_on()

    def tick(self, now_ns: int) -> None:
        """Once a second or so: silent connections show what is unfinished, long idle ones may end."""
        idle = []
        for session, worker in self._workers.items():
            if worker.last_ns != worker.ticked_ns:
                worker.ticked_ns = worker.last_ns
                worker.idle_ticks = 0
                continue
            worker.idle_ticks += 1
            if worker.idle_ticks == 1:
                worker.flush(now_ns)
            if worker.closes_when_idle and worker.idle_ticks >= self._idle_ticks:
                idle.append(session)
        for closed in list(self._closed.values()):
            if self._workers[closed.session].idle_ticks:
                self._end_closed(closed)
        for session in idle:
            if session in self._workers:
                self._end(session, now_ns, "idle")
        self._hand_on()

    def close(self, ts_ns: int) -> None:
        """No more records will come."""
        for closed in list(self._closed.values()):
            self._end_closed(closed)
        for session in list(self._workers):
            self._end(session, ts_ns, "closed", for_good=True)
        self._hand_on()

    def _hand_on(self) -> None:
        messages = self._messages
        if messages:
            try:
                self._emit(messages)
            finally:
                messages.clear()

    def _fact(self, kind: int, ts_ns: int, raw: bytes) -> None:
        try:
            fact = decode_fact(kind, raw)
        except (struct.error, ValueError):
            fact = None
        if fact is None:
            self.undecodable += 1
            return
        self._learn(fact, ts_ns)
        if self._on_fact:
            self._on_fact(fact)

    def _learn(self, fact: Fact, ts_ns: int) -> None:
        if isinstance(fact, SessionSeen):
            self._seen(fact)
        elif isinstance(fact, SessionEnded):
            self._ended(fact)
        elif isinstance(fact, UnixSocketSeen):
            self._sockets.keep_unix(fact)
        elif isinstance(fact, TlsSeen):
            self._agreed(fact)
        elif isinstance(fact, SocketClosed):
            if fact.session in self._workers:
                self._closed[fact.session] = fact
        elif isinstance(fact, ProcessExited):
            for session in list(self._sessions_of.get(fact.pid, ())):
                self._end(session, ts_ns, "closed")
            self._living.discard(fact.pid)

    def _seen(self, seen: SessionSeen) -> None:
        worker = self._workers.get(seen.session)
        if worker is None:
            worker = self._unknown(seen.session, seen.tid, seen.ts_ns)
        connection = worker.connection
        if connection.pid != seen.pid:
            self._move(connection, seen.pid)
        connection.uid = seen.uid
        if connection.comm != seen.comm:
            connection.comm = seen.comm
            if self.describe:
                self.describe(connection)
        connection.ssl = seen.ssl
        connection.library = self.libraries.get(seen.library, "")
        if seen.socket:
            self._sockets.learn(connection, seen.socket)
        worker.closes_when_idle = self._closes_when_idle(connection)

    def _closes_when_idle(self, connection: Connection) -> bool:
        return self._life_cycle(connection) is LifeCycle.DEFAULT and not _closing_is_seen(connection)

    def _agreed(self, seen: TlsSeen) -> None:
        """It is told before the session's first data, and again when more is known."""
        worker = self._workers.get(seen.session)
        if worker is not None:
            _take_over(worker.connection, seen)
        elif seen.session in self._dormant:
            _take_over(self._dormant[seen.session][0], seen)
        else:
            self._tls[seen.session] = seen
            if len(self._tls) > self._max_workers:
                del self._tls[next(iter(self._tls))]

    def _move(self, connection: Connection, pid: int) -> None:
        """Its process is known now."""
        before = self._sessions_of.get(connection.pid, set())
        before.discard(connection.session)
        if not before:
            self._sessions_of.pop(connection.pid, None)
        connection.pid = pid
        self._sessions_of.setdefault(pid, set()).add(connection.session)
        if pid not in self._living:
            self._living.add(pid)
            self.processes += 1

    def _unknown(self, session: int, tid: int, ts_ns: int) -> Worker:
        """A worker for a session that has none: new, or dormant, or its identity was lost."""
        if len(self._workers) >= self._max_workers:
            self._evict(ts_ns)
        known = self._dormant.pop(session, None)
        if known is None:
            self.connections += 1
            known = Connection(session, 0, tid, 0, "?"), (0, 0)
            if agreed := self._tls.pop(session, None):
                _take_over(known[0], agreed)
        elif known[0].socket is None:
            self._ended_unattributed -= 1
        connection, start = known
        worker = Worker(
            connection,
            self._messages.append,
            recognise=self._recognise,
            losses=self._losses,
            start=start,
            closes_when_idle=self._closes_when_idle(connection),
        )
        worker.last_ns = ts_ns
        self._workers[session] = worker
        if connection.pid:
            self._sessions_of.setdefault(connection.pid, set()).add(session)
        return worker

    def _ended(self, ended: SessionEnded) -> None:
        session, ts_ns = ended.session, ended.ts_ns
        worker = self._workers.get(session)
        if worker is None:
            _, seen = self._dormant.get(session, (None, (0, 0)))
            if ended.read_bytes <= seen[READ] and ended.written_bytes <= seen[WRITE]:
                self._dormant.pop(session, None)
                self._tls.pop(session, None)
                return
            # It has spoken since, or all along, and none of that came through.
            worker = self._unknown(session, 0, ts_ns)
        _fill_up(worker, ended)
        self._end(session, ts_ns, "closed", for_good=True)

    def _end_closed(self, closed: SocketClosed) -> None:
        """It may speak again, as one that was evicted; its addresses are free for others."""
        worker = self._workers[closed.session]
        _fill_up(worker, closed)
        self._sockets.forget(worker.connection)
        self._end(closed.session, max(closed.ts_ns, worker.last_ns), "closed")

    def _evict(self, ts_ns: int) -> None:
        """Those silent for longest go, a share of all at a time since finding them looks at all."""
        share = max(1, self._max_workers // _EVICTED_SHARE)
        for session, _ in heapq.nsmallest(share, self._workers.items(), key=lambda item: item[1].last_ns):
            self._end(session, ts_ns, "evicted")
            self.evicted += 1

    def _end(self, session: int, ts_ns: int, reason: str, *, for_good: bool = False) -> None:
        worker = self._workers.pop(session)
        self._closed.pop(session, None)
        connection = worker.connection
        if for_good:
            self._sockets.forget(connection)
        worker.close(ts_ns, reason)
        self._ended_bytes[READ] += worker.seen_bytes(READ)
        self._ended_bytes[WRITE] += worker.seen_bytes(WRITE)
        self._ended_unattributed += connection.socket is None
        sessions = self._sessions_of.get(connection.pid)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._sessions_of[connection.pid]
        if not for_good:
            self._dormant[session] = connection, (worker.end[READ], worker.end[WRITE])
            if len(self._dormant) > self._max_workers:
                del self._dormant[next(iter(self._dormant))]


def _fill_up(worker: Worker, totals: SessionEnded | SocketClosed) -> None:
    """What passed and did not come through is missing at the end."""
    for direction, total_bytes in ((READ, totals.read_bytes), (WRITE, totals.written_bytes)):
        if total_bytes > worker.end[direction]:
            worker.missing(direction, totals.ts_ns, total_bytes - worker.end[direction])


def _take_over(connection: Connection, seen: TlsSeen) -> None:
    connection.tls_version = seen.version or connection.tls_version
    connection.cipher = seen.cipher or connection.cipher
    connection.alpn = seen.alpn or connection.alpn
    connection.sni = seen.sni or connection.sni
