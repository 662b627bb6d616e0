# SPDX-License-Identifier: Apache-2.0
"""What tests make the kernel side do although the kernel could do better."""

from __future__ import annotations

import os

from plaintap.errors import UsageError

VARIABLE = "PLAINTAP_FORCE"
"""Comma-separated: `nomulti` (as before uprobe_multi), `noncore` (as without type information), and one of
`fentry`, `kprobe`, `rawtp`: the only way sockets are looked for; `clsact`: packets as before tcx links."""


WORDS = ("nomulti", "noncore", "fentry", "kprobe", "rawtp", "clsact")


def is_forced(word: str) -> bool:
    """Whether the variable asks for it."""
    return word in _words()


def check_forced() -> None:
    """Raises UsageError for a word that means nothing: what it was to try would not be tried."""
    for word in _words():
        if word not in WORDS:
            raise UsageError(
                f"{VARIABLE}: {word!r} is none of {', '.join(WORDS)}", hint=f"unset {VARIABLE} to force nothing"
            )


def _words() -> list[str]:
    return [word.strip() for word in os.environ.get(VARIABLE, "").split(",") if word.strip()]
