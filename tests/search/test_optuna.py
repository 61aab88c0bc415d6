"""Optuna's searcher: what it forgets, and what it must not."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from raytuner.goals import Goal
from raytuner.search import optuna
from raytuner.search.optuna import Excess, OptunaSearcher, make_sampler
from raytuner.search.task import Task
from raytuner.space import SearchSpace

SPACE = SearchSpace.from_dict({"x": {"float": [0, 1]}, "n": {"int": [0, 20]}})


def score(point: dict[str, Any]) -> float:
    return float(-((point["x"] - 0.3) ** 2) - ((point["n"] - 15) / 20) ** 2)


def searcher(seed: int = 0, mode: str = "max", points: Any = ()) -> OptunaSearcher:
    task = Task(SPACE, "score", mode, seed, points)
    return OptunaSearcher(task, make_sampler("tpe", task, 10))


def tell(made: OptunaSearcher, name: str, value: float) -> None:
    made.on_trial_complete(name, {"score": value})


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MOST": 30, "KEPT": 20, "BEST": 8}.items():
        monkeypatch.setattr(optuna, name, value)


def trials(made: OptunaSearcher) -> list[Any]:
    return made._study.get_trials(deepcopy=False)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_best_are_kept_and_some_of_the_others(mode: str) -> None:
    made = searcher(mode=mode)
    values = [float((7 * i) % 31) for i in range(31)]
    for i, value in enumerate(values):
        made.suggest(f"t{i}")
        tell(made, f"t{i}", value)
    best = sorted(values, reverse=mode == "max")[:8]
    kept = [trial.values[0] for trial in trials(made)]
    assert sorted(kept, reverse=mode == "max")[:8] == best
    assert len(set(kept)) == len(kept) == 20
    assert len(set(kept) - set(best) - set(values[-12:])) >= 3  # not only the last ones
    assert {trial.state for trial in trials(made)} == {TrialState.COMPLETE}


@pytest.mark.usefixtures("forgetful")
def test_the_number_of_trials_stays_bounded() -> None:
    made = searcher()
    most = 0
    for i in range(120):
        point = made.suggest(f"t{i}")
        made.on_trial_complete(f"t{i}", {"score": score(point)} if i % 5 else None, error=i % 5 == 0)
        most = max(most, len(trials(made)))
    assert 20 <= most <= 31


@pytest.mark.usefixtures("forgetful")
def test_trials_in_flight_outlive_what_is_forgotten() -> None:
    made = searcher()
    early = [made.suggest(f"early{i}") for i in range(3)]
    for i in range(31):
        made.suggest(f"t{i}")
        tell(made, f"t{i}", 0.0)
    running = [trial.params for trial in trials(made) if trial.state == TrialState.RUNNING]
    assert running == early
    tell(made, "early1", 5.0)
    made.on_trial_complete("early0", error=True)
    states = {tuple(trial.params.values()): (trial.state, trial.values) for trial in trials(made)}
    assert [states[tuple(point.values())] for point in early] == [
        (TrialState.FAIL, None),
        (TrialState.COMPLETE, [5.0]),
        (TrialState.RUNNING, None),
    ]


@pytest.mark.usefixtures("forgetful")
def test_points_that_wait_outlive_what_is_forgotten() -> None:
    points = [{"x": i / 64, "n": 3} for i in range(40)]
    made = searcher(points=points)
    suggested = []
    for i in range(40):
        suggested.append(made.suggest(f"t{i}"))
        tell(made, f"t{i}", 0.0)
    assert suggested == points


def test_a_forgetful_search_still_learns_and_its_seed_fixes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MOST": 60, "KEPT": 40, "BEST": 12}.items():
        monkeypatch.setattr(optuna, name, value)
    gained = []
    for seed in range(5):
        runs = []
        for _ in range(2):
            made, scores = searcher(seed), []
            for i in range(120):
                point = made.suggest(f"t{i}")
                scores.append(score(point))
                tell(made, f"t{i}", scores[-1])
            runs.append(scores)
        assert runs[0] == runs[1]
        gained.append(statistics.mean(runs[0][80:]) - statistics.mean(runs[0][:10]))
        assert max(runs[0]) > -0.01
    assert statistics.median(gained) > 0.1


def test_a_point_that_was_not_suggested_can_be_told() -> None:
    made = searcher(points=[{"x": 0.5, "n": 1}])
    made.add_evaluated_point({"x": 0.25, "n": 7}, 0.75)
    made.add_evaluated_point({"x": 0.5, "n": 8}, float("nan"), error=True)
    found = [(trial.params, trial.values, trial.state) for trial in trials(made)[1:]]
    assert found == [
        ({"x": 0.25, "n": 7}, [0.75], TrialState.COMPLETE),
        ({"x": 0.5, "n": 8}, None, TrialState.FAIL),
    ]
    assert made.suggest("first") == {"x": 0.5, "n": 1}  # what was told does not come before what was given


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize("failed", [True, False])
def test_a_point_in_flight_that_was_not_suggested_is_told_once(failed: bool) -> None:
    made = searcher()
    point = {"x": 0.25, "n": 7}
    made.expect(point)
    assert [(trial.params, trial.state) for trial in trials(made)] == [(point, TrialState.RUNNING)]
    for i in range(31):
        made.suggest(f"t{i}")
        tell(made, f"t{i}", 0.0)
    assert [trial.params for trial in trials(made) if trial.state == TrialState.RUNNING] == [point]
    count = len(trials(made))
    made.add_evaluated_point(point, 0.75, error=failed)
    assert len(trials(made)) == count
    [found] = [trial for trial in trials(made) if trial.params == point]
    assert (found.state, found.values) == ((TrialState.FAIL, None) if failed else (TrialState.COMPLETE, [0.75]))


def test_brute_force_ends_by_itself() -> None:
    space = SearchSpace.from_dict({"a": ["x", "y"], "b": {"choice": [1, 2], "when": {"a": "y"}}})
    task = Task(space, "score", "max", points=[{"a": "y", "b": 2}])
    made = OptunaSearcher(task, make_sampler("brute_force", task, 10))
    points = []
    while isinstance(point := made.suggest(f"t{len(points)}"), dict):
        tell(made, f"t{len(points)}", 1.0)
        points.append(point)
    assert sorted(point["a"] + str(point["b"]) for point in points) == ["x1", "y1", "y2"]
    assert point == Searcher.FINISHED


def test_optuna_sees_only_active_parameters() -> None:
    space = SearchSpace.from_dict({"a": ["x", "y"], "b": {"float": [0, 1], "default": 0.5, "when": {"a": "y"}}})
    task = Task(space, "score", "max")
    made = OptunaSearcher(task, make_sampler("tpe", task, 10))
    for i in range(30):
        point = made.suggest(f"t{i}")
        tell(made, f"t{i}", point["b"])
        assert point["a"] == "y" or point["b"] == 0.5
    made.add_evaluated_point({"a": "x", "b": 0.9}, 1.0)
    assert {frozenset(trial.params) for trial in trials(made)} == {frozenset({"a"}), frozenset({"a", "b"})}
    assert all(("b" in trial.params) == (trial.params["a"] == "y") for trial in trials(made))


GOALS = (Goal(metric="x", mode="max", limit=0.2), Goal(metric="n", mode="min"))


def several(sampler: str = "tpe") -> OptunaSearcher:
    task = Task(SPACE, "x", "max", goals=GOALS)
    excess = Excess()
    return OptunaSearcher(task, make_sampler(sampler, task, 10, excess), excess)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "brute_force"])
def test_several_objectives_are_optunas_own(sampler: str) -> None:
    space = SearchSpace.from_dict({"x": {"float": [0, 1], "step": 0.1}, "n": {"int": [0, 20]}})
    task = Task(space, "x", "max", goals=GOALS)
    excess = Excess()
    made = OptunaSearcher(task, make_sampler(sampler, task, 10, excess), excess)
    for i in range(40):
        point = space.decode(made.suggest(f"t{i}"))
        made.on_trial_complete(f"t{i}", {"x": point["x"], "n": float(point["n"])}, error=i == 20)
    assert [direction.name for direction in made._study.directions] == ["MAXIMIZE", "MINIMIZE"]
    front = {tuple(trial.values) for trial in made._study.best_trials}
    known = [trial.values for trial in trials(made) if trial.state == TrialState.COMPLETE]
    assert len(known) == 39
    assert all(not any(a >= x and b <= n and (a, b) != (x, n) for a, b in known) for x, n in front)


def test_optuna_knows_what_is_beyond_a_limit_of_what_it_suggested_and_of_what_not() -> None:
    made = several()
    made.suggest("a")
    made.on_trial_complete("a", {"x": 0.1, "n": 3.0})
    made.suggest("b")
    made.on_trial_complete("b", {"x": 0.3, "n": 3.0})
    made.add_evaluated_point({"x": 0.15, "n": 2}, [0.15, 2.0])
    made.add_evaluated_point({"x": 0.15, "n": 4}, float("nan"), error=True)
    attributes = [trial.system_attrs.get("constraints") for trial in trials(made)]
    assert attributes[:3] == [pytest.approx([0.5]), pytest.approx([0.0]), pytest.approx([0.25])]
    assert attributes[3] is None
    assert [trial.number for trial in made._study.best_trials] == [1]


@pytest.mark.usefixtures("forgetful")
def test_of_several_objectives_the_front_is_kept() -> None:
    made = several()
    values = [((7 * i) % 31 / 31, float((11 * i) % 31)) for i in range(31)]
    for i, (x, n) in enumerate(values):
        made.suggest(f"t{i}")
        made.on_trial_complete(f"t{i}", {"x": x, "n": n})
    within = [value for value in values if value[0] >= 0.2]
    front = {(x, n) for x, n in within if not any(a >= x and b <= n and (a, b) != (x, n) for a, b in within)}
    kept = [tuple(trial.values) for trial in trials(made)]
    assert len(kept) == 20
    assert 2 < len(front) <= 8
    assert front <= set(kept)
    assert all("constraints" in trial.system_attrs for trial in trials(made))
