"""Several objectives made one loss."""

from __future__ import annotations

from typing import Any

import pytest
from ray.tune.search import Searcher

from raytuner.goals import Goal
from raytuner.search.scalarise import HELD_BACK, LOSS, ScalarisedSearcher, Scalariser, epsilon

GOALS = [Goal(metric="recall", mode="max"), Goal(metric="tokens", mode="min", limit=1000)]


def test_epsilon_by_hand() -> None:
    assert epsilon([0.5, 0.5], [[0.2, 0.4]]) == pytest.approx(0.1)  # so much better, and it is not dominated
    assert epsilon([0.1, 0.5], [[0.2, 0.4]]) == pytest.approx(-0.1)
    assert epsilon([0.1, 0.5], [[0.2, 0.4], [0.0, 0.1]]) == pytest.approx(0.1)
    assert epsilon([0.1, 0.5], []) == 0.0


def test_a_loss_is_above_zero_exactly_for_what_is_dominated_strictly() -> None:
    scalariser = Scalariser(GOALS)
    results = [[0.2, 100.0], [0.8, 500.0], [0.7, 600.0], [0.9, 900.0]]
    losses = scalariser.first(results)
    assert [loss > 0 for loss in losses] == [False, False, True, False]
    assert scalariser.next([0.3, 800.0]) > scalariser.next([0.75, 550.0]) > 0
    assert scalariser.next([0.85, 450.0]) < 0
    assert scalariser.next([0.79, 500.0]) > 0  # the last one is known now


def test_what_is_beyond_a_limit_is_worse_than_all_within_and_the_farther_the_worse() -> None:
    scalariser = Scalariser(GOALS)
    first = scalariser.first([[0.2, 100.0], [0.9, 2000.0], [0.8, 500.0], [1.0, 1001.0]])
    assert min(first[1], first[3]) > max(first[0], first[2])
    worst = scalariser.next([-50.0, 999.0])
    near, far = scalariser.next([1.0, 1100.0]), scalariser.next([1.0, 1200.0])
    assert worst < near < far
    # It is no rival of those within.
    assert scalariser.next([0.9, 900.0]) <= 0


def test_an_objective_that_varies_late_counts_from_then_on() -> None:
    scalariser = Scalariser([Goal(metric="a", mode="min"), Goal(metric="b", mode="min")])
    assert scalariser.first([[1.0, 5.0], [2.0, 5.0]]) == [-1.0, 0.0]
    assert scalariser.next([3.0, 7.0]) == 1.0
    assert scalariser.next([3.0, 3.0]) == -1.0


def test_one_objective_is_its_own_loss() -> None:
    scalariser = Scalariser([Goal(metric="a", mode="max", limit=0.0)])
    first = scalariser.first([[1.0], [3.0], [2.0], [-1.0]])
    later = [scalariser.next([value]) for value in (4.0, 2.5, -0.5)]
    order = sorted(zip([*first, *later], [1.0, 3.0, 2.0, -1.0, 4.0, 2.5, -0.5], strict=True))
    assert [value for _, value in order] == [4.0, 3.0, 2.5, 2.0, 1.0, -0.5, -1.0]


class Notes(Searcher):
    """Notes what it is told; suggests nothing before it is told something, if it is `patient`."""

    def __init__(self, patient: bool = False) -> None:
        super().__init__(metric=LOSS, mode="min")
        self.patient = patient
        self.told: list[Any] = []

    def suggest(self, trial_id: str) -> Any:
        return None if self.patient and not self.told else {"x": trial_id}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.told.append((trial_id, None if error or result is None else result[LOSS]))

    def add_evaluated_point(self, parameters: Any, value: float, error: bool = False, **others: Any) -> None:
        self.told.append((parameters["x"], None if error else value))


def result(recall: float, tokens: float) -> dict[str, Any]:
    return {"recall": recall, "tokens": tokens, "training_iteration": 1}


def test_the_first_results_are_held_back_failures_are_not() -> None:
    inner = Notes()
    searcher = ScalarisedSearcher(inner, GOALS)
    searcher.on_trial_complete("failed", error=True)
    for number in range(HELD_BACK - 1):
        searcher.on_trial_complete(f"t{number}", result(number / 10, number * 100.0))
    assert inner.told == [("failed", None)]
    searcher.add_evaluated_point({"x": "drawn"}, [0.0, 999.0])
    assert [name for name, _ in inner.told] == ["failed", *(f"t{n}" for n in range(HELD_BACK - 1)), "drawn"]
    assert inner.told[-1][1] == max(loss for _, loss in inner.told[1:])
    searcher.add_evaluated_point({"x": "bad"}, float("nan"), error=True)
    searcher.on_trial_complete("next", result(1.0, 50.0))
    assert inner.told[-2] == ("bad", None)
    assert inner.told[-1][1] < 0


def test_an_algorithm_that_waits_is_told_what_is_held_back() -> None:
    searcher = ScalarisedSearcher(Notes(patient=True), GOALS)
    assert searcher.suggest("a") is None
    searcher.on_trial_complete("t", result(0.5, 100.0))
    assert searcher.suggest("b") == {"x": "b"}


def test_an_algorithm_that_cannot_be_told_of_points_is_not() -> None:
    class Closed(Notes):
        def add_evaluated_point(self, parameters: Any, value: float, error: bool = False, **others: Any) -> None:
            raise NotImplementedError

    inner = Closed()
    searcher = ScalarisedSearcher(inner, GOALS)
    for number in range(HELD_BACK):
        searcher.add_evaluated_point({"x": number}, [0.5, number])
    searcher.on_trial_complete("t", result(0.5, 100.0))
    assert [name for name, _ in inner.told] == ["t"]
