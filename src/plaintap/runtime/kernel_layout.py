# SPDX-License-Identifier: Apache-2.0
"""A layout as the programs take it: `struct pt_layout` of bpf/include/layout.h, `struct pt_go_layout` of golang.h.

Of the TLS 1.3 secrets the programs know only the block that holds them all; where each is in it is for who reads the
records.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LAYOUT = struct.Struct("<BB 20H")
GO_LAYOUT = struct.Struct("<QQ7Hh")
NO_FIELD = 0xFFFF
BLOCK_MAX_BYTES = 1024
SECRET_BYTES = 64


def pack_layout(fields: Mapping[str, int], *, has_type: bool) -> bytes:
    """The bytes for fields by the names of the struct; a field that is missing does not exist."""
    return LAYOUT.pack(1, has_type, *(fields.get(name, NO_FIELD) for name in _FIELDS))


def pack_go_layout(fields: Mapping[str, int]) -> bytes:
    """The bytes for fields by the names of the struct."""
    return GO_LAYOUT.pack(*(fields[name] for name in _GO_FIELDS))


def secrets_block(offsets: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """The block that holds the secrets at these offsets of SSL: its fields in the struct, and each secret in it.

    Both are empty when there are none, or they lie too far apart to be one library's.
    """
    if not offsets:
        return {}, {}
    start = min(offsets.values())
    length = max(offsets.values()) + SECRET_BYTES - start
    if length > BLOCK_MAX_BYTES:
        return {}, {}
    inside = {name: offset - start for name, offset in offsets.items()}
    watched = ("client_traffic_secret", "server_traffic_secret", "exporter_secret")
    if any(name not in inside for name in watched):
        return {}, {}
    client, server, exporter = (inside[name] for name in watched)
    fields = {"secrets": start, "secrets_length": length}
    fields |= {"client_traffic": client, "server_traffic": server, "exporter": exporter}
    return fields, inside


_GO_FIELDS = (
    "type_tcp",
    "type_unix",
    "conn",
    "tcp_fd",
    "sysfd",
    "vers",
    "cipher_suite",
    "client_protocol",
    "server_name",
    "g_tls_offset",
)
_FIELDS = (
    "version",
    "references",
    "version_in",
    "server",
    "s3",
    "client_random",
    "rbio",
    "wbio",
    "bio_method",
    "bio_num",
    "session",
    "master_key",
    "session_cipher",
    "cipher_id",
    "secrets",
    "secrets_length",
    "client_traffic",
    "server_traffic",
    "exporter",
    "alpn",
)
