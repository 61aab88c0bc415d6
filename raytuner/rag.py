"""The RAG objective: documents, questions, a pipeline and metrics."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytuner import aio, components, datasets, languages, metrics, models
from raytuner.datasets import Question, QuestionSet
from raytuner.datasets.blocks import blocks as in_blocks
from raytuner.datasets.blocks import stratified_order
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError
from raytuner.objective import Means, Values
from raytuner.pipeline import pipeline as stages
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.embed import embedder
from raytuner.pipeline.generate import EXTRACTIVE, generate
from raytuner.pipeline.retrieve import Ranking
from raytuner.pipeline.splitters import prepare_splitter, semantic, splitter_stage
from raytuner.results import RunResult
from raytuner.scoring import reported, scorable, score
from raytuner.space import SearchSpace

logger = logging.getLogger("raytuner")

DEFAULT_METRIC = "semantic_similarity"
BLOCK_SIZE = 8

logger = logging.getLogger("raytuner")


class RagObjective:
    """Scores a configuration of a RAG pipeline on questions.

    It is a function of a configuration (``objective(params)`` or ``await objective.acall(params)``
    return a `RunResult`) and serves as ``param_fn`` of every tuner, to which it reports block by block.

    Args:
        documents: The collection, or paths to load it from.
        questions: The question set, or the path of one.
        metric: The metric to optimise; see `raytuner.metrics`. It may be a function of one
            `raytuner.metrics.Evidence`, or the dotted path of one, which is imported when a search begins.
        block_size: How many questions are evaluated and reported together.
        seed: Fixes the order of the questions, the same for every configuration.
        similarity_embedding: The embedding model that compares answers for ``semantic_similarity``; the
            same for every configuration, so that their scores compare. By default the pipeline's own
            where it is fixed, else ``minilm``.
        folder: Where modules named by dotted paths are looked for, beside Python's own path.
        **pipeline: Fixed parameters of the pipeline; all others come with each configuration or have
            their default.

    Raises:
        ConfigError: An unknown metric or parameter, or a value that is not allowed.
        DataError: The documents are empty or share an id, or the questions lack what the metric needs.
        ModelError: There is no model `similarity_embedding`.
    """

    def __init__(
        self,
        documents: Sequence[Document] | str | Path | Sequence[str | Path],
        questions: QuestionSet | str | Path,
        *,
        metric: str | Callable[[metrics.Evidence], float] = DEFAULT_METRIC,
        block_size: int = BLOCK_SIZE,
        seed: int = 0,
        similarity_embedding: str | None = None,
        folder: str | Path | None = None,
        **pipeline: Any,
    ) -> None:
        if block_size < 1:
            raise ConfigError(f"block_size is {block_size}; it must be at least 1")
        self.documents = _documents(documents)
        fitted = (
            datasets.fit(questions, self.documents)
            if isinstance(questions, QuestionSet)
            else datasets.load(questions, documents=self.documents)
        )
        if not len(fitted):
            raise DataError("the question set is empty; add questions")
        self.questions = fitted
        self.folder = folder
        self._warned: set[str] = set()
        self.fixed = pipeline
        self.similarity_embedding = similarity_embedding
        self.block_size = block_size
        self.seed = seed
        self._numbers = {document.id: number for number, document in enumerate(self.documents)}
        for name, value in pipeline.items():
            stages.check_value(name, value)
        if similarity_embedding is not None:
            stages.check_value("embedding", similarity_embedding)
            models.embedding_identity(similarity_embedding, "windows")
        self._metrics: tuple[metrics.Metric, ...] = ()  # none before a dotted path is imported
        self._order: Sequence[Sequence[Question]] = ()
        if components.is_dotted(metric):
            self.metric = str(metric)
        else:
            self._use(metrics.metric(metric) if isinstance(metric, str) else metrics.from_function(metric))
        self._pipeline: stages.Pipeline | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Artefacts stay in their process; a worker builds its own, and imports by itself what has a dotted path.
        imported = components.is_dotted(self.metric)
        return {**self.__dict__, "_pipeline": None, "_metrics": () if imported else self._metrics}

    def resolve(self) -> None:
        """Import a metric that is named by its dotted path. That runs its module, so only a search does it.

        Raises:
            ConfigError: There is no such metric.
            DataError: The questions lack what it needs.
        """
        if not self._metrics:
            with components.importable(self.folder):
                function = components.load(self.metric, "metric")
            self._use(metrics.from_function(function, self.metric))

    def _use(self, metric: metrics.Metric) -> None:
        self.metric = metric.name
        self.questions = scorable(metric, self.questions)
        self._metrics = reported(metric, self.questions)
        self._order = in_blocks(stratified_order(self.questions.questions, self.seed), self.block_size)

    @property
    def mode(self) -> metrics.Mode | None:
        """Whether more of the metric is better or less; None before `resolve`."""
        return self._metrics[0].mode if self._metrics else None

    @property
    def needs_answers(self) -> bool:
        """Whether questions are answered at all, or only retrieved for."""
        return any(metric.needs in ("answers", "llm") for metric in self._metrics)

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse a configuration that cannot run.

        Raises:
            ConfigError: With the rule that is broken.
        """
        own = {**self.fixed, **params}
        stages.check(own)
        self._check_llm(own)

    def _check_llm(self, own: Mapping[str, Any]) -> None:
        if any(metric.needs == "llm" for metric in self._metrics) and generate.own(own)["llm"] == EXTRACTIVE:
            raise ConfigError(f"metric {self.metric} needs an LLM, and llm is {EXTRACTIVE}; set pipeline.llm")

    def models(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> tuple[set[str], set[str]]:
        """The models that some configuration of a space uses.

        Args:
            space: The space.
            fixed: Further parameters that do not vary.

        Returns:
            The names of embedding models and of LLMs.
        """
        embeddings, llms = set(), set()
        for params in space.covering(("embedding", "llm", "retriever", "splitter")):
            own = {**stages.defaults(), **self.fixed, **(fixed or {}), **params}
            if (self.needs_answers or not self._metrics) and own["llm"] != EXTRACTIVE:
                llms.add(own["llm"])
            embeds_sentences = splitter_stage(own) is semantic
            if embeds_sentences or own["retriever"] != "bm25" or (self.needs_answers and own["llm"] == EXTRACTIVE):
                embeddings.add(own["embedding"])
            if self._compares_answers:
                embeddings.add(self._similarity_model())
        return embeddings, llms

    def prepare(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> None:
        """Fetch the weights, look for the keys and import the splitters that a space needs, before any worker does.

        Args:
            space: The space.
            fixed: Further parameters that do not vary.

        Raises:
            ConfigError: There is no such metric, it needs an LLM where there is none, or a splitter cannot be made.
            ModelError: A model cannot be had.
        """
        self.resolve()
        for params in space.covering(("llm",)):
            self._check_llm({**self.fixed, **(fixed or {}), **params})
        for params in space.covering(("splitter",)):
            prepare_splitter({**self.fixed, **(fixed or {}), **params})
        embeddings, llms = self.models(space, fixed)
        self.warn(embeddings)
        models.prepare(sorted(embeddings), sorted(llms))

    def warn(self, embeddings: set[str]) -> None:
        """Warn, once, of embedding models that do not know the language of the texts."""
        texts = {
            "documents": [document.text for document in self.documents],
            "questions": [question.text for question in self.questions],
        }
        for line in languages.foreign(sorted(embeddings - self._warned), texts):
            logger.warning("%s", line)
        self._warned |= embeddings

    def __call__(self, params: Mapping[str, Any]) -> RunResult:
        """Score a configuration on all questions."""
        return self._result(params, self.blocks(params))

    async def acall(self, params: Mapping[str, Any]) -> RunResult:
        """Score a configuration on all questions, LLM calls awaited on the caller's event loop."""
        return self._result(params, [values async for values in self.ablocks(params)])

    def blocks(self, params: Mapping[str, Any]) -> Iterator[Values]:
        """Score a configuration block by block.

        Args:
            params: The configuration; parameters that are absent are fixed or have their default.

        Yields:
            For each question of a block its value by metric.

        Raises:
            ConfigError: The configuration cannot run.
        """
        self.resolve()
        self.check(params)
        for block in self._order:
            yield aio.run(self._values(params, block))

    async def ablocks(self, params: Mapping[str, Any]) -> AsyncIterator[Values]:
        """`blocks` for a running event loop."""
        self.resolve()
        self.check(params)
        for block in self._order:
            yield await self._values(params, block)

    def _result(self, params: Mapping[str, Any], blocks: Any) -> RunResult:
        means, questions = Means(), {}
        for values in blocks:
            means.add(values)
            questions.update(values)
        found = means.values()
        return RunResult(score=found[self.metric], params=dict(params), metrics=found, questions=questions)

    async def _values(self, params: Mapping[str, Any], block: Sequence[Question]) -> Values:
        own = {**self.fixed, **params}
        pipeline = self._stages()
        rankings = pipeline.rankings(own, [question.text for question in block])
        answers: Sequence[str | None] = [None] * len(block)
        if self.needs_answers:
            contexts = [[chunk.text for chunk in pipeline.contexts(own, ranking)] for ranking in rankings]
            answers = await pipeline.answers(own, [question.text for question in block], contexts)
        similarities = self._similarities(answers, block)
        return {
            question.id: self._scores(own, question, ranking, answer, similarity)
            for question, ranking, answer, similarity in zip(block, rankings, answers, similarities, strict=True)
        }

    def _scores(
        self,
        own: Mapping[str, Any],
        question: Question,
        ranking: Ranking,
        answer: str | None,
        similarity: float | None,
    ) -> dict[str, float]:
        pipeline = self._stages()
        chunks = pipeline.chunks(own)
        split = pipeline.split_key(own)
        relevant = pipeline.remember(["relevant", split, question.id], lambda: self._relevant(chunks, split, question))
        contexts = pipeline.contexts(own, ranking)
        evidences = [
            metrics.Evidence(
                ranges=[(chunk.document, chunk.start, chunk.end) for chunk in contexts],
                relevant=[int(i) in positions for i in ranking.chunks],
                tokens=[chunk.tokens for chunk in contexts],
                total_relevant=len(positions),
                references=references,
                top_k=ranking.depth,
                answer=answer,
                reference_answer=question.answer if question.answerable else "",
                other_answers=question.other_answers,
                similarity=similarity,
                question=question.text,
                contexts=[chunk.text for chunk in contexts],
            )
            for references, positions in zip(self._references(question), relevant, strict=True)
        ]
        return {metric.name: score(metric, evidences, question.id) for metric in self._metrics}

    def _relevant(self, chunks: Sequence[Chunk], split: str, question: Question) -> list[frozenset[int]]:
        """For each alternative the positions of the chunks that are relevant to a question."""
        positions = self._stages().remember(["positions", split], lambda: _positions(chunks))
        whole = {i for name in question.documents for i in positions[self._numbers[name]]}
        return [
            frozenset(whole).union(
                i
                for document in {document for document, _, _ in references}
                for i in positions[document]
                if metrics.is_relevant((document, chunks[i].start, chunks[i].end), references)
            )
            for references in self._references(question)
        ]

    def _references(self, question: Question) -> list[list[metrics.Span]]:
        """The reference spans of each alternative; a single empty one for a question without any."""
        alternatives: dict[int, list[metrics.Span]] = defaultdict(list)
        for reference in question.references:
            alternatives[reference.alternative].append((self._numbers[reference.document], *reference.span))
        return list(alternatives.values()) or [[]]

    @property
    def _compares_answers(self) -> bool:
        return any(metric.base == "semantic_similarity" for metric in self._metrics)

    def _similarity_model(self) -> str:
        """The model that compares answers; never a tuned one, or scores of two models would be compared."""
        return self.similarity_embedding or self.fixed.get("embedding") or "minilm"

    def _similarities(self, answers: Sequence[str | None], block: Sequence[Question]) -> Sequence[float | None]:
        """Cosines of answers and references, as LlamaIndex's ``SemanticSimilarityEvaluator`` computes them."""
        if not self._compares_answers:
            return [None] * len(answers)
        # All at once, so that a service is asked once a block.
        model = embedder(self._similarity_model(), self.fixed.get("long_text", "windows"))
        given = [*answers, *(text for question in block for text in _right_answers(question))]
        texts = list(dict.fromkeys(text for text in given if text and text.strip()))
        vectors = dict(zip(texts, model.texts(texts).astype(np.float64), strict=True)) if texts else {}
        return [_similarity(answer or "", question, vectors) for answer, question in zip(answers, block, strict=True)]

    def _stages(self) -> stages.Pipeline:
        if self._pipeline is None:
            self._pipeline = stages.Pipeline(self.documents)
        return self._pipeline


def _documents(documents: Any) -> list[Document]:
    if isinstance(documents, (str, Path)):
        return load_documents(documents)
    entries = list(documents)
    if not entries or not all(isinstance(entry, Document) for entry in entries):
        return load_documents(entries)
    times = Counter(entry.id for entry in entries)
    for entry in entries:
        if not entry.text.strip():
            raise DataError(f"document {entry.id!r} is empty; remove it or put text into it")
        if times[entry.id] > 1:
            raise DataError(f"{times[entry.id]} documents have the id {entry.id!r}; make it unique")
    return entries


def _positions(chunks: Sequence[Chunk]) -> Mapping[int, list[int]]:
    """Where the chunks of each document are."""
    positions: dict[int, list[int]] = defaultdict(list)
    for position, chunk in enumerate(chunks):
        positions[chunk.document].append(position)
    return positions


def _right_answers(question: Question) -> list[str]:
    return [text for text in (question.answer, *question.other_answers) if text and question.answerable]


def _similarity(answer: str, question: Question, vectors: Mapping[str, Any]) -> float:
    """The cosine of an answer and the nearest right one; whether it abstains if there is no right one."""
    if not question.answerable:
        return float(metrics.abstains(answer))
    known = [text for text in _right_answers(question) if text in vectors]
    return max((float(vectors[answer] @ vectors[text]) for text in known if answer in vectors), default=0.0)
