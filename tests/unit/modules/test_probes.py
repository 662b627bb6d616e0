# SPDX-License-Identifier: Apache-2.0
"""Layouts as the kernel takes them: every field at its place, the secrets as one block."""

from __future__ import annotations

from plaintap.modules.probes import NO_LAYOUT, layout_bytes
from plaintap.runtime.kernel_layout import LAYOUT, NO_FIELD
from plaintap.targets.layouts.model import KnownLayout, Layout, Origin


def fields(layout: Layout) -> list[int]:
    return list(LAYOUT.unpack(layout_bytes(KnownLayout(layout=layout, origin=Origin.TABLE, label="1"))))


def test_no_layout_is_said_by_zeroes() -> None:
    assert layout_bytes(None) == NO_LAYOUT
    assert not any(NO_LAYOUT)


def test_missing_fields_are_missing() -> None:
    known, has_type, *offsets = fields(Layout(version=0, has_type=True))
    assert (known, has_type) == (1, 1)
    assert offsets[0] == 0
    assert set(offsets[1:]) == {NO_FIELD}


def test_secrets_are_a_block() -> None:
    layout = Layout(
        client_random=0x160,
        early_secret=0x544,
        handshake_secret=0x584,
        master_secret=0x5C4,
        client_traffic_secret=0x744,
        server_traffic_secret=0x784,
        exporter_secret=0x7C4,
    )
    offsets = fields(layout)[2:]
    assert offsets[5] == 0x160
    start, length, client, server, exporter = offsets[-6:-1]
    assert (start, length) == (0x544, 0x7C4 + 64 - 0x544)
    assert (client, server, exporter) == (0x200, 0x240, 0x280)
