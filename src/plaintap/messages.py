# SPDX-License-Identifier: Apache-2.0
"""What streams and protocols emit and outputs show: past facts about connections.

Times are nanoseconds of CLOCK_MONOTONIC as recorded; an output adds the clock offset.
Messages inside streams (WebSocket, server-sent events, gRPC) say the same by the same names: `outgoing` (this process
sent it), `data`, `size_bytes`, `first_ns`, `last_ns`, `missing_bytes`, `complete`, `note`, `stream`, `request`. A place
in a connection's bytes is a `direction` (READ, WRITE), a `ts_ns` and an `offset`.
HTTP messages are msgspec structs because they are made for every exchange: half the time of a dataclass, and nothing
for the garbage collector to track (they hold no cycles).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from plaintap.events import SecretOwner, Socket


@dataclass(slots=True, eq=False)
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
    exe: str = ""
    """Path of the program, as the process sees it; empty when unknown."""
    container: str = ""
    """Id of the container it runs in, empty where there is none or it is unknown."""
    tls_version: int = 0
    """As on the wire, 0x0304 for TLS 1.3; 0 when unknown."""
    cipher: int = 0
    """The suite's number on the wire, 0 when unknown."""
    alpn: str = ""
    sni: str = ""
    """The server's name as the program set it; empty when unknown."""
    peer: Connection | None = field(default=None, repr=False)
    """The other end, where that is on this host and captured too."""


Headers: TypeAlias = list[tuple[bytes, bytes]]
"""Name and value. A name that is b"" is unknown, as is the value b"" beside it: HTTP/2 names fields of which the
capture came too late to see the meaning."""


class HttpHead(msgspec.Struct, gc=False):
    """What a request and a response share."""

    headers: Headers = msgspec.field(default_factory=list)
    """As on the wire, in order, names in their own case; without trailers and without HTTP/2's pseudo-fields."""
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
    """Its end was seen."""


class Request(HttpHead, gc=False):
    """A request; `target` as on the request line or in `:path`. In HTTP/2 an empty method or target is unknown."""

    method: str = ""
    target: str = ""
    trailers: Sequence[tuple[bytes, bytes]] = ()
    scheme: str = ""
    """HTTP/2's; empty in HTTP/1 and when unknown."""
    authority: str = ""
    """HTTP/2's `:authority`; HTTP/1 has the field `host`."""


class Response(HttpHead, gc=False):
    """A response; interim (1xx) ones are only counted in `Exchange.interim`. A status of 0 is unknown."""

    status: int = 0
    reason: str = ""
    trailers: Sequence[tuple[bytes, bytes]] = ()


class GrpcCall(msgspec.Struct, gc=False):
    """What an exchange is to gRPC; service and method are its path."""

    service: str
    method: str
    sent: int = 0
    """Messages of the client."""
    received: int = 0
    """Messages of the server."""
    status: int | None = None
    """`grpc-status` of the trailers: 0 is OK; None when it was not seen."""
    message: str = ""
    """`grpc-message`, percent-decoded."""
    web: bool = False
    """gRPC-Web."""


class Exchange(msgspec.Struct, gc=False):
    """One HTTP request and its response; either is None when it was not seen."""

    connection: Connection
    protocol: str
    """`http/1.1`, `http/1.0`, `h2`."""
    outgoing: bool
    """True when this process asked, False when it was asked."""
    request: Request | None
    response: Response | None
    interim: list[int] = msgspec.field(default_factory=list)
    """Statuses of interim responses, the first ones of many."""
    more_interim: int = 0
    """How many interim responses there were beyond `interim`."""
    stream: int = 0
    """HTTP/2's stream number."""
    notes: Sequence[str] = ()
    """What is odd about it, for people: shapes of request smuggling, a reset stream, limits that were met."""
    pushed: bool = False
    """The server promised it, nobody asked."""
    grpc: GrpcCall | None = None


class WebSocketMessage(msgspec.Struct, gc=False):
    """One message of a WebSocket (RFC 6455), its fragments joined; or a control frame."""

    connection: Connection
    outgoing: bool
    """True when this process sent it."""
    kind: str
    """`text`, `binary`, `close`, `ping`, `pong`; `unknown` when its beginning was not seen."""
    data: bytes
    """Unmasked and inflated, up to the limit; of `close` the reason."""
    size_bytes: int
    """Of the payload, compression undone as far as it could be; what is beyond the limit and lost included."""
    first_ns: int
    last_ns: int
    close_code: int | None = None
    fragments: int = 1
    compressed: bool = False
    missing_bytes: int = 0
    """Lost, as transferred."""
    complete: bool = True
    """Its end was seen and nothing of it is missing."""
    note: str = ""
    """What is odd about it, for people."""
    stream: int = 0
    """Of HTTP/2 (RFC 8441)."""
    request: Request | None = None
    """That opened it; None when it was not seen."""
    from_client: bool | None = None
    """None when it cannot be told."""
    wire_bytes: int | None = None
    """Of the payload as transferred, where it was compressed."""


class ServerSentEvent(msgspec.Struct, gc=False):
    """One event of a `text/event-stream`, as it arrived; its exchange follows when the stream ends."""

    connection: Connection
    outgoing: bool
    """True when this process sent it: it is the server."""
    event: str
    """`message` when it is not named."""
    data: str
    size_bytes: int
    """Of the data in UTF-8, what is beyond the limit included."""
    first_ns: int
    last_ns: int
    id: str = ""
    retry_ms: int | None = None
    missing_bytes: int = 0
    """Lost before it, after the event before."""
    complete: bool = True
    """Its end was seen."""
    note: str = ""
    """What is odd about it, such as a limit that cut it."""
    stream: int = 0
    request: Request | None = None


class GrpcMessage(msgspec.Struct, gc=False):
    """One message of a gRPC call, as it arrived; its exchange follows when the call ends."""

    connection: Connection
    outgoing: bool
    """True when this process sent it."""
    from_client: bool
    service: str
    method: str
    data: bytes
    """Decompressed, up to the limit."""
    size_bytes: int
    """Of the message without the five bytes before it, compression undone as far as it could be."""
    first_ns: int
    last_ns: int
    number: int
    """Which one of its direction, from 1."""
    compressed: bool = False
    fields: object = None
    """JSON-like: by name with a schema, else by field number; None where it is no protobuf."""
    missing_bytes: int = 0
    """Lost, as transferred."""
    complete: bool = True
    """Its end was seen and nothing of it is missing."""
    note: str = ""
    stream: int = 0
    request: Request | None = None
    wire_bytes: int | None = None
    """As transferred, where it was compressed."""


@dataclass(slots=True)
class Raw:
    """Bytes no protocol claimed, or one that is recognised and not parsed, in order."""

    connection: Connection
    direction: int
    ts_ns: int
    offset: int
    data: bytes
    protocol: str = ""
    """`redis`, `smtp`, ...; empty when nobody knows."""


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


Message: TypeAlias = (
    Exchange | WebSocketMessage | ServerSentEvent | GrpcMessage | Raw | RecordSeen | Lost | ConnectionEnded | Secrets
)


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
    packets: int | None = None
    """How many were written; None where none were asked for."""

    @property
    def lost_anything(self) -> bool:
        """What `--strict` asks."""
        return bool(self.lost_bytes or any(self.losses.values()))
