"""What every search algorithm must do, whatever the space; searchers are driven without starting Ray."""

from __future__ import annotations

import json
import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from raytuner.errors import ConfigError
from raytuner.search import ALGORITHMS, make_searcher
from raytuner.space import Params, SearchSpace

FINITE: dict[str, dict[str, Any]] = {
    "categorical": {"a": ["x", "y", None], "b": [1, True, 1.0], "c": [[1], {"k": 2}]},
    "conditional": {
        "retriever": ["bm25", "vector", "hybrid"],
        "fusion": {"choice": ["rank", "weighted"], "when": {"retriever": "hybrid"}},
        "weight": {"float": [0, 1], "step": 0.25, "when": {"fusion": "weighted"}},
        "top_k": {"int": [2, 3]},
    },
    "stepped": {"overlap": {"float": [0, 0.5], "step": 0.1}, "n": {"int": [1, 64], "step": 63}},
    "log": {"size": {"int": [1, 5], "log": True}, "rate": {"float": [0.1, 0.3], "step": 0.1, "log": True}},
    "one point": {"a": [3]},
    "empty": {},
}
ENDLESS: dict[str, dict[str, Any]] = {
    "mixed": {
        "a": ["x", "y"],
        "n": {"int": [1, 20]},
        "t": {"float": [0, 1]},
        "q": {"float": [0, 1], "step": 0.25},
        "rate": {"float": [1e-4, 1], "log": True, "when": {"a": "y"}},
    },
    "log": {"rate": {"float": [1e-4, 1], "log": True}, "n": {"int": [1, 1000], "log": True}},
}
NAMES = list(ALGORITHMS)
SAMPLERS = [name for name in NAMES if name != "grid"]
MODELS = ["optuna", "hyperopt"]

Score = Callable[[Params], float]


def steady(params: Params) -> float:
    """Some score that depends on nothing but the configuration."""
    return random.Random(repr(params)).random()


class Drive:
    """Runs a search: `flight` trials at once, the one to end next picked at random.

    Attributes:
        configs: What was handed out, in order, with conditions resolved.
    """

    def __init__(
        self,
        name: str,
        space: SearchSpace,
        score: Score = steady,
        *,
        most: int = 400,
        flight: int = 1,
        order: int = 0,
        mode: str = "max",
        **options: Any,
    ) -> None:
        self.searcher: Any = make_searcher(name, space, "score", mode, **options)
        self.configs: list[Params] = []
        self.numbers: list[int] = []
        self.scores: list[float] = []
        rng, running, ended = random.Random(order), {}, False
        while running or not ended:
            while not ended and len(running) < flight:
                found = self.searcher.suggest(f"t{len(self.configs)}") if len(self.configs) < most else "FINISHED"
                ended = not isinstance(found, dict)
                if not ended:
                    json.dumps(found, allow_nan=False)  # no NumPy scalars, no domains
                    running[f"t{len(self.configs)}"] = params = space.resolve(space.decode(found["point"]))
                    self.configs.append(params)
                    self.numbers.append(found["number"])
            if running:
                trial = rng.choice(list(running))
                self.finish(trial, score(running.pop(trial)))

    def finish(self, trial: str, score: float) -> None:
        if score == math.inf:  # stands for a trial that raised
            self.searcher.on_trial_complete(trial, error=True)
        else:
            self.scores.append(score)
            self.searcher.on_trial_complete(trial, {"score": score, "done": True})


def check_distinct(configs: list[Params]) -> None:
    assert len({repr(params) for params in configs}) == len(configs)


@pytest.mark.parametrize("flight", [1, 2])
@pytest.mark.parametrize("spec", FINITE.values(), ids=FINITE.keys())
@pytest.mark.parametrize("name", NAMES)
def test_finite_spaces_end_exhausted(name: str, spec: dict[str, Any], flight: int) -> None:
    space = SearchSpace.from_dict(spec)
    drive = Drive(name, space, flight=flight)
    check_distinct(drive.configs)
    assert len(drive.configs) == space.size()
    assert drive.numbers == list(range(1, len(drive.numbers) + 1))
    assert drive.searcher.ended == f"the space is exhausted: all {space.size()} configurations were tried"


@pytest.mark.parametrize("spec", ENDLESS.values(), ids=ENDLESS.keys())
@pytest.mark.parametrize("name", SAMPLERS)
def test_endless_spaces_end_at_the_cap_without_repeats(name: str, spec: dict[str, Any]) -> None:
    drive = Drive(name, SearchSpace.from_dict(spec), trials=25, flight=2)
    check_distinct(drive.configs)
    assert len(drive.configs) == 25
    assert drive.searcher.ended is None


@pytest.mark.parametrize("name", NAMES)
def test_the_cap_on_trials_is_kept(name: str) -> None:
    assert len(Drive(name, SearchSpace.from_dict(FINITE["stepped"]), trials=7, flight=2).configs) == 7


@pytest.mark.parametrize("name", NAMES)
def test_what_is_handed_out_is_plain_and_on_its_grid(name: str) -> None:
    for params in Drive(name, SearchSpace.from_dict(FINITE["stepped"])).configs:
        assert (type(params["overlap"]), type(params["n"])) == (float, int)
        assert params["overlap"] in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
        assert params["n"] in [1, 64]


def small_enough(params: Params) -> None:
    if params["overlap"] > 0.25 and params["n"] > 30:
        raise ConfigError("too large")


@pytest.mark.parametrize("flight", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_configurations_that_break_the_rule_are_left_out(name: str, flight: int) -> None:
    space = SearchSpace.from_dict(FINITE["stepped"], small_enough)
    drive = Drive(name, space, flight=flight)
    check_distinct(drive.configs)
    assert len(drive.configs) == space.size() == 9
    assert "all 9 " in drive.searcher.ended
    for params in drive.configs:
        small_enough(params)
    assert 0 <= drive.searcher.rejected_invalid <= 3
    assert (drive.searcher.rejected_invalid > 0) == (name != "grid")  # a grid never suggests them


@pytest.mark.parametrize("name", NAMES)
def test_given_points_come_first_and_once(name: str) -> None:
    space = SearchSpace.from_dict(FINITE["conditional"])
    wanted = [
        {"fusion": "weighted", "retriever": "hybrid", "top_k": 3, "weight": 0.75},
        {"retriever": "vector", "top_k": 2},
        {"fusion": "rank", "retriever": "hybrid", "top_k": 3},
    ]
    points = [space.encode(params) for params in [*wanted, wanted[1]]]
    drive = Drive(name, space, points=points)
    assert drive.configs[:3] == wanted
    check_distinct(drive.configs)
    assert len(drive.configs) == space.size()


@pytest.mark.parametrize("name", SAMPLERS)
def test_given_points_come_first_in_an_endless_space(name: str) -> None:
    space = SearchSpace.from_dict(ENDLESS["mixed"])
    wanted = {"a": "y", "n": 7, "q": 0.75, "rate": 0.01, "t": 0.5}
    drive = Drive(name, space, points=[space.default(), space.encode(wanted)], trials=4)
    assert drive.configs[0] == {"a": "x", "n": 1, "q": 0.0, "t": 0.0}
    assert drive.configs[1] == pytest.approx(wanted)


def test_a_grid_is_in_order() -> None:
    space = SearchSpace.from_dict({"b": [2, 1], "a": ["x", "y"]})
    assert Drive("grid", space, flight=3).configs == [
        {"a": "x", "b": 2},
        {"a": "y", "b": 2},
        {"a": "x", "b": 1},
        {"a": "y", "b": 1},
    ]


@pytest.mark.parametrize("bad", [math.inf, math.nan], ids=["raised", "nan"])
@pytest.mark.parametrize("name", NAMES)
def test_failed_trials_do_not_stall_a_search(name: str, bad: float) -> None:
    def flaky(params: Params) -> float:
        return bad if steady(params) < 0.2 else steady(params)

    space = SearchSpace.from_dict(FINITE["conditional"])
    drive = Drive(name, space, flaky, flight=2)
    check_distinct(drive.configs)
    assert len(drive.configs) == space.size()


@pytest.mark.parametrize("name", NAMES)
def test_a_search_ends_even_if_all_trials_fail(name: str) -> None:
    space = SearchSpace.from_dict(FINITE["stepped"])
    assert len(Drive(name, space, lambda params: math.inf).configs) == space.size()


@pytest.mark.parametrize("flight", [2, 4])
@pytest.mark.parametrize("name", ["grid", "random"])
def test_grid_and_random_depend_on_nothing_but_the_seed(name: str, flight: int) -> None:
    spec = FINITE["conditional"]
    one = Drive(name, SearchSpace.from_dict(spec), seed=3)
    other = Drive(name, SearchSpace.from_dict(spec), lambda params: math.nan, seed=3, flight=flight, order=7)
    assert one.configs == other.configs


@pytest.mark.parametrize("spec", [FINITE["conditional"], ENDLESS["mixed"]], ids=["finite", "endless"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_seed_fixes_the_sequence(name: str, spec: dict[str, Any]) -> None:
    runs = [Drive(name, SearchSpace.from_dict(spec), seed=seed, trials=14).configs for seed in (5, 5, 6)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_random_search_draws_without_replacement_whatever_the_weights() -> None:
    firsts = [Drive("random", SearchSpace.from_dict({"a": [1, 2, 3]}), seed=seed).configs for seed in range(300)]
    counts = [sum(configs[position]["a"] == 1 for configs in firsts) for position in range(3)]
    assert all(70 <= count <= 130 for count in counts)
    assert all(sorted(params["a"] for params in configs) == [1, 2, 3] for configs in firsts)


def easy(params: Params) -> float:
    return -((params["t"] - 0.3) ** 2) - ((params["n"] - 7) / 20) ** 2 - 0.3 * (params["a"] != "y")


@pytest.fixture(scope="module")
def random_best() -> float:
    """What random search finds of `easy` in 40 trials, the median of 15 seeds."""
    return statistics.median(best("random", "max", seed) for seed in range(15))


def best(name: str, mode: str, seed: int) -> float:
    space = SearchSpace.from_dict({"a": ["x", "y", "z"], "n": {"int": [1, 20]}, "t": {"float": [0, 1]}})
    sign = 1 if mode == "max" else -1
    drive = Drive(name, space, lambda params: sign * easy(params), mode=mode, seed=seed, trials=40)
    return max(sign * score for score in drive.scores)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("name", MODELS)
def test_models_find_at_least_what_random_search_finds(name: str, mode: str, random_best: float) -> None:
    assert statistics.median(best(name, mode, seed) for seed in range(3)) >= random_best


@pytest.mark.parametrize("name", ["grid", "random"])
def test_three_hundred_suggestions_are_fast(name: str) -> None:
    space = SearchSpace.from_dict({"a": list(range(20)), "b": list(range(16)), "c": {"fixed": 1, "when": {"a": 3}}})
    started = time.process_time()
    assert len(Drive(name, space, trials=300, flight=2).configs) == 300
    assert time.process_time() - started < 2
