# SPDX-License-Identifier: Apache-2.0
"""What tests make the kernel side do although the kernel could do better."""

from __future__ import annotations

import os

VARIABLE = "PLAINTAP_FORCE"
"""Comma-separated: `nomulti` (as before uprobe_multi), `noncore` (as without type information), and one of
`fentry`, `kprobe`, `rawtp`: the only way sockets are looked for."""


def is_forced(word: str) -> bool:
    """Whether the variable asks for it."""
    return word in os.environ.get(VARIABLE, "").split(",")
