"""The RAG objective: documents, questions, a pipeline and metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytuner import aio, datasets, metrics, models
from raytuner.datasets import Question, QuestionSet
from raytuner.datasets.blocks import blocks as in_blocks
from raytuner.datasets.blocks import stratified_order
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError
from raytuner.models import ModelSpec, named, resolved, table_of
from raytuner.models.spec import spec
from raytuner.objective import Means, Values
from raytuner.pipeline import pipeline as stages
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.embed import embedder
from raytuner.pipeline.generate import EXTRACTIVE
from raytuner.pipeline.retrieve import Ranking
from raytuner.results import RunResult
from raytuner.space import SearchSpace

DEFAULT_METRIC = "semantic_similarity"
BLOCK_SIZE = 8


class RagObjective:
    """Scores a configuration of a RAG pipeline on questions.

    It is a function of a configuration (``objective(params)`` or ``await objective.acall(params)``
    return a `RunResult`) and serves as ``param_fn`` of every tuner, to which it reports block by block.

    Args:
        documents: The collection, or paths to load it from.
        questions: The question set, or the path of one.
        metric: The metric to optimise; see `raytuner.metrics`.
        block_size: How many questions are evaluated and reported together.
        seed: Fixes the order of the questions, the same for every configuration.
        similarity_embedding: The embedding model that compares answers for ``semantic_similarity``; the
            same for every configuration, so that their scores compare. By default the pipeline's own
            where it is fixed, else ``minilm``.
        models: What names of models stand for: for each a mapping of settings, as in the section ``models`` of
            a config, or a LlamaIndex model. ``llm`` and ``embedding`` may be LlamaIndex models themselves.
        **pipeline: Fixed parameters of the pipeline; all others come with each configuration or have
            their default.

    Raises:
        ConfigError: An unknown metric or parameter, or a value that is not allowed.
        DataError: The documents are empty or share an id, or the questions lack what the metric needs.
        ModelError: There is no such model.
    """

    def __init__(
        self,
        documents: Sequence[Document] | str | Path | Sequence[str | Path],
        questions: QuestionSet | str | Path,
        *,
        metric: str = DEFAULT_METRIC,
        block_size: int = BLOCK_SIZE,
        seed: int = 0,
        similarity_embedding: str | None = None,
        models: Mapping[str, Any] | None = None,
        **pipeline: Any,
    ) -> None:
        if block_size < 1:
            raise ConfigError(f"block_size is {block_size}; it must be at least 1")
        self.documents = _documents(documents)
        self.questions = (
            datasets.fit(questions, self.documents)
            if isinstance(questions, QuestionSet)
            else datasets.load(questions, documents=self.documents)
        )
        self.metric = metric
        self._table = table_of(models)
        self.fixed = named(pipeline, self._table)
        self.similarity_embedding = similarity_embedding
        self.block_size = block_size
        self.seed = seed
        self._metrics = _reported(metric, self.questions)
        self._numbers = {document.id: number for number, document in enumerate(self.documents)}
        for name, value in self.resolved(pipeline).items():
            stages.check_value(name, value)
        if similarity_embedding is not None:
            stages.check_value("embedding", spec(similarity_embedding, self._table))
        self._order = in_blocks(stratified_order(self.questions.questions, seed), block_size)
        self._pipeline: stages.Pipeline | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Artefacts stay in their process; a worker builds its own.
        return {**self.__dict__, "_pipeline": None}

    @property
    def needs_answers(self) -> bool:
        """Whether questions are answered at all, or only retrieved for."""
        return any(metric.needs == "answers" for metric in self._metrics)

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse a configuration that cannot run.

        Raises:
            ConfigError: With the rule that is broken.
        """
        stages.check(self.resolved({**self.fixed, **params}))

    def resolved(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as the stages of the pipeline take them: what names of models stand for in their place."""
        return resolved(params, self._table)

    def specs(self, names: Iterable[str]) -> list[ModelSpec]:
        """What names of models stand for, in the order of the names."""
        return [spec(name, self._table) for name in sorted(names)]

    def models(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> tuple[set[str], set[str]]:
        """The models that some configuration of a space uses.

        Args:
            space: The space.
            fixed: Further parameters that do not vary.

        Returns:
            The names of embedding models and of LLMs.
        """
        embeddings: set[str] = set()
        llms: set[str] = set()
        fixed = named(fixed or {}, self._table)
        for params in space.covering(("embedding", "llm", "retriever")):
            own = {**stages.defaults(), **self.fixed, **fixed, **params}
            if self.needs_answers and own["llm"] != EXTRACTIVE:
                llms.add(own["llm"])
            if own["retriever"] != "bm25" or (self.needs_answers and own["llm"] == EXTRACTIVE):
                embeddings.add(own["embedding"])
            if self._compares_answers:
                embeddings.add(self._similarity_model())
        return embeddings, llms

    def prepare(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> None:
        """Fetch the weights and look for the keys that a space needs, before any worker does.

        Args:
            space: The space.
            fixed: Further parameters that do not vary.

        Raises:
            ModelError: Something cannot be had.
        """
        embeddings, llms = self.models(space, fixed)
        models.prepare(self.specs(embeddings), self.specs(llms))

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
        self.check(params)
        for block in self._order:
            yield aio.run(self._values(params, block))

    async def ablocks(self, params: Mapping[str, Any]) -> AsyncIterator[Values]:
        """`blocks` for a running event loop."""
        self.check(params)
        for block in self._order:
            yield await self._values(params, block)

    def _result(self, params: Mapping[str, Any], blocks: Any) -> RunResult:
        means, questions = Means(), {}
        for values in blocks:
            means.add(values)
            questions.update(values)
        found = means.values()
        return RunResult(
            score=found[self.metric], params=named(params, self._table), metrics=found, questions=questions
        )

    async def _values(self, params: Mapping[str, Any], block: Sequence[Question]) -> Values:
        own = self.resolved({**self.fixed, **params})
        pipeline = self._stages()
        chunks = pipeline.chunks(own)
        rankings = pipeline.rankings(own, [question.text for question in block])
        answers: Sequence[str | None] = [None] * len(block)
        if self.needs_answers:
            contexts = [[chunks[i].text for i in ranking.chunks] for ranking in rankings]
            answers = await pipeline.answers(own, [question.text for question in block], contexts)
        similarities = self._similarities(answers, [question.answer for question in block])
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
        relevant = pipeline.remember(
            ["relevant", pipeline.split_key(own), question.id], lambda: self._relevant(chunks, question)
        )
        retrieved = [chunks[i] for i in ranking.chunks]
        evidence = metrics.Evidence(
            ranges=[(chunk.document, chunk.start, chunk.end) for chunk in retrieved],
            relevant=[int(i) in relevant for i in ranking.chunks],
            tokens=[chunk.tokens for chunk in retrieved],
            total_relevant=len(relevant),
            references=self._references(question),
            top_k=ranking.depth,
            answer=answer,
            reference_answer=question.answer,
            similarity=similarity,
        )
        return {metric.name: metric(evidence) for metric in self._metrics}

    def _relevant(self, chunks: Sequence[Chunk], question: Question) -> frozenset[int]:
        """The positions of the chunks that are relevant to a question."""
        whole = {self._numbers[name] for name in question.documents}
        references = self._references(question)
        touched = {document for document, _, _ in references}
        return frozenset(
            position
            for position, chunk in enumerate(chunks)
            if chunk.document in whole
            or (chunk.document in touched and metrics.is_relevant((chunk.document, chunk.start, chunk.end), references))
        )

    def _references(self, question: Question) -> list[tuple[int, int, int]]:
        return [(self._numbers[r.document], r.start, r.end) for r in question.references]

    @property
    def _compares_answers(self) -> bool:
        return any(metric.base == "semantic_similarity" for metric in self._metrics)

    def _similarity_model(self) -> str:
        """The model that compares answers; never a tuned one, or scores of two models would be compared."""
        return self.similarity_embedding or self.fixed.get("embedding") or "minilm"

    def _similarities(self, answers: Sequence[str | None], references: Sequence[str | None]) -> Sequence[float | None]:
        """Cosines of answers and references, as LlamaIndex's ``SemanticSimilarityEvaluator`` computes them."""
        if not self._compares_answers:
            return [None] * len(answers)
        # All at once, so that a service is asked once a block.
        model = embedder(spec(self._similarity_model(), self._table), self.fixed.get("long_text", "windows"))
        texts = [text for text in (*answers, *references) if text and text.strip()]
        vectors = dict(zip(texts, model.texts(texts).astype(np.float64), strict=True)) if texts else {}
        return [
            float(vectors[answer] @ vectors[reference]) if answer in vectors and reference in vectors else 0.0
            for answer, reference in zip(answers, references, strict=True)
        ]

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


def _reported(metric: str, questions: QuestionSet) -> tuple[metrics.Metric, ...]:
    """The metrics that are reported: the optimised one, and those of its group that the questions allow."""
    first = metrics.metric(metric)
    if not len(questions):
        raise DataError("the question set is empty; add questions")
    lacking = [question.id for question in questions if not _serves(first, question)]
    if lacking:
        raise DataError(
            f"metric {metric} needs {_NEEDS[first.needs]}, which {len(lacking)} of {len(questions)} questions lack "
            f"({', '.join(lacking[:3])}); add them, or choose another metric"
        )
    group = [metrics.metric(name) for name in metrics.group(metric) if name != metric]
    return (first, *(other for other in group if all(_serves(other, question) for question in questions)))


_NEEDS = {
    "references": "references",
    "spans": "reference spans",
    "answers": "reference answers",
    "nothing": "nothing",
}


def _serves(metric: metrics.Metric, question: Question) -> bool:
    """Whether a question has what a metric needs."""
    if metric.needs == "references":
        return bool(question.references or question.documents)
    if metric.needs == "spans":
        return bool(question.references)
    return metric.needs != "answers" or question.answer is not None
