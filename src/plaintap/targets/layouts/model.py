# SPDX-License-Identifier: Apache-2.0
"""What a layout is: where the fields that plaintap reads lie in a library's structs, in bytes.

Holds no numbers of any library; those are tables beside this file, or found by calibration.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Origin(Enum):
    """How a layout came to be known."""

    TABLE = "table"
    """Of exactly this version."""
    NEAREST = "nearest"
    """Of the nearest lower version of the same minor version: a guess that is said."""
    CALIBRATION = "calibration"
    """Found in this very library by a handshake with known secrets."""


class Family(Enum):
    """Which structs."""

    OPENSSL = "openssl"
    BORINGSSL = "boringssl"
    GNUTLS = "gnutls"


class Layout(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Offsets in bytes from the start of the struct named; a field that the version does not have is None.

    SSL stands for the object the program holds; from OpenSSL 3.2 on it is the SSL_CONNECTION, unless its first int,
    the type, is not 0 (a QUIC object, of which nothing here is true).
    """

    family: Family = Family.OPENSSL
    has_type: bool = False
    """SSL begins with its type (OpenSSL 3.2 and later)."""
    version_in: int | None = None
    """SSL: pointer to what has the version, where SSL has not; version and suite are the two bytes of the wire then."""
    version: int | None = None
    """SSL: int, the protocol version as on the wire; BoringSSL's has 16 bits."""
    server: int | None = None
    """SSL: int, odd at the server's end."""
    references: int | None = None
    """SSL: int, the reference count."""
    session: int | None = None
    """SSL: pointer to the SSL_SESSION; GnuTLS has what is in that in its one struct."""
    s3: int | None = None
    """SSL: pointer to the SSL3_STATE where that is a struct of its own and holds the client random (1.x, BoringSSL)."""
    client_random: int | None = None
    """32 bytes in what `s3` points to, or in SSL where that is None."""
    alpn: int | None = None
    """Beside the client random: pointer to the protocol agreed on (ALPN), right behind it its length in bytes."""
    rbio: int | None = None
    """SSL: pointer to the BIO that is read."""
    wbio: int | None = None
    """SSL: pointer to the BIO that is written."""
    bio_method: int | None = None
    """BIO: pointer to the BIO_METHOD, whose first int is the type."""
    bio_num: int | None = None
    """BIO: int, the file descriptor of a socket BIO."""
    master_key: int | None = None
    """SSL_SESSION: 48 bytes, the TLS 1.2 master secret."""
    session_cipher: int | None = None
    """SSL_SESSION: pointer to the SSL_CIPHER."""
    cipher_id: int | None = None
    """SSL_CIPHER: 32 bits, 0x0300xxxx with the suite's number on the wire."""
    early_secret: int | None = None
    """SSL: 64 bytes, as are the secrets and hashes below (TLS 1.3)."""
    handshake_secret: int | None = None
    master_secret: int | None = None
    server_finished_hash: int | None = None
    """SSL: transcript hash up to the server's Finished."""
    handshake_traffic_hash: int | None = None
    """SSL: transcript hash up to the ServerHello."""
    client_traffic_secret: int | None = None
    server_traffic_secret: int | None = None
    exporter_secret: int | None = None
    client_handshake_traffic_secret: int | None = None
    """SSL: these three where they are kept themselves (GnuTLS)."""
    server_handshake_traffic_secret: int | None = None
    client_early_traffic_secret: int | None = None


class LayoutRow(Struct, frozen=True, kw_only=True):
    """A row of a table: versions that share one layout, the first and the last included."""

    first: str
    last: str
    layout: Layout
    measured: tuple[str, ...] = ()
    """In which builds every field was found at its place, as `3.0.8 (cryptography 39.0.2)`."""
    otherwise: str = ""
    """How the numbers were established where nothing was measured."""

    @property
    def label(self) -> str:
        """`3.0.0-3.0.22`, `AWS-LC 1.20.0-1.26.0`."""
        return self.first if self.first == self.last else f"{self.first}-{self.last.rpartition(' ')[2]}"

    @property
    def source(self) -> str:
        """In a few words."""
        return f"measured in {', '.join(self.measured)}" if self.measured else f"from source only: {self.otherwise}"


class KnownLayout(Struct, frozen=True, kw_only=True):
    """A layout for one library, and why it is believed."""

    layout: Layout
    origin: Origin
    label: str
    """For people: `3.0.13-3.0.22`, `calibrated`."""
    source: str = ""
    """How the numbers were established, for `plaintap layouts`."""
