# SPDX-License-Identifier: Apache-2.0
"""How an option is described, and how its value is found and checked.

Owns the description (`Flag`), what derives from it (`Option`), and loading a model from layers of
settings. Which options there are is config.py; where layers come from is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Struct, ValidationError, convert

from plaintap.errors import UsageError

_NEAR = 0.6


class Group(StrEnum):
    """Under which heading an option stands in the help."""

    WHAT = "what to capture"
    SHOW = "what to show"
    END = "where to start and stop"
    REST = "more"


class Flag(Struct, frozen=True, kw_only=True):
    """What a model's field says about itself beside its type and default."""

    names: tuple[str, ...]
    """As typed; the first long one also names the key in the file and the variable."""
    help: str
    group: Group
    metavar: str = ""
    expects: str = ""
    """What a refused value is told: `expected …`; not needed for choices and switches."""
    hint: str | None = None
    words: tuple[str, ...] = ()
    """What a shell may complete where the type alone does not tell."""
    default_text: str = ""
    """What the default means where the value itself would not tell."""
    parse: Callable[[object], object] | None = None
    """From text or a TOML value to what the type takes; raises ValueError with the reason."""
    replay: bool = False
    """Of use without a kernel too."""
    in_file: bool = True
    in_environment: bool = True


def flag(*names: str, help: str, group: Group, **rest: Any) -> Flag:  # noqa: A002, ANN401 - as Flag names them
    return Flag(names=names, help=help, group=group, **rest)


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all models; `load` makes them, or a program with keywords."""

    section: ClassVar[str]
    """Its table in the file; "" is the top level."""


class Option(Struct, frozen=True, kw_only=True):
    """One field of one model, with all that derives from it."""

    section: str
    field: str
    flag: Flag
    type: Any
    """What msgspec converts to; without None."""
    default: Any
    many: bool
    choices: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its name in the file."""
        return self.long_name[2:].replace("-", "_")

    @property
    def long_name(self) -> str:
        """Its first long flag."""
        return next(name for name in self.flag.names if name.startswith("--"))

    @property
    def path(self) -> str:
        """Its name in the file with the table's."""
        return f"{self.section}.{self.key}" if self.section else self.key

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "PLAINTAP_" + self.path.replace(".", "_").upper()

    @property
    def switch(self) -> bool:
        """On the command line it takes no value."""
        return self.type is bool

    @property
    def hint(self) -> str:
        """The next step for one whose value was refused."""
        if self.flag.hint:
            return self.flag.hint
        return f"without {self.long_name}: {self.default_words}"

    @property
    def default_words(self) -> str:
        """What holds where nobody sets it."""
        if self.flag.default_text or self.default is None:
            return self.flag.default_text or "none"
        if self.switch:
            return "off"
        return ",".join(map(str, self.default)) if self.many else str(self.default)

    @property
    def expects(self) -> str:
        """What a value must be, in words."""
        if self.choices:
            *most, last = self.choices
            return f"{', '.join(most)} or {last}" if most else last
        return self.flag.expects or "true or false"


def _without_none(hint: Any) -> Any:  # noqa: ANN401 - a type expression
    arguments = get_args(hint)
    return next(part for part in arguments if part is not NoneType) if NoneType in arguments else hint


@cache
def options(model: type[Model]) -> tuple[Option, ...]:
    """The options of a model by heading, under each in the order of its fields."""
    hints = get_type_hints(model, include_extras=True)
    found = []
    for name, default in zip(model.__struct_fields__, model.__struct_defaults__, strict=True):
        hint, *limits, flag = get_args(hints[name])
        kind = Annotated[(_without_none(hint), *limits)] if limits else _without_none(hint)
        many = get_origin(kind) is tuple
        item = get_args(kind)[0] if many else kind
        choices = get_args(item) if get_origin(item) is Literal else ()
        found.append(
            Option(section=model.section, field=name, flag=flag, type=item, default=default, many=many, choices=choices)
        )
    headings = list(Group)
    return tuple(sorted(found, key=lambda option: headings.index(option.flag.group)))


def nearest(word: str, names: Iterable[str], cutoff: float = _NEAR) -> str | None:
    """The name most like `word`, if one is."""
    from difflib import get_close_matches  # noqa: PLC0415 - 5 ms that only a mistake should cost

    return next(iter(get_close_matches(word, list(names), 1, cutoff)), None)


class Setting(NamedTuple):
    """A value somebody set, and how they named the option."""

    value: object
    label: str


Layer = Mapping[str, Setting]
"""Settings by `Option.key`."""
ModelT = TypeVar("ModelT", bound=Model)


def _items(value: object) -> list[object]:
    parts = value if isinstance(value, list | tuple) else [value]
    split: list[object] = []
    for part in parts:
        split += [word.strip() for word in part.split(",")] if isinstance(part, str) else [part]
    return list(dict.fromkeys(split)) if all(isinstance(part, str | int) for part in split) else split


def parse(option: Option, setting: Setting) -> object:
    """The value of a field; UsageError names the option as it was written."""

    def one(value: object) -> object:
        try:
            parsed = option.flag.parse(value) if option.flag.parse else value
        except ValueError as error:
            raise UsageError(f"{setting.label}: {error}", hint=option.hint) from None
        try:
            # The text of TOML or a variable may stand for a number or a switch.
            return None if parsed is None else convert(parsed, option.type, strict=False)
        except ValidationError:
            raise UsageError(f"{setting.label}: expected {option.expects}, got {value!r}", hint=option.hint) from None

    if option.many:
        items = _items(setting.value)
        if option.default and not items:
            raise UsageError(f"{setting.label}: expected {option.expects}, got nothing", hint=option.hint)
        # Two spellings may mean the same.
        return tuple(dict.fromkeys(map(one, items)))
    return one(setting.value)


def load(model: type[ModelT], *layers: Layer, accept: Callable[[Option], bool] | None = None) -> ModelT:
    """A model from layers, the strongest first; options that `accept` refuses keep their default."""
    values = {}
    for option in options(model):
        setting = next((layer[option.key] for layer in layers if option.key in layer), None)
        if setting is not None and (accept is None or accept(option)):
            values[option.field] = parse(option, setting)
    return model(**values)
