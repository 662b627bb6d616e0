# SPDX-License-Identifier: Apache-2.0
"""The bytes of an HTTP message as eCapture's clients show them: its head as HTTP/1 has it, then the decoded body."""

from __future__ import annotations

from collections.abc import Iterable

from plaintap.messages import HttpHead, Request, Response
from plaintap.outputs.base import DecodeBody

_END = b"\r\n"


def request_payload(request: Request, decode_body: DecodeBody) -> bytes:
    """Of HTTP/2 too; the pseudo-fields become the first line and `host`."""
    line = f"{request.method or '?'} {request.target or '?'} HTTP/{request.version}".encode("utf-8", "surrogateescape")
    host = [(b"host", request.authority.encode("utf-8", "surrogateescape"))] if request.authority else []
    return _payload(line, [*host, *request.headers], request, request.trailers, decode_body)


def response_payload(response: Response, decode_body: DecodeBody) -> bytes:
    """As of a request."""
    text = f"HTTP/{response.version} {response.status or '?'} {response.reason}".rstrip()
    line = text.encode("utf-8", "surrogateescape")
    return _payload(line, response.headers, response, response.trailers, decode_body)


def _payload(
    line: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    head: HttpHead,
    trailers: Iterable[tuple[bytes, bytes]],
    decode_body: DecodeBody,
) -> bytes:
    body = decode_body(head.headers, head.body)[0] if head.body else b""
    return b"".join([line, _END, *_fields(headers), _END, body, *_fields(trailers)])


def _fields(fields: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    return [b"%b: %b\r\n" % (name or b"?", value) for name, value in fields]
