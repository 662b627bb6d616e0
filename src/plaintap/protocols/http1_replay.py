# SPDX-License-Identifier: Apache-2.0
"""Where malformed bytes begin: httptools does not say, so what it refused is read once more, line by line."""

from __future__ import annotations

import httptools

from plaintap.protocols.http1_limits import FIELDS_LIMIT, HttpError
from plaintap.protocols.http1_reader import Httptools, strict


class _Watcher:
    __slots__ = ("body_bytes", "completed", "fields")

    def __init__(self) -> None:
        self.body_bytes = 0
        self.completed = False
        self.fields = 0

    def on_header(self, _name: bytes, _value: bytes) -> None:
        self.fields += 1
        if self.fields > FIELDS_LIMIT:
            raise HttpError("too many fields")

    def on_headers_complete(self) -> None:
        self.fields = 0

    def on_body(self, data: bytes) -> None:
        self.body_bytes += len(data)

    def on_message_complete(self) -> None:
        self.completed = True
        self.fields = 0


def end_of_messages(kind: type[Httptools], data: bytes) -> int:
    """Where the last complete message in `data` ends; `data` begins with a message and fails somewhere."""
    watcher = _Watcher()
    parser = strict(kind(watcher))
    safe = start = end = 0
    failed = False
    while start < len(data) and not failed:
        end = data.find(b"\n", start) + 1 or len(data)
        watcher.body_bytes, watcher.completed = 0, False
        try:
            parser.feed_data(data[start:end])
        except (HttpError, httptools.HttpParserUpgrade):
            failed = True
        if watcher.completed:
            # A body told by its length may end inside a line; every other end is a line's end.
            safe = start + (watcher.body_bytes or end - start)
        start = end
    return safe
