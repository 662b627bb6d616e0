# SPDX-License-Identifier: Apache-2.0
"""Version texts taken apart, and their order."""

from __future__ import annotations

import pytest

from plaintap.targets.layouts.releases import Release, parse_release


def release(text: str) -> Release:
    found = parse_release(text)
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "numbers", "letter", "flavour", "final", "plain"),
    [
        ("3.0.16", (3, 0, 16), "", "", True, True),
        ("1.1.1w", (1, 1, 1), "w", "", True, True),
        ("1.1.1v+quic", (1, 1, 1), "v", "quic", True, True),
        ("3.1.5+quic1", (3, 1, 5), "", "quic", True, True),
        ("1.0.2k-fips", (1, 0, 2), "k", "", True, True),
        ("1.1.1k FIPS", (1, 1, 1), "k", "", True, True),
        ("1.0.2zh", (1, 0, 2), "zh", "", True, True),
        ("3.6.0-dev", (3, 6, 0), "", "", False, True),
        ("3.0.0-alpha17", (3, 0, 0), "", "", False, True),
        ("1.1.1-pre9", (1, 1, 1), "", "", False, True),
        ("3.2.0-beta1", (3, 2, 0), "", "", False, True),
        ("3.0.7+vendor.2", (3, 0, 7), "", "", True, False),
        ("openssl 1.1.1K", (1, 1, 1), "k", "", True, True),
        ("OpenSSL-3.0.2", (3, 0, 2), "", "", True, True),
        (" 4.0.3 ", (4, 0, 3), "", "", True, True),
    ],
)
def test_openssl(text: str, numbers: tuple[int, ...], letter: str, flavour: str, final: bool, plain: bool) -> None:
    assert release(text) == ("OpenSSL", flavour, numbers, letter, final, plain)


def test_aws_lc() -> None:
    assert release("AWS-LC 1.30.1") == ("AWS-LC", "", (1, 30, 1), "", True, True)
    assert release("awslc 1.30.1").family == "AWS-LC"


@pytest.mark.parametrize(
    "text", ["", "3.0", "BoringSSL", "LibreSSL 3.8.2", "3.0.2.1", "x3.0.2", "3.0.2 and 3.0.3", "\u0663.0.2", "333.0.2"]
)
def test_none(text: str) -> None:
    assert parse_release(text) is None


def test_order() -> None:
    texts = (
        "1.0.2 1.0.2a 1.0.2z 1.0.2za 1.1.1-pre9 1.1.1 1.1.1a 3.0.0-beta1 3.0.0 3.0.9 3.0.10-dev 3.0.10 3.10.0".split()
    )
    orders = [release(text).order for text in texts]
    assert orders == sorted(orders)
    assert len(set(orders)) == len(orders)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3.0.1", "3.0.22", True),
        ("3.0.1", "3.1.0", False),
        ("1.1.1", "1.1.1w", True),
        ("1.1.0l", "1.1.1", False),
        ("3.0.1", "3.0.1+quic", False),
        ("AWS-LC 1.30.0", "AWS-LC 1.30.1", True),
        ("AWS-LC 3.0.1", "3.0.1", False),
    ],
)
def test_series(one: str, other: str, same: bool) -> None:
    assert (release(one).series == release(other).series) is same
