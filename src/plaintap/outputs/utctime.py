# SPDX-License-Identifier: Apache-2.0
"""Recorded times as RFC 3339 in UTC, to the nanosecond, for programs; local times of day are columns.py's."""

from __future__ import annotations

import time

from plaintap.outputs.sizes import NS_PER_S


class UtcTime:
    """The calendar is asked once per second of the capture."""

    __slots__ = ("_second_ns", "_text", "offset_ns")

    def __init__(self, offset_ns: int) -> None:
        self.offset_ns = offset_ns
        """Added to CLOCK_MONOTONIC it gives the time since the epoch."""
        self._second_ns = -NS_PER_S
        self._text = ""

    def text(self, ts_ns: int) -> str:
        """`2023-11-14T14:03:07.412000000Z`."""
        ns = ts_ns + self.offset_ns - self._second_ns
        if not 0 <= ns < NS_PER_S:
            second, ns = divmod(ts_ns + self.offset_ns, NS_PER_S)
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
            self._second_ns = second * NS_PER_S
        return f"{self._text}{str(ns + NS_PER_S)[1:]}Z"  # half the time of `:09`
