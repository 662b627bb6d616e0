# SPDX-License-Identifier: Apache-2.0
"""Which protocols there are, in which order they are asked, and how a connection gets its parser.

Adding a protocol is a file beside this one, a line in `PROTOCOLS` and a test file.
"""

from __future__ import annotations

from dataclasses import replace

from plaintap.parsing import Outlet, Parser
from plaintap.protocols.base import Fit, ProtocolEntry
from plaintap.protocols.http1 import HTTP1
from plaintap.protocols.http2 import HTTP2
from plaintap.protocols.named import NAMED, candidates
from plaintap.protocols.options import ParserOptions
from plaintap.protocols.undecided import Undecided
from plaintap.protocols.websocket import WEBSOCKET

PROTOCOLS: tuple[ProtocolEntry, ...] = (HTTP1, HTTP2, WEBSOCKET)
ENTRIES = {entry.name: entry for entry in (*PROTOCOLS, *NAMED)}

KEPT_BODY_LIMIT_BYTES = 64 << 20
"""Of one body; whoever wants all of them gets so much, and the number of the others."""


class Registry:
    """`only` names the protocol that every connection has, whatever its first bytes look like."""

    def __init__(self, options: ParserOptions | None = None, *, only: str | None = None) -> None:
        """Raises KeyError for a protocol that there is not."""
        options = options or ParserOptions()
        self._options = replace(options, body_limit=min(options.body_limit, KEPT_BODY_LIMIT_BYTES))
        self._only = ENTRIES[only] if only else None

    def recognise(self, direction: int, head: bytes, outlet: Outlet, /) -> Parser | None:
        """A parser for a connection of which `head` is the next to be received; None when nobody claims it."""
        if self._only:
            return self._only.create(direction, head, outlet, self._options)
        undecided = False
        for entry in (*PROTOCOLS, *candidates(head)):
            fit = entry.fit(direction, head)
            if fit is Fit.YES:
                return entry.create(direction, head, outlet, self._options)
            undecided = undecided or fit is Fit.MAYBE
        return Undecided(outlet, self.recognise) if undecided else None
