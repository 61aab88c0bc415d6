"""Ray's ``Searcher`` over a library that is asked for points and told of their scores."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any

from ray.tune.search import Searcher

from raytuner.search.task import Task
from raytuner.space import Raw


class AskTellSearcher(Searcher):  # type: ignore[misc]
    """What all searchers have in common whose library can be told of any point.

    Inactive parameters are hidden from the library: in every point that it is told of they have the value of the
    default configuration, so that equal configurations are equal points.

    Args:
        task: What is searched.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(metric=task.metric, mode=task.mode)
        self.space = task.space
        self._sign = 1 if task.mode == "min" else -1
        self._first = deque(task.points)
        self._open: dict[str, Raw] = {}

    @abstractmethod
    def ask(self) -> Any:
        """The next raw sample; None while the library waits for results, `Searcher.FINISHED` if it has no more."""

    @abstractmethod
    def tell(self, raw: Raw, loss: float | None) -> None:
        """Take in the result of a point, whoever suggested it.

        Args:
            raw: The point, inactive parameters at their default.
            loss: What is to be minimised, whatever the mode; None is a failure.
        """

    def expect(self, raw: Raw) -> None:
        """Take note of a point that is evaluated now, whoever suggested it; a library that can models it as pending.

        Args:
            raw: The point.
        """

    def suggest(self, trial_id: str) -> Any:
        """The next point; those that were given come first."""
        raw = self._first.popleft() if self._first else self.ask()
        if isinstance(raw, dict):
            raw = self._open[trial_id] = self.space.canonical(raw)
            self.expect(raw)
        return raw

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell a score, or that there is none."""
        raw = self._open.pop(trial_id)
        self.tell(raw, None if error or result is None else self._sign * result[self.metric])

    def add_evaluated_point(
        self,
        parameters: Raw,
        value: float,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: list[float] | None = None,
    ) -> None:
        """Tell the score of a point that was not suggested here."""
        self.tell(self.space.canonical(parameters), None if error else self._sign * value)
