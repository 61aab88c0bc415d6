"""Optuna by its own ask and tell."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from ray.tune.search import Searcher

from raytuner.space import Raw

MOST = 200
"""So many finished trials are modelled; each suggestion takes the longer the more there are."""
KEPT = 120
"""So many stay when there are more: the best and some of the others."""
BEST = 40
"""Twice the number of those that the estimator takes for good, a tenth."""


class OptunaSearcher(Searcher):  # type: ignore[misc]
    """Suggests what Optuna's sampler asks for, in a time that does not grow with the trials.

    Ray's own wrapper keeps all trials, of which the tree-structured Parzen estimator makes a kernel each, in Python.

    Args:
        distributions: The domain of each parameter.
        sampler: Optuna's sampler.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        points: Points to suggest before all others.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        sampler: optuna.samplers.BaseSampler,
        metric: str,
        mode: str,
        points: Sequence[Raw],
    ) -> None:
        super().__init__(metric=metric, mode=mode)
        self._distributions = dict(distributions)
        self._sampler = sampler
        self._rng = random.Random(0)
        self._direction = "minimize" if mode == "min" else "maximize"
        self._study = self._new_study()
        for point in points:
            self._study.enqueue_trial(dict(point))
        self._numbers: dict[str, int] = {}  # of trials in flight in the study
        self._finished = 0  # trials in the study

    def suggest(self, trial_id: str) -> Any:
        """The next point."""
        trial = self._study.ask(self._distributions)
        self._numbers[trial_id] = trial.number
        return trial.params

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell a score, or that there is none."""
        number = self._numbers.pop(trial_id)
        if result is None or error:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, result[self.metric])
        self._finished += 1
        if self._finished > MOST:
            self._forget()

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(sampler=self._sampler, direction=self._direction)

    def _forget(self) -> None:
        """Go on with a study of the best trials and some of the others."""
        known = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
        scored = [trial for trial in known.values() if trial.state == TrialState.COMPLETE]
        ranked = sorted(scored, key=lambda trial: trial.values[0], reverse=self._direction == "maximize")
        # Of the others a sample: the last ones alone would make a good region look bad, since most of them lie in it.
        others = self._rng.sample(ranked[BEST:], min(KEPT - BEST, max(0, len(ranked) - BEST)))
        kept = {trial.number for trial in (*ranked[:BEST], *others)}
        waiting = [trial for trial in known.values() if trial.state == TrialState.WAITING]
        self._study = self._new_study()
        self._study.add_trials([known[number] for number in sorted(kept)])
        self._finished = len(kept)
        self._numbers = {name: self._add_running(known[number]) for name, number in self._numbers.items()}
        self._study.add_trials(waiting)

    def _add_running(self, trial: FrozenTrial) -> int:
        again = create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)
        self._study.add_trial(again)
        return len(self._study.get_trials(deepcopy=False)) - 1


def tpe(seed: int) -> optuna.samplers.BaseSampler:
    """The tree-structured Parzen estimator, over all parameters together, told of trials in flight."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
