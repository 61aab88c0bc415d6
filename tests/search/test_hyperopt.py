"""HyperOpt, asked and told: what it is told of each trial."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from hyperopt import JOB_STATE_DONE, JOB_STATE_RUNNING
from ray import tune

from raytuner.search.hyperopt import HyperOptSearcher
from raytuner.search.task import Task
from raytuner.space import SearchSpace

CHAIN = SearchSpace.from_dict(
    {"a": ["x", "y"], "b": {"float": [0, 1], "default": 0.5, "when": {"a": "y"}}, "n": {"int": [1, 9]}}
)


def searcher(space: SearchSpace = CHAIN, mode: str = "max", **options: Any) -> HyperOptSearcher:
    return HyperOptSearcher(Task(space, "score", mode, **options), n_startup_trials=5)


def trials(made: HyperOptSearcher) -> list[dict[str, Any]]:
    return list(made._trials.trials)


def test_it_is_told_of_active_parameters_only() -> None:
    made = searcher()
    for i in range(12):
        made.suggest(f"t{i}")
        made.on_trial_complete(f"t{i}", {"score": 1.0})
    made.add_evaluated_point({"a": "x", "b": 0.9, "n": 3}, 2.0)
    values = [trial["misc"]["vals"] for trial in trials(made)]
    assert len(values) == 13
    assert {(found["a"][0], len(found["b"])) for found in values} == {(0, 0), (1, 1)}
    assert values[-1] == {"a": [0], "b": [], "n": [3.0]}  # the position of the choice, the number of the step


@pytest.mark.parametrize(("mode", "loss"), [("max", -0.75), ("min", 0.75)])
def test_trials_in_flight_are_known_and_end_once(mode: str, loss: float) -> None:
    made = searcher(mode=mode, points=[{"a": "y", "b": 0.25, "n": 0}] * 2)
    made.suggest("t1")
    made.suggest("t2")  # the same point
    made.expect({"a": "x", "b": 0.5, "n": 7})
    assert [trial["state"] for trial in trials(made)] == [JOB_STATE_RUNNING] * 3
    made.on_trial_complete("t1", {"score": 0.75})
    made.on_trial_complete("t2", {"score": 0.75})
    made.add_evaluated_point({"a": "x", "b": 0.5, "n": 7}, float("nan"), error=True)
    assert [(trial["state"], trial["result"]["loss"]) for trial in trials(made)] == [(JOB_STATE_DONE, loss)] * 2


def test_the_ends_of_a_range_are_as_likely_as_its_middle() -> None:
    space = SearchSpace.from_dict({"n": {"int": [1, 4]}, "size": {"int": [1, 4], "log": True}})
    made = HyperOptSearcher(Task(space, "score", "max"), n_startup_trials=1000)
    drawn = [space.decode(made.suggest(f"t{i}")) for i in range(800)]
    counts = [sum(params["n"] == n for params in drawn) for n in (1, 2, 3, 4)]
    assert all(150 <= count <= 250 for count in counts), counts
    sizes = [sum(params["size"] == n for params in drawn) for n in (1, 2, 3, 4)]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 50, sizes


def test_it_learns_of_every_kind_of_parameter() -> None:
    spec = {"c": ["x", "y", "z"], "f": {"float": [0, 1]}, "g": tune.randn(0, 1), "l": {"float": [0.01, 1], "log": True}}
    space = SearchSpace.from_dict(spec)
    made, scores = searcher(space), []
    for i in range(60):
        params = space.decode(made.suggest(f"t{i}"))
        score = (params["c"] == "z") - abs(params["f"] - 0.5) - abs(params["g"] - 1) - abs(params["l"] - 0.1)
        scores.append(score)
        made.on_trial_complete(f"t{i}", {"score": score})
    assert statistics.median(scores[30:]) > statistics.median(scores[:10]) + 0.3
