# SPDX-License-Identifier: Apache-2.0
"""`plaintap run`: starts a program and captures it and its descendants."""

from __future__ import annotations

import click

from plaintap.cli.capture import OPTIONS, start
from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.config import AllConfig, TlsConfig
from plaintap.errors import UsageError
from plaintap.options import options


def run(context: click.Context) -> int:
    """Exit code: that of the program."""
    command: tuple[str, ...] = context.params["command"]
    if not command:
        raise UsageError(
            "`plaintap run` needs a command",
            hint="plaintap run [FLAGS] -- COMMAND, such as plaintap run -- curl https://…",
        )
    settings = Settings(context)
    config = settings.modules(settings.load(AllConfig).modules)
    return start(settings, config, command=command)


COMMAND = Command(
    "run",
    purpose="start a program and capture it and all its descendants from the first byte",
    usage="run [FLAGS] -- COMMAND [ARGUMENT...]",
    action=run,
    examples=[
        ("run -- curl https://example.com/", "one request"),
        ("run -v -- python3 app.py", "headers and bodies too"),
        ("run --record build.ptap -- make", "show it and keep it"),
    ],
    # Its process ids are not known before it runs, and nobody else's exchange is captured.
    options=[option for option in (*options(TlsConfig), *OPTIONS) if option.field not in ("pid", "sample")],
    arguments=[click.Argument(["command"], nargs=-1, type=click.UNPROCESSED)],
    stop_at_word=True,
)
