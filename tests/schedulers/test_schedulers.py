"""Schedulers by name."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from raytuner.config_sections import SchedulerName
from raytuner.errors import UserError
from raytuner.goals import Goal
from raytuner.schedulers import SCHEDULERS, check_scheduler, make_rule

ONE = [Goal(metric="score", mode="max")]
TWO = [*ONE, Goal(metric="cost", mode="min")]


def test_a_config_knows_all_of_them() -> None:
    assert get_args(SchedulerName) == tuple(SCHEDULERS)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("race", {}, "scheduler 'race' is unknown; did you mean 'racing'"),
        ("racing", {"levl": 1}, "scheduler 'racing' has no option 'levl'; did you mean 'level'"),
        ("racing", {"level": 0.7}, "option level of scheduler 'racing' is 0.7; it should be less than 0.5"),
        ("racing", {"first": 1}, "it should be greater than or equal to 2"),
        ("racing", {"weight": -1.0}, "it should be greater than or equal to 0"),
        ("asha", {"reduction_factor": 1.0}, "greater than 1"),
        ("fifo", {"level": 0.1}, "scheduler 'fifo' has no option 'level'; it takes none"),
        ("median", {"first": "x"}, "option first of scheduler 'median' is 'x'"),
    ],
)
def test_wrong_names_and_options(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_scheduler(name, options)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_those_that_compare_one_metric_refuse_more(name: str) -> None:
    limited = [Goal(metric="score", mode="max", limit=0.5)]
    for goals in (TWO, limited):
        if SCHEDULERS[name].several:
            make_rule(name, goals, 10, at_once=True)
        else:
            with pytest.raises(UserError, match="compares one metric without a limit; use fifo or racing"):
                make_rule(name, goals, 10, at_once=True)
    make_rule(name, ONE, 10, at_once=True)
