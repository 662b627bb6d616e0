# SPDX-License-Identifier: Apache-2.0
"""Versions and suites as text."""

from __future__ import annotations

import ssl

import pytest

from plaintap.outputs.suites import suite_name, version_name


@pytest.mark.parametrize(
    ("version", "name"),
    [(0x0304, "TLS 1.3"), (0x0303, "TLS 1.2"), (0xFEFD, "DTLS 1.2"), (0x7F1C, "TLS 0x7f1c"), (0, "")],
)
def test_versions(version: int, name: str) -> None:
    assert version_name(version) == name


@pytest.mark.parametrize(
    ("cipher", "name"),
    [
        (0x1302, "TLS_AES_256_GCM_SHA384"),
        (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        (0x4242, "suite 0x4242"),
        (0, ""),
    ],
)
def test_suites(cipher: int, name: str) -> None:
    assert suite_name(cipher) == name


def test_the_numbers_are_those_this_pythons_openssl_has() -> None:
    """An independent table: cipher, key exchange and hash of each suite both know agree with the name."""
    both = 0
    for theirs in ssl.create_default_context().get_ciphers():
        name = suite_name(theirs["id"] & 0xFFFF)
        if name.startswith("suite "):
            continue
        both += 1
        openssl = str(theirs["name"])
        for word in ("ECDSA", "CHACHA20", "GCM", "SHA384", "AES_256" if "TLS_" in openssl else "AES256"):
            assert (word in openssl) == (word.replace("AES256", "AES_256") in name), (openssl, name)
    assert both >= 10
