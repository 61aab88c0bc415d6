"""What of a budget is kept to confirm the winner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from raytuner.calls.budget import Budget
from raytuner.goals import Goal
from raytuner.leaders import Leaders
from raytuner.objective import Block, Objective, Report
from raytuner.reserve import Reserve
from raytuner.search.options import SearchOptions
from raytuner.study import Study


class Asked:
    """An objective of 20 questions that holds out eight."""

    total, holdout, block_size, metric = 20, 8, 20, "score"

    def blocks(self, params: dict[str, Any], start: int = 0) -> Any:
        raise AssertionError("nothing is evaluated here")


def study_of(trials: int, goals: Sequence[Goal] = ()) -> Study:
    """So many trials that have answered all questions, in two seconds each."""
    study = Study("score", "max", goals=goals)
    for number in range(1, trials + 1):
        study.start(number, {"a": number})
        values = {f"q{at}": {"score": (7 * at + 3 * number) % 5} for at in range(20)}  # none is surely behind
        study.report(number, Report({"score": 0.1 * number, "other": 0.5}, Block(0, values, 1.0)))
        study.finish(number, 2.0)
    return study


def call(trial: int | None, usd: float = 0.01, tokens: int = 10, stage: str = "answers") -> dict[str, Any]:
    return {"trial": trial, "stage": stage, "usd": usd, "prompt_tokens": tokens, "completion_tokens": 0}


def is_needed(study: Study, budget: Budget, begun: Sequence[int | None], **options: Any) -> bool:
    objective = Objective(Asked())
    how = SearchOptions("grid", budget=budget, **options)
    return Reserve(study, objective, how, Leaders(study, objective, how, 1).chosen).is_needed(begun)


def paid(study: Study, calls: int = 40) -> Study:
    """Each trial has made so many calls, two for each question unless it is said."""
    study.taken.add([call(number) for number in study.trials for _ in range(calls)])
    return study


def test_time() -> None:
    study = study_of(2)  # a tenth of a second a question: 7.2 for eight questions of six trials, with half as much more
    study._started -= 80
    for budget, expected in ((None, False), (10_000.0, False), (100.0, False), (87.5, False), (86.5, True)):
        assert is_needed(study, Budget(), [None], time_budget_s=budget) is expected
    assert not is_needed(Study("score", "max"), Budget(), [None], time_budget_s=1.0)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(), False),
        (Budget(llm_calls=401), False),  # ten trials have taken 400 calls: 40 for another, 1.5 x 2 x 48 to confirm
        (Budget(llm_calls=584), False),
        (Budget(llm_calls=583), True),
        (Budget(usd=5.85), False),
        (Budget(usd=5.83), True),
        (Budget(tokens=5840), False),
        (Budget(usd=100.0, tokens=5839), True),
    ],
)
def test_calls(budget: Budget, expected: bool) -> None:
    study = paid(study_of(10))
    expected = expected or budget.llm_calls == 401
    assert is_needed(study, budget, [None]) is expected


def test_no_more_than_a_third_is_kept() -> None:
    study = paid(study_of(2))  # 80 calls; 40 for another, and 60 of the 144 to confirm
    assert not is_needed(study, Budget(llm_calls=180), [None])
    assert is_needed(study, Budget(llm_calls=179), [None])


def test_what_is_in_flight_takes_what_it_has_not_taken_yet() -> None:
    study = paid(study_of(10))
    study.taken.add([call(11)] * 30)  # of a block that is not told yet: ten more; then 40 and 40, and 144
    assert not is_needed(study, Budget(llm_calls=664), [11, 12, None])
    assert is_needed(study, Budget(llm_calls=663), [11, 12, None])
    assert not is_needed(study, Budget(llm_calls=584), [11]), "one that goes on, and no other"


def test_what_is_paid_once_is_no_price_of_a_question() -> None:
    study = paid(study_of(10))
    study.taken.add([call(1, tokens=100_000, stage="embeddings")])
    assert not is_needed(study, Budget(tokens=105_840), [None])
    assert is_needed(study, Budget(tokens=105_839), [None])


def test_answers_of_the_cache_do_not_make_the_others_cheaper() -> None:
    study = study_of(11)
    study.taken.add([call(11) for _ in range(40)])  # 40 for another, and a third to confirm
    assert not is_needed(study, Budget(llm_calls=120), [None])
    assert is_needed(study, Budget(llm_calls=119), [None])
    assert not is_needed(study_of(3), Budget(llm_calls=1), [None]), "nothing was paid for"


def test_who_is_confirmed_needs_no_more() -> None:
    study = paid(study_of(14))
    confirmed = Leaders(study, Objective(Asked()), SearchOptions("grid"), 1).chosen()
    assert len(confirmed) == 6
    for number in confirmed:
        study.report_held_out(number, Block(1, {f"h{at}": {"score": 0.1} for at in range(8)}, 1.0))
        study.taken.add([call(number)] * 16)
    assert not is_needed(study, Budget(llm_calls=14 * 40 + 6 * 16 + 40), [None])
    assert is_needed(study, Budget(llm_calls=14 * 40 + 6 * 16 + 39), [None])


def test_of_several_objectives_the_knee_and_the_default_are_confirmed() -> None:
    goals = [Goal(metric="score", mode="max"), Goal(metric="other", mode="min")]
    study = paid(study_of(10, goals))
    assert not is_needed(study, Budget(llm_calls=488), [None])  # 400, 40, and 1.5 x 2 x 16
    assert is_needed(study, Budget(llm_calls=487), [None])
