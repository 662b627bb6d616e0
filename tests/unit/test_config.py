# SPDX-License-Identifier: Apache-2.0
"""The models themselves: defaults, what each option accepts and refuses, layers, names."""

from __future__ import annotations

import pwd

import pytest

from plaintap.config import (
    MODELS,
    AllConfig,
    CaptureConfig,
    CommonConfig,
    ReplayOptions,
    TlsConfig,
    all_options,
)
from plaintap.errors import UsageError
from plaintap.options import Model, Option, Setting, load, options

ROOT_NAME = pwd.getpwuid(0).pw_name


def option(path: str) -> Option:
    return next(candidate for candidate in all_options() if candidate.path == path)


def value_of(path: str, value: object) -> object:
    """What a model has after that option was set to `value`."""
    wanted = option(path)
    model = next(model for model in MODELS if model.section == wanted.section)
    return getattr(load(model, {wanted.key: Setting(value, "--typed")}), wanted.field)


def test_defaults() -> None:
    assert CommonConfig() == CommonConfig(
        pid=(),
        uid=None,
        comm=None,
        cgroup_path=None,
        model=("text",),
        keylogfile=None,
        format="text",
        verbose=0,
        hex=False,
        body_limit=65536,
        color="auto",
        duration_s=None,
        count=None,
        sample=False,
        ready_fd=None,
        record=None,
        strict=False,
        mapsize=8192,
        config=None,
        debug=False,
    )
    tls = TlsConfig(libssl=None, ssl_version=None)
    assert CaptureConfig() == CaptureConfig(common=CommonConfig(), modules={"tls": tls})


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("pid", "611", (611,)),
        ("pid", "611, 612", (611, 612)),
        ("pid", ("611,612", "7"), (611, 612, 7)),
        ("pid", [611, 611], (611,)),
        ("pid", 611, (611,)),
        ("pid", [], ()),
        ("uid", "0", 0),
        ("uid", 33, 33),
        ("uid", ROOT_NAME, 0),
        ("comm", "nginx", "nginx"),
        ("comm", "null", "null"),
        ("comm", "exactly15bytes!", "exactly15bytes!"),
        ("comm", "\udcff" * 15, "\udcff" * 15),
        ("cgroup_path", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/user.slice"),
        ("model", "text", ("text",)),
        ("model", "keylog", ("keylog",)),
        ("model", "key", ("keylog",)),
        ("model", "text,keylog", ("text", "keylog")),
        ("model", ["key", "keylog", "text"], ("keylog", "text")),
        ("model", "pcapng,text", ("pcap", "text")),
        ("ifname", "lo,eth0", ("lo", "eth0")),
        ("pcapfilter", "tcp port 443", "tcp port 443"),
        ("pcapfile", "-", "-"),
        ("snaplen", "262144", 262144),
        ("rotate_size", "10", 10_000_000),
        ("rotate_time", "1m", 60.0),
        ("rotate_files", "3", 3),
        ("eventaddr", "a,tcp://h:1", ("a", "tcp://h:1")),
        ("logaddr", ["l"], ("l",)),
        ("event_rotate_size", "10", 10_000_000),
        ("event_rotate_size", 10, 10_000_000),
        ("event_rotate_size", "500k", 500_000),
        ("event_rotate_time", "1m", 60.0),
        ("event_rotate_keep", "3", 3),
        ("event_rotate_zstd", True, True),
        ("sink_ca", "ca.pem", "ca.pem"),
        ("sink_insecure", True, True),
        ("flush_timeout", "0", 0.0),
        ("ecaptureq", "ws://h:1/", "ws://h:1/"),
        ("keylogfile", "keys.log", "keys.log"),
        ("keylogfile", "-", "-"),
        ("format", "ecapture", "ecapture"),
        ("format", "text,json:day.jsonl", "text,json:day.jsonl"),
        ("filter", "status>=400", "status>=400"),
        ("once", True, True),
        ("protocol", "redis", "redis"),
        ("proto", "a.proto,b.proto", ("a.proto", "b.proto")),
        ("verbose", 2, 2),
        ("verbose", "1", 1),
        ("hex", True, True),
        ("hex", "1", True),
        ("hex", "false", False),
        ("body_limit", "64k", 64000),
        ("body_limit", "10 MB", 10_000_000),
        ("body_limit", "0", 0),
        ("color", "never", "never"),
        ("duration", "10s", 10.0),
        ("duration", "500ms", 0.5),
        ("duration", "2m", 120.0),
        ("duration", "1.5h", 5400.0),
        ("duration", "7", 7.0),
        ("duration", 7, 7.0),
        ("duration", 0.25, 0.25),
        ("count", "3", 3),
        ("ready_fd", "5", 5),
        ("record", "day.ptap", "day.ptap"),
        ("strict", "0", False),
        ("mapsize", "1", 1),
        ("mapsize", "1048576", 1 << 20),
        ("debug", True, True),
        ("listen", "on", "localhost:28256"),
        ("listen", "off", None),
        ("listen", "[::1]:0", "[::1]:0"),
        ("listen", "host.test:65535", "host.test:65535"),
        ("token_file", "token", "token"),
        ("tls_cert", "c.pem", "c.pem"),
        ("tls_key", "k.pem", "k.pem"),
        ("listen_insecure", True, True),
        ("all.modules", "tls", ("tls",)),
        ("all.modules", ["tls", "tls"], ("tls",)),
        ("tls.libssl", "/opt/libssl.so.3", "/opt/libssl.so.3"),
        ("gotls.elfpath", "/usr/bin/caddy", "/usr/bin/caddy"),
        ("gnutls.gnutls", "/opt/libgnutls.so.30", "/opt/libgnutls.so.30"),
        ("tls.ssl_version", "3.0.13", "3.0.13"),
        ("replay.realtime", True, True),
    ],
)
def test_accepted(path: str, value: object, expected: object) -> None:
    assert value_of(path, value) == expected


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pid", "0", "expected process ids, whole numbers from 1, got '0'"),
        ("pid", "-1", "expected process ids, whole numbers from 1, got '-1'"),
        ("pid", "1,,2", "expected process ids, whole numbers from 1, got ''"),
        ("pid", "nginx", "expected process ids, whole numbers from 1, got 'nginx'"),
        ("pid", True, "expected process ids, whole numbers from 1, got True"),
        ("pid", str((1 << 22) + 1), "expected process ids, whole numbers from 1, got '4194305'"),
        ("uid", "no such user", "this host has no user 'no such user'"),
        ("uid", "-1", "expected a user name or number, got '-1'"),
        ("uid", 2**32 - 1, "expected a user name or number, got 4294967295"),
        ("comm", "", "expected a process name, got ''"),
        ("comm", 5, "expected a process name, got 5"),
        (
            "comm",
            "systemd-networkd",
            "the kernel keeps 15 bytes of a name, 'systemd-networkd' would be 'systemd-network'",
        ),
        ("comm", "öööööööö", "the kernel keeps 15 bytes of a name, 'öööööööö' would be 'ööööööö'"),
        (
            "comm",
            "n\udcff" * 8,
            "the kernel keeps 15 bytes of a name, " + repr("n\udcff" * 8) + " would be 'nnnnnnnn'",
        ),
        ("cgroup_path", "", "expected a path below /sys/fs/cgroup, got ''"),
        ("snaplen", "0", "expected a number of bytes from 1 to 262144, got '0'"),
        ("rotate_size", "0", "expected a number of million bytes from 1, got '0'"),
        ("rotate_size", "1k", "expected a number of million bytes from 1, got '1k'"),
        ("rotate_files", "0", "expected a whole number from 1, got '0'"),
        ("event_rotate_size", "0", "expected a size from 1 byte, got '0'"),
        ("event_rotate_size", "big", "expected a size from 1 byte, got 'big'"),
        ("flush_timeout", "-1", "expected a time from 0 such as 500ms or 10s, got '-1'"),
        ("model", "txt", "expected text, keylog or pcap, got 'txt'"),
        ("model", [], "expected text, keylog or pcap, got nothing"),
        ("keylogfile", "", "expected a file name, or - for standard output, got ''"),
        ("format", "", "expected forms, one of them without a file, got ''"),
        ("filter", "", "expected an expression, got ''"),
        ("once", "twice", "expected true or false, got 'twice'"),
        ("protocol", 5, "expected a protocol, got 5"),
        ("proto", "", "expected file names, got ''"),
        ("verbose", -1, "expected a whole number from 0, got -1"),
        ("hex", "yes", "expected true or false, got 'yes'"),
        ("body_limit", "64q", "expected a number of bytes from 0, got '64q'"),
        ("color", "red", "expected auto, always or never, got 'red'"),
        ("duration", "0", "expected a time over 0 such as 10s, 500ms, 2m or plain seconds, got '0'"),
        ("duration", "soon", "expected a time over 0 such as 10s, 500ms, 2m or plain seconds, got 'soon'"),
        ("duration", "nan", "expected a time over 0 such as 10s, 500ms, 2m or plain seconds, got 'nan'"),
        ("duration", float("inf"), "expected a time over 0 such as 10s, 500ms, 2m or plain seconds, got inf"),
        ("count", "0", "expected a whole number from 1, got '0'"),
        ("ready_fd", "-1", "expected the number of an open file descriptor, got '-1'"),
        ("record", "", "expected a file name, got ''"),
        ("listen", "localhost", "expected HOST:PORT with a port up to 65535, got 'localhost'"),
        ("listen", "a:65536", "expected HOST:PORT with a port up to 65535, got 'a:65536'"),
        ("listen", "::1:80", "an IPv6 address stands in brackets, got '::1:80'"),
        ("listen", 80, "expected an address such as localhost:28256, got 80"),
        ("mapsize", "0", "expected a size in KB per CPU from 1 to 1048576, got '0'"),
        ("mapsize", "1048577", "expected a size in KB per CPU from 1 to 1048576, got '1048577'"),
        ("mapsize", [8192], "expected a size in KB per CPU from 1 to 1048576, got [8192]"),
        ("all.modules", "nss", "expected tls, gotls or gnutls, got 'nss'"),
        ("all.modules", "", "expected tls, gotls or gnutls, got ''"),
        ("tls.libssl", "", "expected a path, got ''"),
        ("tls.ssl_version", 3.0, "expected a version such as 3.0.13, got 3.0"),
        ("replay.realtime", "slow", "expected true or false, got 'slow'"),
    ],
)
def test_refused(path: str, value: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        value_of(path, value)
    assert caught.value.message == f"--typed: {message}"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("pid", "0", "without --pid every process is captured"),
        ("uid", "x y", "`getent passwd` lists the users of this host"),
        (
            "model",
            "pdf",
            "-m text shows the traffic, and so does leaving -m out; -m keylog writes the keys, -m pcap packets",
        ),
        ("keylogfile", "", "for example -m keylog -k keys.log"),
        ("mapsize", "0", "without --mapsize: 8192"),
        ("body_limit", "x", "such as 500, 64k or 10MB"),
        ("duration", "0", "without --duration: until interrupted"),
        ("hex", "x", "without --hex: off"),
        ("all.modules", "x", "without --modules: tls,gotls,gnutls"),
    ],
)
def test_hints_are_a_next_step(path: str, value: object, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        value_of(path, value)
    assert caught.value.hint == hint


def test_every_option_has_a_refused_or_accepted_value_above() -> None:
    (accepted,) = [mark for mark in test_accepted.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    tried = {row[0] for row in accepted.args[1]}
    assert {candidate.path for candidate in all_options()} - tried == {"config", "sample"}


@pytest.mark.parametrize(
    ("model", "wants"),
    [
        ("text", (True, False, False, False)),
        ("keylog", (False, True, False, True)),
        ("key,text", (True, True, False, True)),
        ("text,pcap", (True, False, True, True)),
    ],
)
def test_what_is_wanted(model: str, wants: tuple[bool, ...]) -> None:
    common = load(CommonConfig, {"model": Setting(model, "-m")})
    assert (common.wants_text, common.wants_keylog, common.wants_packets, common.wants_secrets) == wants


def test_keys_go_somewhere() -> None:
    assert CommonConfig().keylog_path == "plaintap_key.log"
    assert CommonConfig(keylogfile="-").keylog_path == "-"


def test_the_first_layer_that_has_it_wins() -> None:
    layers = [{"mapsize": Setting("1", "a")}, {"mapsize": Setting("2", "b"), "count": Setting("3", "c")}]
    assert load(CommonConfig, *layers) == CommonConfig(mapsize=1, count=3)


def test_a_weaker_layer_is_not_looked_at() -> None:
    layers = [{"mapsize": Setting("1", "a")}, {"mapsize": Setting("rubbish", "b")}]
    assert load(CommonConfig, *layers).mapsize == 1


def test_what_is_not_accepted_keeps_its_default() -> None:
    layer = {"mapsize": Setting("1", "a"), "hex": Setting(True, "b")}
    assert load(CommonConfig, layer, accept=lambda candidate: candidate.flag.replay) == CommonConfig(hex=True)


def test_names_derive_from_the_first_long_flag() -> None:
    assert option("body_limit").flag.names == ("-t", "--body-limit", "--tsize")
    assert option("duration").field == "duration_s"
    assert option("cgroup_path").variable == "PLAINTAP_CGROUP_PATH"
    assert option("mapsize").variable == "PLAINTAP_MAPSIZE"
    assert option("tls.libssl").variable == "PLAINTAP_TLS_LIBSSL"
    assert option("replay.realtime").variable == "PLAINTAP_REPLAY_REALTIME"


def test_variables_and_paths_are_unique() -> None:
    everything = list(all_options())
    assert len({candidate.variable for candidate in everything}) == len(everything)
    assert len({candidate.path for candidate in everything}) == len(everything)


@pytest.mark.parametrize("model", MODELS)
def test_flags_of_one_command_do_not_clash(model: type[Model]) -> None:
    others = [] if model is CommonConfig else list(options(CommonConfig))
    names = [name for candidate in (*options(model), *others) for name in candidate.flag.names]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("candidate", list(all_options()), ids=lambda candidate: candidate.path)
def test_help_is_said_in_the_house_form(candidate: Option) -> None:
    assert candidate.flag.help
    assert not candidate.flag.help.endswith(".")
    assert candidate.flag.help[0].islower() or candidate.flag.help.startswith("HTTPS")
    assert candidate.switch or candidate.flag.metavar or candidate.choices or candidate.field == "verbose"


def test_models_of_programs_take_keywords_only() -> None:
    assert TlsConfig(libssl="/x").libssl == "/x"
    assert AllConfig().modules == ("tls", "gotls", "gnutls")
    assert ReplayOptions().realtime is False
    with pytest.raises(TypeError):
        TlsConfig("/x")  # type: ignore[call-arg]
