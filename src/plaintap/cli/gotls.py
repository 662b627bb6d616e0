# SPDX-License-Identifier: Apache-2.0
"""`plaintap gotls`: programs that Go built, with its crypto/tls inside."""

from __future__ import annotations

import click

from plaintap.cli.capture import filter_words, given_filter_words, start
from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.config import CommonConfig, GoTlsConfig
from plaintap.config_packets import GOTLS_PACKETS_FILE
from plaintap.config_show import GOTLS_KEYLOG_FILE
from plaintap.options import options


def capture_gotls(context: click.Context) -> int:
    """Captures with this one module."""
    settings = Settings(context)
    words = given_filter_words(settings, context)
    config = settings.modules(["gotls"], keylogfile=GOTLS_KEYLOG_FILE, pcapfile=GOTLS_PACKETS_FILE, filter_words=words)
    return start(settings, config)


COMMAND = Command(
    "gotls",
    purpose="capture programs that Go built, stripped ones included",
    usage="gotls [FLAGS] [PACKET FILTER]",
    action=capture_gotls,
    aliases=("tlsgo",),
    examples=[
        ("gotls", "every Go program, until Ctrl-C"),
        ("gotls --elfpath /usr/bin/caddy", "one program, whoever runs it"),
        ("gotls --comm etcd -v", "one server, in full"),
        ("gotls -m keylog -k keys.log", "the keys alone, for Wireshark"),
        ("gotls -m pcap tcp port 443", "packets that open decrypted"),
    ],
    options=(*options(GoTlsConfig), *options(CommonConfig)),
    arguments=[filter_words()],
)
