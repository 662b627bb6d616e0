# SPDX-License-Identifier: Apache-2.0
"""The forms by name, and what `--format` says. To add one: a file with its formatter, a line here, a test file.

Opening what was chosen is opened.py's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from plaintap.errors import UsageError
from plaintap.messages import Message
from plaintap.outputs.base import FormatOptions, Formatter
from plaintap.outputs.ecapture import EcaptureFormatter
from plaintap.outputs.framing import BLOCKS, DELIMITED, LINES, Framing
from plaintap.outputs.har import HarFormatter
from plaintap.outputs.hexrecords import HexFormatter
from plaintap.outputs.json_lines import JsonFormatter
from plaintap.outputs.protobuf import ProtobufFormatter
from plaintap.outputs.sinks.address import is_peer, parse_peer
from plaintap.outputs.text import TextFormatter

STANDARD_OUTPUT = "-"
NONE = "none"


class NothingFormatter:
    """Shows nothing: for recording and measuring."""

    def format(self, _message: Message) -> str:
        """Always ""."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form, and what it asks of the parsers before it."""

    make: Callable[[FormatOptions], Formatter]
    bodies: bool = False
    """It shows bodies whatever `-v` says."""
    whole_bodies: bool = False
    """`--body-limit` does not cut them."""
    records: bool = False
    """It shows raw records."""
    framing: Framing = BLOCKS
    """Where its events end."""
    has_end: bool = False
    """What ends it is written again with every entry: it needs a file."""


FORMATS: dict[str, Form] = {
    "text": Form(make=TextFormatter),
    "json": Form(make=JsonFormatter.of, bodies=True, framing=LINES),
    "har": Form(make=HarFormatter.of, bodies=True, whole_bodies=True, has_end=True),
    "hex": Form(make=HexFormatter.of, records=True),
    "ecapture": Form(make=EcaptureFormatter.of, bodies=True),
    "protobuf": Form(make=ProtobufFormatter, bodies=True, whole_bodies=True, framing=DELIMITED),
    NONE: Form(make=lambda _options: NothingFormatter()),
}


class FormatChoice(NamedTuple):
    """A form and where it goes."""

    name: str
    path: str | None
    """Of a file, or the address of a peer; None is standard output."""

    @property
    def form(self) -> Form:
        """What the registry says of it."""
        return FORMATS[self.name]


def make_formatter(name: str, options: FormatOptions) -> Formatter:
    """The form called `name`; UsageError with the nearest name when there is none."""
    form = FORMATS.get(name)
    if form is None:
        raise UsageError(f"unknown format {name!r}", hint=_hint(name))
    return form.make(options)


def parse_formats(text: str) -> tuple[FormatChoice, ...]:
    """`text,json:FILE,har:FILE`; () of `none`. UsageError names what is wrong and which of them it is."""
    items = [item.strip() for item in text.split(",")]
    choices: list[FormatChoice] = []
    for number, item in enumerate(items, 1):
        where = f"--format: {'' if len(items) == 1 else f'number {number} of {len(items)}, '}"
        choices.append(_choice(item, where))
    _refuse_clashes(choices)
    return tuple(choice for choice in choices if choice.name != NONE)


def _choice(item: str, where: str) -> FormatChoice:
    name, colon, path = item.partition(":")
    if name not in FORMATS:
        raise UsageError(f"{where}unknown format {name!r}" if name else f"{where}no format is named", hint=_hint(name))
    form = FORMATS[name]
    if colon and not path:
        raise UsageError(f"{where}{name}: names no file", hint=f"{name}:FILE")
    to_file = path if path != STANDARD_OUTPUT else ""
    if name == NONE and colon:
        raise UsageError(f"{where}none writes nothing, so it takes no file", hint="--format none")
    if form.has_end and not to_file:
        raise UsageError(f"{where}{name} needs a file: its end is written again with each entry", hint=f"{name}:FILE")
    return checked(FormatChoice(name, to_file or None), label=f"{where}{name}")


def checked(choice: FormatChoice, *, label: str) -> FormatChoice:
    """The same. UsageError where its path looks like an address that it cannot be sent to."""
    if choice.path and is_peer(choice.path):
        parse_peer(choice.path, label=label)
        if choice.form.has_end:
            raise UsageError(
                f"{label} needs a file: its end is written again with each entry", hint="--format har:FILE"
            )
    return choice


def _refuse_clashes(choices: list[FormatChoice]) -> None:
    names = [choice.name for choice in choices]
    if NONE in names and len(names) > 1:
        raise UsageError("--format: none goes with no other format", hint="leave none out")
    shown = [choice.name for choice in choices if choice.path is None]
    if len(shown) > 1:
        both = " and ".join(shown)
        raise UsageError(f"--format: {both} would mix on standard output", hint=f"give one a file: {shown[-1]}:FILE")
    paths: dict[str, str] = {}
    for choice in choices:
        if choice.path is None:
            continue
        real = choice.path if is_peer(choice.path) else os.path.realpath(choice.path)
        if real in paths:
            both = f"{paths[real]} and {choice.name}"
            raise UsageError(f"--format: {both} would both write {choice.path}", hint="give each a file of its own")
        paths[real] = choice.name


def _hint(name: str) -> str:
    import difflib  # noqa: PLC0415 - slow to import, and only for this message

    near = difflib.get_close_matches(name, FORMATS, 1)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(FORMATS)}"
