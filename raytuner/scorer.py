"""Scores a configuration on a block of questions: retrieves, answers, judges, and applies the metrics."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raytuner import models
from raytuner.datasets import Question
from raytuner.errors import TrialError
from raytuner.evidence import evidences
from raytuner.judging import Judge
from raytuner.metrics import Evidence, Metric
from raytuner.metrics.cost import NotKnownError
from raytuner.metrics.registry import JUDGED
from raytuner.models.pricing import price
from raytuner.pipeline.embed import embedder
from raytuner.pipeline.generate import EXTRACTIVE, Answer, generate
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import Ranking
from raytuner.scoring import score, similarities_of
from raytuner.values import FailedQuestion, Values, each_or_failed
from raytuner.weighting import WEIGHTED, weighted

SPREAD = "_sd"
"""What the name of a metric ends with for its standard deviation over repeats."""


class Wanted(NamedTuple):
    """What is wanted of a scorer.

    Attributes:
        metrics: What is computed, the optimised ones first.
        optimised: How many they are.
        weights: Those of the optimised metrics, if they are one score together.
        repeats: How often each question is answered.
    """

    metrics: Sequence[Metric]
    optimised: int
    weights: Mapping[str, float] | None = None
    repeats: int = 1

    @property
    def first(self) -> Sequence[Metric]:
        """The optimised metrics."""
        return self.metrics[: self.optimised]


class Scorer(NamedTuple):
    """Scores blocks of questions.

    Attributes:
        pipeline: The pipeline.
        wanted: What is computed.
        numbers: The position of each document in the collection, by id.
        judge: Judges answers.
        comparer: The model that compares answers, and its ``long_text``; None if answers are not compared.
    """

    pipeline: Pipeline
    wanted: Wanted
    numbers: Mapping[str, int]
    judge: Judge
    comparer: Sequence[Any] | None = None

    async def values(self, own: Mapping[str, Any], block: Sequence[Question]) -> Values:
        """For each question its value by metric.

        Args:
            own: The whole configuration.
            block: The questions.
        """
        ranked, failed = await self._ranked(own, block)
        whole, rankings = list(ranked), list(ranked.values())
        runs = [await self._once(own, whole, rankings, repeat) for repeat in range(self.wanted.repeats)]
        names = [metric.name for metric in self.wanted.first] + ([WEIGHTED] if self.wanted.weights else [])
        found = {
            question.id: runs[0][question.id] if len(runs) == 1 else _mean([run[question.id] for run in runs], names)
            for question in whole
        }
        return {question.id: failed.get(question.id, found.get(question.id, {})) for question in block}

    async def _ranked(
        self, own: Mapping[str, Any], block: Sequence[Question]
    ) -> tuple[dict[Question, Ranking], dict[str, FailedQuestion]]:
        """What is retrieved for each question, and those for which nothing can be, e.g. because they are too long."""
        texts = [question.text for question in block]
        try:
            rankings = await self.pipeline.in_turn(lambda: self.pipeline.rankings(own, texts))
        except TrialError as error:
            if len(block) == 1:
                return {}, {block[0].id: FailedQuestion(str(error))}
            each = [await self._ranked(own, [question]) for question in block]
            failed = {name: why for _, ones in each for name, why in ones.items()}
            if len(failed) == len(block):
                raise  # it is no question's fault
            return {question: ranking for ones, _ in each for question, ranking in ones.items()}, failed
        return dict(zip(block, rankings, strict=True)), {}

    async def _once(
        self, own: Mapping[str, Any], block: Sequence[Question], rankings: Sequence[Ranking], repeat: int
    ) -> Values:
        answers: Sequence[Answer | FailedQuestion | None] = [None] * len(block)
        if any(metric.needs in ("answers", "llm") for metric in self.wanted.first):
            texts = self.pipeline.texts(own, rankings)
            answers = await self.pipeline.answered(own, [question.text for question in block], texts, repeat)
        similarities = await self._similarities(answers, block)
        rows = zip(block, rankings, answers, similarities, strict=True)
        found = await each_or_failed(self._scores(own, *row, repeat) for row in rows)
        return {question.id: values for question, values in zip(block, found, strict=True)}

    async def _scores(
        self,
        own: Mapping[str, Any],
        question: Question,
        ranking: Ranking,
        answer: Answer | FailedQuestion | None,
        similarity: float | None,
        repeat: int,
    ) -> dict[str, float]:
        if isinstance(answer, FailedQuestion):
            return answer
        text = answer.text if answer is not None else None
        taken = self._taken(own, answer) if answer is not None else {}
        found = evidences(self.pipeline, own, question, ranking, self.numbers, text, similarity, taken)
        asked = await asyncio.gather(*(self._judged(evidence, repeat) for evidence in self._asked_of(found)))
        pairs = zip(found, asked * len(found) if len(asked) == 1 else asked, strict=True)
        found = [evidence.judged(judged) if judged else evidence for evidence, judged in pairs]
        values = {}
        for at, metric in enumerate(self.wanted.metrics):
            try:
                values[metric.name] = score(metric, found, question.id)
            except NotKnownError:
                if at < self.wanted.optimised:
                    raise
        if self.wanted.weights is not None:
            return {WEIGHTED: weighted(values, self.wanted.first, self.wanted.weights), **values}
        return values

    def _asked_of(self, found: list[Evidence]) -> list[Evidence]:
        """Judges see no references, so they are asked once; metrics of the user's own for each alternative."""
        return found if any(metric.asks for metric in self.wanted.first) else found[:1]

    async def _judged(self, evidence: Evidence, repeat: int) -> dict[str, float]:
        """What judges, and metrics that ask an LLM, say of an answer; an answer that fails one fails as a whole."""
        asked = [metric for metric in self.wanted.first if metric.base in JUDGED or metric.asks]
        if not asked:
            return {}
        found = await each_or_failed(self.judge.score(metric, evidence, repeat) for metric in asked)
        for metric, one in zip(asked, found, strict=True):
            if isinstance(one, FailedQuestion):
                raise TrialError(f"metric {metric.name}: {one.reason}")
        return {metric.base: one for metric, one in zip(asked, found, strict=True) if isinstance(one, float)}

    @staticmethod
    def _taken(own: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
        """What an answer of an LLM took; nothing for one that is extracted or copied."""
        llm = models.spec.spec(generate.own(own)["llm"])
        if llm.kind in (EXTRACTIVE, "mock"):
            return {}
        tokens, usd = (answer.prompt_tokens, answer.completion_tokens), None
        cost = price(llm)
        if cost is not None and tokens[0] is not None and tokens[1] is not None:
            usd = cost.of(tokens[0], tokens[1])
        return {"seconds": answer.seconds, "prompt_tokens": tokens[0], "completion_tokens": tokens[1], "usd": usd}

    async def _similarities(
        self, answers: Sequence[Answer | FailedQuestion | None], block: Sequence[Question]
    ) -> Sequence[float | None]:
        if self.comparer is None:
            return [None] * len(answers)
        texts = [answer.text if isinstance(answer, Answer) else None for answer in answers]
        model = embedder(*self.comparer)
        return await self.pipeline.in_turn(lambda: similarities_of(model, texts, block))


def _mean(rows: Sequence[Mapping[str, float]], optimised: Sequence[str]) -> dict[str, float]:
    """The means of repeats, and how much the optimised metrics vary; a repeat that fails, fails the question."""
    failed = next((row for row in rows if isinstance(row, FailedQuestion)), None)
    if failed is not None:
        return failed
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    means = {name: math.fsum(row[name] for row in rows) / len(rows) for name in shared}
    return means | {f"{name}{SPREAD}": statistics.stdev(row[name] for row in rows) for name in optimised}
