# SPDX-License-Identifier: Apache-2.0
"""Layouts of OpenSSL by version, x86-64. Holds numbers only; which one a version gets is lookup.py's business.

Measured means: that build shook hands with itself, with TLS 1.2 and (from 1.1.1) with both SHA-256 and SHA-384 suites
of TLS 1.3, at both ends, and every field was where its value is known: from the library's own functions, its key log
callback, and for the rest by RFC 8446, 7.1 (a handshake secret and a transcript hash are right when they derive the
logged secrets). Programs with the library inside were measured too, by running the same inside them. Builds with other
options than the usual can differ: what 1.0.2 shows, calibration tells.

`alpn` came later: calibration found it in 1.0.2n (psycopg2-binary 2.7.4), 1.1.0i, 1.1.1r, 1.1.1w, 3.0.8, 3.0.22, 3.1.4,
3.2.2, 3.3.2, 3.4.1, 3.5.2, 3.5.8 and 4.0.1, and Node's 1.1.1n, 1.1.1v+quic, 3.0.13+quic, 3.0.16, 3.0.19 and 3.5.8 were
seen to have what they agreed on there. Rows have it where their layout is one of these, and none where nobody looked.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from plaintap.targets.layouts.model import Layout, LayoutRow

# Those of the fields that lie in SSL itself; the others lie in what its pointers lead to.
_SSL_FIELDS: Final = (
    *("references", "version", "rbio", "wbio", "server", "s3", "client_random", "alpn"),
    *("early_secret", "handshake_secret", "master_secret", "server_finished_hash", "handshake_traffic_hash"),
    *("client_traffic_secret", "server_traffic_secret", "exporter_secret", "session"),
)


def _moved(layout: Layout, size_bytes: int, *, beyond: int) -> Layout:
    """What lies in SSL at this offset or beyond moves by so many bytes, as when a field is put in before."""
    before = {name: getattr(layout, name) for name in _SSL_FIELDS}
    if layout.s3 is not None:
        del before["client_random"], before["alpn"]
    after = {name: at + size_bytes for name, at in before.items() if at is not None and at >= beyond}
    return structs.replace(layout, **after)


# A build with Kerberos, as in old wheels, has the principal's name before the cipher (256 bytes) and a pointer before
# the reference count: both differ from build to build of one version, and TLS 1.2 needs neither.
_1_0_2: Final = Layout(
    version=0,
    server=56,
    session=304,
    s3=128,
    client_random=196,
    alpn=1200,
    rbio=16,
    wbio=24,
    bio_method=0,
    bio_num=40,
    master_key=20,
    cipher_id=16,
)
_1_1_0: Final = Layout(
    version=0,
    server=56,
    references=480,
    session=376,
    s3=144,
    client_random=176,
    alpn=976,
    rbio=16,
    wbio=24,
    bio_method=0,
    bio_num=40,
    master_key=8,
    session_cipher=216,
    cipher_id=16,
)
_1_1_1: Final = Layout(
    version=0,
    server=56,
    references=1488,
    session=1296,
    s3=168,
    client_random=184,
    rbio=16,
    wbio=24,
    bio_method=0,
    bio_num=48,
    master_key=80,
    session_cipher=504,
    cipher_id=24,
    early_secret=308,
    handshake_secret=372,
    master_secret=436,
    server_finished_hash=692,
    handshake_traffic_hash=756,
    client_traffic_secret=820,
    server_traffic_secret=884,
    exporter_secret=948,
)
_1_1_1B: Final = _moved(_1_1_1, -8, beyond=1296)
_1_1_1D: Final = _moved(_1_1_1B, 8, beyond=308)
_1_1_1J: Final = structs.replace(_1_1_1D, session_cipher=496, alpn=992)

_3_0: Final = Layout(
    version=0,
    server=56,
    references=2528,
    session=2328,
    client_random=352,
    alpn=1160,
    rbio=16,
    wbio=24,
    bio_method=8,
    bio_num=56,
    master_key=80,
    session_cipher=760,
    cipher_id=24,
    early_secret=1348,
    handshake_secret=1412,
    master_secret=1476,
    server_finished_hash=1732,
    handshake_traffic_hash=1796,
    client_traffic_secret=1860,
    server_traffic_secret=1924,
    exporter_secret=1988,
)
# From here on what is shared with QUIC objects comes first: type, context, methods, reference count.
_3_2: Final = Layout(
    has_type=True,
    references=32,
    version=64,
    server=112,
    session=2176,
    client_random=320,
    alpn=1088,
    rbio=72,
    wbio=80,
    bio_method=8,
    bio_num=56,
    master_key=80,
    session_cipher=768,
    cipher_id=24,
    early_secret=1276,
    handshake_secret=1340,
    master_secret=1404,
    server_finished_hash=1660,
    handshake_traffic_hash=1724,
    client_traffic_secret=1788,
    server_traffic_secret=1852,
    exporter_secret=1916,
)
_3_2_3: Final = structs.replace(_3_2, session_cipher=760)
_3_2_4: Final = _moved(_3_2_3, 8, beyond=64)
# 64 bytes between the BIOs and the client random, 48 between that and the protocol, 8 between that and the secrets.
_3_5: Final = _moved(_moved(_moved(_3_2_4, 64, beyond=328), 48, beyond=1160), 8, beyond=1348 + 48)
_3_6: Final = structs.replace(_3_5, alpn=None)

# quictls keeps three more secrets, 64 bytes each, between the server's traffic secret and the exporter's.
_1_1_1_QUIC: Final = _moved(_1_1_1J, 192, beyond=956)
_3_0_QUIC: Final = _moved(_3_0, 192, beyond=1988)


def _published(same: str) -> str:
    return f"offsets others published for these versions; the layout is that measured in {same}"


ROWS: Final[tuple[LayoutRow, ...]] = (
    LayoutRow(
        first="1.0.2a",
        last="1.0.2u",
        layout=_1_0_2,
        measured=("1.0.2q (psycopg2-binary 2.7.7)", "1.0.2s (Node 8.17.0)"),
    ),
    LayoutRow(
        first="1.1.0a",
        last="1.1.0l",
        layout=_1_1_0,
        measured=("1.1.0g (cryptography 2.1.4)", "1.1.0j (cryptography 2.4.2)"),
    ),
    LayoutRow(first="1.1.1", last="1.1.1a", layout=_1_1_1, measured=("1.1.1a (cryptography 2.5)",)),
    LayoutRow(
        first="1.1.1b",
        last="1.1.1c",
        layout=_1_1_1B,
        measured=("1.1.1b (cryptography 2.6.1, Node 11.14.0)", "1.1.1c (cryptography 2.7)"),
    ),
    LayoutRow(
        first="1.1.1d",
        last="1.1.1i",
        layout=_1_1_1D,
        measured=("1.1.1d (cryptography 2.8)", "1.1.1g (psycopg2-binary 2.8.6)", "1.1.1i (cryptography 3.3.2)"),
    ),
    LayoutRow(
        first="1.1.1j",
        last="1.1.1w",
        layout=_1_1_1J,
        measured=("1.1.1n (Node 12.22.12)", "1.1.1r (psycopg2-binary 2.9.5)", "1.1.1w (Debian 11)"),
    ),
    LayoutRow(
        first="1.1.1k+quic",
        last="1.1.1v+quic",
        layout=_1_1_1_QUIC,
        measured=("1.1.1k+quic (Node 16.0.0)", "1.1.1v+quic (Node 16.20.2)"),
    ),
    # Other tables have 3.0.12 apart, with its session 32 bytes further; two builds of it have not.
    LayoutRow(
        first="3.0.0",
        last="3.0.22",
        layout=_3_0,
        measured=(
            "3.0.8 (cryptography 39.0.2)",
            "3.0.12 (mysql-connector-python 8.3.0)",
            "3.0.16 (Node 18.20.8)",
            "3.0.19 (Node 20.20.2)",
            "3.0.22 (Debian 12)",
        ),
    ),
    LayoutRow(
        first="3.0.0+quic",
        last="3.0.13+quic",
        layout=_3_0_QUIC,
        measured=("3.0.0+quic (Node 17.0.0)", "3.0.12+quic (Node 18.19.0)", "3.0.13+quic (Node 18.19.1)"),
    ),
    LayoutRow(first="3.1.0", last="3.1.8", layout=_3_0, measured=("3.1.4 (cryptography 41.0.7)",)),
    LayoutRow(
        first="3.2.0",
        last="3.2.2",
        layout=_3_2,
        measured=("3.2.0 (cryptography 42.0.0)", "3.2.2 (cryptography 42.0.8)"),
    ),
    LayoutRow(first="3.2.3", last="3.2.3", layout=_3_2_3, otherwise=_published("3.3.2")),
    LayoutRow(first="3.2.4", last="3.2.6", layout=_3_2_4, otherwise=_published("3.4.1")),
    LayoutRow(first="3.3.0", last="3.3.1", layout=_3_2, measured=("3.3.1 (cryptography 43.0.0)",)),
    LayoutRow(first="3.3.2", last="3.3.2", layout=_3_2_3, measured=("3.3.2 (cryptography 43.0.3)",)),
    LayoutRow(first="3.3.3", last="3.3.7", layout=_3_2_4, otherwise=_published("3.4.1")),
    LayoutRow(first="3.4.0", last="3.4.0", layout=_3_2_3, measured=("3.4.0 (cryptography 44.0.0)",)),
    LayoutRow(first="3.4.1", last="3.4.6", layout=_3_2_4, measured=("3.4.1 (cryptography 44.0.1)",)),
    LayoutRow(
        first="3.5.0",
        last="3.5.8",
        layout=_3_5,
        measured=(
            "3.5.2 (cryptography 45.0.7)",
            "3.5.6 (cryptography 46.0.7)",
            "3.5.7 (Debian 13)",
            "3.5.8 (psycopg2-binary 2.9.13, Node 22.23.3)",
        ),
    ),
    LayoutRow(first="3.6.0", last="3.6.5", layout=_3_6, measured=("3.6.5 (Debian sid)",)),
    LayoutRow(
        first="4.0.0",
        last="4.0.3",
        layout=_3_5,
        measured=("4.0.0 (cryptography 47.0.0)", "4.0.1 (cryptography 48.0.1)", "4.0.3 (cryptography 50.0.2)"),
    ),
)
"""In the order of versions; flavours such as +quic stand behind the plain ones they come from."""
