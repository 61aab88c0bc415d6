"""What is handed out when a search has ended, without Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from ray.tune.search import Searcher

from raytuner.goals import Goal
from raytuner.leaders import Leaders, confirmed, leading
from raytuner.objective import Block, Objective, Report
from raytuner.schedulers.batch import BatchRace
from raytuner.schedulers.confirming import LATE, ConfirmingSearcher
from raytuner.schedulers.rounds import RoundSearcher
from raytuner.schedulers.unfinished import Losses, UnfinishedSearcher
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
    asked: list[list[int | None]] = []

    def is_late(begun: Sequence[int | None]) -> bool:
        asked.append(list(begun))
        return len(asked) not in (1, 2, 4)

    searcher = ConfirmingSearcher(make_searcher("grid", SPACE, "score", "max"), 3, sorted, is_late)
    assert [searcher.suggest(f"t{at}")["number"] for at in (1, 2)] == [1, 2]
    assert searcher.suggest("t3") is None
    searcher.on_trial_complete("t1", {"score": 0.5})
    assert searcher.ended is None, "what is in flight may take less than it might"
    assert searcher.suggest("t3")["number"] == 3
    assert searcher.suggest("t4") is None
    for at in (2, 3):
        searcher.on_trial_complete(f"t{at}", {"score": 0.5})
    assert asked == [[None], [1, None], [1, 2, None], [2, None], [2, 3, None]]
    assert searcher.suggest("t4")["number"] == 1
    assert searcher.ended == LATE
    assert [searcher.suggest(f"t{at}")["number"] for at in (5, 6)] == [2, 3]


def test_that_all_were_tried_is_no_lack_of_budget() -> None:
    searcher = ConfirmingSearcher(make_searcher("grid", SPACE, "score", "max"), 3, sorted, lambda begun: len(begun) > 4)
    for at in range(1, 5):
        assert searcher.suggest(f"t{at}")["number"] == at
    assert searcher.suggest("t5") is None
    for at in range(1, 5):
        searcher.on_trial_complete(f"t{at}", {"score": 0.5})
    assert searcher.suggest("t5")["number"] == 1
    assert searcher.ended == "the space is exhausted: all 4 configurations were tried"


def test_what_an_earlier_driver_began_waits_too_when_it_is_late() -> None:
    """All that raced at once are unfinished; a budget that it goes on with may not reach for all of them."""
    begun = {f"past-{at}": {"number": at, "point": {"a": at}, "unfinished": at > 1} for at in range(1, 5)}
    inner = make_searcher("grid", SPACE, "score", "max")
    inner.take_up([(name, "began", one["point"]) for name, one in begun.items()])
    inner.on_trial_complete("past-1", {"score": 0.5})
    confirming = ConfirmingSearcher(inner, 3, sorted, lambda numbers: numbers not in ([2], [2, 3]), begun)
    unfinished = [(name, one) for name, one in begun.items() if one["unfinished"]]
    searcher = UnfinishedSearcher(confirming, Losses(), dict, unfinished, confirming.goes_on)
    assert [searcher.suggest(name)["number"] for name in "ab"] == [2, 3]
    assert searcher.suggest("c") is None, "the others may take less"
    searcher.on_trial_complete("a", {"score": 0.6})
    searcher.on_trial_complete("b", error=True)
    assert searcher.suggest("c")["number"] == 3, "what was lost goes on"
    assert searcher.suggest("d") is None
    searcher.on_trial_complete("c", {"score": 0.7})
    assert searcher.suggest("d") == {"number": 1, "point": {"a": 1}, "start": 3, "held_out": True}, "not the fourth"
    assert searcher.ended == LATE


def test_the_default_is_compared_and_only_a_leader_if_it_won() -> None:
    study = study_of({1: 0.5, 2: 0.9, 3: 0.4, 4: 0.6})
    assert leading(study, 1) == [2, 4, 3]
    assert leading(study_of({1: 0.95, 2: 0.9}), 1) == [1, 2]
    numbers = Leaders(study, Objective(Asked()), SearchOptions("grid"), 1).numbers({1: {}, 2: {}, 3: {}})
    assert numbers == [2, 1, 3], "of those that have a point, the default second: it is what the best is compared to"


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
