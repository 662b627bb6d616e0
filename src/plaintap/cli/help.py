# SPDX-License-Identifier: Apache-2.0
"""`plaintap help`: the help of a command, for hands that type the word first."""

from __future__ import annotations

import click

from plaintap.cli.command import Command, Root


def show_help(context: click.Context) -> int:
    """Prints the help of the command named, or of plaintap."""
    root = context.find_root()
    word: str | None = context.params["name"]
    if word is None:
        click.echo(root.get_help())
        return 0
    assert isinstance(root.command, Root)
    _, command, _ = root.command.resolve_command(root, [word])
    assert command is not None
    with click.Context(command, info_name=command.name, parent=root) as inner:
        click.echo(inner.get_help())
    return 0


COMMAND = Command(
    "help",
    purpose="show the help of a command",
    usage="help [COMMAND]",
    action=show_help,
    examples=[("help run", "the same as plaintap run --help")],
    arguments=[click.Argument(["name"], required=False, metavar="COMMAND")],
)
