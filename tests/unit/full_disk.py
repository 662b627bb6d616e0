# SPDX-License-Identifier: Apache-2.0
"""A disk that is full, without one."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def file_size_limited(size_bytes: int) -> Iterator[None]:
    """As a full disk does it: what fits is written, then nothing. Python ignores SIGXFSZ.

    No longer than needed: what pytest says may go to a file too.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
