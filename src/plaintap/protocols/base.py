# SPDX-License-Identifier: Apache-2.0
"""What a protocol is in the registry: how it is recognised and made; no protocol lives here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from plaintap.parsing import Outlet, Parser
from plaintap.protocols.options import ParserOptions


class Fit(Enum):
    """How the first bytes of a direction look to a protocol."""

    NO = 0
    MAYBE = 1
    """Too few bytes to tell."""
    YES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolEntry:
    """A line of the registry."""

    name: str
    fit: Callable[[int, bytes], Fit]
    """`(direction, first bytes of a record)`; cheap, it is asked for every record nobody claims."""
    create: Callable[[int, bytes, Outlet, ParserOptions], Parser]
    """`(direction, the bytes that fitted, outlet, options)`; they are received again."""
