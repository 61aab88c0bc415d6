"""Which trials of a search are confirmed on held-out questions, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from raytuner.confirm import LEADERS, LEVEL, Confirmation, Values, confirm
from raytuner.goals import Goal
from raytuner.objective import Objective
from raytuner.search.options import SearchOptions
from raytuner.stats import p_above_zero
from raytuner.study import Study, Trial

MOST = 1 / 3
"""No more than this share of a budget is kept to confirm."""
SPARE = 1.5
"""So many times what confirming should take is kept of a budget."""


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
        self._time_s = options.time_budget_s
        self._budget = options.budget
        self._default = default

    def after(self, searcher: Any, begun: Mapping[str, dict[str, Any]]) -> Any:
        """A searcher that hands out the leaders once more, when another one has ended.

        Args:
            searcher: The other one.
            begun: What an earlier driver has begun, see `raytuner.take_up.begun`.
        """
        from raytuner.schedulers.confirming import ConfirmingSearcher

        first = math.ceil((self._objective.total or 0) / self._objective.block_size)
        return ConfirmingSearcher(searcher, first, self.numbers, self.is_late, begun)

    def numbers(self, points: Mapping[int, Any]) -> list[int]:
        """The numbers of the trials to confirm, of those with a point that are not confirmed."""
        default = self._study.trials.get(self._default) if self._default is not None else None
        chosen = leading(self._study, self._default)
        if default is not None and default.finished and default.error is None:
            chosen.append(default.number)
        held_out = self._objective.holdout
        open_ones = [number for number in chosen if len(self._study.trials[number].held_out) < held_out]
        return [number for number in dict.fromkeys(open_ones) if number in points]

    def is_late(self) -> bool:
        """Whether the rest of a budget is needed to confirm."""
        ended = [trial for trial in self._study.trials.values() if trial.finished and trial.questions]
        return bool(ended) and (self._is_short_of_time(ended) or self._is_short_of_calls())

    def _is_short_of_time(self, ended: Sequence[Trial]) -> bool:
        if self._time_s is None:
            return False
        each = sum(trial.seconds for trial in ended) / sum(len(trial.questions) for trial in ended)
        needed = SPARE * each * self._questions / max(1, len(self._study.running))
        return self._study.seconds + min(needed, MOST * self._time_s) > self._time_s

    def _is_short_of_calls(self) -> bool:
        """Whether what is left of dollars, tokens or calls is needed, beside what trials in flight will yet take."""
        answered = sum(len(trial.questions) for trial in self._study.trials.values())
        total = self._objective.total or 0
        open_ones = sum(max(0, total - len(trial.questions)) for trial in self._study.running)
        own, spent = self._budget, self._study.spent
        for limit, taken in zip((own.usd, own.tokens, own.llm_calls), spent, strict=True):
            if limit is None:
                continue
            each = taken / answered
            if taken + each * open_ones + min(SPARE * each * self._questions, MOST * limit) > limit:
                return True
        return False

    @property
    def _questions(self) -> int:
        """How many held-out questions are answered in all, if there are as many leaders as there may be."""
        return self._objective.holdout * (LEADERS + 1)


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
