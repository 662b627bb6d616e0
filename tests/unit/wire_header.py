# SPDX-License-Identifier: Apache-2.0
"""Reads the structs and enums of bpf/include headers, so that tests can hold Python against them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INCLUDE = Path(__file__).parents[2] / "bpf" / "include"
SIZES = {"__u8": 1, "char": 1, "__u16": 2, "__s16": 2, "__u32": 4, "__s32": 4, "__u64": 8}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONDITION = re.compile(r"#(ifdef|ifndef|if|elif|else|endif)\b *(\w*)")
_FIELD = re.compile(r"(?:struct )?(\w+) (\w+)(?:\[(\w+)\])?;")


@dataclass(frozen=True)
class Field:
    name: str
    offset: int
    size: int
    count: int


@dataclass(frozen=True)
class Struct:
    fields: dict[str, Field]
    size: int
    align: int


class Header:
    """The structs of one header by name; natural alignment, which the compiler uses too."""

    def __init__(self, *names: str, defined: frozenset[str] = frozenset({"PT_CORE"})) -> None:
        """`defined` are the macros that choose a variant, bpf/include/compat.h."""
        text = "\n".join((INCLUDE / name).read_text() for name in names)
        self.text = "\n".join(_chosen(_COMMENT.sub("", text), defined))
        self.constants = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)\s", self.text)}
        self.structs: dict[str, Struct] = {}
        for name, body in re.findall(r"struct (\w+) \{(.*?)\n\};", self.text, re.DOTALL):
            self.structs[name] = self._layout(body)

    def _layout(self, body: str) -> Struct:
        offset, widest = 0, 1
        fields = {}
        for kind, name, count in _FIELD.findall(body):
            nested = self.structs.get(kind)
            size, align = (nested.size, nested.align) if nested else (SIZES[kind], SIZES[kind])
            number = 1 if not count else self.constants.get(count) or int(count)
            assert offset % align == 0, f"{name} needs padding that is not written down"
            fields[name] = Field(name, offset, size, number)
            offset += size * number
            widest = max(widest, align)
        assert offset % widest == 0, "the struct's end needs padding that is not written down"
        return Struct(fields, offset, widest)

    def enum(self, name: str) -> dict[str, int]:
        """Its constants, numbered as C does."""
        body = re.search(rf"enum {name} \{{(.*?)\}};", self.text, re.DOTALL)
        assert body, name
        values, following = {}, 0
        for item in filter(None, map(str.strip, body[1].split(","))):
            constant, _, value = item.partition(" = ")
            following = int(value) if value else following
            values[constant] = following
            following += 1
        return values


def _chosen(text: str, defined: frozenset[str]) -> Iterator[str]:
    """The lines that the preprocessor leaves; it knows names, no expressions."""
    taken: list[bool] = []
    for line in text.splitlines():
        condition = _CONDITION.match(line)
        if not condition:
            if all(taken):
                yield line
        elif condition[1] == "else":
            taken[-1] = not taken[-1]
        elif condition[1] == "endif":
            taken.pop()
        else:
            assert condition[1] in {"ifdef", "ifndef"}, f"not understood: {line}"
            taken.append((condition[2] in defined) == (condition[1] == "ifdef"))
    assert not taken
