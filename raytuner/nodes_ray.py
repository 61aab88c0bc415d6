"""What the nodes of a cluster share in a search: weights that some lack, and artefacts, each of which is built once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray

from raytuner.models import weights
from raytuner.pipeline.cache import share_with
from raytuner.store import Codec

T = TypeVar("T")

PING_S = 5.0
GONE_S = 30.0
"""Who builds something and is silent for so long is taken to be gone, and another one builds it."""
FETCH_S = 300.0
"""An artefact may take so long from one node to another."""

Place = tuple[list[Any], int]
"""Where an artefact is: the reference to a list of contents, itself in a list so that Ray does not follow it; which."""


class _Board:
    """Says of each key where its artefact is, or who builds it."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._builders: dict[str, tuple[str, asyncio.Event]] = {}
        self._seen: dict[str, float] = {}

    async def claim(self, keys: Sequence[str], who: str) -> list[Place | bool]:
        """For each key where it is, True if the caller is to build it, False if another one does."""
        self._seen[who] = time.monotonic()
        return [self._claimed(key, who) for key in keys]

    def _claimed(self, key: str, who: str) -> Place | bool:
        if key in self._places:
            return self._places[key]
        builder = self._builders.get(key)
        if builder is not None and time.monotonic() - self._seen[builder[0]] < GONE_S:
            return False
        if builder is not None:
            builder[1].set()
        self._builders[key] = who, asyncio.Event()
        return True

    async def alive(self, who: str) -> None:
        self._seen[who] = time.monotonic()

    async def wait(self, key: str) -> None:
        """Until somebody has built it, or may have gone."""
        if key in self._builders:
            try:
                await asyncio.wait_for(self._builders[key][1].wait(), PING_S)
            except asyncio.TimeoutError:
                return

    async def publish(self, keys: Sequence[str], contents: list[Any]) -> None:
        for at, key in enumerate(keys):
            self._places[key] = contents, at
        self._free(keys)

    async def abandon(self, keys: Sequence[str], lost: bool) -> None:
        """Nobody builds some keys any more, or what was built of them is lost."""
        for key in keys if lost else ():
            self._places.pop(key, None)
        self._free(keys)

    def _free(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key in self._builders:
                self._builders.pop(key)[1].set()


class Sharing:
    """Builds artefacts that no other node has built or is building; see `raytuner.pipeline.cache.Others`.

    Args:
        board: A `_Board` as an actor.
    """

    def __init__(self, board: Any) -> None:
        self._board = board
        self._who = uuid.uuid4().hex
        threading.Thread(target=self._ping, name="raytuner-sharing", daemon=True).start()

    def built(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        codec: Codec[T],
        usable: Callable[[T], bool],
    ) -> list[T]:
        """See `Others.built`."""
        found: dict[int, T] = {}
        while left := [at for at in range(len(keys)) if at not in found]:
            claimed = ray.get(self._board.claim.remote([keys[at] for at in left], self._who))
            states = dict(zip(left, claimed, strict=True))
            mine = [at for at, state in states.items() if state is True]
            if mine:
                found |= self._build(keys, mine, build, codec)
            there = {at: state for at, state in states.items() if not isinstance(state, bool)}
            fetched = self._fetched(keys, there, codec)
            found |= {at: value for at, value in fetched.items() if usable(value)}
            if stale := [at for at, value in fetched.items() if not usable(value)]:
                found |= self._build(keys, stale, build, codec)
            others = [at for at, state in states.items() if state is False]
            if others:
                ray.get(self._board.wait.remote(keys[others[0]]))
        return [found[at] for at in range(len(keys))]

    def _build(
        self, keys: Sequence[str], mine: list[int], build: Callable[[list[int]], Sequence[T]], codec: Codec[T]
    ) -> dict[int, T]:
        names = [keys[at] for at in mine]
        try:
            made = build(mine)
            contents = ray.put([b"".join(map(bytes, codec.encode(value))) for value in made])
        except BaseException:
            self._board.abandon.remote(names, False)
            raise
        self._board.publish.remote(names, [contents])
        return dict(zip(mine, made, strict=True))

    def _fetched(self, keys: Sequence[str], there: Mapping[int, Place], codec: Codec[T]) -> dict[int, T]:
        found: dict[int, T] = {}
        for at, (contents, position) in there.items():
            try:
                found[at] = codec.decode(ray.get(contents[0], timeout=FETCH_S)[position])
            except ray.exceptions.RayError:  # its node is gone
                ray.get(self._board.abandon.remote([keys[at]], True))
        return found

    def _ping(self) -> None:
        while True:
            time.sleep(PING_S)
            try:
                ray.get(self._board.alive.remote(self._who))
            except Exception:  # the search has ended
                return


@dataclass(frozen=True)
class Shared:
    """What goes to the workers; nothing on one node alone.

    Attributes:
        files: For each built-in model where Ray keeps its files.
        board: See `Sharing`.
    """

    files: Mapping[str, Any] = field(default_factory=dict)
    board: Any = None

    @classmethod
    def pack(cls, models: Iterable[str]) -> Shared:
        """Hand the weights of some models, which this node has, to Ray, and start the board."""
        if sum(node["Alive"] for node in ray.nodes()) < 2:
            return cls()
        board = ray.remote(num_cpus=0, max_concurrency=10_000)(_Board).remote()
        return cls({name: ray.put(weights.contents(name)) for name in sorted(models)}, board)

    def unpack(self) -> None:
        """Put into this node's cache what it lacks of weights, and share artefacts from now on; in a worker."""
        for name, files in self.files.items():
            if not weights.cached(name):
                weights.take(name, ray.get(files))
        share_with(Sharing(self.board) if self.board is not None else None)

    def close(self) -> None:
        """End the board; in the driver."""
        if self.board is not None and ray.is_initialized():
            with contextlib.suppress(ray.exceptions.RayError):
                ray.kill(self.board)
