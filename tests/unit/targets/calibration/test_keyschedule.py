# SPDX-License-Identifier: Apache-2.0
"""The key schedule by the worked example of RFC 8448, section 3; hello messages in all cuts of records."""

from __future__ import annotations

import hashlib

import pytest

from plaintap.targets.calibration import keyschedule

EARLY_SECRET = "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
HANDSHAKE_SECRET = "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"
MASTER_SECRET = "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"
HELLO_HASH = "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8"
CLIENT_HANDSHAKE_SECRET = "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"

HELLO = b"\x01\x00\x00\x20" + bytes(range(32))
ANSWER = b"\x02\x00\x00\x10" + bytes(range(16))


def record(payload: bytes, kind: int = 22) -> bytes:
    return bytes((kind, 3, 3)) + len(payload).to_bytes(2, "big") + payload


def test_schedule_of_the_rfc() -> None:
    assert keyschedule.extract(b"", b"", "sha256").hex() == EARLY_SECRET
    assert keyschedule.master_secret(bytes.fromhex(HANDSHAKE_SECRET), "sha256").hex() == MASTER_SECRET
    secret = keyschedule.expand_label(
        bytes.fromhex(HANDSHAKE_SECRET), "c hs traffic", bytes.fromhex(HELLO_HASH), "sha256"
    )
    assert secret.hex() == CLIENT_HANDSHAKE_SECRET


@pytest.mark.parametrize("digest", ["sha256", "sha384"])
def test_secrets_are_as_long_as_the_hash(digest: str) -> None:
    size = hashlib.new(digest).digest_size
    assert len(keyschedule.expand_label(b"\1" * size, "c hs traffic", b"", digest)) == size
    assert len(keyschedule.extract(b"", b"key", digest)) == size


@pytest.mark.parametrize("cut", range(1, len(HELLO)))
def test_message_in_two_records(cut: int) -> None:
    assert keyschedule.first_message(record(HELLO[:cut]) + record(HELLO[cut:])) == HELLO


def test_message_with_others_around_it() -> None:
    wire = record(b"\1", kind=20) + record(ANSWER + HELLO) + record(b"secret", kind=23)
    assert keyschedule.first_message(wire) == ANSWER


@pytest.mark.parametrize("size", range(len(record(HELLO))))
def test_message_that_is_cut_off_is_what_is_there(size: int) -> None:
    assert keyschedule.first_message(record(HELLO)[:size]) == HELLO[: max(0, size - 5)]


def test_hash_up_to_the_server_hello() -> None:
    expected = hashlib.sha384(HELLO + ANSWER).digest()
    assert keyschedule.hello_hash(record(HELLO), record(ANSWER) + record(b"x", kind=23), "sha384") == expected
