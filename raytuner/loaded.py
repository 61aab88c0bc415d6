"""The pipeline of a run, to be used: it retrieves and answers."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytuner import aio, components, models
from raytuner.calls.context import Bill, charged
from raytuner.calls.handle import forget_calls
from raytuner.calls.prices import Price
from raytuner.chosen import Chosen, choose, dotted_paths, models_by_role, used_specs
from raytuner.components import importable
from raytuner.documents.document import Document
from raytuner.documents.load import Progress, given_documents
from raytuner.errors import DataError, TrialError
from raytuner.going_on import changed_documents
from raytuner.models.factory import SERVICES
from raytuner.models.pricing import price
from raytuner.models.spec import ModelSpec
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.cache import shared_cache
from raytuner.pipeline.generate import Answer
from raytuner.pipeline.passing import PassingQuestions
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.streaming import streamed
from raytuner.plan_objective import read_documents
from raytuner.retrieved import Retrieved
from raytuner.run_folder import read_run
from raytuner.values import FailedQuestion

if TYPE_CHECKING:
    from raytuner.pipeline.adapters import TunedQueryEngine, TunedRetriever

logger = logging.getLogger("raytuner")

MAX_QUESTION = 10_000
"""The most characters of a question."""


@dataclass(frozen=True)
class Reply:
    """An answer, and what it took.

    Attributes:
        text: The answer; empty if nothing was retrieved.
        sources: What it was answered from, best first.
        seconds: From the question to the answer.
        prompt_tokens: Of the LLM's calls, as the service counted them, those of a kept answer too; None without an
            LLM, or if it did not count.
        completion_tokens: Likewise.
        usd: What the calls cost that were made for it, also those for embeddings: 0 if the answer was kept; None if
            a price is not known.
    """

    text: str
    sources: list[Retrieved]
    seconds: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None


class LoadedPipeline:
    """A pipeline over its documents.

    Chunks and vectors come from the cache, or are made with the first question. Answers are kept in memory only; the
    same question again has the same answer, unless the LLM samples.

    Args:
        documents: The documents.
        own: The configuration, as the stages take it.
        chosen: Where it is from.

    Attributes:
        params: The parameters that are set, as the config of the run names them.
        trial: The number of the trial.
        run: The run folder.
    """

    def __init__(self, documents: Sequence[Document], own: Mapping[str, Any], chosen: Chosen) -> None:
        self.params = chosen.params
        self.trial = chosen.trial
        self.run = chosen.folder
        self._own = own
        self._pipeline = Pipeline(documents, PassingQuestions(shared_cache().store))

    def retrieve(self, question: str) -> list[Retrieved]:
        """What is found for a question, best first, with its place for a citation.

        Raises:
            DataError: The question is empty, or longer than `MAX_QUESTION`.
        """
        return aio.run(self.aretrieve(question))

    async def aretrieve(self, question: str) -> list[Retrieved]:
        """`retrieve` for a running event loop."""
        check_question(question)
        try:
            return await self._pipeline.in_turn(lambda: self._pipeline.retrieved(self._own, question))
        finally:
            forget_calls()

    def ask(self, question: str) -> Reply:
        """Answer a question.

        Raises:
            DataError: The question is empty, or longer than `MAX_QUESTION`.
            TrialError: The LLM did not answer.
        """
        return aio.run(self.aask(question))

    async def aask(self, question: str) -> Reply:
        """`ask` for a running event loop."""
        started, bill = time.perf_counter(), Bill()
        with charged(bill):
            sources = await self.aretrieve(question)
            (answer,) = await self._pipeline.answered(self._own, [question], [[one.text for one in sources]])
        if isinstance(answer, FailedQuestion):
            raise TrialError(answer.reason)
        return self._reply(answer, sources, started, bill)

    async def astream(self, question: str) -> AsyncIterator[str | Reply]:
        """Answer a question piece by piece.

        Yields:
            Pieces of the answer as the LLM gives them, where it can and all that was retrieved fits into one prompt;
            else the words of the finished answer. At last the `Reply`.

        Raises:
            DataError: The question is empty, or longer than `MAX_QUESTION`.
            TrialError: The LLM did not answer.
        """
        started, bill = time.perf_counter(), Bill()
        with charged(bill):
            sources = await self.aretrieve(question)
        async for piece in streamed(self._pipeline, self._own, question, [one.text for one in sources], bill):
            yield piece if isinstance(piece, str) else self._reply(piece, sources, started, bill)

    def as_retriever(self) -> TunedRetriever:
        """A LlamaIndex retriever that finds the same: reranked, cut and widened as the pipeline does it."""
        from raytuner.pipeline.adapters import TunedRetriever

        return TunedRetriever(self)

    def as_query_engine(self) -> TunedQueryEngine:
        """A LlamaIndex query engine that answers with the pipeline; seconds, tokens and usd are in the metadata."""
        from raytuner.pipeline.adapters import TunedQueryEngine

        return TunedQueryEngine(self)

    def warm(self) -> None:
        """Make, or read from the cache, all that questions need."""
        self.retrieve("warm")

    def _reply(self, answer: Answer, sources: list[Retrieved], started: float, bill: Bill) -> Reply:
        forget_calls()
        seconds = round(time.perf_counter() - started, 3)
        usd = bill.usd if all(map(_is_billed, used_specs(self._own))) else None
        return Reply(answer.text, sources, seconds, answer.prompt_tokens, answer.completion_tokens, usd)


def _is_billed(model: ModelSpec) -> bool:
    """Whether it is known what a model costs: the calls of services are billed, others may be free."""
    return model.kind in SERVICES or price(model) == Price(0.0)


def load(
    run: str | Path,
    trial: int | None = None,
    *,
    documents: str | Path | Sequence[str | Path] | Sequence[Document] | None = None,
    folder: str | Path = "runs",
) -> LoadedPipeline:
    """Load the pipeline that a run found, over today's documents.

    What the run names by dotted paths is imported, which runs its code: load a run of somebody else only if you trust
    it.

    Args:
        run: The path of a run folder, or the name of a run, of which the newest is taken.
        trial: The number of a trial; by default the configuration to take.
        documents: Documents, or paths of such, in place of those of the run.
        folder: Where runs are looked for by name.

    Returns:
        The pipeline.

    Raises:
        DataError: There is no such run or trial, it failed or has not ended, or documents cannot be read.
        ModelError: A model, its weights or its key cannot be had.
        AllTrialsFailedError: No trial of the run succeeded.
    """
    return loaded(choose(run, trial, Path(folder)), documents)


def loaded(chosen: Chosen, documents: Any = None, progress: Progress | None = None) -> LoadedPipeline:
    """Load a chosen configuration; see `load`.

    Args:
        chosen: From `raytuner.chosen.choose`.
        documents: See `load`.
        progress: See `raytuner.documents.load.load_documents`.
    """
    config, own = chosen.config, chosen.resolved()
    with config.named_in_errors():
        _import_parts(chosen)
        stages.prepare(own)
        models.prepare(*models_by_role(own))
        read = read_documents(config, imports=True, progress=progress) if documents is None else None
    found = given_documents(documents) if read is None else read
    if documents is None:
        for line in changed_documents(read_run(chosen.folder), found):
            logger.warning("since the run, %s", line)
    return LoadedPipeline(found, own, chosen)


def _import_parts(chosen: Chosen) -> None:
    """Import what a configuration names by dotted path.

    Only meanwhile the folder of the config is on Python's path: libraries try to import what is not installed, and
    would find a module of that name there.
    """
    named = dotted_paths(chosen)
    with importable(chosen.config.folder):
        for what, path in named:
            components.load(path, what)


def check_question(question: str) -> None:
    """Refuse a question without words, or one that is too long.

    Raises:
        DataError: With how long it is.
    """
    if not question.strip():
        raise DataError("the question is empty; ask something")
    if len(question) > MAX_QUESTION:
        raise DataError(f"the question has {len(question):,} characters; ask in at most {MAX_QUESTION:,}")
