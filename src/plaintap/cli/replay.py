# SPDX-License-Identifier: Apache-2.0
"""`plaintap replay`: shows a recording."""

from __future__ import annotations

import os

import click

from plaintap.cli.capture import refuse_wrong_keys
from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.config import CommonConfig, ReplayConfig, ReplayOptions
from plaintap.errors import UsageError
from plaintap.options import options


def replay(context: click.Context) -> int:
    """Runs the session over the file; returns the exit code."""
    settings = Settings(context)
    refuse_wrong_keys(settings)
    if settings.common.wants_packets:
        raise UsageError("a recording holds no packets, -m pcap does not go with it", hint="-m keylog writes its keys")
    path = context.params["file"]
    if settings.common.wants_keylog and os.path.realpath(path) == os.path.realpath(settings.common.keylog_path):
        raise UsageError(f"-k is the recording itself, {path}", hint="-k FILE names another file")
    realtime = settings.load(ReplayOptions).realtime
    config = ReplayConfig(path=path, common=settings.common, realtime=realtime)
    # As in capture.py: help need not wait for the parsers.
    from plaintap.cli.reporter import Reporter  # noqa: PLC0415

    reporter = Reporter(debug=config.common.debug, environ=settings.invocation.environ)
    return settings.invocation.import_session().replay(config, reporter=reporter)


COMMAND = Command(
    "replay",
    purpose="show what --record wrote; needs no privilege and no kernel",
    usage="replay FILE [FLAGS]",
    action=replay,
    examples=[
        ("replay day.ptap", "as fast as it goes"),
        ("replay day.ptap -v --realtime", "as it happened, with bodies"),
        ("replay day.ptap --format ecapture", "in another form"),
        ("replay day.ptap -m keylog -k -", "the keys of one made with -m keylog"),
    ],
    options=[option for model in (ReplayOptions, CommonConfig) for option in options(model) if option.flag.replay],
    arguments=[click.Argument(["file"], metavar="FILE", type=click.Path())],
)
