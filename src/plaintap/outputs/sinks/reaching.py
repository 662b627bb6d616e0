# SPDX-License-Identifier: Apache-2.0
"""From an address to what makes a connection there, certificates included; connects to nothing yet."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from plaintap.errors import OutputError, reason
from plaintap.outputs.sinks.address import Peer, parse_peer
from plaintap.outputs.sinks.links import Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whose certificates are believed."""

    ca_path: str | None = None
    """None: those of this host."""
    anyone: bool = False


def opener(address: str, *, binary: bool, trust: Trust) -> tuple[Callable[[], Link], Peer, bool]:
    """What connects, to whom, and whether it has messages of its own. Raises OutputError."""
    peer = parse_peer(address, label="address")
    if peer.scheme == "tcp":
        return lambda: Link(peer.host, peer.port), peer, False
    # 40 ms that only who sends to a WebSocket should wait for.
    from plaintap.outputs.sinks.wslink import WebSocketLink  # noqa: PLC0415

    tls = _tls_context(trust) if peer.scheme == "wss" else None
    return lambda: WebSocketLink(peer, binary=binary, tls=tls), peer, True


def _tls_context(trust: Trust) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust.ca_path)
    except OSError as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else reason(error)
        raise OutputError(
            f"cannot read --sink-ca {trust.ca_path}: {why}", hint="a file of certificates, PEM"
        ) from error
    if trust.anyone:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
