# SPDX-License-Identifier: Apache-2.0
"""`plaintap tls`: programs with OpenSSL or one of its relatives."""

from __future__ import annotations

import click

from plaintap.cli.capture import filter_words, given_filter_words, start
from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.config import CommonConfig, TlsConfig
from plaintap.config_packets import TLS_PACKETS_FILE
from plaintap.config_show import TLS_KEYLOG_FILE
from plaintap.options import options


def capture_tls(context: click.Context) -> int:
    """Captures with this one module."""
    settings = Settings(context)
    words = given_filter_words(settings, context)
    config = settings.modules(["tls"], keylogfile=TLS_KEYLOG_FILE, pcapfile=TLS_PACKETS_FILE, filter_words=words)
    return start(settings, config)


COMMAND = Command(
    "tls",
    purpose="capture programs with OpenSSL or one of its relatives inside",
    usage="tls [FLAGS] [PACKET FILTER]",
    action=capture_tls,
    aliases=("openssl",),
    examples=[
        ("tls", "every OpenSSL, until Ctrl-C"),
        ("tls --comm nginx --uid www-data", "one server"),
        ("tls --libssl /opt/app/libssl.so.3", "one library, whoever uses it"),
        ("tls -m keylog -k keys.log", "the keys alone, for Wireshark"),
        ("tls -m pcap tcp port 443", "packets that open decrypted"),
        ("tls -p 611,612 --count 1 -v", "their next exchange in full"),
    ],
    options=(*options(TlsConfig), *options(CommonConfig)),
    arguments=[filter_words()],
)
