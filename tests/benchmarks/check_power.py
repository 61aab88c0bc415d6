"""How often `raytuner check` fails: without a drop, and with drops of several sizes, by simulation.

Each question is a hit with probability 0.7 in the baseline. Today 5% of the questions have become hits and 5% misses,
as another model or a new tokenizer may do it, and a share of the hits is lost, so that the mean drops by DROP on
average.
"""

from __future__ import annotations

import random

import common

HITS, NOISE = 0.7, 0.05
DROPS = (0.0, 0.02, 0.05, 0.1, 0.2)
QUESTIONS = (30, 60, 120, 300)


def fails(drop: float, count: int, seed: int, max_drop: float) -> bool:
    """Whether one simulated check fails."""
    from raytuner.check import Check
    from raytuner.compare_runs import compare
    from raytuner.goals import Goal
    from raytuner.scored_run import Scored

    rng = random.Random(f"check {drop} {count} {seed}")
    before = [float(rng.random() < HITS) for _ in range(count)]
    changed = [1 - value if rng.random() < NOISE / (HITS if value else 1 - HITS) else value for value in before]
    after = [0.0 if value and rng.random() < drop / HITS else value for value in changed]
    goal = Goal(metric="hit", mode="max")
    rows = [{f"q{at:04}": {"hit": value} for at, value in enumerate(own)} for own in (before, after)]
    then, now = (Scored("run", None, {}, goal, own, {}, {}, {}, {}) for own in rows)
    return not Check(comparison=compare(then, now), max_drop=max_drop, seconds=0.0, cost=None).passed


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--max-drop", type=float, default=0.02)
    parser.add_argument("--repeats", type=int, default=400)
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error("--repeats must be at least 1")
    result = {
        str(count): {
            str(drop): sum(fails(drop, count, seed, args.max_drop) for seed in range(args.repeats)) / args.repeats
            for drop in DROPS
        }
        for count in QUESTIONS
    }
    rows = []
    for count, found in result.items():
        for drop, share in found.items():
            label = f"{count} questions, a drop of {drop}"
            rows.append(common.at_most(label, share, 0.05) if drop == "0.0" else common.Row(label, f"{share:.3f}"))
    common.show(args, f"How often a check fails with --max-drop {args.max_drop:g}", rows, result)


if __name__ == "__main__":
    main()
