# SPDX-License-Identifier: Apache-2.0
"""`plaintap gotls`: programs that Go built, with its crypto/tls inside."""

from __future__ import annotations

import click

from plaintap.cli.capture import filter_words, refuse_filter_words, start
from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.config import CommonConfig, GoTlsConfig
from plaintap.config_show import GOTLS_KEYLOG_FILE
from plaintap.options import options


def capture_gotls(context: click.Context) -> int:
    """Captures with this one module."""
    refuse_filter_words(context.params.get("filter_words", ()))
    settings = Settings(context)
    return start(settings, settings.modules(["gotls"], keylogfile=GOTLS_KEYLOG_FILE))


COMMAND = Command(
    "gotls",
    purpose="capture programs that Go built, stripped ones included",
    usage="gotls [FLAGS]",
    action=capture_gotls,
    aliases=("tlsgo",),
    examples=[
        ("gotls", "every Go program, until Ctrl-C"),
        ("gotls --elfpath /usr/bin/caddy", "one program, whoever runs it"),
        ("gotls --comm etcd -v", "one server, in full"),
        ("gotls -m keylog -k keys.log", "the keys alone, for Wireshark"),
    ],
    options=(*options(GoTlsConfig), *options(CommonConfig)),
    arguments=[filter_words()],
)
