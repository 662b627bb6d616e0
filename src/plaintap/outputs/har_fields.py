# SPDX-License-Identifier: Apache-2.0
"""What a HAR takes apart for its readers: cookies, the query, forms. Never an exception, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from plaintap.outputs.columns import Memo
from plaintap.outputs.har_parts import Cookie, Field
from plaintap.outputs.wiretext import clean, wire_text

MOST_PARTS = 2000
"""Of one query, form or cookie header; the whole is in the URL, the body or the header."""


def query_fields(url: str) -> list[Field]:
    """The parts of a URL's query, percent-decoded."""
    _, mark, query = url.partition("?")
    return form_fields(query.partition("#")[0]) if mark else []


def form_fields(text: str) -> list[Field]:
    """Name and value of `a=1&b=2`."""
    parts = text.split("&", MOST_PARTS)[:MOST_PARTS]
    if "%" not in text and "+" not in text:
        return [Field(name, value) for name, _, value in (part.partition("=") for part in parts if part)]
    pairs = parse_qsl("&".join(parts), keep_blank_values=True, errors="replace")
    return [Field(clean(name), clean(value)) for name, value in pairs]


def request_cookies(values: Iterable[bytes]) -> list[Cookie]:
    """Of `cookie` fields (RFC 6265, 4.2; HTTP/2 may cut one into several)."""
    found = []
    for value in values:
        for part in wire_text(value).split(";", MOST_PARTS)[:MOST_PARTS]:
            name, _, content = part.strip().partition("=")
            if name:
                found.append(Cookie(name, content))
    return found


def response_cookies(values: Iterable[bytes]) -> list[Cookie]:
    """Of `set-cookie` fields (RFC 6265, 5.2)."""
    found = []
    for value in values:
        first, *attributes = wire_text(value).split(";", MOST_PARTS)
        name, _, content = first.strip().partition("=")
        cookie = Cookie(name.strip(), content.strip())
        for attribute in attributes:
            _set(cookie, *attribute.partition("=")[::2])
        found.append(cookie)
    return found


def _set(cookie: Cookie, name: str, value: str) -> None:
    name, value = name.strip().lower(), value.strip()
    if name == "path":
        cookie.path = value
    elif name == "domain":
        cookie.domain = value
    elif name == "expires":
        cookie.expires = _DATES[value]
    elif name == "httponly":
        cookie.http_only = True
    elif name == "secure":
        cookie.secure = True
    elif name == "samesite":
        cookie.same_site = value


def _iso_date(text: str) -> str:
    """`2030-01-01T00:00:00+00:00`; "" for what is no date."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).isoformat()


_DATES: Memo[str, str] = Memo(_iso_date, limit=256)
