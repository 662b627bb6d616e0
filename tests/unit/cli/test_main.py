# SPDX-License-Identifier: Apache-2.0
"""How a call ends: exit codes, the form of errors, bugs, closed pipes, help, and what a start imports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_cli import Cli

from plaintap import __version__
from plaintap.cli.docs import PAGE, configuration_page
from plaintap.cli.root import COMMANDS, LATER_COMMANDS, LATER_FLAGS, ROOT
from plaintap.config import all_options
from plaintap.errors import KernelError, PlaintapError, TargetError, UsageError

REPOSITORY = Path(__file__).parents[3]
HEAVY = {"capstone", "ssl", "socket", "httptools", "brotli", "zstandard", "json", "asyncio", "tomllib", "difflib"}


def plaintap(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """The real program in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "PLAINTAP_CONFIG": "/dev/null"}
    command = [sys.executable, "-m", "plaintap", *arguments]
    return subprocess.run(command, env=environ, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_sessions_exit_code_is_ours(cli: Cli, code: int) -> None:
    cli.session.code = code
    assert cli().code == code
    assert cli("replay", "x").code == code


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (TargetError("no such process", hint="look again"), 1, "plaintap: no such process\n  hint: look again\n"),
        (KernelError("refused"), 1, "plaintap: refused\n"),
        (UsageError("wrong"), 2, "plaintap: wrong\n"),
        (PlaintapError("odd name \x1b[31m\n"), 1, "plaintap: odd name \\x1b[31m\\n\n"),
        (
            KernelError("refused\n  (3 lines left out)\n  R1 is\tbad"),
            1,
            "plaintap: refused\n  (3 lines left out)\n  R1 is\\tbad\n",
        ),
        (KeyboardInterrupt(), 130, "plaintap: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_the_way_out(cli: Cli, error: BaseException, code: int, text: str) -> None:
    cli.session.error = error
    outcome = cli()
    assert (outcome.code, outcome.out, outcome.err) == (code, "", text)


def test_a_bug_is_called_one(cli: Cli) -> None:
    cli.session.error = ZeroDivisionError("by zero")
    outcome = cli()
    assert outcome.code == 1
    assert outcome.err == (
        "plaintap: this is a bug in plaintap: ZeroDivisionError: by zero\n"
        "  hint: the same command with -d shows where it happened\n"
    )


def test_a_pipe_of_ours_that_breaks_is_a_bug(cli: Cli) -> None:
    cli.session.error = BrokenPipeError(32, "Broken pipe")
    outcome = cli()
    assert outcome.code == 1
    assert outcome.err.startswith("plaintap: this is a bug in plaintap: BrokenPipeError")


@pytest.mark.parametrize(("words", "variable"), [(["-d"], ""), (["tls", "-vd"], ""), ([], "1")])
def test_a_bug_shows_its_traceback_with_debug(cli: Cli, words: list[str], variable: str) -> None:
    cli.environ["PLAINTAP_DEBUG"] = variable
    cli.session.error = ZeroDivisionError("by zero")
    err = cli(*words).err
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith("plaintap: this is a bug in plaintap: ZeroDivisionError: by zero\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mapsize"], "--mapsize requires an argument"),
        (["tls", "--hex=1"], "--hex does not take a value"),
        (["tls", "--mapsize", "0"], "--mapsize: expected a size in KB per CPU from 1 to 1048576, got '0'"),
        (["-p", "x", "tls"], "-p: expected process ids, whole numbers from 1, got 'x'"),
        (["--pid=x"], "--pid: expected process ids, whole numbers from 1, got 'x'"),
        (["-tx"], "-t: expected a number of bytes from 0, got 'x'"),
        (["--tsize", "x"], "--tsize: expected a number of bytes from 0, got 'x'"),
        (["-m", "keylog,pdf"], "-m: expected text, keylog or pcap, got 'pdf'"),
        (["tls", "-i", "lo"], "-i is of -m pcap, which was not asked for"),
        (["tls", "-m", "pcap", "-W", "3"], "-W says how many files are kept, but there is only one"),
        (["tls", "-m", "pcap", "--snaplen", "0"], "--snaplen: expected a number of bytes from 1 to 262144, got '0'"),
        (["tls", "-m", "pcap,keylog", "-w", "x", "-k", "./x"], "-k and -w are the same file, ./x"),
        (["tls", "-m", "pcap", "-w", "x", "--record", "x"], "--record and -w are the same file, x"),
        (["tls", "-m", "pcap,keylog", "-w", "-", "-k", "-"], "-k - and -w - would both write standard output"),
        (
            ["tls", "-m", "text,pcap", "-w", "-"],
            "-w -: standard output is where the text goes, and packets between it are no file",
        ),
        (["tls", "-m", "pcap", "-w", "-", "-C", "1"], "-w -: standard output is one file, -C and -G begin others"),
        (
            ["run", "-m", "pcap", "-w", "-", "--", "x"],
            "-w -: standard output is the command's, and packets between it are no file",
        ),
        (["replay", "x", "-m", "pcap"], "a recording holds no packets, -m pcap does not go with it"),
        (["-k", "x"], "-k names the file of -m keylog, which was not asked for"),
        (["replay", "x", "--keylogfile=y"], "--keylogfile names the file of -m keylog, which was not asked for"),
        (
            ["run", "-m", "keylog", "-k", "-", "--", "true"],
            "-k -: standard output is the command's, and keys between it are no key log",
        ),
        (["replay", "x", "-m", "keylog", "-k", "./x"], "-k is the recording itself, x"),
        (["-m", "keylog", "-k", "x", "--record", "./x"], "--record and -k are the same file, ./x"),
        (["layouts", "--check", ""], "--check needs a library or a program"),
        (
            ["-m", "text,keylog", "-k", "-"],
            "-k -: standard output is where the text goes, and keys between it are no key log",
        ),
        (
            ["tls", "-m", "keylog", "--count", "1"],
            "--count does not go without -m text: keys and packets make no exchanges",
        ),
        (
            ["replay", "x", "-m", "keylog", "--count", "1"],
            "--count does not go without -m text: keys and packets make no exchanges",
        ),
        (
            ["--count", "1", "--format", "none"],
            "--count does not go with --format none, which makes no exchanges of what it sees",
        ),
        (
            ["run", "--count=1", "--format=none", "true"],
            "--count does not go with --format none, which makes no exchanges of what it sees",
        ),
        (["--sample", "-p", "1"], "--sample does not go with --pid: the curl it starts would be left out"),
        (["tls", "--sample", "-u", "0"], "--sample does not go with --uid: the curl it starts would be left out"),
        (["--sample", "--comm", "wget"], "--sample does not go with --comm: the curl it starts would be left out"),
        (
            ["--sample", "--cgroup-path", "/x"],
            "--sample does not go with --cgroup_path: the curl it starts would be left out",
        ),
        (["tls", "--model", "pdf"], "--model: expected text, keylog or pcap, got 'pdf'"),
        (["completion", "bash", "zsh"], "got unexpected extra argument (zsh)"),
        (["run", "--pod", "--", "x"], "no flag --pod"),
    ],
)
def test_wrong_use_names_what_was_typed(cli: Cli, words: list[str], message: str) -> None:
    assert cli.refused(*words).startswith(f"plaintap: {message}\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--mapsze", "1"], "did you mean --mapsize?"),
        (["tls", "--libsll", "x"], "did you mean --libssl?"),
        (["tls", "--colour", "x"], "did you mean --color?"),
        (["--realtime"], "--realtime belongs to `plaintap replay`"),
        (["tls", "--modules", "tls"], "--modules belongs to `plaintap all` and `plaintap run`"),
        (["--mapsize"], "`plaintap --help` shows what it takes"),
        (["layouts", "--check"], "`plaintap layouts --help` shows what it takes"),
        (["tls", "-Z"], "`plaintap tls --help` lists the flags"),
        (["tls", "-w", "x.pcapng"], "to capture packets: -m pcap"),
    ],
)
def test_unknown_flags_have_a_hint(cli: Cli, words: list[str], hint: str) -> None:
    assert cli.refused(*words).endswith(f"  hint: {hint}\n")


def test_flags_of_later_versions_are_known_as_such(cli: Cli) -> None:
    assert cli.refused("tls", "-b", "1").startswith("plaintap: -b is not in this version: choosing bytecode\n")


def test_what_is_there_is_not_listed_as_missing() -> None:
    assert not LATER_FLAGS.keys() & {name for option in all_options() for name in option.flag.names}
    assert not LATER_COMMANDS & {name for command in COMMANDS for name in (command.name, *command.aliases)}


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"plaintap {__version__}\n"
    assert cli("-V", "tls").out == f"plaintap {__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(cli: Cli, words: list[str]) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("usage: plaintap [FLAGS]\n")
    for command in COMMANDS:
        assert f"\n  {command.name} " in outcome.out


@pytest.mark.parametrize("columns", ["50", "80", "200"])
def test_examples_are_never_wrapped(cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for words in ([], *([command.name] for command in COMMANDS)):
        _, _, rest = cli(*filter(None, words), "--help").out.partition("\nexamples:\n")
        lines = [line.strip() for line in rest.partition("\n\n")[0].splitlines()]
        command = next((command for command in COMMANDS if [command.name] == words), ROOT)
        for example, purpose in command.examples:
            typed = f"plaintap {example}".rstrip()
            assert any(line == typed or (line.startswith(typed) and line.endswith(f"  {purpose}")) for line in lines)
            assert any(line.endswith(purpose) for line in lines)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_commands_help_has_examples_and_its_flags(cli: Cli, command: object) -> None:
    name = str(command.name)  # type: ignore[attr-defined]
    outcome = cli(name, "--help")
    assert outcome.out.startswith(f"usage: plaintap {name} ")
    assert f"\nexamples:\n  plaintap {name} " in outcome.out
    for parameter in command.params:  # type: ignore[attr-defined]
        if getattr(parameter, "option", None):
            assert f"{parameter.opts[-1]}" in outcome.out
    assert cli("help", name).out == outcome.out


def test_the_examples_of_the_help_are_right(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [words for command in COMMANDS for words, _ in command.examples]
    for words in examples:
        if words.startswith(("completion", "ctl", "har", "help", "layouts --check")):
            continue
        outcome = cli(*words.replace("www-data", "0").split())
        assert (outcome.code, outcome.err) == (0, ""), words


def test_alias_has_the_help_of_its_command(cli: Cli) -> None:
    assert "\n  tls " in cli("--help").out
    assert cli("openssl", "--help").out == cli("tls", "--help").out


def test_the_configuration_page_is_current() -> None:
    page = REPOSITORY / "docs" / PAGE
    assert page.read_text() == configuration_page(), "run `make docs`"


def test_help_imports_nothing_slow() -> None:
    script = "import sys\nfrom plaintap.cli.main import main\nmain(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    environ = {"PYTHONPATH": str(REPOSITORY / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", script], env=environ, text=True, capture_output=True, check=True)
    assert done.stdout.startswith("usage: plaintap")
    imported = set(done.stderr.split())
    assert "plaintap.cli.main" in imported
    assert not imported & HEAVY
    stages = {"plaintap.session", "plaintap.runtime", "plaintap.modules", "plaintap.targets", "plaintap._native"}
    assert not imported & {*stages, "plaintap.protocols", "plaintap.streams", "plaintap.events"}


def test_as_a_program() -> None:
    done = plaintap("--version", capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"plaintap {__version__}\n", "")
    done = plaintap("--mapsze", "1", capture_output=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "plaintap: no flag --mapsze\n  hint: did you mean --mapsize?\n"


def test_a_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = plaintap("--help", stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_named() -> None:
    with Path("/dev/full").open("w") as full:
        done = plaintap("--help", stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "plaintap: cannot write: no space left on device\n")


def test_a_closed_standard_output_is_no_error() -> None:
    command = f"exec {sys.executable} -m plaintap --help >&-"
    environ = {"PYTHONPATH": str(REPOSITORY / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", command], env=environ, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


INTERRUPT_AN_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from plaintap.__main__ import main
sys.exit(main())
"""


def test_an_interrupt_while_it_is_still_imported_is_quiet() -> None:
    environ = {"PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-c", INTERRUPT_AN_IMPORT]
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_a_closed_standard_error_puts_nothing_on_standard_output() -> None:
    command = f"exec {sys.executable} -m plaintap --mapsze 1 2>&-"
    environ = {"PYTHONPATH": str(REPOSITORY / "src"), "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", command], env=environ, stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


OPEN_SOMETHING = """
import os, sys
from plaintap.cli.main import main
class Session:
    def replay(self, config, *, reporter):
        fd = os.open("kept", os.O_WRONLY | os.O_CREAT)
        for number in range(3):
            os.write(number, b"stray")
        return fd
sys.exit(main(["replay", "x"], import_session=Session))
"""


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_nothing_we_open_becomes_a_standard_stream(tmp_path: Path, closed: str) -> None:
    environ = {"PYTHONPATH": str(REPOSITORY / "src"), "PLAINTAP_CONFIG": "/dev/null", "HOME": str(tmp_path)}
    command = ["sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, OPEN_SOMETHING]
    with Path("/dev/null").open("r+b") as null:
        done = subprocess.run(
            command, cwd=tmp_path, env=environ, stdin=null, stdout=null, stderr=subprocess.DEVNULL, check=False
        )
    assert done.returncode >= 3
    assert (tmp_path / "kept").read_bytes() == b""
