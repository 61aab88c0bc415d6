"""A race against the best so far, on made-up scores whose winner is known."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy import stats

from raytuner.goals import Goal
from raytuner.schedulers.race import Race
from raytuner.schedulers.rule import Rule
from raytuner.values import Values

MAX = [Goal(metric="score", mode="max")]
MIN = [Goal(metric="score", mode="min")]
BOTH = [Goal(metric="score", mode="max"), Goal(metric="cost", mode="min")]
TOTAL = 80


def blocks(scores: Sequence[float] | Sequence[tuple[float, float]], size: int = 8) -> Iterator[Values]:
    """Scores as a trial reports them; pairs are score and cost."""
    for start in range(0, len(scores), size):
        yield {
            f"q{start + at}": dict(
                zip(("score", "cost"), score if isinstance(score, tuple) else (score,), strict=False)
            )
            for at, score in enumerate(scores[start : start + size])
        }


def run(rule: Rule, number: int, scores: Sequence[float] | Sequence[tuple[float, float]]) -> str | None:
    """Run a trial to its end, or until it is stopped."""
    rule.begin(number)
    for values in blocks(scores):
        if (reason := rule.block(number, values)) is not None:
            return reason
    rule.end(number)
    return None


def noisy(mean: float, seed: int, total: int = TOTAL) -> list[float]:
    rng = random.Random(seed)
    return [mean + rng.gauss(0, 0.1) for _ in range(total)]


@pytest.mark.parametrize(("goals", "sign"), [(MAX, 1), (MIN, -1)])
def test_what_is_far_behind_is_stopped_at_the_first_look(goals: list[Goal], sign: int) -> None:
    race = Race(goals, TOTAL)
    assert run(race, 1, [sign * score for score in noisy(0.8, 1)]) is None
    reason = run(race, 2, [sign * score for score in noisy(0.2, 2)])
    assert reason is not None
    assert "behind trial 1 on 16 questions" in reason
    assert race.count(2) == 16
    assert (race.running, race.finished) == (set(), {1})


def test_what_is_better_is_never_stopped() -> None:
    race = Race(MAX, TOTAL)
    for number, mean in enumerate((0.3, 0.4, 0.5, 0.6), 1):
        assert run(race, number, noisy(mean, number)) is None


def test_near_winners_are_seldom_stopped() -> None:
    """Of two that are alike, the one that is better on all questions; looked at eight times at 0.005 each."""
    winners = stopped = 0
    for seed in range(300):
        first, second = noisy(0.5, 2 * seed), noisy(0.5, 2 * seed + 1)
        race = Race(MAX, TOTAL)
        run(race, 1, first)
        reason = run(race, 2, second)
        if sum(second) > sum(first):
            winners += 1
            stopped += reason is not None
    assert winners > 100
    assert stopped <= 0.03 * winners


@pytest.mark.parametrize("where", [range(8, 16), range(0, 80, 9)])
def test_failed_questions_are_left_out_of_the_comparison(where: range) -> None:
    """In one block, or here and there; in one of the two, or in both."""
    for both in (False, True):
        race = Race(MAX, TOTAL)
        good = [math.nan if both and at in where else score for at, score in enumerate(noisy(0.6, 1))]
        alike = [math.nan if at in where else score + 0.001 for at, score in enumerate(noisy(0.6, 1))]
        bad = [math.nan if at in where else score - 0.3 for at, score in enumerate(noisy(0.6, 1))]
        assert run(race, 1, good) is None
        assert run(race, 2, alike) is None
        reason = run(race, 3, bad)
        assert reason is not None
        assert "0.3010 behind trial 2 on" in reason
        assert race.failed(2) == len(where)
        assert race.told(3)["score"] == pytest.approx(race.values(race.means(2))["score"] - 0.301)


def test_a_first_block_without_any_score_waits_for_more() -> None:
    race = Race(MAX, TOTAL)
    run(race, 1, noisy(0.6, 1))
    race.begin(2)
    assert race.block(2, {f"q{at}": {} for at in range(16)}) is None
    assert math.isnan(race.means(2)[0])


def test_all_scores_equal() -> None:
    race = Race(MAX, TOTAL)
    assert run(race, 1, [0.5] * TOTAL) is None
    assert run(race, 2, [0.5] * TOTAL) is None
    assert run(race, 3, [0.4] * TOTAL) is not None, "always worse by the same"


def test_what_is_stopped_is_told_as_the_other_and_the_difference() -> None:
    """The first questions are easy here: the mean so far of the one that is stopped is above the best's."""
    race = Race(MAX, TOTAL)
    best = [0.9 + 0.01 * (at % 3) for at in range(16)] + [0.1] * (TOTAL - 16)
    worse = [score - 0.2 - 0.01 * (at % 2) for at, score in enumerate(best)]
    assert run(race, 1, best) is None
    assert run(race, 2, worse) is not None
    assert sum(worse[:16]) / 16 > sum(best) / TOTAL
    assert race.told(2)["score"] == pytest.approx(sum(best) / TOTAL - 0.205)


def test_trials_in_flight_are_compared_on_what_they_share() -> None:
    race = Race(MAX, TOTAL)
    good, bad = list(blocks(noisy(0.8, 1))), list(blocks(noisy(0.2, 2)))
    race.begin(1)
    race.begin(2)
    assert race.block(2, bad[0]) is race.block(2, bad[1]) is None, "the other one has nothing yet"
    assert race.block(1, good[0]) is race.block(1, good[1]) is None
    reason = race.block(2, bad[2])
    assert reason is not None
    assert "on 16 questions" in reason


def test_nothing_is_stopped_by_one_that_was_stopped_or_has_failed() -> None:
    race = Race(MAX, TOTAL)
    race.begin(1)
    for values in blocks(noisy(0.9, 1)):
        race.block(1, values)
    race.end(1, failed=True)
    assert run(race, 2, noisy(0.2, 2)) is None
    assert run(race, 3, noisy(0.1, 3)) is not None
    assert race.finished == {2}


def test_kept_ones_run_on_and_count() -> None:
    race = Race(MAX, TOTAL, kept=[2])
    run(race, 1, noisy(0.8, 1))
    assert run(race, 2, noisy(0.2, 2)) is None
    assert race.finished == {1, 2}


def test_questions_without_a_number_are_left_out() -> None:
    race = Race(MAX, TOTAL)
    run(race, 1, [math.nan if at % 4 == 0 else 0.8 + 0.001 * at for at in range(TOTAL)])
    assert run(race, 2, [math.nan] * 16 + noisy(0.2, 2)[16:]) is not None
    assert race.count(2) == 40, "16 questions have to be shared: a quarter of them has no number"
    assert run(race, 3, [math.nan] * TOTAL) is None


def test_nothing_is_stopped_on_its_last_block() -> None:
    race = Race(MAX, 16)
    assert run(race, 1, [0.9] * 16) is None
    assert run(race, 2, [0.1] * 16) is None


def test_the_total_is_learnt_from_the_first_trial() -> None:
    race = Race(MAX)
    run(race, 1, [0.9] * 16)
    assert race.total == 16
    assert run(race, 2, [0.1] * 16) is None


def test_several_objectives_only_what_is_dominated_is_stopped() -> None:
    race = Race(BOTH, TOTAL)
    cost = noisy(100, 9)
    assert run(race, 1, list(zip(noisy(0.8, 1), cost, strict=True))) is None
    cheap = [10 + 0.1 * value for value in cost]
    assert run(race, 2, list(zip(noisy(0.2, 2), cheap, strict=True))) is None, "worse, but cheaper"
    dear = [2 * value for value in cost]
    assert run(race, 3, list(zip(noisy(0.9, 3), dear, strict=True))) is None, "better, but dear"
    reason = run(race, 4, list(zip(noisy(0.5, 4), dear, strict=True)))
    assert reason is not None
    assert "behind trial 1" in reason
    assert set(race.told(4)) == {"score", "cost"}
    assert race.told(4)["cost"] == pytest.approx(200, rel=0.1)
    same = list(zip(noisy(0.2, 5), cost, strict=True))
    assert run(race, 5, same) is not None, "equal in one on all questions, and worse in the other"


def test_what_is_surely_beyond_a_limit_is_stopped() -> None:
    goals = [Goal(metric="score", mode="max"), Goal(metric="cost", mode="min", limit=50)]
    race = Race(goals, TOTAL)
    reason = run(race, 1, list(zip(noisy(0.8, 1), noisy(90, 2), strict=True)))
    assert reason is not None
    assert "cost 90.0, more than 50, on 16 questions" in reason
    assert run(race, 2, list(zip(noisy(0.8, 3), noisy(49.9, 4), strict=True))) is None


def test_the_deviation_is_drawn_towards_that_of_others() -> None:
    """A near-twin of the best that happens to be a little worse on the first questions, almost by the same."""
    best = noisy(0.5, 1)
    twin = [score - 0.002 - 0.0001 * (at % 2) if at < 40 else score + 0.01 for at, score in enumerate(best)]
    for weight, is_stopped in ((0.0, True), (8.0, False)):
        race = Race(MAX, TOTAL, weight=weight)
        run(race, 1, best)
        for number in range(2, 7):
            run(race, number, noisy(0.45, number))
        assert (run(race, 7, twin) is not None) is is_stopped


def test_the_test_is_the_paired_t_test_of_scipy() -> None:
    """Without moderation and correction, a trial is stopped exactly where scipy's p-value is below the level."""
    for seed in range(60):
        first, second = noisy(0.5, 2 * seed, 24), noisy(0.43, 2 * seed + 1, 24)
        race = Race(MAX, None, weight=0.0, level=0.01)
        race.begin(1)
        race.begin(2)
        for one, other in itertools.zip_longest(blocks(first), blocks(second)):
            race.block(1, one)
            reason = race.block(2, other)
            if reason is not None:
                break
        looked = [
            stats.ttest_rel(second[:count], first[:count], alternative="less").pvalue < 0.01 for count in (16, 24)
        ]
        leaders = [np.mean(second[:count]) < np.mean(first[:count]) for count in (16, 24)]
        if 1 in race.running:  # else it was the other way round
            assert (reason is not None) == any(np.logical_and(looked, leaders))
