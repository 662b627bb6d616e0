# SPDX-License-Identifier: Apache-2.0
"""The colours: one name per meaning, all empty when there is no colour.

To colour something new, add a name here and use it where the text is made.
"""

from __future__ import annotations

from dataclasses import dataclass

_STATUS_CLASSES = ("", "\x1b[34m", "\x1b[32m", "\x1b[36m", "\x1b[1;33m", "\x1b[1;31m")


@dataclass(frozen=True, slots=True)
class Palette:
    """Escape sequences to put before a text; `reset` goes behind it."""

    color: bool
    dim: str = ""
    """Methods, remarks."""
    name: str = ""
    """Header names."""
    head: str = ""
    """The line above a block."""
    slow: str = ""
    """Durations over a second."""
    bad: str = ""
    """Losses and the mark of slow or failed exchanges."""
    reset: str = ""

    def status(self, status: int) -> str:
        """By class: 1xx blue, 2xx green, 3xx cyan, 4xx yellow, 5xx red."""
        status_class = status // 100
        return _STATUS_CLASSES[status_class] if self.color and status_class < len(_STATUS_CLASSES) else ""

    def paint(self, start: str, text: str) -> str:
        """`text` in one colour; unchanged when `start` is none."""
        return f"{start}{text}{self.reset}" if start else text


def palette(*, color: bool) -> Palette:
    """The colours of a terminal, or none."""
    if not color:
        return Palette(color=False)
    return Palette(
        color=True,
        dim="\x1b[2m",
        name="\x1b[36m",
        head="\x1b[1m",
        slow="\x1b[1;35m",
        bad="\x1b[1;31m",
        reset="\x1b[0m",
    )
