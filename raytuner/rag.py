"""The RAG objective: documents, questions, a pipeline and metrics."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from raytuner import aio, datasets, languages, metrics, models
from raytuner.components import importable, is_dotted
from raytuner.config_sections import JudgeConfig
from raytuner.datasets import Question, QuestionSet
from raytuner.datasets.blocks import Order, document_of, number_held_out, order
from raytuner.documents.document import Document
from raytuner.documents.load import given_documents
from raytuner.errors import ConfigError, DataError
from raytuner.judging import Judge, check_judged, judge_settings
from raytuner.models import ModelSpec, named, table_of
from raytuner.models.spec import spec
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.generate import EXTRACTIVE, generate
from raytuner.pipeline.pipeline import Pipeline
from raytuner.rag_models import names_of, resolved_with, used_models
from raytuner.results import RunResult
from raytuner.retrieved import Retrieved
from raytuner.scorer import Scorer, Wanted
from raytuner.scoring import look_up, reported, scorable
from raytuner.space import SearchSpace
from raytuner.values import MOST_FAILED, Means, Values, check_failed
from raytuner.weighting import WEIGHTED, check_weights

logger = logging.getLogger("raytuner")

Asked = str | Callable[[metrics.Evidence], float]
DEFAULT_METRIC = "semantic_similarity"
BLOCK_SIZE = 8


class RagObjective:
    """Scores a configuration of a RAG pipeline on questions.

    It is a function of a configuration (``objective(params)`` or ``await objective.acall(params)``
    return a `RunResult`) and serves as ``param_fn`` of every tuner, to which it reports block by block.

    Args:
        documents: The collection, or paths to load it from. None is one that was not read: then parameters, metric and
            models can be checked, and nothing be scored.
        questions: The question set, or the path of one.
        metric: The metric to optimise, or several; see `raytuner.metrics`. It may be a function of one
            `raytuner.metrics.Evidence`, or the dotted path of one, which is imported when a search begins.
        block_size: How many questions are evaluated and reported together; by default 8, and all of them for a judge
            that is asked in batches.
        seed: Fixes the order of the questions, the same for every configuration.
        similarity_embedding: The embedding model that compares answers for ``semantic_similarity``; the
            same for every configuration, so that their scores compare. By default the pipeline's own
            where it is fixed, else ``minilm``.
        models: What names of models stand for: for each a mapping of settings, as in the section ``models`` of
            a config, or a LlamaIndex model. ``llm`` and ``embedding`` may be LlamaIndex models themselves.
        components: The same for splitters, retrievers and rerankers of your own; see `raytuner.components`.
        folder: Where modules named by dotted paths are looked for, beside Python's own path.
        holdout: So many of the questions are not scored in a search, but kept to confirm its winner; ``auto`` is a
            third of 60 or more.
        cache_sampled: Whether trials share the answers of an LLM that samples too, at a temperature above 0; each asks
            by itself otherwise.
        max_failed_questions: A question that cannot be scored, e.g. because a metric raises, is left out and counted;
            a configuration of which more than this share of the questions fails, fails itself.
        judge: The LLM that judges answers, for metrics that need one: its name, or ``{llm, prompts, temperature}``
            with prompts by metric; see `raytuner.pipeline.judge`.
        repeats: How often each question is answered, for an LLM that answers otherwise each time: scores are means,
            and ``NAME_sd`` is how much the metric ``NAME`` varies.
        weights: Weights by metric, in place of `metric`: their weighted mean, ``weighted``, is optimised.
        **pipeline: Fixed parameters of the pipeline; all others come with each configuration or have
            their default.

    Raises:
        ConfigError: An unknown metric or parameter, or a value that is not allowed.
        DataError: The documents are empty or share an id, or the questions lack what the metric needs.
        ModelError: There is no such model.
    """

    def __init__(
        self,
        documents: Sequence[Document] | str | Path | Sequence[str | Path] | None,
        questions: QuestionSet | str | Path,
        *,
        metric: Asked | Sequence[Asked] = DEFAULT_METRIC,
        block_size: int | None = None,
        seed: int = 0,
        similarity_embedding: str | None = None,
        models: Mapping[str, Any] | None = None,
        components: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        holdout: int | Literal["auto"] = 0,
        cache_sampled: bool = False,
        max_failed_questions: float = MOST_FAILED,
        judge: str | Mapping[str, Any] | JudgeConfig | None = None,
        repeats: int = 1,
        weights: Mapping[str, float] | None = None,
        **pipeline: Any,
    ) -> None:
        _check_numbers(1 if block_size is None else block_size, repeats, max_failed_questions)
        self.documents = [] if documents is None else given_documents(documents)
        fitted = datasets.given(questions, None if documents is None else self.documents)
        if not len(fitted):
            raise DataError("the question set is empty; add questions")
        self.questions = fitted
        self.folder = folder
        self.cache_sampled = cache_sampled
        self.max_failed_questions = max_failed_questions
        self.repeats = repeats
        self.judge = judge_settings(judge)
        self._asked_holdout, self.holdout = holdout, 0
        self._warned: set[str] = set()
        self._models = table_of(models)
        self._components = stages.component_table(components, self._models)
        self.fixed = names_of(pipeline, self._models, self._components)
        self.similarity_embedding = similarity_embedding
        waits = self.judge is not None and spec(self.judge.llm, self._models).batch
        self.block_size = block_size or (max(BLOCK_SIZE, len(self.questions)) if waits else BLOCK_SIZE)
        self.seed = seed
        self._numbers = {document.id: number for number, document in enumerate(self.documents)}
        for name, value in self.resolved({}).items():
            self.check_value(name, value)
        if similarity_embedding is not None:
            stages.check_value("embedding", spec(similarity_embedding, self._models))
        self._metrics: tuple[metrics.Metric, ...] = ()  # none before a dotted path is imported
        self._order = Order([], [])
        self.weights = None if weights is None else check_weights(weights)
        named: Sequence[Asked] = [metric] if isinstance(metric, str) or callable(metric) else metric
        self._asked: list[Asked] = list(self.weights or dict.fromkeys(named))
        self._known = [look_up(one) for one in self._asked if not is_dotted(one)]
        self.metric = str(self._asked[0]) if is_dotted(self._asked[0]) else self._known[0].name
        self.metric = self.metric if self.weights is None else WEIGHTED
        if len(self._known) == len(self._asked):
            self._use(self._known)
        self._pipeline: Pipeline | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Artefacts stay in their process; a worker builds its own, and imports by itself what has a dotted path.
        imported = any(map(is_dotted, self._asked))
        return {**self.__dict__, "_pipeline": None, "_metrics": () if imported else self._metrics}

    def resolve(self) -> None:
        """Import a metric that is named by its dotted path. That runs its module, so only a search does it.

        Raises:
            ConfigError: There is no such metric.
            DataError: The questions lack what it needs.
        """
        if not self._metrics:
            with importable(self.folder):
                self._use([look_up(one) for one in self._asked])

    def _use(self, optimised: Sequence[metrics.Metric]) -> None:
        check_judged(optimised, self.judge)
        self.questions = scorable(optimised, self.questions)
        self._metrics = reported(optimised, self.questions)
        self.holdout = number_held_out(self._asked_holdout, len(self.questions))
        self._order = order(self.questions.questions, self.seed, self.block_size, self.holdout)

    @property
    def mode(self) -> metrics.Mode | None:
        """Whether more of the metric is better or less; None before `resolve`."""
        return self.modes.get(self.metric)

    @property
    def modes(self) -> dict[str, metrics.Mode]:
        """The same for each metric that is reported; before `resolve` for those that have no dotted path."""
        found = {metric.name: metric.mode for metric in self._metrics or self._known}
        return found if self.weights is None else {WEIGHTED: "max", **found}

    @property
    def total(self) -> int:
        """How many questions each configuration is scored on in a search."""
        return len(self.questions) - self.holdout

    @property
    def question_documents(self) -> dict[str, str]:
        """The document of each question; empty where questions have none."""
        found = {question.id: document_of(question) for question in self.questions}
        return found if all(found.values()) else {}

    @property
    def needs_answers(self) -> bool:
        """Whether questions are answered at all, or only retrieved for."""
        return any(metric.needs in ("answers", "llm") for metric in self._optimised)

    def check(self, params: Mapping[str, Any]) -> None:
        """Refuse a configuration that cannot run.

        Raises:
            ConfigError: With the rule that is broken.
        """
        own = self.resolved(params)
        stages.check(own)
        self._check_llm(own)

    def check_value(self, name: str, value: Any) -> None:
        """Refuse an unknown parameter, or a value of the wrong type or range.

        Args:
            name: The parameter.
            value: Its value, as `resolved` has it.

        Raises:
            ConfigError: With the value and what is expected.
        """
        stages.check_value(name, value, self._components)

    def _check_llm(self, own: Mapping[str, Any]) -> None:
        if self._lacks_llm(own):
            name = next(metric.name for metric in self._optimised if metric.needs == "llm")
            raise ConfigError(f"metric {name} needs an LLM, and llm is {EXTRACTIVE}; set pipeline.llm")

    def _lacks_llm(self, own: Mapping[str, Any]) -> bool:
        return any(metric.needs == "llm" for metric in self._optimised) and generate.own(own)["llm"] == EXTRACTIVE

    @property
    def _optimised(self) -> Sequence[metrics.Metric]:
        return self._metrics[: len(self._asked)]

    def resolved(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration as the stages of the pipeline take it.

        Args:
            params: Tuned parameters.

        Returns:
            They and the fixed ones, with what the names of models and components stand for in their place.
        """
        return resolved_with({**self.fixed, **params}, self._models, self._components)

    def specs(self, names: Iterable[str]) -> list[ModelSpec]:
        """What names of models stand for, in the order of the names."""
        return [spec(name, self._models) for name in sorted(names)]

    def models(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> tuple[set[str], set[str]]:
        """The models that some configuration of a space uses.

        Args:
            space: The space.
            fixed: Further parameters that do not vary.

        Returns:
            The names of embedding models and of LLMs.
        """
        answers = self.needs_answers or not self._metrics  # it may need them before it is imported
        own = {**self.fixed, **named(fixed or {}, self._models)}
        embeddings, llms = used_models(space, own, self._models, self.resolved, answers=answers)
        if self.compares_answers:
            embeddings.add(str(self.comparer["embedding"]))
        if self.judge is not None:
            llms.add(self.judge.llm)
        return embeddings, llms

    def calls_services(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> bool:
        """Whether some configuration of a space calls a model behind an endpoint."""
        return any(own.kind in models.CALLED for own in self.specs(set().union(*self.models(space, fixed))))

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
        covering = [
            self.resolved({**(fixed or {}), **params})
            for params in space.covering(("llm", "splitter", "retriever", "reranker"))
        ]
        if all(map(self._lacks_llm, covering)):
            self._check_llm(covering[0])
        embeddings, llms = self.models(space, fixed)
        with importable(self.folder):
            for own in covering:
                stages.prepare(own)
            self.warn(embeddings)
            models.prepare(self.specs(embeddings), self.specs(llms))

    def warn(self, embeddings: set[str]) -> None:
        """Warn, once, of embedding models that do not know the language of the texts."""
        texts = {
            "documents": [document.text for document in self.documents],
            "questions": [question.text for question in self.questions],
        }
        unknown = {own.name: own.kind for own in self.specs(embeddings - self._warned)}
        for line in languages.foreign(unknown, texts):
            logger.warning("%s", line)
        self._warned |= embeddings

    def __call__(self, params: Mapping[str, Any]) -> RunResult:
        """Score a configuration on all questions."""
        return self._result(params, self.blocks(params))

    async def acall(self, params: Mapping[str, Any]) -> RunResult:
        """Score a configuration on all questions, LLM calls awaited on the caller's event loop."""
        return self._result(params, [values async for values in self.ablocks(params)])

    def blocks(self, params: Mapping[str, Any], start: int = 0) -> Iterator[Values]:
        """Score a configuration block by block.

        Args:
            params: The configuration; parameters that are absent are fixed or have their default.
            start: The block to begin with, from 0; from the number of blocks on they are those of held-out questions.

        Yields:
            For each question of a block its value by metric.

        Raises:
            ConfigError: The configuration cannot run.
        """
        self.resolve()
        self.check(params)
        with self._stages().in_use():
            for block in self._order.start(start):
                yield aio.run(self._values(params, block))

    async def ablocks(self, params: Mapping[str, Any]) -> AsyncIterator[Values]:
        """`blocks` for a running event loop."""
        self.resolve()
        self.check(params)
        with self._stages().in_use():
            for block in self._order.start(0):
                yield await self._values(params, block)

    def _result(self, params: Mapping[str, Any], blocks: Any) -> RunResult:
        means, questions = Means(), {}
        for values in blocks:
            means.add(values)
            questions.update(values)
        check_failed(questions, 0, None, self.max_failed_questions)
        found = means.values()
        return RunResult(
            score=found[self.metric],
            params=names_of(params, self._models, self._components),
            metrics=found,
            questions=questions,
        )

    async def _values(self, params: Mapping[str, Any], block: Sequence[Question]) -> Values:
        with importable(self.folder):
            comparer = tuple(self.comparer.values()) if self.compares_answers else None
            judge = None if self.judge is None else spec(self.judge.llm, self._models)
            wanted = Wanted(self._metrics, len(self._asked), self.weights, self.repeats)
            scorer = Scorer(self._stages(), wanted, self._numbers, Judge(self._stages(), self.judge, judge), comparer)
            return await scorer.values(self.resolved(params), block)

    @property
    def compares_answers(self) -> bool:
        """Whether answers are compared by their embeddings."""
        return any(metric.base == "semantic_similarity" for metric in self._metrics)

    @property
    def comparer(self) -> dict[str, Any]:
        """The model that compares answers; never a tuned one, or scores of two models would be compared."""
        name = self.similarity_embedding or self.fixed.get("embedding") or "minilm"
        return {"embedding": spec(name, self._models), "long_text": self.fixed.get("long_text", "windows")}

    def retrieve(self, question: str, params: Mapping[str, Any] | None = None) -> list[Retrieved]:
        """What a configuration finds for a question, best first, with its place for a citation.

        Args:
            question: The question, which need not be of the question set.
            params: The configuration; parameters that are absent are fixed or have their default.

        Raises:
            ConfigError: The configuration cannot run.
        """
        self.check(params or {})
        with importable(self.folder):
            return self._stages().retrieved(self.resolved(params or {}), question)

    def _stages(self) -> Pipeline:
        if self._pipeline is None:
            texts = [question.text for question in self.questions]
            self._pipeline = Pipeline(self.documents, questions=texts, cache_sampled=self.cache_sampled)
        return self._pipeline


def _check_numbers(block_size: int, repeats: int, max_failed_questions: float) -> None:
    for name, number in (("block_size", block_size), ("repeats", repeats)):
        if number < 1:
            raise ConfigError(f"{name} is {number}; it must be at least 1")
    if not 0 <= max_failed_questions <= 1:
        raise ConfigError(f"max_failed_questions is {max_failed_questions}; it must be a share from 0 to 1")
