# SPDX-License-Identifier: Apache-2.0
"""The forms by name. To add one: a file with its formatter, a line here, a test file."""

from __future__ import annotations

from collections.abc import Callable

from plaintap.errors import UsageError
from plaintap.messages import Message
from plaintap.outputs.base import FormatOptions, Formatter
from plaintap.outputs.ecapture import EcaptureFormatter
from plaintap.outputs.text import TextFormatter


class NothingFormatter:
    """Shows nothing: for recording and measuring."""

    def format(self, _message: Message) -> str:
        """Always ""."""
        return ""


FORMATS: dict[str, Callable[[FormatOptions], Formatter]] = {
    "text": TextFormatter.of,
    "ecapture": EcaptureFormatter.of,
    "none": lambda _options: NothingFormatter(),
}


def make_formatter(name: str, options: FormatOptions) -> Formatter:
    """The form called `name`; UsageError with the nearest name when there is none."""
    factory = FORMATS.get(name)
    if factory is None:
        import difflib  # noqa: PLC0415 - slow to import, and only for this message

        near = difflib.get_close_matches(name, FORMATS, 1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(FORMATS)}"
        message = f"unknown format {name!r}"
        raise UsageError(message, hint=hint)
    return factory(options)
