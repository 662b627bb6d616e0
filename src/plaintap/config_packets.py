# SPDX-License-Identifier: Apache-2.0
"""The options of packet captures: at which interfaces, which packets, into which files.

Part of `CommonConfig` of config.py. Opens nothing and asks no kernel.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from plaintap import values
from plaintap.config_output import OutputConfig
from plaintap.options import Group, flag
from plaintap.values import Text

PACKETS_FILE = "plaintap.pcapng"
TLS_PACKETS_FILE = "plaintap_openssl.pcapng"
GOTLS_PACKETS_FILE = "plaintap_gotls.pcapng"
"""Where packets go when nobody says: of everything, and of one module alone."""
SNAPLEN_MAX = 262144


class PacketConfig(OutputConfig, frozen=True, kw_only=True):
    """What -m pcap makes of a capture."""

    ifname: Annotated[
        tuple[Text, ...],
        flag(
            "-i",
            "--ifname",
            help="network interfaces whose packets -m pcap writes; may be given again",
            group=Group.WHAT,
            metavar="NAME[,NAME]",
            expects="names of interfaces",
            hint="`ip link` lists the interfaces of this host",
            default_text="all that are up, new ones too",
        ),
    ] = ()
    pcapfilter: Annotated[
        Text | None,
        flag(
            "--pcapfilter",
            help="only packets of which this pcap-filter(7) expression is true; bare words say the same",
            group=Group.WHAT,
            metavar="EXPR",
            expects="an expression",
            hint="for example: plaintap tls -m pcap tcp port 443",
            default_text="all",
        ),
    ] = None
    pcapfile: Annotated[
        Text | None,
        flag(
            "-w",
            "--pcapfile",
            "--pcap-file",
            help="where -m pcap writes packets and their keys, as pcapng; - is standard output",
            group=Group.SHOW,
            metavar="FILE",
            expects="a file name, or - for standard output",
            hint="for example -m pcap -w out.pcapng",
            default_text=f"{PACKETS_FILE}; of `tls` {TLS_PACKETS_FILE}, of `gotls` {GOTLS_PACKETS_FILE}",
        ),
    ] = None
    snaplen: Annotated[
        Annotated[int, Meta(ge=1, le=SNAPLEN_MAX)],
        flag(
            "--snaplen",
            help="bytes to keep of each packet",
            group=Group.SHOW,
            metavar="BYTES",
            expects=f"a number of bytes from 1 to {SNAPLEN_MAX}",
            hint="without --snaplen packets are whole",
        ),
    ] = SNAPLEN_MAX
    rotate_bytes: Annotated[
        Annotated[int, Meta(ge=1, le=2**40)] | None,
        flag(
            "-C",
            "--rotate-size",
            help="begin another file of packets after so many million bytes",
            group=Group.SHOW,
            metavar="MB",
            expects="a number of million bytes from 1",
            default_text="one file",
            parse=values.million_bytes,
        ),
    ] = None
    rotate_s: Annotated[
        Annotated[float, Meta(gt=0, le=1e9)] | None,
        flag(
            "-G",
            "--rotate-time",
            help="begin another file of packets after so long; -w may hold strftime(3) conversions",
            group=Group.SHOW,
            metavar="TIME",
            expects="a time over 0 such as 60s, 10m or plain seconds",
            default_text="one file",
            parse=values.duration,
        ),
    ] = None
    rotate_files: Annotated[
        Annotated[int, Meta(ge=1, le=100_000)] | None,
        flag(
            "-W",
            "--rotate-files",
            help="keep so many files of packets, the newest, with -C or -G",
            group=Group.SHOW,
            metavar="N",
            expects="a whole number from 1",
            default_text="all",
        ),
    ] = None

    @property
    def packets_path(self) -> str:
        """Where packets go; `-` is standard output."""
        return self.pcapfile or PACKETS_FILE
