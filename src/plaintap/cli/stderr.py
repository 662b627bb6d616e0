# SPDX-License-Identifier: Apache-2.0
"""One line to standard error; standard output belongs to the capture."""

from __future__ import annotations

import sys
from typing import TextIO

from plaintap.outputs.escape import escape


def say(text: str, stream: TextIO | None = None) -> None:
    """Writes a line, escaped: names in it may have been chosen by others.

    A standard error that was closed or went away takes nothing, and never stops the tool.
    """
    # Python has None for a standard error that was closed before it started.
    into: TextIO | None = sys.stderr if stream is None else stream
    if into is None:
        return
    try:
        into.write(escape(text) + "\n")
        into.flush()
    except (OSError, ValueError):
        return
