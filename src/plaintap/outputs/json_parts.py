# SPDX-License-Identifier: Apache-2.0
"""The objects of the json form, field by field; docs/schema.md and schema/plaintap-v1.schema.json say the same.

A field with a default is left out where it has that value. A new field is no new version: it comes at the end, with a
default. What fills them is json_lines.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw, Struct

VERSION = 1
"""Goes up when a field goes away or means something else."""

Name = str | None
"""None is unknown."""
TextHeaders = Sequence[tuple[Name, Name]]


class Process(Struct, omit_defaults=True):
    """Who."""

    pid: int
    comm: str
    uid: int
    exe: str = ""
    container: str = ""


class Address(Struct):
    """One end of an IP connection."""

    address: str
    port: int


class UnixSocket(Struct):
    """A Unix socket: its path, "" where it has none, and the process at the other end, or that made both."""

    path: str
    peer_pid: int | None


class Tls(Struct, omit_defaults=True):
    """What is known of the TLS session."""

    library: str = ""
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    sni: str = ""


class ConnectionPart(Struct, omit_defaults=True):
    """Which connection."""

    id: str
    local: Address | None
    remote: Address | None
    tls: Tls
    unix: UnixSocket | None = None
    netns: int = 0
    fd: int = -1
    peer: Process | None = None
    """The process at the other end, where that is on this host and captured too."""


class RequestPart(Struct, gc=False, omit_defaults=True):
    """A request."""

    method: Name
    url: Name
    target: Name
    version: str
    headers: Raw
    body: str
    body_encoding: str
    body_bytes: int
    missing_bytes: int
    complete: bool
    body_truncated: bool = False
    body_left_out_bytes: int = 0
    body_note: str = ""
    trailers: TextHeaders = ()


class ResponsePart(Struct, gc=False, omit_defaults=True):
    """A response."""

    status: int | None
    reason: str
    version: str
    headers: Raw
    body: str
    body_encoding: str
    body_bytes: int
    missing_bytes: int
    complete: bool
    body_truncated: bool = False
    body_left_out_bytes: int = 0
    body_note: str = ""
    trailers: TextHeaders = ()


class Timings(Struct, gc=False):
    """In milliseconds; None where a side was not seen."""

    request_ms: float | None
    """From the first byte of the request to its last."""
    wait_ms: float | None
    """From there to the first byte of the response; 0 where that began before the request ended."""
    response_ms: float | None
    total_ms: float | None
    """From the first byte of the request to the last of the response."""


class GrpcPart(Struct, omit_defaults=True):
    """What an exchange is to gRPC."""

    service: str
    method: str
    sent: int
    received: int
    status: int | None
    status_name: str | None
    message: str = ""
    web: bool = False


class Line(Struct, gc=False, omit_defaults=True, tag_field="type"):
    """What every line begins with."""

    v: int
    time: str
    process: Raw
    connection: Raw


class ExchangeLine(Line, gc=False, omit_defaults=True, tag="exchange"):
    """`messages.Exchange`."""

    direction: str
    protocol: str
    request: RequestPart | None
    response: ResponsePart | None
    timings: Timings
    last_time: str
    stream: int = 0
    pushed: bool = False
    interim: Sequence[int] = ()
    more_interim: int = 0
    notes: Sequence[str] = ()
    grpc: GrpcPart | None = None
    seq: int = 0


class DataLine(Line, gc=False, omit_defaults=True):
    """A line about bytes of one direction."""

    direction: str
    data: str
    data_encoding: str
    data_bytes: int


class StreamLine(DataLine, gc=False, omit_defaults=True):
    """A line about a message inside a stream."""

    last_time: str
    missing_bytes: int
    complete: bool
    url: Name


class WebSocketLine(StreamLine, gc=False, omit_defaults=True, tag="websocket"):
    """`messages.WebSocketMessage`."""

    kind: str
    data_truncated: bool = False
    data_left_out_bytes: int = 0
    close_code: int | None = None
    fragments: int = 1
    compressed: bool = False
    from_client: bool | None = None
    stream: int = 0
    notes: Sequence[str] = ()
    wire_bytes: int | None = None
    seq: int = 0


class EventLine(StreamLine, gc=False, omit_defaults=True, tag="event"):
    """`messages.ServerSentEvent`."""

    event: str
    data_truncated: bool = False
    data_left_out_bytes: int = 0
    id: str = ""
    retry_ms: int | None = None
    stream: int = 0
    notes: Sequence[str] = ()
    seq: int = 0


class GrpcLine(StreamLine, gc=False, omit_defaults=True, tag="grpc"):
    """`messages.GrpcMessage`."""

    service: str
    method: str
    from_client: bool
    number: int
    fields: Raw
    data_truncated: bool = False
    data_left_out_bytes: int = 0
    compressed: bool = False
    stream: int = 0
    notes: Sequence[str] = ()
    wire_bytes: int | None = None
    seq: int = 0


class RawLine(DataLine, gc=False, omit_defaults=True, tag="raw"):
    """`messages.Raw`."""

    offset: int
    data_truncated: bool = False
    data_left_out_bytes: int = 0
    protocol: str = ""
    seq: int = 0


class RecordLine(DataLine, gc=False, omit_defaults=True, tag="record"):
    """`messages.RecordSeen`."""

    offset: int
    tid: int
    data_truncated: bool = False
    data_left_out_bytes: int = 0
    seq: int = 0


class LostLine(Line, gc=False, omit_defaults=True, tag="lost"):
    """`messages.Lost`."""

    direction: str
    offset: int
    missing_bytes: int
    seq: int = 0


class EndLine(Line, gc=False, omit_defaults=True, tag="end"):
    """`messages.ConnectionEnded`."""

    reason: str
    read_bytes: int
    written_bytes: int
    lost_bytes: int
    seq: int = 0


class SecretsLine(Line, gc=False, omit_defaults=True, tag="secrets"):
    """`messages.Secrets`: how many there are, never one of them."""

    secrets: int
    version: str
    cipher: str
    missing: Sequence[str] = ()
    seq: int = 0


class LogLine(Struct, omit_defaults=True, tag="log", tag_field="type"):
    """What plaintap says of itself."""

    v: int
    time: str
    text: str
    seq: int = 0


class SummaryLine(Struct, tag="summary", tag_field="type"):
    """`messages.Totals`, once, as the last line."""

    v: int
    duration_s: float
    processes: int
    connections: int
    exchanges: int
    bytes: int
    lost_bytes: int
    losses: dict[str, int]
    unattributed: int
    secret_sets: int | None
