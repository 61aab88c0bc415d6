"""Bayesian optimisation by Ax."""

from __future__ import annotations

import random
from typing import Any

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from ax.exceptions.core import AxError

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.dimensions import Dimension, Dimensions
from raytuner.search.task import Task
from raytuner.space import Raw

METRIC = "loss"


class AxSearcher(AskTellSearcher):
    """Suggests what Ax expects most of; it knows of failures and of trials in flight.

    Args:
        task: What is searched.
        n_startup_trials: So many points are spread out first, by a Sobol sequence.
    """

    def __init__(self, task: Task, n_startup_trials: int) -> None:
        super().__init__(task)
        self._random = random.Random(task.seed)
        self._dimensions = Dimensions(task.space)
        self._names = {f"p{number}": name for number, name in enumerate(self._dimensions)}
        self._trials: dict[str, int] = {}  # those in flight, by the key of their point
        self._client = Client(random_seed=task.seed)
        parameters = [_parameter(key, self._dimensions[name]) for key, name in self._names.items()]
        self._client.configure_experiment(parameters, name="raytuner")
        self._client.configure_optimization(objective=f"-{METRIC}")
        self._client.configure_generation_strategy(
            initialization_budget=n_startup_trials,
            initialization_random_seed=task.seed,
            initialize_with_center=False,
            allow_exceeding_initialization_budget=True,
        )

    def ask(self) -> Raw:
        """The next raw sample; one at random where Ax has nothing new."""
        try:
            (number, values), *_ = self._client.get_next_trials(max_trials=1).items()
        except (AxError, ValueError):  # e.g. it holds its space to be exhausted
            return self.space.draw(self._random)
        raw = self._dimensions.decode({name: values[key] for key, name in self._names.items()})
        key = self.space.key(raw)
        if key not in self._trials and self._values(raw) == values:
            self._trials[key] = number
        else:  # it is in flight already, or an inactive parameter is not at its default: Ax is told of another point
            self._client.mark_trial_abandoned(number)
        return raw

    def expect(self, raw: Raw) -> None:
        """See `AskTellSearcher.expect`."""
        self._number(raw)

    def tell(self, raw: Raw, loss: float | None) -> None:
        """See `AskTellSearcher.tell`."""
        number = self._number(raw)
        del self._trials[self.space.key(raw)]
        if loss is None:
            self._client.mark_trial_failed(number)
        else:
            self._client.complete_trial(number, {METRIC: loss})

    def _number(self, raw: Raw) -> int:
        """Ax's number of a trial in flight."""
        key = self.space.key(raw)
        if key not in self._trials:
            self._trials[key] = self._client.attach_trial(self._values(raw))
        return self._trials[key]

    def _values(self, raw: Raw) -> dict[str, Any]:
        """The point as Ax has it, inactive parameters having their default."""
        values = self._dimensions.encode(raw)
        return {key: values[name] for key, name in self._names.items()}


def _parameter(key: str, part: Dimension) -> Any:
    """The dimension as Ax has it."""
    if part.kind == "category":
        return ChoiceParameterConfig(key, part.categories, "str", is_ordered=False)
    kind = "int" if part.kind == "whole" else "float"
    return RangeParameterConfig(key, (part.low, part.high), kind, scaling="log" if part.log else "linear")
