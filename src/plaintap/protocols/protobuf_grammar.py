# SPDX-License-Identifier: Apache-2.0
"""The language of .proto files (proto2, proto3, editions): one file's text to what it declares.

Looks at what decoding needs: messages, enums, services. Options, extensions and reserved ranges are read over. Names
are resolved by protobuf_schema.py.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from plaintap.errors import UsageError

NESTING_LIMIT = 64
"""Messages declared within messages, and braces within options."""

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<number>0[xX][0-9a-fA-F]+ | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?f?)
      | (?P<string>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')
      | (?P<symbol>[{}\[\]()<>=;,.:/+-])""",
    re.VERBOSE | re.DOTALL,
)
_LABELS = frozenset(("optional", "required", "repeated"))
_VISIBILITIES = frozenset(("export", "local"))
_CLOSING = {"{": "}", "[": "]", "<": ">", "(": ")"}
_HINT = "--proto takes .proto files that protoc takes too"


class Place(NamedTuple):
    """Somewhere in a file, to be named in an error."""

    file: str
    line: int
    column: int

    def error(self, what: str, *, hint: str = _HINT) -> UsageError:
        return UsageError(f"{self.file}:{self.line}:{self.column}: {what}", hint=hint)


@dataclass(slots=True)
class FieldDeclared:
    """`type_name` as written; `key_type` is that of a map."""

    name: str
    number: int
    type_name: str
    place: Place
    repeated: bool = False
    key_type: str = ""


@dataclass(slots=True)
class MessageDeclared:
    """`name` is the full one, without a dot before it."""

    name: str
    place: Place
    fields: list[FieldDeclared] = field(default_factory=list)


@dataclass(slots=True)
class EnumDeclared:
    """Names of values by number; the first of several for the same."""

    name: str
    place: Place
    values: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class MethodDeclared:
    """Of a service, whose full name it has."""

    service: str
    name: str
    request: str
    response: str
    place: Place


@dataclass(slots=True)
class FileDeclared:
    """All of a file, nested messages and enums beside the others."""

    package: str = ""
    imports: list[tuple[str, Place]] = field(default_factory=list)
    messages: list[MessageDeclared] = field(default_factory=list)
    enums: list[EnumDeclared] = field(default_factory=list)
    methods: list[MethodDeclared] = field(default_factory=list)


def parse(file: str, text: str) -> FileDeclared:
    """UsageError names `file`, line and column of what cannot be read."""
    return _Parser(file, text.removeprefix("\ufeff")).parse()


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def _tokens(file: str, text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            line_start = text.rfind("\n", 0, at) + 1
            place = Place(file, text.count("\n", 0, at) + 1, at - line_start + 1)
            raise place.error(f"expected a .proto file's word, got {text[at]!r}")
        if match.lastgroup != "space":
            yield _Token(match.lastgroup or "", match.group(), at)
        at = match.end()
    # So many that looking ahead needs no care.
    for _ in range(3):
        yield _Token("end", "", len(text))


class _Parser:
    """Recursive descent, a method for each construct; `_next` is the token to be read."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._tokens = list(_tokens(file, text))
        self._index = 0
        self._declared = FileDeclared()

    def parse(self) -> FileDeclared:
        scope = ""
        while self._next.kind != "end":
            word = self._next
            if word.text in ("syntax", "edition", "option"):
                self._skip_statement()
            elif word.text == "package":
                self._take()
                scope = self._declared.package = self._type_name()
                self._expect(";")
            elif word.text == "import":
                self._import()
            elif word.text == "service":
                self._service(scope)
            elif not self._declaration(scope, depth=0):
                raise self._unexpected("message, enum, service, import, package or option")
        return self._declared

    # Tokens.

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self) -> _Token:
        token = self._tokens[self._index]
        if token.kind == "end":
            raise self._unexpected("more")
        self._index += 1
        return token

    def _here(self) -> Place:
        at = self._next.at
        line = bisect_right(self._line_starts, at)
        return Place(self._file, line, at - self._line_starts[line - 1] + 1)

    def _unexpected(self, expected: str) -> UsageError:
        got = repr(self._next.text) if self._next.text else "the end of the file"
        return self._here().error(f"expected {expected}, got {got}")

    def _expect(self, text: str) -> None:
        if not self._maybe(text):
            raise self._unexpected(repr(text))

    def _maybe(self, text: str) -> bool:
        if self._next.text != text or self._next.kind == "string":
            return False
        self._index += 1
        return True

    def _name(self) -> str:
        if self._next.kind != "name":
            raise self._unexpected("a name")
        return self._take().text

    def _type_name(self) -> str:
        name = "." if self._maybe(".") else ""
        name += self._name()
        while self._maybe("."):
            name += "." + self._name()
        return name

    def _number(self) -> int:
        sign = -1 if self._maybe("-") else 1
        text = self._next.text
        base = 16 if text[:2] in ("0x", "0X") else 8 if text.startswith("0") and text != "0" else 10
        try:
            number = int(text, base)
        except ValueError:
            raise self._unexpected("a whole number") from None
        self._take()
        return sign * number

    def _skip_statement(self) -> None:
        """To the semicolon that ends it."""
        while not self._maybe(";"):
            if self._next.text == "{":
                self._skip_braces()
            else:
                self._take()

    def _skip_braces(self) -> None:
        """From an opening brace of any kind to the one that closes it."""
        open_braces: list[str] = []
        while True:
            token = self._take()
            if token.kind == "symbol" and token.text in "{[(":
                open_braces.append(_CLOSING[token.text])
                if len(open_braces) > NESTING_LIMIT:
                    raise self._unexpected(f"at most {NESTING_LIMIT} braces in one another")
            elif token.kind == "symbol" and token.text in "}])":
                if token.text != open_braces.pop():
                    self._index -= 1
                    raise self._unexpected("the brace that closes the last one")
                if not open_braces:
                    return

    # Declarations.

    def _import(self) -> None:
        self._take()
        place = self._here()
        if self._next.text in ("public", "weak", "option"):
            self._take()
        if self._next.kind != "string":
            raise self._unexpected("a file's name in quotes")
        name = ""
        while self._next.kind == "string":
            name += self._take().text[1:-1]
        self._expect(";")
        self._declared.imports.append((name, place))

    def _declaration(self, scope: str, *, depth: int) -> bool:
        """A message, an enum, an extension or nothing; False where it is none of these."""
        if self._next.text in _VISIBILITIES and self._tokens[self._index + 1].text in ("message", "enum"):
            self._take()
        word = self._next.text
        if word == ";":
            self._take()
        elif word == "message":
            self._take()
            place = self._here()
            self._message(_within(scope, self._name()), place, depth=depth)
        elif word == "enum":
            self._enum(scope)
        elif word == "extend":
            self._take()
            self._type_name()
            self._skip_braces()
        else:
            return False
        return True

    def _message(self, name: str, place: Place, *, depth: int) -> None:
        if depth > NESTING_LIMIT:
            raise place.error(f"expected at most {NESTING_LIMIT} messages in one another, got more")
        message = MessageDeclared(name, place)
        self._declared.messages.append(message)
        self._expect("{")
        while not self._maybe("}"):
            follows = self._tokens[self._index + 1]
            # A field's type may have the name of a statement; then a name and "=" follow.
            is_field = (
                follows.kind == "name" and self._tokens[self._index + 2].text == "=" and self._next.text != "option"
            )
            if is_field or not self._member(message, depth=depth):
                self._field(message, depth=depth)

    def _member(self, message: MessageDeclared, *, depth: int) -> bool:
        """What is no field; False where it is one."""
        word = self._next.text
        if word in ("option", "reserved", "extensions"):
            self._skip_statement()
        elif word == "oneof":
            self._take()
            self._name()
            self._expect("{")
            while not self._maybe("}"):
                if self._next.text == "option":
                    self._skip_statement()
                elif not self._maybe(";"):
                    self._field(message, depth=depth)
        elif word == "map" and self._tokens[self._index + 1].text == "<":
            self._map(message)
        else:
            return self._declaration(message.name, depth=depth + 1)
        return True

    def _field(self, message: MessageDeclared, *, depth: int) -> None:
        repeated = False
        # `optional optional = 1;` is a field of type `optional`.
        if self._next.text in _LABELS and self._tokens[self._index + 2].text != "=":
            repeated = self._take().text == "repeated"
        if self._next.kind != "name" and self._next.text != ".":
            raise self._unexpected("a field")
        type_name = self._type_name()
        place = self._here()
        name = self._name()
        self._expect("=")
        number = self._field_number()
        if self._next.text == "[":
            self._skip_braces()
        if type_name == "group" and self._next.text == "{":
            type_name = name
            self._message(_within(message.name, name), place, depth=depth + 1)
            name = name.lower()
        else:
            self._expect(";")
        message.fields.append(FieldDeclared(name, number, type_name, place, repeated=repeated))

    def _map(self, message: MessageDeclared) -> None:
        self._take()
        self._expect("<")
        key_type = self._name()
        self._expect(",")
        type_name = self._type_name()
        self._expect(">")
        place = self._here()
        name = self._name()
        self._expect("=")
        number = self._field_number()
        if self._next.text == "[":
            self._skip_braces()
        self._expect(";")
        message.fields.append(FieldDeclared(name, number, type_name, place, key_type=key_type))

    def _field_number(self) -> int:
        place = self._here()
        number = self._number()
        if not 0 < number < 1 << 29:
            raise place.error(f"expected a field number from 1 to 536870911, got {number}")
        return number

    def _enum(self, scope: str) -> None:
        self._take()
        place = self._here()
        enum = EnumDeclared(_within(scope, self._name()), place)
        self._declared.enums.append(enum)
        self._expect("{")
        while not self._maybe("}"):
            if self._next.text in ("option", "reserved") and self._tokens[self._index + 1].text != "=":
                self._skip_statement()
            elif not self._maybe(";"):
                name = self._name()
                self._expect("=")
                enum.values.setdefault(self._number(), name)
                if self._next.text == "[":
                    self._skip_braces()
                self._expect(";")

    def _service(self, scope: str) -> None:
        self._take()
        service = _within(scope, self._name())
        self._expect("{")
        while not self._maybe("}"):
            if self._next.text == "option":
                self._skip_statement()
            elif self._maybe("rpc"):
                place = self._here()
                name = self._name()
                request = self._of_stream()
                self._expect("returns")
                response = self._of_stream()
                self._declared.methods.append(MethodDeclared(service, name, request, response, place))
                if self._next.text == "{":
                    self._skip_braces()
                else:
                    self._expect(";")
            elif not self._maybe(";"):
                raise self._unexpected("rpc or option")

    def _of_stream(self) -> str:
        self._expect("(")
        if self._next.text == "stream" and self._tokens[self._index + 1].text != ")":
            self._take()
        name = self._type_name()
        self._expect(")")
        return name


def _within(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name
