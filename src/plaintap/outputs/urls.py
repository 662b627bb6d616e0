# SPDX-License-Identifier: Apache-2.0
"""The absolute URL of a request, as programs want it; how a line on a terminal shows one is lines.py's."""

from __future__ import annotations

from plaintap.messages import Request, Response
from plaintap.outputs.wiretext import clean, wire_text

HTTPS = "https://"
WSS = "wss://"
SWITCHED = 101
_CONNECT = "CONNECT"


def absolute_url(request: Request) -> str:
    """`https://api.example.com/orders?id=7`; "" when the host or the target is unknown.

    Of CONNECT it is the `host:port` that was asked for (RFC 9110, 7.1), of `OPTIONS *` the server's own URL. What a
    program speaks TLS for is https, whatever HTTP/2 says of it.
    """
    target = request.target
    if not target:
        return ""
    if target[0] != "/" and target != "*":
        return clean(target)
    host = authority(request)
    return f"{HTTPS}{host}{clean(target) if target != '*' else ''}" if host else ""


def authority(request: Request) -> str:
    """`api.example.com`, with its port where the request names one; "" when it names no host."""
    if request.authority:
        return clean(request.authority)
    for name, value in request.headers:
        if len(name) == 4 and name.lower() == b"host":
            return wire_text(value)
    return ""


def opens_websocket(request: Request | None, response: Response | None) -> bool:
    """Whether what follows on this connection, or in this stream (RFC 8441), is a WebSocket."""
    if request is None or response is None:
        return False
    if response.status != SWITCHED:
        return request.method == _CONNECT and request.target[:1] == "/" and 200 <= response.status < 300
    for name, value in response.headers:
        if len(name) == 7 and name.lower() == b"upgrade" and value.lower() == b"websocket":
            return True
    return False


def websocket_url(url: str) -> str:
    """The same place with the scheme of a WebSocket."""
    return WSS + url[len(HTTPS) :] if url.startswith(HTTPS) else url
