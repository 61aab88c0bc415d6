"""All configurations at once, on made-up scores."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import pytest

from raytuner.errors import ConfigError
from raytuner.goals import Goal
from raytuner.schedulers import make_rule
from raytuner.schedulers.batch import CAPS, SURVIVORS, Batch, BatchRace, Halving

MAX = [Goal(metric="score", mode="max")]
BOTH = [Goal(metric="score", mode="max"), Goal(metric="cost", mode="min")]
TOTAL = 160
BLOCK = 8

Rows = Sequence[Mapping[str, float]]


def noisy(mean: float, seed: int, total: int = TOTAL) -> Rows:
    rng = random.Random(seed)
    return [{"score": mean + rng.gauss(0, 0.1)} for _ in range(total)]


def race(rule: Batch, rows: Mapping[int, Rows], fail: Mapping[int, int] | None = None) -> dict[int, tuple[int, str]]:
    """Race trials block by block; for each that was dropped after how many questions, and why."""
    dropped: dict[int, tuple[int, str]] = {}
    total = len(next(iter(rows.values())))
    for number in rows:
        rule.begin(number)
    for start in range(0, total, BLOCK):
        for number in sorted(rule.running):
            if fail and fail.get(number) == start:
                rule.end(number, failed=True)
                continue
            block = rows[number][start : start + BLOCK]
            assert rule.block(number, {f"q{start + at}": row for at, row in enumerate(block)}) is None
        rule.revive()
        done = start + BLOCK
        if done < total and rule.is_look(done):
            dropped |= {number: (done, why) for number, why in rule.drop().items()}
    for number in sorted(rule.running):
        rule.end(number)
    return dropped


def test_the_best_wins_and_the_bad_ones_are_dropped_at_once() -> None:
    rule = BatchRace(MAX, TOTAL)
    dropped = race(rule, {number: noisy(0.1 * number, number) for number in range(1, 9)})
    assert rule.finished == {8}
    assert {dropped[number][0] for number in range(1, 6)} == {16}
    assert "behind trial 8 on 16 questions" in dropped[1][1]


def test_caps_hold_where_no_test_can_tell_them_apart() -> None:
    rule = BatchRace(MAX, TOTAL)
    dropped = race(rule, {number: noisy(0.5, number) for number in range(1, 65)})
    for share, cap in CAPS:
        left = 64 - sum(count <= math.ceil(share * TOTAL / BLOCK) * BLOCK for count, _ in dropped.values())
        assert left <= max(SURVIVORS, math.ceil(cap * 64))
    assert any("not among the best" in why for _, why in dropped.values())
    assert 1 <= len(rule.finished) <= SURVIVORS


def test_kept_ones_run_on() -> None:
    rule = BatchRace(MAX, TOTAL, kept=[1])
    race(rule, {number: noisy(0.1 * number, number) for number in range(1, 9)})
    assert rule.finished == {1, 8}


def test_failed_ones_are_out() -> None:
    rule = BatchRace(MAX, TOTAL)
    rows = {8: noisy(0.8, 8), **{number: noisy(0.7, number) for number in range(1, 5)}}
    dropped = race(rule, rows, fail={8: 24, 2: 0})
    assert 8 not in rule.finished
    assert rule.finished, "the others were dropped for one that failed later on, and go on"
    assert not {2, 8} & set(dropped)


def test_all_equal_and_all_unknown() -> None:
    same: Rows = [{"score": 0.5}] * TOTAL
    rule = BatchRace(MAX, TOTAL)
    race(rule, dict.fromkeys(range(1, 9), same))
    assert rule.finished == {1, 2, 3, 4}, "the caps leave the first of equal ones"
    nothing: Rows = [{"score": math.nan}] * TOTAL
    rule = BatchRace(MAX, TOTAL)
    race(rule, {1: nothing, 2: same, 3: nothing})
    assert rule.standing([1, 2, 3]).order[0] == 1, "the one that is known is the best"


def test_several_objectives_leave_the_front() -> None:
    def rows(score: float, cost: float, seed: int) -> Rows:
        rng = random.Random(seed)
        return [{"score": score + rng.gauss(0, 0.05), "cost": cost + rng.gauss(0, 0.5)} for _ in range(TOTAL)]

    rule = BatchRace(BOTH, TOTAL)
    dropped = race(rule, {1: rows(0.9, 30, 1), 2: rows(0.5, 20, 2), 3: rows(0.2, 10, 3), 4: rows(0.4, 25, 4)})
    assert rule.finished == {1, 2, 3}
    assert "behind trial 2" in dropped[4][1]


def test_beyond_a_limit() -> None:
    goals = [Goal(metric="score", mode="max", limit=0.3)]
    rule = BatchRace(goals, TOTAL)
    dropped = race(rule, {1: noisy(0.1, 1), 2: noisy(0.1, 2)})
    assert rule.finished == set()
    assert all("less than 0.3" in why for _, why in dropped.values())


@pytest.mark.parametrize("total", [16, 20, 40])
def test_few_questions(total: int) -> None:
    for rule in (BatchRace(MAX, total), Halving(MAX, total)):
        race(rule, {number: noisy(0.1 * number, number, total) for number in range(1, 9)})
        assert 8 in rule.finished


def test_halving_leaves_half_at_each_rung() -> None:
    rule = Halving(MAX, TOTAL)
    dropped = race(rule, {number: noisy(0.1 * number, number) for number in range(1, 17)})
    left = {count: 16 - sum(at <= count for at, _ in dropped.values()) for count in (16, 24, 40, 80)}
    assert left == {16: 8, 24: 4, 40: 2, 80: 1}
    assert rule.finished == {16}


def test_what_needs_all_at_once_says_so() -> None:
    with pytest.raises(ConfigError, match="'halving' compares all configurations at once: it needs a search"):
        make_rule("halving", MAX, TOTAL)
    assert isinstance(make_rule("halving", MAX, TOTAL, at_once=True), Halving)
    assert isinstance(make_rule("racing", MAX, TOTAL, at_once=True), BatchRace)
    assert not isinstance(make_rule("racing", MAX, TOTAL), Batch)
    assert not isinstance(make_rule("asha", MAX, TOTAL, at_once=True), Batch), "it has no such form"
