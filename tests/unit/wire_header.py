# SPDX-License-Identifier: Apache-2.0
"""Reads the structs and enums of bpf/include headers, so that tests can hold Python against them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

INCLUDE = Path(__file__).parents[2] / "bpf" / "include"
SIZES = {"__u8": 1, "char": 1, "__u16": 2, "__u32": 4, "__s32": 4, "__u64": 8}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
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

    def __init__(self, *names: str) -> None:
        text = "\n".join((INCLUDE / name).read_text() for name in names)
        self.text = _COMMENT.sub("", text)
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
