"""The Pareto front and its knee by their definitions, tests against scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from raytuner.stats import knee, moderated_t, nondominated_ranks, pareto_front

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
