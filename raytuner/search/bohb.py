"""The model of BOHB (Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale")."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import numpy as np
from hpbandster.optimizers.config_generators.bohb import BOHB

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.config_space import ConfigSpace
from raytuner.search.task import Task
from raytuner.space import Raw

FULL = 1.0
"""The budget of a trial that ran to its end, on all questions."""
SMALLER = (1 / 9, 1 / 3)
"""The shares of the questions after which a trial counts as well: the rungs of Hyperband with three of them."""


class BohbSearcher(AskTellSearcher):
    """Suggests what BOHB's kernel density estimators hold for good.

    Its model is that of the largest budget that has enough results. With a scheduler that stops trials, such as asha,
    most have results of the smaller budgets only, all on the same first questions; without one, of all of them.

    Args:
        task: What is searched.
        random_fraction: So many of the points are drawn at random.
    """

    def __init__(self, task: Task, random_fraction: float) -> None:
        super().__init__(task)
        self.budgets = SMALLER
        self._configs = ConfigSpace(task.space, task.seed)
        self._draws = np.random.RandomState(task.seed).get_state()
        with self._own_draws():
            self._model = BOHB(self._configs.configs, random_fraction=random_fraction)

    def ask(self) -> Raw:
        """The next raw sample."""
        with self._own_draws():
            config, _ = self._model.get_config(FULL)
        return self._configs.raw(config)

    def tell(self, raw: Raw, loss: float | None) -> None:
        """See `AskTellSearcher.tell`; BOHB takes failures for the worst."""
        self._learn(raw, FULL, loss)

    def on_partial(self, trial_id: str, budget: float, result: Mapping[str, float]) -> None:
        """Take in the means of a trial on its first questions; see `Guard.on_partial`."""
        self._learn(self._open[trial_id], budget, self._sign * result[self.metric])

    def on_stopped(self, trial_id: str) -> None:
        """Take note that a trial was stopped: what is known of it was told."""
        del self._open[trial_id]

    def _learn(self, raw: Raw, budget: float, loss: float | None) -> None:
        result = None if loss is None else {"loss": loss}
        values = {"budget": budget, "config": self._configs.values(raw)}
        with self._own_draws():
            self._model.new_result(SimpleNamespace(result=result, kwargs=values, exception=None))

    @contextlib.contextmanager
    def _own_draws(self) -> Iterator[None]:
        """Draw from a stream of its own, where BOHB draws from NumPy's common one."""
        outside = np.random.get_state()
        np.random.set_state(self._draws)
        try:
            yield
        finally:
            self._draws = np.random.get_state()
            np.random.set_state(outside)
