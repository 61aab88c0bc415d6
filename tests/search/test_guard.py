"""The contract around every search algorithm, with an algorithm that does as it is told."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import tune
from ray.tune.search import Searcher

from raytuner.errors import ConfigError, SearchError
from raytuner.search import make_searcher
from raytuner.search.guard import MAX_REJECTED, MAX_WAITS, Guard
from raytuner.space import Params, Raw, SearchSpace

LETTERS = SearchSpace.from_dict({"a": ["x", "y", "z"], "b": {"choice": [1, 2], "when": {"a": "z"}}})
X, X2, Y, Z1, Z2 = ({"a": a, "b": b} for a, b in [("x", 1), ("x", 2), ("y", 1), ("z", 1), ("z", 2)])


class Script(Searcher):
    """Suggests what it was given and notes what it is told."""

    def __init__(self, *script: Any) -> None:
        super().__init__(metric="score", mode="max")
        self.script = list(script)
        self.asked: list[str] = []
        self.told: list[tuple[str, Any]] = []

    def suggest(self, trial_id: str) -> Any:
        self.asked.append(trial_id)
        return self.script.pop(0) if self.script else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        assert trial_id in self.asked
        assert trial_id not in [known for known, _ in self.told], "told twice"
        self.told.append((trial_id, "failed" if error else (result or {})["score"]))


def guard(inner: Searcher, space: SearchSpace = LETTERS, **options: Any) -> Guard:
    return Guard(space, inner, "score", "max", **options)


def test_what_goes_to_a_trial() -> None:
    searcher = guard(Script({"b": np.int64(1), "a": np.str_("x")}, Y))
    first = searcher.suggest("t1")
    assert repr(first) == repr({"number": 1, "point": {"a": "x", "b": 1}})  # plain, in the order of the space
    assert searcher.suggest("t2") == {"number": 2, "point": Y}


def test_a_repeat_is_told_at_once_and_is_no_trial() -> None:
    inner = Script(X, X2, Y)
    searcher = guard(inner)
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", {"score": 0.5})
    assert searcher.suggest("t2") == {"number": 2, "point": Y}  # X2 is X, since b is not active
    assert inner.told == [("000001", 0.5), ("000002", 0.5)]
    assert searcher.started == 2


def test_a_repeat_of_one_in_flight_is_told_when_that_ends() -> None:
    inner = Script(X, X2, X, Y)
    searcher = guard(inner)
    assert searcher.suggest("t1")["point"] == X
    assert searcher.suggest("t2")["point"] == Y
    assert inner.told == []
    searcher.on_trial_complete("t2", {"score": 0.1})
    searcher.on_trial_complete("t1", {"score": 0.5})
    assert inner.told == [("000004", 0.1), ("000001", 0.5), ("000002", 0.5), ("000003", 0.5)]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (None, True),
        ({"score": 0.5}, True),
        (None, False),
        ({}, False),
        ({"other": 1.0}, False),
        ({"score": None}, False),
        ({"score": float("nan")}, False),
        ({"score": float("inf")}, False),
        ({"score": np.float64("-inf")}, False),
    ],
)
def test_failures_are_told_as_failures_also_to_repeats(result: dict[str, Any] | None, error: bool) -> None:
    inner = Script(X, X2, Y, X)
    searcher = guard(inner)
    searcher.suggest("t1")
    searcher.suggest("t2")
    searcher.on_trial_complete("t1", result, error)
    assert inner.told == [("000001", "failed"), ("000002", "failed")]
    searcher.suggest("t3")
    assert inner.told[-1] == ("000004", "failed")


def test_trials_nobody_knows_are_ignored() -> None:
    inner = Script(X)
    searcher = guard(inner)
    searcher.suggest("t1")
    searcher.on_trial_complete("other", {"score": 1.0})
    searcher.on_trial_complete("t1", {"score": 1.0})
    searcher.on_trial_complete("t1", {"score": 2.0})
    searcher.on_trial_result("t1", {"score": 3.0})
    assert inner.told == [("000001", 1.0)]


def no_y(params: Params) -> None:
    if params["a"] == "y":
        raise ConfigError("y cannot run")


def test_invalid_configurations_are_told_as_failures_and_counted_once() -> None:
    space = SearchSpace.from_dict({"a": ["x", "y", "z"]}, no_y)
    inner = Script({"a": "y"}, {"a": "y"}, {"a": "z"})
    searcher = guard(inner, space)
    assert searcher.suggest("t1") == {"number": 1, "point": {"a": "z"}}
    assert inner.told == [("000001", "failed"), ("000002", "failed")]
    assert (searcher.rejected_invalid, searcher.started) == (1, 1)


def test_the_cap_on_trials_is_kept() -> None:
    searcher = guard(Script(X, Y, Z1), trials=2)
    assert [searcher.suggest(str(number)) for number in range(3)][2] == Searcher.FINISHED
    assert (searcher.started, searcher.at_most, searcher.ended) == (2, 2, None)


def test_an_exhausted_space_says_so() -> None:
    searcher = guard(Script(X, Y, Z1, Z2, X))
    suggestions = [searcher.suggest(str(number)) for number in range(5)]
    assert [found["number"] for found in suggestions[:4]] == [1, 2, 3, 4]
    assert suggestions[4] == Searcher.FINISHED
    assert searcher.ended == "the space is exhausted: all 4 configurations were tried"


def test_an_algorithm_that_ends_early_says_so() -> None:
    searcher = guard(Script(X, X))
    searcher.suggest("t1")
    assert searcher.suggest("t2") == Searcher.FINISHED
    assert "nothing new to suggest after 1 " in str(searcher.ended)


def test_an_algorithm_may_wait() -> None:
    searcher = guard(Script(None, X))
    assert searcher.suggest("t1") is None
    assert searcher.suggest("t1") == {"number": 1, "point": X}


def test_an_algorithm_that_only_repeats_itself_is_helped_out() -> None:
    inner = Script(*[X] * 10 * MAX_REJECTED)
    searcher = guard(inner)
    seen = []
    while isinstance(found := searcher.suggest(f"t{len(seen)}"), dict):
        seen.append(LETTERS.key(found["point"]))
    assert len(set(seen)) == len(seen) == 4
    assert "exhausted" in str(searcher.ended)
    for number in range(4):
        searcher.on_trial_complete(f"t{number}", {"score": float(number)})
    assert {score for _, score in inner.told} == {0.0}  # all its suggestions were the first one
    assert len(inner.told) == len(inner.asked)


def test_the_last_configuration_of_a_large_space_is_found() -> None:
    space = SearchSpace.from_dict({"a": ["x", "y"], "b": {"choice": list(range(3000)), "when": {"a": "y"}}})
    first = [{"a": "y", "b": number} for number in range(3000)]
    searcher = guard(Script(*first, *first), space)
    points = [searcher.suggest(str(number))["point"] for number in range(3001)]
    assert points[-1]["a"] == "x"


def test_a_space_without_a_known_end_ends_when_nothing_new_is_found() -> None:
    def one_only(params: Params) -> None:
        if params["n"] != 1:
            raise ConfigError("only 1 can run")

    space = SearchSpace.from_dict({"n": {"int": [1, 10_000_000]}}, one_only)
    searcher = guard(Script(*[{"n": 0}] * 200), space)
    assert searcher.suggest("t1")["point"] == {"n": 0}
    assert searcher.suggest("t2") == Searcher.FINISHED
    assert str(searcher.ended) == (
        "the search has nothing new to suggest after 1 configurations; "
        "the rule of the space rejects 99.9% of those that were looked at, give it narrower bounds"
    )
    assert searcher.rejected_invalid > 9000


@pytest.mark.parametrize(("trials", "expected"), [(None, 4), (2, 2), (9, 4)])
def test_at_most(trials: int | None, expected: int) -> None:
    assert guard(Script(), trials=trials).at_most == expected


def test_at_most_is_unknown_for_an_endless_space() -> None:
    space = SearchSpace.from_dict({"a": {"float": [0, 1]}})
    assert guard(Script(), space).at_most is None
    assert guard(Script(), space, trials=7).at_most == 7


def test_nothing_is_pickled() -> None:
    searcher = guard(Script(X), trials=3)
    searcher.suggest("t1")
    assert b"score" not in pickle.dumps(searcher)


def test_what_is_drawn_in_place_of_repeats_is_near_them() -> None:
    space = SearchSpace.from_dict({name: list(range(6)) for name in "abcd"})
    point = {"a": 1, "b": 2, "c": 3, "d": 4}
    searcher = guard(Script(*[point] * 100), space, patience=2)
    searcher.suggest("t1")
    distances = []
    for number in range(20):
        drawn = searcher.suggest(f"t{number + 2}")["point"]
        distances.append(sum(drawn[name] != point[name] for name in point))
    assert distances == [1] * 15 + distances[15:]  # of 20 neighbours
    assert max(distances) <= 2
    assert len(searcher._inner.asked) == 1 + 2 * 20


class Listening(Script):
    """Can also be told of points that it has not suggested, and that these are evaluated now."""

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.others: list[tuple[Raw, Any]] = []
        self.expected: list[Raw] = []

    def expect(self, raw: Raw) -> None:
        self.expected.append(raw)

    def add_evaluated_point(
        self, parameters: Raw, value: float, error: bool = False, pruned: bool = False, intermediate_values: Any = None
    ) -> None:
        self.others.append((parameters, "failed" if error else value))


@pytest.mark.parametrize("failed", [True, False])
def test_a_point_drawn_in_place_of_repeats_is_told_too(failed: bool) -> None:
    inner = Listening(X, *[X2] * MAX_REJECTED)
    searcher = guard(inner)
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", {"score": 0.5})
    drawn = searcher.suggest("t2")["point"]
    assert (inner.others, inner.expected) == ([], [drawn])
    searcher.on_trial_complete("t2", {"score": 0.75}, error=failed)
    assert inner.others == [(drawn, "failed" if failed else 0.75)]


def test_a_search_ends_that_waits_for_nothing() -> None:
    searcher = guard(Script(X, *[None] * 100))
    searcher.suggest("t1")
    assert [searcher.suggest("t2") for _ in range(MAX_WAITS + 1)] == [None] * (MAX_WAITS + 1)  # for t1
    searcher.on_trial_complete("t1", {"score": 0.5})
    assert [searcher.suggest("t2") for _ in range(MAX_WAITS)] == [None] * MAX_WAITS
    assert searcher.ended is None
    assert searcher.suggest("t2") == Searcher.FINISHED
    assert searcher.ended == "the search suggests nothing after 1 configurations, of which none is in flight"


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ({"a": tune.choice(["x"]), "b": 1}, "a: search 'mine' suggested .*Categorical.*none of its values"),
        ({"a": "x"}, "b: search 'mine' suggested nothing"),
        ({"a": "w", "b": 1}, "a: search 'mine' suggested 'w'"),
        ({"a": ["x"], "b": 1}, "a: search 'mine' suggested"),
        (7, "a: search 'mine' suggested 7"),
    ],
)
def test_what_is_no_sample_of_the_space_is_an_error(point: Any, words: str) -> None:
    with pytest.raises(SearchError, match=words):
        guard(Script(point), name="mine").suggest("t1")


@pytest.mark.parametrize("domain", [{"int": [1, 9]}, {"float": [0, 1]}, {"float": [0.1, 1], "log": True}, tune.randn()])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), np.float64("-inf")])
def test_a_number_that_is_none_is_an_error(domain: Any, number: float) -> None:
    space = SearchSpace.from_dict({"n": domain})
    with pytest.raises(SearchError, match=rf"n: .*suggested .*{number}"):
        guard(Script({"n": number}), space).suggest("t1")


def test_inactive_parameters_are_handed_out_at_their_default() -> None:
    assert guard(Script(X2)).suggest("t1")["point"] == X


class Raising(Script):
    """Raises where it is told to."""

    def __init__(self, where: str, error: Exception) -> None:
        super().__init__(X, Y, Z1)
        self.where = where
        self.error = error

    def suggest(self, trial_id: str) -> Any:
        if self.where == "suggest" and self.asked:
            raise self.error
        return super().suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if self.where == "complete":
            raise self.error
        super().on_trial_complete(trial_id, result, error)


@pytest.mark.parametrize("where", ["suggest", "complete"])
@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ValueError("no such\nthing"), r"ValueError: no such"),
        (KeyError(), "KeyError"),
        (RuntimeError("x" * 999), f"RuntimeError: {'x' * 300}"),
    ],
    ids=["lines", "nothing", "long"],
)
def test_what_an_algorithm_raises_ends_the_search_in_one_line(where: str, raised: Exception, said: str) -> None:
    searcher = guard(Raising(where, raised), name="mine")
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", {"score": 0.5})  # Ray Tune would take an error for one of the trial
    for _ in range(2):
        with pytest.raises(SearchError) as found:
            searcher.suggest("t2")
        assert str(found.value) == f"search 'mine' failed after 1 configurations ({said}); use another search"
        assert found.value.__cause__ is raised
    assert searcher.started == 1


@pytest.mark.parametrize("where", ["suggest", "complete"])
def test_what_says_itself_how_to_mend_it_is_shown_as_it_is(where: str) -> None:
    raised = SearchError("search 'far': its environment is damaged; raytuner algorithms --install far")
    searcher = guard(Raising(where, raised))
    searcher.suggest("t1")
    searcher.on_trial_complete("t1", {"score": 0.5})
    with pytest.raises(SearchError) as found:
        searcher.suggest("t2")
    assert str(found.value) == str(raised)


def test_restoring_goes_through_the_same_again(tmp_path: Path) -> None:
    script = [X, X2, Y, Z1, Z2]
    searcher = guard(Script(*script))
    searcher.suggest("t1")
    searcher.suggest("t2")
    searcher.on_trial_complete("t1", {"score": 0.5})
    searcher.save(str(tmp_path / "state"))
    inner = Script(*script)
    restored = guard(inner)
    restored.restore(str(tmp_path / "state"))
    assert inner.told == [("000001", 0.5), ("000002", 0.5)]
    assert restored.started == 2
    restored.on_trial_complete("t2", {"score": 0.25})  # it was in flight
    assert inner.told[-1] == ("000003", 0.25)
    assert restored.suggest("t3") == searcher.suggest("t3") == {"number": 3, "point": Z1}


def test_restoring_another_stream_tells_it_what_is_known(tmp_path: Path) -> None:
    searcher = guard(Script(X, Y, Z1))
    for name in ("t1", "t2", "t3"):
        searcher.suggest(name)
    searcher.on_trial_complete("t1", {"score": 0.5})
    searcher.on_trial_complete("t2", error=True)
    searcher.save(str(tmp_path / "state"))
    inner = Listening(Z2, Y, Z2)
    restored = guard(inner)
    restored.restore(str(tmp_path / "state"))
    assert inner.expected == [X, Y, Z1]
    assert inner.others == [(X, 0.5), (Y, "failed")]
    assert inner.told == [("000001", "failed")]  # what it would have had evaluated instead; it is not asked again
    assert restored.started == 3
    restored.on_trial_complete("t3", {"score": 0.25})
    assert inner.others[-1] == (Z1, 0.25)
    again = tmp_path / "again"
    restored.save(str(again))
    assert json.loads(again.read_text()) == [
        ["t1", "began", X],
        ["t2", "began", Y],
        ["t3", "began", Z1],
        ["t1", "ended", {"score": 0.5}],
        ["t2", "ended", None],
        ["t3", "ended", {"score": 0.25}],
    ]


def test_a_configuration_that_was_lost_before_it_began_is_tried_yet() -> None:
    """The driver was killed while the third trial waited for its worker, and the fourth had begun."""
    space = SearchSpace.from_dict({"a": [1, 2, 3], "b": ["x", "y"]})
    unbroken = make_searcher("grid", space, "score", "max")
    points = [unbroken.suggest(str(at))["point"] for at in range(6)]
    searcher = make_searcher("grid", space, "score", "max")
    searcher.take_up([(f"past-{at}", "began", points[at - 1]) for at in (1, 2, 4)], last=4)
    found = [searcher.suggest(str(at)) for at in range(3)]
    assert [one["number"] for one in found] == [5, 6, 7]
    assert [one["point"] for one in found] == [points[2], points[4], points[5]]
    assert searcher.suggest("end") == Searcher.FINISHED
    assert searcher.ended == "the space is exhausted: all 6 configurations were tried"


class Partial(Script):
    """Learns from the means at a third and at two thirds of the questions."""

    budgets = (1 / 3, 2 / 3)

    def __init__(self, *script: Any) -> None:
        super().__init__(*script)
        self.partial: list[tuple[str, float, float]] = []
        self.stopped: list[str] = []

    def on_partial(self, trial_id: str, budget: float, result: dict[str, float]) -> None:
        self.partial.append((trial_id, budget, result["score"]))

    def on_stopped(self, trial_id: str) -> None:
        self.stopped.append(trial_id)


def test_partial_results_are_told_once_at_each_budget(tmp_path: Path) -> None:
    inner = Partial(X, Y, Z1)
    searcher = guard(inner)
    for name in ("t1", "t2", "t3"):
        searcher.suggest(name)
    for share in (0.1, 0.34, 0.5, 0.7, 0.9):
        searcher.on_partial("t1", share, {"score": share})
    searcher.on_partial("t2", 0.4, {"score": float("nan")})  # which tells nothing
    searcher.on_partial("t3", 1.0, {"score": 0.9})  # beyond both at once
    searcher.on_partial("unknown", 1.0, {"score": 0.9})
    assert inner.partial == [("000001", 1 / 3, 0.34), ("000001", 2 / 3, 0.7), ("000003", 2 / 3, 0.9)]
    searcher.on_trial_complete("t1", {"score": 0.2, "stopped": True})
    searcher.on_trial_complete("t3", {"score": 0.8})
    assert (inner.stopped, inner.told) == (["000001"], [("000003", 0.8)])
    searcher.save(str(tmp_path / "state"))
    again = Partial(X, Y, Z1)
    guard(again).restore(str(tmp_path / "state"))
    assert (again.partial, again.stopped, again.told) == (inner.partial, inner.stopped, inner.told)


def test_without_budgets_a_stopped_trial_is_told_by_its_estimate() -> None:
    inner = Script(X, Y)
    searcher = guard(inner)
    searcher.suggest("t1")
    searcher.on_partial("t1", 0.5, {"score": 0.9})
    searcher.on_trial_complete("t1", {"score": 0.2, "stopped": True})
    assert inner.told == [("000001", 0.2)]
