# SPDX-License-Identifier: Apache-2.0
"""Which protocols there are, in which order they are asked, and how a connection gets its parser.

Adding a protocol is a file beside this one, a line in `PROTOCOLS` and a test file.
"""

from __future__ import annotations

from plaintap.errors import UsageError
from plaintap.protocols.base import Fit, Outlet, Parser, ProtocolEntry
from plaintap.protocols.http1 import HTTP1
from plaintap.protocols.undecided import Undecided

PROTOCOLS: tuple[ProtocolEntry, ...] = (HTTP1,)
AUTO = "auto"
RAW = "raw"
NAMES = (AUTO, *(protocol.name for protocol in PROTOCOLS), RAW)


class Registry:
    """`protocol` narrows what is asked: one of `NAMES`; `raw` leaves every byte as it came.

    `body_limit` is the number of body bytes kept of a message, 0 keeps none and only counts.
    """

    def __init__(self, *, body_limit: int = 0, protocol: str = AUTO) -> None:
        if protocol not in NAMES:
            raise UsageError(f"unknown protocol {protocol!r}, expected one of {', '.join(NAMES)}")
        self._body_limit = body_limit
        self._protocols = tuple(entry for entry in PROTOCOLS if protocol in (AUTO, entry.name))

    def recognise(self, direction: int, head: bytes, outlet: Outlet, /) -> Parser | None:
        """A parser for a connection of which `head` is the next to be received; None when nobody claims it."""
        undecided = False
        for entry in self._protocols:
            fit = entry.fit(direction, head)
            if fit is Fit.YES:
                return entry.create(direction, head, outlet, self._body_limit)
            undecided = undecided or fit is Fit.MAYBE
        return Undecided(outlet, self.recognise) if undecided else None
