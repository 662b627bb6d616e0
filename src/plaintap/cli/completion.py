# SPDX-License-Identifier: Apache-2.0
"""`plaintap completion`: the script that makes a shell complete commands, flags and choices."""

from __future__ import annotations

from collections.abc import Mapping

import click

from plaintap.cli.command import Command
from plaintap.errors import UsageError

VARIABLE = "_PLAINTAP_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


def completion(context: click.Context) -> int:
    """Prints the script."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415 - only here and when a shell asks

    shell: str = context.params["shell"]
    kind = get_completion_class(shell) if shell in SHELLS else None
    if kind is None:
        raise UsageError(f"no completion for {shell}: expected bash, zsh or fish")
    click.echo(kind(context.find_root().command, {}, "plaintap", VARIABLE).source())
    return 0


def answer_shell(root: click.Command, environ: Mapping[str, str]) -> int | None:
    """The shell's question, if it asked one, answered on standard output; the exit code."""
    instruction = environ.get(VARIABLE)
    if not instruction:
        return None
    from click.shell_completion import shell_complete  # noqa: PLC0415 - as above

    return shell_complete(root, {}, "plaintap", VARIABLE, instruction)


COMMAND = Command(
    "completion",
    purpose="print a script that makes a shell complete plaintap's commands and flags",
    usage="completion bash|zsh|fish",
    action=completion,
    examples=[
        ("completion bash > /etc/bash_completion.d/plaintap", "for every user's bash"),
        ("completion zsh > ~/.zfunc/_plaintap", "zsh, with ~/.zfunc in fpath"),
        ("completion fish > ~/.config/fish/completions/plaintap.fish", "fish"),
    ],
    arguments=[
        click.Argument(
            ["shell"],
            metavar="SHELL",
            shell_complete=lambda _context, _parameter, begun: [s for s in SHELLS if s.startswith(begun)],
        )
    ],
)
