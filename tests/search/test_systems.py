"""The algorithms of other libraries: what holds for each beside what all must do."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from raytuner.errors import SearchError, SpaceError
from raytuner.search import ALGORITHMS, check_search, make_searcher
from raytuner.search.algorithm import Library
from raytuner.space import SearchSpace

SEARCH, AX, OPTUNA_GP = (
    [getattr(pytest.mark, extra), pytest.mark.timeout(600)] for extra in ("search", "ax", "optuna-gp")
)
LEARNING: list[Any] = [
    ("optuna", {"sampler": "nsga2"}),
    pytest.param("optuna", {"sampler": "cmaes"}, marks=SEARCH),
    pytest.param("bayesopt", {}, marks=SEARCH),
    pytest.param("bohb", {}, marks=SEARCH),
    pytest.param("flaml", {"variant": "blendsearch"}, marks=SEARCH),
    pytest.param("flaml", {"variant": "cfo"}, marks=SEARCH),
    pytest.param("smac", {}, marks=SEARCH),
    pytest.param("skopt", {"model": "gp"}, marks=SEARCH),
    pytest.param("skopt", {"model": "rf"}, marks=SEARCH),
    pytest.param("skopt", {"model": "et"}, marks=SEARCH),
    pytest.param("ax", {}, marks=AX),
    pytest.param("optuna", {"sampler": "gp"}, marks=OPTUNA_GP),
]
OTHERS = [("sobol", {}), ("optuna", {"sampler": "brute_force"})]

DRIVE = """
import json, sys
from raytuner.search import make_searcher
from raytuner.space import SearchSpace

name, options = sys.argv[1], json.loads(sys.argv[2])
space = SearchSpace.from_dict({
    "a: {x}%": ["x", None, True],
    "size": [256, 64, 128],
    "q": {"float": [0, 1], "step": 0.25},
    "t": {"float": [0, 1], "when": {"a: {x}%": "x"}},
    "rate": {"float": [1e-4, 1], "log": True},
    "n": {"int": [1, 100], "log": True},
    "k": {"int": [1, 9]},
    "big": {"int": [0, 10**12]},
})
if options.get("sampler") == "brute_force":
    space = SearchSpace.from_dict({"a": ["x", None, True], "t": {"int": [1, 9], "when": {"a": "x"}}, "k": [1, 2]})
searcher = make_searcher(name, space, "score", "max", seed=1, **options)
for number in range(16):
    given = searcher.suggest(str(number))
    params = space.configuration(given["point"])
    if number % 5 == 2:
        searcher.on_trial_complete(str(number), error=True)
    else:
        searcher.on_trial_complete(str(number), {"score": -params["k"] / 3 + params.get("t", 0)})
sys.stdout.write("done")
"""


@pytest.mark.parametrize(("name", "options"), [*LEARNING, *OTHERS])
def test_a_search_is_silent_and_leaves_nothing_behind(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRIVE, name, json.dumps(options)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "options"), LEARNING)
def test_what_an_algorithm_learns_moves_what_it_suggests(name: str, options: dict[str, Any]) -> None:
    spec = {"t": {"float": [0, 1]}, "u": {"float": [0, 1]}}
    trials = 14 if name == "ax" else 24  # it takes seconds for each suggestion
    late = []
    for target in (0.1, 0.9):
        searcher = make_searcher(name, SearchSpace.from_dict(spec), "score", "max", seed=2, **options)
        found = []
        for number in range(trials):
            point = searcher.suggest(str(number))["point"]
            found.append(point["t"])
            searcher.on_trial_complete(str(number), {"score": -((point["t"] - target) ** 2)})
        late.append(statistics.median(found[trials // 2 :]))
    assert late[0] < late[1]


def test_normal_distributions_are_refused_with_the_algorithms_that_take_them() -> None:
    space = SearchSpace.from_dict({"a": [1, 2], "z": tune.randn(0, 1)})
    for name in ("ax", "bayesopt", "bohb", "flaml", "smac", "skopt"):
        found = ALGORITHMS[name]
        refusal = found.refusal(space)
        assert refusal == ("z", "has no normal distribution; give bounds")
    with pytest.raises(SpaceError, match=r"z: optuna has no normal distribution; .* --search random or sobol or "):
        check_search("optuna", space)


@pytest.mark.parametrize("name", ["ax", "bayesopt", "bohb", "flaml", "smac", "skopt"])
def test_a_missing_or_broken_library_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    library = ALGORITHMS[name].library
    assert library is not None
    space = SearchSpace.from_dict({"a": [1, 2]})
    monkeypatch.setattr(Library, "installed", property(lambda self: None))
    words = rf"'{name}' needs the package {library.package}; pip install 'raytuner\[{name}\]' \(about \d+ MB\)"
    with pytest.raises(SearchError, match=words):
        make_searcher(name, space, "score", "max")
    monkeypatch.setattr(Library, "installed", property(lambda self: "0.0.1"))
    words = rf"'{name}' does not work with {library.package} 0.0.1, it needs .*; pip install 'raytuner\[{name}\]'"
    with pytest.raises(SearchError, match=words):
        make_searcher(name, space, "score", "max")


def test_the_extras_bring_the_versions_that_work() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    needed = [found.library for found in ALGORITHMS.values() if found.library is not None]
    needed += [library for found in ALGORITHMS.values() for library in found.libraries.values()]
    for library in needed:
        assert f'"{library.package}{library.versions}"' in project
        if library.extra:
            line = re.search(rf"^{library.extra} = .*$", project, re.MULTILINE)
            assert line is not None
            assert f'"{library.package}{library.versions}"' in line[0]


@pytest.mark.search
def test_bohb_learns_from_partial_results() -> None:
    """Most trials are stopped after a ninth of the questions: what is good is known from these alone."""
    space = SearchSpace.from_dict({"a": {"float": [0, 1]}})
    late = []
    for is_told in (False, True):
        searcher = make_searcher("bohb", space, "score", "max", 0, trials=60)
        points = []
        for number in range(60):
            points.append(searcher.suggest(str(number))["point"]["a"])
            if is_told:
                searcher.on_partial(str(number), 1 / 9, {"score": -abs(points[-1] - 0.7)})
            searcher.on_trial_complete(str(number), {"score": 0.0, "stopped": True})
        late.append(sum(abs(point - 0.7) < 0.15 for point in points[20:]))
    assert late[0] < 20 < late[1]
