# SPDX-License-Identifier: Apache-2.0
"""Blocks as libraries keep them: whole, after KeyUpdates, without a suite, half set, contradictory, partly there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls13_vectors import OFFSETS, RESUMED_EARLY_SECRET, RFC8448, SHA384, VECTORS, WHOLE, Vector

from plaintap.keys.tls13 import CHECKED_EVERY, PROVEN_AFTER, Finder, Found

BOTH = pytest.mark.parametrize("vector", VECTORS, ids=["rfc8448", "sha384"])
UPDATED = bytes(range(1, 49))
"""An application secret N."""
OWN = {name: OFFSETS[name] for name in ("client_traffic_secret", "server_traffic_secret", "exporter_secret")}


def find_secrets(block: bytes, offsets: Mapping[str, int], cipher: int) -> Found:
    return Finder(offsets).find(block, cipher)


def updated(vector: Vector, *names: str) -> bytes:
    size = len(vector.lines[0][1])
    return vector.block(**dict.fromkeys(names, UPDATED[:size]))


@BOTH
def test_all_five(vector: Vector) -> None:
    assert find_secrets(vector.block(), OFFSETS, vector.cipher) == Found(vector.lines)


@BOTH
def test_what_a_library_keeps_itself(vector: Vector) -> None:
    """GnuTLS's block: the traffic secrets of the handshake are in it, and that of early data where there was any."""
    names = ("client_handshake_traffic_secret", "server_handshake_traffic_secret", *OWN)
    offsets = {name: 64 * number for number, name in enumerate(("client_early_traffic_secret", *names))}
    kept = b"".join(secret.ljust(64, b"\0") for _, secret in vector.lines)
    assert find_secrets(bytes(64) + kept, offsets, vector.cipher) == Found(vector.lines)
    early = UPDATED[: len(vector.lines[0][1])]
    with_early = (("CLIENT_EARLY_TRAFFIC_SECRET", early), *vector.lines)
    assert find_secrets(early.ljust(64, b"\0") + kept, offsets, vector.cipher) == Found(with_early)


@BOTH
def test_without_a_suite_the_hash_is_told_by_what_fits(vector: Vector) -> None:
    assert find_secrets(vector.block(), OFFSETS, 0) == Found(vector.lines)
    assert find_secrets(vector.block(), OFFSETS, 0xC02F) == Found(vector.lines)


@BOTH
def test_without_a_suite_and_a_master_secret_it_is_told_by_the_length(vector: Vector) -> None:
    offsets = OFFSETS.copy()
    del offsets["master_secret"]
    assert find_secrets(vector.block(), offsets, 0) == Found(vector.lines)


def test_what_an_earlier_handshake_with_a_longer_hash_left_does_not_mislead() -> None:
    stale = {name: value + b"left" * 8 for name, value in RFC8448.kept.items()}
    assert find_secrets(RFC8448.block(**stale), OFFSETS, 0) == Found(RFC8448.lines)
    assert find_secrets(RFC8448.block(**stale), OFFSETS, 0x1301) == Found(RFC8448.lines)
    stale["master_secret"] = RFC8448.kept["master_secret"]
    assert find_secrets(RFC8448.block(**stale), OFFSETS, 0) == Found(RFC8448.lines)


@BOTH
@pytest.mark.parametrize(
    "names",
    [("client_traffic_secret",), ("server_traffic_secret",), ("client_traffic_secret", "server_traffic_secret")],
)
def test_after_a_key_update_number_0_is_derived(vector: Vector, names: tuple[str, ...]) -> None:
    assert find_secrets(updated(vector, *names), OFFSETS, vector.cipher) == Found(vector.lines)
    assert find_secrets(updated(vector, *names), OFFSETS, 0) == Found(vector.lines)


@BOTH
@pytest.mark.parametrize("cipher", [None, 0])
def test_what_contradicts_itself_makes_no_line(vector: Vector, cipher: int | None) -> None:
    cipher = vector.cipher if cipher is None else cipher
    block = updated(vector, "client_traffic_secret", "server_traffic_secret", "exporter_secret")
    found = find_secrets(block, OFFSETS, cipher)
    assert (found.lines, found.wrong) == ((), "the secrets of a handshake contradict each other")
    shifted = {name: offset + 4 for name, offset in OFFSETS.items()}
    assert find_secrets(vector.block(), shifted, cipher) == found


@BOTH
@pytest.mark.parametrize("name", ["handshake_secret", "handshake_traffic_hash"])
@pytest.mark.parametrize("how", ["zero", "half", "absent"])
def test_without_the_handshake_secret_the_rest_is_still_had(vector: Vector, name: str, how: str) -> None:
    offsets = OFFSETS.copy()
    half = vector.kept[name][:16] if how == "half" else b""
    if how == "absent":
        del offsets[name]
    block = vector.block() if how == "absent" else vector.block(**{name: half})
    assert find_secrets(block, offsets, vector.cipher) == Found(vector.lines[2:], WHOLE[:2])


@BOTH
def test_a_layout_without_a_master_secret_gives_what_is_there(vector: Vector) -> None:
    """As of BoringSSL, which keeps number 0 and no handshake secret."""
    block = vector.block()
    assert find_secrets(block, OWN, vector.cipher) == Found(vector.lines[2:], WHOLE[:2])
    one_half_set = vector.block(client_traffic_secret=vector.lines[2][1][:8])
    assert find_secrets(one_half_set, OWN, vector.cipher) == Found(vector.lines[3:], WHOLE[:3])


@BOTH
def test_a_half_set_exporter_secret_is_derived(vector: Vector) -> None:
    block = vector.block(exporter_secret=vector.lines[4][1][:8])
    assert find_secrets(block, OFFSETS, vector.cipher) == Found(vector.lines)


def test_a_resumed_one_may_have_had_early_data() -> None:
    block = RFC8448.block(early_secret=RESUMED_EARLY_SECRET)
    assert find_secrets(block, OFFSETS, 0x1301) == Found(RFC8448.lines, ("CLIENT_EARLY_TRAFFIC_SECRET",))


@pytest.mark.parametrize("block", [b"", bytes(704), b"\1" * 100, RFC8448.block()[:512]])
def test_nothing_whole_makes_no_line(block: bytes) -> None:
    assert find_secrets(block, OWN, 0x1301).lines == ()


def test_without_a_layout_there_is_nothing() -> None:
    found = find_secrets(RFC8448.block(), {}, 0x1301)
    assert (found.lines, found.wrong) == ((), "the secrets of a handshake are not whole")


@given(
    st.sampled_from(VECTORS),
    st.dictionaries(st.sampled_from(list(OFFSETS)), st.integers(0, 0xFFFF)),
    st.sampled_from([0, 0x1301, 0x1302, 0xC02F]),
    st.integers(0, 1024),
)
def test_no_secret_is_ever_made_up(vector: Vector, offsets: dict[str, int], cipher: int, size: int) -> None:
    """Whatever the layout says: a line's secret is whole, and of a length that is one."""
    found = find_secrets(vector.block()[:size], offsets, cipher)
    assert bool(found.lines) != bool(found.wrong)
    for label, secret in found.lines:
        assert label in WHOLE
        assert len(secret) in {32, 48}
        assert all(any(secret[at : at + 8]) for at in range(0, len(secret), 8))


@given(st.sampled_from([RFC8448, SHA384]), st.sampled_from(list(OFFSETS)), st.integers(0, 31), st.integers(1, 255))
def test_one_wrong_byte_makes_no_wrong_application_secret(vector: Vector, name: str, at: int, flip: int) -> None:
    block = bytearray(vector.block())
    block[OFFSETS[name] + at] ^= flip
    found = find_secrets(bytes(block), OFFSETS, vector.cipher)
    right = dict(vector.lines)
    assert all(secret == right[label] for label, secret in found.lines if label in WHOLE[2:])


@BOTH
def test_a_library_that_was_right_so_often_is_believed_as_a_handshake_ends(vector: Vector) -> None:
    finder = Finder(OFFSETS)
    wrong = vector.block(**dict.fromkeys(OWN, UPDATED))
    for _ in range(PROVEN_AFTER):
        assert finder.find(wrong, vector.cipher, as_it_ended=True).wrong
        assert finder.find(vector.block(), vector.cipher, as_it_ended=True) == Found(vector.lines)
    for _ in range(PROVEN_AFTER):
        assert finder.find(vector.block(), vector.cipher, as_it_ended=True) == Found(vector.lines)
    assert not finder.find(wrong, vector.cipher, as_it_ended=True).wrong
    assert finder.find(wrong, vector.cipher).wrong  # read later, it may be after a KeyUpdate
    assert finder.find(wrong, vector.cipher, as_it_ended=True).wrong


@BOTH
def test_now_and_then_it_is_checked_all_the_same(vector: Vector) -> None:
    finder = Finder(OFFSETS)
    wrong = vector.block(**dict.fromkeys(OWN, UPDATED))
    for _ in range(PROVEN_AFTER):
        finder.find(vector.block(), vector.cipher)
    found = [finder.find(wrong, vector.cipher, as_it_ended=True) for _ in range(CHECKED_EVERY)]
    assert sum(bool(one.wrong) for one in found) >= 1
    assert found[-1].wrong


def test_what_is_not_whole_is_derived_even_of_a_library_that_is_believed() -> None:
    finder = Finder(OFFSETS)
    for _ in range(PROVEN_AFTER):
        finder.find(RFC8448.block(), RFC8448.cipher)
    assert finder.find(RFC8448.block(client_traffic_secret=b""), RFC8448.cipher, as_it_ended=True) == Found(
        RFC8448.lines
    )
