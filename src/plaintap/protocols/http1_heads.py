# SPDX-License-Identifier: Apache-2.0
"""Heads of HTTP/1 messages that a strict parser refuses: read all the same, with what is odd about them said.

Only those; usual heads are httptools'. How their bodies are framed is http1_framing.py's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from plaintap.messages import Headers
from plaintap.protocols.http1_framing import quoted
from plaintap.protocols.http1_limits import FIELDS_LIMIT, HttpError

NOTES_LIMIT = 16
"""Of one head."""
LINES_LIMIT = 4 * FIELDS_LIMIT
"""Of one head, the lines of folded values among them."""

# Methods of a strict parser are a list; here any token is one. The target is what is left: RFC 9112, 3.2 has no
# blanks in it, and who forgets to escape them is understood by many servers. Runs of blanks are taken whole, or a line
# of blanks would take time by its square.
_REQUEST_LINE = re.compile(
    rb"([!#-'*+\-.^_`|~0-9A-Za-z]{1,64})([ \t]++)([^\0]*?)(?<![ \t])([ \t]++)HTTP/([0-9]\.[0-9])([ \t]*)\Z", re.DOTALL
)
_STATUS_LINE = re.compile(rb"HTTP/([0-9]\.[0-9])([ \t]+)([1-9][0-9][0-9])(?:[ \t]([^\0]*))?\Z", re.DOTALL)
_TOKEN = re.compile(rb"[!#-'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BLANKS = b" \t"


@dataclass(slots=True)
class OddHead:
    """A head as it was read; `first` and `second` are method and target, or status and reason."""

    first: bytes = b""
    second: bytes = b""
    version: str = ""
    headers: Headers = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Once each, and not too many."""
        if text not in self.notes and len(self.notes) < NOTES_LIMIT:
            self.notes.append(text)


def parse_head(data: bytes, *, is_request: bool) -> OddHead:
    """`data` is a whole head with its empty line; raises HttpError for what is none by any reading."""
    if data.count(b"\n") > LINES_LIMIT:
        raise HttpError("too many lines in a head")
    head = OddHead()
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    while lines and not lines[-1]:
        del lines[-1]
    if not lines:
        raise HttpError("an empty head")
    if data.count(b"\n") != data.count(b"\r\n"):
        head.note("bare LF ends a line")
    if data.count(b"\r") != data.count(b"\r\n"):
        head.note("bare CR inside a line")
    parse_first_line(lines[0], head, is_request=is_request)
    for first, *folded in _unfolded(lines[1:], head):
        _parse_field(first, folded, head)
    return head


def _unfolded(lines: list[bytes], head: OddHead) -> list[list[bytes]]:
    """Each field's lines."""
    fields: list[list[bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1].append(line.strip(_BLANKS))
        else:
            if line[:1] in (b" ", b"\t"):
                head.note("blanks before the first field")
            fields.append([line])
    return fields


def parse_first_line(line: bytes, head: OddHead, *, is_request: bool) -> None:
    """Raises HttpError for what is none."""
    (_parse_request_line if is_request else _parse_status_line)(line, head)


def _parse_request_line(line: bytes, head: OddHead) -> None:
    match = _REQUEST_LINE.match(line)
    if match is None or not match[3]:
        raise HttpError("no request line")
    head.first, before, head.second, behind, version, tail = match.groups()
    head.version = version.decode()
    if before != b" " or behind != b" " or tail:
        head.note("odd blanks in the request line")
    if re.search(rb"[ \t\r]", head.second):
        head.note("blanks in the target")
    _note_version(head)


def _parse_status_line(line: bytes, head: OddHead) -> None:
    match = _STATUS_LINE.match(line)
    if match is None:
        raise HttpError("no status line")
    version, blanks, head.first, reason = match.groups()
    head.second = reason or b""
    head.version = version.decode()
    if blanks != b" ":
        head.note("odd blanks in the status line")
    _note_version(head)


def _note_version(head: OddHead) -> None:
    if head.version not in ("1.0", "1.1"):
        head.note(f"version HTTP/{head.version}")


def _parse_field(line: bytes, folded: list[bytes], head: OddHead) -> None:
    name, colon, value = line.partition(b":")
    stripped = name.strip(_BLANKS)
    if not colon or not stripped or b"\0" in name:
        raise HttpError("a line that is no header field")
    if stripped != name.lstrip(_BLANKS):
        head.note(f"blank before the colon of {quoted(stripped)}")
    if not _TOKEN.fullmatch(stripped):
        head.note(f"odd characters in the field name {quoted(stripped)}")
    if folded:
        head.note(f"{quoted(stripped)} folded over lines")
        # RFC 9112, 5.2: a fold counts as blanks.
        value = b" ".join([value.strip(_BLANKS), *folded])
    if _CONTROLS.search(value):
        head.note(f"control characters in the value of {quoted(stripped)}")
    if len(head.headers) >= FIELDS_LIMIT:
        raise HttpError("too many header fields")
    head.headers.append((stripped, value.strip(_BLANKS)))
