# SPDX-License-Identifier: Apache-2.0
"""The objects of a HAR 1.2 entry, field by field; `_` begins those that are ours, or Chromium's."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Raw, Struct, field


class Field(Struct, gc=False):
    """A header field, a part of the query or of a form."""

    name: str
    value: str


class Cookie(Struct, gc=False, omit_defaults=True, rename="camel"):
    """Of a request name and value only."""

    name: str
    value: str
    path: str = ""
    domain: str = ""
    expires: str = ""
    http_only: bool = False
    secure: bool = False
    same_site: str = ""


class PostData(Struct, gc=False, omit_defaults=True, rename="camel"):
    """The body of a request; a form by its fields too."""

    mime_type: str
    text: str
    params: Sequence[Field] = ()
    encoding: str = field(default="", name="_encoding")
    comment: str = ""


class Content(Struct, gc=False, omit_defaults=True, rename="camel"):
    """The body of a response, its content codings undone."""

    size: int
    mime_type: str
    compression: int = 0
    text: str = ""
    encoding: str = ""
    comment: str = ""


class HarRequest(Struct, gc=False, omit_defaults=True, rename="camel"):
    """`messages.Request`."""

    method: str
    url: str
    http_version: str
    cookies: Sequence[Cookie]
    headers: Sequence[Field]
    query_string: Sequence[Field]
    headers_size: int
    body_size: int
    post_data: PostData | None = None
    missing_bytes: int = field(default=0, name="_missingBytes")
    unknown_headers: int = field(default=0, name="_unknownHeaders")
    trailers: Sequence[Field] = field(default=(), name="_trailers")


class HarResponse(Struct, gc=False, omit_defaults=True, rename="camel"):
    """`messages.Response`; status 0 where none was seen, as Chromium's tools write it."""

    status: int
    status_text: str
    http_version: str
    cookies: Sequence[Cookie]
    headers: Sequence[Field]
    content: Content
    redirect_url: str = field(name="redirectURL")
    headers_size: int
    body_size: int
    missing_bytes: int = field(default=0, name="_missingBytes")
    unknown_headers: int = field(default=0, name="_unknownHeaders")
    trailers: Sequence[Field] = field(default=(), name="_trailers")
    error: str = field(default="", name="_error")


class HarTimings(Struct, gc=False):
    """Milliseconds; -1 is unknown: those times passed before the first byte of plaintext."""

    blocked: int
    dns: int
    connect: int
    ssl: int
    send: float
    wait: float
    receive: float


class NoCache(Struct, gc=False):
    """Nothing is known of a cache."""


class SocketMessage(Struct, gc=False, omit_defaults=True):
    """A message of a WebSocket, as Chromium's developer tools write it: binary ones as base64."""

    type: str
    time: float
    opcode: int
    data: str
    close_code: int = field(default=0, name="_closeCode")


class HarGrpc(Struct, gc=False, omit_defaults=True, rename="camel"):
    """`messages.GrpcCall`."""

    service: str
    method: str
    sent: int
    received: int
    status: int | None
    status_name: str | None
    message: str = ""


class Entry(Struct, gc=False, omit_defaults=True, rename="camel"):
    """One exchange."""

    started_date_time: str
    time: float
    request: HarRequest
    response: HarResponse
    cache: NoCache
    timings: HarTimings
    connection: str
    process: Raw = field(name="_process")
    plaintap_connection: Raw = field(name="_connection")
    direction: str = field(name="_direction")
    server_address: str = field(default="", name="serverIPAddress")
    resource_type: str = field(default="", name="_resourceType")
    messages: Sequence[SocketMessage] = field(default=(), name="_webSocketMessages")
    stream: int = field(default=0, name="_stream")
    pushed: bool = field(default=False, name="_pushed")
    interim: Sequence[int] = field(default=(), name="_interim")
    notes: Sequence[str] = field(default=(), name="_notes")
    grpc: HarGrpc | None = field(default=None, name="_grpc")
