"""What is handed out when a search has ended, without Ray."""

from __future__ import annotations

from typing import Any

import pytest
from ray.tune.search import Searcher

from raytuner.calls.budget import Budget
from raytuner.goals import Goal
from raytuner.leaders import Leaders, confirmed, leading
from raytuner.objective import Block, Objective, Report
from raytuner.schedulers.batch import BatchRace
from raytuner.schedulers.confirming import LATE, ConfirmingSearcher
from raytuner.schedulers.rounds import RoundSearcher
from raytuner.search import make_searcher
from raytuner.search.options import SearchOptions
from raytuner.space import SearchSpace
from raytuner.study import Study

SPACE = SearchSpace.from_dict({"a": [1, 2, 3, 4]})
GOALS = [Goal(metric="score", mode="max")]


class Asked:
    """An objective that has blocks and holds out some questions."""

    total, holdout, block_size, metric = 20, 8, 8, "score"

    def blocks(self, params: dict[str, Any], start: int = 0) -> Any:
        raise AssertionError("nothing is evaluated here")


def study_of(scores: dict[int, float]) -> Study:
    study = Study("score", "max")
    for number, score in scores.items():
        study.start(number, {"a": number})
        study.report(number, Report({"score": score}, Block(0, {"q": {"score": score}}, 1.0)))
        study.finish(number, 2.0)
    return study


def test_leaders_follow_when_all_trials_have_ended() -> None:
    inner = make_searcher("grid", SPACE, "score", "max")
    asked: list[Any] = []

    def leaders(points: Any) -> list[int]:
        asked.append(dict(points))
        return [3, 1]

    searcher = ConfirmingSearcher(inner, 3, leaders)
    assert [searcher.suggest(f"t{at}")["number"] for at in range(1, 5)] == [1, 2, 3, 4]
    assert searcher.suggest("t5") is None, "trials are in flight"
    for at in range(1, 5):
        searcher.on_trial_complete(f"t{at}", {"score": 0.5})
    assert asked == []
    assert searcher.suggest("t5") == {"number": 3, "point": {"a": 3}, "start": 3, "held_out": True}
    assert list(asked[0]) == [1, 2, 3, 4]
    searcher.on_trial_complete("t5", {"score": 9.0})  # which the search is not told
    assert searcher.suggest("t6")["number"] == 1
    assert searcher.suggest("t7") == Searcher.FINISHED
    assert (searcher.ended, searcher.at_most) == ("the space is exhausted: all 4 configurations were tried", 4)


def test_no_trial_begins_when_it_is_late() -> None:
    late = [False, False, True]
    searcher = ConfirmingSearcher(make_searcher("grid", SPACE, "score", "max"), 3, sorted, lambda: late.pop(0))
    assert [searcher.suggest(f"t{at}")["number"] for at in (1, 2)] == [1, 2]
    assert searcher.suggest("t3") is None
    for at in (1, 2):
        searcher.on_trial_complete(f"t{at}", {"score": 0.5})
    assert searcher.ended == LATE
    assert [searcher.suggest(f"t{at}")["number"] for at in (3, 4)] == [1, 2]


def test_the_time_to_confirm_is_kept_of_a_budget() -> None:
    study = study_of({1: 0.5, 2: 0.6})  # two seconds a question, so 144 for eight questions of six trials with spare
    study._started -= 80
    for budget, is_late in ((None, False), (10_000.0, False), (200.0, False), (121.0, False), (119.0, True)):
        options = SearchOptions("grid", time_budget_s=budget)
        assert Leaders(study, Objective(Asked()), options, 1).is_late() is is_late
    assert not Leaders(Study("score", "max"), Objective(Asked()), SearchOptions("grid", time_budget_s=1.0), 1).is_late()


@pytest.mark.parametrize(
    ("budget", "spent", "is_late"),
    [
        (Budget(), (9.0, 9_000, 9), False),
        (
            Budget(usd=3.0),
            (0.04, 0, 0),
            False,
        ),  # 0.02 a question: 1.44 for eight questions of six trials, but 1 at most
        (Budget(usd=1.0), (0.6, 0, 0), False),
        (Budget(usd=1.0), (0.7, 0, 0), True),
        (Budget(usd=1.0, tokens=1_000_000), (0.01, 800_000, 0), True),
        (Budget(llm_calls=300), (0.0, 0, 4), False),  # two a question: 144, but 100 at most
        (Budget(llm_calls=300), (0.0, 0, 201), True),
    ],
)
def test_what_it_costs_to_confirm_is_kept_of_a_budget(
    budget: Budget, spent: tuple[float, int, int], is_late: bool
) -> None:
    study = study_of({1: 0.5, 2: 0.6})
    study.spent = spent
    assert Leaders(study, Objective(Asked()), SearchOptions("grid", budget=budget), 1).is_late() is is_late


def test_what_trials_in_flight_will_take_counts_too() -> None:
    study = study_of({1: 0.5, 2: 0.6})
    study.spent = (0.0, 0, 20)
    leaders = Leaders(study, Objective(Asked()), SearchOptions("grid", budget=Budget(llm_calls=400)), 1)
    assert not leaders.is_late()
    study.start(3, {"a": 3})  # 20 questions of ten calls
    assert not leaders.is_late()
    study.start(4, {"a": 4})
    assert leaders.is_late()
    assert not Leaders(
        Study("score", "max"), Objective(Asked()), SearchOptions("grid", budget=Budget(usd=1.0)), 1
    ).is_late()


def test_the_default_is_compared_and_only_a_leader_if_it_won() -> None:
    study = study_of({1: 0.5, 2: 0.9, 3: 0.4, 4: 0.6})
    assert leading(study, 1) == [2, 4, 3]
    assert leading(study_of({1: 0.95, 2: 0.9}), 1) == [1, 2]
    numbers = Leaders(study, Objective(Asked()), SearchOptions("grid"), 1).numbers({1: {}, 2: {}, 3: {}})
    assert numbers == [2, 3, 1], "of those that have a point"


def test_only_those_that_answered_all_are_compared() -> None:
    study = study_of({1: 0.5, 2: 0.9, 3: 0.8})
    for number, count in ((1, 10), (2, 4), (3, 10)):
        values = {f"h{at}": {"score": 0.1 * number + 0.01 * at} for at in range(count)}
        study.report_held_out(number, Block(3, values, 1.0))
    found = confirmed(study, 10, {}, 1)
    assert found is not None
    assert ([one.trial for one in found.results], found.ties, found.questions) == ([3, 1], [3], 10)
    assert confirmed(study_of({1: 0.5}), 10, {}, 1) is None


def test_rounds_hand_out_stretches_until_one_is_left() -> None:
    rule = BatchRace(GOALS, 48)
    dropped: list[int] = []
    searcher = RoundSearcher(
        make_searcher("grid", SPACE, "score", "max"), rule, 8, lambda number, why: dropped.append(number)
    )
    handed: list[tuple[int, int, int | None]] = []
    trial = 0
    while isinstance(found := searcher.suggest(str(trial)), dict):
        number, start, until = found["number"], found["start"], found["until"]
        handed.append((number, start, until))
        rule.begin(number)
        for block in range(start, until or 6):
            rows = {f"q{block}-{at}": {"score": 0.1 * number + 0.001 * (at % 3)} for at in range(8)}
            rule.block(number, rows)
        if until is None:
            rule.end(number)
        searcher.on_trial_complete(str(trial))
        trial += 1
    assert handed[:4] == [(1, 0, 2), (2, 0, 2), (3, 0, 2), (4, 0, 2)]
    assert {number for number, *_ in handed[4:]} == {4}
    assert handed[-1][2] is None
    assert sorted(dropped) == [1, 2, 3]
    assert rule.finished == {4}
    assert (searcher.at_most, searcher.rejected_invalid) == (4, 0)


def test_a_round_waits_for_those_in_flight() -> None:
    rule = BatchRace(GOALS, 48)
    searcher = RoundSearcher(make_searcher("grid", SPACE, "score", "max"), rule, 8, lambda number, why: None)
    for at in range(4):
        assert searcher.suggest(str(at))["number"] == at + 1
    assert searcher.suggest("4") is None


def test_objectives_say_whether_blocks_can_be_had_from_anywhere() -> None:
    assert (Objective(Asked()).resumable, Objective(Asked()).holdout, Objective(Asked()).total) == (True, 8, 20)
    plain = Objective(lambda params: 1.0)
    assert (plain.resumable, plain.holdout, plain.total, plain.block_size) == (False, 0, None, 1)


@pytest.mark.parametrize("number", [1, 2])
def test_a_trial_goes_on_where_it_was(number: int) -> None:
    study = Study("score", "max")
    study.start(number, {"a": 1})
    study.report(number, Report({"score": 0.2}, Block(0, {"q1": {"score": 0.2}}, 1.0)))
    study.pause(number, 1.5)
    assert study.running == []
    study.resume(number)
    study.report(number, Report({"score": 0.8}, Block(1, {"q2": {"score": 0.8}}, 1.0)))
    study.finish(number, 1.0)
    trial = study.trials[number]
    assert (trial.metrics, trial.seconds, trial.finished) == ({"score": 0.5}, 2.5, True)
