# SPDX-License-Identifier: Apache-2.0
"""`plaintap gnutls`: programs with GnuTLS."""

from __future__ import annotations

import click

from plaintap.cli.capture import filter_words, given_filter_words, start
from plaintap.cli.command import Command
from plaintap.cli.invocation import Settings
from plaintap.config import CommonConfig, GnuTlsConfig
from plaintap.options import options


def capture_gnutls(context: click.Context) -> int:
    """Captures with this one module."""
    settings = Settings(context)
    words = given_filter_words(settings, context)
    return start(settings, settings.modules(["gnutls"], filter_words=words))


COMMAND = Command(
    "gnutls",
    purpose="capture programs with GnuTLS, such as wget",
    usage="gnutls [FLAGS]",
    action=capture_gnutls,
    aliases=("gnu",),
    examples=[
        ("gnutls", "every GnuTLS, until Ctrl-C"),
        ("gnutls --comm wget -v", "one program, in full"),
        ("gnutls --gnutls /opt/libgnutls.so.30", "one library, whoever uses it"),
    ],
    options=(*options(GnuTlsConfig), *options(CommonConfig)),
    arguments=[filter_words()],
)
