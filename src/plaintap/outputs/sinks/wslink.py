# SPDX-License-Identifier: Apache-2.0
"""A WebSocket to a peer: one message per event, text or binary. The protocol is that of the library websockets."""

from __future__ import annotations

import ssl
import time

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.protocol import State
from websockets.uri import parse_uri

from plaintap.outputs.sinks.address import Peer
from plaintap.outputs.sinks.links import CONNECT_S, Link, LinkLost

_INCOMING_MAX_BYTES = 65536
"""Of a message of the peer, which nobody reads."""
_REDIRECTS = range(300, 400)


class WebSocketLink(Link):
    """Redirects are not followed: who is sent plaintext is whom the user named."""

    def __init__(self, peer: Peer, *, binary: bool, tls: ssl.SSLContext | None) -> None:
        """Raises OSError."""
        super().__init__(peer.host, peer.port, tls=tls)
        self._binary = binary
        uri = parse_uri(f"{peer.scheme}://{peer.authority}{peer.target}")
        self._protocol = ClientProtocol(uri, max_size=_INCOMING_MAX_BYTES)

    def start(self) -> None:
        """The opening handshake."""
        protocol = self._protocol
        deadline_s = time.monotonic() + CONNECT_S
        protocol.send_request(protocol.connect())
        self._socket.sendall(b"".join(protocol.data_to_send()))
        while protocol.state is State.CONNECTING and not protocol.handshake_exc:
            self._socket.settimeout(max(0.01, deadline_s - time.monotonic()))
            data = self._socket.recv(4096)
            if data:
                protocol.receive_data(data)
            else:
                protocol.receive_eof()
        if protocol.handshake_exc:
            raise LinkLost(_why(protocol.handshake_exc))
        super().start()

    def _encode(self, event: bytes) -> bytes:
        if self._protocol.state is State.OPEN:
            if self._binary:
                self._protocol.send_binary(event)
            else:
                self._protocol.send_text(event)
        return b"".join(self._protocol.data_to_send())

    def _take(self, data: bytes) -> str:
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._protocol.events_received()
        if self._protocol.state is State.OPEN:
            return ""
        return "the peer closed the WebSocket" if data else "the peer closed the connection"

    def _answer(self) -> None:
        if answer := b"".join(self._protocol.data_to_send()):
            self._send_all(answer)

    def _farewell(self) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
        self._answer()


def _why(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        to = error.response.headers.get("Location", "")
        return f"HTTP {status}" + (f", a redirect to {to!r} that is not followed" if status in _REDIRECTS else "")
    return "no WebSocket answers there" if isinstance(error, InvalidHandshake) else "what answers is no HTTP"
