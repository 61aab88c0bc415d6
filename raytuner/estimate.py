"""What a search will compute, before anything is spent: from its space, and from what the cache has already."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from raytuner.counting import Counting, Texts
from raytuner.rag import RagObjective
from raytuner.space import Raw, SearchSpace

MAX_TRIALS = 2_000
"""So many trials are looked at; of more it would take too long."""

TOKENS_PER_SECOND = {"minilm": 3_300, "wordllama": 200_000}
"""Of the built-in models, on one processor; measured where the benchmarks' results were."""


@dataclass(frozen=True)
class Embedding:
    """What one model embeds.

    Attributes:
        model: Its name.
        texts: What kinds of texts.
    """

    model: str
    texts: Sequence[Texts]

    @property
    def tokens(self) -> int:
        """About how many tokens those texts have that are not on disk."""
        return sum(texts.tokens for texts in self.texts)

    @property
    def seconds(self) -> float | None:
        """About how long they take on all processors of this machine; None for a model that is not built in."""
        rate = TOKENS_PER_SECOND.get(self.model)
        if rate is None:
            return None if self.tokens else 0.0
        return self.tokens / rate / (os.cpu_count() or 1)


@dataclass(frozen=True)
class Estimate:
    """About what a search computes: exactly where it tries the whole space, else as if it chose at random.

    Attributes:
        chunkings: How many ways of cutting the documents there are.
        cut: How many of them are on disk already.
        embeddings: What each embedding model has to do.
        answered: How many answers of LLMs are on disk.
        answers: How many are to be asked for, at the most.
        unknown: Of how many of those it is not known whether they are on disk or shared, since what they are
            answered from is not retrieved yet.
    """

    chunkings: int
    cut: int
    embeddings: Sequence[Embedding]
    answered: int
    answers: int
    unknown: int


def estimate(objective: RagObjective, space: SearchSpace, trials: int | None) -> Estimate:
    """Estimate a search; nothing is split, embedded or sent.

    Args:
        objective: With its documents.
        space: The search space.
        trials: The most trials; None is all of the space.
    """
    counting = Counting(objective)
    for own in configurations(objective, space, trials):
        counting.add(own)
    return Estimate(
        chunkings=len(counting.chunkings),
        cut=sum(chunking.known is not None for chunking in counting.chunkings.values()),
        embeddings=[Embedding(model, texts) for model, texts in sorted(counting.texts().items())],
        answered=len(counting.answered),
        answers=len(counting.unanswered) + counting.unshared + counting.unknown,
        unknown=counting.unknown,
    )


def configurations(objective: RagObjective, space: SearchSpace, trials: int | None) -> Iterator[dict[str, Any]]:
    """The configurations of the whole space, or as many different ones, drawn at random, as there are trials."""
    size = space.size()
    total = min(n for n in (size, trials, MAX_TRIALS) if n is not None)
    for raw in space.points() if size == total else _drawn(space, total):
        yield objective.resolved(space.configuration(raw))


def _drawn(space: SearchSpace, count: int) -> Iterator[Raw]:
    rng = random.Random(0)
    seen: set[str] = set()
    for _ in range(20 * count):
        raw = space.draw(rng)
        if (key := space.key(raw)) not in seen and space.is_valid(raw):
            seen.add(key)
            yield raw
        if len(seen) == count:
            return
