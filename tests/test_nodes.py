"""Who builds what in a cluster: the board, without Ray."""

from __future__ import annotations

import asyncio

import pytest

from raytuner import nodes_ray
from raytuner.nodes_ray import _Board


def test_each_key_has_one_builder_and_then_a_place() -> None:
    async def play() -> None:
        board = _Board()
        assert await board.claim(["a", "b"], "one") == [True, True]
        assert await board.claim(["b", "c"], "two") == [False, True]
        waiting = asyncio.create_task(board.wait("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await board.publish(["a", "b"], ["contents"])
        await asyncio.wait_for(waiting, 1)
        assert await board.claim(["a", "b", "c"], "three") == [(["contents"], 0), (["contents"], 1), False]

    asyncio.run(play())


def test_what_failed_or_is_lost_is_built_by_another() -> None:
    async def play() -> None:
        board = _Board()
        await board.claim(["a", "b"], "one")
        await board.abandon(["a"], False)
        await board.publish(["b"], ["contents"])
        assert await board.claim(["a", "b"], "two") == [True, (["contents"], 0)]
        await board.abandon(["b"], True)
        assert await board.claim(["b"], "two") == [True]

    asyncio.run(play())


def test_who_is_silent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        board = _Board()
        assert await board.claim(["a"], "one") == [True]
        monkeypatch.setattr(nodes_ray, "GONE_S", 0.05)
        monkeypatch.setattr(nodes_ray, "PING_S", 0.1)
        await board.alive("one")
        assert await board.claim(["a"], "two") == [False]
        await board.wait("a")  # which ends though nothing has happened, so that it is asked again
        assert await board.claim(["a"], "two") == [True]

    asyncio.run(play())
