# SPDX-License-Identifier: Apache-2.0
"""Whether a file that is there already holds lines of the json form, so that more may follow them."""

from __future__ import annotations

import os
import re

_LOOKED_AT_BYTES = 256
_OURS = re.compile(rb'\s*(?:\{"type":"[a-z]+","v":\d)?')


def unfit_for_json(fd: int) -> str:
    """By its beginning; one that cannot be read is believed."""
    try:
        start = os.pread(fd, _LOOKED_AT_BYTES, 0)
    except OSError:
        return ""
    match = _OURS.match(start)
    return "" if not start.strip() or (match and match[0].strip()) else "it holds something that is no JSON of plaintap"
