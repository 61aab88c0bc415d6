"""A cache for questions that come and go: what belongs to one question is not written to disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from raytuner.pipeline.cache import StageCache
from raytuner.pipeline.generate import extract, generate
from raytuner.pipeline.parameters import route
from raytuner.pipeline.rerank import rerank
from raytuner.pipeline.retrieve import bm25_search, fuse, vector_search
from raytuner.store import Codec

T = TypeVar("T")

OF_A_QUESTION = tuple(part.name for part in (vector_search, bm25_search, fuse, route, rerank, generate, extract))


class PassingQuestions(StageCache):
    """Keeps chunks, vectors and indexes as any cache does, rankings and answers in the process only."""

    def get_or_build_many(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        *,
        codec: Codec[T] | None = None,
        stage: str = "",
        usable: Callable[[T], bool] = lambda _: True,
        batch: int | None = None,
    ) -> list[T]:
        """As `StageCache.get_or_build_many`."""
        kept = None if stage in OF_A_QUESTION else codec
        return super().get_or_build_many(keys, build, codec=kept, stage=stage, usable=usable, batch=batch)
