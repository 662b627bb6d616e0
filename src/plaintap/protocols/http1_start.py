# SPDX-License-Identifier: Apache-2.0
"""How HTTP/1 messages start and how their bodies are framed: prefix tests and header look-ups, no parsing."""

from __future__ import annotations

import re

from plaintap.messages import HttpHead, Request
from plaintap.protocols.base import Fit
from plaintap.protocols.http1_framing import CHUNKED, Framing

# What llhttp knows, without RTSP, and without PRI, which is how HTTP/2 introduces itself.
METHODS = (
    b"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK M-SEARCH MERGE MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY "
    b"OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK "
    b"UNLOCK UNSUBSCRIBE"
).split()
PLAIN_METHODS = {method: method.decode() for method in METHODS if method not in (b"HEAD", b"CONNECT")}
"""All but those whose response is framed by the request: RFC 9112, 6.3."""

_ANY_METHOD = b"|".join(method for method in METHODS if method != b"CONNECT")

# RFC 9112, 3.2: origin form, absolute form, asterisk form; CONNECT's authority form.
# Any other method needs its whole line. HTTP/2 introduces itself with one, too, but names another version.
REQUEST_START = re.compile(
    rb"(?:\r\n)*(?:(?:%b) (?:/|\*|https?://)|CONNECT [^ /{\"]+:"
    rb"|[!#-'*+\-.^_`|~0-9A-Za-z]{1,64} (?:/|\*|[a-z][a-z0-9+.-]{1,15}://)[^\r\n\0]* HTTP/1\.[0-9]\r?\n)" % _ANY_METHOD
)
UNKNOWN_LINE_LIMIT_BYTES = 8192
"""Of a request line with a method nobody knows: what is longer is not waited for."""
RESPONSE_START = re.compile(rb"(?:\r\n)*HTTP/1\.[01] \d")

_FIRST_BYTES = frozenset(b"\r!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
"""Of a token, RFC 9110, 5.6.2, or of an empty line before it: most of what is no HTTP is told by it."""
_PREFIXES = (*(method + b" " for method in METHODS), b"HTTP/1.1 2", b"HTTP/1.0 2")
_MAYBE = re.compile(
    rb"(?:(?:%b) (?:h|ht|htt|http|https|https?:/?)?|CONNECT [^ /:{\"]{0,253})\Z|HTTP/1?\.?[01]? ?\Z" % _ANY_METHOD
)
_MAYBE_UNKNOWN = re.compile(rb"[A-Za-z][!#-'*+\-.^_`|~0-9A-Za-z]{0,63} /[^\r\n\0]*\r?\Z")


def fit(_direction: int, head: bytes) -> Fit:
    """A request line or a status line; that is enough, since a wrong guess is given back as raw bytes."""
    if not head or head[0] not in _FIRST_BYTES:
        return Fit.NO
    if REQUEST_START.match(head) or RESPONSE_START.match(head):
        return Fit.YES
    if any(prefix.startswith(head) for prefix in _PREFIXES) or _MAYBE.match(head):
        return Fit.MAYBE if head else Fit.NO
    if len(head) <= UNKNOWN_LINE_LIMIT_BYTES and _MAYBE_UNKNOWN.match(head):
        return Fit.MAYBE
    return Fit.NO


def values(head: HttpHead, lower_name: bytes) -> bytes:
    """All values of a header joined by commas, in lower case."""
    return b",".join(value for name, value in head.headers if name.lower() == lower_name).strip().lower()


def is_chunked(head: HttpHead) -> bool:
    """RFC 9112, 6.1: chunked is the last transfer coding or the body lasts until the end of the connection."""
    return values(head, b"transfer-encoding").rpartition(b",")[2].strip() == b"chunked"


def content_length(head: HttpHead) -> int | None:
    """None when the length is not told, or told in a way nobody can act on."""
    text = values(head, b"content-length").split(b",")[-1].strip()
    return int(text) if text.isdigit() and len(text) < 20 and not values(head, b"transfer-encoding") else None


def framing_by_rule(head: HttpHead) -> Framing:
    """Of a message that may have a body and that a strict parser took."""
    if is_chunked(head):
        return CHUNKED
    length = content_length(head)
    return Framing(length=0) if length is None and isinstance(head, Request) else Framing(length=length)
