# SPDX-License-Identifier: Apache-2.0
"""Server-sent events (WHATWG HTML, 9.2.6): a `text/event-stream` as it arrives, event by event.

Content codings are streamcodings.py's. Beyond the standard: an event that the stream's end cut off is shown too.
"""

from __future__ import annotations

from codecs import utf_8_decode
from collections.abc import Callable

from plaintap.messages import Connection, Message, Request, ServerSentEvent
from plaintap.protocols.options import ParserOptions

EVENT_LIMIT_BYTES = 1 << 20
"""Of the data of one event; less where the limit of bodies is less."""
NAME_LIMIT_BYTES = 1024
"""Of an event's name and of its id."""

_FIELD_BYTES = 16
"""More than the name of any field with what is around it."""
_RETRY_DIGITS = 15
_BOM = b"\xef\xbb\xbf"


class SseStream:
    """The events of one response; `outgoing` says that this process sends them.

    An event's id is the last one sent, as the standard has it; its `retry_ms` what was sent since the event before.
    """

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_connection",
        "_cut",
        "_data",
        "_data_bytes",
        "_emit",
        "_event",
        "_first_ns",
        "_has_data",
        "_id",
        "_limit",
        "_line",
        "_line_bytes",
        "_line_limit",
        "_lost_bytes",
        "_now_ns",
        "_outgoing",
        "_request",
        "_retry_ms",
        "_seeking",
        "_stream",
    )

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[Message], None],
        *,
        outgoing: bool,
        request: Request | None,
        stream: int,
        options: ParserOptions,
    ) -> None:
        self._connection = connection
        self._emit = emit
        self._outgoing = outgoing
        self._request = request
        self._stream = stream
        self._limit = min(options.body_limit, EVENT_LIMIT_BYTES)
        self._line_limit = max(self._limit, NAME_LIMIT_BYTES) + _FIELD_BYTES
        self._now_ns = 0
        self._first_ns: int | None = None
        """Of the event begun."""
        self._at_start = True
        self._after_cr = False
        """A line end that comes now belongs to the one before."""
        self._line = bytearray()
        self._line_bytes = 0
        """Of the line begun, those beyond the limit included."""
        self._seeking = False
        """After a loss: until a blank line."""
        self._lost_bytes = 0
        self._data = bytearray()
        self._data_bytes = 0
        """What is beyond the limit included."""
        self._has_data = False
        self._cut = False
        self._event = ""
        self._id = ""
        self._retry_ms: int | None = None

    def receive(self, ts_ns: int, data: bytes, /) -> None:
        self._now_ns = ts_ns
        if self._after_cr and data:
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        lines = data.splitlines()
        if not lines:
            return
        rest = b"" if data.endswith((b"\n", b"\r")) else lines.pop()
        self._after_cr = data.endswith(b"\r")
        for line in lines:
            self._ended_line(line)
        if rest:
            self._begun_line(rest)

    def gap(self, ts_ns: int, missing_bytes: int, /) -> None:
        self._lost_bytes += missing_bytes
        self._forget()
        self._seeking = True
        self._at_start = self._after_cr = False
        # What comes next is the rest of a line: were it empty, it would not be a blank line.
        self._line = bytearray()
        self._line_bytes = 1

    def close(self, ts_ns: int, /) -> None:
        self._now_ns = ts_ns
        if self._line_bytes:
            self._ended_line(b"")
        if self._has_data:
            self._dispatch("unfinished")

    def _begun_line(self, data: bytes) -> None:
        if self._first_ns is None:
            self._first_ns = self._now_ns
        room = self._line_limit - self._line_bytes
        if room > 0 and not self._seeking:
            self._line += data[:room]
        self._line_bytes += len(data)

    def _ended_line(self, line: bytes) -> None:
        length = len(line)
        if self._line_bytes:
            self._begun_line(line)
            line = bytes(self._line)
            length = self._line_bytes
            self._line = bytearray()
            self._line_bytes = 0
        if self._at_start:
            self._at_start = False
            if line.startswith(_BOM):
                line = line[len(_BOM) :]
                length -= len(_BOM)
        if self._seeking:
            self._seeking = length > 0
        elif line:
            if self._first_ns is None:
                self._first_ns = self._now_ns
            self._field(line, cut_bytes=length - len(line))
        else:
            self._dispatch("")

    def _field(self, line: bytes, *, cut_bytes: int) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add_data(value, cut_bytes=cut_bytes)
        elif name == b"event":
            self._event = value[:NAME_LIMIT_BYTES].decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value[:NAME_LIMIT_BYTES].decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS:
            self._retry_ms = int(value)

    def _add_data(self, value: bytes, *, cut_bytes: int) -> None:
        if self._has_data:
            value = b"\n" + value
        self._has_data = True
        room = self._limit - len(self._data)
        self._data += value[:room] if room > 0 else b""
        self._data_bytes += len(value) + cut_bytes
        self._cut = self._cut or cut_bytes > 0 or len(value) > room

    def _dispatch(self, note: str) -> None:
        if not self._has_data:
            self._event = ""
            self._first_ns = None
            return
        notes = [note] if note else []
        if self._cut:
            notes.append(f"cut at {self._limit} bytes")
        # A character that the limit cut is not shown as a damaged one.
        data, _ = utf_8_decode(self._data, "replace", not self._cut)
        self._emit(
            ServerSentEvent(
                connection=self._connection,
                outgoing=self._outgoing,
                event=self._event or "message",
                data=data,
                size_bytes=self._data_bytes,
                first_ns=self._now_ns if self._first_ns is None else self._first_ns,
                last_ns=self._now_ns,
                id=self._id,
                retry_ms=self._retry_ms,
                missing_bytes=self._lost_bytes,
                complete=not note,
                note="; ".join(notes),
                stream=self._stream,
                request=self._request,
            )
        )
        self._lost_bytes = 0
        self._retry_ms = None
        self._forget()

    def _forget(self) -> None:
        self._data = bytearray()
        self._data_bytes = 0
        self._first_ns = None
        self._has_data = self._cut = False
        self._event = ""
