# SPDX-License-Identifier: Apache-2.0
"""What parsers are told at the start, the same for all connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Schemas(Protocol):
    """What .proto files say of the messages of gRPC calls."""

    def fields(self, path: str, *, from_client: bool, data: bytes) -> object:
        """JSON-like, by name; `path` is `/package.Service/Method`. None when they do not know it.

        Raises ValueError for data that is no such message.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserOptions:
    """`body_limit` is the number of bytes kept of one body or message; 0 keeps none and only counts."""

    body_limit: int = 0
    schemas: Schemas | None = None
    wants_stream_messages: bool = True
    """Events, WebSocket and gRPC messages are wanted one by one, as they happen."""
