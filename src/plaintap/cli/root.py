# SPDX-License-Identifier: Apache-2.0
"""The command `plaintap`: the list of commands, and what is said of words and flags nobody knows."""

from __future__ import annotations

import click

from plaintap import __version__
from plaintap.cli import capture, completion, ctl, gnutls, gotls, har, help, layouts, replay, run, tls  # noqa: A004 - named after its command
from plaintap.cli.command import Command, Parameter, Root
from plaintap.errors import UsageError
from plaintap.options import nearest

COMMANDS: tuple[Command, ...] = (
    capture.COMMAND,
    tls.COMMAND,
    gotls.COMMAND,
    gnutls.COMMAND,
    run.COMMAND,
    replay.COMMAND,
    ctl.COMMAND,
    har.COMMAND,
    layouts.COMMAND,
    completion.COMMAND,
    help.COMMAND,
)

# What users of eCapture may type and this version cannot do; a name leaves the table with its feature.
LATER_COMMANDS = frozenset("nss nspr bash zsh mysqld postgres".split())
FILTER_WORDS = frozenset("arp dst ether greater host icmp icmp6 ip ip6 less net not port portrange src tcp udp".split())
"""That an expression of pcap-filter(7) begins with."""
LATER_FLAGS = {
    name: feature
    for names, feature in {
        "-b --btf": "choosing bytecode",
    }.items()
    for name in names.split()
}


def unknown_word(word: str) -> UsageError:
    """For a first word that is no command."""
    if word in LATER_COMMANDS:
        return UsageError(f"the module {word} is not in this version", hint="`plaintap tls` captures OpenSSL")
    names = [name for command in COMMANDS for name in (command.name or "", *command.aliases)]
    if right := nearest(word, names):
        return UsageError(f"no command {word}", hint=f"did you mean `plaintap {right}`?")
    if word in FILTER_WORDS:
        return UsageError(
            "filter words need -m pcap", hint="--filter chooses messages, --pid, --comm and --uid processes"
        )
    commands = ", ".join(command.name or "" for command in COMMANDS)
    return UsageError(f"no command {word}", hint=f"commands are {commands}")


def unknown_flag(name: str, context: click.Context | None) -> UsageError:
    """For a flag the command does not take: the nearest one it does, or the command that takes it."""
    path = context.command_path if context else "plaintap"
    if name in LATER_FLAGS:
        return UsageError(
            f"{name} is not in this version: {LATER_FLAGS[name]}", hint=f"`{path} --help` lists the flags"
        )
    homes = [f"`plaintap {command.name}`" for command in COMMANDS if name in _flags(command)]
    if homes:
        return UsageError(f"{name} is no flag of `{path}`", hint=f"{name} belongs to {' and '.join(homes)}")
    if right := nearest(name, _flags(context.command) if context else []):
        return UsageError(f"no flag {name}", hint=f"did you mean {right}?")
    return UsageError(f"no flag {name}", hint=f"`{path} --help` lists the flags")


def _flags(command: click.Command) -> list[str]:
    return [flag for parameter in command.params if isinstance(parameter, Parameter) for flag in parameter.opts]


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"plaintap {__version__}")
        context.exit()


ROOT = Root(
    purpose="show what the processes of this host say inside TLS: no CA, no proxy, no restart",
    usages=["[FLAGS]", "COMMAND [FLAGS]"],
    examples=[
        ("", "everything, until Ctrl-C"),
        ("-v --comm curl", "one program, headers and bodies"),
        ("run -- curl https://example.com/", "a program from its first byte"),
        ("-m keylog -k keys.log", "the keys, for Wireshark"),
        ("--record day.ptap --format none", "keep it, for plaintap replay"),
    ],
    options=capture.OPTIONS,
    action=capture.capture_all,
    commands=COMMANDS,
    unknown=unknown_word,
    words_to=capture.COMMAND,
)
ROOT.params.append(
    click.Option(
        ["-V", "--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="show the version",
    )
)
