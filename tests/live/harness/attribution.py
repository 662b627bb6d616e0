# SPDX-License-Identifier: Apache-2.0
"""A recording looked at for its sockets and endings: sessions are found by their bytes, not by their addresses.

So one with a wrong address, or none, is found too, and its address compared with what the process itself says.
"""

from __future__ import annotations

import ipaddress
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.streams import Stream, Streams
from harness.tap import Ended
from harness.truth import Address, Digest, Truth

from plaintap.events import Record, SessionEnded, Socket, UnixSocketSeen, decode_fact
from plaintap.messages import ConnectionEnded, Message
from plaintap.protocols.registry import Registry
from plaintap.runtime import recording
from plaintap.streams.connections import Connections

Tuple = tuple[Address, Address]
"""Local and remote."""
_Bytes = tuple[int, Digest, Digest]
_Value = TypeVar("_Value")


def only(values: Iterable[_Value]) -> _Value:
    """The one there is."""
    (value,) = values
    return value


def plain(address: Address) -> Address:
    """IPv4-mapped IPv6 as the IPv4 it is."""
    host, port = address
    mapped = ipaddress.IPv6Address(host).ipv4_mapped if ":" in host else None
    return (str(mapped), port) if mapped else address


def tuple_of(truth: Truth) -> Tuple | None:
    """As the process got it from getsockname and getpeername."""
    if truth.local is None or truth.remote is None:
        return None
    return plain(truth.local), plain(truth.remote)


def _tuple(socket: Socket | None) -> Tuple | None:
    if socket is None:
        return None
    return (socket.local_address, socket.local_port), (socket.remote_address, socket.remote_port)


def network_namespace(pid: int | str = "self") -> int:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino


class Attribution(Streams):
    """The sessions of a recording."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.unix: dict[int, UnixSocketSeen] = {}
        self.ends: Counter[int] = Counter()
        super().__init__(records)
        self._by_bytes: defaultdict[_Bytes, list[Stream]] = defaultdict(list)
        for stream in self.all:
            key = (stream.pid, Digest.of(stream.read.bytes), Digest.of(stream.written.bytes))
            self._by_bytes[key].append(stream)

    def _add(self, record: Record) -> None:
        session, kind, _, _, data, _ = record
        fact = None if session else decode_fact(kind, data)
        if isinstance(fact, UnixSocketSeen):
            self.unix[fact.session] = fact
            return
        if isinstance(fact, SessionEnded):
            self.ends[fact.session] += 1
        super()._add(record)

    def having_said(self, truth: Truth) -> list[Stream]:
        """Those with just these bytes, whole, at this SSL pointer if that is told; in the order of the recording."""
        found = self._by_bytes[(truth.pid, truth.read, truth.written)]
        return [stream for stream in found if truth.ssl in {None, stream.ssl}]

    def of_truth(self, truth: Truth) -> Stream:
        found = self.having_said(truth)
        assert len(found) == 1, f"{len(found)} sessions with the bytes of {truth}, of the process: {self.of(truth.pid)}"
        assert (found[0].read.gaps, found[0].written.gaps) == ([], []), found[0]
        return found[0]

    def check_socket(
        self, truth: Truth, *, comm: str, late: bool = False, sure: bool = True, netns: int | None = None
    ) -> Stream:
        """Asserts that this session was captured whole, and over this socket from the first record to the last.

        With `late` the first may not have it yet; unless `sure`, none has to. Another one is never right.
        """
        stream = self.of_truth(truth)
        assert {seen.comm for seen in stream.seen} == {comm}, stream
        own = tuple_of(truth)
        told = [_tuple(seen.socket) for seen in stream.seen]
        assert set(told) <= {own, None}, f"a wrong socket among {told}, it is {own}"
        if sure:
            assert told[-1] == own, f"a session without its socket: {told}, it is {own}"
            assert late or set(told) == {own}, f"not known from the first record: {told}"
        namespaces = {seen.socket.netns for seen in stream.seen if seen.socket}
        assert namespaces <= {netns or network_namespace()}, namespaces
        return stream

    def check_sockets(
        self, truths: Iterable[Truth], *, comm: str, late: bool = False, sure: bool = True
    ) -> dict[Truth, Stream]:
        """The same for all of them; and their processes have had no other sessions."""
        truths = list(truths)
        assert truths, "the peers had no connection"
        found = {truth: self.check_socket(truth, comm=comm, late=late, sure=sure) for truth in truths}
        for pid in {truth.pid for truth in truths}:
            assert len(self.of(pid)) == sum(truth.pid == pid for truth in truths), self.of(pid)
        return found


def attribution(ended: Ended, *, unattributed: int | None = 0) -> Attribution:
    """The recording of a run, which must say of so many of its connections that it knows no address of theirs."""
    if unattributed is not None:
        said = [part for part in ended.summary.split(" · ") if part.endswith("without an address")]
        noun = "connection" if unattributed == 1 else "connections"
        assert said == ([f"{unattributed} {noun} without an address"] if unattributed else []), ended.summary
    return Attribution(recording.read(str(ended.record)))


def endings(ended: Ended) -> dict[int, ConnectionEnded]:
    """The sessions that ended before the recording did, each once, as the stage behind the kernel tells it."""
    messages: list[Message] = []
    connections = Connections(messages.extend, Registry().recognise)
    for record in recording.read(str(ended.record)):
        connections.feed([record])
    told = [message for message in messages if isinstance(message, ConnectionEnded)]
    found = {message.connection.session: message for message in told}
    assert len(found) == len(told), told
    return found


@dataclass(frozen=True, slots=True)
class UnixEnd:
    """What a process says of a Unix socket of its own."""

    pid: int
    ssl: int
    peer_pid: int
    local: str
    remote: str

    @property
    def path(self) -> str:
        """The one that has a name names both."""
        return self.local or self.remote


def unix_ends(output: bytes) -> list[UnixEnd]:
    """Every one that a program reported."""
    said = [json.loads(line) for line in output.splitlines() if line.startswith(b'{"unix"')]
    return [UnixEnd(end["unix"], end["ssl"], end["peer_pid"], *end["names"]) for end in said]
