# SPDX-License-Identifier: Apache-2.0
"""What a filter can ask of a message, and how each is compared; the grammar of expressions is filters.py's.

A message without the thing asked for (a status, of bytes that are no HTTP) is never equal, larger or smaller.
"""

from __future__ import annotations

import difflib
import fnmatch
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from plaintap.config_show import PROTOCOLS
from plaintap.messages import (
    Connection,
    Exchange,
    GrpcMessage,
    Message,
    Raw,
    Request,
    Response,
    Secrets,
    ServerSentEvent,
    WebSocketMessage,
)
from plaintap.outputs.pretty import media_type
from plaintap.outputs.remarks import header

Test: TypeAlias = Callable[[Message], bool]

_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
EQUAL, UNEQUAL = "=", "!="
OPERATORS = (EQUAL, UNEQUAL, *_ORDERS)
_STATUS_CLASS = re.compile(r"([1-5])xx", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "b": 1, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9}
_TIME_UNITS_NS = {"": 1e9, "us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9}
_STATUSES = range(100, 1000)
_PROTOCOLS = (*PROTOCOLS, "http", "http/1.0", "http/1.1", "h2", "grpc", "ws", "sse", "raw")
_PORT = re.compile(r":\d{0,5}$")
_AUTHORITY_END = re.compile("[/?#]")


class FieldError(Exception):
    """What the value or the operator should have been."""


@dataclass(frozen=True, slots=True)
class Text:
    """A glob is matched with each text a message has of this, without regard to case."""

    of: Callable[[Message], Sequence[str]]
    known: Collection[str] = ()
    """Where there are no others."""

    def test(self, sign: str, value: str) -> Test:
        """Raises FieldError."""
        if sign not in (EQUAL, UNEQUAL):
            raise FieldError("= or != as it is a text")
        if self.known and not fnmatch.filter(self.known, value.lower()):
            raise FieldError(f"one of {' '.join(difflib.get_close_matches(value.lower(), self.known) or self.known)}")
        matches = re.compile(fnmatch.translate(value.lower().replace("[", "[[]"))).match  # an IPv6 address has some
        of = self.of
        return _signed(sign, lambda message: any(matches(text.lower()) for text in of(message)))


@dataclass(frozen=True, slots=True)
class Number:
    """Compared as a number, with a unit of `units`."""

    of: Callable[[Message], float | None]
    units: Mapping[str, float]
    example: str

    def test(self, sign: str, value: str) -> Test:
        """Raises FieldError."""
        number = _NUMBER.fullmatch(value)
        unit = self.units.get(number[2].lower()) if number else None
        if number is None or unit is None:
            raise FieldError(f"a number such as {self.example}")
        return _ordered(self.of, sign, float(number[1]) * unit)


@dataclass(frozen=True, slots=True)
class Status:
    """A status, or `5xx` for all of a class."""

    def test(self, sign: str, value: str) -> Test:
        """Raises FieldError."""
        if one_class := _STATUS_CLASS.fullmatch(value):
            if sign not in (EQUAL, UNEQUAL):
                raise FieldError("= or != before a class of statuses")
            wanted = int(one_class[1])
            return _signed(sign, lambda message: (_status(message) or 0) // 100 == wanted)
        if not value.isascii() or not value.isdigit() or (sign in (EQUAL, UNEQUAL) and int(value[:9]) not in _STATUSES):
            raise FieldError("a status such as 404 or 5xx")
        return _ordered(_status, sign, float(value))


def _signed(sign: str, test: Test) -> Test:
    return test if sign == EQUAL else lambda message: not test(message)


def _ordered(of: Callable[[Message], float | None], sign: str, wanted: float) -> Test:
    compare = _ORDERS.get(sign)
    if compare is None:
        return _signed(sign, lambda message: of(message) == wanted)
    return lambda message: (number := of(message)) is not None and compare(number, wanted)


def _connection(message: Message) -> Connection | None:
    return None if isinstance(message, Secrets) else message.connection


def _request(message: Message) -> Request | None:
    if isinstance(message, (Exchange, WebSocketMessage, ServerSentEvent, GrpcMessage)):
        return message.request
    return None


def _response(message: Message) -> Response | None:
    return message.response if isinstance(message, Exchange) else None


def _host(message: Message) -> Sequence[str]:
    """As the request has it, with and without its port; else as the program named it to TLS."""
    request, connection = _request(message), _connection(message)
    host = ""
    if request:
        host = request.authority or header(request, b"host").decode("latin-1")
        if not host and "://" in request.target:
            host = _AUTHORITY_END.split(request.target.partition("://")[2], 1)[0]
    host = host or (connection.sni if connection else "")
    return [*{host, _PORT.sub("", host)}] if host else []


def _method(message: Message) -> Sequence[str]:
    request = _request(message)
    return [request.method] if request and request.method else []


def _path(message: Message) -> Sequence[str]:
    request = _request(message)
    """With and without what is asked of it."""
    return [*{request.target, request.target.partition("?")[0]}] if request and request.target else []


def _status(message: Message) -> float | None:
    response = _response(message)
    return (response.status or None) if response else None


def _types(message: Message) -> Sequence[str]:
    """Of either side: `application/json`, and `json` of it."""
    kinds = [media_type(header(head, b"content-type")) for head in (_response(message), _request(message)) if head]
    return [name for kind in kinds if kind for name in (kind, kind.rpartition("/")[2].rpartition("+")[2])]


def _size_bytes(message: Message) -> float | None:
    """Of the larger body of an exchange; of what anything else carries."""
    if isinstance(message, Exchange):
        return max((head.body_bytes for head in (message.request, message.response) if head), default=0)
    if isinstance(message, (WebSocketMessage, ServerSentEvent, GrpcMessage)):
        return message.size_bytes
    return len(message.data) if isinstance(message, Raw) else None


def _time_ns(message: Message) -> float | None:
    if isinstance(message, Exchange) and message.request and message.response:
        return message.response.last_ns - message.request.first_ns
    return None


def _protocols(message: Message) -> Sequence[str]:
    if isinstance(message, Exchange):
        version = "http2" if message.protocol == "h2" else "http1"
        return ["http", version, message.protocol, *(["grpc"] if message.grpc else [])]
    if isinstance(message, WebSocketMessage):
        return ["websocket", "ws"]
    if isinstance(message, ServerSentEvent):
        return ["http", "sse"]
    if isinstance(message, GrpcMessage):
        return ["http", "http2" if message.stream else "http1", "grpc"]
    return ["raw", message.protocol] if isinstance(message, Raw) else []


def _process(message: Message) -> Sequence[str]:
    connection = _connection(message)
    return [connection.comm] if connection else []


def _exe(message: Message) -> Sequence[str]:
    connection = _connection(message)
    return [connection.exe, connection.exe.rpartition("/")[2]] if connection and connection.exe else []


def _container(message: Message) -> Sequence[str]:
    """The whole id, or as short as Docker shows it."""
    connection = _connection(message)
    return [connection.container, connection.container[:12]] if connection and connection.container else []


def _pid(message: Message) -> float | None:
    connection = _connection(message)
    return connection.pid if connection else None


FIELDS: dict[str, Text | Number | Status] = {
    "host": Text(_host),
    "method": Text(_method),
    "path": Text(_path),
    "status": Status(),
    "process": Text(_process),
    "pid": Number(_pid, {"": 1}, "8123"),
    "exe": Text(_exe),
    "container": Text(_container),
    "type": Text(_types),
    "size": Number(_size_bytes, _SIZE_UNITS, "500, 10kB or 1.5MB"),
    "time": Number(_time_ns, _TIME_UNITS_NS, "200ms or 1.5s"),
    "protocol": Text(_protocols, _PROTOCOLS),
}
"""By the name an expression uses."""
