"""What libraries are told of failures and of trials in flight."""

from __future__ import annotations

from typing import Any

from raytuner.search.dimensions import Dimensions
from raytuner.search.refit import BEST, MOST, Point, RefitSearcher
from raytuner.search.task import Task
from raytuner.space import SearchSpace

SPACE = SearchSpace.from_dict({"n": {"int": [0, 9]}, "b": {"int": [5, 9], "default": 7, "when": {"n": 1}}})


class Noting(RefitSearcher):
    """Notes what it is told, and proposes what it was given."""

    def __init__(self, *proposals: int, mode: str = "min", startup: int = 1) -> None:
        first = [{"n": 0, "b": 0}]
        super().__init__(Task(SPACE, "score", mode, points=first), startup)
        self.proposals = list(proposals)
        self.told: list[tuple[list[Point], list[float]]] = []

    def propose(self, points: list[Point], losses: list[float]) -> Point:
        self.told.append((points, losses))
        return {"n": self.proposals.pop(0), "b": 4}


def end(searcher: Noting, name: str, score: float | None) -> None:
    result: Any = None if score is None else {"score": score}
    searcher.on_trial_complete(name, result, error=score is None)


def test_failures_stand_as_the_worst_and_pending_trials_as_the_mean() -> None:
    searcher = Noting(3, 4, 5, 6)
    searcher.suggest("t0")
    end(searcher, "t0", 1.0)
    searcher.suggest("t3")
    end(searcher, "t3", 2.0)
    searcher.suggest("t4")
    end(searcher, "t4", None)
    searcher.suggest("t5")
    searcher.suggest("t6")
    points, losses = searcher.told[-1]
    assert [point["n"] for point in points] == [0, 3, 4, 5]
    assert losses == [1.0, 2.0, 2.0, 1.5]  # t5 is in flight


def test_a_worse_score_makes_an_earlier_failure_worse() -> None:
    searcher = Noting(3, 4, 5)
    for name, score in [("t0", 1.0), ("t3", None), ("t4", 9.0)]:
        searcher.suggest(name)
        end(searcher, name, score)
    searcher.suggest("t5")
    assert searcher.told[-1][1] == [1.0, 9.0, 9.0]


def test_what_is_best_for_max_is_least() -> None:
    searcher = Noting(3, mode="max")
    searcher.suggest("t0")
    end(searcher, "t0", 4.0)
    searcher.suggest("t3")
    assert searcher.told[-1][1] == [-4.0]


def test_equal_configurations_are_one_point_with_the_default_where_inactive() -> None:
    searcher = Noting(3)
    searcher.suggest("t0")
    end(searcher, "t0", 1.0)
    searcher.add_evaluated_point({"n": 0, "b": 2}, 1.0)
    searcher.add_evaluated_point({"n": 1, "b": 2}, 3.0)
    searcher.suggest("t3")
    assert searcher.told[-1][0] == [{"n": 0, "b": 2}, {"n": 1, "b": 2}]  # 7 is the default of b, its third step


def test_without_a_score_points_are_drawn_at_random() -> None:
    searcher = Noting()
    for number in range(5):
        searcher.suggest(str(number))
        end(searcher, str(number), None)
    assert searcher.told == []


def test_so_many_points_are_drawn_first() -> None:
    searcher = Noting(3, startup=4)
    known = set()
    while not searcher.told:
        name = str(len(known))
        point = searcher.suggest(name)
        if not searcher.told:
            known.add(SPACE.key(point))
        end(searcher, name, 1.0)
    assert len(searcher.told[0][0]) == len(known) == 4


def test_of_many_points_the_best_and_the_newest_are_modelled() -> None:
    space = SearchSpace.from_dict({"n": {"int": [0, 999]}})
    searcher = Noting(3)
    searcher.space, searcher.dimensions = space, Dimensions(space)
    for number in range(300):
        searcher.add_evaluated_point({"n": number}, float(number))
    searcher.ask()
    points, losses = searcher.told[-1]
    assert [point["n"] for point in points] == [*range(BEST), *range(300 - MOST + BEST, 300)]
    assert losses == [float(str(point["n"])) for point in points]
