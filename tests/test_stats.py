"""The Pareto front and its knee by their definitions, tests against scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raytuner.stats import (
    effective_groups,
    holm,
    knee,
    mean_interval,
    moderated_t,
    nondominated_ranks,
    p_above_zero,
    pareto_front,
    quantile,
    questions_needed,
    win_shares,
)

MODES = st.lists(st.sampled_from(["max", "min"]), min_size=1, max_size=4)
# Few different values, so that many are equal.
VALUES = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e9, 1e9), st.just(math.nan))


@st.composite
def points(draw: Any) -> tuple[list[list[float]], list[str]]:
    modes = draw(MODES)
    row = st.lists(VALUES, min_size=len(modes), max_size=len(modes))
    return draw(st.lists(row, max_size=30)), modes


def dominates(one: list[float], other: list[float], modes: list[str]) -> bool:
    pairs = [(a, b) if mode == "max" else (b, a) for a, b, mode in zip(one, other, modes, strict=True)]
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


@given(points())
def test_a_front_is_what_no_other_point_dominates(drawn: tuple[list[list[float]], list[str]]) -> None:
    values, modes = drawn
    front = pareto_front(values, modes)
    known = [at for at, row in enumerate(values) if not any(map(math.isnan, row))]
    assert front == sorted(set(front))
    assert set(front) <= set(known)
    assert bool(front) == bool(known)
    for at in front:
        assert not any(dominates(values[other], values[at], modes) for other in known)
    for at in set(known) - set(front):
        assert any(dominates(values[other], values[at], modes) for other in front)


@given(points(), st.randoms())
def test_a_front_does_not_depend_on_the_order(drawn: tuple[list[list[float]], list[str]], random: Any) -> None:
    values, modes = drawn
    order = list(range(len(values)))
    random.shuffle(order)
    shuffled = pareto_front([values[at] for at in order], modes)
    assert sorted(order[at] for at in shuffled) == pareto_front(values, modes)


def test_equal_points_are_all_on_the_front_and_nan_is_not() -> None:
    values = [[1.0, 5.0], [2.0, 7.0], [1.0, 5.0], [math.nan, 0.0], [1.0, 6.0]]
    assert pareto_front(values, ["max", "min"]) == [0, 1, 2]
    assert pareto_front(values, ["min", "max"]) == [1, 4]
    assert pareto_front([], ["max", "min"]) == []
    assert pareto_front([[1.0], [3.0], [3.0]], ["max"]) == [1, 2]


@given(points())
def test_ranks_are_the_fronts_of_what_is_left(drawn: tuple[list[list[float]], list[str]]) -> None:
    rows, modes = drawn
    values = [row for row in rows if not any(map(math.isnan, row))]
    ranks = nondominated_ranks(values, modes)
    assert sorted(set(ranks)) == list(range(len(set(ranks))))
    for rank in set(ranks):
        left = [at for at, found in enumerate(ranks) if found >= rank]
        front = pareto_front([values[at] for at in left], modes)
        assert [left[at] for at in front] == [at for at, found in enumerate(ranks) if found == rank]


def test_the_knee_is_farthest_from_the_line_through_the_extremes() -> None:
    front = [[1.0, 1000.0], [0.9, 300.0], [0.5, 200.0], [0.0, 0.0]]
    assert knee(front, ["max", "min"]) == 1
    # The distances to the line through (1, 1000) and (0, 0), by hand: 0, 0.6 / sqrt(2), 0.3 / sqrt(2), 0.
    assert knee([[-a, -b] for a, b in front], ["min", "max"]) == 1
    assert knee([[7 * a + 3, b / 9] for a, b in front], ["max", "min"]) == 1  # units do not matter


def test_the_knee_of_three_objectives_is_nearest_to_what_is_best_in_all() -> None:
    front = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.4, 0.4, 0.3], [0.3, 0.5, 0.5]]
    assert knee(front, ["min"] * 3) == 3


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ([[3.0, 3.0]], 0),
        ([[1.0, 2.0], [2.0, 1.0]], 0),  # both are as far: the first
        ([[2.0, 1.0], [1.0, 2.0]], 0),
        ([[0.0, 1.0], [0.9, 0.9], [1.0, 0.0]], 0),  # it bulges the other way: an extreme
        ([[1.0, 1.0], [1.0, 1.0]], 0),
        ([[0.1 * n, 1 - 0.1 * n] for n in range(11)], 0),  # a straight line, whatever the last digits are
    ],
)
def test_knees_of_fronts_without_one(front: list[list[float]], expected: int) -> None:
    assert knee(front, ["min", "min"]) == expected


@given(points())
def test_a_knee_is_a_point_of_the_front(drawn: tuple[list[list[float]], list[str]]) -> None:
    values, modes = drawn
    front = [values[at] for at in pareto_front(values, modes)]
    if front:
        assert knee(front, modes) in range(len(front))


@given(st.lists(st.lists(st.floats(-1, 1), min_size=5, max_size=5), min_size=1, max_size=4))
def test_without_moderation_it_is_students_paired_t(rows: list[list[float]]) -> None:
    found = moderated_t(rows, deviation=0, weight=0)
    for row, t in zip(rows, found, strict=True):
        if np.std(row) > 1e-6:
            assert t == pytest.approx(stats.ttest_1samp(row, 0).statistic)


def test_the_deviation_moves_towards_the_others_and_the_rest_of_the_questions() -> None:
    row = [0.1, 0.2, 0.3, 0.4]
    plain = moderated_t(row, deviation=0.0, weight=0)[0]
    assert moderated_t(row, deviation=np.std(row, ddof=1), weight=8)[0] == pytest.approx(plain)
    wide = moderated_t(row, deviation=1.0, weight=8)[0]
    assert wide == pytest.approx(0.25 / math.sqrt((4 * np.var(row, ddof=1) + 8) / 12 / 4))
    assert moderated_t(row, deviation=0.0, weight=0, population=8)[0] == pytest.approx(plain * math.sqrt(2))
    assert moderated_t(row, deviation=0.0, weight=0, population=4)[0] == math.inf, "all of the questions are known"
    assert math.isnan(moderated_t([0, 0, 0], deviation=0, weight=8)[0])


def test_an_interval_is_that_of_scipy_and_holds_the_mean() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        values = rng.exponential(1.0, 60) - 0.5
        low, high = mean_interval(values, resamples=600, seed=seed)
        held += low <= 0.5 <= high
    assert 0.90 <= held / 300 <= 0.98


def test_groups_widen_an_interval_and_a_p_value() -> None:
    rng = np.random.default_rng(1)
    effects = np.repeat(rng.normal(0, 1, 20), 10)  # values of a group are alike
    values = effects + rng.normal(0, 0.1, 200) + 0.3
    groups = [f"g{at // 10}" for at in range(200)]
    plain, grouped = mean_interval(values), mean_interval(values, groups)
    assert grouped.high - grouped.low > 2 * (plain.high - plain.low)
    assert p_above_zero(values, groups) > p_above_zero(values)
    few = [f"g{at // 100}" for at in range(200)]
    assert mean_interval(values, few) == plain, "two groups say nothing of groups"


def test_intervals_of_what_does_not_vary() -> None:
    assert mean_interval([0.25] * 5) == (0.25, 0.25)
    assert mean_interval([0.25]) == (0.25, 0.25)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=30))
def test_a_p_value_is_that_of_scipys_t_test(values: list[float]) -> None:
    found = p_above_zero(values)
    if np.std(values) > 1e-6:
        least = stats.binomtest(count := np.count_nonzero(values), count).pvalue / 2 if np.any(values) else 1.0
        expected = stats.ttest_1samp(values, 0, alternative="greater").pvalue
        assert found == pytest.approx(max(least, expected), abs=1e-9)


def test_p_values_of_what_does_not_vary() -> None:
    assert [p_above_zero(values) for values in ([0.1] * 4, [-0.1] * 4, [0.0] * 4, [0.3], [])] == [1 / 16, 1, 1, 1, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_its_definition(p_values: list[float]) -> None:
    found = holm(p_values)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, at in enumerate(order):
        steps = [min(1.0, (len(p_values) - step) * p_values[order[step]]) for step in range(rank + 1)]
        assert found[at] == max(steps)


def test_with_as_many_questions_as_are_needed_the_power_is_as_asked() -> None:
    rng = np.random.default_rng(2)
    pilot = rng.normal(0.05, 0.2, 100_000)
    count = questions_needed(pilot)
    assert count == pytest.approx(126, abs=8)  # (1.96 + 0.84)^2 * 16
    found = sum(stats.ttest_1samp(rng.normal(0.05, 0.2, count), 0).pvalue < 0.05 for _ in range(600)) / 600
    assert 0.75 <= found <= 0.85
    assert questions_needed([0.0, 0.0]) is None
    assert questions_needed([0.1]) is None
    assert questions_needed([0.1, 0.1]) == 2


def test_win_shares() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(0.5, 0.2, 200)
    table = [base, base + rng.normal(0, 0.1, 200), base - 0.2]
    shares = win_shares(table)
    assert sum(shares) == pytest.approx(1)
    assert 0.02 < shares[0] < 0.98
    assert shares[2] == 0
    assert win_shares([[1.0, 0.0], [1.0, 0.0]]) == [0.5, 0.5]


@pytest.mark.parametrize(("count", "hits"), [(40, 0.1), (105, 0.05)])
def test_intervals_of_differences_of_hits_hold_about_as_often_as_they_say(count: int, hits: float) -> None:
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(300):
        values = rng.choice([-1.0, 0.0, 1.0], count, p=[hits / 2, 1 - 1.5 * hits, hits])
        low, high = mean_interval(values, resamples=400, seed=seed)
        held += low <= hits / 2 <= high
    assert held / 300 >= 0.9


def test_groups_need_more_questions() -> None:
    rng = np.random.default_rng(5)
    values = np.repeat(rng.normal(0.3, 1, 20), 10) + rng.normal(0, 0.1, 200)
    groups = [f"g{at // 10}" for at in range(200)]
    grouped, plain = questions_needed(values, groups), questions_needed(values)
    assert grouped is not None and plain is not None
    assert grouped > 3 * plain


def test_groups_of_unequal_size_count_as_fewer() -> None:
    assert effective_groups([3] * 10) == pytest.approx(10)
    assert effective_groups([20, 10, 3, 2, *[1] * 6]) == pytest.approx(41**2 / (400 + 100 + 9 + 4 + 6))


def test_a_test_with_unequal_groups_is_seldom_wrong() -> None:
    """Values that are alike within their documents; 40 of them, in 20 documents of 1 to 4."""
    sizes = [4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    groups = [f"d{at}" for at, size in enumerate(sizes) for _ in range(size)]
    rng = np.random.default_rng(5)
    wrong = held = 0
    for _ in range(600):
        values = np.repeat(rng.normal(0, 0.1, len(sizes)), sizes) + rng.normal(0, 0.1, sum(sizes))
        wrong += p_above_zero(values, groups) <= 0.025
        low, high = mean_interval(values, groups, resamples=199)
        held += low <= 0 <= high
    assert wrong <= 0.04 * 600
    assert held >= 0.93 * 600


def test_intervals_of_rare_differences_hold_the_mean() -> None:
    """One configuration hits in 3% of the questions where the other one misses, and in 1% it is the other way round."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(1000):
        low, high = mean_interval(rng.choice([1.0, -1.0, 0.0], 40, p=[0.03, 0.01, 0.96]), resamples=199)
        held += low <= 0.02 <= high
    assert held >= 0.93 * 1000 - 200  # in 0.96^40 = 20% no question differs, and nothing can be known


def test_too_many_questions_are_not_asked_for() -> None:
    assert questions_needed([0.1, 0.2, -0.3]) is None
    assert questions_needed([0.1, -0.1, 0.1, -0.1, 0.001]) is None
    assert questions_needed([0.1, 0.2, 0.1, -0.05], level=0.005) > questions_needed([0.1, 0.2, 0.1, -0.05])  # type: ignore[operator]


def test_quantiles() -> None:
    assert (quantile([4.0, 1.0, 3.0, 2.0], 0.5), quantile([7.0], 0.95)) == (2.5, 7.0)
