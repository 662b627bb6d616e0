# SPDX-License-Identifier: Apache-2.0
"""Layouts of GnuTLS, x86-64: of the session struct alone, in which everything is. Holds numbers only."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from plaintap.targets.layouts.model import Family, Layout, LayoutRow

# What comes first in the session is the same in all of them: of security_parameters_st the entity, the suite, the
# master secret, the client random and the version. In the entries of the tables of versions and of suites the two bytes
# of the wire lie behind a name and what is GnuTLS's own.
_COMMON: Final = Layout(
    family=Family.GNUTLS,
    version_in=0xF8,
    version=0x10,
    server=0,
    client_random=0x50,
    master_key=0x20,
    session_cipher=0x10,
    cipher_id=8,
)
_SECRET_BYTES: Final = 64  # MAX_HASH_SIZE
_SECRETS: Final = (
    "client_early_traffic_secret",
    "client_handshake_traffic_secret",
    "server_handshake_traffic_secret",
    "client_traffic_secret",
    "server_traffic_secret",
    "exporter_secret",
)
"""In the order of tls13_key_schedule, each right behind the other."""


def _row(first: str, last: str, *, secrets: int, measured: tuple[str, ...] = ()) -> LayoutRow:
    places = {name: secrets + number * _SECRET_BYTES for number, name in enumerate(_SECRETS)}
    return LayoutRow(
        first=f"GnuTLS {first}",
        last=f"GnuTLS {last}",
        layout=structs.replace(_COMMON, **places),
        measured=measured,
        otherwise="" if measured else "computed by others from the headers, the same in eCapture 2.5.1",
    )


ROWS: Final[tuple[LayoutRow, ...]] = (
    _row("3.6.12", "3.6.12", secrets=5268),
    _row("3.6.13", "3.6.16", secrets=6052),
    _row("3.7.0", "3.7.2", secrets=6084),
    _row("3.7.3", "3.7.6", secrets=6092),
    _row("3.7.7", "3.7.11", secrets=5972, measured=("3.7.9 (Debian 12)",)),
    _row("3.8.0", "3.8.3", secrets=5972),
    _row("3.8.4", "3.8.6", secrets=6044),
    _row("3.8.7", "3.8.9", secrets=6548),
)
"""In the order of versions."""
