"""What the nodes of a cluster share, without a cluster."""

from __future__ import annotations

import asyncio
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from raytuner import nodes_ray, storage_ray
from raytuner.nodes_ray import Shared, Shelves, _Board
from raytuner.pipeline.cache import StageCache, share_with
from raytuner.storage import Storage
from raytuner.store import JSON, Store
from raytuner.store.remote import Remote


def test_each_key_has_one_builder_and_then_a_place() -> None:
    async def play() -> None:
        board = _Board()
        assert await board.claim(["a", "b"], "one", {}) == [True, True]
        assert await board.claim(["b", "c"], "two", {}) == [False, True]
        waiting = asyncio.create_task(board.wait("b"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await board.publish({"a": (["contents"], 0), "b": (["contents"], 1)}, "one")
        await asyncio.wait_for(waiting, 1)
        assert await board.claim(["a", "b", "c"], "three", {}) == [(["contents"], 0), (["contents"], 1), False]

    asyncio.run(play())


def test_what_failed_or_is_lost_is_built_by_another() -> None:
    async def play() -> None:
        board = _Board()
        await board.claim(["a", "b"], "one", {})
        await board.abandon(["a"], "one")
        await board.publish({"b": (["contents"], 0)}, "one")
        assert await board.claim(["a", "b"], "two", {}) == [True, (["contents"], 0)]
        assert await board.claim(["b"], "two", {"b": (["contents"], 0)}) == [True]

    asyncio.run(play())


def test_what_is_lost_or_does_not_serve_is_built_once() -> None:
    async def play() -> None:
        board = _Board()
        await board.claim(["a"], "one", {})
        await board.publish({"a": (["old"], 0)}, "one")
        useless = {"a": (["old"], 0)}
        assert await board.claim(["a"], "two", useless) == [True]
        assert await board.claim(["a"], "three", useless) == [False], "the second to look there in vain"
        assert await board.claim(["a"], "four", {}) == [(["old"], 0)], "it may serve another"
        await board.abandon(["a"], "three")
        assert await board.claim(["a"], "three", useless) == [False], "the claim is not its own"
        await board.publish({"a": (["new"], 0)}, "two")
        assert await board.claim(["a"], "three", useless) == [(["new"], 0)]

    asyncio.run(play())


def test_who_was_taken_to_be_gone_disturbs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        board = _Board()
        await board.claim(["a"], "one", {})
        monkeypatch.setattr(nodes_ray, "GONE_S", 0.0)
        assert await board.claim(["a"], "two", {}) == [True]
        monkeypatch.setattr(nodes_ray, "GONE_S", 30.0)
        await board.publish({"a": (["late"], 0)}, "one")
        assert await board.claim(["a"], "three", {}) == [False]
        await board.publish({"a": (["contents"], 0)}, "two")
        assert await board.claim(["a"], "three", {}) == [(["contents"], 0)]

    asyncio.run(play())


class Batches:
    """Stands in for Ray: contents by reference, None where they are lost; notes what is fetched."""

    def __init__(self, **contents: list[bytes] | None) -> None:
        self.contents, self.fetched = contents, []

    def get(self, reference: str, timeout: float) -> list[bytes]:
        self.fetched.append(reference)
        if (found := self.contents[reference]) is None:
            raise ray.exceptions.RaySystemError("its node is gone")
        return found


def test_each_batch_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = Batches(one=[b"0", b"1", b"2"], lost=None)
    monkeypatch.setattr(nodes_ray.ray, "get", batches.get)
    places = {0: (["one"], 2), 1: (["lost"], 0), 2: (["one"], 0), 3: (["lost"], 1), 4: b"4"}
    assert nodes_ray._fetched(places, JSON) == {0: 2, 2: 0, 4: 4}
    assert batches.fetched == ["one", "lost"]


def test_shelves_do_without_a_node_that_two_threads_find_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shelf:
        def __init__(self, answer: str) -> None:
            self.contents, self.answer = self, answer

        def remote(self, *_: object) -> str:
            return self.answer

    shelves = Shelves([Shelf("gone"), Shelf("there")])
    at_once = threading.Barrier(2)

    def get(answer: str, timeout: float) -> dict[str, bytes]:
        if answer == "gone":
            at_once.wait(5)
            raise ray.exceptions.RayActorError
        return {"key": b"1"}

    monkeypatch.setattr(nodes_ray.ray, "get", get)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda _: shelves.get_many(["key"], JSON), range(2))) == [{"key": 1}] * 2
    assert [shelf.answer for shelf in shelves._shelves] == ["there"]


def test_what_a_node_had_is_stored_for_later_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelves, "get_many", lambda _, keys, codec: dict.fromkeys(keys, "of the node"))
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "this"))
    try:
        Shared(cache=f"file://{tmp_path}/shared", shelves={"other": "a node"}).unpack()
        StageCache(Store(tmp_path / "own")).get_or_build_many(["0" * 32], lambda _: ["built"], codec=JSON, stage="test")
    finally:
        share_with(None)
    assert Remote(Storage(f"file://{tmp_path}/shared")).get_many(["0" * 32], JSON) == {"0" * 32: "of the node"}


def test_a_node_says_why_it_does_not_share_a_storage(tmp_path: Path) -> None:
    url, probe = f"file://{tmp_path}/shared", tmp_path / "shared" / ".probe"
    said = storage_ray._trouble_with(url, str(probe), "leave it out") or ""
    assert said.startswith(f"storage {url} is not the same folder on node {platform.node()}; name one that all nodes")
    assert said.endswith(", or leave it out")
    assert not probe.parent.exists(), "nothing is made where others do not see it"
    probe.parent.mkdir()
    probe.touch()
    assert storage_ray._trouble_with(url, str(probe), "leave it out") is None


def test_who_is_silent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        board = _Board()
        assert await board.claim(["a"], "one", {}) == [True]
        monkeypatch.setattr(nodes_ray, "GONE_S", 0.05)
        monkeypatch.setattr(nodes_ray, "PING_S", 0.1)
        await board.alive("one")
        assert await board.claim(["a"], "two", {}) == [False]
        await board.wait("a")  # which ends though nothing has happened, so that it is asked again
        assert await board.claim(["a"], "two", {}) == [True]

    asyncio.run(play())
