# SPDX-License-Identifier: Apache-2.0
"""The routes of the API: what each asks of the host of modules, and how its answer looks.

Who may ask is guard.py's. Changes are made in a thread, one at a time; an answer comes when the change is in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from plaintap.api import metrics
from plaintap.api.answers import (
    BUSY,
    INTERNAL,
    INVALID,
    NOT_FOUND,
    OK,
    REFUSED,
    UNDECODABLE,
    RefusedError,
    answer,
    refusal,
)
from plaintap.api.feed import Feed
from plaintap.api.names import ROUTES, configure, module_of
from plaintap.api.openapi import openapi
from plaintap.config import CommonConfig, ModuleConfig
from plaintap.errors import PlaintapError, TargetError, UsageError

PING_S = 15.0
CHANGES_WAITING_MAX = 16


class Host(Protocol):
    """What is asked of the process; `session.host.ModuleHost` is one."""

    @property
    def common(self) -> CommonConfig:
        """What the command line said."""

    def change(self, name: str, common: CommonConfig, config: ModuleConfig) -> None:
        """Raises PlaintapError: then all is as before."""

    def close_module(self, name: str) -> bool:
        """False where it was not running."""

    def status(self) -> dict[str, Any]:
        """Everything."""

    def configuration(self, name: str) -> Mapping[str, Any] | None:
        """A module's options; None where it never ran."""


class Api:
    """The application for one host."""

    def __init__(self, host: Host, feed: Feed) -> None:
        self._host = host
        self._feed = feed
        self._changing = asyncio.Lock()
        self._waiting = 0
        self.ending = False
        """Streams end soon."""

    def app(self) -> Starlette:
        """The routes; nothing of who may ask."""
        routes = [
            Route("/", self.state, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/events", self.events, methods=["GET"]),
            Route("/openapi.json", self.openapi, methods=["GET"]),
            Route("/config/{module}", self.configuration, methods=["GET"]),
            Route("/close/{module}", self.close, methods=["POST"]),
            Route("/{module}", self.change, methods=["POST"]),
        ]
        handlers: Any = {RefusedError: _refused, HTTPException: _not_there, Exception: _failed}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def state(self, _request: Request) -> Response:
        return JSONResponse(self._status())

    def _status(self) -> dict[str, Any]:
        return {**self._host.status(), "events": self._feed.status()}

    async def metrics(self, _request: Request) -> Response:
        return PlainTextResponse(metrics.metrics(self._status()), media_type=metrics.CONTENT_TYPE)

    async def openapi(self, _request: Request) -> Response:
        return JSONResponse(openapi())

    async def configuration(self, request: Request) -> Response:
        route = request.path_params["module"]
        options = self._host.configuration(module_of(route))
        if options is None:
            raise RefusedError(NOT_FOUND, f"{route} is not running")
        return answer(OK, route, "success", _plain(options))

    async def close(self, request: Request) -> Response:
        route = request.path_params["module"]
        name = module_of(route)
        async with self._turn():
            if not await run_in_threadpool(self._host.close_module, name):
                raise RefusedError(NOT_FOUND, f"{route} is not running")
        return answer(OK, route, "closed")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Changes come one after the other, and few wait. Raises RefusedError."""
        if self._waiting >= CHANGES_WAITING_MAX:
            raise RefusedError(BUSY, "too many changes wait")
        self._waiting += 1
        try:
            async with self._changing:
                yield
        finally:
            self._waiting -= 1

    async def change(self, request: Request) -> Response:
        route = request.path_params["module"]
        name = module_of(route)
        given = _decode(await request.body())
        common, config = configure(name, self._host.common, given)
        try:
            async with self._turn():
                await run_in_threadpool(self._host.change, name, common, config)
        except (UsageError, TargetError) as error:
            raise RefusedError(REFUSED, _with_hint(error)) from error
        except PlaintapError as error:
            raise RefusedError(INTERNAL, _with_hint(error)) from error
        return answer(OK, route, "success", _plain(self._host.configuration(name) or {}))

    async def events(self, _request: Request) -> Response:
        listener = self._feed.add(asyncio.get_running_loop())
        if listener is None:
            raise RefusedError(BUSY, "too many read the events already")

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield b": plaintap\n\n"
                silent_s = 0.0
                while not self.ending:
                    taken, dropped = await listener.take(1.0)
                    for number, line in taken:
                        yield b"id: %d\ndata: %b\n\n" % (number, line)
                    if dropped:
                        yield b"event: dropped\ndata: %d\n\n" % dropped
                    silent_s = 0.0 if taken else silent_s + 1.0
                    if silent_s >= PING_S:
                        silent_s = 0.0
                        yield b": waiting\n\n"
            finally:
                self._feed.remove(listener)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _decode(body: bytes) -> Mapping[str, Any]:
    try:
        given = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedError(UNDECODABLE, f"the body is no JSON: {error}") from None
    if not isinstance(given, dict):
        raise RefusedError(UNDECODABLE, "the body is no JSON object")
    return given


def _plain(options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    return msgspec.to_builtins(dict(options))


def _with_hint(error: PlaintapError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return refusal(error, request.path_params.get("module", ""))


async def _not_there(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return answer(INVALID, "", f"{request.method} is nothing that {request.url.path} knows", status=405)
    known = ", ".join(f"/{route}" for route in ROUTES)
    return answer(
        NOT_FOUND, "", f"no {request.url.path}: GET /, /metrics, /events, /openapi.json, POST {known}", status=404
    )


async def _failed(_request: Request, error: Exception) -> Response:
    return answer(INTERNAL, "", f"failed: {type(error).__name__}")
