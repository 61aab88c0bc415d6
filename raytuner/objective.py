"""Objectives: any function of a configuration, seen as a stream of reports."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raytuner import aio
from raytuner.datasets.question import QuestionSet
from raytuner.errors import TrialError, redact
from raytuner.goals import Mode
from raytuner.models.wheels import REGISTRY
from raytuner.pipeline.tally import TALLY, Use
from raytuner.space import SearchSpace
from raytuner.values import (
    MOST_FAILED,
    FailedQuestion,
    Means,
    Values,
    as_float,
    check_failed,
    failures,
    is_number,
    short,
)
from raytuner.withhold import texts_of, withhold


@dataclass(frozen=True)
class Block:
    """The questions that were evaluated together.

    Attributes:
        index: Its position in the order of blocks, from 0.
        values: For each question id its value by metric.
        seconds: How long it took.
        stages: What the stages of a pipeline made and used again for it, by their names.
    """

    index: int
    values: Values
    seconds: float
    stages: Mapping[str, Use] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What is known of a trial so far.

    Attributes:
        metrics: Means over the questions so far (or what the function returned).
        block: The block that has just been evaluated, if the objective has questions.
        metadata: What a function returned beside numbers.
        params: The parameters in a returned ``RunResult``, those that are fixed stripped.
    """

    metrics: dict[str, float]
    block: Block | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)


class Objective:
    """Any function of a configuration.

    Args:
        function: Called with one dict, the fixed and the tuned parameters together. It may be a
            coroutine function. It returns a ``RunResult`` (raytuner's or LlamaIndex's), a number, or a
            dict of values, or it yields ``{question_id: {metric: value}}`` block by block. An object with
            a method ``blocks`` (such as `RagObjective`) is asked for its blocks instead of being called.
        fixed: Parameters that do not vary.
        metric: The value to optimise. ``score``, where blocks lack it, is the metric that the object
            with the blocks names as its own.
        others: Further values that are optimised, which it has to return as well.

    Attributes:
        resumable: Whether its blocks can be had from some block on: ``blocks`` takes ``start``.
    """

    def __init__(
        self,
        function: Callable[[dict[str, Any]], Any],
        fixed: Mapping[str, Any] | None = None,
        metric: str = "score",
        others: Iterable[str] = (),
    ) -> None:
        blocks = getattr(function, "blocks", None)
        self._function = blocks if callable(blocks) else function
        ablocks = getattr(function, "ablocks", None)
        self._afunction = ablocks if callable(ablocks) else self._function
        self._given = function
        self.resumable = callable(blocks) and "start" in inspect.signature(blocks).parameters
        self._own_metric = str(getattr(function, "metric", metric)) if metric == "score" else metric
        self.fixed = dict(fixed or {})
        self.metric = metric
        self.others = tuple(others)

    @property
    def owner(self) -> Any:
        """The object that is asked for its blocks; None for a plain function."""
        return getattr(self._function, "__self__", None)

    @property
    def holdout(self) -> int:
        """How many further questions there are to confirm a winner with, by an attribute ``holdout``."""
        return int(getattr(self._given, "holdout", 0)) if self.resumable else 0

    @property
    def question_documents(self) -> dict[str, str]:
        """The document of each question, of an objective that knows it."""
        return dict(getattr(self._given, "question_documents", {}))

    @property
    def max_failed_questions(self) -> float:
        """The share of questions that may fail before the trial does, by an attribute ``max_failed_questions``."""
        return float(getattr(self._given, "max_failed_questions", MOST_FAILED))

    @property
    def block_size(self) -> int:
        """How many questions there are in a block, of an objective that says so by an attribute ``block_size``."""
        return int(getattr(self._given, "block_size", 1))

    @property
    def total(self) -> int | None:
        """How many questions there are, if the objective says so by an attribute ``total``; None if not."""
        total = getattr(self._given, "total", None)
        return total if isinstance(total, int) else None

    def total_of(self, start: int) -> int | None:
        """How many questions there are of the part with a block: the search's, or those that are held out."""
        is_held_out = self.total is not None and start * self.block_size >= self.total > 0
        return self.holdout if is_held_out else self.total

    def without_documents(self, error: str) -> str:
        """An error for the log, without what it quotes from fixed parameters or the objective's data."""
        questions = getattr(self._given, "questions", None)
        found = questions.questions if isinstance(questions, QuestionSet) else ()
        asked = [(question.text, question.answer, question.other_answers) for question in found]
        return withhold(error, texts_of([self.fixed, getattr(self._given, "documents", ()), asked]))

    def prepare(self, space: SearchSpace) -> None:
        """Let the objective get what it needs, once and before the first trial.

        An object with a method ``prepare`` (such as `RagObjective`, which fetches weights and looks for keys) is
        called with the space and the fixed parameters.
        """
        prepare = getattr(self._given, "prepare", None)
        if callable(prepare):
            prepare(space, self.fixed)

    def calls_services(self, space: SearchSpace) -> bool:
        """Whether some configuration calls models behind an endpoint, of an objective that says so by a method."""
        says = getattr(self._given, "calls_services", None)
        return bool(says(space, self.fixed)) if callable(says) else False

    def built_in(self, space: SearchSpace) -> set[str]:
        """The built-in models with weights that some configuration uses, of an objective that knows its models."""
        given: Any = self._given
        if not hasattr(given, "calls_services"):
            return set()
        return {spec.kind for spec in given.specs(set().union(*given.models(space, self.fixed)))} & set(REGISTRY)

    def modes(self) -> dict[str, Mode]:
        """Whether more is better or less, of the values for which the objective says so.

        An object with ``modes`` (such as `RagObjective`) does; what it knows by a dotted path is imported first.
        """
        self.resolve()
        return dict(getattr(self._given, "modes", {}))

    def resolve(self) -> None:
        """Import what the objective names by dotted paths, in a worker before its first trial.

        Raises:
            ConfigError: It cannot be imported there.
        """
        given: Any = self._given
        if hasattr(given, "modes"):
            given.resolve()

    def reports(self, params: Mapping[str, Any], start: int = 0, failed: int = 0) -> Iterator[Report]:
        """Evaluate a configuration.

        Args:
            params: The tuned parameters.
            start: The block to begin with, if it is `resumable`; means are of the blocks from there on.
            failed: How many questions of the blocks before failed.

        Yields:
            A report after each block of questions; one in all for a function without blocks.

        Raises:
            TrialError: The function returned something that cannot be scored, the score is not finite, or too many
                questions failed.
            Exception: Whatever the function raises.
        """
        returned = self._function({**self.fixed, **params}, **({"start": start} if start else {}))
        if inspect.isawaitable(returned):
            returned = aio.run(_await(returned))
        if isinstance(returned, AsyncIterator):
            returned = _drain(returned)
        if isinstance(returned, Iterator):
            yield from self._block_reports(returned, start, failed)
        else:
            yield self._final_report(returned)

    async def areports(self, params: Mapping[str, Any]) -> AsyncIterator[Report]:
        """`reports`, the function (or the object's ``ablocks``) run on the caller's own event loop."""
        returned = self._afunction({**self.fixed, **params})
        if inspect.isawaitable(returned):
            returned = await returned
        if isinstance(returned, AsyncIterator):
            blocks = self._blocks()
            async for values in returned:
                yield blocks.report(values)
                blocks.resume()
            blocks.end()
        elif isinstance(returned, Iterator):
            for report in self._block_reports(returned):
                yield report
        else:
            yield self._final_report(returned)

    def _block_reports(self, returned: Iterator[Any], start: int = 0, failed: int = 0) -> Iterator[Report]:
        blocks = self._blocks(start, failed)
        for values in returned:
            yield blocks.report(values)
            blocks.resume()
        blocks.end()

    def _blocks(self, start: int = 0, failed: int = 0) -> _Blocks:
        return _Blocks(self, self._own_metric, start, failed)

    def _final_report(self, returned: Any) -> Report:
        """The one report of a function without blocks; what is fixed is stripped from it."""
        params: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        if hasattr(returned, "score") and hasattr(returned, "params"):
            rest = dict(getattr(returned, "metrics", None) or {})
            score = rest.setdefault(self.metric, returned.score)
            if score != returned.score:  # another metric than the one the function calls its score
                rest.setdefault("score", returned.score)
            params = self._without_fixed(returned.params)
            metadata = self._without_fixed(getattr(returned, "metadata", None) or {})
        elif isinstance(returned, Mapping):
            if self.metric not in returned:
                raise TrialError(
                    f"the objective returned {', '.join(map(repr, returned)) or 'nothing'}, but not the metric "
                    f"{self.metric!r}; return it, or name one of these as metric"
                )
            score, rest = returned[self.metric], self._without_fixed(returned)
        else:
            score, rest = returned, {}
        found = {str(name): float(value) for name, value in rest.items() if is_number(value)}
        metadata.update({str(name): value for name, value in rest.items() if not is_number(value)})
        others = _others(rest, self.others, "the objective returned")
        return Report({**found, self.metric: as_float(score, self.metric), **others}, metadata=metadata, params=params)

    def _without_fixed(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in self.fixed}


class _Blocks:
    """Turns the blocks of one trial into reports."""

    def __init__(self, objective: Objective, own_metric: str, start: int, failed: int) -> None:
        self._objective = objective
        self._own_metric = own_metric
        self._total = objective.total_of(start)
        self._means = Means()
        self._seen: Values = {}
        self._failed_before = failed
        self._first = self._index = start
        self._started = time.perf_counter()

    def report(self, values: Any) -> Report:
        own = self._objective
        checked = _checked_block(values, own.metric, self._own_metric, own.others)
        for question, reason in failures(checked).items():
            checked[question] = FailedQuestion(own.without_documents(redact(reason)))
        block = Block(self._index, checked, time.perf_counter() - self._started, TALLY.take())
        if repeated := sorted(set(self._seen) & set(checked)):
            raise TrialError(f"question {repeated[0]!r} is in two blocks; yield each question once")
        self._seen |= checked
        if self._total is not None:
            check_failed(self._seen, self._failed_before, self._total, own.max_failed_questions)
        self._means.add(checked)
        self._index += 1
        return Report(self._means.values(), block)

    def resume(self) -> None:
        """Start the clock of the next block: what was done with the last report is not its time."""
        self._started = time.perf_counter()

    def end(self) -> None:
        if not self._means.count:
            raise TrialError("the objective yielded no block of questions; yield {question_id: {metric: value}}")
        if self._total is None or (not self._first and not self._means.values()):
            check_failed(self._seen, 0, None, self._objective.max_failed_questions)


def _others(returned: Mapping[Any, Any], names: Sequence[str], where: str) -> dict[str, float]:
    """The further values that are optimised.

    Raises:
        TrialError: One is not there, or not a finite number.
    """
    for name in names:
        if name not in returned:
            there = ", ".join(map(repr, returned)) or "nothing"
            raise TrialError(f"{where} {there}, but not {name!r}; return it, or leave it out of the objectives")
    return {name: as_float(returned[name], name) for name in names}


def _checked_block(values: Any, metric: str, own_metric: str, others: Sequence[str]) -> Values:
    if not isinstance(values, Mapping) or not all(isinstance(row, Mapping) for row in values.values()):
        raise TrialError(f"the objective yielded {short(values)}; yield {{question_id: {{metric: value}}}}")
    if not values:
        raise TrialError("the objective yielded a block without questions; yield {question_id: {metric: value}}")
    checked: Values = {}
    for question, row in values.items():
        source = metric if metric in row else own_metric
        if isinstance(row, FailedQuestion):
            checked[str(question)] = row
            continue
        for name, there in ((metric, source), *((name, name) for name in others)):
            if there not in row:
                known = ", ".join(map(repr, row)) or "nothing"
                raise TrialError(f"question {question!r} has no {name!r}, only {known}")
        try:
            checked[str(question)] = _checked_row(row, {metric: source, **{name: name for name in others}})
        except TrialError as error:
            checked[str(question)] = FailedQuestion(str(error))
    return checked


def _checked_row(row: Mapping[Any, Any], optimised: Mapping[str, str]) -> dict[str, float]:
    found = {str(name): float(value) for name, value in row.items() if is_number(value)}
    finite = {name: value for name, value in found.items() if math.isfinite(value)}
    return {**finite, **{name: as_float(row[source], source) for name, source in optimised.items()}}


async def _await(awaitable: Any) -> Any:
    return await awaitable


def _drain(blocks: AsyncIterator[Any]) -> Iterator[Any]:
    """The items of an asynchronous generator, each awaited on the background loop when it is asked for."""
    end = object()
    while (block := aio.run(_await(anext(blocks, end)))) is not end:
        yield block
