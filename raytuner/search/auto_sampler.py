"""`auto` as a sampler for Optuna's own users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from raytuner.errors import SearchError, SpaceError
from raytuner.search.auto import Auto, Known
from raytuner.search.task import Work
from raytuner.space import Choice, Parameter, Params, Range, Raw, SearchSpace


class AutoSampler(optuna.samplers.BaseSampler):  # type: ignore[misc]
    """Suggests what ``auto`` would, to ``optuna.create_study(sampler=AutoSampler(...))``.

    It must know the space before the first trial, and the conditions in it; the study's function asks for the values
    by the same names and bounds (``suggest_categorical``, ``suggest_int``, ``suggest_float``). Whatever else it asks
    for is drawn at random.

    Args:
        search_space: The space, or the param dict of one; see `SearchSpace.from_dict`.
        seed: Fixes the sequence of configurations, with one trial at a time.
        trials: The most trials that the study will have; None if that is not known.
        work: What work a configuration needs; see `raytuner.search.task.Work`.

    Raises:
        SpaceError: The space cannot be read, or Optuna has no such parameter.
    """

    def __init__(
        self,
        search_space: SearchSpace | Mapping[str, Any],
        seed: int = 0,
        *,
        trials: int | None = None,
        work: Work | None = None,
    ) -> None:
        space = search_space if isinstance(search_space, SearchSpace) else SearchSpace.from_dict(search_space)
        self._space = space
        self._distributions = {name: _distribution(name, parameter) for name, parameter in space.parameters.items()}
        self._auto = Auto(space, seed, trials, work)
        self._others = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space."""
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The values of all active parameters; none if all of the space was tried.

        Raises:
            SearchError: The study has several objectives.
        """
        if len(study.directions) > 1:
            raise SearchError(f"AutoSampler takes one objective, this study has {len(study.directions)}; make them one")
        sign = 1 if study.direction == StudyDirection.MAXIMIZE else -1
        known: list[Known] = []
        pending: list[Raw] = []
        for other in study.get_trials(deepcopy=False):
            raw = self._raw(other.params)
            if raw is None or other.number == trial.number:
                continue
            if other.state.is_finished():
                value = other.values[0] if other.state == TrialState.COMPLETE and other.values else None
                known.append(Known(raw, None if value is None else sign * value))
            elif other.state == TrialState.RUNNING:
                pending.append(raw)
        found = self._auto.suggest(known, pending)
        return {} if found is None else self._space.configuration(found)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A value at random, for what is not in the space."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def _raw(self, params: Params) -> Raw | None:
        """The raw sample of a trial; None if it has none, or one of another space."""
        own = {name: value for name, value in params.items() if name in self._space.parameters}
        if not own:
            return None
        try:
            return self._space.canonical(self._space.encode(own))
        except SpaceError:
            return None


def _distribution(name: str, parameter: Parameter) -> BaseDistribution:
    """Optuna's domain of the values of a parameter, as a study's function asks for them."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if isinstance(parameter, Range):
        if parameter.integer:
            step = 1 if parameter.log else int(parameter.step or 1)
            return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)
        step_of_floats = None if parameter.log else parameter.step
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=step_of_floats)
    raise SpaceError(f"{name}: Optuna has no normal distribution; give bounds")
