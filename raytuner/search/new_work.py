"""What a configuration costs beyond what others have made already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raytuner.search.task import Work
from raytuner.space import Raw, SearchSpace

MOST_COST = 5.0
"""A trial with all of its work to do costs at most so many times one without."""
TRIAL_SECONDS = 10.0
"""A trial counts as so long at least, whatever it can reuse: little work is no reason to try what is worse."""


class NewWork:
    """Weighs what configurations may gain with the work that nothing before them has done.

    Gain is divided by cost (Snoek, Larochelle and Adams 2012, section 3.2) to a power that falls from 1 to 0 as the
    trials are used up (Lee, Perrone, Archambeau and Seeger 2020, Cost-aware Bayesian optimization): at the end only
    gain counts. A cost is never above `MOST_COST`, so that what is cheap cannot keep what is much better waiting.

    Args:
        space: The space.
        work: What a configuration needs.
        trials: The most configurations that will be evaluated; None if that is not known.
    """

    def __init__(self, space: SearchSpace, work: Work, trials: int | None) -> None:
        self._space = space
        self._work = work
        self._trials = trials
        self._needs: dict[str, Mapping[str, float]] = {}  # key of a configuration -> artefacts

    def order(self, candidates: Sequence[Raw], gains: NDArray[np.float64], started: Sequence[Raw]) -> NDArray[np.intp]:
        """The candidates by gain for their cost, the best first.

        Args:
            candidates: Configurations.
            gains: What is expected of each; not negative.
            started: Configurations whose work is done or being done.
        """
        order = np.argsort(-gains, kind="stable")
        # The others cannot win, whatever they cost.
        close = [int(i) for i in order if gains[i] * MOST_COST >= gains[order[0]]]
        costs = self._costs([candidates[i] for i in close], started)
        first = [close[i] for i in np.lexsort((costs, -gains[close] / costs))]
        return np.array([*first, *order[len(close) :]], dtype=np.intp)

    def _costs(self, candidates: Sequence[Raw], started: Sequence[Raw]) -> NDArray[np.float64]:
        made = {key for raw in started for key in self._needed(raw)}
        needs = [self._needed(raw) for raw in candidates]
        all_of_it = max((sum(need.values()) for need in (*needs, *map(self._needed, started))), default=0.0)
        trial = max(TRIAL_SECONDS, all_of_it / (MOST_COST - 1))
        new = np.array([sum(seconds for key, seconds in need.items() if key not in made) for need in needs])
        left = 1.0 if not self._trials else max(0.0, 1 - len(started) / self._trials)
        return (1 + new / trial) ** left

    def _needed(self, raw: Raw) -> Mapping[str, float]:
        key = self._space.key(raw)
        if key not in self._needs:
            self._needs[key] = self._work(self._space.configuration(raw))
        return self._needs[key]
