# SPDX-License-Identifier: Apache-2.0
"""Who speaks with whom, as text: processes, addresses, the URL's host."""

from __future__ import annotations

from socket import AF_UNIX

from plaintap.events import Socket
from plaintap.messages import Connection
from plaintap.outputs.columns import cut_middle
from plaintap.outputs.escape import escape

UNKNOWN = "?"
_HTTPS_PORT = 443
_NAME_COLUMNS = 15


def process(connection: Connection) -> str:
    """`curl[8123]`; a process chooses its own name, so that it is escaped and then no longer than one of the kernel."""
    return f"{cut_middle(escape(connection.comm), _NAME_COLUMNS) or UNKNOWN}[{connection.pid}]"


def _join(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _unix(socket: Socket) -> str:
    """`unix:/run/api.sock`; without a path `unix[4242]`, the process at the other end or that made both."""
    if socket.path:
        return f"unix:{escape(socket.path)}"
    return f"unix[{socket.peer_pid or UNKNOWN}]"


def peer(socket: Socket | None) -> str:
    """The other end, `93.184.216.34:443`, `[2001:db8::1]:443` or `unix:/run/api.sock`; "" when it is unknown."""
    if socket and socket.family == AF_UNIX:
        return _unix(socket)
    return _join(socket.remote_address, socket.remote_port) if socket and socket.remote_address else ""


def local(socket: Socket | None) -> str:
    """This end in the same form."""
    if socket and socket.family == AF_UNIX:
        return _unix(socket)
    return _join(socket.local_address, socket.local_port) if socket and socket.local_address else ""


def server(socket: Socket | None, *, outgoing: bool) -> str:
    """The address that was asked, as a URL has it (without port 443), for requests that name no host."""
    text = peer(socket) if outgoing else local(socket)
    return text.removesuffix(f":{_HTTPS_PORT}") or UNKNOWN
