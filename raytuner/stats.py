"""Statistics of results; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

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
