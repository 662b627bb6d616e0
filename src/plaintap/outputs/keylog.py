# SPDX-License-Identifier: Apache-2.0
"""The NSS key log form, which Wireshark and others read: `LABEL client-random secret`, the last two in hex.

Both directions: lines of secrets, and what lines of an earlier run say. Files are sinks/keyfile.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from plaintap.messages import Secrets

LINE_MAX_BYTES = 256
"""More than any line there is: the longest label here has 31 characters, the longest secret 64 bytes."""
_LINE = re.compile(rb"^([A-Z][A-Z0-9_]*) ([0-9a-fA-F]{64}) (?:[0-9a-fA-F]{2})+\r?$", re.MULTILINE)


def keylog_lines(secrets: Secrets) -> bytes:
    """All lines of a message, each with its newline."""
    client_random = f" {secrets.owner.client_random.hex()} "
    return "".join([f"{label}{client_random}{secret.hex()}\n" for label, secret in secrets.lines]).encode()


def read_lines(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Label and client random of every line that is one; comments and anything else are passed over."""
    for match in _LINE.finditer(text):
        yield match[1].decode(), bytes.fromhex(match[2].decode())
