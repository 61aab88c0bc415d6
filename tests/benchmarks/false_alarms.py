"""How often "better than the default" is said wrongly, and how often the interval holds the true difference.

Whole searches on made-up scores: 24 configurations race all at once on 80 questions, the leaders and the default are
confirmed on 40 others. A third of the configurations are equal to the default, the others worse, so that whatever is
said to be better is said wrongly. Questions differ in difficulty, and scores are skewed.
"""

from __future__ import annotations

import concurrent.futures
import os
from collections.abc import Mapping
from typing import NamedTuple

import common
import numpy as np
from numpy.typing import NDArray

from raytuner.confirm import LEADERS, LEVEL, confirm
from raytuner.goals import Goal
from raytuner.schedulers.batch import BatchRace
from raytuner.stats import p_above_zero
from raytuner.values import Values

SEARCHES = 1000
CONFIGURATIONS = 24
EQUAL = 8
SEARCHED, HELD_OUT, BLOCK = 80, 40, 8
GOAL = Goal(metric="score", mode="max")
DEFAULT = 1
FALSE, LOWEST, HIGHEST = 0.05, 0.93, 0.97


class Outcome(NamedTuple):
    """What one search said.

    Attributes:
        claimed: Whether the configuration to take is said to be better than the default.
        covered: Whether the interval of the difference holds the true one; None if it is the default itself.
    """

    claimed: bool
    covered: bool | None


def simulate(seed: int) -> Outcome:
    """Search and confirm once."""
    rng = np.random.default_rng(seed)
    true = np.where(np.arange(CONFIGURATIONS) < EQUAL, 0.0, -rng.exponential(0.08, CONFIGURATIONS))
    scores = true[:, None] + _noise(rng) + rng.exponential(0.3, SEARCHED + HELD_OUT)
    costs = rng.permutation(CONFIGURATIONS).astype(float)
    finished = _race(scores[:, :SEARCHED])
    ranked = sorted(finished, key=lambda number: -scores[number - 1, :SEARCHED].mean())
    others = [number for number in ranked[1:] if number != DEFAULT and not _is_behind(scores, number, ranked[0])]
    leaders = [ranked[0], *others][:LEADERS]
    held = {number: _values(scores[number - 1, SEARCHED:], costs[number - 1]) for number in {*leaders, DEFAULT}}
    found = confirm(GOAL, held, chosen=leaders, default=DEFAULT, documents={})
    assert found is not None
    best = found.of(found.ties[0])
    assert best is not None
    versus = best.versus_default
    if versus is None:
        return Outcome(False, None)
    difference = true[best.trial - 1] - true[DEFAULT - 1]
    return Outcome(versus.is_sure, bool(versus.low <= difference <= versus.high))


def _is_behind(scores: NDArray[np.float64], one: int, best: int) -> bool:
    """As `raytuner.leaders.leading` has it."""
    return p_above_zero(scores[best - 1, :SEARCHED] - scores[one - 1, :SEARCHED]) <= LEVEL


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    """Of mean 0: that of the default is symmetric, that of the others skewed."""
    noise = rng.exponential(0.25, (CONFIGURATIONS, SEARCHED + HELD_OUT)) - 0.25
    noise[DEFAULT - 1] = rng.normal(0, 0.15, SEARCHED + HELD_OUT)
    return noise


def _values(scores: NDArray[np.float64], cost: float, start: int = 0) -> Values:
    return {f"q{start + at}": {"score": float(score), "chunk_tokens": cost} for at, score in enumerate(scores)}


def _race(scores: NDArray[np.float64]) -> set[int]:
    """The numbers of the configurations that have answered all questions of the search."""
    rule = BatchRace([GOAL], SEARCHED, kept=[DEFAULT])
    for number in range(1, CONFIGURATIONS + 1):
        rule.begin(number)
    for start in range(0, SEARCHED, BLOCK):
        for number in sorted(rule.running):
            rule.block(number, _values(scores[number - 1, start : start + BLOCK], 0.0, start))
        if start + BLOCK < SEARCHED and rule.is_look(start + BLOCK):
            rule.drop()
    for number in sorted(rule.running):
        rule.end(number)
    return rule.finished


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--searches", type=int, default=SEARCHES)
    args = parser.parse_args()
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(simulate, range(args.searches), chunksize=10))
    covered = [one.covered for one in outcomes if one.covered is not None]
    result: Mapping[str, float] = {
        "false_better": sum(one.claimed for one in outcomes) / len(outcomes),
        "coverage": sum(covered) / len(covered),
    }
    coverage = result["coverage"]
    rows = [
        common.Row(
            "said to be better, wrongly",
            f"{result['false_better']:.3f}",
            f"{FALSE:g} or less",
            result["false_better"] <= FALSE,
        ),
        common.Row(
            "intervals that hold", f"{coverage:.3f}", f"{LOWEST:g} to {HIGHEST:g}", LOWEST <= coverage <= HIGHEST
        ),
        common.Row("searches that took another one than the default", str(len(covered))),
    ]
    common.show(args, f"{len(outcomes)} searches", rows, result)


if __name__ == "__main__":
    main()
