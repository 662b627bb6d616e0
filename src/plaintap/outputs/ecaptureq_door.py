# SPDX-License-Identifier: Apache-2.0
"""Who may come in to the eCaptureQ server, and what they get: decided from the request alone.

On loopback an unmodified client needs no token; a page of another origin is refused wherever it comes from, and so is
a name that merely leads here (DNS rebinding). Beyond loopback the path is a token.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from plaintap.outputs.sinks.address import Peer

FORMATS = ("protobuf", "json")
TOKEN_MIN_CHARS = 16
_TOKEN_BYTES = 24


class Refusal(NamedTuple):
    """Why not."""

    status: HTTPStatus
    why: str


def is_loopback(host: str) -> bool:
    """Of a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Door:
    """The rules of one server."""

    def __init__(self, address: Peer) -> None:
        """Beyond loopback the path of `address` is the token, or one is made."""
        self.open_to_others = not is_loopback(address.host)
        token = address.target.partition("?")[0].strip("/")
        self.token_is_ours = self.open_to_others and not token
        self.token = secrets.token_urlsafe(_TOKEN_BYTES) if self.token_is_ours else token

    def check(self, *, target: str, host: str | None, origin: str | None) -> str | Refusal:
        """The format this client gets, or why it gets nothing."""
        parts = urlsplit(target)
        if self.token and not hmac.compare_digest(parts.path.strip("/").encode(), self.token.encode()):
            return Refusal(HTTPStatus.UNAUTHORIZED, "the path is not the token")
        if not self.open_to_others and not is_loopback(_host_of(host)):
            return Refusal(HTTPStatus.FORBIDDEN, "Host is not this host")
        if origin is not None and urlsplit(origin).netloc != host:
            return Refusal(HTTPStatus.FORBIDDEN, "a page of another origin may not read this")
        name = parse_qs(parts.query).get("format", [FORMATS[0]])[-1]
        if name not in FORMATS:
            return Refusal(HTTPStatus.BAD_REQUEST, "format is protobuf or json")
        return name


def _host_of(header: str | None) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
