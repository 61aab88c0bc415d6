"""Statistics of results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(values: ArrayLike, modes: Sequence[str]) -> list[int]:
    """The points that no other point dominates: at least as good in all objectives, and better in one.

    Args:
        values: A row for each of n points, a column for each of k objectives.
        modes: For each objective ``max`` or ``min``.

    Returns:
        The positions of the points on the front, ascending. Of equal points all are on it; those with a NaN are not.
    """
    losses = _losses(values, modes)
    known = np.flatnonzero(~np.isnan(losses).any(axis=1))
    rest = known[np.lexsort(losses[known].T[::-1])]
    front: list[int] = []
    while len(rest):
        first = rest[0]  # whatever dominates it would come before it in lexicographic order
        front.append(int(first))
        rest = rest[1:]
        better = (losses[rest] < losses[first]).any(axis=1)
        rest = rest[better | (losses[rest] == losses[first]).all(axis=1)]
    return sorted(front)


def nondominated_ranks(values: ArrayLike, modes: Sequence[str]) -> list[int]:
    """The rank of each point: 0 on the Pareto front, 1 on that of the others, and so on (Deb et al. 2002, NSGA-II).

    Args:
        values: As for `pareto_front`, without NaN.
        modes: For each objective ``max`` or ``min``.
    """
    table = np.asarray(values, dtype=float).reshape(-1, len(modes))
    ranks = np.zeros(len(table), dtype=int)
    rest, rank = np.arange(len(table)), 0
    while len(rest):
        front = rest[pareto_front(table[rest], modes)]
        ranks[front] = rank
        rest, rank = np.setdiff1d(rest, front), rank + 1
    return [int(rank) for rank in ranks]


def knee(values: ArrayLike, modes: Sequence[str]) -> int:
    """The knee of a Pareto front: where giving up some of one objective gains the most of the others.

    It is the point farthest from the hyperplane through the extremes, on the side of better values, after each
    objective has been brought to 0 (its best value on the front) to 1 (its worst): Das, "On characterizing the 'knee'
    of the Pareto curve based on normal-boundary intersection", Structural Optimization 18 (1999). The extremes are
    taken as best in one objective and worst in all others, which with two objectives they are; so the knee is the point
    with the least sum. A front without such a side has an extreme for its knee.

    Args:
        values: The points of the front, as for `pareto_front`; at least one.
        modes: For each objective ``max`` or ``min``.

    Returns:
        The position of the knee; of equally far points the first.
    """
    losses = _losses(values, modes)
    low = losses.min(axis=0)
    span = losses.max(axis=0) - low
    normalised = (losses - low) / np.where(span > 0, span, 1.0)
    return int(np.argmin(np.round(normalised.sum(axis=1), 12)))


def _losses(values: ArrayLike, modes: Sequence[str]) -> NDArray[np.float64]:
    """Values as something to be minimised."""
    signs = np.array([1.0 if mode == "min" else -1.0 for mode in modes])
    losses: NDArray[np.float64] = np.asarray(values, dtype=float).reshape(-1, len(modes)) * signs
    return losses


def moderated_t(
    differences: ArrayLike, *, deviation: ArrayLike, weight: float, population: int | None = None
) -> NDArray[np.float64]:
    """Student's paired t with a moderated deviation, for one pair of configurations or for many.

    With m differences of mean d and standard deviation s it is ``t = d / se``, where

    - ``se^2 = s~^2 / m * (1 - m / n)``, the last factor being the correction for a sample without replacement from
      n questions (Cochran, "Sampling Techniques", 3rd edition 1977, equation 2.20);
    - ``s~^2 = (m s^2 + w s0^2) / (m + w)`` draws the deviation towards s0, that of other pairs, as if s0 came of w
      questions (a moderated t: Smyth, "Linear models and empirical Bayes methods", 2004, equation 1).

    Args:
        differences: m values, or a row of m values for each pair.
        deviation: s0.
        weight: w.
        population: n; None is without limit.

    Returns:
        t for each row; NaN where mean and deviation are 0.
    """
    table = np.atleast_2d(np.asarray(differences, dtype=float))
    count = table.shape[1]
    variance = table.var(axis=1, ddof=1) if count > 1 else np.zeros(len(table))
    moderated = (count * variance + weight * np.square(deviation)) / (count + weight)
    left = 1.0 if population is None else max(0.0, 1 - count / population)
    with np.errstate(divide="ignore", invalid="ignore"):
        t: NDArray[np.float64] = table.mean(axis=1) / np.sqrt(moderated / count * left)
    return t


class Interval(NamedTuple):
    """Where a mean lies."""

    low: float
    high: float


FEWEST_CLUSTERS = 10
"""With fewer groups than this (`effective_groups`) an interval over groups says next to nothing; questions are
resampled instead."""
MANY = 2000
"""With more groups than this, or values, an interval is that of the normal distribution."""


def mean_interval(
    values: ArrayLike, groups: Sequence[str] = (), *, level: float = 0.95, resamples: int = 1999, seed: int = 0
) -> Interval:
    """A studentised bootstrap interval of a mean (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).

    With the mean m and its standard error e it is from ``m - t_high e`` to ``m - t_low e``, where the t are quantiles
    of ``(m* - m) / e*`` over resamples, and never narrower than Student's: where most values are equal, as differences
    of hits are, too many resamples hold nothing else. If at least half of the values are 0, it holds that of Wald too
    after half a value of the largest size was added on each side, and one of 0 (Agresti and Min, "Simple improved
    confidence intervals for comparing matched proportions", 2005): a few differences by chance may all be of one sign.

    Args:
        values: n values, e.g. differences of two configurations on the same questions.
        groups: The group of each value; values of a group depend on each other, so that whole groups are resampled
            if there are `FEWEST_CLUSTERS` of them or more (Cameron, Gelbach and Miller, "Bootstrap-based improvements
            for inference with clustered errors", 2008), as `effective_groups` counts them. None by default.
        level: How often such an interval holds the mean.
        resamples: How often is drawn; above `MANY` groups, where the t are those of a normal distribution, not at all.
        seed: Of the draws.
    """
    sums, counts = _by_group(values, groups)
    mean, error = _mean_and_error(sums, counts)
    least = _of_rare(np.asarray(values, dtype=float), level)
    if not error > 0:
        return _hull(Interval(float(mean), float(mean)), least)
    from scipy.special import ndtri, stdtrit

    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if len(sums) > MANY:
        low, high = ndtri(tails)
    else:
        drawn = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
        means, errors = _mean_and_error(sums[drawn], counts[drawn])
        varying = errors > 0  # what is left where most values are equal says too little
        student_low, student_high = stdtrit(_effective(counts) - 1, tails)
        low, high = np.quantile((means[varying] - mean) / errors[varying], tails)
        low, high = min(low, student_low), max(high, student_high)
    return _hull(Interval(float(mean - high * error), float(mean - low * error)), least)


def _of_rare(values: NDArray[np.float64], level: float) -> Interval | None:
    """Agresti and Min's interval, if at least half of the values are 0 and not all."""
    from scipy.special import ndtri

    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or 2 * np.count_nonzero(values) > len(values):
        return None
    count = len(values) + 2
    mean = float(values.sum()) / count
    variance = (float(np.square(values).sum()) + largest**2) / count - mean**2
    half = float(ndtri((1 + level) / 2)) * math.sqrt(variance / count)
    return Interval(mean - half, mean + half)


def _hull(one: Interval, other: Interval | None) -> Interval:
    return one if other is None else Interval(min(one.low, other.low), max(one.high, other.high))


def effective_groups(counts: ArrayLike) -> float:
    """As how many groups of equal size some groups count: ``(sum n)^2 / sum n^2``.

    Source: Kish, "Survey Sampling", 1965, section 11.7, the loss by unequal weights; for values that are alike within
    a group it is Carter, Schnepel and Steigerwald's effective number of clusters ("Asymptotic behavior of a t-test
    robust to cluster heterogeneity", 2017).

    Args:
        counts: How many values each group has.
    """
    return _effective(np.asarray(counts, dtype=float))


def _effective(counts: NDArray[np.float64]) -> float:
    return float(counts.sum() ** 2 / np.square(counts).sum())


def p_above_zero(values: ArrayLike, groups: Sequence[str] = ()) -> float:
    """The one-sided p-value of Student's t test that a mean is not above 0, with groups as in `mean_interval`.

    There are G - 1 degrees of freedom for G groups, as `effective_groups` counts them. Without groups it is the usual
    test. It is never below 2^-k for k values that are not 0, the least p-value of the sign test: a few equal values
    have no deviation.

    Returns:
        The p-value; 1 for fewer than two values, or if all are 0.
    """
    from scipy.special import stdtr

    sums, counts = _by_group(values, groups)
    if len(sums) < 2:
        return 1.0
    mean, error = _mean_and_error(sums, counts)
    least = 0.5 ** np.count_nonzero(np.asarray(values, dtype=float))
    if error == 0:
        return float(least) if mean > 0 else 1.0
    return max(float(least), float(stdtr(_effective(counts) - 1, -mean / error)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, "A simple sequentially rejective multiple test procedure", 1979)."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, at in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = largest
    return corrected


def questions_needed(
    differences: ArrayLike, groups: Sequence[str] = (), *, power: float = 0.8, level: float = 0.025
) -> int | None:
    """How many questions it takes to tell two configurations apart, if they differ as they did on these.

    The normal approximation of a paired one-sided test: ``n ((z_(1 - level) + z_power) * error / mean)^2``, where n
    questions gave the mean with this standard error (e.g. Chow, Shao and Wang, "Sample Size Calculations in Clinical
    Research", chapter 3).

    Args:
        differences: One for each of n questions.
        groups: See `mean_interval`; further questions are taken to come in groups of the same size.
        power: How often they are to be told apart.
        level: Of the test; where several are made, that of each.

    Returns:
        The number, at least 2; None if the mean difference is 0 or so small that it takes more than `MOST_NEEDED`, or
        there are fewer than two questions.
    """
    from scipy.special import ndtri

    sums, counts = _by_group(differences, groups)
    if len(sums) < 2 or abs(sums.sum()) <= 1e-9 * np.abs(sums).sum():
        return None
    mean, error = _mean_and_error(sums, counts)
    size = float((ndtri(1 - level) + ndtri(power)) * error / mean)
    needed = max(2, math.ceil(float(counts.sum()) * size**2))
    return needed if needed <= MOST_NEEDED else None


MOST_NEEDED = 10_000
"""More questions than this would only be asked for since the difference happens to be next to nothing."""


def quantile(values: ArrayLike, share: float) -> float:
    """A sample quantile, interpolated between neighbours (Hyndman and Fan, "Sample quantiles", 1996, definition 7).

    Args:
        values: At least one.
        share: From 0 to 1.
    """
    return float(np.quantile(np.asarray(values, dtype=float), share))


def win_shares(scores: ArrayLike, *, resamples: int = 2000, seed: int = 0) -> list[float]:
    """How often each configuration would win, if the questions were drawn anew from these.

    Args:
        scores: What is to be maximised: a row for each configuration, a column for each question.
        resamples: How often they are drawn.
        seed: Of the draws.

    Returns:
        For each configuration a share; they add up to 1. Equal ones share a win.
    """
    table = np.atleast_2d(np.asarray(scores, dtype=float))
    draws = np.random.default_rng(seed).multinomial(table.shape[1], [1 / table.shape[1]] * table.shape[1], resamples)
    totals = np.round(table @ draws.T, 9)
    wins = totals == totals.max(axis=0)
    return [float(share) for share in (wins / wins.sum(axis=0)).mean(axis=1)]


def _by_group(values: ArrayLike, groups: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sum and the number of the values in each group; each value by itself if there are too few groups."""
    table = np.asarray(values, dtype=float)
    names, at = np.unique(np.asarray(groups), return_inverse=True) if len(groups) else ((), ())
    counts = np.bincount(at).astype(np.float64) if len(names) else np.zeros(1)
    if len(names) < FEWEST_CLUSTERS or _effective(counts) < FEWEST_CLUSTERS:
        return table, np.ones(len(table))
    return np.bincount(at, weights=table).astype(np.float64), counts


def _mean_and_error(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[Any, Any]:
    """The mean and its standard error, of groups along the last axis; of one group the error is NaN.

    The mean is a ratio of sums, with the error of its linearisation (Cochran, "Sampling Techniques", 3rd edition 1977,
    equation 2.39): ``e^2 = G / (G - 1) * sum_g (s_g - m n_g)^2 / n^2`` with G groups of n_g values with sum s_g.
    """
    total, number = counts.sum(axis=-1), sums.shape[-1]
    mean = sums.sum(axis=-1) / total
    squares = np.square(sums - np.expand_dims(mean, -1) * counts).sum(axis=-1)
    squares = np.where(squares < 1e-24 * number, 0.0, squares)  # what rounding leaves of equal values
    correction = number / (number - 1) if number > 1 else math.nan
    return mean, np.sqrt(correction * squares) / total
