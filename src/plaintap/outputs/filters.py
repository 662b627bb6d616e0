# SPDX-License-Identifier: Apache-2.0
"""`--filter`: an expression over messages, such as `host=*.example.com and (status>=400 or time>1s)`.

    expression  = conjunction *( "or" conjunction )
    conjunction = negation *( "and" negation )
    negation    = "not" negation / "(" expression ")" / field operator value

Fields are filter_fields.py's. A value with blanks or parentheses stands in quotes.
"""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

from plaintap.errors import UsageError
from plaintap.messages import ConnectionEnded, Lost, RecordSeen, Secrets
from plaintap.outputs.filter_fields import FIELDS, OPERATORS, FieldError, Test

DEPTH_LIMIT = 50
"""Parentheses and negations inside one another."""
_TOKEN = re.compile(r"""\s*(?:(?P<sign>[()]|!=|>=|<=|=|>|<)|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()=!<>"']+))""")
_ALWAYS = (Lost, RecordSeen, ConnectionEnded, Secrets)
_WORDS = frozenset({"and", "or", "not"})


class _Token(NamedTuple):
    text: str
    column: int
    """From 1."""
    is_sign: bool = False
    is_quoted: bool = False


def parse_filter(expression: str) -> Test:
    """Whether a message is to be shown. Losses always are, and what is about connections rather than messages.

    Raises UsageError that names the column.
    """
    test = _Parser(expression).parse()
    return lambda message: isinstance(message, _ALWAYS) or test(message)


class _Parser:
    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._tokens = self._split(expression)
        self._at = 0
        self._depth = 0

    def parse(self) -> Test:
        test = self._expression_of()
        if token := self._next():
            quote = token.text in OPERATORS
            hint = "a value with blanks, = or parentheses stands in quotes: path='/a?b=c'" if quote else ""
            raise self._error(token.column, f"expected and, or, or the end, got {token.text!r}", hint)
        return test

    def _split(self, expression: str) -> list[_Token]:
        tokens = []
        at = 0
        end = len(expression.rstrip())
        while at < end:
            match = _TOKEN.match(expression, at)
            if match is None:
                blanks = len(expression[at:]) - len(expression[at:].lstrip())
                column = at + blanks + 1
                if expression[column - 1] == "!":
                    raise self._error(column, "expected !=, got '!'")
                raise self._error(column, "a quote that does not end")
            kind = match.lastgroup or ""
            text = match[kind]
            quoted = kind == "quoted"
            tokens.append(_Token(text[1:-1] if quoted else text, match.start(kind) + 1, kind == "sign", quoted))
            at = match.end()
        return tokens

    def _error(self, column: int, what: str, hint: str = "") -> UsageError:
        return UsageError(f"--filter, column {column}: {what}", hint=hint or _EXAMPLE)

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> _Token | None:
        token = self._peek()
        self._at += token is not None
        return token

    def _maybe(self, word: str) -> bool:
        token = self._peek()
        found = token is not None and not token.is_quoted and token.text.lower() == word
        self._at += found
        return found

    def _expression_of(self) -> Test:
        tests = [self._conjunction()]
        while self._maybe("or"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda message: any(test(message) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._negation()]
        while self._maybe("and"):
            tests.append(self._negation())
        return tests[0] if len(tests) == 1 else lambda message: all(test(message) for test in tests)

    def _negation(self) -> Test:
        token = self._peek()
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._error(token.column if token else 1, f"more than {DEPTH_LIMIT} levels")
        try:
            if self._maybe("not"):
                test = self._negation()
                return lambda message: not test(message)
            if self._maybe("("):
                test = self._expression_of()
                if not self._maybe(")"):
                    raise self._error(token.column if token else 1, "this parenthesis is not closed")
                return test
        finally:
            self._depth -= 1
        return self._comparison()

    def _comparison(self) -> Test:
        end = len(self._expression.rstrip()) + 1
        name = self._next()
        if name is None or name.is_sign or name.is_quoted or name.text.lower() in _WORDS:
            got = f", got {name.text!r}" if name else ""
            raise self._error(name.column if name else end, f"expected a field{got}", _FIELDS)
        field = FIELDS.get(name.text.lower())
        if field is None:
            near = difflib.get_close_matches(name.text.lower(), FIELDS, 1)
            hint = f"did you mean {near[0]}?" if near else _FIELDS
            raise self._error(name.column, f"unknown field {name.text!r}", hint)
        sign = self._next()
        if sign is None or sign.text not in OPERATORS or not sign.is_sign:
            got = f", got {sign.text!r}" if sign else ""
            raise self._error(sign.column if sign else end, f"expected one of {' '.join(OPERATORS)}{got}")
        value = self._next()
        if value is None or value.is_sign:
            got = f", got {value.text!r}" if value else ""
            raise self._error(value.column if value else end, f"expected a value for {name.text}{got}")
        try:
            return field.test(sign.text, value.text)
        except FieldError as error:
            raise self._error(value.column, f"{name.text}{sign.text}{value.text}: expected {error}") from None


_EXAMPLE = "for example --filter 'host=*.example.com and (status>=400 or time>1s)'"
_FIELDS = f"the fields: {' '.join(FIELDS)}"
