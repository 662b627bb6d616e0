# SPDX-License-Identifier: Apache-2.0
"""Who gets which signal: the capture without a command, the command with one; what is ignored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from plaintap.session import signals
from plaintap.session.signals import ENDING, PASSED_ON, Signals


class FakeChild:
    """A command that remembers what it was sent; it is over after `lives` looks."""

    def __init__(self, *, lives: int = 0) -> None:
        self.sent: list[int] = []
        self.lives = lives

    def send(self, number: int) -> None:
        self.sent.append(number)

    def ended(self) -> bool:
        self.lives -= 1
        return self.lives < 0


class Stops:
    """Counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in PASSED_ON}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def in_foreground(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a terminal has us in its foreground: the last item."""
    answers = [False]
    monkeypatch.setattr(signals, "_in_foreground", lambda: answers[-1])
    return answers


def with_child(child: FakeChild, stop: Stops | None = None) -> Signals:
    return Signals(stop or Stops(), child)  # type: ignore[arg-type] # as much of a Child as is used


@pytest.mark.parametrize("number", ENDING)
def test_without_a_command_they_end_the_capture(number: int) -> None:
    stop = Stops()
    Signals(stop, None)
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    assert stop.count == 2


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2])
def test_without_a_command_others_are_left_alone(number: int) -> None:
    before = signal.getsignal(number)
    Signals(Stops(), None)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", PASSED_ON)
def test_with_a_command_they_are_its_business(number: int) -> None:
    child, stop = FakeChild(), Stops()
    passing = with_child(child, stop)
    os.kill(os.getpid(), number)
    assert child.sent == []  # nothing is done in the handler itself
    passing.pass_on()
    passing.pass_on()
    assert (child.sent, stop.count) == ([number], 0)


def test_they_are_passed_on_in_order() -> None:
    child = FakeChild()
    passing = with_child(child)
    for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    passing.pass_on()
    assert child.sent == [signal.SIGUSR1, signal.SIGINT, signal.SIGUSR1]


@pytest.mark.parametrize("number", PASSED_ON)
def test_what_the_terminal_sends_is_not_sent_again(number: int, in_foreground: list[bool]) -> None:
    in_foreground.append(True)
    child = FakeChild()
    passing = with_child(child)
    os.kill(os.getpid(), number)
    passing.pass_on()
    assert child.sent == ([] if number in {signal.SIGINT, signal.SIGQUIT} else [number])


@pytest.mark.parametrize("number", ENDING)
def test_at_the_very_end_they_mean_nothing(number: int) -> None:
    stop = Stops()
    Signals(stop, None).ignore()
    os.kill(os.getpid(), number)
    assert (stop.count, signal.getsignal(number)) == (0, signal.SIG_IGN)


def test_only_what_was_taken_over_is_ignored() -> None:
    before = signal.getsignal(signal.SIGQUIT)
    Signals(Stops(), None).ignore()
    assert signal.getsignal(signal.SIGQUIT) == before


def test_a_hangup_that_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stops()
    Signals(stop, None)
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert stop.count == 0


def test_signals_pass_while_the_command_is_waited_for() -> None:
    child = FakeChild(lives=3)
    passing = with_child(child)
    os.kill(os.getpid(), signal.SIGTERM)
    passing.wait_for_child()
    assert child.sent == [signal.SIGTERM]


def test_without_a_command_nobody_is_waited_for() -> None:
    Signals(Stops(), None).wait_for_child()


def test_in_another_thread_there_are_no_handlers() -> None:
    """Who embeds us there keeps their own."""
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=Signals, args=(Stops(), None))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == before


def test_no_terminal_no_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, _flags: int) -> int:
        assert path == "/dev/tty"
        raise OSError(6, "no such device or address")

    monkeypatch.setattr(os, "open", refuse)
    assert not signals._in_foreground()
