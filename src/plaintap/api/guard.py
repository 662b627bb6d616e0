# SPDX-License-Identifier: Apache-2.0
"""Who may ask: Host, Origin, token, size and rate are looked at before any route, by wrapping the whole application.

What is behind it shows other people's plaintext, so nothing is reachable past it: an ASGI middleware sees every
request whatever its route. By the Unix socket, which only its owner can open, no token is asked for.
"""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaintap.api.answers import BUSY, INVALID, RefusedError, refusal

BODY_MAX_BYTES = 1 << 20
REQUESTS_PER_S = 100
BURST = 200
_BEARER = "bearer "
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Guard:
    """Around an application that listens at `host`:`port`; without a token it asks for none, nor for a Host."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str | None = None,
        host: str = "",
        port: int = 0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._token = token
        self._host = host.strip("[]").lower()
        self._port = port
        self._now_s = now_s
        self._left = float(BURST)
        self._looked_s = now_s()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; whatever is no HTTP request is not served."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            self._check(scope)
            receive = await _bounded(receive, _headers(scope))
        except RefusedError as error:
            await refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        self._check_rate()
        if any(name == "token" for name, _ in parse_qsl(scope["query_string"].decode("latin-1"))):
            raise RefusedError(INVALID, "a token in an address is seen by others: send it as Authorization: Bearer")
        if self._token is None:
            return
        headers = _headers(scope)
        self._check_host(headers.get("host", ""))
        self._check_origin(headers.get("origin"), headers.get("host", ""), scope["scheme"])
        given = headers.get("authorization", "")
        right = given[: len(_BEARER)].lower() == _BEARER and hmac.compare_digest(
            given[len(_BEARER) :].strip().encode("latin-1"), self._token.encode()
        )
        if not right:
            raise RefusedError(INVALID, "Authorization: Bearer TOKEN is missing or wrong", status=401)

    def _check_rate(self) -> None:
        now_s = self._now_s()
        self._left = min(BURST, self._left + (now_s - self._looked_s) * REQUESTS_PER_S)
        self._looked_s = now_s
        if self._left < 1:
            raise RefusedError(BUSY, f"more than {REQUESTS_PER_S} requests a second", status=429)
        self._left -= 1

    def _check_host(self, given: str) -> None:
        """A page whose name leads here by DNS has that name in Host."""
        name, port = _name_and_port(given)
        if port == self._port and (name == self._host or (name in _LOCAL_NAMES and self._is_here)):
            return
        if port == self._port and self._host in ("0.0.0.0", "::") and (name in _LOCAL_NAMES or _is_address(name)):  # noqa: S104 - compared only
            return
        raise RefusedError(INVALID, "Host is not the address this listens at", status=403)

    @property
    def _is_here(self) -> bool:
        return self._host in _LOCAL_NAMES

    @staticmethod
    def _check_origin(origin: str | None, host: str, scheme: str) -> None:
        if origin is not None and origin.lower() != f"{scheme}://{host}".lower():
            raise RefusedError(INVALID, "requests of other origins' pages are refused", status=403)


def _headers(scope: Scope) -> Mapping[str, str]:
    """By name; of several of one name all, joined, which fits nothing."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _name_and_port(host: str) -> tuple[str, int]:
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5:
        return host.strip("[]").lower(), -1
    return name.strip("[]").lower(), int(port)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _bounded(receive: Receive, headers: Mapping[str, str]) -> Receive:
    """The request's body, read whole, so that no route can be given more. Raises RefusedError."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 18 or int(length) > BODY_MAX_BYTES:
        raise RefusedError(INVALID, f"a body has at most {BODY_MAX_BYTES} bytes", status=413)
    if length == "0" and "transfer-encoding" not in headers:
        return receive
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RefusedError(INVALID, "the request ended in its middle")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > BODY_MAX_BYTES:
            raise RefusedError(INVALID, f"a body has at most {BODY_MAX_BYTES} bytes", status=413)
        if not message.get("more_body"):
            break
    waiting = [b"".join(pieces)]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
