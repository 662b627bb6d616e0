# SPDX-License-Identifier: Apache-2.0
"""Which outputs a capture has, by --format, --eventaddr and --logaddr, and what each is given. Opens nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from plaintap.config import CommonConfig
from plaintap.errors import UsageError
from plaintap.outputs.opened import Delivery
from plaintap.outputs.registry import STANDARD_OUTPUT, FormatChoice, checked, parse_formats
from plaintap.outputs.sinks.address import is_peer
from plaintap.outputs.sinks.reaching import Trust
from plaintap.outputs.sinks.rotating import Rotation


class Route(NamedTuple):
    """One output: its form and place, and what goes there."""

    choice: FormatChoice
    events: bool
    logs: bool


def routes_of(common: CommonConfig) -> tuple[Route, ...]:
    """Where --format leaves the place open the addresses stand, else standard output; logs follow. UsageError."""
    choices = parse_formats(common.format)
    if not (common.eventaddr or common.logaddr):
        return tuple(Route(choice, events=True, logs=False) for choice in choices)
    with_file = [Route(choice, events=True, logs=False) for choice in choices if choice.path is not None]
    open_one = next((choice for choice in choices if choice.path is None), None)
    if open_one is None and common.eventaddr:
        raise UsageError(
            f"--eventaddr: {common.format} leaves no form to send there",
            hint="name one without a file: --format json --eventaddr …",
        )
    name = open_one.name if open_one else "text"
    events = common.eventaddr or common.logaddr
    logs = common.logaddr or common.eventaddr
    addressed = [
        Route(
            _choice(name, address, address in common.eventaddr),
            address in events and open_one is not None,
            address in logs,
        )
        for address in dict.fromkeys([*events, *logs])
    ]
    return _no_place_twice([*with_file, *addressed])


def _choice(name: str, address: str, is_events: bool) -> FormatChoice:
    label = "--eventaddr" if is_events else "--logaddr"
    return checked(FormatChoice(name, None if address == STANDARD_OUTPUT else address), label=label)


def _no_place_twice(routes: Sequence[Route]) -> tuple[Route, ...]:
    places: dict[str | None, Route] = {}
    for route in routes:
        path = route.choice.path
        place = path if path is None or is_peer(path) else os.path.realpath(path)
        if place in places:
            raise UsageError(
                f"two outputs would both write {path or 'standard output'}", hint="give each its own place"
            )
        places[place] = route
    return tuple(routes)


def delivery_of(common: CommonConfig) -> Delivery:
    """How sinks hand on what they are given."""
    return Delivery(
        rotation=Rotation(
            size_bytes=common.event_rotate_bytes,
            period_s=common.event_rotate_s,
            keep=common.event_rotate_keep,
            compress=common.event_rotate_zstd,
        ),
        trust=Trust(ca_path=common.sink_ca, anyone=common.sink_insecure),
        flush_timeout_s=common.flush_timeout_s,
    )
