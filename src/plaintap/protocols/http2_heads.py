# SPDX-License-Identifier: Apache-2.0
"""Header fields of HTTP/2 to requests and responses, and what is odd about them (RFC 9113, 8.2 and 8.3).

Decoding header blocks is hpack.py's; which stream they are of, http2_streams.py knows.
"""

from __future__ import annotations

from operator import itemgetter

from plaintap.messages import Request, Response
from plaintap.protocols.hpack import EMPTY_NAME, Field
from plaintap.protocols.http1_framing import quoted

NOTES_LIMIT = 16
"""Of one list of fields."""

_VERSION = "2"
_OF_REQUESTS = frozenset((b":method", b":path", b":scheme", b":authority", b":protocol"))
_OF_PATHS = frozenset((b":path", b":protocol"))
_OF_RESPONSES = frozenset((b":status",))
# RFC 9113, 8.2.2.
_OF_CONNECTIONS = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))
_MEMO_LIMIT = 4096
_MEMO_BYTES = 256
_texts: dict[bytes, str] = {}
_fine: set[bytes] = set()
"""Names about which nothing is odd."""
_name_of, _value_of = itemgetter(0), itemgetter(1)


def request_of(fields: list[Field], notes: list[str]) -> tuple[Request, bytes]:
    """A request without its times, and its `:protocol` (RFC 8441)."""
    pseudo, headers = _split(fields, _OF_REQUESTS, notes)
    get = pseudo.get
    request = Request(headers, _VERSION, [])
    request.method = _text(get(b":method", b""))
    request.target = _text(get(b":path", b""))
    request.scheme = _text(get(b":scheme", b""))
    request.authority = _text(get(b":authority", b""))
    if request.method == "CONNECT" and not pseudo.keys() & _OF_PATHS and all(map(_name_of, headers)):
        request.target = request.authority  # RFC 9113, 8.5: it has no path, and asks for what HTTP/1's target says
    return request, get(b":protocol", b"")


def response_of(fields: list[Field], notes: list[str]) -> Response:
    """Without its times; a status of 0 where it is unknown."""
    pseudo, headers = _split(fields, _OF_RESPONSES, notes)
    status = pseudo.get(b":status", b"")
    response = Response(headers, _VERSION, [])
    if len(status) == 3 and status.isdigit():
        response.status = int(status)
    elif status:
        notes.append(f":status {quoted(status)}")
    return response


def look_at_trailers(fields: list[Field], notes: list[str]) -> None:
    """None of them is a pseudo-field."""
    if _look_at(fields, notes):
        _note(notes, "pseudo-field in trailers")


def _split(fields: list[Field], known: frozenset[bytes], notes: list[str]) -> tuple[dict[bytes, bytes], list[Field]]:
    """Pseudo-fields, the first of each name, and the others."""
    pseudo: dict[bytes, bytes] = {}
    at = 0
    for name, value in fields:
        if name not in known and name[:1] != b":":
            break
        if name in pseudo or name not in known:
            _note(notes, f"pseudo-field {quoted(name)} {'twice' if name in pseudo else 'has no place here'}")
        else:
            pseudo[name] = value
        at += 1
    headers = fields[at:]
    if _look_at(headers, notes):
        headers = _late_pseudo_fields(headers, pseudo, notes)
    return pseudo, headers


def _late_pseudo_fields(headers: list[Field], pseudo: dict[bytes, bytes], notes: list[str]) -> list[Field]:
    """Takes those that follow other fields: behind unknown ones, which may be pseudo-fields, nothing is odd."""
    others = []
    regular = False
    for field in headers:
        name, value = field
        if name[:1] != b":":
            regular = regular or bool(name)
            others.append(field)
            continue
        if regular or name in pseudo:
            _note(notes, f"pseudo-field {quoted(name)} {'twice' if name in pseudo else 'behind others'}")
        pseudo.setdefault(name, value)
    return others


def _look_at(headers: list[Field], notes: list[str]) -> bool:
    """Notes what is odd; whether there are pseudo-fields among them."""
    if _fine.issuperset(map(_name_of, headers)) and not _breaks_lines(b"".join(map(_value_of, headers))):
        return False
    found = False
    for field in headers:
        if field[0][:1] == b":":
            found = True
        else:
            _look_closely(field, notes)
    return found


def _look_closely(field: Field, notes: list[str]) -> None:
    name, value = field
    if name in _OF_CONNECTIONS:
        _note(notes, f"field {quoted(name)}, which HTTP/2 does not have")
    elif name == EMPTY_NAME:
        _note(notes, "a field without a name")
    elif name != name.lower():
        _note(notes, f"capitals in the field name {quoted(name)}")
    elif _breaks_lines(name) or b" " in name or b":" in name:
        _note(notes, f"field name {quoted(name)}")
    elif len(name) <= _MEMO_BYTES:
        if len(_fine) >= _MEMO_LIMIT:
            _fine.clear()
        _fine.add(name)
    if _breaks_lines(value):
        _note(notes, f"line break or NUL in the value of {quoted(name)}")


def _breaks_lines(text: bytes) -> bool:
    """RFC 9113, 8.2.1: what smuggles a field or a request where somebody makes HTTP/1 of it."""
    return b"\n" in text or b"\r" in text or b"\0" in text


def _note(notes: list[str], note: str) -> None:
    if len(notes) < NOTES_LIMIT and note not in notes:
        notes.append(note)


def _text(raw: bytes) -> str:
    text = _texts.get(raw)
    if text is None:
        text = raw.decode("utf-8", "backslashreplace")
        if len(raw) <= _MEMO_BYTES:
            if len(_texts) >= _MEMO_LIMIT:
                _texts.clear()
            _texts[raw] = text
    return text
