# SPDX-License-Identifier: Apache-2.0
"""The part of TLS 1.3's key schedule that is needed: RFC 8446 section 7.1, over HKDF (RFC 5869)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from functools import cache

HASH_SIZES = {"sha256": 32, "sha384": 48}
_BLOCK_SIZES = {"sha256": 64, "sha384": 128}
_NEW_HASH = {"sha256": hashlib.sha256, "sha384": hashlib.sha384}
_INNER_PAD, _OUTER_PAD = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_HASHES = {0x1301: "sha256", 0x1302: "sha384", 0x1303: "sha256", 0x1304: "sha256", 0x1305: "sha256"}


def hash_of_suite(cipher: int) -> str | None:
    """The hash of a TLS 1.3 suite (RFC 8446 appendix B.4); None for another or an unknown one."""
    return _HASHES.get(cipher)


@cache
def label_info(label: str, algorithm: str) -> bytes:
    """HkdfLabel up to the context, which is as long as the hash."""
    size = HASH_SIZES[algorithm]
    name = b"tls13 " + label.encode()
    return size.to_bytes(2, "big") + bytes([len(name)]) + name + bytes([size])


def expand_labels(secret: bytes, infos: Sequence[bytes], transcript_hash: bytes, algorithm: str) -> list[bytes]:
    """HKDF-Expand-Label to the length of the hash, which HKDF-Expand reaches in its first round, for each `label_info`.

    HMAC (RFC 2104) is spelt out: what depends on the secret alone is hashed once, which halves the cost of a handshake.
    """
    key = secret.ljust(_BLOCK_SIZES[algorithm], b"\0")
    new_hash = _NEW_HASH[algorithm]
    inner, outer = new_hash(key.translate(_INNER_PAD)).copy, new_hash(key.translate(_OUTER_PAD)).copy
    ending = transcript_hash + b"\1"
    expanded = []
    for info in infos:
        hashed = inner()
        hashed.update(info + ending)
        signed = outer()
        signed.update(hashed.digest())
        expanded.append(signed.digest())
    return expanded


@cache
def early_secret_without_psk(algorithm: str) -> bytes:
    """The early secret of every handshake that resumes nothing: HKDF-Extract(0, 0)."""
    zeros = bytes(HASH_SIZES[algorithm])
    return hmac.digest(zeros, zeros, algorithm)
