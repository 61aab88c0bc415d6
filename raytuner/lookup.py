"""What of the artefacts that configurations need is on disk: looked at, and nothing made, imported or sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from raytuner.pipeline.cache import NotOnDiskError, OnDisk, shared_cache
from raytuner.pipeline.chain import Chain
from raytuner.pipeline.chunk import CHUNKS, Chunk
from raytuner.pipeline.generate import extract, generate
from raytuner.pipeline.link import LINKS, Link, key_for
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import MIN_DEPTH, RANKING
from raytuner.pipeline.splitters import custom, splitter_stage
from raytuner.rag import RagObjective
from raytuner.store import JSON, Codec

MAX_ANSWERS = 10_000
"""So many answers are looked for; their keys hold the retrieved texts, so that of more it would take too long."""


class Found(NamedTuple):
    """What is on disk for a link.

    Attributes:
        asked: For each question what is in its key beside that of the link; for the whole collection, nothing for an
            empty text.
        there: The keys of what is there, likewise.
        missing: The keys of what is not.
        unknown: The questions whose keys are not known, since what they are answered from is not on disk.
    """

    asked: Mapping[str, Sequence[Any]]
    there: Mapping[str, str]
    missing: Mapping[str, str]
    unknown: Sequence[str] = ()


class Lookup:
    """Looks for the artefacts of configurations.

    Args:
        objective: With its documents and questions.
    """

    def __init__(self, objective: RagObjective) -> None:
        self.questions = list(dict.fromkeys(question.text for question in objective.questions))
        self._answered = objective.needs_answers
        self._cache = OnDisk(shared_cache().store)
        self._pipeline = Pipeline(objective.documents, self._cache, cache_sampled=objective.cache_sampled)
        self._found: dict[str, Found] = {}
        self._left = MAX_ANSWERS

    def chain(self, own: Mapping[str, Any]) -> Chain:
        """The keys of a configuration."""
        return self._pipeline.chain(own)

    def knows(self, chain: Chain) -> bool:
        """Whether its keys are known; those of a splitter from outside are when it is imported."""
        return splitter_stage(chain.params) is not custom

    def shares_answers(self, own: Mapping[str, Any]) -> bool:
        """Whether the answers of a configuration are kept."""
        return self._pipeline.shares_answers(own)

    def links(self, chain: Chain) -> list[Link]:
        """What a configuration needs of what is kept on disk; nothing where its keys are not known."""
        answered = self._answered and self.shares_answers(chain.params)
        return chain.links(answered) if self.knows(chain) else []

    def found(self, chain: Chain, link: Link) -> Found:
        """What of a link of a configuration is on disk."""
        if link is chain.answers:
            found = self._parted(link, self._answered_from(chain))
            return found._replace(unknown=[question for question in self.questions if question not in found.asked])
        if link.key not in self._found:
            self._found[link.key] = self._parted(
                link, {text: [text] for text in self.questions} if link.each else {"": []}
            )
        return self._found[link.key]

    def searched(self, chain: Chain) -> Iterable[str]:
        """The questions for which the search by vector is not on disk, or not known to be."""
        return self.found(chain, chain.by_vector).missing if self.knows(chain) else self.questions

    def answers(self, chain: Chain, found: Found) -> list[str]:
        """The texts of answers that are there."""
        codec = (extract if chain.is_extractive else generate).codec
        assert codec is not None  # answers are kept
        read = self.read(list(found.there.values()), codec).values()
        return [answer if isinstance(answer, str) else answer.text for answer in read]

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of several keys under which there is an artefact."""
        return self._cache.store.present(keys) if self._cache.store is not None else set()

    def read(self, keys: Sequence[str], codec: Codec[Any]) -> dict[str, Any]:
        """Those artefacts of several keys that are there."""
        return self._cache.get_many(keys, codec)

    def chunks(self, key: str) -> list[Chunk] | None:
        """The chunks under a key, if they are there."""
        return self.read([key], CHUNKS).get(key)

    @cached_property
    def notes(self) -> list[Mapping[str, Any]]:
        """What is in the keys of all that was ever made, the last first; it may be there no more."""
        return self._cache.store.of_stage(LINKS, JSON) if self._cache.store is not None else []

    def _parted(self, link: Link, asked: Mapping[str, Sequence[Any]]) -> Found:
        keys = {text: key_for(link.key, *parts) for text, parts in asked.items()}
        usable = self._usable(list(keys.values()), link.depth)
        there = {text: key for text, key in keys.items() if key in usable}
        return Found(asked, there, {text: key for text, key in keys.items() if key not in usable})

    def _usable(self, keys: Sequence[str], depth: int) -> set[str]:
        if depth <= MIN_DEPTH:  # as deep as all that are kept, or what is in their key
            return self.present(keys)
        return {key for key, ranking in self.read(keys, RANKING).items() if ranking.depth >= depth}

    def _answered_from(self, chain: Chain) -> dict[str, Sequence[Any]]:
        """Those questions for which the texts are known that they are answered from, with these."""
        if not self.knows(chain):
            return {}
        retrieved = set(self.questions)
        for link in chain.links(False):
            if link.depth:
                retrieved &= set(self.found(chain, link).there)
        asked = [question for question in self.questions if question in retrieved][: self._left]
        try:
            texts = self._pipeline.texts(chain.params, self._pipeline.rankings(chain.params, asked))
        except NotOnDiskError:
            return {}
        self._left -= len(asked)
        return {question: (question, own) for question, own in zip(asked, texts, strict=True)}
