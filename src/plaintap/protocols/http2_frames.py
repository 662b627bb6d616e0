# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 frames of one direction (RFC 9113, 4 and 6): cut out of the bytes, checked, and how they look from outside.

A frame may be cut by records anywhere. DATA is handed on in pieces as it comes; any other frame when it is whole.
"""

from __future__ import annotations

import struct
from typing import Protocol

from plaintap.protocols.base import Fit
from plaintap.protocols.hpack import HpackDecoder, HpackError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
PAYLOAD_LIMIT_BYTES = 1 << 20
"""Of any frame but DATA, and of a header block with its continuations; with more it is malformed to us."""

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

HEAD = struct.Struct(">BHBBI")
_STREAM = 0x7FFFFFFF
# By type: the flags there are, whether it is on a stream (None: either), its length where that is fixed.
_KINDS: dict[int, tuple[int, bool | None, int | None]] = {
    DATA: (END_STREAM | PADDED, True, None),
    HEADERS: (END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY, True, None),
    PRIORITY: (0, True, 5),
    RST_STREAM: (0, True, 4),
    SETTINGS: (ACK, False, None),
    PUSH_PROMISE: (END_HEADERS | PADDED, True, None),
    PING: (ACK, False, 8),
    GOAWAY: (0, False, None),
    WINDOW_UPDATE: (0, None, 4),
    CONTINUATION: (END_HEADERS, True, None),
}
# Of extensions (RFC 7838, RFC 8336, RFC 9218): only recognised, never read.
_ALTSVC, _ORIGIN, _PRIORITY_UPDATE = 0x0A, 0x0C, 0x10
_RECOGNISED = _KINDS | {_ALTSVC: (0, None, None), _ORIGIN: (0, False, None), _PRIORITY_UPDATE: (0, False, None)}
# Types, flags and lengths that some clients make up so that nobody comes to rely on there being none.
_GREASE = frozenset(range(0x0B, 0x100, 0x1F))
_GREASE_LIMIT_BYTES = 256
_BLOCKS = frozenset({HEADERS, PUSH_PROMISE, CONTINUATION})
FIXED_BYTES = {kind: size for kind, (_flags, _stream, size) in _KINDS.items() if size is not None}
_USUAL_FRAME_BYTES = 16384
_USUAL_DATA_BYTES = 1 << 20
"""What Go's servers take, so that its clients send half of it in one frame."""
_SETTING_BYTES = 6
_HIGHEST_USUAL_SETTING = 0x10


class FrameError(Exception):
    """Bytes that are no frame."""


class Frames(Protocol):
    """Who takes the frames of a direction."""

    def data_begins(self) -> None:
        """Before the first piece of a DATA frame that may come in several: raises FrameError if none may come here."""

    def data(self, stream: int, flags: int, piece: bytes, /, *, ends: bool) -> None:
        """Some of the content of a DATA frame; `ends` with the last of it, which may be empty.

        Raises FrameError, but not behind a `data_begins` that did not: a loss may end the frame, too.
        """

    def frame(self, kind: int, flags: int, stream: int, payload: bytes, /) -> None:
        """A whole frame of any other type, `stream` with its reserved bit. Raises FrameError."""


class FrameReader:
    """One direction. What `feed` raises FrameError at, and all behind it, is left in `rest()`."""

    __slots__ = ("_data_flags", "_data_left", "_data_stream", "_held", "_held_bytes", "_need", "_padding", "_taker")

    def __init__(self, taker: Frames) -> None:
        self._taker = taker
        # Of a DATA frame that is not whole yet: what is missing of its content, and of its padding.
        self._data_left = 0
        self._padding = 0
        self._data_stream = 0
        self._data_flags = 0
        # Of any other frame, or of a head: what there is, and how much is needed to go on.
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._need = 0

    @property
    def in_data(self) -> tuple[int, int, int]:
        """Of a DATA frame that is not whole: its stream, what is to come of its content and of its padding; else 0."""
        return (self._data_stream, self._data_left, self._padding) if self._data_stream else (0, 0, 0)

    @property
    def between(self) -> bool:
        """Whether the next byte is the first of a frame."""
        return not self._data_stream and not self._held_bytes

    def skip(self, size_bytes: int) -> None:
        """So many bytes of the DATA frame in progress were lost."""
        content = min(size_bytes, self._data_left)
        self._data_left -= content
        self._padding -= size_bytes - content
        if not self._data_left and not self._padding:
            self._end_data(b"")

    def rest(self) -> bytes:
        """Takes back what was not handed on; the next byte begins a frame."""
        held = b"".join(self._held)
        self._forget_held()
        self._data_left = self._padding = self._data_stream = 0
        return held

    def feed(self, data: bytes) -> None:
        """Raises FrameError."""
        if self._held_bytes:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._need:
                return
            data = b"".join(self._held)
            self._forget_held()
        at, end = 0, len(data)
        if self._data_stream:
            at = self._go_on(data)
        at = self._frames(data, at)
        if at < end:
            self._hold(data, at)

    def _frames(self, data: bytes, at: int) -> int:
        """Hands on what is whole; where the rest begins."""
        frame, more = self._taker.frame, self._taker.data
        unpack = HEAD.unpack_from
        end = len(data)
        self._need = HEAD_BYTES
        try:
            while end - at >= HEAD_BYTES:
                high, low, kind, flags, stream = unpack(data, at)
                length = high << 16 | low
                stop = at + HEAD_BYTES + length
                if kind != DATA:
                    if stop > end:
                        self._await(length)
                        break
                    frame(kind, flags, stream, data[at + HEAD_BYTES : stop])
                elif stop <= end and not flags & PADDED and stream & _STREAM:
                    more(stream & _STREAM, flags, data[at + HEAD_BYTES : stop], ends=True)
                elif flags & PADDED and length and end - at == HEAD_BYTES:
                    self._need = HEAD_BYTES + 1
                    break
                else:
                    stop = self._begin_data(data, at, length, flags, stream & _STREAM)
                at = stop
        except FrameError:
            self._hold(data, at)
            raise
        return at

    def _await(self, length: int) -> None:
        if length > PAYLOAD_LIMIT_BYTES:
            raise FrameError("a frame that is too long")
        self._need = HEAD_BYTES + length

    def _begin_data(self, data: bytes, at: int, length: int, flags: int, stream: int) -> int:
        """A DATA frame with padding, or that is not whole; where to go on."""
        begin = at + HEAD_BYTES
        padding = 0
        if flags & PADDED:
            if not length:
                raise FrameError("padding without its length")
            padding = data[begin]
            begin += 1
            length -= 1
        if padding > length or not stream:
            raise FrameError("DATA with more padding than data" if stream else "DATA on no stream")
        self._taker.data_begins()
        self._data_left, self._padding = length - padding, padding
        self._data_stream, self._data_flags = stream, flags
        return begin + self._go_on(data[begin : begin + length])

    def _go_on(self, data: bytes) -> int:
        """With the DATA frame in progress; how many bytes were of it."""
        piece = data[: self._data_left]
        self._data_left -= len(piece)
        taken = len(piece)
        if not self._data_left:
            padding = min(self._padding, len(data) - taken)
            self._padding -= padding
            taken += padding
        if self._data_left or self._padding:
            if piece:
                self._taker.data(self._data_stream, self._data_flags, piece, ends=False)
        else:
            self._end_data(piece)
        return taken

    def _end_data(self, piece: bytes) -> None:
        stream, self._data_stream = self._data_stream, 0
        self._taker.data(stream, self._data_flags, piece, ends=True)

    def _hold(self, data: bytes, at: int) -> None:
        rest = data[at:]
        self._held = [rest]
        self._held_bytes = len(rest)

    def _forget_held(self) -> None:
        self._held = []
        self._held_bytes = 0


def fit(_direction: int, head: bytes) -> Fit:
    """The client's preface, or frames to the record's end: of a connection that is older than the capture, too."""
    if head[:1] == b"P":
        if head.startswith(PREFACE):
            return Fit.YES
        return Fit.MAYBE if PREFACE.startswith(head) else Fit.NO
    if len(head) < HEAD_BYTES:
        plausible = head[:1] == b"\0" and (len(head) < 4 or head[3] in _RECOGNISED or head[3] in _GREASE)
        return Fit.MAYBE if plausible else Fit.NO
    return Fit.YES if looks_like_frames(head) else Fit.NO


def looks_like_frames(data: bytes) -> bool:
    """Whether these are heads of usual frames, one behind the other, the last perhaps cut."""
    at, end = 0, len(data)
    first = True
    in_block = 0
    while end - at >= HEAD_BYTES:
        high, low, kind, flags, stream = HEAD.unpack_from(data, at)
        length = high << 16 | low
        at += HEAD_BYTES + length
        if kind in _GREASE:
            if first or length > _GREASE_LIMIT_BYTES or in_block:
                return False
            continue
        usual = kind in _RECOGNISED and _is_usual(kind, flags, stream, length)
        # What a client begins has odd numbers, and a push is rarely what is seen first.
        if not usual or (first and kind in (DATA, HEADERS, RST_STREAM) and not stream & 1):
            return False
        if (kind == CONTINUATION) != bool(in_block) or stream != (in_block or stream):
            return False
        if kind in _BLOCKS:
            in_block = 0 if flags & END_HEADERS else stream
        if not _is_usual_payload(kind, flags, data[at - length : at], whole=at <= end):
            return False
        first = False
    return not first


def _is_usual(kind: int, flags: int, stream: int, length: int) -> bool:
    known_flags, on_stream, fixed = _RECOGNISED[kind]
    limit_bytes = _USUAL_DATA_BYTES if kind == DATA else _USUAL_FRAME_BYTES
    if flags & ~known_flags or stream >> 24 or length > limit_bytes:
        return False
    if on_stream is not None and on_stream != bool(stream):
        return False
    if fixed is not None:
        return length == fixed
    if kind == SETTINGS:
        return length % _SETTING_BYTES == 0 and not (flags & ACK and length)
    if kind == DATA and flags == END_STREAM:
        return True
    return length >= (8 if kind == GOAWAY else 1)


def _is_usual_payload(kind: int, flags: int, payload: bytes, *, whole: bool) -> bool:
    """A head alone is soon met by chance."""
    if kind == SETTINGS:
        return _has_usual_settings(payload)
    if not whole:
        return True
    if kind == HEADERS and flags & END_HEADERS and not flags & (PADDED | WITH_PRIORITY):
        return _is_block(payload)
    if kind == DATA and flags & PADDED:
        return payload[0] < len(payload)
    return not (kind == RST_STREAM and payload[:3] != bytes(3)) and not (kind == WINDOW_UPDATE and payload[0] & 0x80)


def _is_block(block: bytes) -> bool:
    try:
        fields = HpackDecoder(late=True).decode(block)
    except HpackError:
        return False
    return bool(fields) and all(name == name.lower() and b"\0" not in name for name, _ in fields)


def _has_usual_settings(payload: bytes) -> bool:
    return all(
        payload[at] == 0 and 0 < payload[at + 1] <= _HIGHEST_USUAL_SETTING
        for at in range(0, len(payload) - _SETTING_BYTES + 1, _SETTING_BYTES)
    )
