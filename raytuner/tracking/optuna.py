"""A study of Optuna in a database, as optuna-dashboard opens it, whatever the search algorithm is."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from raytuner.goals import Goal
from raytuner.search.quiet import quiet
from raytuner.space import Choice, Normal, Range
from raytuner.tracking.config import OptunaConfig
from raytuner.tracking.tracker import EndFacts, RunFacts, State, TrialFacts, plain, withheld

NUMBER = "trial"
"""The attribute with the number of a trial; Optuna counts its own from 0."""
STATES: Mapping[State, str] = {"running": "RUNNING", "scored": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL"}


class Optuna:
    """See `raytuner.tracking.tracker.Tracker`; what is there already is found by the name of the study.

    Args:
        config: Its options.
    """

    def __init__(self, config: OptunaConfig) -> None:
        self._config = config

    def begin(self, run: RunFacts) -> None:
        """Find or make the study."""
        for name in ("alembic", "optuna.storages"):
            logging.getLogger(name).setLevel(logging.WARNING)
        import optuna

        self._run = run
        self._library: Any = optuna
        address = self._config.address() or f"sqlite:///{run.folder / 'optuna.db'}"
        name = self._config.study or run.name
        directions = ["minimize" if goal.mode == "min" else "maximize" for goal in run.goals]
        with quiet():
            self._storage: Any = optuna.storages.RDBStorage(address)
            study = optuna.create_study(
                storage=self._storage, study_name=name, directions=directions, load_if_exists=True
            )
            study.set_metric_names([goal.metric for goal in run.goals])
        self._study = self._storage.get_study_id_from_name(name)
        self._attribute("objectives", "; ".join(map(str, run.goals)))
        for key, value in {**run.facts, "config": run.config}.items():
            self._attribute(key, value)
        found = self._storage.get_all_trials(self._study, deepcopy=False)
        own = [trial for trial in found if trial.user_attrs.get("run") == run.id]
        self._trials = {trial.user_attrs[NUMBER]: trial for trial in own}
        choices = {name: part for name, part in run.space.parameters.items() if isinstance(part, Choice)}
        self._alike = {name for name, part in choices.items() if _has_equals(self._choices(name, part))}

    def trial(self, trial: TrialFacts) -> None:
        """Write what is new of a trial."""
        known = self._trials.get(trial.number)
        state = self._library.trial.TrialState[STATES[trial.state]]
        if known is not None and known.state == state and state.is_finished():
            return
        if known is None or known.state.is_finished():  # what has ended cannot be changed, not even if it goes on
            self._trials[trial.number] = self._made(trial, state)
            return
        for step, value in self._intermediate(trial).items():
            if step not in known.intermediate_values:
                self._storage.set_trial_intermediate_value(known._trial_id, step, value)
        if state.is_finished():
            for name, value in self._attributes(trial).items():
                self._storage.set_trial_user_attr(known._trial_id, name, value)
            self._storage.set_trial_state_values(known._trial_id, state, self._values(trial))
        self._trials[trial.number] = self._storage.get_trial(known._trial_id)

    def end(self, end: EndFacts) -> None:
        """Write how the search ended; of trials that have ended nothing can be written any more."""
        for key, value in end.facts.items():
            self._attribute(key, value)
        if end.held_out:
            self._attribute("held_out", {str(number): dict(found) for number, found in end.held_out.items()})
        self._storage.remove_session()

    def _made(self, trial: TrialFacts, state: Any) -> Any:
        """A trial that is new to Optuna."""
        params = {name: self._label(name, value) for name, value in trial.params.items()}
        frozen = self._library.trial.create_trial(
            state=state,
            values=self._values(trial),
            params=params,
            distributions={name: self._distribution(name, value) for name, value in params.items()},
            user_attrs=self._attributes(trial),
            intermediate_values=self._intermediate(trial),
        )
        frozen.datetime_start = datetime.now() - timedelta(seconds=trial.seconds)
        return self._storage.get_trial(self._storage.create_new_trial(self._study, frozen))

    def _attribute(self, key: str, value: Any) -> None:
        if value is not None and value != "":
            self._storage.set_study_user_attr(self._study, key, value)

    def _attributes(self, trial: TrialFacts) -> dict[str, Any]:
        reason = {"reason": trial.reason} if trial.reason else {}
        values = trial.values if trial.ended else {}
        return {"run": self._run.id, NUMBER: trial.number, **values, **self._beyond(trial), **reason}

    def _beyond(self, trial: TrialFacts) -> dict[str, str]:
        values = ((goal, trial.metrics.get(goal.metric, math.nan)) for goal in self._run.goals)
        said = [breach for goal, value in values if trial.state == "scored" and (breach := goal.breach(value))]
        return {"beyond limit": "; ".join(said)} if said else {}

    def _values(self, trial: TrialFacts) -> list[float] | None:
        """The values of one that was scored; Optuna takes no others."""
        return [trial.metrics[goal.metric] for goal in self._run.goals] if trial.state == "scored" else None

    def _intermediate(self, trial: TrialFacts) -> dict[int, float]:
        """The means by questions, of one objective; Optuna knows none for several."""
        goal: Goal = self._run.goals[0]
        if len(self._run.goals) > 1:
            return {}
        return {step.questions: step.metrics[goal.metric] for step in trial.steps if goal.metric in step.metrics}

    def _label(self, name: str, value: Any) -> Any:
        """A value as Optuna takes it: one of a choice as a text, where it is no plain value or looks like another."""
        if not isinstance(self._run.space.parameters[name], Choice):
            return value
        is_plain = isinstance(value, (bool, int, float, str, type(None))) and name not in self._alike
        return value if is_plain else json.dumps(value, ensure_ascii=False)

    def _distribution(self, name: str, value: Any) -> Any:
        """Optuna's domain of the values of a parameter, which holds this one."""
        parameter, kinds = self._run.space.parameters[name], self._library.distributions
        if isinstance(parameter, Choice):
            return kinds.CategoricalDistribution(
                [self._label(name, choice) for choice in self._choices(name, parameter)]
            )
        if isinstance(parameter, Normal):  # which has no end
            ends = (parameter.mean - 10 * parameter.sd, parameter.mean + 10 * parameter.sd, value)
            return kinds.FloatDistribution(min(ends), max(ends))
        assert isinstance(parameter, Range)
        high = parameter.decode((parameter.size() or 1) - 1 if parameter.indexed else parameter.high)
        kind = kinds.IntDistribution if parameter.integer else kinds.FloatDistribution
        if parameter.log:
            return kind(parameter.low, high, log=True)
        return kind(parameter.low, high, step=parameter.step)

    def _choices(self, name: str, parameter: Choice) -> list[Any]:
        """The values of a choice as they are told of."""
        found = plain({name: [parameter.name(value) or value for value in parameter.values]})
        return list((found if self._config.texts else withheld(found))[name])


def _has_equals(values: Sequence[Any]) -> bool:
    """Whether two of the values are equal, as 1 and True are."""
    return any(value in values[:at] for at, value in enumerate(values))


def make(config: OptunaConfig) -> Optuna:
    """See `raytuner.tracking.registry.make`."""
    return Optuna(config)
