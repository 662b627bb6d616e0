# SPDX-License-Identifier: Apache-2.0
"""What the kernel is given for a library: the probes of its plan's points, and its layout's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from plaintap.modules.cookies import pack_cookie, pack_go_cookie
from plaintap.runtime.kernel import Probe
from plaintap.runtime.kernel_layout import LAYOUT, pack_go_layout, pack_layout, secrets_block

if TYPE_CHECKING:
    from collections.abc import Iterable

    from plaintap.modules.base import Point
    from plaintap.runtime.kernel import Kernel
    from plaintap.targets.layouts.golang import GoLayout
    from plaintap.targets.layouts.model import KnownLayout, Layout

NO_LAYOUT = bytes(LAYOUT.size)
_LEAVES_GO = "pt_go_return"
_SECRETS = (
    "early_secret",
    "handshake_secret",
    "master_secret",
    "server_finished_hash",
    "handshake_traffic_hash",
    "client_traffic_secret",
    "server_traffic_secret",
    "exporter_secret",
    "client_handshake_traffic_secret",
    "server_handshake_traffic_secret",
    "client_early_traffic_secret",
)


def probes_of(points: Iterable[Point], *, library: int, kernel: Kernel) -> list[Probe]:
    """One for each point whose program this kernel was given."""
    return [
        Probe(point.program, point.offset, _cookie(point, library), returns=point.returns)
        for point in points
        if kernel.has(point.program)
    ]


def _cookie(point: Point, library: int) -> int:
    if point.go is None:
        return pack_cookie(library=library, write=point.write, done_argument=point.done_argument, gnutls=point.gnutls)
    leaves = point.program == _LEAVES_GO
    return pack_go_cookie(point.go, library=library, write=point.write, leaves=leaves)


def go_layout_bytes(layout: GoLayout) -> bytes:
    """For `Kernel.set_go_layout`."""
    return pack_go_layout(layout._asdict())


def layout_bytes(known: KnownLayout | None) -> bytes:
    """For `Kernel.set_layout`; without a layout the ones that say that there is none."""
    return NO_LAYOUT if known is None else _pack(known.layout)


def secret_places(known: KnownLayout | None) -> dict[str, int]:
    """Where each TLS 1.3 secret is in the block of the library's records, in bytes, by name."""
    return {} if known is None else _secrets(known.layout)[1]


def _secrets(layout: Layout) -> tuple[dict[str, int], dict[str, int]]:
    offsets = {name: getattr(layout, name) for name in _SECRETS}
    return secrets_block({name: offset for name, offset in offsets.items() if offset is not None})


def _pack(layout: Layout) -> bytes:
    offsets = {name: value for name, value in msgspec.structs.asdict(layout).items() if type(value) is int}
    return pack_layout(offsets | _secrets(layout)[0], has_type=layout.has_type)
