# SPDX-License-Identifier: Apache-2.0
"""What an exchange's line says behind its columns: losses first, then where a redirect leads and what was sent."""

from __future__ import annotations

from plaintap.messages import Exchange, HttpHead
from plaintap.outputs.escape import escape, escape_bytes
from plaintap.outputs.grpcstatus import status_words
from plaintap.outputs.sizes import exact_bytes, size

_FIRST_REDIRECT = 300
_FIRST_ERROR = 400


def header(head: HttpHead, lower_name: bytes) -> bytes:
    """The first value of a header, b"" when it is not there."""
    for name, value in head.headers:
        if len(name) == len(lower_name) and name.lower() == lower_name:
            return value
    return b""


def losses(exchange: Exchange) -> list[str]:
    """What is missing of either message, exactly, and what is odd about them."""
    found = []
    for name, head in (("request", exchange.request), ("response", exchange.response)):
        if head is None:
            continue
        if head.missing_bytes:
            found.append(f"lost {exact_bytes(head.missing_bytes)} of the {name}")
        elif not head.complete:
            found.append(f"{name} incomplete")
    found += map(escape, exchange.notes)
    return found


def extras(exchange: Exchange) -> list[str]:
    """`→ /login`, `↑ 1.1 MB`, the more telling first; nothing for most exchanges."""
    found = []
    response = exchange.response
    if (call := exchange.grpc) and (call.status or call.message):
        found.append(": ".join(filter(None, (status_words(call.status), escape(call.message)))))
    if exchange.pushed:
        found.append("pushed")
    if response and _FIRST_REDIRECT <= response.status < _FIRST_ERROR:
        location = header(response, b"location")
        if location:
            found.append(f"→ {escape_bytes(location)}")
    if exchange.request and exchange.request.body_bytes and not call:
        found.append(f"↑ {size(exchange.request.body_bytes)}")
    return found
