# SPDX-License-Identifier: Apache-2.0
"""The part of TLS 1.3's key schedule that is needed: RFC 8446 section 7.1, over HKDF (RFC 5869)."""

from __future__ import annotations

import hmac
from functools import cache

HASH_SIZES = {"sha256": 32, "sha384": 48}
_HASHES = {0x1301: "sha256", 0x1302: "sha384", 0x1303: "sha256", 0x1304: "sha256", 0x1305: "sha256"}


def hash_of_suite(cipher: int) -> str | None:
    """The hash of a TLS 1.3 suite (RFC 8446 appendix B.4); None for another or an unknown one."""
    return _HASHES.get(cipher)


@cache
def _info(label: str, algorithm: str) -> bytes:
    """HkdfLabel up to the context, which is as long as the hash."""
    size = HASH_SIZES[algorithm]
    name = b"tls13 " + label.encode()
    return size.to_bytes(2, "big") + bytes([len(name)]) + name + bytes([size])


def expand_label(secret: bytes, label: str, transcript_hash: bytes, algorithm: str) -> bytes:
    """HKDF-Expand-Label to the length of the hash, which HKDF-Expand reaches in its first round."""
    return hmac.digest(secret, _info(label, algorithm) + transcript_hash + b"\1", algorithm)


@cache
def early_secret_without_psk(algorithm: str) -> bytes:
    """The early secret of every handshake that resumes nothing: HKDF-Extract(0, 0)."""
    zeros = bytes(HASH_SIZES[algorithm])
    return hmac.digest(zeros, zeros, algorithm)
