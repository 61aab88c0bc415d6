"""Which trials of a search are confirmed on held-out questions, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from raytuner.confirm import LEADERS, LEVEL, Confirmation, Values, confirm
from raytuner.goals import Goal
from raytuner.objective import Objective
from raytuner.reserve import Reserve
from raytuner.search.options import SearchOptions
from raytuner.stats import p_above_zero
from raytuner.study import Study, Trial


class Leaders:
    """Chooses what is confirmed: the best trials of a search, and the default configuration.

    Args:
        study: The search.
        objective: With held-out questions.
        options: How it is searched.
        default: The number of the default configuration's trial.
    """

    def __init__(self, study: Study, objective: Objective, options: SearchOptions, default: int | None) -> None:
        self._study = study
        self._objective = objective
        self._default = default
        self._reserve = Reserve(study, objective, options, self.chosen)

    def after(self, searcher: Any, begun: Mapping[str, dict[str, Any]]) -> Any:
        """A searcher that hands out the leaders once more, when another one has ended.

        Args:
            searcher: The other one.
            begun: What an earlier driver has begun, see `raytuner.take_up.begun`.
        """
        from raytuner.schedulers.confirming import ConfirmingSearcher

        first = math.ceil((self._objective.total or 0) / self._objective.block_size)
        return ConfirmingSearcher(searcher, first, self.numbers, self._reserve.is_needed, begun)

    def chosen(self) -> list[int]:
        """The numbers of the trials to confirm: the best, the default, to which it is compared, and the others."""
        default = self._study.trials.get(self._default) if self._default is not None else None
        leaders = leading(self._study, self._default)
        compared = [default.number] if default is not None and default.finished and default.error is None else []
        return list(dict.fromkeys([*leaders[:1], *compared, *leaders[1:]]))

    def numbers(self, points: Mapping[int, Any]) -> list[int]:
        """Those of them with a point that are not confirmed."""
        held_out = self._objective.holdout
        open_ones = [number for number in self.chosen() if len(self._study.trials[number].held_out) < held_out]
        return [number for number in open_ones if number in points]


def leading(study: Study, default: int | None) -> list[int]:
    """The numbers of the best trials within the limits, best first.

    For several objectives that is the knee alone. For one, what is surely behind the best on the questions of the
    search is none of them: held-out questions, which are fewer, may not tell the two apart. The default is one only if
    it won the search.
    """
    ranked = [trial for trial in study.scored if not study.breaches(trial)]
    if len(study.goals) > 1:
        return [trial.number for trial in ranked[:1]]
    others = [one for one in ranked[1:] if one.number != default and not _is_behind(study, one, ranked[0])]
    return [trial.number for trial in (*ranked[:1], *others)][:LEADERS]


def _is_behind(study: Study, one: Trial, best: Trial) -> bool:
    """Whether a paired t test holds a trial for worse than the best."""
    goal = study.goals[0]
    shared = [
        question
        for question, row in one.questions.items()
        if goal.metric in row and goal.metric in best.questions.get(question, {})
    ]
    values = [(one.questions[name][goal.metric], best.questions[name][goal.metric]) for name in shared]
    return p_above_zero([goal.loss(mine) - goal.loss(theirs) for mine, theirs in values]) <= LEVEL


def confirmed(study: Study, holdout: int, documents: Mapping[str, str], default: int | None) -> Confirmation | None:
    """What the held-out questions say of a search that has ended.

    Args:
        study: The search.
        holdout: How many questions were held out.
        documents: The document of each question.
        default: The number of the default configuration's trial.

    Returns:
        None if none of the leaders has answered all of them.
    """
    values = {number: trial.held_out for number, trial in study.trials.items() if len(trial.held_out) == holdout}
    chosen = [number for number in leading(study, default) if number in values]
    within = [number for number in chosen if not any(goal.excess(_mean(values[number], goal)) for goal in study.goals)]
    return confirm(
        study.goals[0],
        values,
        chosen=within or chosen,
        default=default,
        documents=documents,
    )


def _mean(values: Values, goal: Goal) -> float:
    known = [row[goal.metric] for row in values.values() if goal.metric in row]
    return math.fsum(known) / len(known) if known else math.nan
