# SPDX-License-Identifier: Apache-2.0
"""Environment and file: which file is read, precedence, and every way a file can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cli import Cli

from plaintap.cli import capture, sources
from plaintap.config import CommonConfig, TlsConfig, all_options


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.fixture
def user_file(cli: Cli) -> Path:
    path = Path(cli.environ["HOME"], ".config", "plaintap", "config.toml")
    path.parent.mkdir(parents=True)
    return path


def test_command_line_over_environment_over_file(cli: Cli, file: Path) -> None:
    file.write_text("mapsize = 1\ncount = 1\nverbose = 1\n[tls]\nlibssl = '/file'\n")
    cli.environ |= {"PLAINTAP_MAPSIZE": "2", "PLAINTAP_COUNT": "2", "PLAINTAP_TLS_LIBSSL": "/environment"}
    outcome = cli("tls", "--config", str(file), "--mapsize", "3")
    assert outcome.capture.common == CommonConfig(mapsize=3, count=2, verbose=1, config=str(file))
    assert outcome.capture.modules == {"tls": TlsConfig(libssl="/environment")}
    outcome = cli("tls", "--config", str(file), "--libssl", "/typed")
    assert outcome.capture.modules == {"tls": TlsConfig(libssl="/typed")}


def test_all_takes_a_modules_own_options_from_the_file(cli: Cli, file: Path) -> None:
    file.write_text("[all]\nmodules = ['tls']\n[tls]\nlibssl = '/file'\n")
    assert cli("--config", str(file)).capture.modules == {"tls": TlsConfig(libssl="/file")}


def test_a_list_typed_replaces_that_of_the_file(cli: Cli, file: Path) -> None:
    file.write_text("pid = [1, 2]\n")
    assert cli("--config", str(file), "-p", "3").capture.common.pid == (3,)


OF_LISTENING = ("token_file", "tls_cert", "tls_key", "listen_insecure")
VALUES = {
    "pid": ("5", "[5]"),
    "uid": ("0", "0"),
    "comm": ("a", "'a'"),
    "cgroup_path": ("/a", "'/a'"),
    "model": ("text,key", "['text', 'key']"),
    "keylogfile": ("k.log", "'k.log'"),
    "format": ("none", "'none'"),
    "filter": ("status=200", "'status=200'"),
    "once": ("1", "true"),
    "protocol": ("redis", "'redis'"),
    "proto": ("a.proto,b.proto", "['a.proto', 'b.proto']"),
    "verbose": ("2", "2"),
    "hex": ("true", "true"),
    "body_limit": ("7", "7"),
    "color": ("never", "'never'"),
    "ifname": ("lo,eth0", "['lo', 'eth0']"),
    "pcapfilter": ("tcp port 443", "'tcp port 443'"),
    "pcapfile": ("p.pcapng", "'p.pcapng'"),
    "snaplen": ("96", "96"),
    "rotate_size": ("10", "10"),
    "rotate_time": ("1m", "60"),
    "rotate_files": ("3", "3"),
    "eventaddr": ("a,tcp://h:1", "['a', 'tcp://h:1']"),
    "logaddr": ("l", "'l'"),
    "event_rotate_size": ("10", "10"),
    "event_rotate_time": ("1m", "60"),
    "event_rotate_keep": ("3", "3"),
    "event_rotate_zstd": ("1", "true"),
    "sink_ca": ("ca.pem", "'ca.pem'"),
    "sink_insecure": ("1", "true"),
    "flush_timeout": ("500ms", "0.5"),
    "ecaptureq": ("ws://h:1/", "'ws://h:1/'"),
    "duration": ("500ms", "0.5"),
    "count": ("4", "4"),
    "record": ("x", "'x'"),
    "strict": ("1", "true"),
    "mapsize": ("64", "64"),
    "listen": ("on", "'on'"),
    "token_file": ("t", "'t'"),
    "tls_cert": ("c", "'c'"),
    "tls_key": ("k", "'k'"),
    "listen_insecure": ("1", "true"),
    "debug": ("1", "true"),
    "all.modules": ("tls", "['tls']"),
    "tls.libssl": ("/l", "'/l'"),
    "gotls.elfpath": ("/e", "'/e'"),
    "gnutls.gnutls": ("/g", "'/g'"),
    "tls.ssl_version": ("3.0.13", "'3.0.13'"),
    "replay.realtime": ("1", "true"),
}


def test_every_option_is_tried_below() -> None:
    assert {option.path for option in all_options() if option.flag.in_file} == VALUES.keys()


@pytest.mark.parametrize("path", VALUES)
def test_environment_and_file_say_the_same(cli: Cli, file: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        capture,
        "capture_and_listen",
        lambda config, reporter: cli.session.capture(config, command=None, reporter=reporter),
    )
    option = next(option for option in all_options() if option.path == path)
    text, toml = VALUES[path]
    words = ["replay", "x"] if option.section == "replay" else []
    if path in OF_LISTENING:
        cli.environ["PLAINTAP_LISTEN"] = "on"
    cli.environ |= {"PLAINTAP_CONFIG": "/dev/null", option.variable: text}
    from_environment = cli(*words)
    del cli.environ[option.variable]
    file.write_text(f"[{option.section}]\n{option.key} = {toml}\n" if option.section else f"{option.key} = {toml}\n")
    cli.environ["PLAINTAP_CONFIG"] = str(file)
    from_file = cli(*words)
    if words:
        assert from_environment.replay.realtime
        assert from_file.replay.realtime
        return
    assert from_environment.capture.modules == from_file.capture.modules
    if not option.section:
        value = getattr(from_file.capture.common, option.field)
        assert value == getattr(from_environment.capture.common, option.field)
        assert value != option.default or path == "model"


def test_the_users_file_before_the_systems(cli: Cli, user_file: Path) -> None:
    system = sources.SYSTEM_FILE
    system.parent.mkdir()
    system.write_text("mapsize = 1\nhex = true\n")
    assert cli().capture.common == CommonConfig(mapsize=1, hex=True)
    user_file.write_text("mapsize = 2\n")
    assert cli().capture.common == CommonConfig(mapsize=2)


def test_xdg_config_home_before_home(cli: Cli, user_file: Path, tmp_path: Path) -> None:
    user_file.write_text("mapsize = 1\n")
    other = tmp_path / "xdg"
    (other / "plaintap").mkdir(parents=True)
    (other / "plaintap" / "config.toml").write_text("mapsize = 2\n")
    cli.environ["XDG_CONFIG_HOME"] = str(other)
    assert cli().capture.common.mapsize == 2


def test_no_home_at_all(cli: Cli) -> None:
    cli.environ.clear()
    assert cli().capture.common == CommonConfig()


def test_the_named_file_replaces_the_usual_ones(cli: Cli, user_file: Path, file: Path) -> None:
    user_file.write_text("not even toml")
    file.write_text("hex = true\n")
    assert cli("--config", str(file)).capture.common.hex
    cli.environ["PLAINTAP_CONFIG"] = str(file)
    assert cli().capture.common.hex
    assert not cli("--config", "/dev/null").capture.common.hex


def test_what_a_command_has_no_use_for_is_ignored(cli: Cli, file: Path) -> None:
    file.write_text("mapsize = 'rubbish'\nrecord = 'x'\nhex = true\n")
    assert cli("--config", str(file), "replay", "a").replay.common == CommonConfig(hex=True, config=str(file))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("mapsise = 1\n", "unknown key mapsise in the top level of {}", "did you mean mapsize?"),
        ("tsize = 1\n", "unknown key tsize in the top level of {}", "did you mean body_limit?"),
        ("[tls]\nlibsl = 'x'\n", "unknown key libsl in [tls] of {}", "did you mean libssl?"),
        (
            "[tls]\nlibssl = 'x'\nmapsize = 1\n",
            "unknown key mapsize in [tls] of {}",
            "mapsize stands at the top level, before any table",
        ),
        ("libssl = 'x'\n", "unknown key libssl in the top level of {}", "libssl stands in the table [tls]"),
        ("[tsl]\nlibssl = 'x'\n", "unknown key tsl in the top level of {}", "did you mean [tls]?"),
        (
            "sample = true\n",
            "unknown key sample in the top level of {}",
            "sample can only be given on the command line",
        ),
        ("zzzzzz = 1\n", "unknown key zzzzzz in the top level of {}", "docs/configuration.md lists all keys"),
        ("tls = 3\n", "tls in {}: expected a table [tls], got 3", None),
        (
            "mapsize = 0\n",
            "mapsize in {}: expected a size in KB per CPU from 1 to 1048576, got 0",
            "without --mapsize: 8192",
        ),
        (
            "[tls]\nlibssl = 3\n",
            "tls.libssl in {}: expected a path, got 3",
            "without --libssl every library in use is captured",
        ),
        (
            "model = 'pdf'\n",
            "model in {}: expected text, keylog or pcap, got 'pdf'",
            "-m text shows the traffic, and so does leaving -m out; -m keylog writes the keys, -m pcap packets",
        ),
        ("mapsize =\n", "--config: {} is no TOML: invalid value (at line 1, column 10)", None),
    ],
)
def test_wrong_files(cli: Cli, file: Path, text: str, message: str, hint: str | None) -> None:
    file.write_text(text)
    expected = f"plaintap: {message.format(file)}\n" + (f"  hint: {hint}\n" if hint else "")
    assert cli.refused("tls", "--config", str(file)) == expected


def test_files_that_cannot_be_read(cli: Cli, file: Path, tmp_path: Path) -> None:
    assert cli.refused("--config", str(file)) == (
        f"plaintap: --config: cannot read {file}: no such file or directory\n"
    )
    cli.environ["PLAINTAP_CONFIG"] = str(tmp_path)
    assert cli.refused() == f"plaintap: PLAINTAP_CONFIG: cannot read {tmp_path}: is a directory\n"
    file.write_bytes(b"comm = '\xff'\n")
    assert cli.refused("--config", str(file)) == f"plaintap: --config: {file} is no UTF-8 text, byte 8 is 0xff\n"


def test_wrong_values_in_the_environment(cli: Cli) -> None:
    cli.environ["PLAINTAP_COLOR"] = "red"
    assert cli.refused() == (
        "plaintap: PLAINTAP_COLOR: expected auto, always or never, got 'red'\n  hint: without --color: auto\n"
    )


def test_misspelt_variables(cli: Cli) -> None:
    cli.environ["PLAINTAP_MAP_SIZE"] = "1"
    assert cli.refused() == (
        "plaintap: unknown environment variable PLAINTAP_MAP_SIZE\n  hint: did you mean PLAINTAP_MAPSIZE?\n"
    )


def test_variables_of_others_and_empty_ones_are_left_alone(cli: Cli) -> None:
    cli.environ |= {
        "PLAINTAP_PORT": "tcp://10.0.0.1:443",
        "PLAINTAP_SERVICE_HOST": "10.0.0.1",
        "PLAINTAP_REQUIRE_LIVE": "1",
        "PLAINTAP_COMM": "",
    }
    assert cli().capture.common == CommonConfig()
