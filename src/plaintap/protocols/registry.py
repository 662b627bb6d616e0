# SPDX-License-Identifier: Apache-2.0
"""Which protocols there are, in which order they are asked, and how a connection gets its parser.

Adding a protocol is a file beside this one, a line in `PROTOCOLS` and a test file.
"""

from __future__ import annotations

from plaintap.parsing import Outlet, Parser
from plaintap.protocols.base import Fit, ProtocolEntry
from plaintap.protocols.http1 import HTTP1
from plaintap.protocols.undecided import Undecided

PROTOCOLS: tuple[ProtocolEntry, ...] = (HTTP1,)

KEPT_BODY_LIMIT_BYTES = 64 << 20
"""Of one body; whoever wants all of them gets so much, and the number of the others."""


class Registry:
    """`body_limit` is the number of body bytes kept of a message, 0 keeps none and only counts."""

    def __init__(self, *, body_limit: int = 0) -> None:
        self._body_limit = min(body_limit, KEPT_BODY_LIMIT_BYTES)

    def recognise(self, direction: int, head: bytes, outlet: Outlet, /) -> Parser | None:
        """A parser for a connection of which `head` is the next to be received; None when nobody claims it."""
        undecided = False
        for entry in PROTOCOLS:
            fit = entry.fit(direction, head)
            if fit is Fit.YES:
                return entry.create(direction, head, outlet, self._body_limit)
            undecided = undecided or fit is Fit.MAYBE
        return Undecided(outlet, self.recognise) if undecided else None
