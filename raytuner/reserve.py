"""What of a budget is kept to confirm the winner of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raytuner.confirm import LEADERS
from raytuner.objective import Objective
from raytuner.search.options import SearchOptions
from raytuner.study import Study, Trial

MOST = 1 / 3
"""No more than this share of a budget is kept to confirm."""
SPARE = 1.5
"""So many times what confirming should take is kept of a budget."""


class Reserve:
    """Says when the rest of a budget is needed to confirm.

    Args:
        study: The search.
        objective: With held-out questions.
        options: With the budget.
        chosen: The numbers of the trials that would be confirmed now.
    """

    def __init__(
        self, study: Study, objective: Objective, options: SearchOptions, chosen: Callable[[], Sequence[int]]
    ) -> None:
        self._study = study
        self._total = objective.total or 0
        self._holdout = objective.holdout
        self._time_s = options.time_budget_s
        self._budget = options.budget
        self._chosen = chosen

    def is_needed(self, begun: Sequence[int | None]) -> bool:
        """Whether trials would use up what it takes to confirm, if they run to their end.

        Args:
            begun: The numbers of those in flight, and of one that is about to begin: None if it is a new one.
        """
        ended = [trial for trial in self._study.trials.values() if trial.finished and trial.questions]
        return bool(ended) and (self._is_short_of_time(ended) or self._is_short_of_calls(ended, begun))

    def _is_short_of_time(self, ended: Sequence[Trial]) -> bool:
        if self._time_s is None:
            return False
        each = sum(trial.seconds for trial in ended) / sum(len(trial.questions) for trial in ended)
        needed = SPARE * each * self._questions() / max(1, len(self._study.running))
        return self._study.seconds + min(needed, MOST * self._time_s) > self._time_s

    def _is_short_of_calls(self, ended: Sequence[Trial], begun: Sequence[int | None]) -> bool:
        own, taken = self._budget, self._study.taken
        paid = [trial for trial in ended if trial.number in taken.trials]  # the others' answers were in the cache
        asked = sum(len(trial.questions) + len(trial.held_out) for trial in paid)
        for part, limit in enumerate((own.usd, own.tokens, own.llm_calls)):
            if limit is None or not paid:
                continue
            each = sum(taken.trials[trial.number][part] for trial in paid) / asked
            spent = [0 if number is None else taken.trials.get(number, (0, 0, 0))[part] for number in begun]
            left = sum(max(0.0, each * self._total - so_far) for so_far in spent)
            if taken.all[part] + left + min(SPARE * each * self._questions(), MOST * limit) > limit:
                return True
        return False

    def _questions(self) -> int:
        """How many held-out questions are to be answered yet, if there will be as many leaders as there may be."""
        most = 2 if len(self._study.goals) > 1 else LEADERS + 1  # with the default
        trials = self._study.trials
        # To choose them compares all trials, and there are answers only where a search goes on that was confirmed.
        chosen = self._chosen() if any(trial.held_out for trial in trials.values()) else ()
        return max(0, most * self._holdout - sum(len(trials[number].held_out) for number in chosen))
