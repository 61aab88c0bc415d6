"""Search algorithms by name, and what is said about wrong ones."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest
from ray import tune

from raytuner.errors import ConfigError, SearchError, SpaceError
from raytuner.search import (
    ALGORITHMS,
    Algorithm,
    Library,
    Task,
    algorithm,
    check_search,
    make_searcher,
    registry,
    systems,
)
from raytuner.search.table import table
from raytuner.space import Params, SearchSpace

SPACE = SearchSpace.from_dict({"a": [1, 2], "b": {"int": [1, 9]}})


def test_the_algorithms_that_need_nothing_more() -> None:
    for name in ("grid", "random", "sobol", "optuna", "hyperopt"):
        assert ALGORITHMS[name].problem() is None
        assert ALGORITHMS[name].summary and ALGORITHMS[name].name == name


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("optunna", {}, "'optunna'; did you mean 'optuna'"),
        ("Grid", {}, "'Grid'; did you mean 'grid'.*Valid: .*random"),
        ("bayes", {}, "Valid: .*grid, .*hyperopt, .*optuna, .*random"),
        ("optuna", {"samplr": 1}, "optuna.*no option 'samplr'; did you mean 'sampler'"),
        ("optuna", {"sampler": 1}, "option sampler of search 'optuna' is 1; it should be 'tpe', 'gp'"),
        ("optuna", {"n_startup_trials": -1}, "n_startup_trials of search 'optuna' is -1; .*greater than or equal to 0"),
        ("optuna", {"n_startup_trials": "3"}, "n_startup_trials of search 'optuna' is '3'; .*integer"),
        ("grid", {"seeds": 1}, "grid.*no option 'seeds'; it takes none"),
        ("grid", {"mode": "maximum"}, "mode is 'maximum'; it must be max or min"),
        ("random", {"mode": None}, "max or min"),
        ("random", {"trials": 0}, "trials is 0; it must be a whole number, at least 1"),
        ("random", {"trials": -1}, "at least 1"),
        ("random", {"trials": "5"}, "trials is '5'; it must be a whole number"),
        ("random", {"trials": True}, "trials is True"),
        ("optuna", {"seed": -1}, "seed is -1; it must be a whole number, from 0 to 4294967295"),
        ("auto", {"seed": 2**32}, "seed is 4294967296"),
        (["optuna"], {}, r"search algorithm \['optuna'\] is no text; Valid: "),
        ("optuna", {"objectives": [{"metric": "score", "mod": "max"}]}, r"^objective .*mod: Extra inputs.*give e\.g\."),
        ("optuna", {"objectives": [{"metric": "score", "mode": "maximize"}]}, "mode: Input should be 'max' or 'min'"),
        ("optuna", {"objectives": "score"}, "^objective 's': "),
        ("optuna", {"sampler": "nsga2", "n_startup_trials": 3}, "does nothing with sampler nsga2; remove it"),
        ("optuna", {"sampler": "brute_force", "n_startup_trials": 3}, "n_startup_trials of search 'optuna' does noth"),
    ],
)
def test_wrong_names_options_and_modes(name: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SearchError, match=words) as caught:
        make_searcher(name, SPACE, "score", **{"mode": "max", **options})
    assert "\n" not in str(caught.value)


def test_what_a_library_says_to_the_task_is_one_line() -> None:
    def make(task: Task) -> Any:
        raise ValueError("illegal settings\nin the second line too")

    found = Algorithm("mine", "", make)
    with pytest.raises(SearchError) as caught:
        make_searcher(found, SPACE, "score", "max")
    assert str(caught.value) == (
        "search 'mine' cannot search this space with these options (ValueError: illegal settings); use another search"
    )


def test_numbers_beyond_all_floats_are_choices_of_auto() -> None:
    space = SearchSpace.from_dict({"a": [1, 2, 10**400], "b": ["x", "y"]})
    assert make_searcher("auto", space, "score", "max").suggest("t1")["number"] == 1


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("no_such_module", "no-such-package", ">=2", "far", 7)
    monkeypatch.setitem(ALGORITHMS, "far", Algorithm("far", "", systems.random_search, library))
    with pytest.raises(SearchError, match=r"'far' needs the package no-such-package; pip install 'raytuner\[far\]' "):
        make_searcher("far", SPACE, "score", "max")


def test_a_version_that_is_known_to_be_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("optuna", "optuna", ">=999")
    monkeypatch.setitem(ALGORITHMS, "far", Algorithm("far", "", systems.random_search, library))
    with pytest.raises(SearchError, match=r"with optuna [0-9.]+, it needs >=999; pip install 'optuna>=999'"):
        make_searcher("far", SPACE, "score", "max")


def test_an_option_may_need_a_library_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = {("sampler", "gp"): Library("no_such_module", "torch", "", "optuna-gp")}
    monkeypatch.setitem(ALGORITHMS, "optuna", replace(ALGORITHMS["optuna"], libraries=choice))
    make_searcher("optuna", SPACE, "score", "max", sampler="tpe")
    with pytest.raises(SearchError, match=r"needs the package torch; pip install 'raytuner\[optuna-gp\]'"):
        make_searcher("optuna", SPACE, "score", "max", sampler="gp")


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


def test_a_space_that_an_algorithm_cannot_express_with_an_option() -> None:
    space = SearchSpace.from_dict({"a": [1, 2], "p": {"float": [0, 1]}})
    check_search("optuna", space, {"sampler": "tpe"})
    with pytest.raises(SpaceError, match=r"p: optuna with sampler brute_force needs .*, or use --search random"):
        check_search("optuna", space, {"sampler": "brute_force"})


@pytest.mark.parametrize("name", ["grid", "random", "sobol", "optuna", "hyperopt"])
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
        check_search(name, space)
    else:
        with pytest.raises(SpaceError, match=r"p: grid needs countable.*step"):
            check_search(name, space)


def test_other_packages_add_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        EntryPoint("halton", "tests_own_search:HALTON", registry.GROUP),
        EntryPoint("far", "tests_own_search:OTHER", registry.GROUP),
        EntryPoint("gone", "tests_own_search:GONE", registry.GROUP),
        EntryPoint("grid", "tests_own_search:HALTON", registry.GROUP),  # no one replaces what is built in
    ]
    module = ModuleType("tests_own_search")
    module.HALTON = Algorithm("halton", "quasi-random", systems.random_search)  # type: ignore[attr-defined]
    module.OTHER = "something else"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tests_own_search", module)
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    monkeypatch.setattr(registry, "_others", registry._others.__wrapped__)
    assert registry.names() == [*ALGORITHMS, "halton", "far", "gone"]
    assert make_searcher("halton", SPACE, "score", "max").suggest("t1")["number"] == 1
    assert algorithm("grid") is ALGORITHMS["grid"]
    with pytest.raises(SearchError, match=r"'far': tests_own_search:OTHER is no raytuner.search.Algorithm"):
        algorithm("far")
    with pytest.raises(SearchError, match=r"'gone': tests_own_search:GONE cannot be imported \(AttributeError"):
        algorithm("gone")
    with pytest.raises(SearchError, match=r"'haltn'; did you mean 'halton'"):
        algorithm("haltn")
    listed = table()
    assert "\nhalton     quasi-random\n" in listed
    assert "\ngone       search 'gone': tests_own_search:GONE cannot be imported (AttributeError" in listed
    assert "\nsampler cmaes: " in listed.replace(f"{'':11}", "")
