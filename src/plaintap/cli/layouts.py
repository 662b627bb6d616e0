# SPDX-License-Identifier: Apache-2.0
"""`plaintap layouts`: which struct layouts are known and how each was established; checking them against a library.

Owns the wording. What is known of a file is layout_check.py's, the tables and calibration are targets'.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar

import click
from msgspec import json, structs

from plaintap.cli.command import Command
from plaintap.cli.layout_check import Check, check
from plaintap.errors import UsageError
from plaintap.options import Group, Model, flag, options

if TYPE_CHECKING:
    from plaintap.targets.layouts.model import KnownLayout, LayoutRow

_NO_WIDTH = 1 << 16
_LEAST_COLUMNS = 24
_LABEL_COLUMNS = 13


class LayoutsOptions(Model, frozen=True, kw_only=True):
    """`plaintap layouts`."""

    section: ClassVar[str] = "layouts"

    check: Annotated[
        str | None,
        flag(
            "--check",
            help="a library, or a program with one inside: its version, its layout, and whether calibration agrees",
            group=Group.WHAT,
            metavar="PATH",
            in_file=False,
            in_environment=False,
        ),
    ] = None
    json: Annotated[
        bool,
        flag("--json", help="for programs", group=Group.SHOW, in_file=False, in_environment=False),
    ] = False


def layouts(context: click.Context) -> int:
    """Prints the list, or the check of one file; 1 when that has no layout or the table is wrong for it."""
    path: str | None = context.params["check"]
    as_json: bool = context.params["json"]
    if path == "":
        raise UsageError("--check needs a library or a program", hint="`plaintap layouts --help` shows what it takes")
    if path is None:
        # Here and below: the stage is not imported for --help.
        from plaintap.targets.layouts.lookup import known_versions  # noqa: PLC0415

        rows = known_versions()
        click.echo(_pretty([_row_object(row) for row in rows]) if as_json else "\n".join(_table(rows)))
        return 0
    found = check(path)
    click.echo(_pretty(_check_object(found)) if as_json else "\n".join(_report(found)))
    return 0 if found.good else 1


def _width() -> int:
    """Of a terminal; a pipe has no end."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else _NO_WIDTH


def _keys(row: LayoutRow) -> str:
    from plaintap.targets.layouts.model import Family  # noqa: PLC0415

    if row.layout.family is Family.BORINGSSL:
        return "as they are made"
    return "TLS 1.2" if row.layout.exporter_secret is None else "TLS 1.2, 1.3"


def _table(rows: tuple[LayoutRow, ...]) -> Iterator[str]:
    cells = [("VERSION", "KEYS", "HOW IT IS KNOWN"), *((row.label, _keys(row), row.source) for row in rows)]
    first, second = (2 + max(len(each[column]) for each in cells) for column in (0, 1))
    for version, keys, source in cells:
        yield from _hanging(f"{version:<{first}}{keys:<{second}}", source)


def _hanging(head: str, text: str) -> Iterator[str]:
    width = max(_LEAST_COLUMNS, _width() - len(head))
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        yield head + line
        head = " " * len(head)


def _report(found: Check) -> Iterator[str]:
    from plaintap.outputs.escape import escape  # noqa: PLC0415

    yield escape(found.path)
    yield from _line("version", found.version or "unknown: the file does not tell")
    yield from _line("layout", _layout_words(found))
    if found.known is not None:
        yield from _line("how", found.known.source)
    yield from _line("calibration", escape(_calibration_words(found)))
    for name, (expected, actual) in found.differences.items():
        yield f"    {name}: {expected} in the table, {actual} found"
    if (use := _use(found)) is not None:
        yield from _line("capture", use)
    if found.calibrated is not None and (found.differences or found.known is None or _guessed(found.known)):
        yield from _line("found", "as a row of the table")
        for name, value in structs.asdict(found.calibrated).items():
            if value is not None and value is not False:
                yield f"    {name}={value},"


def _line(label: str, text: str) -> Iterator[str]:
    return _hanging(f"  {label:<{_LABEL_COLUMNS}}", text)


def _guessed(known: KnownLayout) -> bool:
    from plaintap.targets.layouts.model import Origin  # noqa: PLC0415

    return known.origin is Origin.NEAREST


def _layout_words(found: Check) -> str:
    if found.known is None:
        likely = f"; known are {' and '.join(found.nearest)}" if found.nearest else ""
        return f"none is known for this version{likely}"
    return f"{found.known.label}, the nearest lower one: a guess" if _guessed(found.known) else found.known.label


def _calibration_words(found: Check) -> str:
    if found.calibrated is None:
        return f"not possible: {found.problem}"
    if found.known is None:
        return "found a layout"
    if found.differences:
        return f"disagrees about {len(found.differences)} of the fields"
    both = zip(structs.astuple(found.known.layout), structs.astuple(found.calibrated), strict=True)
    compared = sum(isinstance(expected, int) and isinstance(actual, int) for expected, actual in both)
    return f"agrees about all {compared} fields"


def _use(found: Check) -> str | None:
    """What a capture makes of it, where that does not go without saying."""
    if found.calibrated is not None:
        return "uses what calibration found" if found.known is None or found.differences else None
    if found.known is None:
        return "takes no keys from it, and tells its connections by their system calls only"
    used = "uses that guess, and says so" if _guessed(found.known) else "uses the layout of its version unproven"
    return f"{used}; -m keylog holds its client randoms against ClientHellos, and says if its keys are doubtful"


def _pretty(value: object) -> str:
    return json.format(json.encode(value), indent=2).decode()


def _row_object(row: LayoutRow) -> dict[str, object]:
    return {
        "versions": row.label,
        "first": row.first,
        "last": row.last,
        "family": row.layout.family,
        "measured": row.measured,
        "source": row.source,
        "layout": row.layout,
    }


def _check_object(found: Check) -> dict[str, object]:
    known = found.known
    return {
        "path": found.path,
        "version": found.version,
        "origin": known and known.origin,
        "versions": known and known.label,
        "source": known and known.source,
        "layout": known and known.layout,
        "calibrated": found.calibrated,
        "problem": found.problem,
        "differences": found.differences,
        "good": found.good,
    }


COMMAND = Command(
    "layouts",
    purpose="list which versions' struct layouts are known and how; check them against a library",
    usage="layouts [FLAGS]",
    action=layouts,
    examples=[
        ("layouts", "every version, and why"),
        ("layouts --check ./libssl.so.3", "what holds for one file"),
    ],
    options=options(LayoutsOptions),
)
