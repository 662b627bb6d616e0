# SPDX-License-Identifier: Apache-2.0
"""The part of TLS 1.3's key schedule that tells which 64 bytes of a struct are which secret (RFC 8446 7.1, RFC 5869).

Also reads the two plaintext hello messages off the wire, whose hash the schedule needs. Nothing of a library's structs.
"""

from __future__ import annotations

import hashlib
import hmac

SUITE_DIGESTS = {0x1301: "sha256", 0x1302: "sha384", 0x1303: "sha256", 0x1304: "sha256", 0x1305: "sha256"}
_HANDSHAKE_RECORD = 22
_RECORD_HEADER_BYTES, _MESSAGE_HEADER_BYTES = 5, 4


def digest_bytes(digest: str) -> int:
    return hashlib.new(digest).digest_size


def extract(salt: bytes, key: bytes, digest: str) -> bytes:
    """HKDF-Extract; an empty salt or key stands for zeros."""
    zeros = bytes(digest_bytes(digest))
    return hmac.digest(salt or zeros, key or zeros, digest)


def expand_label(secret: bytes, label: str, context: bytes, digest: str) -> bytes:
    """HKDF-Expand-Label to the length of the hash, which takes a single block."""
    size = digest_bytes(digest)
    name = b"tls13 " + label.encode()
    info = size.to_bytes(2, "big") + bytes((len(name),)) + name + bytes((len(context),)) + context
    return hmac.digest(secret, info + b"\1", digest)


def master_secret(handshake_secret: bytes, digest: str) -> bytes:
    empty = hashlib.new(digest).digest()
    return extract(expand_label(handshake_secret, "derived", empty, digest), b"", digest)


def first_message(wire: bytes) -> bytes:
    """The first handshake message of a flight, put together from its records; what is there of it when it is cut."""
    stream, at = b"", 0
    while at + _RECORD_HEADER_BYTES <= len(wire):
        end = at + _RECORD_HEADER_BYTES + int.from_bytes(wire[at + 3 : at + 5], "big")
        if wire[at] == _HANDSHAKE_RECORD:
            stream += wire[at + _RECORD_HEADER_BYTES : end]
        at = end
    return stream[: _MESSAGE_HEADER_BYTES + int.from_bytes(stream[1:_MESSAGE_HEADER_BYTES], "big")]


def hello_hash(client_wire: bytes, server_wire: bytes, digest: str) -> bytes:
    """The transcript hash up to the ServerHello."""
    return hashlib.new(digest, first_message(client_wire) + first_message(server_wire)).digest()
