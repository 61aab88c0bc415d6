"""How much the winner of a search depends on which questions there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from raytuner.goals import Goal
from raytuner.results import RunResult
from raytuner.stats import win_shares

MOST = 50
"""So many of the best are looked at; others hardly ever win."""


class WithoutDocument(BaseModel):
    """The winner on the questions that are not about one document.

    Attributes:
        document: The document.
        trial: The number of the configuration that wins without it.
        score: Its mean on the other questions.
    """

    document: str
    trial: int
    score: float


class Robustness(BaseModel):
    """How much the winner depends on the questions.

    Attributes:
        win_share: In how many of the draws of such questions the best configuration would win; see
            `raytuner.stats.win_shares`.
        rivals: The same for the others that win in some, by their numbers, the largest share first.
        without: The winner without each of the documents, if there are several.
    """

    win_share: float
    rivals: dict[int, float]
    without: list[WithoutDocument]

    def other_winners(self, best: int | None) -> list[WithoutDocument]:
        """Those that win in place of the best where a document is left out.

        Args:
            best: The number of the best configuration.
        """
        return [found for found in self.without if found.trial != best]


def robustness(goal: Goal, results: Sequence[RunResult], documents: Mapping[str, str]) -> Robustness | None:
    """Look at how the winner depends on the questions.

    Args:
        goal: The first objective.
        results: The results of a search, best first; those on all questions count.
        documents: The document of each question; empty if that is not known.

    Returns:
        None if there are no questions, or there is nothing to choose from.
    """
    complete = [result for result in results[:MOST] if result.questions and result.trial is not None]
    if len(complete) < 2:
        return None
    scored = [{name for name, row in result.questions.items() if goal.metric in row} for result in complete]
    questions = sorted(set.intersection(*scored))
    if not questions:
        return None
    table = -np.array([[goal.loss(result.questions[name][goal.metric]) for name in questions] for result in complete])
    numbers = [result.trial or 0 for result in complete]
    shares = dict(zip(numbers, win_shares(table), strict=True))
    best = numbers[0]
    rivals = {number: share for number, share in shares.items() if share and number != best}
    return Robustness(
        win_share=shares[best],
        rivals=dict(sorted(rivals.items(), key=lambda pair: (-pair[1], pair[0]))),
        without=_without(goal, table, numbers, [documents.get(question, "") for question in questions]),
    )


def _without(
    goal: Goal, table: NDArray[np.float64], numbers: Sequence[int], documents: Sequence[str]
) -> list[WithoutDocument]:
    names = sorted(set(documents))
    if len(names) < 2 or "" in names:
        return []
    found = []
    for name in names:
        means = table[:, [document != name for document in documents]].mean(axis=1)
        at = int(np.argmax(np.round(means, 12)))
        found.append(WithoutDocument(document=name, trial=numbers[at], score=goal.loss(-float(means[at]))))
    return found
