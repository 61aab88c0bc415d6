"""What every search algorithm does with several objectives and limits; searchers are driven without starting Ray."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytuner.errors import SearchError
from raytuner.search import ALGORITHMS, make_searcher
from raytuner.search.guard import Guard
from raytuner.search.scalarise import ScalarisedSearcher
from raytuner.space import Params, SearchSpace
from raytuner.stats import pareto_front

NAMES = [name for name, found in ALGORITHMS.items() if found.problem() is None]
MODELS = [name for name in NAMES if ALGORITHMS[name].models]
SAMPLERS = [name for name in NAMES if name != "grid"]
OBJECTIVES = [{"metric": "recall", "mode": "max"}, {"metric": "tokens", "mode": "min"}]
SPEC: dict[str, Any] = {
    "a": ["x", "y", "z"],
    "n": {"int": [1, 20]},
    "t": {"float": [0, 1], "step": 0.02},
    "k": [1, 2, 3, 5, 8],
    "r": ["vector", "bm25", "hybrid"],
}
Scores = Callable[[Params], dict[str, float] | None]


def trade_off(params: Params) -> dict[str, float]:
    """More text finds more, and some settings are better than others at any length."""
    tokens = 10.0 * params["n"] * params["k"] * (1.2 if params["r"] == "hybrid" else 1)
    quality = {"vector": 0.8, "bm25": 0.7, "hybrid": 1}[params["r"]] * {"x": 0.8, "y": 1, "z": 0.9}[params["a"]]
    return {"recall": (1 - math.exp(-tokens / 400)) * quality * (1 - (params["t"] - 0.3) ** 2), "tokens": tokens}


def drive(
    name: str,
    scores: Scores = trade_off,
    *,
    trials: int | None = 30,
    spec: Any = None,
    limit: float | None = None,
    **more: Any,
) -> tuple[list[Params], list[dict[str, float] | None], Any]:
    space = SearchSpace.from_dict(spec or SPEC)
    objectives = [OBJECTIVES[0], {**OBJECTIVES[1], "limit": limit}]
    searcher: Any = make_searcher(name, space, "recall", "max", trials=trials, objectives=objectives, **more)
    configs, found = [], []
    while isinstance(suggested := searcher.suggest(f"t{len(configs)}"), dict):
        configs.append(space.resolve(space.decode(suggested["point"])))
        found.append(scores(configs[-1]))
        searcher.on_trial_complete(f"t{len(configs) - 1}", found[-1], error=found[-1] is None)
    return configs, found, searcher


def hypervolume(results: list[dict[str, float]], most: float = 2000.0) -> float:
    """The area that a front of recall (max) and tokens (min) dominates, up to so many tokens."""
    points = [(found["recall"], found["tokens"]) for found in results if found["tokens"] <= most]
    front = sorted(points[at] for at in pareto_front(points, ["max", "min"]))
    area, before = 0.0, 0.0
    for recall, tokens in front:
        area += (recall - before) * (most - tokens)
        before = recall
    return area


def test_the_hypervolume_by_hand() -> None:
    points = [{"recall": 0.5, "tokens": 500.0}, {"recall": 1.0, "tokens": 1500.0}, {"recall": 0.4, "tokens": 600.0}]
    assert hypervolume(points) == pytest.approx(0.5 * 1500 + 0.5 * 500)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_tried_twice_and_a_finite_space_ends(name: str) -> None:
    spec = {"a": ["x", "y"], "n": [1, 5], "k": {"choice": [1, 8], "when": {"a": "x"}}}

    def scores(params: Params) -> dict[str, float]:
        return trade_off({"t": 0.3, "r": "hybrid", "k": 2, **params})

    configs, _, searcher = drive(name, scores, spec=spec, trials=None)
    assert len({repr(params) for params in configs}) == len(configs) == 6
    assert searcher.ended == "the space is exhausted: all 6 configurations were tried"


@pytest.mark.parametrize(
    "bad", [None, {"recall": 1.0}, {"recall": 1.0, "tokens": math.nan}], ids=["raised", "lacks", "nan"]
)
@pytest.mark.parametrize("name", NAMES)
def test_failures_do_not_stall_a_search(name: str, bad: dict[str, float] | None) -> None:
    configs, _, _ = drive(name, lambda params: bad if params["k"] in (2, 3) else trade_off(params), trials=25)
    assert len(configs) == 25
    assert len(drive(name, lambda params: bad, trials=15)[0]) == 15


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_fixes_the_sequence(name: str) -> None:
    runs = [drive(name, trials=16, seed=seed, limit=900)[0] for seed in (5, 5, 6)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("name", MODELS)
def test_models_find_a_better_front_than_random_search(name: str) -> None:
    def median(name: str, seeds: int) -> float:
        return statistics.median(hypervolume([*filter(None, drive(name, seed=seed)[1])]) for seed in range(seeds))

    assert median(name, 7) > median("random", 15)


@pytest.mark.parametrize("name", MODELS)
def test_models_learn_what_is_beyond_a_limit(name: str) -> None:
    def shares(name: str) -> list[float]:
        runs = [drive(name, seed=seed, limit=150, trials=40)[1][15:] for seed in range(5)]
        return [sum(found["tokens"] <= 150 for found in filter(None, run)) / len(run) for run in runs]

    assert statistics.median(shares(name)) > 1.2 * statistics.median(shares("random"))


@pytest.mark.parametrize("name", MODELS)
def test_one_objective_with_a_limit_is_still_optimised(name: str) -> None:
    def best(name: str, seed: int) -> float:
        space = SearchSpace.from_dict({"a": ["x", "y", "z"], "n": {"int": [1, 20]}, "t": {"float": [0, 1]}})
        limited = [{"metric": "loss", "mode": "min", "limit": 0.2}]
        searcher: Any = make_searcher(name, space, "loss", "min", seed, trials=40, objectives=limited)
        losses = []
        for number in range(40):
            params = space.decode(searcher.suggest(f"t{number}")["point"])
            far = (params["t"] - 0.3) ** 2 + ((params["n"] - 7) / 20) ** 2
            losses.append(far + 0.3 * (params["a"] != "y"))
            searcher.on_trial_complete(f"t{number}", {"loss": losses[-1]})
        return min(losses)

    found = statistics.median(best(name, seed) for seed in range(5))
    assert found <= statistics.median(best("random", seed) for seed in range(15))


@pytest.mark.parametrize("name", MODELS)
def test_a_search_that_is_restored_goes_on(name: str, tmp_path: Path) -> None:
    space = SearchSpace.from_dict(SPEC)

    def made() -> Any:
        return make_searcher(name, space, "recall", "max", 3, trials=30, objectives=OBJECTIVES)

    first = made()
    for number in range(12):
        params = space.decode(first.suggest(f"t{number}")["point"])
        first.on_trial_complete(f"t{number}", trade_off(params))
    first.save(str(tmp_path / "state"))
    restored = made()
    restored.restore(str(tmp_path / "state"))
    assert restored.started == 12
    assert restored.suggest("next") == first.suggest("next")


def test_who_models_several_objectives_is_told_of_them() -> None:
    def inner(name: str, **options: Any) -> Any:
        searcher = make_searcher(name, SearchSpace.from_dict(SPEC), "recall", "max", objectives=OBJECTIVES, **options)
        assert isinstance(searcher, Guard)
        return searcher._inner

    for name in NAMES:
        native = "multi-objective" in ALGORITHMS[name].can
        assert isinstance(inner(name), ScalarisedSearcher) != native
    assert not isinstance(inner("optuna", sampler="nsga2"), ScalarisedSearcher)
    assert not ALGORITHMS["optuna"].models_objectives({"sampler": "cmaes"})  # whose library may not be here
    assert not isinstance(make_searcher("hyperopt", SearchSpace.from_dict(SPEC), "a", "max")._inner, ScalarisedSearcher)


def test_objectives_that_cannot_be() -> None:
    space = SearchSpace.from_dict(SPEC)
    with pytest.raises(SearchError, match="give that of the first objective: recall, max"):
        make_searcher("random", space, "tokens", "min", objectives=OBJECTIVES)
    with pytest.raises(SearchError, match=r"^objective \{'metrik': 'recall'\}: metric: Field required; give e\.g\."):
        make_searcher("random", space, "recall", "max", objectives=[{"metrik": "recall"}])
