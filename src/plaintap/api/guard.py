# SPDX-License-Identifier: Apache-2.0
"""Who may ask: Host, Origin, token, size and rate are looked at before any route, by wrapping the whole application.

What is behind it shows other people's plaintext, so nothing is reachable past it: an ASGI middleware sees every
request whatever its route. By the Unix socket, which only its owner can open, no token is asked for.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import re
import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plaintap.api.answers import BUSY, INVALID, RefusedError, refusal

BODY_MAX_BYTES = 1 << 20
REQUESTS_PER_S = 100
BURST = 200
BODY_S = 10.0
_BEARER = "bearer "
_TOKEN_NAME = re.compile(
    r"(^|[&;])(access[_-]?token|token|authorization|auth|bearer|api[_-]?key)(=|[&;]|$)", re.IGNORECASE
)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]\s]+)(?::([0-9]{1,5}))?")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class Rate:
    """How much may be asked at once, and then each second."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._left = float(BURST)
        self._looked_s = now_s()

    def take(self) -> None:
        """One request. Raises RefusedError."""
        now_s = self._now_s()
        self._left = min(BURST, self._left + (now_s - self._looked_s) * REQUESTS_PER_S)
        self._looked_s = now_s
        if self._left < 1:
            raise RefusedError(BUSY, f"more than {REQUESTS_PER_S} requests a second", status=429)
        self._left -= 1


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
        self._known = Rate(now_s)
        self._strangers = Rate(now_s)
        """Of their own, so that they keep nobody out."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI; whatever is no HTTP request is not served."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        try:
            self._check(scope)
            async with asyncio.timeout(BODY_S):
                receive = await _bounded(receive, _headers(scope))
        except TimeoutError:
            await refusal(RefusedError(INVALID, "the body did not come in time", status=408))(scope, receive, send)
            return
        except RefusedError as error:
            await refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        try:
            self._check_who(scope)
        except RefusedError:
            self._strangers.take()
            raise
        self._known.take()

    def _check_who(self, scope: Scope) -> None:
        self._check_query(scope["query_string"])
        if self._token is None:
            return
        headers = _headers(scope)
        self._check_host(headers.get("host", ""), scope["scheme"])
        self._check_origin(headers.get("origin"), headers.get("host", ""), scope["scheme"])
        given = headers.get("authorization", "")
        right = given[: len(_BEARER)].lower() == _BEARER and hmac.compare_digest(
            given[len(_BEARER) :].strip().encode("latin-1"), self._token.encode()
        )
        if not right:
            raise RefusedError(INVALID, "Authorization: Bearer TOKEN is missing or wrong", status=401)

    def _check_query(self, query: bytes) -> None:
        """By whatever name it is there."""
        text = unquote_plus(query.decode("latin-1"))
        if _TOKEN_NAME.search(text) or (self._token and self._token in text):
            raise RefusedError(INVALID, "a token in an address is seen by others: send it as Authorization: Bearer")

    def _check_host(self, given: str, scheme: str) -> None:
        """A page whose name leads here by DNS has that name in Host."""
        name, port = _name_and_port(given, usual_port=443 if scheme == "https" else 80)
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


def _name_and_port(host: str, *, usual_port: int) -> tuple[str, int]:
    """Port -1 for what is none."""
    found = _HOST.fullmatch(host.lower())
    if not found:
        return "", -1
    return found[1].strip("[]"), int(found[2]) if found[2] else usual_port


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
