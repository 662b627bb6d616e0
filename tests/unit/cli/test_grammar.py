# SPDX-License-Identifier: Apache-2.0
"""Which words make which call: commands, aliases, flags before and after the command, words that are none."""

from __future__ import annotations

import pytest
from fake_cli import Cli
from msgspec.structs import replace

from plaintap.config import CaptureConfig, CommonConfig, GnuTlsConfig, GoTlsConfig, ReplayConfig, TlsConfig

ALL = {"tls": TlsConfig(), "gotls": GoTlsConfig(), "gnutls": GnuTlsConfig()}


def tls_capture(**common: object) -> CaptureConfig:
    return CaptureConfig(common=CommonConfig(**common), modules={"tls": TlsConfig()})  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [["tls"], ["openssl"], ["--modules", "tls"], ["all", "--modules=tls"]])
def test_tls_captures_the_host(cli: Cli, words: list[str]) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert outcome.session.captures == [(tls_capture(), None)]


@pytest.mark.parametrize(
    ("words", "common"),
    [
        (["-d"], {"debug": True}),
        (["--debug"], {"debug": True}),
        (["--hex"], {"hex": True}),
        (["--mapsize", "1024"], {"mapsize": 1024}),
        (["-p", "611"], {"pid": (611,)}),
        (["-p611"], {"pid": (611,)}),
        (["--pid=611,612", "-p", "7"], {"pid": (611, 612, 7)}),
        (["-u", "0"], {"uid": 0}),
        (["--uid", "33"], {"uid": 33}),
        (["--comm", "nginx"], {"comm": "nginx"}),
        (["--cgroup_path", "/sys/fs/cgroup/a"], {"cgroup_path": "/sys/fs/cgroup/a"}),
        (["--cgroup-path", "/sys/fs/cgroup/a"], {"cgroup_path": "/sys/fs/cgroup/a"}),
        (["-m", "text"], {"model": ("text",)}),
        (["--model", "text"], {"model": ("text",)}),
        (["-m", "key", "-k", "x.log"], {"model": ("keylog",), "keylogfile": "x.log"}),
        (["-m", "text,keylog", "--keylogfile=x"], {"model": ("text", "keylog"), "keylogfile": "x"}),
        (["-m", "text", "-m", "keylog", "--keylog-file", "x"], {"model": ("text", "keylog"), "keylogfile": "x"}),
        (["--format", "ecapture"], {"format": "ecapture"}),
        (["-v"], {"verbose": 1}),
        (["-vv"], {"verbose": 2}),
        (["--verbose", "-v"], {"verbose": 2}),
        (["--color", "always"], {"color": "always"}),
        (["-t", "100"], {"body_limit": 100}),
        (["--tsize", "100"], {"body_limit": 100}),
        (["--body-limit", "0"], {"body_limit": 0}),
        (["--record", "x.ptap"], {"record": "x.ptap"}),
        (["--strict"], {"strict": True}),
        (["--duration", "500ms"], {"duration_s": 0.5}),
        (["--count", "2"], {"count": 2}),
        (["--sample"], {"sample": True}),
        (["--config", "/dev/null"], {"config": "/dev/null"}),
        (["-dv", "--hex"], {"debug": True, "verbose": 1, "hex": True}),
    ],
)
def test_each_flag_before_after_and_without_a_command(cli: Cli, words: list[str], common: dict[str, object]) -> None:
    for arguments in ([*words, "tls"], ["tls", *words]):
        assert cli(*arguments).capture == tls_capture(**common), arguments
    for arguments in (words, ["all", *words]):
        assert cli(*arguments).capture == replace(tls_capture(**common), modules=ALL), arguments


def test_flags_on_both_sides_join(cli: Cli) -> None:
    outcome = cli("-v", "-p", "1", "--mapsize", "16", "tls", "-v", "-p", "2", "--mapsize", "32")
    assert outcome.capture.common == CommonConfig(verbose=2, pid=(1, 2), mapsize=32)


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ([], "plaintap_key.log"),
        (["all"], "plaintap_key.log"),
        (["run", "true"], "plaintap_key.log"),
        (["tls"], "plaintap_openssl_key.log"),
        (["openssl"], "plaintap_openssl_key.log"),
    ],
)
def test_where_keys_go_when_nobody_says(cli: Cli, words: list[str], path: str) -> None:
    assert cli("-m", "keylog", *words).capture.common.keylog_path == path
    assert cli("-m", "keylog", "-k", "mine.log", *words).capture.common.keylog_path == "mine.log"


def test_a_file_for_keys_may_stand_ready_for_who_wants_them(cli: Cli) -> None:
    cli.environ["PLAINTAP_KEYLOGFILE"] = "x.log"
    assert cli().capture.common.model == ("text",)
    assert cli("-m", "keylog").capture.common.keylog_path == "x.log"


def test_replay_makes_keys(cli: Cli) -> None:
    common = CommonConfig(model=("keylog",), keylogfile="-")
    assert cli("replay", "a.ptap", "-m", "keylog", "-k", "-").replay == ReplayConfig(path="a.ptap", common=common)


def test_libssl_belongs_to_tls_and_run(cli: Cli) -> None:
    assert cli("tls", "--libssl", "/x").capture.modules == {"tls": TlsConfig(libssl="/x")}
    assert cli("run", "--libssl", "/x", "true").capture.modules == {**ALL, "tls": TlsConfig(libssl="/x")}


@pytest.mark.parametrize("words", [[], ["all"], ["--modules", "tls,gotls,gnutls"]])
def test_bare_and_all_capture_everything(cli: Cli, words: list[str]) -> None:
    assert cli(*words).capture.modules == ALL


@pytest.mark.parametrize("word", ["gotls", "tlsgo"])
@pytest.mark.parametrize("flag", ["-e", "--elfpath"])
def test_gotls_is_a_module_of_its_own(cli: Cli, word: str, flag: str) -> None:
    assert cli(word, flag, "/x").capture.modules == {"gotls": GoTlsConfig(elfpath="/x")}
    assert cli(word, "-m", "keylog").capture.common.keylogfile == "plaintap_gotls_key.log"
    for words in (["--libssl", "/x"], ["all", "--libssl", "/x"]):
        assert "--libssl is no flag of `plaintap" in cli.refused(*words)


@pytest.mark.parametrize("word", ["gnutls", "gnu"])
def test_gnutls_is_a_module_of_its_own(cli: Cli, word: str) -> None:
    assert cli(word, "--gnutls", "/x").capture.modules == {"gnutls": GnuTlsConfig(gnutls="/x")}
    assert cli(word, "-m", "text,keylog", "-k", "/x").capture.modules == {"gnutls": GnuTlsConfig()}


def test_modules_belongs_to_all_and_run(cli: Cli) -> None:
    assert cli.refused("--modules", "tls", "tls") == (
        "plaintap: --modules is no flag of `plaintap tls`\n  hint: `plaintap tls --help` lists its flags\n"
    )


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["run", "--", "curl", "-v", "https://x/"], ("curl", "-v", "https://x/")),
        (["run", "curl", "-v", "--", "x"], ("curl", "-v", "--", "x")),
        (["run", "-v", "--", "sh", "-c", "exit 3"], ("sh", "-c", "exit 3")),
        (["-v", "run", "--", "--odd"], ("--odd",)),
        (["run", "--", "tls"], ("tls",)),
    ],
)
def test_run_hands_the_command_over_whole(cli: Cli, words: list[str], command: tuple[str, ...]) -> None:
    outcome = cli(*words)
    ((config, given),) = outcome.session.captures
    assert given == command
    assert config.common.verbose == (1 if "-v" in words[:2] else 0)


def test_run_exits_with_the_sessions_code(cli: Cli) -> None:
    cli.session.code = 7
    assert cli("run", "--", "false").code == 7


def test_run_without_a_command_is_wrong(cli: Cli) -> None:
    assert cli.refused("run").startswith("plaintap: `plaintap run` needs a command\n  hint: plaintap run [FLAGS] -- ")


@pytest.mark.parametrize("words", [["-p", "1", "run", "--", "x"], ["run", "-p", "1", "--", "x"]])
def test_run_takes_no_pid(cli: Cli, words: list[str]) -> None:
    assert "-p is no flag of `plaintap run`" in cli.refused(*words)


def test_run_ignores_a_pid_from_the_environment(cli: Cli) -> None:
    cli.environ["PLAINTAP_PID"] = "1"
    assert cli("run", "true").capture.common.pid == ()


def test_replay(cli: Cli) -> None:
    assert cli("replay", "a.ptap").replay == ReplayConfig(path="a.ptap")
    common = CommonConfig(verbose=1, hex=True, format="ecapture", body_limit=9, color="never", strict=True, count=3)
    words = "-v replay a.ptap --hex --format ecapture -t 9 --color never --strict --count 3 --realtime".split()
    assert cli(*words).replay == ReplayConfig(path="a.ptap", common=common, realtime=True)
    assert not cli.session.captures


@pytest.mark.parametrize("flag", ["--record=x", "-p1", "--mapsize=1", "--sample", "--duration=1"])
def test_replay_refuses_what_needs_a_kernel(cli: Cli, flag: str) -> None:
    assert "is no flag of `plaintap replay`" in cli.refused(flag, "replay", "a.ptap")
    assert "is no flag of `plaintap replay`" in cli.refused("replay", "a.ptap", flag)


def test_replay_needs_a_file(cli: Cli) -> None:
    assert cli.refused("replay") == (
        "plaintap: `plaintap replay` needs FILE\n  hint: `plaintap replay --help` shows what it takes\n"
    )


@pytest.mark.parametrize("words", [["tls", "port", "443"], ["all", "host", "::1"], ["-v", "openssl", "tcp"]])
def test_filter_words_are_refused(cli: Cli, words: list[str]) -> None:
    err = cli.refused(*words)
    assert err.startswith("plaintap: filter words need -m pcap\n  hint: ")


@pytest.mark.parametrize(
    "words",
    [
        ["tls", "-m", "pcap", "tcp", "port", "443"],
        ["all", "-m", "text,pcap", "tcp", "port", "443"],
        ["-m", "pcapng", "tcp", "port", "443"],
        ["tls", "-m", "pcap", "--pcapfilter", "tcp port 443"],
    ],
)
def test_filter_words(cli: Cli, words: list[str]) -> None:
    common = cli(*words).capture.common
    assert common.pcapfilter == "tcp port 443"
    assert common.packets_path == ("plaintap_openssl.pcapng" if words[0] == "tls" else "plaintap.pcapng")


def test_two_filters_are_refused(cli: Cli) -> None:
    err = cli.refused("tls", "-m", "pcap", "--pcapfilter", "udp", "tcp")
    assert err == "plaintap: --pcapfilter and filter words are two filters\n  hint: join them with `and`\n"


def test_words_that_are_no_command(cli: Cli) -> None:
    assert cli.refused("tlss") == "plaintap: no command tlss\n  hint: did you mean `plaintap tls`?\n"
    assert cli.refused("-v", "relpay", "x").endswith("did you mean `plaintap replay`?\n")
    assert "filter words need -m pcap" in cli.refused("port", "443")
    assert "the module nss is not in this version" in cli.refused("nss", "-e", "/x")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(cli: Cli, shell: str) -> None:
    outcome = cli("completion", shell)
    assert outcome.code == 0
    assert "_PLAINTAP_COMPLETE" in outcome.out


def test_completion_for_another_shell(cli: Cli) -> None:
    assert cli.refused("completion", "tcsh") == "plaintap: no completion for tcsh: expected bash, zsh or fish\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("plaintap re", ["replay"]),
        ("plaintap tls --cg", ["--cgroup_path", "--cgroup-path"]),
        ("plaintap --format ", ["text", "json", "har:", "hex", "ecapture", "protobuf", "none"]),
        ("plaintap --color a", ["auto", "always"]),
        ("plaintap completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_shells_get_answers(cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str, expected: list[str]) -> None:
    cli.environ["_PLAINTAP_COMPLETE"] = "bash_complete"
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    outcome = cli()
    assert outcome.out.split() == [f"plain,{word}" for word in expected]
    assert not outcome.session.captures
