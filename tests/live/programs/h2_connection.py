# SPDX-License-Identifier: Apache-2.0
"""An HTTP/2 connection over a TLS socket, by the package `h2`, which remembers what each stream said and was told.

Used by h2_peer.py and grpc_peer.py; knows nothing of what they ask for.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from programs.said import Fields, Head, Who, tell_exchange

READ_BYTES = 1 << 16


@dataclass(slots=True)
class Stream:
    """Both sides of one; `request` and `response` are what was sent or received, whichever this end does."""

    number: int
    request: Head = field(default_factory=Head)
    response: Head = field(default_factory=Head)
    interim: list[int] = field(default_factory=list)
    unsent: deque[bytes] = field(default_factory=deque)
    end: Fields | bool = False
    """Behind what is unsent: trailers, or the bare end."""
    seen_bytes: int = 0
    """Of the other side's body, for whoever takes it in pieces."""


class Connection:
    """Its own side is always sent as flow control allows; whatever arrives while waiting is kept."""

    def __init__(self, tls: ssl.SSLSocket, *, is_client: bool) -> None:
        self.tls = tls
        self.who = Who.of(tls, is_client=is_client)
        # Else small frames wait for an acknowledgement.
        tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        configuration = h2.config.H2Configuration(client_side=is_client, header_encoding="latin-1")
        self.h2 = h2.connection.H2Connection(configuration)
        self.streams: dict[int, Stream] = {}
        self.ready: deque[Stream] = deque()
        """Whose other side's head has come."""
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.tls.sendall(self.h2.data_to_send())

    def mine(self, stream: Stream) -> Head:
        return stream.request if self.who.is_client else stream.response

    def theirs(self, stream: Stream) -> Head:
        return stream.response if self.who.is_client else stream.request

    def ask(self, fields: Fields, *, end: bool) -> Stream:
        """A new stream, of a client."""
        stream = self.streams.setdefault(number := self.h2.get_next_available_stream_id(), Stream(number))
        self.head(stream, fields, end=end)
        return stream

    def head(self, stream: Stream, fields: Fields, *, end: bool = False) -> None:
        self.mine(stream).fields = fields
        self.mine(stream).complete = end
        self.h2.send_headers(stream.number, fields, end_stream=end)
        self.flush()

    def interim(self, stream: Stream, fields: Fields) -> None:
        stream.interim.append(int(fields[0][1]))
        self.h2.send_headers(stream.number, fields)
        self.flush()

    def promise(self, stream: Stream, path: str) -> Stream:
        """A request that the other end is told it would have made, of a server."""
        pushed = Stream(self.h2.get_next_available_stream_id())
        fields = [(name, path if name == ":path" else value) for name, value in stream.request.fields]
        pushed.request = Head([field for field in fields if field[0].startswith(":")], complete=True)
        self.streams[pushed.number] = pushed
        self.h2.push_stream(stream.number, pushed.number, pushed.request.fields)
        self.flush()
        return pushed

    def body(self, stream: Stream, *pieces: bytes, end: Fields | bool = False) -> None:
        """Sends what may be sent now, the rest while events are waited for; `end` may be trailers."""
        stream.unsent += [piece for piece in pieces if piece]
        stream.end = stream.end or end
        self._send(stream)
        self.flush()

    def _send(self, stream: Stream) -> None:
        mine, number = self.mine(stream), stream.number
        while stream.unsent and not mine.complete:
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if not room:
                return
            piece = stream.unsent.popleft()
            if len(piece) > room:
                stream.unsent.appendleft(piece[room:])
            self.h2.send_data(number, piece[:room])
            mine.body.append(piece[:room])
        if stream.end and not mine.complete:
            mine.complete = True
            if stream.end is True:
                self.h2.end_stream(number)
            else:
                mine.trailers = stream.end
                self.h2.send_headers(number, stream.end, end_stream=True)

    def pump(self) -> bool:
        """What one read brings; False at the end of the connection."""
        try:
            data = self.tls.recv(READ_BYTES)
        except OSError:
            return False
        if not data:
            return False
        for event in self.h2.receive_data(data):
            self._take(event)
        for stream in self.streams.values():
            if stream.unsent or stream.end:
                self._send(stream)
        self.flush()
        return True

    def _take(self, event: h2.events.Event) -> None:
        number = getattr(event, "stream_id", 0)
        if isinstance(event, h2.events.RequestReceived):
            self.streams[number] = Stream(number)
        stream = self.streams.get(number)
        if stream is None:
            return
        theirs = self.theirs(stream)
        if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
            theirs.fields = _fields(event.headers)
            self.ready.append(stream)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            stream.interim.append(int(_fields(event.headers)[0][1]))
        elif isinstance(event, h2.events.TrailersReceived):
            theirs.trailers = _fields(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            theirs.body.append(event.data)
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, h2.events.StreamEnded):
            theirs.complete = True

    def wait_for(self, *streams: Stream) -> None:
        """Until these are complete in both directions."""
        while not all(stream.request.complete and stream.response.complete for stream in streams):
            if not self.pump():
                raise AssertionError("the connection ended in the middle of a stream")

    def close(self) -> None:
        self.h2.close_connection()
        self.flush()
        self.tls.close()

    def tell(self) -> None:
        for stream in self.streams.values():
            tell_exchange(self.who, stream.number, stream.request, stream.response, stream.interim)


def _fields(headers: object) -> Fields:
    assert isinstance(headers, list)
    return [(str(name), str(value)) for name, value in headers]


def connect(host: str, port: int, certificate: str) -> Connection:
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["h2"])
    return Connection(context.wrap_socket(socket.create_connection((host, port)), server_hostname=host), is_client=True)


def accept(raw: socket.socket, certificate: str, key: str) -> Connection:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    return Connection(context.wrap_socket(raw, server_side=True), is_client=False)
