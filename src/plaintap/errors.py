# SPDX-License-Identifier: Apache-2.0
"""The exception tree: every error a user can meet, with its hint and its exit code.

A message is lower case, has no full stop and names the thing, what was expected and what was
found; the hint is the next step. Printing them is the command line's job, in one place.
"""

from __future__ import annotations

import traceback
from pathlib import PurePath


class PlaintapError(Exception):
    """What plaintap raises on purpose: a message, an optional hint, the exit code it asks for."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PlaintapError):
    """The user's input is wrong: a flag, a path, a configuration key."""

    exit_code = 2


class TargetError(PlaintapError):
    """The thing to be captured cannot be: gone, no ELF, another architecture, no symbols."""


class PrivilegeError(PlaintapError):
    """The kernel refused for lack of a capability; the hint names it."""


class KernelError(PlaintapError):
    """The kernel cannot do what is needed, or refused a program or a link."""


class RecordingError(PlaintapError):
    """A recording cannot be read or written."""


class OutputError(PlaintapError):
    """An output cannot be opened or written."""


def reason(error: OSError) -> str:
    """The system's words for an error, in our case: lower, no full stop."""
    text = error.strerror or type(error).__name__
    return text[:1].lower() + text[1:]


def where_of(error: BaseException) -> str:
    """Type and place only: what an exception says may quote plaintext."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        place = f" at {'/'.join(PurePath(code.co_filename).parts[-2:])}:{line} in {code.co_qualname}"
    return f"{type(error).__name__}{place}"
