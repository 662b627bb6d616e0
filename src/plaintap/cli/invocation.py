# SPDX-License-Identifier: Apache-2.0
"""One call of the command line: what was typed, and the models that come of it with the other sources.

Owns joining flags before and after the command word, naming an option as the user typed it, and
the one place where the session is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click
from click.core import ParameterSource
from msgspec.structs import replace

from plaintap.cli.command import Parameter
from plaintap.config import MODULES, CaptureConfig, CommonConfig, ReplayConfig
from plaintap.config_packets import PACKETS_FILE
from plaintap.config_show import KEYLOG_FILE
from plaintap.errors import UsageError
from plaintap.options import ModelT, Option, Setting, load, options

if TYPE_CHECKING:
    from plaintap.cli.reporter import Reporter


class RunningCapture(Protocol):
    """What may be asked of a capture while it runs."""

    def stop(self) -> None:
        """Ends it soon; from any thread."""


class SessionApi(Protocol):
    """What the command line needs of plaintap.session; both return an exit code."""

    def capture(
        self,
        config: CaptureConfig,
        *,
        command: Sequence[str] | None,
        reporter: Reporter,
        after_start: Callable[[RunningCapture], None] | None = None,
    ) -> int: ...

    def replay(self, config: ReplayConfig, *, reporter: Reporter) -> int: ...


@dataclass(slots=True, kw_only=True)
class Invocation:
    """The outer world of one call; tests give their own."""

    arguments: Sequence[str]
    environ: MutableMapping[str, str]
    import_session: Callable[[], SessionApi]
    debug: bool = False


def spelling(option: Option, arguments: Sequence[str]) -> str:
    """The name under which the option was last typed."""
    found = option.flag.names[0]
    for word in arguments:
        if word == "--":
            break
        for name in option.flag.names:
            if word == name or word.startswith(f"{name}=" if name.startswith("--") else name):
                found = name
    return found


def _typed(context: click.Context) -> Iterator[tuple[Option, object]]:
    for parameter in context.command.params:
        if not isinstance(parameter, Parameter) or parameter.name is None:
            continue
        if context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            yield parameter.option, context.params[parameter.name]


def _joined(before: object, after: object) -> object:
    if isinstance(before, tuple) and isinstance(after, tuple):
        return before + after
    if isinstance(before, int) and isinstance(after, int) and not isinstance(after, bool):
        return before + after
    return after


class Settings:
    """All that was set for one command, by whatever way; `load` makes its models."""

    def __init__(self, context: click.Context) -> None:
        # Help needs none of this, and pathlib alone is 5 ms of it.
        from plaintap.cli.sources import find_sources  # noqa: PLC0415

        invocation = context.find_object(Invocation)
        assert invocation is not None
        self.invocation = invocation
        self._command = context.command
        self._typed: dict[str, dict[str, Setting]] = {}
        for place in filter(None, (context.parent, context)):
            self._add_typed(place, context)
        self._sources = find_sources(invocation.environ, self._typed.get("", {}).get("config"))
        self.common = self.load(CommonConfig)
        invocation.debug = self.common.debug

    def _add_typed(self, place: click.Context, context: click.Context) -> None:
        for option, value in _typed(place):
            label = spelling(option, self.invocation.arguments)
            if not self._takes(option):
                path = context.command_path
                raise UsageError(f"{label} is no flag of `{path}`", hint=f"`{path} --help` lists its flags")
            section = self._typed.setdefault(option.section, {})
            before = section.get(option.key)
            section[option.key] = Setting(_joined(before.value, value) if before else value, label)

    def _takes(self, option: Option) -> bool:
        return any(isinstance(p, Parameter) and p.option.path == option.path for p in self._command.params)

    def load(self, model: type[ModelT], *, every: bool = False) -> ModelT:
        """A model of what this command takes; with `every` also what only the file and the environment can say."""
        layers = [self._typed.get(model.section, {}), *self._sources.layers(model)]
        return load(model, *layers, accept=None if every else self._takes)

    def typed(self, field: str) -> str:
        """The flag that set a common option on the command line, as it was typed; "" when none did."""
        option = next(option for option in options(CommonConfig) if option.field == field)
        setting = self._typed.get("", {}).get(option.key)
        return setting.label if setting else ""

    def modules(
        self,
        names: Sequence[str],
        *,
        keylogfile: str = KEYLOG_FILE,
        pcapfile: str = PACKETS_FILE,
        filter_words: Sequence[str] = (),
    ) -> CaptureConfig:
        """What to capture with these modules; in `all` their own options come from the file and the environment."""
        common = self.common
        if common.wants_keylog and common.keylogfile is None:
            common = replace(common, keylogfile=keylogfile)
        if common.wants_packets and common.pcapfile is None:
            common = replace(common, pcapfile=pcapfile)
        if filter_words:
            common = replace(common, pcapfilter=" ".join(filter_words))
        return CaptureConfig(common=common, modules={name: self.load(MODULES[name], every=True) for name in names})
