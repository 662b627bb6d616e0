# SPDX-License-Identifier: Apache-2.0
"""The options: one model per module is the only definition of each.

Owns names, types, defaults, limits and help texts; the command line, PLAINTAP_* variables, the
TOML file and docs/configuration.md derive from them by options.py. Looks at no target and asks
for no privilege.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct, field

from plaintap.errors import UsageError
from plaintap.options import Group, Model, Option, flag, options

COMM_MAX_BYTES = 15
MAPSIZE_MAX_KB = 1 << 20
RING_MAX_BYTES = 1 << 31
KEYLOG_FILE = "plaintap_key.log"
TLS_KEYLOG_FILE = "plaintap_openssl_key.log"
"""Where keys go when nobody says: from everything, and from the module `tls` alone. The names are those of eCapture."""
STANDARD_OUTPUT = "-"

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    return float(match[1]) * _UNIT_S[match[2]] if match else value


def _user(value: object) -> object:
    if not isinstance(value, str) or value.isdecimal() or value.startswith("-"):
        return value
    import pwd  # noqa: PLC0415 - asks the name service, and only who names a user needs it

    try:
        return pwd.getpwnam(value).pw_uid
    except KeyError:
        raise ValueError(f"this host has no user {value!r}") from None


def _comm(value: object) -> object:
    if isinstance(value, str) and len(os.fsencode(value)) > COMM_MAX_BYTES:
        kept = os.fsencode(value)[:COMM_MAX_BYTES].decode("utf-8", "ignore")
        raise ValueError(f"the kernel keeps {COMM_MAX_BYTES} bytes of a name, {value!r} would be {kept!r}")
    return value


def _model(value: object) -> object:
    if value in ("pcap", "pcapng"):
        raise ValueError(f"{value} is not available in this version, only text and keylog are")
    return "keylog" if value == "key" else value


_Pid = Annotated[int, Meta(ge=1, le=1 << 22)]
_Seconds = Annotated[float, Meta(gt=0, le=1e9)]
_Text = Annotated[str, Meta(min_length=1)]


class CommonConfig(Model, frozen=True, kw_only=True):
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
            parse=_user,
        ),
    ] = None
    comm: Annotated[
        _Text | None,
        flag(
            "--comm",
            help=f"only processes of this name, at most {COMM_MAX_BYTES} bytes",
            group=Group.WHAT,
            metavar="NAME",
            expects="a process name",
            hint="a name as `ps -e -o comm` shows it",
            default_text="all",
            parse=_comm,
        ),
    ] = None
    cgroup_path: Annotated[
        _Text | None,
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
    model: Annotated[
        tuple[Literal["text", "keylog"], ...],
        flag(
            "-m",
            "--model",
            help="what to make of the capture: keylog (or key) writes the keys; both: text,keylog",
            group=Group.SHOW,
            hint="-m text shows the traffic, and so does leaving -m out; -m keylog writes the keys",
            parse=_model,
            replay=True,
        ),
    ] = ("text",)
    keylogfile: Annotated[
        _Text | None,
        flag(
            "-k",
            "--keylogfile",
            "--keylog-file",
            help="where -m keylog appends the keys; - is standard output",
            group=Group.SHOW,
            metavar="FILE",
            expects="a file name, or - for standard output",
            hint="for example -m keylog -k keys.log",
            default_text=f"{KEYLOG_FILE}; of `tls` {TLS_KEYLOG_FILE}",
            replay=True,
        ),
    ] = None
    format: Annotated[
        Literal["text", "ecapture", "none"],
        flag(
            "--format",
            help="the form of messages: ecapture is that tool's, none shows nothing, for --record",
            group=Group.SHOW,
            replay=True,
        ),
    ] = "text"
    verbose: Annotated[
        Annotated[int, Meta(ge=0)],
        flag(
            "-v",
            "--verbose",
            help="headers and bodies too; -vv also raw records",
            group=Group.SHOW,
            expects="a whole number from 0",
            replay=True,
        ),
    ] = 0
    hex: Annotated[bool, flag("--hex", help="payload as a hex dump", group=Group.SHOW, replay=True)] = False
    body_limit: Annotated[
        Annotated[int, Meta(ge=0, le=2**40)],
        flag(
            "-t",
            "--body-limit",
            "--tsize",
            help="bytes of a body to show; 0 shows all",
            group=Group.SHOW,
            metavar="BYTES",
            expects="a number of bytes from 0",
            replay=True,
        ),
    ] = 65536
    color: Annotated[
        Literal["auto", "always", "never"],
        flag("--color", help="auto colours a terminal unless NO_COLOR is set", group=Group.SHOW, replay=True),
    ] = "auto"
    duration_s: Annotated[
        _Seconds | None,
        flag(
            "--duration",
            help="stop after so long: 10s, 500ms, 2m, 1h",
            group=Group.END,
            metavar="TIME",
            expects="a time over 0 such as 10s, 500ms, 2m or plain seconds",
            default_text="until interrupted",
            parse=_duration,
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
        _Text | None,
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
        Annotated[int, Meta(ge=1, le=MAPSIZE_MAX_KB)],
        flag(
            "--mapsize",
            help="ring buffer in KB per CPU",
            group=Group.REST,
            metavar="KB",
            expects=f"a size in KB per CPU from 1 to {MAPSIZE_MAX_KB}",
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

    @property
    def wants_text(self) -> bool:
        """Plaintext is wanted."""
        return "text" in self.model

    @property
    def wants_keylog(self) -> bool:
        """Keys are wanted."""
        return "keylog" in self.model

    @property
    def keylog_path(self) -> str:
        """Where they go; `-` is standard output."""
        return self.keylogfile or KEYLOG_FILE


class ModuleConfig(Model, frozen=True, kw_only=True):
    """The base of the models of capture modules."""


class TlsConfig(ModuleConfig, frozen=True, kw_only=True):
    """OpenSSL and its relatives."""

    section: ClassVar[str] = "tls"

    libssl: Annotated[
        _Text | None,
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
        _Text | None,
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


class AllConfig(Model, frozen=True, kw_only=True):
    """`plaintap` without a module, and `plaintap run`."""

    section: ClassVar[str] = "all"

    modules: Annotated[
        tuple[Literal["tls"], ...],
        flag("--modules", help="the modules to start", group=Group.WHAT, metavar="LIST"),
    ] = ("tls",)


class ReplayOptions(Model, frozen=True, kw_only=True):
    """`plaintap replay`."""

    section: ClassVar[str] = "replay"

    realtime: Annotated[
        bool, flag("--realtime", help="as slowly as it was recorded", group=Group.SHOW, replay=True)
    ] = False


MODULES: dict[str, type[ModuleConfig]] = {"tls": TlsConfig}
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


def ring_size_bytes(mapsize_kb: int, cpus: int) -> tuple[int, bool]:
    """The ring buffer for `mapsize_kb` per CPU, and whether it had to be rounded up.

    The kernel takes a power of two of whole pages, up to 2 GiB in all; UsageError beyond that.
    """
    wanted = mapsize_kb * 1024 * cpus
    if wanted > RING_MAX_BYTES:
        raise UsageError(
            f"--mapsize: {mapsize_kb} KB for each of {cpus} CPUs is more than the kernel's 2 GiB for a ring",
            hint=f"on this host at most --mapsize {RING_MAX_BYTES // 1024 // cpus}",
        )
    size = max(os.sysconf("SC_PAGESIZE"), 1 << (wanted - 1).bit_length())
    return size, size != wanted
