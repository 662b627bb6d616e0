# SPDX-License-Identifier: Apache-2.0
"""`plaintap har`: how many entries a HAR that plaintap wrote has, and restoring one whose last write was torn.

Owns the wording; the file is outputs/har_repair.py's.
"""

from __future__ import annotations

import shlex
from typing import Annotated, ClassVar

import click

from plaintap.cli.command import Command
from plaintap.options import Group, Model, flag, options


class HarOptions(Model, frozen=True, kw_only=True):
    """`plaintap har`."""

    section: ClassVar[str] = "har"

    repair: Annotated[
        bool,
        flag(
            "--repair",
            help="restore a file whose writer was killed: keep what is whole, end it as it should",
            group=Group.REST,
            in_file=False,
            in_environment=False,
        ),
    ] = False


def har(context: click.Context) -> int:
    """Says what the file holds; 1 when it is torn and is not to be repaired."""
    # Help needs no JSON.
    from plaintap.outputs.escape import escape  # noqa: PLC0415
    from plaintap.outputs.har_repair import look_at, repair  # noqa: PLC0415
    from plaintap.outputs.sizes import count, exact_bytes  # noqa: PLC0415

    path: str = context.params["file"]
    wanted: bool = context.params["repair"]
    found = repair(path) if wanted else look_at(path)
    entries = count(found.entries, "entry", "entries")
    if found.whole:
        click.echo(f"{escape(path)}: {entries}, whole")
        return 0
    torn = exact_bytes(found.size_bytes - found.end_bytes)
    if wanted:
        click.echo(f"{escape(path)}: repaired, {entries} kept, {torn} behind them left out")
        return 0
    click.echo(f"{escape(path)}: torn after {entries}; `plaintap har --repair {escape(shlex.quote(path))}` restores it")
    return 1


COMMAND = Command(
    "har",
    purpose="check a HAR file that --format har:FILE wrote, or repair it",
    usage="har [--repair] FILE",
    action=har,
    examples=[
        ("har day.har", "is it whole, and how many entries has it"),
        ("har --repair day.har", "after its writer was killed"),
    ],
    options=options(HarOptions),
    arguments=[click.Argument(["file"], metavar="FILE", type=click.Path())],
)
