"""What the nodes of a cluster share in a search: weights that some lack, and artefacts, each of which is built once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import ray
from ray._private import worker
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytuner.errors import ConfigError
from raytuner.models import weights
from raytuner.pipeline.cache import Others, Stored, share_with, shared_cache
from raytuner.storage import Storage
from raytuner.storage_ray import check_shared, on_node
from raytuner.store import Codec
from raytuner.store.remote import Remote

T = TypeVar("T")
logger = logging.getLogger("raytuner")

PING_S = 5.0
GONE_S = 30.0
"""Who builds something and is silent for so long is taken to be gone, and another one builds it."""
FETCH_S = 300.0
"""An artefact may take so long from one node to another."""

INLINE_BYTES = 16_384
"""What is built together and is no larger lies on the board itself: Ray takes longer to keep it elsewhere."""

Place = tuple[list[Any], int] | bytes
"""Where an artefact is: the reference to a list of contents, itself in a list so that Ray does not follow it, and
which; or its content."""


class _Board:
    """Says of each key where its artefact is, or who builds it."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._builders: dict[str, tuple[str, asyncio.Event]] = {}
        self._seen: dict[str, float] = {}

    async def claim(self, keys: Sequence[str], who: str, useless: Mapping[str, Place]) -> list[Place | bool]:
        """For each key where it is, True if the caller is to build it, False if another one does.

        Args:
            keys: What the caller needs.
            who: The caller.
            useless: Where it has looked for some of them in vain: what was there is lost, or does not serve.
        """
        self._seen[who] = time.monotonic()
        return [self._claimed(key, who, useless.get(key)) for key in keys]

    def _claimed(self, key: str, who: str, useless: Place | None) -> Place | bool:
        place = self._places.get(key)
        if place is not None and place != useless:
            return place
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

    async def publish(self, places: Mapping[str, Place], who: str) -> None:
        """What somebody has built; not of keys that another one builds by now, since it was taken to be gone."""
        for key, place in places.items():
            if self._freed(key, who):
                self._places[key] = place

    async def abandon(self, keys: Sequence[str], who: str) -> None:
        """Somebody does not build some keys any more."""
        for key in keys:
            self._freed(key, who)

    def _freed(self, key: str, who: str) -> bool:
        """End a claim; says whether there was one."""
        if key not in self._builders or self._builders[key][0] != who:
            return False
        self._builders.pop(key)[1].set()
        return True


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
        useless: dict[str, Place] = {}
        while left := [at for at in range(len(keys)) if at not in found]:
            claimed = ray.get(self._board.claim.remote([keys[at] for at in left], self._who, useless))
            states = dict(zip(left, claimed, strict=True))
            mine = [at for at, state in states.items() if state is True]
            if mine:
                found |= self._build(keys, mine, build, codec)
            there = {at: state for at, state in states.items() if not isinstance(state, bool)}
            found |= {at: value for at, value in _fetched(there, codec).items() if usable(value)}
            useless |= {keys[at]: place for at, place in there.items() if at not in found}
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
            places = _kept([b"".join(map(bytes, codec.encode(value))) for value in made])
        except BaseException:
            self._board.abandon.remote(names, self._who)
            raise
        self._board.publish.remote(dict(zip(names, places, strict=True)), self._who)
        return dict(zip(mine, made, strict=True))

    def _ping(self) -> None:
        while True:
            time.sleep(PING_S)
            try:
                ray.get(self._board.alive.remote(self._who))
            except Exception:  # the search has ended
                return


def _kept(contents: list[bytes]) -> Sequence[Place]:
    """Keep what was built, and say where."""
    if sum(map(len, contents)) <= INLINE_BYTES:
        return contents
    reference = [ray.put(contents)]
    return [(reference, at) for at in range(len(contents))]


def _fetched(there: Mapping[int, Place], codec: Codec[T]) -> dict[int, T]:
    """What can be had of some places, each list of contents brought here once."""
    batches: dict[Any, dict[int, int]] = {}
    found: dict[int, T] = {}
    for at, place in there.items():
        if isinstance(place, bytes):
            found[at] = codec.decode(place)
        else:
            batches.setdefault(place[0][0], {})[at] = place[1]
    for reference, which in batches.items():
        with contextlib.suppress(ray.exceptions.RayError):  # its node is gone
            batch = ray.get(reference, timeout=FETCH_S)
            found |= {at: codec.decode(batch[index]) for at, index in which.items()}
    return found


class _Shelf:
    """Gives other nodes what is in the cache of this one."""

    def contents(self, keys: Sequence[str], form: str) -> dict[str, bytes]:
        """The bytes of those of several artefacts of a format that are here."""
        store = shared_cache().store
        return {} if store is None else store.get_many(keys, _Raw(form))


@dataclass(frozen=True)
class _Raw:
    """Artefacts as their bytes, in the format of another codec."""

    format: str

    def encode(self, value: bytes) -> Sequence[bytes]:
        return [value]

    def decode(self, content: bytes | memoryview) -> bytes:
        return bytes(content)


class Shelves:
    """What the nodes of a cluster had in their caches before; see `raytuner.pipeline.cache.Elsewhere`.

    Args:
        shelves: A `_Shelf` of each node, as actors.
    """

    def __init__(self, shelves: Sequence[Any]) -> None:
        self._shelves = list(shelves)

    def get_many(self, keys: Sequence[str], codec: Codec[T]) -> dict[str, T]:
        """See `Elsewhere.get_many`."""
        found: dict[str, T] = {}
        asked = [(shelf, shelf.contents.remote(list(keys), codec.format)) for shelf in self._shelves]
        for shelf, answer in asked:
            try:
                contents = ray.get(answer, timeout=FETCH_S)
            except ray.exceptions.RayError:  # its node is gone, or too slow to be of use
                self._shelves = [other for other in self._shelves if other is not shelf]  # another thread may have
                continue
            found |= {key: codec.decode(content) for key, content in contents.items() if key not in found}
        return found

    def put_many(self, values: Mapping[str, T], codec: Codec[T]) -> None:
        """Nothing: the board says where it is."""


def may_grow() -> bool:
    """Whether nodes may join while a search runs: not where this process has started Ray for itself."""
    return not worker._global_node.is_head()


def beside_the_driver() -> dict[str, Any]:
    """Options of an actor that no other node takes with it when it is lost; called in the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return {"num_cpus": 0, "scheduling_strategy": here}


@dataclass(frozen=True)
class Shared:
    """What goes to the workers; nothing on one node alone.

    Attributes:
        files: For each built-in model where Ray keeps its files.
        board: See `Sharing`.
        cache: A storage of artefacts, as a URL.
        shelves: See `Shelves`; by the ids of their nodes.
    """

    files: Mapping[str, Any] = field(default_factory=dict)
    board: Any = None
    cache: str | None = None
    shelves: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def pack(cls, models: Iterable[str], cache: str | None = None, grows: bool = False) -> Shared:
        """Hand the weights of some models, which this node has, to Ray, and start the board.

        Args:
            models: The built-in models of the search.
            cache: A storage that all nodes share.
            grows: Whether nodes may join; else there is nothing to share where there is one node.

        Raises:
            ConfigError: The storage cannot be used, or is a path that is not the same on all nodes.
        """
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if cache is not None:
            try:
                check_shared(cache, nodes, "leave it out: the nodes then share what they build through Ray")
            except ConfigError as error:
                raise ConfigError(f"run.cache: {error}") from None
        if not grows and len(nodes) < 2:
            return cls(cache=cache)
        board = ray.remote(**beside_the_driver(), max_concurrency=10_000)(_Board).remote()
        shelf = ray.remote(num_cpus=0)(_Shelf)
        shelves = {node["NodeID"]: on_node(shelf, node["NodeID"]).remote() for node in nodes}
        return cls({name: ray.put(weights.contents(name)) for name in sorted(models)}, board, cache, shelves)

    def unpack(self) -> None:
        """Put into this node's cache what it lacks of weights, and share artefacts from now on; in a worker."""
        for name, files in self.files.items():
            if not weights.cached(name):
                weights.take(name, ray.get(files))
        others: Others | None = Sharing(self.board) if self.board is not None else None
        if self.cache is not None:
            try:
                others = Stored(Remote(Storage(self.cache)), others)
            except ConfigError as error:  # it has worked on the nodes that were there at the start
                logger.warning("%s; this worker goes on without it", error)
        if self.shelves:  # asked after the storage, which so gets what they have
            here = ray.get_runtime_context().get_node_id()
            others = Stored(Shelves([shelf for node, shelf in self.shelves.items() if node != here]), others)
        share_with(others)

    def close(self) -> None:
        """End its actors; in the driver."""
        for actor in (self.board, *self.shelves.values()) if ray.is_initialized() else ():
            if actor is not None:
                with contextlib.suppress(ray.exceptions.RayError):
                    ray.kill(actor)
