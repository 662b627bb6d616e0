# SPDX-License-Identifier: Apache-2.0
"""Which parser a connection gets once a 101 has ended HTTP/1 on it; the parsers are elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from plaintap.messages import Exchange
from plaintap.parsing import Outlet, Parser
from plaintap.protocols.http2 import Http2
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.websocket import WebSocket


def _websocket(exchange: Exchange, outlet: Outlet, options: ParserOptions) -> Parser:
    return WebSocket(
        outlet.connection,
        outlet.emit,
        outgoing=exchange.outgoing,
        request=exchange.request,
        response=exchange.response,
        options=options,
        outlet=outlet,
    )


_PARSERS: dict[bytes, Callable[[Exchange, Outlet, ParserOptions], Parser]] = {
    b"h2c": Http2.after_upgrade,
    b"websocket": _websocket,
}
"""By the name in `Upgrade`."""


def parser_after(exchange: Exchange, outlet: Outlet, options: ParserOptions) -> Parser | None:
    """None: what follows is recognised afresh, as it is in a tunnel."""
    request, response = exchange.request, exchange.response
    if response is None or response.status != 101:
        return None
    # RFC 9110, 7.8: a server names what it switched to; who forgets it switched to what was asked.
    for head in (response, request):
        for name, value in head.headers if head is not None else ():
            if name.lower() == b"upgrade":
                make = _PARSERS.get(value.strip().lower())
                return make(exchange, outlet, options) if make else None
    return None
