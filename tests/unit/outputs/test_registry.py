# SPDX-License-Identifier: Apache-2.0
"""Forms by name, and lists of them with their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plaintap.errors import UsageError
from plaintap.outputs.base import FormatOptions
from plaintap.outputs.registry import FORMATS, FormatChoice, make_formatter, parse_formats


@pytest.mark.parametrize("name", FORMATS)
def test_every_form_can_be_made(name: str, make_exchange: Callable[..., Any]) -> None:
    text = make_formatter(name, FormatOptions()).format(make_exchange())
    assert text == "" if name in {"none", "hex", "protobuf"} else text.endswith("\n")


def test_unknown_form() -> None:
    with pytest.raises(UsageError, match=r"^unknown format 'ecaptur'$") as caught:
        make_formatter("ecaptur", FormatOptions())
    assert caught.value.hint == "did you mean ecapture?"
    with pytest.raises(UsageError) as caught:
        make_formatter("yaml", FormatOptions())
    assert caught.value.hint == "one of text, json, har, hex, ecapture, protobuf, none"


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("text", [("text", None)]),
        ("none", []),
        ("json:-", [("json", None)]),
        ("text, json:a:b ,har:c", [("text", None), ("json", "a:b"), ("har", "c")]),
        ("json:a,json:b", [("json", "a"), ("json", "b")]),
    ],
)
def test_lists(text: str, choices: list[tuple[str, str | None]]) -> None:
    assert parse_formats(text) == tuple(FormatChoice(*choice) for choice in choices)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("jsn", "--format: unknown format 'jsn'", "did you mean json?"),
        ("text,jsn:x", "--format: number 2 of 2, unknown format 'jsn'", "did you mean json?"),
        (
            "text,",
            "--format: number 2 of 2, no format is named",
            "one of text, json, har, hex, ecapture, protobuf, none",
        ),
        ("json:", "--format: json: names no file", "json:FILE"),
        ("har", "--format: har needs a file: its end is written again with each entry", "har:FILE"),
        ("har:-", "--format: har needs a file: its end is written again with each entry", "har:FILE"),
        ("none:x", "--format: none writes nothing, so it takes no file", "--format none"),
        ("none,json:x", "--format: none goes with no other format", "leave none out"),
        ("text,json", "--format: text and json would mix on standard output", "give one a file: json:FILE"),
        ("json:a,har:./a", "--format: json and har would both write ./a", "give each a file of its own"),
    ],
)
def test_wrong_lists(text: str, message: str, hint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        parse_formats(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)
