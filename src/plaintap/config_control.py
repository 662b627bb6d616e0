# SPDX-License-Identifier: Apache-2.0
"""The options of the configuration API: where it listens, and who may ask.

Part of `CommonConfig` of config.py. Opens nothing.
"""

from __future__ import annotations

from typing import Annotated

from plaintap import values
from plaintap.config_packets import PacketConfig
from plaintap.options import Group, flag
from plaintap.values import LISTEN, Text


class ControlConfig(PacketConfig, frozen=True, kw_only=True):
    """How a running capture is steered."""

    listen: Annotated[
        Text | None,
        flag(
            "--listen",
            help=f"steer the capture over HTTP at this address (`on`: {LISTEN}), or by `plaintap ctl`",
            group=Group.REST,
            metavar="HOST:PORT",
            expects="an address such as localhost:28256",
            hint=f"--listen on is {LISTEN}",
            default_text="off",
            parse=values.listening,
        ),
    ] = None
    token_file: Annotated[
        Text | None,
        flag(
            "--token-file",
            help="the token that --listen asks for, in a file of its own",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
            default_text="made anew and printed at the start",
        ),
    ] = None
    tls_cert: Annotated[
        Text | None,
        flag(
            "--tls-cert",
            help="certificate chain of --listen and wss:// of --ecaptureq, PEM; with --tls-key",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
        ),
    ] = None
    tls_key: Annotated[
        Text | None,
        flag(
            "--tls-key",
            help="private key of that certificate, PEM",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
        ),
    ] = None
    listen_insecure: Annotated[
        bool,
        flag(
            "--listen-insecure",
            help="let --listen be reached from other hosts without TLS: whoever is on the way reads it all",
            group=Group.REST,
        ),
    ] = False
