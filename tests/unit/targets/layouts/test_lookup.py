# SPDX-License-Identifier: Apache-2.0
"""Which layout a version gets, what is said of the ones that get none, and that the tables hang together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec import structs

from plaintap.targets.layouts import boringssl, openssl
from plaintap.targets.layouts.lookup import differences, find_layout, known_versions, nearest_names
from plaintap.targets.layouts.model import Family, Layout, LayoutRow, Origin
from plaintap.targets.layouts.releases import parse_release

SECRETS = (
    *("early_secret", "handshake_secret", "master_secret", "server_finished_hash", "handshake_traffic_hash"),
    *("client_traffic_secret", "server_traffic_secret", "exporter_secret"),
)


def layout_of(version: str) -> Layout:
    known = find_layout(version)
    assert known is not None, version
    assert known.origin is Origin.TABLE
    return known.layout


@pytest.mark.parametrize(
    ("version", "label"),
    [
        ("1.0.2a", "1.0.2a-1.0.2u"),
        ("1.0.2u", "1.0.2a-1.0.2u"),
        ("1.0.2k-fips", "1.0.2a-1.0.2u"),
        ("1.1.0l", "1.1.0a-1.1.0l"),
        ("1.1.1", "1.1.1-1.1.1a"),
        ("1.1.1b", "1.1.1b-1.1.1c"),
        ("1.1.1i", "1.1.1d-1.1.1i"),
        ("1.1.1j", "1.1.1j-1.1.1w"),
        ("1.1.1w", "1.1.1j-1.1.1w"),
        ("1.1.1v+quic", "1.1.1k+quic-1.1.1v+quic"),
        ("3.0.13+quic", "3.0.0+quic-3.0.13+quic"),
        ("3.0.0", "3.0.0-3.0.22"),
        ("3.0.12", "3.0.0-3.0.22"),
        ("3.0.22", "3.0.0-3.0.22"),
        ("3.1.4", "3.1.0-3.1.8"),
        ("3.2.3", "3.2.3"),
        ("3.3.7", "3.3.3-3.3.7"),
        ("3.4.0", "3.4.0"),
        ("3.5.8", "3.5.0-3.5.8"),
        ("3.6.5", "3.6.0-3.6.5"),
        ("4.0.3", "4.0.0-4.0.3"),
        ("openssl 1.1.1f", "1.1.1d-1.1.1i"),
        ("BoringSSL", "BoringSSL"),
        ("boringssl_a_13", "BoringSSL"),
        ("AWS-LC 1.30.1", "AWS-LC 1.29.0-1.49.0"),
        ("GnuTLS 3.6.12", "GnuTLS 3.6.12"),
        ("GnuTLS 3.7.9", "GnuTLS 3.7.7-3.7.11"),
        ("gnutls 3.8.9", "GnuTLS 3.8.7-3.8.9"),
    ],
)
def test_in_the_tables(version: str, label: str) -> None:
    known = find_layout(version)
    assert known is not None
    assert (known.origin, known.label) == (Origin.TABLE, label)
    assert known.source


@pytest.mark.parametrize(
    ("version", "label"),
    [
        ("1.0.2zh", "1.0.2a-1.0.2u"),
        ("1.1.1za", "1.1.1j-1.1.1w"),
        ("1.1.1w+quic", "1.1.1k+quic-1.1.1v+quic"),
        ("3.0.23", "3.0.0-3.0.22"),
        ("3.2.7", "3.2.4-3.2.6"),
        ("3.4.9", "3.4.1-3.4.6"),
        ("3.0.14+quic", "3.0.0+quic-3.0.13+quic"),
        ("3.5.2-dev", "3.5.0-3.5.8"),
        ("3.4.1-dev", "3.4.0"),
        ("3.0.7+vendor", "3.0.0-3.0.22"),
        ("AWS-LC 1.49.2", "AWS-LC 1.29.0-1.49.0"),
    ],
)
def test_unknown_patch_gets_the_nearest_lower_one(version: str, label: str) -> None:
    known = find_layout(version)
    assert known is not None
    assert (known.origin, known.label) == (Origin.NEAREST, label)


@pytest.mark.parametrize(
    "version",
    [
        *("1.0.1e", "1.0.2", "1.1.0", "1.1.1i+quic", "3.1.5+quic", "3.7.0", "3.5.0-beta1", "4.1.0", "5.0.0"),
        *("AWS-LC 1.19.0", "AWS-LC 1.27.0", "AWS-LC 9.0.0", "AWS-LC", "LibreSSL 3.8.2", "", "3.0", "garbage"),
    ],
)
def test_nothing_lower_in_the_same_minor_version_is_nothing(version: str) -> None:
    assert find_layout(version) is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("3.7.1", ["3.6.5", "4.0.0"]),
        ("1.0.1e", ["1.0.2a"]),
        ("9.0.0", ["4.0.3"]),
        ("3.1.5+quic", ["3.0.13+quic"]),
        ("AWS-LC 1.27.0", ["AWS-LC 1.26.0", "AWS-LC 1.29.0"]),
        ("3.0", ["3.0.22", "3.0.21", "3.0.20"]),
        ("boring", ["BoringSSL"]),
        ("openssl 1.1.lw", ["1.1.1w"]),
        ("", []),
        ("completely different", []),
    ],
)
def test_nearest_names(text: str, names: list[str]) -> None:
    assert nearest_names(text)[: max(len(names), 1)] == names
    assert len(nearest_names(text)) <= 3


def test_every_name_that_is_offered_has_a_layout() -> None:
    for text in ("3.7.1", "3.0", "1.1.l", "2.0.0", "boring", "aws-lc 1.50.0", "1.1.1z+quic"):
        for name in nearest_names(text):
            layout_of(name)


def test_rows_are_in_order_and_do_not_overlap() -> None:
    for rows in (openssl.ROWS, boringssl.AWS_LC_ROWS):
        for flavour in ("", "quic"):
            ends = [
                (release.order, row)
                for row in rows
                for release in (parse_release(row.first), parse_release(row.last))
                if release is not None and release.flavour == flavour
            ]
            orders = [order for order, _ in ends]
            assert orders == sorted(orders)
            for (before, one), (after, other) in pairwise(ends):
                assert before < after or one is other


def test_each_row_stays_in_one_minor_version() -> None:
    for row in openssl.ROWS:
        first, last = parse_release(row.first), parse_release(row.last)
        assert first is not None
        assert last is not None
        assert first.series == last.series, row.label


def test_each_row_says_how_it_is_known() -> None:
    for row in known_versions():
        assert bool(row.measured) is not bool(row.otherwise), row.label
    versions = " ".join(row.label for row in known_versions())
    for minor in "1.0.2 1.1.0 1.1.1 3.0 3.1 3.2 3.3 3.4 3.5 3.6 4.0 BoringSSL AWS-LC +quic".split():
        assert minor in versions


@pytest.mark.parametrize("row", [row for row in openssl.ROWS if row.layout.exporter_secret], ids=lambda row: row.label)
def test_secrets_are_where_the_struct_order_puts_them(row: LayoutRow) -> None:
    """64 bytes each (ssl_local.h): early, handshake, master, resumption, client finished, server finished, the hash of
    that, the handshake's hash, the application traffic secrets; quictls has three more before the exporter's.
    """
    offsets = {name: getattr(row.layout, name) for name in SECRETS}
    steps = [offsets[name] - offsets["early_secret"] for name in SECRETS]
    assert steps[:-1] == [0, 64, 128, 384, 448, 512, 576]
    quic = "+quic" in row.label
    assert steps[-1] == 640 + 192 * quic
    # One read of the programs takes them all.
    assert steps[-1] + 64 <= 1024


@pytest.mark.parametrize("row", known_versions(), ids=lambda row: row.label)
def test_offsets_are_aligned_and_do_not_collide(row: LayoutRow) -> None:
    layout = row.layout
    in_ssl = {"rbio": 8, "wbio": 8, "session": 8, "s3": 8, "references": 4, "server": 4, "version": 2}
    spans = []
    for name, size in in_ssl.items():
        offset = getattr(layout, name)
        elsewhere = name == "version" and layout.version_in is not None
        if offset is not None and not elsewhere:
            assert offset % size == 0, name
            spans.append((offset, size))
    assert layout.client_random is not None
    if layout.s3 is None:
        spans.append((layout.client_random, 32))
    spans += [(getattr(layout, name), 64) for name in SECRETS if getattr(layout, name) is not None]
    spans.sort()
    for (offset, size), (following, _) in pairwise(spans):
        assert offset + size <= following


def test_offsets_of_versions_people_have() -> None:
    """The bases as measured, and the ones that others are moved from, written out."""
    debian = layout_of("3.0.22")
    assert (debian.client_random, debian.session, debian.references) == (0x160, 0x918, 2528)
    assert (debian.client_traffic_secret, debian.server_traffic_secret, debian.exporter_secret) == (0x744, 0x784, 0x7C4)
    assert (debian.master_secret, debian.server_finished_hash) == (1476, 1732)
    assert structs.replace(layout_of("3.0.13+quic"), session=2328, references=2528, exporter_secret=1988) == debian
    old = layout_of("1.1.1c")
    assert (old.session, old.references, old.early_secret, old.exporter_secret) == (1288, 1480, 308, 948)
    old = layout_of("1.1.1w")
    assert (old.s3, old.client_random, old.session, old.references) == (168, 184, 1296, 1488)
    assert (old.session_cipher, old.early_secret, old.exporter_secret) == (496, 316, 956)
    quic = layout_of("1.1.1v+quic")
    assert (quic.session, quic.references, quic.exporter_secret, quic.server_traffic_secret) == (1488, 1680, 1148, 892)
    middle = layout_of("3.4.1")
    assert (middle.version, middle.rbio, middle.wbio, middle.server, middle.references) == (72, 80, 88, 120, 32)
    assert (middle.client_random, middle.early_secret, middle.session) == (328, 1284, 2184)
    new = layout_of("3.5.8")
    assert (new.version, new.rbio, new.wbio, new.server, new.references) == (72, 80, 88, 120, 32)
    assert (new.client_random, new.early_secret, new.exporter_secret, new.session) == (392, 1404, 2044, 2304)
    assert new == layout_of("4.0.3")
    assert structs.replace(new, alpn=None) == layout_of("3.6.5")
    assert (debian.alpn, old.alpn, middle.alpn, new.alpn) == (1160, 992, 1096, 1208)


def test_the_type_comes_with_3_2() -> None:
    for row in openssl.ROWS:
        assert row.layout.has_type is (row.first >= "3.2")


def test_gnutls_has_all_in_one_struct() -> None:
    debian = layout_of("GnuTLS 3.7.9")
    assert debian == layout_of("GnuTLS 3.8.0")
    assert (debian.family, debian.session, debian.s3, debian.server) == (Family.GNUTLS, None, None, 0)
    assert (debian.version_in, debian.session_cipher, debian.master_key, debian.client_random) == (248, 16, 32, 80)
    assert (debian.client_handshake_traffic_secret, debian.server_handshake_traffic_secret) == (0x1794, 0x17D4)
    assert (debian.client_traffic_secret, debian.server_traffic_secret, debian.exporter_secret) == (
        *(0x1814, 0x1854),
        0x1894,
    )
    assert find_layout("3.7.9") is None  # that would be OpenSSL's


def test_boringssl_has_no_descriptor_that_could_be_wrong() -> None:
    layout = layout_of("BoringSSL")
    assert (layout.family, layout.s3, layout.client_random) == (Family.BORINGSSL, 48, 48)
    assert (layout.rbio, layout.wbio, layout.bio_num, layout.exporter_secret) == (24, 32, None, None)
    newer = layout_of("AWS-LC 1.60.0")
    assert (newer.s3, newer.rbio, newer.wbio, newer.bio_num) == (56, 32, 40, 56)


def test_differences() -> None:
    expected = Layout(session=2328, rbio=16, s3=None, has_type=False)
    assert differences(expected, expected) == {}
    assert differences(expected, Layout(session=2360, rbio=None, s3=48)) == {"session": (2328, 2360)}
