# SPDX-License-Identifier: Apache-2.0
"""The key schedule against RFC 8448 and OpenSSL."""

from __future__ import annotations

import pytest
from tls13_vectors import VECTORS, WHOLE, Vector

from plaintap.keys.derivation import HASH_SIZES, early_secret_without_psk, expand_labels, hash_of_suite, label_info

NAMES = ("c hs traffic", "s hs traffic", "c ap traffic", "s ap traffic", "exp master")


@pytest.mark.parametrize("vector", VECTORS, ids=["rfc8448", "sha384"])
def test_expand_labels(vector: Vector) -> None:
    algorithm = hash_of_suite(vector.cipher)
    assert algorithm
    expanded = []
    for names, source, transcript in (
        (NAMES[:2], "handshake_secret", "handshake_traffic_hash"),
        (NAMES[2:], "master_secret", "server_finished_hash"),
    ):
        infos = [label_info(name, algorithm) for name in names]
        expanded += expand_labels(vector.kept[source], infos, vector.kept[transcript], algorithm)
    assert tuple(zip(WHOLE, expanded, strict=True)) == vector.lines


@pytest.mark.parametrize("vector", VECTORS, ids=["rfc8448", "sha384"])
def test_the_early_secret_of_a_handshake_that_resumes_nothing(vector: Vector) -> None:
    algorithm = hash_of_suite(vector.cipher)
    assert algorithm
    assert early_secret_without_psk(algorithm) == vector.kept["early_secret"]


def test_hashes_of_suites() -> None:
    suites = {cipher: hash_of_suite(cipher) for cipher in range(0x1300, 0x1307)}
    assert {cipher for cipher, algorithm in suites.items() if algorithm == "sha384"} == {0x1302}
    assert {cipher for cipher, algorithm in suites.items() if algorithm == "sha256"} == {0x1301, 0x1303, 0x1304, 0x1305}
    assert hash_of_suite(0) is None
    assert HASH_SIZES == {"sha256": 32, "sha384": 48}
