# SPDX-License-Identifier: Apache-2.0
"""The options: one model per module is the only definition of each.

Owns names, types, defaults, limits and help texts, with config_show.py for what is shown, config_packets.py for
packets and config_control.py for who may steer a capture; the command line, PLAINTAP_* variables, the TOML file and
docs/configuration.md derive from them by options.py. What values mean is values.py's.
Looks at no target and asks for no privilege.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from plaintap import values
from plaintap.config_control import ControlConfig
from plaintap.options import Group, Model, Option, flag, options
from plaintap.values import Text

_Pid = Annotated[int, Meta(ge=1, le=1 << 22)]
_Seconds = Annotated[float, Meta(gt=0, le=1e9)]


class CommonConfig(ControlConfig, frozen=True, kw_only=True):
    """What means the same to every module."""

    section: ClassVar[str] = ""

    pid: Annotated[
        tuple[_Pid, ...],
        flag(
            "-p",
            "--pid",
            help="only these processes; may be given again",
            group=Group.WHAT,
            metavar="PID[,PID]",
            expects="process ids, whole numbers from 1",
            hint="without --pid every process is captured",
            default_text="all",
        ),
    ] = ()
    uid: Annotated[
        Annotated[int, Meta(ge=0, le=2**32 - 2)] | None,
        flag(
            "-u",
            "--uid",
            help="only processes of this user; 0 is root",
            group=Group.WHAT,
            metavar="USER",
            expects="a user name or number",
            hint="`getent passwd` lists the users of this host",
            default_text="all",
            parse=values.user,
        ),
    ] = None
    comm: Annotated[
        Text | None,
        flag(
            "--comm",
            help=f"only processes of this name, at most {values.COMM_MAX_BYTES} bytes",
            group=Group.WHAT,
            metavar="NAME",
            expects="a process name",
            hint="a name as `ps -e -o comm` shows it",
            default_text="all",
            parse=values.comm,
        ),
    ] = None
    cgroup_path: Annotated[
        Text | None,
        flag(
            "--cgroup_path",
            "--cgroup-path",
            help="only processes in this cgroup and below",
            group=Group.WHAT,
            metavar="PATH",
            expects="a path below /sys/fs/cgroup",
            hint="`systemd-cgls` and /proc/PID/cgroup show them",
            default_text="all",
        ),
    ] = None
    duration_s: Annotated[
        _Seconds | None,
        flag(
            "--duration",
            help="stop after so long: 10s, 500ms, 2m, 1h",
            group=Group.END,
            metavar="TIME",
            expects="a time over 0 such as 10s, 500ms, 2m or plain seconds",
            default_text="until interrupted",
            parse=values.duration,
        ),
    ] = None
    count: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        flag(
            "--count",
            help="stop after so many exchanges",
            group=Group.END,
            metavar="N",
            expects="a whole number from 1",
            default_text="until interrupted",
            replay=True,
        ),
    ] = None
    sample: Annotated[
        bool,
        flag(
            "--sample",
            help="open with an HTTPS exchange of our own, made with curl on loopback",
            group=Group.END,
            in_file=False,
            in_environment=False,
        ),
    ] = False
    ready_fd: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 20)] | None,
        flag(
            "--ready-fd",
            help="write READY to this file descriptor once all probes are attached",
            group=Group.END,
            metavar="FD",
            expects="the number of an open file descriptor",
            hint="in a shell: plaintap --ready-fd 3 3>FILE",
            in_file=False,
            in_environment=False,
        ),
    ] = None
    record: Annotated[
        Text | None,
        flag(
            "--record",
            help="also write the records to FILE, for `plaintap replay`",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
            hint="for example --record day.ptap",
        ),
    ] = None
    strict: Annotated[
        bool, flag("--strict", help="exit with 1 if anything was lost", group=Group.REST, replay=True)
    ] = False
    mapsize: Annotated[
        Annotated[int, Meta(ge=1, le=values.MAPSIZE_MAX_KB)],
        flag(
            "--mapsize",
            help="ring buffer in KB per CPU",
            group=Group.REST,
            metavar="KB",
            expects=f"a size in KB per CPU from 1 to {values.MAPSIZE_MAX_KB}",
        ),
    ] = 8192
    config: Annotated[
        str | None,
        flag(
            "--config",
            help="read options from this TOML file",
            group=Group.REST,
            metavar="FILE",
            expects="a file name",
            default_text="the first of ~/.config/plaintap/config.toml, /etc/plaintap/config.toml",
            replay=True,
            in_file=False,
        ),
    ] = None
    debug: Annotated[bool, flag("-d", "--debug", help="say what is done and why", group=Group.REST, replay=True)] = (
        False
    )


class ModuleConfig(Model, frozen=True, kw_only=True):
    """The base of the models of capture modules."""

    @property
    def only(self) -> str | None:
        """The one file that it is for."""
        return None


class TlsConfig(ModuleConfig, frozen=True, kw_only=True):
    """OpenSSL and its relatives."""

    section: ClassVar[str] = "tls"

    libssl: Annotated[
        Text | None,
        flag(
            "--libssl",
            help="only this library, or this program with the library inside",
            group=Group.WHAT,
            metavar="PATH",
            expects="a path",
            hint="without --libssl every library in use is captured",
            default_text="every one in use",
        ),
    ] = None
    ssl_version: Annotated[
        Text | None,
        flag(
            "--ssl_version",
            "--ssl-version",
            help="take the library for this version, whatever it says of itself",
            group=Group.WHAT,
            metavar="VERSION",
            expects="a version such as 3.0.13",
            hint="without --ssl_version it is read from the library",
            default_text="as the library says",
        ),
    ] = None

    @property
    def only(self) -> str | None:
        """See `ModuleConfig`."""
        return self.libssl


class GoTlsConfig(ModuleConfig, frozen=True, kw_only=True):
    """Programs that Go built."""

    section: ClassVar[str] = "gotls"

    elfpath: Annotated[
        Text | None,
        flag(
            "-e",
            "--elfpath",
            help="only this program",
            group=Group.WHAT,
            metavar="PATH",
            expects="a path",
            hint="without --elfpath every Go program is captured",
            default_text="every one there is",
        ),
    ] = None

    @property
    def only(self) -> str | None:
        """See `ModuleConfig`."""
        return self.elfpath


class GnuTlsConfig(ModuleConfig, frozen=True, kw_only=True):
    """GnuTLS."""

    section: ClassVar[str] = "gnutls"

    gnutls: Annotated[
        Text | None,
        flag(
            "--gnutls",
            help="only this library, or this program with the library inside",
            group=Group.WHAT,
            metavar="PATH",
            expects="a path",
            hint="without --gnutls every library in use is captured",
            default_text="every one in use",
        ),
    ] = None

    @property
    def only(self) -> str | None:
        """See `ModuleConfig`."""
        return self.gnutls


class AllConfig(Model, frozen=True, kw_only=True):
    """`plaintap` without a module, and `plaintap run`."""

    section: ClassVar[str] = "all"

    modules: Annotated[
        tuple[Literal["tls", "gotls", "gnutls"], ...],
        flag("--modules", help="the modules to start", group=Group.WHAT, metavar="LIST"),
    ] = ("tls", "gotls", "gnutls")


class ReplayOptions(Model, frozen=True, kw_only=True):
    """`plaintap replay`."""

    section: ClassVar[str] = "replay"

    realtime: Annotated[
        bool, flag("--realtime", help="as slowly as it was recorded", group=Group.SHOW, replay=True)
    ] = False


MODULES: dict[str, type[ModuleConfig]] = {"tls": TlsConfig, "gotls": GoTlsConfig, "gnutls": GnuTlsConfig}
MODELS: tuple[type[Model], ...] = (CommonConfig, AllConfig, *MODULES.values(), ReplayOptions)
"""All there are, in the order of the documentation."""


class CaptureConfig(Struct, frozen=True, kw_only=True):
    """What a capture needs; `modules` in the order to start them, by name."""

    common: CommonConfig = CommonConfig()
    modules: Mapping[str, ModuleConfig] = field(default_factory=lambda: {"tls": TlsConfig()})


class ReplayConfig(Struct, frozen=True, kw_only=True):
    """What a replay needs; of `common` only the fields that are of use without a kernel are set."""

    path: str
    common: CommonConfig = CommonConfig()
    realtime: bool = False


def all_options() -> Iterator[Option]:
    """Every option of every model."""
    for model in MODELS:
        yield from options(model)
