# SPDX-License-Identifier: Apache-2.0
"""`plaintap ctl`: asks and changes a running capture that was started with --listen.

On this host by its Unix socket; elsewhere by --url and a token. What is asked is api/'s business; this is its client.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import click
from msgspec import Meta

from plaintap.cli.command import Command
from plaintap.errors import UsageError
from plaintap.options import Group, Model, flag, options
from plaintap.values import Text

ACTIONS = ("status", "config", "set", "stop", "events")


class CtlOptions(Model, frozen=True, kw_only=True):
    """`plaintap ctl`."""

    section: ClassVar[str] = "ctl"

    url: Annotated[
        Text | None,
        flag(
            "--url",
            help="of a capture that is not on this host, such as https://HOST:28256",
            group=Group.REST,
            metavar="URL",
            expects="a URL",
            default_text="the one capture on this host",
            in_file=False,
        ),
    ] = None
    token_file: Annotated[
        Text | None,
        flag(
            "--token-file",
            help="its token",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
            in_file=False,
        ),
    ] = None
    ca: Annotated[
        Text | None,
        flag(
            "--ca",
            help="certificates to trust, PEM, for https",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
            default_text="the system's",
            in_file=False,
        ),
    ] = None
    pid: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        flag(
            "-p",
            "--pid",
            help="of the plaintap to ask, where there are several",
            group=Group.REST,
            metavar="PID",
            expects="a process id",
            in_file=False,
            in_environment=False,
        ),
    ] = None
    json: Annotated[
        bool,
        flag("--json", help="answers as they come", group=Group.SHOW, in_file=False, in_environment=False),
    ] = False


def ctl(context: click.Context) -> int:
    """Asks, and prints the answer; 1 when it was refused."""
    from plaintap.cli.ctl_client import Client, act  # noqa: PLC0415 - brings HTTP and JSON, which help does not need

    words: tuple[str, ...] = context.params["words"]
    action, *rest = words or ("status",)
    if action not in ACTIONS:
        raise UsageError(f"ctl: no action {action!r}", hint=f"actions are {', '.join(ACTIONS)}")
    pid = context.params["pid"]
    if pid is not None and not str(pid).isdecimal():
        raise UsageError(f"-p: expected a process id, got {pid!r}", hint="pgrep plaintap")
    client = Client(
        url=context.params["url"],
        token_file=context.params["token_file"],
        ca=context.params["ca"],
        pid=int(pid) if pid else None,
    )
    return act(client, action, rest, as_json=context.params["json"])


COMMAND = Command(
    "ctl",
    purpose="ask or change a running capture that was started with --listen",
    usage="ctl [FLAGS] [status | config MODULE | set MODULE KEY=VALUE… | stop MODULE | events]",
    action=ctl,
    examples=[
        ("ctl", "what runs, and what it has counted"),
        ("ctl set tls pid=123", "from now on only this process"),
        ("ctl stop gotls", "this module ends, the others go on"),
        ("ctl events", "messages as they come, as JSON lines"),
    ],
    options=options(CtlOptions),
    arguments=[click.Argument(["words"], nargs=-1, required=False, metavar="")],
)
