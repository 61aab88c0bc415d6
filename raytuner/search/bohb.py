"""The model of BOHB (Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale")."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
from hpbandster.optimizers.config_generators.bohb import BOHB

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.config_space import ConfigSpace
from raytuner.search.task import Task
from raytuner.space import Raw

FULL = 1.0
"""The budget of a trial that ran to its end, on all questions."""


class BohbSearcher(AskTellSearcher):
    """Suggests what BOHB's kernel density estimators hold for good.

    Its model is that of the largest budget that has enough results. Trials run to their end here, each with the same
    budget, so that smaller ones would never have more results than that.

    Args:
        task: What is searched.
        random_fraction: So many of the points are drawn at random.
    """

    def __init__(self, task: Task, random_fraction: float) -> None:
        super().__init__(task)
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
        result = None if loss is None else {"loss": loss}
        values = {"budget": FULL, "config": self._configs.values(raw)}
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
