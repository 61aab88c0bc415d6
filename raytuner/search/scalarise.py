"""Several objectives for an algorithm that knows one: a loss for each result."""

from __future__ import annotations

import contextlib
from typing import Any

from ray.tune.search import Searcher

from raytuner.goals import Goals
from raytuner.space import Raw

LOSS = "loss"
"""The metric of the algorithm."""

HELD_BACK = 8
"""So many results are waited for before the first is told: their ranges are the scales of the objectives."""


class Scalariser:
    """Makes one loss of the values of several objectives: by how much a result is worse than the front of the others.

    It is the additive epsilon indicator: the least amount by which a result would have to be better in all objectives
    for no other known one to dominate it; below 0, what it is ahead of them (Zitzler et al., "Performance assessment of
    multiobjective optimizers: an analysis and review", IEEE Transactions on Evolutionary Computation 7 (2003); as a
    loss: Zitzler and Kuenzli, "Indicator-based selection in multiobjective search", PPSN VIII (2004)). Before, each
    objective is brought to 0..1 by the range of the first results. One objective is its own loss.

    ParEGO's Chebyshev function with random weights was tried in its place. It takes new weights for all results at each
    suggestion, but a library keeps what it was told once; with the weights of each suggestion told once, it found less
    than random search.

    What is beyond a limit has a greater loss than all that is known within, the greater the farther it is.

    Args:
        goals: The objectives.
    """

    def __init__(self, goals: Goals) -> None:
        self._goals = goals
        self._lows = [0.0] * len(goals)
        self._spans = [0.0] * len(goals)
        self._known: list[list[float]] = []  # within the limits, scaled
        self._worst = 1.0

    def first(self, results: list[list[float]]) -> list[float]:
        """The losses of the first results, each against all others; their ranges are the scales from now on."""
        columns = list(zip(*map(self._losses, results), strict=True))
        self._lows = [min(column) for column in columns]
        self._spans = [max(column) - min(column) for column in columns]
        scaled = [self._scaled(values) for values in results]
        self._known = [row for row, values in zip(scaled, results, strict=True) if not self._excess(values)]
        pairs = list(zip(scaled, results, strict=True))
        return [self._loss(row, [known for known in self._known if known is not row], values) for row, values in pairs]

    def next(self, values: list[float]) -> float:
        """The loss of a further result, against all that are known."""
        row = self._scaled(values)
        loss = self._loss(row, self._known, values)
        if not self._excess(values):
            self._known.append(row)
        return loss

    def _loss(self, row: list[float], others: list[list[float]], values: list[float]) -> float:
        excess = self._excess(values)
        if excess:
            return self._worst + excess
        loss = row[0] if len(row) == 1 else epsilon(row, others)
        self._worst = max(self._worst, loss)
        return loss

    def _excess(self, values: list[float]) -> float:
        return sum(goal.excess(value) for goal, value in zip(self._goals, values, strict=True))

    def _losses(self, values: list[float]) -> list[float]:
        return [goal.loss(value) for goal, value in zip(self._goals, values, strict=True)]

    def _scaled(self, values: list[float]) -> list[float]:
        far = [loss - low for loss, low in zip(self._losses(values), self._lows, strict=True)]
        # An objective that had not varied in the first results is scaled by the first that differs.
        self._spans = [span or abs(away) for span, away in zip(self._spans, far, strict=True)]
        return [away / (span or 1.0) for away, span in zip(far, self._spans, strict=True)]


def epsilon(row: list[float], others: list[list[float]]) -> float:
    """The least that has to be taken from all losses of a result for none of the others to dominate it.

    Args:
        row: The losses of the result.
        others: Those of the others; without any it is 0.
    """
    return max((min(a - b for a, b in zip(row, other, strict=True)) for other in others), default=0.0)


class ScalarisedSearcher(Searcher):  # type: ignore[misc]
    """Tells an algorithm losses in place of the values of several objectives.

    Args:
        inner: The algorithm, which minimises `LOSS`.
        goals: The objectives.
    """

    def __init__(self, inner: Searcher, goals: Goals) -> None:
        super().__init__(metric=goals[0].metric, mode=goals[0].mode)
        self._inner = inner
        self._metrics = [goal.metric for goal in goals]
        self._scalariser = Scalariser(goals)
        self._held: list[tuple[str | Raw, list[float]]] | None = []  # None once it tells at once

    def suggest(self, trial_id: str) -> Any:
        """What the algorithm suggests; one that waits for results is told those that are held back."""
        found = self._inner.suggest(trial_id)
        if found is None and self._held:
            self._release()
            found = self._inner.suggest(trial_id)
        return found

    def expect(self, raw: Raw) -> None:
        """Take note of a point that is evaluated now and was not suggested here."""
        if hasattr(self._inner, "expect"):
            self._inner.expect(raw)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell a loss, or that there is none."""
        if error or result is None:
            self._inner.on_trial_complete(trial_id, error=True)
        else:
            self._take(trial_id, [result[name] for name in self._metrics])

    def add_evaluated_point(
        self,
        parameters: Raw,
        value: Any,
        error: bool = False,
        pruned: bool = False,
        intermediate_values: list[float] | None = None,
    ) -> None:
        """Tell the loss of a point that was not suggested here; `value` is one, or one for each objective."""
        if error:
            self._inner.add_evaluated_point(parameters, value, error=True)
        else:
            self._take(parameters, value if isinstance(value, list) else [value])

    def _take(self, what: str | Raw, values: list[float]) -> None:
        if self._held is None:
            self._tell(what, self._scalariser.next(values))
            return
        self._held.append((what, values))
        if len(self._held) == HELD_BACK:
            self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        losses = self._scalariser.first([values for _, values in held])
        for (what, _), loss in zip(held, losses, strict=True):
            self._tell(what, loss)

    def _tell(self, what: str | Raw, loss: float) -> None:
        if isinstance(what, str):
            self._inner.on_trial_complete(what, result={LOSS: loss, "training_iteration": 1})
            return
        with contextlib.suppress(NotImplementedError):  # see Guard
            self._inner.add_evaluated_point(what, loss)
