# SPDX-License-Identifier: Apache-2.0
"""Commands and their parameters, made from the models of config.py by click.

Owns the form of the help and which flags a command takes. click only cuts the words: what a
value must be is checked where the file and the environment are checked too (options.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import click

from plaintap.options import Group, Option

WIDTH = 100
_FLAGS_COLUMN = 34

Action: TypeAlias = Callable[[click.Context], int]


def _complete(option: Option) -> Callable[..., list[Any]]:
    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[Any]:
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - only when a shell asks

        if option.flag.metavar in ("FILE", "PATH"):
            return [CompletionItem(begun, type="file")]
        done, comma, last = begun.rpartition(",") if option.many else ("", "", begun)
        return [
            CompletionItem(done + comma + choice)
            for choice in (option.choices or option.flag.words)
            if choice.startswith(last)
        ]

    return complete


class Parameter(click.Option):
    """One option of a model on the command line; its value stays the text that was typed."""

    def __init__(self, option: Option) -> None:
        self.option = option
        kind: dict[str, Any] = {"metavar": metavar(option)}
        if option.switch:
            kind = {"is_flag": True}
        elif option.field == "verbose":
            kind = {"count": True}
        elif option.many:
            kind |= {"multiple": True}
        super().__init__(
            [*option.flag.names, option.field],
            help=help_text(option),
            shell_complete=None if option.switch else _complete(option),
            **kind,
        )


def metavar(option: Option) -> str:
    """What stands for the value in the help."""
    return option.flag.metavar or "|".join(option.choices)


def help_text(option: Option) -> str:
    """The help line of an option, with the default where that is a value."""
    if option.default is None or option.default == () or option.switch or option.field == "verbose":
        return option.flag.help
    default = ",".join(option.default) if option.many else option.default
    return f"{option.flag.help} [{default}]"


class _Help(click.Command):
    """The form of the help: usage, purpose, examples, then the flags under their headings."""

    usages: Sequence[str]
    examples: Sequence[tuple[str, str]]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "show this help"
        return option

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for number, usage in enumerate(self.usages):
            formatter.write(f"{'       ' if number else 'usage: '}plaintap {usage}\n")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_paragraph()
        formatter.write_text(self.help or "")
        if self.examples:
            with formatter.section("examples"):
                self._write_examples(formatter)

    def _write_examples(self, formatter: click.HelpFormatter) -> None:
        """Purposes beside the commands, or below where that is too wide: what can be typed is never wrapped."""
        rows = [(f"plaintap {words}".rstrip(), purpose) for words, purpose in self.examples]
        indent = " " * formatter.current_indent
        column = max(len(command) for command, _ in rows)
        lines = [f"{indent}{command:<{column}}  {purpose}\n" for command, purpose in rows]
        if max(map(len, lines)) > formatter.width + 1:
            lines = [f"{indent}{command}\n{indent}    {purpose}\n" for command, purpose in rows]
        formatter.write("".join(lines))

    def format_flags(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {group.value: [] for group in Group}
        for parameter in self.get_params(ctx):
            # Arguments are told by the usage line.
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                group = parameter.option.flag.group if isinstance(parameter, Parameter) else Group.REST
                rows[group.value].append(record)
        for heading, group_rows in rows.items():
            if group_rows:
                with formatter.section(heading):
                    formatter.write_dl(group_rows, col_max=_FLAGS_COLUMN)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_flags(ctx, formatter)


class Command(_Help):
    """One command; `action` returns the exit code."""

    def __init__(  # noqa: PLR0913 - all by keyword, each said once per command
        self,
        name: str,
        *,
        purpose: str,
        usage: str,
        action: Action,
        examples: Sequence[tuple[str, str]],
        options: Iterable[Option] = (),
        arguments: Iterable[click.Argument] = (),
        aliases: tuple[str, ...] = (),
        stop_at_word: bool = False,
    ) -> None:
        self.usages = [usage]
        self.examples = examples
        self.aliases = aliases
        also = f" (also: {', '.join(aliases)})" if aliases else ""
        super().__init__(
            name,
            params=[*map(Parameter, options), *arguments],
            callback=click.pass_context(lambda context, **_values: action(context)),
            help=purpose,
            short_help=purpose.partition(";")[0] + also,
            context_settings={"allow_interspersed_args": not stop_at_word},
        )


class Root(click.Group, _Help):
    """The word `plaintap` itself: finds the command, or runs `action` when none is named."""

    def __init__(
        self,
        *,
        purpose: str,
        usages: Sequence[str],
        examples: Sequence[tuple[str, str]],
        options: Iterable[Option],
        action: Action,
        commands: Sequence[Command],
        unknown: Callable[[str], Exception],
        words_to: Command,
    ) -> None:
        """Words that are no command are those of a packet filter where packets are asked for: `words_to` has them."""
        self.usages = usages
        self.examples = examples
        self._unknown = unknown
        self._words_to = words_to
        self._by_alias = {alias: command for command in commands for alias in command.aliases}

        def start(context: click.Context, **_values: object) -> int:
            return 0 if context.invoked_subcommand else action(context)

        super().__init__(
            "plaintap",
            params=[*map(Parameter, options)],
            callback=click.pass_context(start),
            help=purpose,
            invoke_without_command=True,
            commands={command.name: command for command in commands if command.name},
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._by_alias.get(cmd_name) or self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None and _asks_for_packets(ctx):
            return self._words_to.name, self._words_to, args
        if command is None:
            raise self._unknown(args[0])
        return command.name, command, args[1:]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.get_short_help_str(WIDTH)) for name, command in self.commands.items()]
        with formatter.section("commands"):
            formatter.write_dl(rows)
        self.format_flags(ctx, formatter)


def _asks_for_packets(context: click.Context) -> bool:
    return any(model.startswith("pcap") for given in context.params.get("model") or () for model in given.split(","))
