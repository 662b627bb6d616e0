# SPDX-License-Identifier: Apache-2.0
"""A layout is packed as `struct pt_layout` has it, and secrets that lie together become one block."""

from __future__ import annotations

import re

import pytest
from wire_header import INCLUDE, Header

from plaintap.runtime.kernel_layout import (
    BLOCK_MAX_BYTES,
    GO_LAYOUT,
    LAYOUT,
    NO_FIELD,
    SECRET_BYTES,
    pack_go_layout,
    pack_layout,
    secrets_block,
)
from plaintap.targets.layouts.golang import GoLayout
from plaintap.targets.layouts.model import Layout

STRUCT = Header("layout.h").structs["pt_layout"]
OFFSETS = [name for name, field in STRUCT.fields.items() if field.size == 2]
OF_THE_BLOCK = {"secrets", "secrets_length", "client_traffic", "server_traffic", "exporter"}
WATCHED = {"client_traffic_secret": 0x744, "server_traffic_secret": 0x784, "exporter_secret": 0x7C4}


def unpack(raw: bytes) -> dict[str, int]:
    return {
        name: int.from_bytes(raw[field.offset : field.offset + field.size * field.count], "little")
        for name, field in STRUCT.fields.items()
    }


def test_it_is_as_long_as_the_kernel_expects() -> None:
    assert len(pack_layout({}, has_type=False)) == LAYOUT.size == STRUCT.size


def test_every_field_is_where_the_kernel_reads_it() -> None:
    fields = {name: 0x100 + number for number, name in enumerate(OFFSETS)}
    assert unpack(pack_layout(fields, has_type=True)) == {"known": 1, "has_type": 1, **fields}


@pytest.mark.parametrize("name", OFFSETS)
def test_what_a_version_does_not_have_is_no_field(name: str) -> None:
    values = unpack(pack_layout({name: 0}, has_type=False))
    assert (values["known"], values["has_type"], values[name]) == (1, 0, 0)
    assert {values[other] for other in OFFSETS if other != name} == {NO_FIELD}


def test_numbers_are_the_kernels() -> None:
    found = re.search(r"#define PT_NO_FIELD (0x\w+)", (INCLUDE / "layout.h").read_text())
    assert found
    assert int(found[1], 16) == NO_FIELD
    wire = Header("wire.h").constants
    assert (wire["PT_SECRETS_BLOCK"], wire["PT_SECRET_MAX"]) == (BLOCK_MAX_BYTES, SECRET_BYTES)


def test_fields_have_the_names_that_layouts_give_them() -> None:
    """Renamed in one place only, a field would silently not exist."""
    assert set(OFFSETS) - OF_THE_BLOCK <= set(Layout.__struct_fields__)


def test_secrets_are_told_from_the_first_to_the_end_of_the_last() -> None:
    fields, inside = secrets_block({"handshake_secret": 0x600, **WATCHED})
    assert fields == {
        "secrets": 0x600,
        "secrets_length": 0x7C4 + 64 - 0x600,
        "client_traffic": 0x144,
        "server_traffic": 0x184,
        "exporter": 0x1C4,
    }
    assert inside == {
        "handshake_secret": 0,
        "client_traffic_secret": 0x144,
        "server_traffic_secret": 0x184,
        "exporter_secret": 0x1C4,
    }
    assert fields.keys() <= set(OFFSETS)


def test_the_order_they_are_named_in_does_not_matter() -> None:
    assert secrets_block(dict(reversed(WATCHED.items()))) == secrets_block(WATCHED)


@pytest.mark.parametrize("start", [0, 1])
def test_a_block_is_at_most_as_long_as_a_record_has_room(start: int) -> None:
    last = start + BLOCK_MAX_BYTES - SECRET_BYTES
    offsets = {"client_traffic_secret": start, "server_traffic_secret": start + 64, "exporter_secret": last}
    fields, inside = secrets_block(offsets)
    assert (fields["secrets"], fields["secrets_length"], inside["exporter_secret"]) == (start, 1024, 960)
    assert secrets_block(offsets | {"exporter_secret": last + 1}) == ({}, {})


@pytest.mark.parametrize("missing", [{name} for name in WATCHED] + [set(WATCHED)])
def test_without_what_tells_that_they_are_there_no_block(missing: set[str]) -> None:
    offsets = {"early_secret": 0x600, **WATCHED}
    assert secrets_block({name: at for name, at in offsets.items() if name not in missing}) == ({}, {})


def test_no_secrets_no_block() -> None:
    assert secrets_block({}) == ({}, {})


def test_a_layout_of_go_is_as_the_kernel_reads_it() -> None:
    struct = Header("wire.h", "socket.h", "golang.h").structs["pt_go_layout"]
    values = {name: 0x100 + number for number, name in enumerate(struct.fields)}
    packed = pack_go_layout({**values, "g_tls_offset": -8})
    assert len(packed) == GO_LAYOUT.size == struct.size
    read = {
        name: int.from_bytes(packed[field.offset : field.offset + field.size], "little", signed=name == "g_tls_offset")
        for name, field in struct.fields.items()
    }
    assert read == {**values, "g_tls_offset": -8}


def test_every_field_of_go_has_its_place_in_the_file() -> None:
    fields = set(Header("wire.h", "socket.h", "golang.h").structs["pt_go_layout"].fields)
    assert fields == set(GoLayout._fields) - {"version"}
