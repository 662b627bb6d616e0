# SPDX-License-Identifier: Apache-2.0
"""What streams and protocols emit and outputs show: past facts about connections.

Times are nanoseconds of CLOCK_MONOTONIC as recorded; an output adds the clock offset.
HTTP messages are msgspec structs because they are made for every exchange: half the time of a dataclass, and nothing
for the garbage collector to track (they hold no cycles).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from plaintap.events import SecretOwner, Socket


@dataclass(slots=True)
class Connection:
    """One TLS session of one process; `socket` stays None while it is unknown."""

    session: int
    pid: int
    tid: int
    uid: int
    comm: str
    ssl: int = 0
    library: str = ""
    """Name and version for people, such as `libssl 3.0.22`; empty when unknown."""
    socket: Socket | None = None


class HttpHead(msgspec.Struct, gc=False):
    """What a request and a response share."""

    headers: list[tuple[bytes, bytes]] = msgspec.field(default_factory=list)
    """As on the wire, in order, names in their own case."""
    version: str = "1.1"
    body: list[bytes] = msgspec.field(default_factory=list)
    """Pieces as transferred (chunked framing removed, content-encoding not), up to the limit."""
    body_bytes: int = 0
    """Body bytes transferred, those beyond the limit and lost ones included."""
    missing_bytes: int = 0
    """Bytes of this message that were lost."""
    first_ns: int = 0
    last_ns: int = 0
    complete: bool = False


class Request(HttpHead, gc=False):
    """A request; `target` as on the request line."""

    method: str = ""
    target: str = ""


class Response(HttpHead, gc=False):
    """A response; interim (1xx) ones are only counted in `Exchange.interim`."""

    status: int = 0
    reason: str = ""


class Exchange(msgspec.Struct, gc=False):
    """One HTTP request and its response; either is None when it was not seen."""

    connection: Connection
    protocol: str
    """`http/1.1`, `http/1.0`."""
    outgoing: bool
    """True when this process asked, False when it was asked."""
    request: Request | None
    response: Response | None
    interim: list[int] = msgspec.field(default_factory=list)
    """Statuses of interim responses, the first ones of many."""
    more_interim: int = 0
    """How many interim responses there were beyond `interim`."""


@dataclass(slots=True)
class Raw:
    """Bytes no protocol claimed, in order."""

    connection: Connection
    direction: int
    ts_ns: int
    offset: int
    data: bytes


@dataclass(slots=True)
class RecordSeen:
    """A raw record, whatever its protocol; only made when someone asked to see records."""

    connection: Connection
    direction: int
    ts_ns: int
    offset: int
    data: bytes
    tid: int


@dataclass(slots=True)
class Lost:
    """Bytes of a stream that the capture did not get."""

    connection: Connection
    direction: int
    ts_ns: int
    offset: int
    missing_bytes: int


@dataclass(slots=True)
class ConnectionEnded:
    """No more will come: `closed` (the session or process ended), `idle` or `evicted`."""

    connection: Connection
    ts_ns: int
    reason: str
    read_bytes: int
    written_bytes: int
    lost_bytes: int


@dataclass(slots=True)
class Secrets:
    """Lines of a key log (NSS format), all of one handshake: never shown by a form of messages, only their number."""

    owner: SecretOwner
    library: str
    version: int
    """TLS version as on the wire, 0 when unknown."""
    cipher: int
    """The suite's number on the wire, 0 when unknown."""
    lines: tuple[tuple[str, bytes], ...]
    """Label and secret; the client random is the owner's."""
    missing: tuple[str, ...] = ()
    """Labels that this handshake has and the library does not keep any more."""
    gathered: int = 0
    """Lines there are of this handshake with these; 0 while more are to come, as when a library logs one by one."""


Message: TypeAlias = Exchange | Raw | RecordSeen | Lost | ConnectionEnded | Secrets


@dataclass(slots=True)
class Totals:
    """What a capture amounted to; shown in the summary line and tested by `--strict`."""

    duration_s: float = 0.0
    processes: int = 0
    connections: int = 0
    exchanges: int = 0
    bytes: int = 0
    """Plaintext bytes captured, both directions."""
    lost_bytes: int = 0
    losses: dict[str, int] = field(default_factory=dict)
    """Loss counters that are not zero, by name, such as `ring_full_records`."""
    unattributed: int = 0
    """Sessions whose socket stayed unknown."""
    secret_sets: int | None = None
    """Handshakes of which keys were had; None where no keys were asked for."""

    @property
    def lost_anything(self) -> bool:
        """What `--strict` asks."""
        return bool(self.lost_bytes or any(self.losses.values()))
