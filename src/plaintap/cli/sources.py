# SPDX-License-Identifier: Apache-2.0
"""Where settings come from besides the command line: PLAINTAP_* variables and one TOML file.

Owns finding and reading them and refusing names nobody knows. What a value must be is the
models' matter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from plaintap.config import MODELS, CommonConfig, all_options
from plaintap.errors import UsageError, reason
from plaintap.options import Layer, Model, Option, Setting, nearest, options

PREFIX = "PLAINTAP_"
SYSTEM_FILE = Path("/etc/plaintap/config.toml")
_SURE = 0.8
"""How like a variable must be to one of ours to be taken for a misspelt one: others may own the prefix too."""


class ConfigFile(NamedTuple):
    """A TOML file that was read; `tables` has the top level under ""."""

    path: Path
    tables: Mapping[str, Mapping[str, object]]

    def layer(self, model: type[Model]) -> Layer:
        """The settings it has for a model."""
        return {
            key: Setting(value, f"{model.section}.{key} in {self.path}" if model.section else f"{key} in {self.path}")
            for key, value in self.tables.get(model.section, {}).items()
        }


class Sources(NamedTuple):
    """What was found for one call."""

    environ: Mapping[str, str]
    file: ConfigFile | None

    def layers(self, model: type[Model]) -> list[Layer]:
        """The settings for a model, the strongest first."""
        layers = [environment_layer(model, self.environ)]
        return [*layers, self.file.layer(model)] if self.file else layers


def find_sources(environ: Mapping[str, str], named: Setting | None) -> Sources:
    """Reads what there is; `named` is the file given on the command line. Raises UsageError."""
    check_environment(environ)
    return Sources(environ, find_file(named or environment_layer(CommonConfig, environ).get("config"), environ))


def environment_layer(model: type[Model], environ: Mapping[str, str]) -> Layer:
    """The settings the environment has for a model; an empty variable is none."""
    return {
        option.key: Setting(environ[option.variable], option.variable)
        for option in options(model)
        if option.flag.in_environment and environ.get(option.variable)
    }


def check_environment(environ: Mapping[str, str]) -> None:
    """UsageError for a variable that looks like a misspelt one of ours."""
    known = {option.variable.removeprefix(PREFIX) for option in all_options() if option.flag.in_environment}
    for name in environ:
        word = name.removeprefix(PREFIX)
        if word == name or word in known:
            continue
        right = nearest(word, known, _SURE)
        if right:
            raise UsageError(f"unknown environment variable {name}", hint=f"did you mean {PREFIX}{right}?")


def find_file(explicit: Setting | None, environ: Mapping[str, str]) -> ConfigFile | None:
    """The file named, else the first of the user's and the system's that exists."""
    if explicit is not None:
        return read_file(Path(str(explicit.value)), explicit.label)
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else None)
    usual = [Path(home) / "plaintap/config.toml"] if home else []
    for path in (*usual, SYSTEM_FILE):
        # A folder we may not enter, as another user's home kept by sudo, holds nothing for us.
        with contextlib.suppress(PermissionError):
            if path.is_file():
                return read_file(path, "configuration")
    return None


def read_file(path: Path, label: str) -> ConfigFile:
    """Reads and checks the names in it; UsageError says what is wrong with which file."""
    import tomllib  # noqa: PLC0415 - only where there is a file, to keep the start short

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{label}: cannot read {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{label}: {path} is no UTF-8 text, byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{label}: {path} is no TOML: {str(error)[:1].lower()}{str(error)[1:]}") from error
    return ConfigFile(path, _tables(document, path))


def _tables(document: Mapping[str, object], path: Path) -> dict[str, Mapping[str, object]]:
    models = {model.section: model for model in MODELS}
    tables: dict[str, Mapping[str, object]] = {}
    top: dict[str, object] = {}
    for key, value in document.items():
        if key in models and isinstance(value, dict):
            tables[key] = value
        elif key in models:
            raise UsageError(f"{key} in {path}: expected a table [{key}], got {value!r}")
        else:
            top[key] = value
    tables[""] = top
    for section, table in tables.items():
        for key in table:
            _check_key(key, models[section], path, tables=models)
    return tables


def _check_key(key: str, model: type[Model], path: Path, *, tables: Mapping[str, type[Model]]) -> None:
    known = [option for option in options(model) if option.flag.in_file]
    if any(option.key == key for option in known):
        return
    spelt: dict[str, Option] = {}
    for option in known:
        spelt |= {name.lstrip("-").replace("-", "_"): option for name in option.flag.names if name.startswith("--")}
    where = f"[{model.section}]" if model.section else "the top level"
    raise UsageError(f"unknown key {key} in {where} of {path}", hint=_key_hint(key, model, spelt, tables))


def _key_hint(key: str, model: type[Model], spelt: Mapping[str, Option], tables: Mapping[str, type[Model]]) -> str:
    for option in all_options():
        if option.key == key and option.section != model.section:
            home = f"in the table [{option.section}]" if option.section else "at the top level, before any table"
            return f"{key} stands {home}"
        if option.key == key:
            return f"{key} can only be given on the command line"
    right = nearest(key, spelt)
    if right:
        return f"did you mean {spelt[right].key}?"
    table = None if model.section else nearest(key, filter(None, tables))
    return f"did you mean [{table}]?" if table else "docs/configuration.md lists all keys"
