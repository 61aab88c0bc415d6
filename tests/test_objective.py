"""Any function as an objective."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from raytuner.datasets.question import Question, QuestionSet
from raytuner.errors import TrialError
from raytuner.objective import Objective, Report
from raytuner.results import RunResult
from raytuner.values import FailedQuestion, Means, failures


class LlamaIndexRunResult(BaseModel):
    """With the fields of LlamaIndex's class."""

    score: float
    params: dict[str, Any]
    metadata: dict[str, Any] = {}


def reports(function: Callable[[dict[str, Any]], Any], metric: str = "score", **fixed: Any) -> list[Report]:
    return list(Objective(function, fixed, metric).reports({"x": 2}))


def areports(function: Callable[[dict[str, Any]], Any], metric: str = "score", **fixed: Any) -> list[Report]:
    async def collect() -> list[Report]:
        return [report async for report in Objective(function, fixed, metric).areports({"x": 2})]

    return asyncio.run(collect())


both = pytest.mark.parametrize("evaluate", [reports, areports])
Evaluate = Callable[..., list[Report]]


@both
@pytest.mark.parametrize(
    "value", [0.5, np.float64(0.5), np.float32(0.5), np.array(0.5), True, 2, np.int64(2)], ids=repr
)
def test_a_number(evaluate: Evaluate, value: Any) -> None:
    (report,) = evaluate(lambda params: value)
    assert report == Report({"score": float(value)})
    assert type(report.metrics["score"]) is float


@both
@pytest.mark.parametrize("result_class", [RunResult, LlamaIndexRunResult])
def test_a_run_result(evaluate: Evaluate, result_class: type) -> None:
    def objective(params: dict[str, Any]) -> Any:
        return result_class(score=0.5, params=params, metadata={"docs": params["docs"], "note": "n"})

    (report,) = evaluate(objective, docs=["secret"])
    assert report == Report({"score": 0.5}, metadata={"note": "n"}, params={"x": 2})


@both
def test_our_run_result_keeps_its_metrics(evaluate: Evaluate) -> None:
    (report,) = evaluate(lambda params: RunResult(score=0.5, params={}, metrics={"ndcg": 0.5, "mrr": 1.0}), "ndcg")
    assert report.metrics == {"ndcg": 0.5, "mrr": 1.0}


@both
def test_a_dict(evaluate: Evaluate) -> None:
    def objective(params: dict[str, Any]) -> dict[str, Any]:
        return {"f1": np.float32(0.5), "cost": 3, "note": np.str_("n"), "list": [1], **params}

    (report,) = evaluate(objective, "f1", docs=["secret"])
    assert report == Report({"f1": 0.5, "cost": 3.0, "x": 2.0}, metadata={"note": "n", "list": [1]})


@both
def test_fixed_and_tuned_parameters_come_together(evaluate: Evaluate) -> None:
    (report,) = evaluate(lambda params: params["x"] * params["y"], y=10)
    assert report.metrics == {"score": 20.0}


@both
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "score is None, a NoneType"),
        ("0.5", "score is '0.5', a str"),
        (np.str_("0.5"), "a str_"),
        (1j, "a complex"),
        ([0.5], "a list"),
        (np.array([0.5]), "a ndarray"),
        (math.nan, "score is nan.*finite"),
        (-math.inf, "score is -inf.*finite"),
        (np.float64("nan"), "score is nan.*finite"),
        ({"other": 1, "more": 2}, "'other', 'more', but not the metric 'score'"),
        ({}, "nothing, but not the metric"),
        ({"score": None}, "score is None"),
        (RunResult(score=math.nan, params={}), "score is nan"),
    ],
    ids=lambda v: repr(v)[:30],
)
def test_what_cannot_be_scored(evaluate: Evaluate, value: Any, words: str) -> None:
    with pytest.raises(TrialError, match=words):
        evaluate(lambda params: value)


@both
def test_a_message_does_not_quote_a_whole_document(evaluate: Evaluate) -> None:
    with pytest.raises(TrialError) as error:
        evaluate(lambda params: "word " * 1000 + "marker")
    assert len(str(error.value)) < 200
    assert "marker" not in str(error.value)


@both
def test_a_coroutine_function(evaluate: Evaluate) -> None:
    async def objective(params: dict[str, Any]) -> float:
        await asyncio.sleep(0)
        return params["x"] / 4

    assert evaluate(objective) == [Report({"score": 0.5})]


@both
@pytest.mark.timeout(10)
def test_a_coroutine_function_that_calls_a_synchronous_objective(evaluate: Evaluate) -> None:
    async def inner(params: dict[str, Any]) -> float:
        return float(params["x"])

    async def outer(params: dict[str, Any]) -> float:
        (report,) = Objective(inner).reports(params)
        return report.metrics["score"]

    assert evaluate(outer) == [Report({"score": 2.0})]


def test_a_coroutine_function_inside_a_running_loop() -> None:
    async def objective(params: dict[str, Any]) -> float:
        return 1.0

    async def notebook() -> list[Report]:
        return reports(objective)

    assert asyncio.run(notebook()) == [Report({"score": 1.0})]


BLOCKS = [{"q1": {"f1": 1.0, "n": 3}, "q2": {"f1": 0.0, "n": 4}}, {"q3": {"f1": np.float64(0.5), "n": 5}}]


def generator(params: dict[str, Any]) -> Iterator[Any]:
    yield from BLOCKS


async def agenerator(params: dict[str, Any]) -> AsyncIterator[Any]:
    for block in BLOCKS:
        await asyncio.sleep(0)
        yield block


class WithBlocks:
    blocks = staticmethod(generator)


@both
@pytest.mark.parametrize("function", [generator, agenerator, WithBlocks(), lambda params: iter(BLOCKS)])
def test_blocks(evaluate: Evaluate, function: Any) -> None:
    first, second = evaluate(function, "f1")
    assert first.metrics == {"f1": 0.5, "n": 3.5}
    assert second.metrics == {"f1": 0.5, "n": 4.0}
    assert first.block is not None
    assert second.block is not None
    assert (first.block.index, second.block.index) == (0, 1)
    assert first.block.values == BLOCKS[0]
    assert second.block.values == {"q3": {"f1": 0.5, "n": 5.0}}
    assert type(second.block.values["q3"]["f1"]) is float


def test_blocks_come_one_by_one() -> None:
    asked = []

    def objective(params: dict[str, Any]) -> Iterator[Any]:
        for block in BLOCKS:
            asked.append(1)
            yield block

    stream = Objective(objective, metric="f1").reports({})
    next(stream)
    assert len(asked) == 1


@both
@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"q1": {"other": 1.0}}, "'q1' has no 'f1', only 'other'"),
        ({"q1": {}}, "'q1' has no 'f1', only nothing"),
        ({"q4": {"f1": math.nan}}, "1 of 3 questions failed, 10% may .*'q4': f1 is nan"),
        ({"q4": {"f1": "high"}}, "'q4': f1 is 'high', a str"),
        ({"q4": FailedQuestion("no answer")}, "'q4': no answer"),
        ({"q1": 0.5}, "question_id"),
        (0.5, "yielded 0.5"),
        ({}, "without questions"),
    ],
)
def test_a_block_that_cannot_be_scored(evaluate: Evaluate, block: Any, words: str) -> None:
    with pytest.raises(TrialError, match=words):
        evaluate(lambda params: iter([BLOCKS[0], block]), "f1")


class WithFailures:
    """Twenty questions in blocks of four; those whose numbers are given fail."""

    def __init__(self, *failing: int, total: int | None = 20, most: float = 0.1) -> None:
        self.failing = failing
        self.total = total
        self.max_failed_questions = most

    def blocks(self, params: dict[str, Any]) -> Iterator[Any]:
        for first in range(0, 20, 4):
            numbers = range(first, first + 4)
            yield {f"q{one}": {"f1": math.nan if one in self.failing else float(one)} for one in numbers}


@both
def test_a_few_questions_may_fail(evaluate: Evaluate) -> None:
    found = evaluate(WithFailures(1, 18), "f1")
    assert len(found) == 5
    assert [failures(found[at].block.values) for at in (0, 1, 4)] == [  # type: ignore[union-attr]
        {"q1": "f1 is nan; a score must be finite"},
        {},
        {"q18": "f1 is nan; a score must be finite"},
    ]
    assert found[-1].metrics == {"f1": (sum(range(20)) - 19) / 18}


@both
@pytest.mark.parametrize("total", [20, None])
def test_too_many_failed_questions_fail_the_trial(evaluate: Evaluate, total: int | None) -> None:
    words = r"3 of 20 questions failed, 10% may \(max_failed_questions\); 'q1': f1 is nan"
    with pytest.raises(TrialError, match=words):
        evaluate(WithFailures(1, 2, 5, total=total), "f1")
    assert len(evaluate(WithFailures(1, 2, 5, total=total, most=0.2), "f1")) == 5


@pytest.mark.parametrize("total", [20, None])
def test_a_trial_without_any_score_fails_whatever_may(total: int | None) -> None:
    with pytest.raises(TrialError, match="20 of 20 questions failed"):
        reports(WithFailures(*range(20), total=total, most=1.0), "f1")


def test_a_trial_ends_as_soon_as_too_many_have_failed() -> None:
    stream = Objective(WithFailures(4, 5, 6), metric="f1").reports({})
    assert next(stream).metrics == {"f1": 1.5}
    with pytest.raises(TrialError, match="3 of 20"):
        next(stream)


def test_what_failed_before_a_stretch_counts() -> None:
    class Resumable(WithFailures):
        block_size = 4

        def blocks(self, params: dict[str, Any], start: int = 0) -> Iterator[Any]:
            yield from list(super().blocks(params))[start:]

    objective = Objective(Resumable(8), metric="f1")
    assert len(list(objective.reports({}, 2, failed=1))) == 3
    with pytest.raises(TrialError, match="3 of 20"):
        list(objective.reports({}, 2, failed=2))


def test_a_failed_question_goes_to_another_process_and_into_the_log_as_nothing() -> None:
    failed = FailedQuestion("a\nlong   reason")
    again = pickle.loads(pickle.dumps({"q": failed}))
    assert failures(again) == {"q": "a long reason"}
    assert json.dumps(failed) == "{}"


@both
def test_no_block_at_all(evaluate: Evaluate) -> None:
    with pytest.raises(TrialError, match="no block"):
        evaluate(lambda params: iter(()), "f1")


@both
def test_what_a_function_raises_is_raised(evaluate: Evaluate) -> None:
    def objective(params: dict[str, Any]) -> Iterator[Any]:
        yield BLOCKS[0]
        raise KeyError("second block")

    with pytest.raises(KeyError, match="second block"):
        evaluate(objective, "f1")


def test_an_attribute_that_is_no_method_is_not_asked_for_blocks() -> None:
    def objective(params: dict[str, Any]) -> float:
        return 1.0

    objective.blocks = 8  # type: ignore[attr-defined]
    assert reports(objective) == [Report({"score": 1.0})]


def test_the_time_of_a_block_is_its_own() -> None:
    def objective(params: dict[str, Any]) -> Iterator[Any]:
        for block in BLOCKS:
            time.sleep(0.02)
            yield block

    seconds = []
    for report in Objective(objective, metric="f1").reports({}):
        time.sleep(0.3)  # e.g. until the driver wants the next one
        assert report.block is not None
        seconds.append(report.block.seconds)
    assert all(0.02 <= second < 0.3 for second in seconds)


@given(st.lists(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6), min_size=1, max_size=6))
def test_means_are_exact_and_independent_of_the_grouping(groups: list[list[float]]) -> None:
    grouped, single = Means(), Means()
    values = [value for group in groups for value in group]
    for number, group in enumerate(groups):
        grouped.add({f"{number}-{place}": {"m": value} for place, value in enumerate(group)})
    for number, value in reversed(list(enumerate(values))):
        single.add({str(number): {"m": value}})
    assert grouped.values() == single.values() == {"m": math.fsum(values) / len(values)}
    assert grouped.count == len(values)


def test_an_error_is_logged_without_the_questions_and_answers_it_quotes() -> None:
    asked, answer = "When do owls hunt, and how do they see?", "At night, with eyes that are large."

    class Own:
        questions = QuestionSet(
            (Question("q1", asked, answer=answer, other_answers=("When there is no light left.",)),)
        )

        def __call__(self, params: dict[str, Any]) -> float:
            return 1.0

    error = f"ValueError: {asked!r} has no {answer!r}, nor 'When there is no light left.' in q1"
    shown = "ValueError: '<text withheld>' has no '<text withheld>', nor '<text withheld>' in q1"
    assert Objective(Own()).without_documents(error) == shown
