"""HyperOpt by its own suggestions and trials."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from typing import Any

from hyperopt import JOB_STATE_DONE, JOB_STATE_ERROR, JOB_STATE_RUNNING, Domain, Trials, hp, tpe

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.task import Task
from raytuner.space import Choice, Normal, Parameter, Range, Raw

HALF = 0.499999
"""How far a range of whole numbers goes beyond its ends, so that these are as likely as the others."""


class HyperOptSearcher(AskTellSearcher):
    """Suggests what HyperOpt's tree-structured Parzen estimator asks for.

    HyperOpt knows of each trial those parameters that are active. Ray's own wrapper tells it of all, and only of points
    that it has suggested itself.

    Args:
        task: What is searched.
        n_startup_trials: So many configurations are drawn at random first.
    """

    def __init__(self, task: Task, n_startup_trials: int) -> None:
        super().__init__(task)
        parameters = self.space.parameters.items()
        self._domain = Domain(None, {name: _expression(name, parameter) for name, parameter in parameters})
        self._n_startup_trials = n_startup_trials
        self._rng = random.Random(task.seed)
        self._trials = Trials()
        self._pending: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)  # HyperOpt's trials by key

    def ask(self) -> Raw:
        """The next raw sample."""
        ids, seed = self._trials.new_trial_ids(1), self._rng.randrange(2**31)
        startup = self._n_startup_trials
        [found] = tpe.suggest(ids, self._domain, self._trials, seed, n_startup_jobs=startup, verbose=False)
        values = found["misc"]["vals"]
        return {name: _raw(parameter, values[name][0]) for name, parameter in self.space.parameters.items()}

    def expect(self, raw: Raw) -> None:
        """Take note of a trial in flight, which HyperOpt takes for a poor one until it ends."""
        self._pending[self.space.key(raw)].append(self._add(raw))

    def tell(self, raw: Raw, loss: float | None) -> None:
        """Take in a loss; of failures HyperOpt learns nothing."""
        pending = self._pending[self.space.key(raw)]
        trial = pending.pop() if pending else self._add(raw)
        trial["state"] = JOB_STATE_ERROR if loss is None else JOB_STATE_DONE
        trial["result"] = {"status": "fail"} if loss is None else {"status": "ok", "loss": loss}
        self._trials.refresh()

    def _add(self, raw: Raw) -> dict[str, Any]:
        """HyperOpt's trial of a point, with its active parameters alone."""
        [number] = self._trials.new_trial_ids(1)
        active = self.space.active(raw)
        values = {
            name: [_value(parameter, raw[name])] if name in active else []
            for name, parameter in self.space.parameters.items()
        }
        misc = {
            "tid": number,
            "cmd": self._domain.cmd,
            "idxs": {name: [number] if found else [] for name, found in values.items()},
            "vals": values,
        }
        [trial] = self._trials.new_trial_docs([number], [None], [{"status": "new"}], [misc])
        trial["state"] = JOB_STATE_RUNNING
        self._trials.insert_trial_doc(trial)
        self._trials.refresh()
        kept: dict[str, Any] = self._trials.trials[-1]
        return kept


def _expression(name: str, parameter: Parameter) -> Any:
    """HyperOpt's distribution of a parameter."""
    if isinstance(parameter, Choice):
        return hp.choice(name, list(range(parameter.size())))
    if isinstance(parameter, Normal):
        return hp.normal(name, parameter.mean, parameter.sd)
    assert isinstance(parameter, Range)
    if parameter.indexed:
        return hp.quniform(name, -HALF, (parameter.size() or 1) - 1 + HALF, 1)
    if parameter.integer and parameter.step == 1:
        return hp.qloguniform(name, math.log(parameter.low - HALF), math.log(parameter.high + HALF), 1)
    if parameter.log:
        return hp.loguniform(name, math.log(parameter.low), math.log(parameter.high))
    return hp.uniform(name, parameter.low, parameter.high)


def _raw(parameter: Parameter, value: Any) -> Any:
    """The raw value behind HyperOpt's: of a choice, that is a position."""
    return parameter.labels[int(value)] if isinstance(parameter, Choice) else float(value)


def _value(parameter: Parameter, raw: Any) -> Any:
    """HyperOpt's value of a raw one."""
    return parameter.position(raw) if isinstance(parameter, Choice) else float(raw)
