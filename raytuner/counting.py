"""Counts what configurations have to compute: exactly where the cache or the questions say it, else about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from raytuner.documents.document import Document
from raytuner.lookup import Lookup
from raytuner.pipeline.chain import Chain
from raytuner.pipeline.chunk import Chunk, overlap_tokens
from raytuner.pipeline.embed import embed_chunks, model_identity, vectors_key
from raytuner.pipeline.link import key_for
from raytuner.pipeline.retrieve import select
from raytuner.pipeline.splitters import custom, expand, semantic, sentence_window, splitter_stage, whole
from raytuner.pipeline.stage import digest
from raytuner.rag import RagObjective
from raytuner.scoring import right_answers

CHARACTERS_PER_TOKEN = 4
SENTENCE_TOKENS = 25
ANSWER_TOKENS = 50


class Texts(NamedTuple):
    """Texts of one kind that a model embeds.

    Attributes:
        kind: What they are.
        wanted: How many there are; texts that are equal count once, except among chunks.
        needed: How many of them are not on disk.
        tokens: About how many tokens these have.
        exact: Whether the numbers of texts are exact.
    """

    kind: str
    wanted: int
    needed: int
    tokens: int
    exact: bool


class Chunking(NamedTuple):
    """A way of cutting the documents: how many chunks and tokens it makes, and the chunks if they are on disk."""

    chunks: int
    tokens: int
    known: Sequence[Chunk] | None = None


@dataclass
class _Model:
    """What an embedding model is needed for.

    Attributes:
        name: What configurations call it.
        vectors: By key, the chunkings of which it embeds all chunks.
        topics: By key, the semantic chunkings that it decides.
        questions: Those that it embeds.
        queries: All that it would embed if nothing were on disk.
        retrieved: The share of the documents whose sentences it compares with questions.
        lacking: Of which share it does so for answers that are not on disk.
        compares: Whether it compares answers.
    """

    name: str
    vectors: dict[str, Chunking] = field(default_factory=dict)
    topics: dict[str, Chunking] = field(default_factory=dict)
    questions: set[str] = field(default_factory=set)
    queries: set[str] = field(default_factory=set)
    retrieved: float = 0.0
    lacking: float = 0.0
    compares: bool = False

    def ask(self, questions: Iterable[str], lacking: Iterable[str]) -> None:
        """Note questions, and for which of them something is not on disk."""
        self.queries.update(questions)
        self.questions.update(lacking)


class Counting:
    """Counts what configurations have to compute; what they share counts once.

    Args:
        objective: With its documents and questions.

    Attributes:
        chunkings: The ways of cutting the documents, by key.
        answered: The keys of answers of LLMs that are on disk.
        unanswered: Of those that are not.
        unshared: How many answers each trial asks for by itself.
        unknown: How many more answers there are at the most, whose keys are not known.
    """

    def __init__(self, objective: RagObjective) -> None:
        self._objective = objective
        self._lookup = Lookup(objective)
        self._answers = objective.needs_answers or objective.mode is None  # it may need them before it is imported
        self._tokens = tokens_of(objective.documents)
        self._models: dict[str, _Model] = {}
        self._compared: set[str] = set()
        self._uncompared = 0
        self.chunkings: dict[str, Chunking] = {}
        self.answered: set[str] = set()
        self.unanswered: set[str] = set()
        self.unshared = 0
        self.unknown = 0

    def add(self, own: Mapping[str, Any]) -> None:
        """Count what a configuration needs."""
        chain = self._lookup.chain(own)
        key = chain.split.key if self._lookup.knows(chain) else outside_key(own)
        if key not in self.chunkings:
            self.chunkings[key] = self._chunking(own, key)
        model = self._model(embed_chunks.own(own))
        if splitter_stage(own) is semantic:
            model.topics[key] = self.chunkings[key]
        if chain.embeds:
            model.vectors[embed_chunks.key(own, key)] = self.chunkings[key]
            model.ask(self._lookup.questions, self._lookup.searched(chain))
        if self._answers:
            self._add_answers(chain, self.chunkings[key], model)

    def _add_answers(self, chain: Chain, chunking: Chunking, model: _Model) -> None:
        lacking = len(self._objective.questions)
        if self._lookup.shares_answers(chain.params):
            found = self._lookup.found(chain, chain.answers)
            lacking = len(found.missing) + len(found.unknown)
            if chain.is_extractive:
                model.ask(self._lookup.questions, [*found.missing, *found.unknown])
                model.retrieved = max(model.retrieved, self._share(chain.params, chunking, len(self._lookup.questions)))
                model.lacking = max(model.lacking, self._share(chain.params, chunking, lacking))
            else:
                self.answered.update(found.there.values())
                self.unanswered.update(found.missing.values())
                self.unknown += len(found.unknown)
            if self._objective.compares_answers:
                self._compared.update(self._lookup.answers(chain, found))
        else:
            self.unshared += lacking
        self._uncompared += lacking

    def texts(self) -> dict[str, list[Texts]]:
        """What each model embeds, by its name."""
        if self._objective.compares_answers:
            self._model(self._objective.comparer).compares = True
        found: dict[str, list[Texts]] = {}
        for identity, model in self._models.items():
            rows = [row for row in self._rows(identity, model) if row.wanted]
            if rows:
                found.setdefault(model.name, []).extend(rows)
        return found

    def _rows(self, identity: str, model: _Model) -> Iterator[Texts]:
        yield self._chunks(identity, model)
        key = vectors_key("query", identity)
        absent = self._absent(key, model.questions)
        yield Texts("questions", len(model.queries), len(absent), _tokens(absent), True)
        if model.topics:
            cut = any(chunking.known is not None for chunking in model.topics.values())  # its sentences were embedded
            yield self._sentences("sentences to cut between", 1, 0 if cut else 1, neighbours=3)
        yield self._sentences("sentences to answer with", model.retrieved, model.lacking)
        if model.compares:
            yield from self._comparisons(vectors_key("text", identity))

    def _chunks(self, identity: str, model: _Model) -> Texts:
        """The chunks; where they are on disk and their matrix is not, those that have a vector of their own are not."""
        there = self._lookup.present(list(model.vectors))
        rest = [chunking for key, chunking in model.vectors.items() if key not in there]
        known = {chunk.text: chunk.tokens for chunking in rest for chunk in chunking.known or ()}
        absent = self._absent(vectors_key("text", identity), known)
        unknown = [chunking for chunking in rest if chunking.known is None]
        return Texts(
            "chunks",
            sum(chunking.chunks for chunking in model.vectors.values()),
            len(absent) + sum(chunking.chunks for chunking in unknown),
            sum(known[text] for text in absent) + sum(chunking.tokens for chunking in unknown),
            all(chunking.known is not None for chunking in model.vectors.values()),
        )

    def _sentences(self, kind: str, share: float, needed: float, neighbours: int = 1) -> Texts:
        """Sentences of a share of the documents, each embedded together with its neighbours."""
        count = self._tokens / SENTENCE_TOKENS
        tokens = round(neighbours * self._tokens * needed)
        return Texts(kind, math.ceil(count * share), math.ceil(count * needed), tokens, False)

    def _comparisons(self, key: str) -> Iterator[Texts]:
        """The right answers, and those that are compared with them."""
        right = {text for question in self._objective.questions for text in right_answers(question) if text.strip()}
        absent = self._absent(key, right)
        yield Texts("right answers", len(right), len(absent), _tokens(absent), True)
        given = {text for text in self._compared if text.strip()}
        absent = self._absent(key, given - right)
        needed, tokens = len(absent) + self._uncompared, _tokens(absent) + self._uncompared * ANSWER_TOKENS
        yield Texts("answers", len(given) + self._uncompared, needed, tokens, not self._uncompared)

    def _absent(self, key: str, texts: Iterable[str]) -> list[str]:
        """Those of some texts whose vectors are not on disk."""
        keys = {key_for(key, text): text for text in texts}
        there = self._lookup.present(list(keys))
        return [text for own, text in keys.items() if own not in there]

    def _model(self, parameters: Mapping[str, Any]) -> _Model:
        return self._models.setdefault(model_identity(parameters), _Model(str(parameters["embedding"])))

    def _chunking(self, own: Mapping[str, Any], key: str) -> Chunking:
        """How the documents are cut: as it is on disk, else about."""
        known = self._lookup.chunks(key)
        if known is not None:
            return Chunking(len(known), sum(chunk.tokens for chunk in known), known)
        return about(own, self._objective.documents)

    def _share(self, own: Mapping[str, Any], chunking: Chunking, questions: int) -> float:
        """About which share of the documents so many questions retrieve together, as if each chose at random."""
        each = chunking.tokens / max(1, chunking.chunks)
        if splitter_stage(own) is sentence_window:
            each *= 2 * expand.own(own)["window_size"] + 1
        return 1 - math.exp(-questions * select.own(own)["top_k"] * each / max(1, self._tokens))


def about(own: Mapping[str, Any], documents: Sequence[Document]) -> Chunking:
    """About how a configuration cuts documents; what is on disk is not looked at."""
    part, tokens = splitter_stage(own), tokens_of(documents)
    if part is whole:
        return Chunking(len(documents), tokens)
    if part is sentence_window:
        return Chunking(math.ceil(tokens / SENTENCE_TOKENS), tokens)
    settings = {**custom.own(own), **part.own(own)}
    size = settings["chunk_size"]
    overlap = 0 if part is semantic else overlap_tokens(size, settings["chunk_overlap"])
    step = max(1, size - overlap)
    count = sum(max(1, math.ceil(len(d.text) / CHARACTERS_PER_TOKEN / step)) for d in documents)
    return Chunking(count, min(count * size, math.ceil(tokens * size / step)))


def tokens_of(documents: Sequence[Document]) -> int:
    """About how many tokens documents have."""
    return sum(len(document.text) for document in documents) // CHARACTERS_PER_TOKEN


def _tokens(texts: Iterable[str]) -> int:
    return sum(math.ceil(len(text) / CHARACTERS_PER_TOKEN) for text in texts)


def outside_key(own: Mapping[str, Any]) -> str:
    """A key for the chunks of a splitter from outside; its own is known when it is imported."""
    settings = custom.own(own)
    return digest([str(settings["splitter"]), settings["chunk_size"], settings["chunk_overlap"]])
