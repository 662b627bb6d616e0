# SPDX-License-Identifier: Apache-2.0
"""One direction of a WebSocket: frames cut anywhere to messages, fragments joined, the mask and compression removed.

Frames as bytes are websocket_frames.py's; finding back into step after a loss is websocket.py's.
"""

from __future__ import annotations

from collections.abc import Callable

from plaintap.messages import Connection, Request, WebSocketMessage
from plaintap.protocols.websocket_deflate import Inflater
from plaintap.protocols.websocket_frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    CONTROL,
    CONTROL_LIMIT_BYTES,
    FIN,
    LENGTH_LIMIT_BYTES,
    OPCODE,
    PING,
    PONG,
    RESERVED,
    TEXT,
    Head,
    is_close_code,
    is_utf8,
    read_head,
    rotated,
    unmask,
)

KINDS = {CONTINUATION: "unknown", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
_WHOLE = {TEXT | FIN: "text", BINARY | FIN: "binary"}


class Building:
    """A message, or a control frame, of which not all has come."""

    __slots__ = ("compressed", "data", "first_ns", "fragments", "kind", "missing_bytes", "notes", "size_bytes")

    def __init__(self, kind: str, first_ns: int) -> None:
        self.kind = kind
        self.first_ns = first_ns
        self.data = bytearray()
        """As transferred but for the mask, up to the limit."""
        self.size_bytes = 0
        self.fragments = 0
        self.missing_bytes = 0
        self.compressed = False
        self.notes: list[str] = []

    def note(self, note: str) -> None:
        """Said once a message, however often it is the case."""
        if note not in self.notes:
            self.notes.append(note)


class Reader:
    """`receive` returns what is no frame and all that follows it; then `incomplete`, before it is fed again."""

    __slots__ = (
        "_connection",
        "_control",
        "_emit",
        "_fin",
        "_frame",
        "_held",
        "_held_ns",
        "_inflater",
        "_key",
        "_left_bytes",
        "_limit",
        "_message",
        "_outgoing",
        "_request",
        "_starts",
        "_stream",
        "from_client",
        "messages",
    )

    def __init__(
        self,
        connection: Connection,
        emit: Callable[[WebSocketMessage], None],
        *,
        outgoing: bool,
        request: Request | None,
        stream: int,
        limit: int,
        starts: frozenset[int],
    ) -> None:
        """`starts`: what a frame may begin with; `limit`: bytes kept of a message."""
        self.from_client: bool | None = None
        self.messages = 0
        """Emitted so far."""
        self._connection = connection
        self._emit = emit
        self._outgoing = outgoing
        self._request = request
        self._stream = stream
        self._limit = limit
        self._starts = starts
        self._inflater: Inflater | None = None
        self._held = b""
        """Of a head that is not complete."""
        self._held_ns = 0
        self._message: Building | None = None
        self._control: Building | None = None
        # The frame whose payload is not complete.
        self._frame: Building | None = None
        self._left_bytes = 0
        self._key = b""
        self._fin = True

    def inflate_with(self, inflater: Inflater | None) -> None:
        """None leaves compressed messages as they are."""
        self._inflater = inflater

    def receive(self, ts_ns: int, data: bytes) -> bytes:
        """Empty while all is well."""
        at, end = 0, len(data)
        first_ns = ts_ns
        if self._frame is not None:
            at = self._payload(data, 0, ts_ns)
        elif self._held:
            data, first_ns = self._held + data, self._held_ns
            self._held = b""
            end = len(data)
        masked = self.from_client
        while at < end:
            head = read_head(data, at)
            first = data[at]
            if first not in self._starts:
                return data[at:]
            if head is None:
                self._held, self._held_ns = data[at:], first_ns
                break
            length, key, body, minimal = head
            stop = body + length
            kind = _WHOLE.get(first)
            if kind and stop <= end and minimal and self._message is None and bool(key) == masked:
                self._whole(kind, data[body:stop], key, first_ns, ts_ns)
                at = stop
            elif length > (CONTROL_LIMIT_BYTES if first & CONTROL else LENGTH_LIMIT_BYTES):
                return data[at:]
            else:
                self._begin_frame(first, head, first_ns, ts_ns)
                at = self._payload(data, body, ts_ns)
            first_ns = ts_ns
        return b""

    def _whole(self, kind: str, data: bytes, key: bytes, first_ns: int, last_ns: int) -> None:
        """The common case: one frame, not compressed, all there."""
        size = len(data)
        if size > self._limit:
            data = data[: self._limit]
        if key:
            data = unmask(data, key)
        note = "" if kind == "binary" or is_utf8(data, whole=len(data) == size) else "not UTF-8"
        self.messages += 1
        self._emit(
            WebSocketMessage(
                self._connection,
                self._outgoing,
                kind,
                data,
                size,
                first_ns,
                last_ns,
                note=note,
                stream=self._stream,
                request=self._request,
                from_client=self.from_client,
            )
        )

    # Frames.

    def _begin_frame(self, first: int, head: Head, first_ns: int, ts_ns: int) -> None:
        opcode = first & OPCODE
        if opcode & CONTROL:
            frame = self._control = Building(KINDS[opcode], first_ns)
        elif opcode == CONTINUATION and self._message is not None:
            frame = self._message
        else:
            if self._message is not None:
                self._message.note("never finished")
                self._finish(self._message, ts_ns, complete=False)
            frame = self._message = Building(KINDS[opcode], first_ns)
            if opcode == CONTINUATION:
                frame.note("its beginning was not seen")
            self._begin_compressed(frame, first)
        if first & RESERVED & ~COMPRESSED:
            frame.note("bits of an unknown extension are set")
        if self.from_client is not None and bool(head.key) != self.from_client:
            frame.note("masked by the server" if head.key else "not masked by the client")
        if not head.minimal:
            frame.note("a length takes more bytes than it must")
        frame.fragments += 1
        frame.size_bytes += head.length
        self._frame = frame
        self._left_bytes = head.length
        self._key = head.key
        self._fin = bool(first & FIN)

    def _begin_compressed(self, frame: Building, first: int) -> None:
        frame.compressed = bool(first & COMPRESSED)
        if frame.compressed and self._inflater:
            self._inflater.begin()

    def _payload(self, data: bytes, at: int, ts_ns: int) -> int:
        """Takes payload of the frame from `at` on; where the next frame begins, or the end of `data`."""
        frame = self._frame
        assert frame is not None
        size = min(self._left_bytes, len(data) - at)
        self._left_bytes -= size
        if size:
            self._add(frame, data, at, size)
        if not self._left_bytes:
            self._end_frame(frame, ts_ns)
        return at + size

    def _add(self, frame: Building, data: bytes, at: int, size: int) -> None:
        inflater = self._inflater if frame.compressed and frame is self._message else None
        limit = max(self._limit, CONTROL_LIMIT_BYTES) if frame is self._control else self._limit
        keep = max(0, limit - len(frame.data))
        piece = data[at : at + (size if inflater else min(size, keep))]
        if self._key:
            piece = unmask(piece, self._key)
            self._key = rotated(self._key, size)
        if inflater:
            inflater.feed(piece)
        frame.data += piece[:keep]

    def _end_frame(self, frame: Building, ts_ns: int) -> None:
        self._frame = None
        if frame is self._control:
            self._control = None
            self._finish_control(frame, ts_ns, complete=not frame.missing_bytes)
        elif self._fin:
            self._finish(frame, ts_ns, complete=not frame.missing_bytes)

    # Messages.

    def _finish(self, frame: Building, ts_ns: int, *, complete: bool) -> None:
        self._message = None
        data = bytes(frame.data)
        is_text = frame.kind == "text" and not frame.missing_bytes
        whole = complete and frame.size_bytes == len(data)
        inflated_bytes = None
        if frame.compressed:
            whole = complete
            inflater = self._inflater
            inflated = inflater.end(complete=complete) if inflater else None
            note = inflater.note if inflater else ""
            if note:
                frame.note(note)
            if inflater and inflated is not None:
                data, inflated_bytes = inflated, inflater.out_bytes
            elif self._limit:
                frame.note("shown compressed")
            is_text = is_text and inflated is not None and not note
        if is_text and not is_utf8(data, whole=whole):
            frame.note("not UTF-8")
        self._emit_built(frame, data, ts_ns, complete=complete, inflated_bytes=inflated_bytes)

    def _finish_control(self, frame: Building, ts_ns: int, *, complete: bool) -> None:
        data, code = bytes(frame.data), None
        if frame.kind == "close" and not frame.missing_bytes:
            if len(data) >= 2:
                code, data = data[0] << 8 | data[1], data[2:]
                if not is_close_code(code):
                    frame.note("a code that must not be sent")
                if complete and not is_utf8(data):
                    frame.note("not UTF-8")
            elif data and complete:
                frame.note("half a code")
        self._emit_built(frame, data[: self._limit], ts_ns, complete=complete, code=code)

    def _emit_built(
        self,
        frame: Building,
        data: bytes,
        ts_ns: int,
        *,
        complete: bool,
        code: int | None = None,
        inflated_bytes: int | None = None,
    ) -> None:
        self.messages += 1
        self._emit(
            WebSocketMessage(
                self._connection,
                self._outgoing,
                frame.kind,
                data,
                frame.size_bytes if inflated_bytes is None else inflated_bytes,
                frame.first_ns,
                ts_ns,
                close_code=code,
                fragments=frame.fragments,
                compressed=frame.compressed,
                missing_bytes=frame.missing_bytes,
                complete=complete,
                note="; ".join(frame.notes),
                stream=self._stream,
                request=self._request,
                from_client=self.from_client,
                wire_bytes=None if inflated_bytes is None else frame.size_bytes,
            )
        )

    # Losses and ends.

    def gap(self, ts_ns: int, missing_bytes: int) -> bool:
        """True when the direction is still in step: the gap lies in a payload."""
        frame = self._frame
        if frame is None:
            return False
        inside = min(missing_bytes, self._left_bytes)
        self._left_bytes -= inside
        frame.missing_bytes += inside
        self._key = rotated(self._key, inside)
        if frame.compressed and self._inflater:
            self._inflater.lost()
        if inside < missing_bytes:
            return False
        if not self._left_bytes:
            self._end_frame(frame, ts_ns)
        return True

    def incomplete(self, ts_ns: int, note: str = "") -> bytes:
        """Emits what is not complete; the bytes of a head that is not, of which nothing was made."""
        for frame in (self._message, self._control):
            if frame is None:
                continue
            if note:
                frame.note(note)
            if frame is self._frame:
                frame.size_bytes -= self._left_bytes
            if frame is self._control:
                self._finish_control(frame, ts_ns, complete=False)
            else:
                self._finish(frame, ts_ns, complete=False)
        self._message = self._control = self._frame = None
        self._left_bytes = 0
        if self._inflater:
            # Whole messages may follow unseen, and later ones refer to them.
            self._inflater.lost()
        held, self._held = self._held, b""
        return held
