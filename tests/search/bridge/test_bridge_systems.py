"""The algorithms themselves, in the environments that `raytuner algorithms --install` made."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from raytuner.errors import SearchError
from raytuner.search import ALGORITHMS, make_searcher
from raytuner.search.bridge import environment
from raytuner.search.bridge.environment import python_of
from raytuner.search.bridge.searcher import BridgeSearcher
from raytuner.search.bridge.systems import MAKERS, check_runs
from raytuner.search.guard import Guard
from raytuner.search.task import Task
from raytuner.space import Params, SearchSpace

NAMES = sorted(MAKERS)
FAST = ["nevergrad", "sigopt"]
bridge = pytest.mark.bridge

MIXED = {
    "a": ["x", "y", "z"],
    "n": {"int": [1, 20]},
    "t": {"float": [0, 1]},
    "q": {"float": [0, 1], "step": 0.25},
    "rate": {"float": [1e-4, 1], "log": True},
}
SMALL = {"a": ["x", None], "n": {"int": [1, 64], "step": 63}, "overlap": {"float": [0, 0.2], "step": 0.1}}


def easy(params: Params) -> float:
    return -((params["t"] - 0.3) ** 2) - ((params["n"] - 7) / 20) ** 2 - 0.3 * (params["a"] != "y")


def search(
    name: str,
    spec: dict[str, Any],
    score: Callable[[Params], float],
    *,
    trials: int | None = None,
    flight: int = 1,
    mode: str = "max",
    seed: int = 0,
    points: tuple[Params, ...] = (),
    **options: Any,
) -> tuple[list[Params], Guard]:
    """Run a search; a score of infinity stands for a trial that raised."""
    space = SearchSpace.from_dict(spec)
    raw = [space.encode(point) for point in points]
    inner = MAKERS[name](Task(space, "score", mode, seed, raw, trials), **options)
    guard = Guard(space, inner, "score", mode, trials=trials, seed=seed, patience=2)
    configs: list[Params] = []
    running: dict[str, Params] = {}
    ended = False
    while running or not ended:
        while not ended and len(running) < flight:
            found = guard.suggest(f"t{len(configs)}")
            ended = not isinstance(found, dict)
            if not ended:
                json.dumps(found, allow_nan=False)
                params = running[f"t{len(configs)}"] = space.configuration(found["point"])
                configs.append(params)
        if running:
            trial = next(iter(running))
            value = score(running.pop(trial))
            if value == math.inf:
                guard.on_trial_complete(trial, error=True)
            else:
                guard.on_trial_complete(trial, {"score": value})
    inner.close()
    assert len({repr(params) for params in configs}) == len(configs)
    return configs, guard


@bridge
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_a_mixed_space_with_failures_and_two_trials_at_once(name: str) -> None:
    failed: list[int] = []

    def flaky(params: Params) -> float:
        failed.append(len(failed) % 5)
        return {2: math.inf, 4: math.nan}.get(failed[-1], easy(params))

    first = {"a": "z", "n": 20, "t": 0.9, "q": 0.75, "rate": 0.01}
    configs, guard = search(name, MIXED, flaky, trials=12, flight=2, points=(first,))
    assert len(configs) == 12
    assert guard.ended is None
    assert configs[0] == pytest.approx(first)
    for params in configs:
        assert type(params["n"]) is int
        assert params["q"] in (0, 0.25, 0.5, 0.75, 1)
        assert 1e-4 <= params["rate"] <= 1
    assert len({params["a"] for params in configs}) > 1


@bridge
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_the_seed_fixes_the_sequence(name: str) -> None:
    runs = [search(name, MIXED, easy, trials=9, seed=seed)[0] for seed in (5, 5, 6)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@bridge
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_a_finite_space_ends_exhausted_even_if_all_trials_fail(name: str) -> None:
    for score in (lambda params: float(params["overlap"]), lambda params: math.inf):
        configs, guard = search(name, SMALL, score)
        assert len(configs) == 12
        assert guard.ended == "the space is exhausted: all 12 configurations were tried"


@bridge
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("name", NAMES)
def test_a_choice_that_decides_is_made_more_often(name: str, mode: str) -> None:
    sign = 1 if mode == "max" else -1
    spec = {"a": ["x", "y", "z"], "t": {"float": [0, 1]}}
    trials = 60 if name == "nevergrad" else 18  # its evolution strategies learn from generations

    def decided(params: Params) -> float:
        return sign * (2.0 * (params["a"] == "y") - (params["t"] - 0.3) ** 2)

    configs, _ = search(name, spec, decided, trials=trials, mode=mode)
    later = configs[trials // 2 :]
    assert sum(params["a"] == "y" for params in later) > len(later) / 2  # of those drawn at random it is a third


@bridge
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_child_is_replaced_and_knows_what_was_told(name: str) -> None:
    space = SearchSpace.from_dict(MIXED)
    searcher = MAKERS[name](Task(space, "score", "max", 1))
    assert isinstance(searcher, BridgeSearcher)
    seen = []
    for number in range(9):
        found = searcher.suggest(f"t{number}")
        assert isinstance(found, dict)
        seen.append(repr(found))
        if number == 4:
            assert searcher._child is not None
            os.kill(searcher._child._process.pid, 9)
        searcher.on_trial_complete(f"t{number}", {"score": easy(space.configuration(found))})
    searcher.close()
    assert len(set(seen)) >= 9 - (name == "nevergrad")  # it begins with the middle of the space, whatever it was told


@bridge
@pytest.mark.parametrize("name", NAMES)
def test_an_installed_environment_passes_its_check(name: str) -> None:
    check_runs(name, python_of(name))


@bridge
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", FAST)
def test_many_trials_four_at_once(name: str) -> None:
    configs, _ = search(name, MIXED, easy, trials=40 if name == "sigopt" else 200, flight=4)
    assert max(map(easy, configs)) > -0.05


@bridge
@pytest.mark.timeout(300)
@pytest.mark.parametrize("optimizer", ["OnePlusOne", "TwoPointsDE", "PSO", "TBPSA", "DiscreteOnePlusOne"])
def test_optimisers_of_nevergrad_are_chosen_by_an_option(optimizer: str) -> None:
    first = {"a": "z", "n": 20, "t": 0.9, "q": 0.75, "rate": 0.01}
    configs, _ = search("nevergrad", MIXED, easy, trials=12, flight=2, points=(first,), optimizer=optimizer)
    assert len(configs) == 12


@bridge
@pytest.mark.parametrize("optimizer", ["OnePlusOn", "BayesOptimBO"])
def test_an_optimiser_that_is_not_there_is_the_users_mistake(optimizer: Any) -> None:
    with pytest.raises(SearchError, match=f"^option optimizer is {optimizer!r}"):
        make_searcher("nevergrad", SearchSpace.from_dict(MIXED), "score", "max", optimizer=optimizer)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hebo", {"model": "gpp"}, "option model of search 'hebo' is 'gpp'; it should be 'gp' or 'rf'"),
        ("hebo", {"n_startup_trials": 0}, "option n_startup_trials of search 'hebo' is 0; it should be greater than"),
        ("nevergrad", {"budget": True}, "option budget of search 'nevergrad' is True; it should be a valid integer"),
        ("nevergrad", {"workers": 2.5}, "option workers of search 'nevergrad' is 2.5; it should be a valid integer"),
        ("sigopt", {"timeout": 0}, "option timeout of search 'sigopt' is 0; it should be greater than 0"),
        (
            "dragonfly",
            {"acquisition": "ei-pi"},
            "option acquisition of search 'dragonfly' is 'ei-pi'; it should be one of default, ",
        ),
    ],
)
def test_wrong_options_are_refused_before_anything_is_started(
    name: str, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, name, replace(ALGORITHMS[name], problem_elsewhere=lambda: None))
    with pytest.raises(SearchError) as caught:
        make_searcher(name, SearchSpace.from_dict(MIXED), "score", "max", **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_that_is_not_there_is_named_with_its_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_found", lambda name: None)
    with pytest.raises(SearchError) as caught:
        make_searcher(name, SearchSpace.from_dict(MIXED), "score", "max")
    assert re.fullmatch(
        rf"search '{name}' runs in an environment of its own, which is not there; "
        rf"`raytuner algorithms --install {name}`( \([\d,]+ MB to fetch\))?",
        str(caught.value),
    )
