"""Optuna by its own ask and tell."""

from __future__ import annotations

import random
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from ray.tune.search import Searcher

from raytuner.goals import Goal
from raytuner.search.dimensions import MOST_WHOLE
from raytuner.search.task import Task
from raytuner.space import Choice, Parameter, Range, Raw
from raytuner.stats import nondominated_ranks

MOST = 200
"""So many finished trials are modelled; each suggestion takes the longer the more there are."""
KEPT = 120
"""So many stay when there are more: the best and some of the others."""
BEST = 40
"""Twice the number of those that the estimator takes for good, a tenth."""


class Excess:
    """How far the trial that is told now is beyond each limit, as Optuna's samplers ask for it."""

    now: tuple[float, ...] = ()

    def __call__(self, trial: FrozenTrial) -> tuple[float, ...]:
        """The constraints of the trial, which hold if none is above 0."""
        return self.now


class OptunaSearcher(Searcher):  # type: ignore[misc]
    """Suggests what Optuna's sampler asks for, in a time that does not grow with the trials.

    Ray's own wrapper keeps all trials, of which the tree-structured Parzen estimator makes a kernel each, in Python.
    Parameters are asked for one after the other, as in a function of Optuna's users, so that Optuna never sees those
    that are not active.

    Args:
        task: What is searched.
        sampler: Optuna's sampler.
        excess: What the sampler was given for constraints, if there are limits.
    """

    def __init__(self, task: Task, sampler: optuna.samplers.BaseSampler, excess: Excess | None = None) -> None:
        super().__init__(metric=task.metric, mode=task.mode)
        self._space = task.space
        self._distributions = {name: distribution(parameter) for name, parameter in task.space.parameters.items()}
        self._sampler = sampler
        self._rng = random.Random(0)
        self._goals = task.goals or [Goal.model_validate({"metric": task.metric, "mode": task.mode})]
        self._excess = excess or Excess()
        self._stopped = False
        self._study = self._new_study()
        for point in task.points:
            self._study.enqueue_trial(dict(point))
        self._numbers: dict[str, int] = {}  # of trials in flight in the study
        self._expected: dict[str, int] = {}  # the same of points that were not suggested here, by key
        self._finished = 0  # trials in the study

    def suggest(self, trial_id: str) -> Any:
        """The next point, until the sampler has seen all of a finite space."""
        if self._stopped:
            return Searcher.FINISHED
        trial = self._study.ask()
        self._numbers[trial_id] = trial.number
        return self._space.sample(lambda name: _suggest(trial, name, self._distributions[name]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell a score, or that there is none."""
        values = None if result is None or error else [result[goal.metric] for goal in self._goals]
        self._tell(self._numbers.pop(trial_id), values)

    def expect(self, raw: Raw) -> None:
        """Take note of a point that is evaluated now and was not suggested here."""
        self._expected[self._space.key(raw)] = self._add_running(self._active(raw))

    def add_evaluated_point(
        self,
        parameters: Raw,
        value: Any,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: list[float] | None = None,
    ) -> None:
        """Tell the score of a point that was not suggested here; `value` is one, or one for each objective."""
        number = self._expected.pop(self._space.key(parameters), None)
        if number is None:
            number = self._add_running(self._active(parameters))
        self._tell(number, None if error else value if isinstance(value, list) else [value])

    def _tell(self, number: int, values: list[float] | None) -> None:
        if values is None:
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._excess.now = self._beyond(values)
            self._study.tell(number, values)
        self._count()

    def _active(self, raw: Raw) -> Raw:
        return {name: raw[name] for name in self._space.active(raw)}

    def _beyond(self, values: list[float]) -> tuple[float, ...]:
        """How far values are beyond each limit."""
        pairs = zip(self._goals, values, strict=True)
        return tuple(goal.excess(value) for goal, value in pairs if goal.limit is not None)

    def _count(self) -> None:
        self._finished += 1
        if self._finished > MOST:
            self._forget()

    def _new_study(self) -> optuna.Study:
        directions = ["minimize" if goal.mode == "min" else "maximize" for goal in self._goals]
        study = optuna.create_study(sampler=self._sampler, directions=directions)
        study.stop = self._stop  # Optuna's own raises outside of its own loop
        return study

    def _stop(self) -> None:
        self._stopped = True

    def _forget(self) -> None:
        """Go on with a study of the best trials and some of the others."""
        known = {trial.number: trial for trial in self._study.get_trials(deepcopy=False)}
        scored = [trial for trial in known.values() if trial.state == TrialState.COMPLETE]
        ranks = nondominated_ranks([trial.values for trial in scored], [goal.mode or "max" for goal in self._goals])
        places = [(sum(self._beyond(trial.values)), rank) for trial, rank in zip(scored, ranks, strict=True)]
        ranked = [trial for _, trial in sorted(zip(places, scored, strict=True), key=lambda pair: pair[0])]
        # Of the others a sample: the last ones alone would make a good region look bad, since most of them lie in it.
        others = self._rng.sample(ranked[BEST:], min(KEPT - BEST, max(0, len(ranked) - BEST)))
        kept = {trial.number for trial in (*ranked[:BEST], *others)}
        waiting = [trial for trial in known.values() if trial.state == TrialState.WAITING]
        self._study = self._new_study()
        self._study.add_trials([known[number] for number in sorted(kept)])
        self._finished = len(kept)
        for numbers in (self._numbers, self._expected):
            numbers.update({name: self._add_running(known[number].params) for name, number in numbers.items()})
        self._study.add_trials(waiting)

    def _add_running(self, params: Raw) -> int:
        """Let the study know of a trial in flight with these active parameters, and give its number there."""
        distributions = {name: self._distributions[name] for name in params}
        self._study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=distributions))
        return len(self._study.get_trials(deepcopy=False)) - 1


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's domain of the raw values of a parameter."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.labels)
    assert isinstance(parameter, Range)  # others are refused beforehand
    few = (parameter.size() or 1) <= MOST_WHOLE  # of more, the Gaussian process would make a list
    if parameter.indexed:
        last = (parameter.size() or 1) - 1
        return IntDistribution(0, last) if few else FloatDistribution(0, last)
    if parameter.integer and parameter.step == 1 and few:
        return IntDistribution(int(parameter.low), int(parameter.high), log=True)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _suggest(trial: Trial, name: str, domain: BaseDistribution) -> Any:
    """Ask Optuna for the raw value of a parameter."""
    if isinstance(domain, CategoricalDistribution):
        return trial.suggest_categorical(name, domain.choices)
    if isinstance(domain, IntDistribution):
        return trial.suggest_int(name, domain.low, domain.high, log=domain.log)
    assert isinstance(domain, FloatDistribution)
    return trial.suggest_float(name, domain.low, domain.high, log=domain.log)


def make_sampler(
    name: str, task: Task, n_startup_trials: int, excess: Excess | None = None
) -> optuna.samplers.BaseSampler:
    """One of Optuna's samplers; see `raytuner.search.systems.optuna`."""
    seed = task.seed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)  # its new way of constraints is not in older versions
        limits: Mapping[str, Any] = {"constraints_func": excess} if excess is not None else {}
        if name == "gp":
            return optuna.samplers.GPSampler(
                seed=seed, n_startup_trials=n_startup_trials, deterministic_objective=True, **limits
            )
        if name == "cmaes":
            return optuna.samplers.CmaEsSampler(seed=seed, n_startup_trials=max(1, n_startup_trials))
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=10, **limits)
        if name == "brute_force":
            return optuna.samplers.BruteForceSampler(seed=seed)
        # Parameters that are active together are modelled together; told of trials in flight.
        conditional = any(parameter.when for parameter in task.space.parameters.values())
        return optuna.samplers.TPESampler(
            seed=seed,
            multivariate=True,
            group=conditional,
            constant_liar=True,
            n_startup_trials=n_startup_trials,
            **limits,
        )
