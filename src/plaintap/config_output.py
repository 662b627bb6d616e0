# SPDX-License-Identifier: Apache-2.0
"""The options that say where messages and logs go beside the terminal: files, sockets, the eCaptureQ server.

Part of `CommonConfig` of config.py. Opens nothing.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from plaintap import values
from plaintap.config_show import ShowConfig
from plaintap.options import Group, flag
from plaintap.values import Text

_ADDRESSES = "a path, tcp://HOST:PORT, ws://HOST:PORT/ or wss://HOST:PORT/"


class OutputConfig(ShowConfig, frozen=True, kw_only=True):
    """Where it goes."""

    eventaddr: Annotated[
        tuple[Text, ...],
        flag(
            "--eventaddr",
            help="send messages there instead of standard output: FILE, tcp://, ws://, wss://; may be given again",
            group=Group.SHOW,
            metavar="ADDR[,ADDR]",
            expects=_ADDRESSES,
            hint="for example --format json --eventaddr tcp://127.0.0.1:9000",
            default_text="where --logaddr says, or standard output",
            replay=True,
        ),
    ] = ()
    logaddr: Annotated[
        tuple[Text, ...],
        flag(
            "-l",
            "--logaddr",
            help="send what plaintap says of itself there too: FILE, tcp://, ws://, wss://",
            group=Group.SHOW,
            metavar="ADDR[,ADDR]",
            expects=_ADDRESSES,
            default_text="where --eventaddr says, and standard error",
            replay=True,
        ),
    ] = ()
    event_rotate_bytes: Annotated[
        Annotated[int, Meta(ge=1, le=2**50)] | None,
        flag(
            "--event-rotate-size",
            "--eventroratesize",
            help="begin another file of --eventaddr or --format after so many million bytes, or 500k, 1GB",
            group=Group.SHOW,
            metavar="MB",
            expects="a size from 1 byte",
            default_text="one file",
            parse=values.millions_or_size,
            replay=True,
        ),
    ] = None
    event_rotate_s: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        flag(
            "--event-rotate-time",
            "--eventroratetime",
            help="begin another file after so long: 10s, 1h",
            group=Group.SHOW,
            metavar="TIME",
            expects="a time over 0 such as 10s, 1h or plain seconds",
            default_text="one file",
            parse=values.duration,
            replay=True,
        ),
    ] = None
    event_rotate_keep: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        flag(
            "--event-rotate-keep",
            help="keep so many rotated files, the newest",
            group=Group.SHOW,
            metavar="N",
            expects="a whole number from 1",
            default_text="all",
            replay=True,
        ),
    ] = None
    event_rotate_zstd: Annotated[
        bool, flag("--event-rotate-zstd", help="compress rotated files", group=Group.SHOW, replay=True)
    ] = False
    sink_ca: Annotated[
        Text | None,
        flag(
            "--sink-ca",
            help="certificates that wss:// is verified by, PEM",
            group=Group.SHOW,
            metavar="FILE",
            expects="a file name",
            default_text="those of this host",
            replay=True,
        ),
    ] = None
    sink_insecure: Annotated[
        bool,
        flag(
            "--sink-insecure",
            help="take any certificate of wss://: whoever is on the way reads it all",
            group=Group.SHOW,
            replay=True,
        ),
    ] = False
    flush_timeout_s: Annotated[
        Annotated[float, Meta(ge=0, le=3600)],
        flag(
            "--flush-timeout",
            help="at the end wait so long for who is slow to read",
            group=Group.SHOW,
            metavar="TIME",
            expects="a time from 0 such as 500ms or 10s",
            parse=values.duration,
            replay=True,
        ),
    ] = 2.0
    ecaptureq: Annotated[
        Text | None,
        flag(
            "--ecaptureq",
            help="serve messages and logs to programs written for eCapture: ws://HOST:PORT/",
            group=Group.SHOW,
            metavar="URL",
            expects="ws://HOST:PORT/ or wss://HOST:PORT/",
            hint="for example --ecaptureq ws://127.0.0.1:28257/",
            default_text="off",
        ),
    ] = None
