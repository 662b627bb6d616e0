# SPDX-License-Identifier: Apache-2.0
"""Messages to standard error; standard output belongs to the capture."""

from __future__ import annotations

import sys
from typing import TextIO

from plaintap.outputs.escape import escape

_CONTINUED = "\n  "
"""How a message of ours goes on; a line feed that strangers chose cannot begin a line of its own."""


def say(text: str, stream: TextIO | None = None) -> None:
    """Writes a message, escaped: names in it may have been chosen by others. Its later lines are indented.

    A standard error that was closed or went away takes nothing, and never stops the tool.
    """
    # Python has None for a standard error that was closed before it started.
    into: TextIO | None = sys.stderr if stream is None else stream
    if into is None:
        return
    try:
        into.write(_CONTINUED.join(map(escape, text.split(_CONTINUED))) + "\n")
        into.flush()
    except (OSError, ValueError):
        return
