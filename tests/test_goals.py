from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from raytuner.errors import ConfigError
from raytuner.goals import Goal, are_plain, checked, described, with_modes
from raytuner.standing import standing

RECALL = Goal(metric="recall", mode="max", limit=0.5)
TOKENS = Goal(metric="tokens", mode="min", limit=1500)


def test_a_limit_is_the_worst_value_that_is_allowed() -> None:
    assert [RECALL.excess(value) for value in (0.4, 0.5, 0.6)] == pytest.approx([0.2, 0.0, 0.0])
    assert [TOKENS.excess(value) for value in (1499, 1500, 1650)] == pytest.approx([0.0, 0.0, 0.1])
    assert Goal(metric="gap", mode="min", limit=0).excess(2.0) == 2.0
    assert Goal(metric="recall").excess(-1e9) == 0.0


def test_what_is_beyond_a_limit_is_said() -> None:
    assert TOKENS.breach(1650) == "tokens 1650.0, more than 1500"
    assert RECALL.breach(0.25) == "recall 0.2500, less than 0.5"
    assert RECALL.breach(0.49999) == "recall 0.49999, less than 0.5"
    assert TOKENS.breach(1500.01) == "tokens 1500.01, more than 1500.0"
    assert Goal(metric="a", mode="min", limit=0.000123456).breach(0.00013) == "a 0.00013, more than 0.000123456"
    assert TOKENS.breach(1500) is RECALL.breach(0.5) is None


def test_goals_say_themselves() -> None:
    assert described([RECALL, TOKENS, Goal(metric="mrr")]) == (
        "recall, max, at least 0.5; tokens, min, at most 1500; mrr, max"
    )
    assert are_plain([Goal(metric="mrr")])
    assert not are_plain([RECALL])
    assert not are_plain([Goal(metric="mrr"), Goal(metric="ndcg")])


def test_the_mode_is_the_metrics_own_if_none_is_given() -> None:
    goals = [Goal(metric=name) for name in ("tokens", "mrr", "other")]
    assert [goal.mode for goal in with_modes(goals, {"tokens": "min", "mrr": "max"})] == ["min", "max", "max"]
    assert with_modes([Goal(metric="tokens", mode="max")], {"tokens": "min"})[0].mode == "max"


def test_goals_that_make_no_sense() -> None:
    with pytest.raises(ConfigError, match="name at least one"):
        checked([])
    with pytest.raises(ConfigError, match="'recall' is there twice"):
        checked([RECALL, TOKENS, RECALL])
    for wrong in ({"limit": math.nan}, {"limit": math.inf}, {"mode": "best"}, {"metrik": "x"}, {"limit": "9"}):
        with pytest.raises(ValidationError):
            Goal.model_validate({"metric": "x", **wrong})


def test_the_best_are_the_knee_the_front_the_dominated_and_those_beyond_a_limit() -> None:
    found = standing(
        [Goal(metric="recall", mode="max"), TOKENS],
        [
            {"recall": 0.1, "tokens": 90},  # dominated by the last
            {"recall": 0.9, "tokens": 1400},
            {"recall": 1.0, "tokens": 1600},  # beyond
            {"recall": 0.8, "tokens": 500},  # the knee
            {"recall": 1.0, "tokens": 1501},  # beyond, nearer
            {"recall": 0.2, "tokens": 80},
        ],
    )
    assert found.front == [1, 3, 5]
    assert found.knee == 3
    assert found.beyond == [4, 2]
    assert found.order == [3, 1, 5, 0, 4, 2]


def test_one_objective_with_a_limit() -> None:
    found = standing([RECALL], [{"recall": value} for value in (0.4, 0.7, 0.6, 0.7, 0.1)])
    assert found.order == [1, 3, 2, 0, 4]
    assert (found.front, found.knee, found.beyond) == ([1, 3], 1, [0, 4])


def test_nothing_within_the_limits_and_nothing_at_all() -> None:
    assert standing([RECALL], [{"recall": 0.1}]) == ([0], [], None, [0])
    assert standing([RECALL, TOKENS], []) == ([], [], None, [])


def test_a_result_that_lacks_a_metric_is_on_no_front() -> None:
    found = standing(
        [Goal(metric="a"), Goal(metric="b")], [{"a": 9.0}, {"a": math.nan, "b": 9.0}, {"a": 0.0, "b": 0.0}]
    )
    assert (found.front, found.knee) == ([2], 2)
    assert sorted(found.order) == [0, 1, 2]
