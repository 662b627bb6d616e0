# SPDX-License-Identifier: Apache-2.0
"""What PLAINTAP_FORCE asks for: whole words only."""

from __future__ import annotations

import pytest

from plaintap.runtime.forced import VARIABLE, is_forced


def test_nothing_is_forced_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not is_forced("nomulti")


@pytest.mark.parametrize(
    ("value", "words"),
    [("", []), ("nomulti", ["nomulti"]), ("nomulti,kprobe", ["nomulti", "kprobe"]), ("noncore", ["noncore"])],
)
def test_words(monkeypatch: pytest.MonkeyPatch, value: str, words: list[str]) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert [word for word in ("nomulti", "noncore", "core", "fentry", "kprobe", "rawtp") if is_forced(word)] == words
