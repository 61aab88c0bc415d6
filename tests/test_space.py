"""The search space: values, conditions, points, keys and the default."""

from __future__ import annotations

import copy
import itertools
import pickle
import random
import time
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from raytuner.errors import ConfigError, SpaceError
from raytuner.space import Choice, Normal, Params, Range, SearchSpace
from raytuner.space_parameters import UNSET, with_when

VALUES: list[Any] = [1, True, 1.0, None, 0, False, "a", "1", 2.5, {"k": 1}, {"k": True}, [1], [True], [1.0], [], ["a"]]
NAMES = "dbaec"
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def choices(draw: st.DrawFn) -> dict[str, Any]:
    picked = draw(st.lists(st.sampled_from(range(len(VALUES))), min_size=1, max_size=4, unique=True))
    spec: dict[str, Any] = {"choice": [copy.deepcopy(VALUES[index]) for index in picked]}
    return with_default(draw, spec, spec["choice"])


@st.composite
def integers(draw: st.DrawFn) -> dict[str, Any]:
    low, width = draw(st.integers(-3, 5)), draw(st.integers(1, 5))
    spec: dict[str, Any] = {"int": [low, low + width], "log": low > 0 and draw(st.booleans())}
    step = draw(st.integers(1, width))
    if draw(st.booleans()):
        spec["step"] = step
    return with_default(draw, spec, range(low, low + width + 1, spec.get("step", 1)))


@st.composite
def stepped_floats(draw: st.DrawFn) -> dict[str, Any]:
    step = draw(st.sampled_from([0.1, 0.25, 0.3, 1, 1e-14, 1 / 3]))
    low = draw(st.sampled_from([0, 0.1, 0.5, 1])) if step != 1e-14 else 0
    count = draw(st.integers(1, 4))
    spec = {"float": [low, low + count * step], "step": step, "log": low > 0 and draw(st.booleans())}
    return with_default(draw, spec, [low + index * step for index in range(count + 1)])


@st.composite
def floats(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.sampled_from([-1, 0.001, 0, 2]))
    spec = {"float": [low, low + draw(st.floats(0.01, 10))], "log": low > 0 and draw(st.booleans())}
    return with_default(draw, spec, spec["float"])


def with_default(draw: st.DrawFn, spec: dict[str, Any], values: Any) -> dict[str, Any]:
    return {**spec, "default": draw(st.sampled_from(list(values)))} if draw(st.booleans()) else spec


@st.composite
def specs(draw: st.DrawFn, finite: bool = False) -> dict[str, Any]:
    kinds = [choices(), integers(), stepped_floats(), *([] if finite else [floats()])]
    found: dict[str, Any] = {}
    for name in NAMES[: draw(st.integers(0, 4))]:
        spec = draw(st.one_of(kinds))
        if found and draw(st.booleans()):
            parent = draw(st.sampled_from(list(found)))
            options = found[parent].get("choice") or [found[parent].get("int", found[parent].get("float"))[0]]
            picked = draw(st.lists(st.sampled_from(range(len(options))), min_size=1, max_size=2, unique=True))
            spec["when"] = {parent: [options[index] for index in picked]}
        found[name] = spec
    return {name: found[name] for name in draw(st.permutations(list(found)))}


def rule(params: Params) -> None:
    if zlib.crc32(repr(params).encode()) % 3 == 0:
        raise ConfigError("a third of all configurations cannot run")


constraints = st.sampled_from([None, rule])


def check_value(value: Any, spec: dict[str, Any]) -> None:
    """The value is one that the spec allows, of the right type."""
    if "choice" in spec:
        assert repr(value) in [repr(candidate) for candidate in spec["choice"]]
        return
    kind = "int" if "int" in spec else "float"
    low, high = spec[kind]
    assert type(value).__name__ == kind
    assert low <= value <= high + 1e-12 * abs(high)
    step = spec.get("step", 1 if kind == "int" else None)
    if step is not None:
        assert (value - low) / step == pytest.approx(round((value - low) / step), abs=1e-6)


@quick
@given(specs(), st.integers(0, 99))
def test_drawn_samples_are_plain_values_inside_the_bounds_and_on_the_grid(spec: dict[str, Any], seed: int) -> None:
    space, rng = SearchSpace.from_dict(spec), random.Random(seed)
    for _ in range(10):
        values = space.decode(space.draw(rng))
        assert list(values) == list(spec)
        for name, value in values.items():
            check_value(value, spec[name])
        resolved = space.resolve(values)
        assert list(resolved) == sorted(resolved)
        assert all(repr(resolved[name]) == repr(values[name]) for name in resolved)


@quick
@given(specs(), st.integers(0, 99))
def test_exactly_the_parameters_whose_conditions_hold_are_in_a_configuration(spec: dict[str, Any], seed: int) -> None:
    space = SearchSpace.from_dict(spec)
    values = space.decode(space.draw(random.Random(seed)))

    def is_active(name: str) -> bool:
        when = spec[name].get("when", {})
        return all(is_active(parent) and holds(parent, allowed) for parent, allowed in when.items())

    def holds(parent: str, allowed: list[Any]) -> bool:
        if "choice" in spec[parent]:
            return repr(values[parent]) in [repr(value) for value in allowed]
        return values[parent] in allowed  # a bound of a float may be written as a whole number

    assert set(space.resolve(values)) == {name for name in spec if is_active(name)}


OFF_BY_A_ROUNDING = {
    "b": {"int": [0, 1]},
    "a": {"float": [0.1, 23 / 30], "step": 1 / 3, "log": True, "default": 0.1 + 1 / 3, "when": {"b": [0]}},
}
"""Its default is not the float that the step is, so that one value had two names."""


@quick
@example(OFF_BY_A_ROUNDING, None)
@given(specs(finite=True), constraints)
def test_points_are_distinct_valid_and_in_order(spec: dict[str, Any], constraint: Any) -> None:
    space = SearchSpace.from_dict(spec, constraint)
    points = list(space.points())
    assert len(points) == space.size()
    assert len({space.key(raw) for raw in points}) == len(points)
    assert all(space.is_valid(raw) for raw in points)
    order = {name: parameter.raw_values() for name, parameter in space.parameters.items()}
    positions = [[order[name].index(raw[name]) for name in space._order] for raw in points]
    assert positions == sorted(positions)  # the first parameter varies slowest
    assert all(raw == space.canonical(raw) for raw in points)


@quick
@given(specs(finite=True), constraints, st.integers(0, 99))
def test_points_leave_nothing_out(spec: dict[str, Any], constraint: Any, seed: int) -> None:
    space, rng = SearchSpace.from_dict(spec, constraint), random.Random(seed)
    keys = {space.key(raw) for raw in space.points()}
    for raw in (space.draw(rng) for _ in range(20)):
        assert (space.key(raw) in keys) == space.is_valid(raw)


@quick
@given(specs(), st.integers(0, 99))
def test_keys_are_equal_exactly_if_configurations_are(spec: dict[str, Any], seed: int) -> None:
    space, rng = SearchSpace.from_dict(spec), random.Random(seed)
    drawn = [space.draw(rng) for _ in range(12)]
    for one, other in itertools.combinations(drawn, 2):
        same = repr(space.resolve(space.decode(one))) == repr(space.resolve(space.decode(other)))
        assert (space.key(one) == space.key(other)) == same


@quick
@given(specs(), st.integers(0, 99))
def test_configurations_survive_encoding(spec: dict[str, Any], seed: int) -> None:
    space = SearchSpace.from_dict(spec)
    raw = space.draw(random.Random(seed))
    params = space.resolve(space.decode(raw))
    again = space.encode(params)
    assert repr(space.resolve(space.decode(again))) == repr(params)
    assert space.key(again) == space.key(raw)


@quick
@given(specs())
def test_the_default_keeps_every_default(spec: dict[str, Any]) -> None:
    space = SearchSpace.from_dict(spec)
    values = space.decode(space.default())
    for name, entry in spec.items():
        if "default" in entry:
            wanted = entry["default"]
            assert values[name] == pytest.approx(wanted) if "float" in entry else repr(values[name]) == repr(wanted)
        elif "choice" in entry:
            assert repr(values[name]) == repr(entry["choice"][0])
        else:
            assert values[name] == entry.get("int", entry.get("float"))[0]


@quick
@given(specs(finite=True))
def test_the_default_is_valid_or_there_is_none(spec: dict[str, Any]) -> None:
    space = SearchSpace.from_dict(spec, rule)
    if space.size():
        assert space.is_valid(space.default())
    else:
        with pytest.raises(SpaceError, match=r"no configuration.*cannot run"):
            space.default()


def test_an_invalid_default_changes_as_little_as_it_can() -> None:
    def constraint(params: Params) -> None:
        if params["overlap"] >= params["size"]:
            raise ConfigError("overlap must be below size")

    spec = {"top_k": {"int": [1, 50], "default": 50}, "size": {"int": [1, 50], "default": 20}, "overlap": [30, 25, 5]}
    space = SearchSpace.from_dict(spec, constraint)
    assert space.decode(space.default()) == {"top_k": 50, "size": 20, "overlap": 5}


def test_a_default_is_found_where_few_configurations_are_valid() -> None:
    def constraint(params: Params) -> None:
        if params["a"] < 1990:
            raise ConfigError("a is too small")

    space = SearchSpace.from_dict({"a": {"int": [1, 2000]}, "b": {"int": [1, 1000]}}, constraint)
    assert space.size() is None  # too many to look at each
    assert space.decode(space.default())["a"] >= 1990


def test_none_can_be_the_default() -> None:
    space = SearchSpace.from_dict({"llm": {"choice": ["a", None], "default": None}})
    assert space.decode(space.default()) == {"llm": None}
    assert SearchSpace.from_dict({"llm": {"choice": ["a", None]}}).default() == {"llm": "a"}


def test_equal_values_are_one_choice_and_equal_looking_ones_are_not() -> None:
    space = SearchSpace.from_dict({"a": [1, True, 1.0, 1, [1], [True], [1], {"k": [1]}, {"k": [1.0]}, {"k": [1]}]})
    values = [space.resolve(space.decode(raw))["a"] for raw in space.points()]
    assert list(map(repr, values)) == ["1", "True", "1.0", "[1]", "[True]", "{'k': [1]}", "{'k': [1.0]}"]


def test_ten_thousand_choices_are_no_problem() -> None:
    started = time.process_time()
    space = SearchSpace.from_dict({"a": list(range(10_000))})
    assert all(space.decode(raw)["a"] == position for position, raw in enumerate(space.points()))
    assert time.process_time() - started < 2


class Unruly:
    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    def __hash__(self) -> int:
        return 0


def test_values_of_any_type_are_choices() -> None:
    values = [Unruly(), Unruly(), np.arange(3), np.arange(3), float("nan"), object]
    space = SearchSpace.from_dict({"a": values})
    assert next(space.decode(raw)["a"] for raw in space.points()) is values[0]
    assert space.size() == len(values)
    assert [space.encode({"a": value})["a"] for value in values] == [f"#{index}" for index in range(len(values))]


def test_numpy_values_become_plain() -> None:
    space = SearchSpace.from_dict({"a": [np.int64(3), np.float64(0.5), np.str_("x"), np.True_], "b": np.arange(2)})
    assert [type(space.decode(raw)["a"]) for raw in list(space.points())[::2]] == [int, float, str, bool]
    resolved = space.resolve({"a": np.float32(0.5), "b": np.int8(1)})
    assert [type(value) for value in resolved.values()] == [float, int]
    assert SearchSpace.from_dict({"n": {"int": [0, 9]}}).decode({"n": np.int64(4)}) == {"n": 4}


@pytest.mark.parametrize(
    ("spec", "values"),
    [
        ({"float": [0, 1], "step": 0.1}, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
        ({"float": [0, 3], "step": 1}, [0.0, 1.0, 2.0, 3.0]),
        ({"float": [0, 1], "step": 1 / 3}, [0.0, 1 / 3, 2 / 3, 1.0]),
        ({"float": [0, 1], "step": 0.3}, [0.0, 0.3, 0.6, 0.9]),
        ({"float": [0, 3e-15], "step": 1e-15}, [0.0, 1e-15, 2e-15, 3e-15]),
        ({"float": [1e-13, 1], "step": 0.5}, [1e-13, 0.5000000000001]),
        ({"float": [0.1, 0.4], "step": 0.1, "log": True}, [0.1, 0.2, 0.3, 0.4]),
        ({"int": [1, 10], "step": 4}, [1, 5, 9]),
        ({"int": [1, 4], "log": True}, [1, 2, 3, 4]),
        ({"int": [2**53 - 2, 2**53]}, [2**53 - 2, 2**53 - 1, 2**53]),
        ({"int": [10**15, 10**15 + 4], "step": 2}, [10**15, 10**15 + 2, 10**15 + 4]),
        ({"float": [1e15, 1e15 + 2], "step": 1}, [1e15, 1e15 + 1, 1e15 + 2]),
        ({"fixed": [1, 2]}, [[1, 2]]),
    ],
)
def test_values_on_the_grid(spec: dict[str, Any], values: list[Any]) -> None:
    space = SearchSpace.from_dict({"a": spec})
    assert [repr(space.decode(raw)["a"]) for raw in space.points()] == [repr(value) for value in values]


@pytest.mark.parametrize("raw", [-3.0, 0.0, 0.4, 7.9, 8.2, 100.0])
def test_numbers_from_outside_are_moved_onto_the_grid(raw: float) -> None:
    assert Range(low=1, high=8, step=1, log=True, integer=True).decode(raw) == min(max(round(raw), 1), 8)


def test_whole_numbers_on_a_log_scale_all_occur() -> None:
    rng = random.Random(0)
    found = Range(low=1, high=8, step=1, log=True, integer=True)
    drawn = [found.decode(found.draw(rng)) for _ in range(3000)]
    assert set(drawn) == set(range(1, 9))
    assert drawn.count(1) > 2 * drawn.count(8) > 100


def test_normal_values_stay_on_their_grid() -> None:
    found, rng = Normal(mean=10, sd=2, step=1), random.Random(0)
    values = [found.decode(found.draw(rng)) for _ in range(50)]
    assert all(type(value) is float and value.is_integer() for value in values)
    assert str(Normal(mean=0, sd=1, step=1).decode(-0.2)) == "0.0"
    assert found.size() is None
    assert found.first() == 10
    with pytest.raises(SpaceError, match="finite number"):
        found.encode("ten")


CHAIN = {
    "retriever": ["bm25", "hybrid"],
    "fusion": {"choice": ["rank", "weighted"], "when": {"retriever": "hybrid"}},
    "weight": {"float": [0, 1], "step": 0.5, "when": {"fusion": ["weighted"]}},
}


def test_a_chain_of_conditions() -> None:
    space = SearchSpace.from_dict(CHAIN)
    assert [space.resolve(space.decode(raw)) for raw in space.points()] == [
        {"retriever": "bm25"},
        {"fusion": "rank", "retriever": "hybrid"},
        {"fusion": "weighted", "retriever": "hybrid", "weight": 0.0},
        {"fusion": "weighted", "retriever": "hybrid", "weight": 0.5},
        {"fusion": "weighted", "retriever": "hybrid", "weight": 1.0},
    ]
    assert space.size() == 5
    assert space.resolve({"fusion": "weighted", "retriever": "bm25"}) == {"retriever": "bm25"}


def test_conditions_may_name_parameters_that_come_later() -> None:
    space = SearchSpace.from_dict(dict(reversed(CHAIN.items())))
    assert space.size() == 5
    assert {tuple(space.resolve(space.decode(raw))) for raw in space.points()} == {
        ("retriever",),
        ("fusion", "retriever"),
        ("fusion", "retriever", "weight"),
    }


def test_a_condition_on_a_number_may_be_written_as_a_whole_one() -> None:
    spec = {"weight": {"float": [0, 1], "step": 0.5}, "a": {"choice": ["x", "y"], "when": {"weight": 1}}}
    space = SearchSpace.from_dict(spec)
    assert "a" in space.resolve({"weight": 1.0, "a": "x"})
    assert space.size() == 4


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"retriver": ["x"], "a": {"fixed": 1, "when": {"retriever": "x"}}},
            "a: .*'retriever'.*did you mean 'retriver",
        ),
        ({"r": ["bm25"], "a": {"fixed": 1, "when": {"r": "bm52"}}}, "a: .*never hold: r: 'bm52' is not among.*bm25"),
        ({"r": [1], "a": {"fixed": 1, "when": {"r": True}}}, "never hold: r: True is not among"),
        ({"n": {"int": [1, 9]}, "a": {"fixed": 1, "when": {"n": 10}}}, "never hold: n: 10 is outside 1..9"),
        ({"n": {"int": [1, 9], "step": 2}, "a": {"fixed": 1, "when": {"n": 4}}}, "n: 4 is between.*nearest"),
        ({"r": [1], "a": {"fixed": 1, "when": {"r": []}}}, "names no value of r"),
        ({"a": {"fixed": 1, "when": {"b": 1}}, "b": {"fixed": 1, "when": {"a": 1}}}, "a, b go round in a circle"),
        ({"a": {"fixed": 1, "when": {"a": 1}}}, "a go round in a circle; remove"),
        ({3: [1, 2]}, "3 is not the name of a parameter"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(spec: dict[Any, Any], words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        SearchSpace.from_dict(spec)


@pytest.mark.parametrize("when", [{"b": 1}, {"b": [1]}, {"b": (1,)}])
def test_with_when_takes_one_value_or_several(when: dict[str, Any]) -> None:
    assert with_when(Choice(values=("x",)), when).when == {"b": (1,)}


@pytest.mark.parametrize("spec", [{"float": [0, 1]}, {"float": [0.1, 1], "log": True}])
def test_a_continuous_space_has_no_points(spec: dict[str, Any]) -> None:
    space = SearchSpace.from_dict({"a": [1], "temperature": spec})
    assert space.size() is None
    with pytest.raises(SpaceError, match=r"temperature: .*step"):
        next(space.points())


def test_an_empty_space_has_one_point() -> None:
    space = SearchSpace.from_dict({})
    assert (list(space.points()), space.size(), space.default(), space.key({})) == ([{}], 1, {}, "{}")


def test_large_spaces_are_counted_without_looking_at_each_point() -> None:
    spec = {name: {"choice": list(range(100)), **({"when": {"a": 3}} if name > "b" else {})} for name in "abcdef"}
    assert SearchSpace.from_dict(spec).size() == 99 * 100 + 100**5


def branching(splitters: int) -> dict[str, Any]:
    """Of each splitter its own sizes and overlaps."""
    spec: dict[str, Any] = {"splitter": [f"s{i}" for i in range(splitters)]}
    for i in range(splitters):
        when = {"splitter": f"s{i}"}
        spec |= {f"size_{i}": {"choice": [1, 2, 3, 4, 5], "when": when}, f"overlap_{i}": {"int": [0, 3], "when": when}}
    return spec


def test_what_is_not_active_is_not_gone_through() -> None:
    def rule(params: Params) -> None:
        if params["splitter"] == "s0":
            raise ConfigError("not this one")

    started = time.perf_counter()
    space = SearchSpace.from_dict(branching(12))
    assert len(list(space.points())) == space.size() == 12 * 5 * 4
    assert SearchSpace.from_dict(branching(12), rule).size() == 11 * 5 * 4
    assert time.perf_counter() - started < 5


def test_of_a_long_range_under_a_condition_no_more_is_listed_than_is_asked_for() -> None:
    spec = {"a": ["x", "y"], "n": {"int": [1, 300_000], "when": {"a": "x"}}}
    space = SearchSpace.from_dict(spec)
    tracemalloc.start()
    try:
        first = next(iter(space.points()))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert first == {"a": "x", "n": 0}
    assert most < 20_000_000  # the numbers of the steps themselves


def test_a_condition_on_a_condition_is_gone_through_in_order() -> None:
    spec = {"c": {"choice": [1, 2], "when": {"b": "y"}}, "a": [0, 1], "b": {"choice": ["x", "y"], "when": {"a": 1}}}
    points = [SearchSpace.from_dict(spec).resolve(raw) for raw in SearchSpace.from_dict(spec).points()]
    assert points == [{"a": 0}, {"a": 1, "b": "x"}, {"a": 1, "b": "y", "c": 1}, {"a": 1, "b": "y", "c": 2}]


def test_a_missing_parameter_is_its_default() -> None:
    space = SearchSpace.from_dict({"a": {"int": [1, 9], "default": 4}, "b": ["x", "y"]})
    assert space.resolve({}) == {"a": 4, "b": "x"}
    assert space.resolve({"b": "y"}) == {"a": 4, "b": "y"}
    assert space.decode(space.encode({"b": "y"})) == {"a": 4, "b": "y"}


@pytest.mark.parametrize(("value", "words"), [("z", "'z' is not among"), ([1], "not among")])
def test_encoding_refuses_what_is_no_choice(value: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        SearchSpace.from_dict({"a": ["x", 1]}).encode({"a": value})


@pytest.mark.parametrize(("value", "words"), [(11, "outside 1..9"), (float("nan"), "outside"), (True, "not a number")])
def test_encoding_refuses_what_is_not_in_the_range(value: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        SearchSpace.from_dict({"a": {"int": [1, 9]}}).encode({"a": value})


def test_other_errors_of_a_constraint_are_not_hidden() -> None:
    space = SearchSpace.from_dict({"a": [1]}, lambda params: params["b"])
    with pytest.raises(KeyError):
        space.is_valid({"a": 1})


def test_a_space_survives_pickling() -> None:
    space = pickle.loads(pickle.dumps(SearchSpace.from_dict({**CHAIN, "nan": [float("nan"), 1]})))
    assert space.parameters["retriever"].default is UNSET
    assert space.decode(space.default())["retriever"] == "bm25"
    assert space.size() == 10


def test_the_canonical_sample_has_inactive_parameters_at_their_default() -> None:
    space = SearchSpace.from_dict(
        {
            "weight": {"float": [0, 1], "default": 0.5, "when": {"fusion": "weighted"}},
            "fusion": {"choice": ["rank", "weighted"], "when": {"retriever": "hybrid"}},
            "retriever": ["bm25", "hybrid"],
        }
    )
    raw = {"weight": 0.9, "fusion": "weighted", "retriever": "bm25"}
    assert space.canonical(raw) == {"weight": 0.5, "fusion": "rank", "retriever": "bm25"}
    assert list(space.canonical(raw)) == list(space.parameters)
    assert space.active(raw) == {"retriever"}
    hybrid = {**raw, "retriever": "hybrid"}
    assert space.canonical(hybrid) == hybrid
    assert space.active(hybrid) == {"weight", "fusion", "retriever"}


def test_only_active_parameters_are_picked_parents_first() -> None:
    space = SearchSpace.from_dict({"b": {"choice": [1, 2], "when": {"a": "y"}}, "a": ["x", "y"]})
    picked: list[str] = []

    def pick(name: str) -> Any:
        picked.append(name)
        return {"a": "y", "b": 2}[name]

    assert space.sample(pick) == {"b": 2, "a": "y"}
    assert picked == ["a", "b"]
