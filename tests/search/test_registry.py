"""Search algorithms by name, and what is said about wrong ones."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from ray import tune

from raytuner.errors import ConfigError, SearchError, SpaceError
from raytuner.search import ALGORITHMS, Algorithm, algorithm, make_searcher, registry
from raytuner.space import Params, SearchSpace

SPACE = SearchSpace.from_dict({"a": [1, 2], "b": {"int": [1, 9]}})


def test_the_four_algorithms() -> None:
    assert list(ALGORITHMS) == ["grid", "random", "optuna", "hyperopt"]
    assert all(found.installed and found.summary and name == found.name for name, found in ALGORITHMS.items())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("optunna", {}, "'optunna'; did you mean 'optuna'"),
        ("Grid", {}, "'Grid'; did you mean 'grid'.*Valid: .*random"),
        ("bayes", {}, "Valid: grid, hyperopt, optuna, random"),
        ("optuna", {"sampler": 1}, "optuna.*no option 'sampler'"),
        ("grid", {"seeds": 1}, "grid.*no option 'seeds'"),
        ("grid", {"mode": "maximum"}, "mode is 'maximum'; it must be max or min"),
        ("random", {"mode": None}, "max or min"),
        ("random", {"trials": 0}, "trials is 0; it must be at least 1"),
        ("random", {"trials": -1}, "at least 1"),
    ],
)
def test_wrong_names_options_and_modes(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SearchError, match=words):
        make_searcher(name, SPACE, "score", **{"mode": "max", **options})


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.ALGORITHMS, "far", Algorithm("far", "", "no_such_package", registry._random))
    with pytest.raises(SearchError, match=r"'far' needs.*pip install no_such_package"):
        algorithm("far")


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        ("grid", {"float": [0, 1]}, r"p: grid needs countable.*step, e.g. \{float.*or use --search random"),
        ("grid", {"float": [0.1, 1], "log": True}, "p: grid needs countable"),
        ("grid", tune.uniform(0, 1), "p: grid needs countable"),
        ("grid", tune.qrandn(0, 1, 0.5), "p: grid needs countable"),
        ("optuna", tune.randn(0, 1), "p: optuna has no normal distribution; give bounds, or use"),
        ("optuna", tune.qrandn(0, 1, 0.5), "p: optuna has no normal distribution"),
    ],
)
def test_spaces_that_an_algorithm_cannot_express(name: str, spec: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        make_searcher(name, SearchSpace.from_dict({"a": [1, 2], "p": spec}), "score", "max")


def test_optuna_refuses_a_slash_in_a_name() -> None:
    with pytest.raises(SpaceError, match=r"a/b: .*rename it"):
        make_searcher("optuna", SearchSpace.from_dict({"a/b": [1, 2]}), "score", "max")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_space_without_a_valid_configuration(name: str) -> None:
    def never(params: Params) -> None:
        raise ConfigError("too large")

    with pytest.raises(SpaceError, match=r"no configuration.*too large"):
        make_searcher(name, SearchSpace.from_dict({"a": [1, 2]}, never), "score", "max")


def test_looking_up_an_algorithm_imports_no_library() -> None:
    code = (
        "import sys; from raytuner.search import algorithm; from raytuner.space import SearchSpace\n"
        "algorithm('optuna'); SearchSpace.from_dict({'a': [1]})\n"
        "assert not {'ray', 'optuna', 'hyperopt', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(("name", "fits"), [("grid", False), ("random", True), ("optuna", True), ("hyperopt", True)])
def test_whether_an_algorithm_fits_a_space_can_be_asked_beforehand(name: str, fits: bool) -> None:
    space = SearchSpace.from_dict({"p": {"float": [0, 1]}})
    if fits:
        algorithm(name).check(space)
    else:
        with pytest.raises(SpaceError, match=r"p: grid needs countable.*step"):
            algorithm(name).check(space)
