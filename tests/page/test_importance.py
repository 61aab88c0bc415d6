"""What is said of parameters."""

from __future__ import annotations

import math
import random

import pytest

from raytuner.goals import Goal
from raytuner.page.importance import Tried, effects, importances, interactions, levels, varied

MAX = Goal.model_validate({"metric": "score", "mode": "max"})
MIN = Goal.model_validate({"metric": "cost", "mode": "min"})


def trials(count: int = 60) -> list[Tried]:
    rng = random.Random(3)
    found = []
    for _ in range(count):
        params = {"size": rng.choice([64, 128, 256]), "kind": rng.choice(["a", "b"]), "rate": rng.random()}
        score = {64: 0.1, 128: 0.9, 256: 0.4}[params["size"]] + 0.01 * rng.random()
        found.append(Tried(params, {"score": score, "cost": 100 * params["rate"]}))
    return found


def test_the_parameter_that_decides_is_the_most_important_for_each_objective() -> None:
    found = importances(trials(), [MAX, MIN])
    of = {goal: [row for row in found["shares"] if row["objective"] == goal] for goal in ("score", "cost")}
    assert of["score"][0]["parameter"] == "size"
    assert of["score"][0]["share"] > 0.8
    assert of["cost"][0]["parameter"] == "rate"
    for rows in of.values():
        assert math.isclose(sum(row["share"] for row in rows), 1, abs_tol=1e-3)


def test_a_parameter_that_depends_on_another_is_left_out_and_said_so() -> None:
    some = trials()
    some[::2] = [Tried({**trial.params, "depth": n % 3}, trial.metrics) for n, trial in enumerate(some[::2])]
    found = importances(some, [MAX])
    assert [row["parameter"] for row in found["left_out"]] == ["depth"]
    assert "30 of 60" in found["left_out"][0]["why"]
    assert "depth" not in {row["parameter"] for row in found["shares"]}


@pytest.mark.parametrize(
    ("some", "said"),
    [
        (trials(19), "it takes 20 trials"),
        ([Tried({"size": 1}, {"score": n / 10}) for n in range(20)], "no parameter varies"),
        ([Tried({"size": n}, {"score": 0.5}) for n in range(20)], "scored the same"),
        ([], "it takes 20 trials"),
    ],
)
def test_it_says_why_there_is_nothing_to_say(some: list[Tried], said: str) -> None:
    found = importances(some, [MAX])
    assert found["shares"] == []
    assert said in found["why_none"]


def test_effects_are_means_by_value_with_an_interval_around_them() -> None:
    some = trials()
    by_name = {row["parameter"]: row["levels"] for row in effects(some, "score")}
    of_128 = next(level for level in by_name["size"] if level["value"] == "128")
    own = [trial.metrics["score"] for trial in some if trial.params["size"] == 128]
    assert of_128["trials"] == len(own)
    assert math.isclose(of_128["mean"], math.fsum(own) / len(own))
    assert of_128["low"] < of_128["mean"] < of_128["high"]
    assert [level["value"] for level in by_name["size"]] == ["64", "128", "256"]


def test_many_numbers_become_ranges_of_about_equally_many_trials() -> None:
    found = levels(trials(80), "rate")
    assert 6 <= len(found) <= 8
    assert sum(len(level.at) for level in found) == 80
    assert max(len(level.at) for level in found) <= 2 * min(len(level.at) for level in found)
    assert " to " in found[0].label


def test_a_single_trial_has_no_interval_and_is_not_hidden() -> None:
    some = [Tried({"size": 1}, {"score": 0.5}), Tried({"size": 2}, {"score": 0.7})]
    (row,) = effects(some, "score")
    assert [(level["mean"], level["low"]) for level in row["levels"]] == [(0.5, None), (0.7, None)]


@pytest.mark.parametrize(("count", "has"), [(3, False), (9, False), (10, True)])
def test_few_trials_have_no_interval_instead_of_a_meaningless_one(count: int, has: bool) -> None:
    some = [Tried({"size": n % 2}, {"score": 0.5 + 0.04 * (n // 2 % 3)}) for n in range(2 * count)]
    for level in effects(some, "score")[0]["levels"]:
        assert (level["low"] is not None) == (level["high"] is not None) == has
        if has:
            assert 0 < level["low"] < level["mean"] < level["high"] < 1


def test_it_is_said_how_many_trials_the_best_tenth_is() -> None:
    assert "the best tenth of the trials (3 of 24 that were scored)" in importances(trials(24), [MAX])["how"]
    assert "(2 of 20 " in importances(trials(20), [MAX])["how"]


def test_interactions_have_a_cell_for_each_pair_of_values_that_was_tried() -> None:
    some = trials()
    first, *_ = interactions(some, "score", ["size", "kind", "rate"])
    assert (first["a"], first["b"]) == ("size", "kind")
    assert sum(cell["trials"] for cell in first["cells"]) == len(some)
    assert len(first["cells"]) == 6


def test_values_that_are_no_numbers_or_texts_have_a_name() -> None:
    some = [
        Tried({"x": [1, 2]}, {"score": 0.1}),
        Tried({"x": None}, {"score": 0.2}),
        Tried({"x": True}, {"score": 0.3}),
    ]
    assert varied(some) == ["x"]
    assert {level.label for level in levels(some, "x")} == {"[1, 2]", "null", "True"}
