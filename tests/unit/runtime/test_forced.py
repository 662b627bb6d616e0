# SPDX-License-Identifier: Apache-2.0
"""What PLAINTAP_FORCE asks for: whole words only."""

from __future__ import annotations

import pytest

from plaintap.errors import UsageError
from plaintap.runtime.forced import VARIABLE, WORDS, check_forced, is_forced
from plaintap.runtime.sockets import Way


def test_nothing_is_forced_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not is_forced("nomulti")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", []),
        ("nomulti", ["nomulti"]),
        ("nomulti,kprobe", ["nomulti", "kprobe"]),
        ("noncore, rawtp", ["noncore", "rawtp"]),
    ],
)
def test_words(monkeypatch: pytest.MonkeyPatch, value: str, words: list[str]) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert [word for word in (*WORDS, "core") if is_forced(word)] == words


@pytest.mark.parametrize("value", ["", ",", "nomulti", "kprobe, nomulti,"])
def test_known_words_will_do(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    check_forced()


@pytest.mark.parametrize(("value", "word"), [("core", "core"), ("nomulti,kprobes", "kprobes"), ("NOMULTI", "NOMULTI")])
def test_a_word_that_means_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, value: str, word: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(UsageError) as caught:
        check_forced()
    words = "nomulti, noncore, fentry, kprobe, rawtp, clsact"
    assert caught.value.message == f"PLAINTAP_FORCE: {word!r} is none of {words}"
    assert caught.value.exit_code == 2


def test_every_way_to_tell_sockets_can_be_forced() -> None:
    assert {way.value for way in Way} < set(WORDS)
