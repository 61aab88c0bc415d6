"""The questions that could not be scored, over all trials of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from raytuner.values import failures


class Failures(NamedTuple):
    """How often a question failed.

    Attributes:
        trials: In how many trials.
        of: How many trials were asked it.
        reason: Why, the first time.
    """

    trials: int
    of: int
    reason: str


def failed_questions(trials: Iterable[Mapping[str, Mapping[str, float]]]) -> dict[str, Failures]:
    """The questions that failed in some trial, those that failed most often first.

    Args:
        trials: Of each trial the values by question.
    """
    asked: dict[str, int] = {}
    reasons: dict[str, list[str]] = {}
    for values in trials:
        for question in values:
            asked[question] = asked.get(question, 0) + 1
        for question, reason in failures(values).items():
            reasons.setdefault(question, []).append(reason)
    found = {question: Failures(len(why), asked[question], why[0]) for question, why in reasons.items()}
    return dict(sorted(found.items(), key=lambda pair: -pair[1].trials))


def said(found: Mapping[str, Failures]) -> str:
    """A line about questions that failed.

    Args:
        found: From `failed_questions`; not empty.
    """
    question, most = next(iter(found.items()))
    where = f"all {most.of} trials" if most.trials == most.of > 1 else f"{most.trials} of {most.of} trials"
    one = f"question {question!r} could not be scored in {where}"
    others = "" if len(found) == 1 else f" and {len(found) - 1} more in some"
    return f"{one}{others}; they are left out there: {most.reason}"
