# SPDX-License-Identifier: Apache-2.0
"""The labels of a key log and how long the secret behind each may be (draft-ietf-tls-keylogfile).

The labels up to TLS 1.3 are those of NSS; a line with any other label is not made here.
"""

from __future__ import annotations

TLS1_3 = 0x0304
MASTER_KEY = "CLIENT_RANDOM"
"""TLS 1.2 and earlier: the label is the name of the line's second word."""
CLIENT_EARLY = "CLIENT_EARLY_TRAFFIC_SECRET"
CLIENT_HANDSHAKE = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
SERVER_HANDSHAKE = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
CLIENT_TRAFFIC = "CLIENT_TRAFFIC_SECRET_0"
SERVER_TRAFFIC = "SERVER_TRAFFIC_SECRET_0"
EXPORTER = "EXPORTER_SECRET"

WHOLE = (CLIENT_HANDSHAKE, SERVER_HANDSHAKE, CLIENT_TRAFFIC, SERVER_TRAFFIC, EXPORTER)
"""What every TLS 1.3 handshake has, in the order of its key schedule."""

_HASHES = frozenset({32, 48})
LENGTHS: dict[str, frozenset[int]] = {
    MASTER_KEY: frozenset({48}),
    **dict.fromkeys(WHOLE, _HASHES),
    CLIENT_EARLY: _HASHES,
    "EARLY_EXPORTER_SECRET": _HASHES,
    # Of the KEM, whose longest here is P-521's.
    "ECH_SECRET": frozenset({32, 48, 64}),
}
"""Bytes a secret may have, by label."""

BITS = {label: 1 << number for number, label in enumerate(LENGTHS)}
"""One bit per label, so that those of a handshake fit an int."""
ALONE_BITS = BITS[MASTER_KEY]
WHOLE_BITS = sum(BITS[label] for label in WHOLE)

NOT_SET = bytes(8)
"""Bytes of a real secret that are zero in a row once in 2^58."""


def is_whole(secret: bytes) -> bool:
    """Whether it was written to its end: there is nothing in it that is still not set."""
    return secret != b"" and NOT_SET not in secret
