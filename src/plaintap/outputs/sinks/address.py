# SPDX-License-Identifier: Apache-2.0
"""Where an output goes, as a person writes it: a path, or the address of a peer. Connects to nothing."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from plaintap.errors import UsageError

SCHEMES = ("tcp", "ws", "wss")
_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who takes what an output writes."""

    scheme: str
    host: str
    port: int
    target: str = "/"
    """Path and query of a WebSocket."""

    def __str__(self) -> str:
        """Without the query, which may hold a secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        path = "" if self.scheme == "tcp" else self.target.partition("?")[0]
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def authority(self) -> str:
        """For a WebSocket's request."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_peer(text: str) -> bool:
    """Whether it is no path."""
    return "://" in text


def parse_peer(text: str, *, label: str, schemes: tuple[str, ...] = SCHEMES) -> Peer:
    """`label` is for the error. Raises UsageError."""
    example = f"for example {schemes[0]}://127.0.0.1:9000{'' if schemes[0] == 'tcp' else '/'}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{label}: {text!r} is no address: {error}", hint=example) from None
    if parts.scheme not in schemes:
        *most, last = [f"{scheme}://" for scheme in schemes]
        raise UsageError(f"{label}: expected {', '.join(most)} or {last}, got {text!r}", hint=example)
    port = port or _PORTS.get(parts.scheme)
    if not parts.hostname or not port or parts.username is not None:
        raise UsageError(f"{label}: expected {parts.scheme}://HOST:PORT, got {text!r}", hint=example)
    if parts.scheme == "tcp" and (parts.path.strip("/") or parts.query):
        raise UsageError(f"{label}: tcp:// has no path, got {text!r}", hint=example)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Peer(scheme=parts.scheme, host=parts.hostname, port=port, target=target)
