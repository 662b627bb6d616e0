# SPDX-License-Identifier: Apache-2.0
"""Events reach every listener, in order and numbered; one that does not read loses its own, counted."""

from __future__ import annotations

import asyncio

import pytest

from plaintap.api import feed
from plaintap.api.feed import Feed


def lines(_messages: object) -> bytes:
    return b'{"n":1}\n{"n":2}\n'


def test_in_order_and_numbered() -> None:
    async def listen() -> list[tuple[int, bytes]]:
        found = Feed(lines)
        found.show([])
        listener = found.add(asyncio.get_running_loop())
        assert listener
        found.show([])
        found.show([])
        taken, dropped = await listener.take(5)
        assert not dropped
        found.remove(listener)
        found.show([])
        assert await listener.take(0.01) == ([], 0)
        return taken

    assert asyncio.run(listen()) == [(1, b'{"n":1}'), (2, b'{"n":2}'), (3, b'{"n":1}'), (4, b'{"n":2}')]


def test_one_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "QUEUE_BYTES", 50)

    async def listen() -> None:
        found = Feed(lines)
        slow, quick = (found.add(asyncio.get_running_loop()) for _ in range(2))
        assert slow
        assert quick
        came = 0
        for _ in range(10):
            found.show([])
            came += len((await quick.take(5))[0])
        assert came == 20
        taken, dropped = await slow.take(5)
        assert len(taken) + dropped == 20
        assert found.status() == {"readers": 2, "dropped": dropped, "failures": 0}
        assert dropped

    asyncio.run(listen())


def test_not_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LISTENERS_MAX", 1)

    async def listen() -> None:
        found = Feed(lines)
        assert found.add(asyncio.get_running_loop())
        assert found.add(asyncio.get_running_loop()) is None

    asyncio.run(listen())


def test_what_cannot_be_shown_is_counted() -> None:
    def fails(_messages: object) -> bytes:
        raise ValueError

    async def listen() -> None:
        found = Feed(fails)
        found.add(asyncio.get_running_loop())
        found.show([])
        assert found.failures == 1

    asyncio.run(listen())
