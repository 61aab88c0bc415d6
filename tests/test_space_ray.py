"""Ray's domains: taken with the support that Ray itself draws from, and given back to searchers."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from packaging.version import Version
from ray import __version__ as ray_version
from ray import tune
from ray.tune.search import sample

from raytuner.errors import SpaceError
from raytuner.space import Choice, Normal, Range, SearchSpace
from raytuner.space_ray import from_ray, to_ray

FINITE = {
    "choice": (tune.choice(["a", 1, None, 2.5]), ["a", 1, None, 2.5]),
    "choice of lists": (tune.choice([[1], [2, 3]]), [[1], [2, 3]]),
    "choice of numpy": (tune.choice(np.array([1, 2])), [1, 2]),
    "quniform": (tune.quniform(0.1, 0.5, 0.1), [0.1, 0.2, 0.3, 0.4, 0.5]),
    "quniform below 0": (tune.quniform(-1, 1, 0.5), [-1.0, -0.5, 0.0, 0.5, 1.0]),
    "quniform whole": (tune.quniform(0, 3, 1), [0.0, 1.0, 2.0, 3.0]),
    "qloguniform": (tune.qloguniform(0.2, 1, 0.2), [0.2, 0.4, 0.6, 0.8, 1.0]),
    "randint": (tune.randint(1, 5), [1, 2, 3, 4]),
    "randint numpy": (tune.randint(np.int64(1), np.int64(4)), [1, 2, 3]),
    "randint of one": (tune.randint(3, 4), [3]),
    "qrandint": (tune.qrandint(2, 8, 2), [2, 4, 6, 8]),
    "qrandint inwards": (tune.qrandint(1, 10, 3), [3, 6, 9]),
    "qrandint of one": (tune.qrandint(2, 5, 3), [3]),
    "qrandint by 1": (tune.qrandint(1, 5, 1), [1, 2, 3, 4]),
    "lograndint": (tune.lograndint(1, 6), [1, 2, 3, 4, 5]),
    "qlograndint": (tune.qlograndint(2, 10, 2), [2, 4, 6, 8, 10]),
    "qlograndint inwards": (tune.qlograndint(3, 11, 2), [4, 6, 8, 10]),
    "qlograndint by 1": (tune.qlograndint(1, 6, 1), [1, 2, 3, 4, 5]),
}


# Ray before 2.60 rounded some quantised domains to values that are not on their grid, or could not draw from them.
RAY_QUANTISES = Version(ray_version) >= Version("2.60")
DRAWN_BESIDE_THE_GRID = {"quniform whole", "qrandint of one", "qlograndint", "qlograndint inwards"}


def draws(domain: Any) -> list[Any]:
    np.random.seed(0)
    return [domain.sample() for _ in range(200)]


def values_of(domain: Any) -> list[Any]:
    space = SearchSpace.from_dict({"p": domain})
    return [space.decode(raw)["p"] for raw in space.points()]


@pytest.mark.parametrize("name", FINITE)
def test_countable_domains_have_the_values_that_ray_draws(name: str) -> None:
    domain, values = FINITE[name]
    assert [repr(value) for value in values_of(domain)] == [repr(value) for value in values]
    if name in DRAWN_BESIDE_THE_GRID and not RAY_QUANTISES:
        return
    drawn = draws(domain)
    assert all(any(alike(value, other) for other in values) for value in drawn)
    assert all(any(alike(value, other) for other in drawn) for value in values)


def alike(a: Any, b: Any) -> bool:
    """Equal but for the rounding of Ray's ``3 * 0.1``."""
    both = isinstance(a, float) and isinstance(b, float)
    return math.isclose(a, b, abs_tol=1e-12) if both else bool(a == b)


def test_grid_search_is_a_list() -> None:
    assert values_of(tune.grid_search([3, "x"])) == [3, "x"]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        (tune.uniform(0, 2), Range(low=0, high=2)),
        (tune.uniform(-1.5, 0.5), Range(low=-1.5, high=0.5)),
        (tune.loguniform(1e-4, 1e-1), Range(low=1e-4, high=1e-1, log=True)),
        (tune.randn(3, 2), Normal(mean=3, sd=2)),
        (tune.qrandn(3, 2, 0.5), Normal(mean=3, sd=2, step=0.5)),
        *([(tune.qrandn(0, 2, 1), Normal(mean=0, sd=2, step=1))] if RAY_QUANTISES else []),
    ],
)
def test_continuous_domains_contain_what_ray_draws(domain: Any, expected: Any) -> None:
    found = from_ray(domain)
    assert found == expected
    for value in draws(domain):
        kept = found.decode(found.encode(value))
        assert type(kept) is float
        assert kept == pytest.approx(value)


@pytest.mark.parametrize("domain", [tune.randn(3, 2), tune.qrandn(3, 2, 0.5)])
def test_normal_domains_draw_as_ray_does(domain: Any) -> None:
    found, rng = from_ray(domain), random.Random(0)
    ours = [found.decode(found.draw(rng)) for _ in range(2000)]
    assert np.mean(ours) == pytest.approx(3, abs=0.2)
    assert np.std(ours) == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize(("domain", "value"), [(tune.uniform(2, 2), 2.0), (tune.quniform(1, 1, 0.5), 1.0)])
def test_a_domain_of_one_value_is_a_choice(domain: Any, value: float) -> None:
    assert [repr(found) for found in values_of(domain)] == [repr(value)]


class Odd(sample.Domain):
    def get_sampler(self) -> None:
        return None


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        (tune.sample_from(lambda config: config["a"]), "Function.*cannot be searched; name its values.*when"),
        (Odd(), "Odd.*cannot be searched"),
        (tune.choice([tune.uniform(0, 1), 2]), "Ray domain inside a choice.*parameter of its own with `when"),
        (tune.choice([{"a": {"b": [tune.randint(1, 5)]}}]), "inside a choice"),
        ([1, {"k": tune.grid_search([1, 2])}], "inside a choice"),
        ({"fixed": tune.uniform(0, 1)}, "inside a choice"),
        (tune.choice([]), "empty list"),
        (tune.qrandint(1, 2, 3), "no multiple of 3 in .1, 2.; widen"),
        (tune.randint(5, 5), "no multiple of 1 in"),
        (tune.uniform(3, 1), "3, 1"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_the_fix(domain: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=f"^p: .*{words}"):
        SearchSpace.from_dict({"p": domain})


SPECS: dict[str, Any] = {
    "plain choice": ["a", 1, None],
    "labelled choice": [1, True, [2]],
    "int": {"int": [1, 9], "step": 2},
    "log int": {"int": [1, 100], "log": True},
    "log int with steps": {"int": [2, 100], "log": True, "step": 7},
    "float": {"float": [-1, 1]},
    "stepped float": {"float": [0, 1], "step": 0.25},
    "log float": {"float": [0.001, 1], "log": True},
    "stepped log float": {"float": [0.1, 1], "step": 0.1, "log": True},
    "when": {"choice": ["x", "y"], "when": {"plain choice": 1}},
    "normal": tune.randn(0, 1),
}


def test_searchers_draw_what_the_space_can_decode() -> None:
    space = SearchSpace.from_dict(SPECS)
    drawn = {name: draws(domain) for name, domain in to_ray(space).items()}
    assert list(drawn) == list(SPECS)
    for raw in (dict(zip(drawn, values, strict=True)) for values in zip(*drawn.values(), strict=True)):
        decoded = space.decode(raw)
        for name in ("int", "log int", "float", "stepped float", "log float"):
            assert space.parameters[name].exact(decoded[name]) == pytest.approx(decoded[name])


@pytest.mark.parametrize("name", [name for name in SPECS if name not in ("float", "log float", "normal", "when")])
def test_searchers_can_draw_every_value(name: str) -> None:
    space = SearchSpace.from_dict({name: SPECS[name]})
    rays = to_ray(space)[name]
    np.random.seed(1)
    drawn = {space.key({name: rays.sample()}) for _ in range(3000)}
    points = {space.key(raw) for raw in space.points()}
    assert drawn <= points
    assert len(drawn) > 0.8 * len(points)


def test_there_and_back() -> None:
    spaces = {name: SearchSpace.from_dict({name: spec}) for name, spec in SPECS.items() if name != "when"}
    for name, space in spaces.items():
        back = from_ray(to_ray(space)[name])
        assert isinstance(back, (Choice, Range, Normal))
        assert back.size() in (space.size(), None)  # Ray has no steps on its log scale


def test_no_domain_is_left_in_any_point() -> None:
    space = SearchSpace.from_dict({"a": tune.choice([1, 2]), "b": tune.grid_search([[1], {"k": 2}])})
    for raw, value in itertools.product(space.points(), "ab"):
        assert not isinstance(space.decode(raw)[value], sample.Domain)
