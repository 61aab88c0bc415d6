"""The values of questions: their means, and the questions that have none."""

from __future__ import annotations

import asyncio
import math
import numbers
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar

from raytuner.errors import RaytunerError, TrialError, redact

T = TypeVar("T")

Values = dict[str, dict[str, float]]  # question id -> metric -> value

MOST_FAILED = 0.1
"""A trial fails if more than this share of its questions do, unless the objective says otherwise."""


class FailedQuestion(dict[str, float]):
    """What stands in place of a question's values if it could not be scored: none, and why.

    It is left out of the means, and of comparisons of two configurations. See `MOST_FAILED`.

    Args:
        reason: Why, in a line.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = redact(" ".join(reason.split()))[:200]

    def __reduce__(self) -> tuple[type[FailedQuestion], tuple[str]]:
        return FailedQuestion, (self.reason,)


async def each_or_failed(asked: Iterable[Awaitable[T]]) -> list[T | FailedQuestion]:
    """What each question came to, all asked at the same time; one that fails does not fail the others.

    Raises:
        RaytunerError: What is wrong is no matter of one question, e.g. the budget is used up. All others have ended.
    """
    found = await asyncio.gather(*asked, return_exceptions=True)
    fatal = [one for one in found if isinstance(one, BaseException) and not _is_of_a_question(one)]
    if fatal:
        raise fatal[0]
    return [FailedQuestion(_reason(one)) if isinstance(one, BaseException) else one for one in found]


def _is_of_a_question(error: BaseException) -> bool:
    return isinstance(error, TrialError) or (isinstance(error, Exception) and not isinstance(error, RaytunerError))


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, TrialError) else f"{type(error).__name__}: {error}"


def failures(values: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """The questions that failed, and why."""
    return {question: row.reason for question, row in values.items() if isinstance(row, FailedQuestion)}


def check_failed(values: Mapping[str, Mapping[str, float]], before: int, total: int | None, most: float) -> None:
    """Refuse a trial of which too many questions failed.

    Args:
        values: What it has of each question so far.
        before: How many failed of those that are not among the values.
        total: How many questions there are in all; None if the values are all.
        most: The share of them that may fail.

    Raises:
        TrialError: More have failed, or all.
    """
    failed = failures(values)
    allowed = most * (len(values) if total is None else total)
    count = before + len(failed)
    if failed and (count > allowed or (total is None and count == len(values))):
        question, reason = next(iter(failed.items()))
        raise TrialError(
            f"{count} of {len(values) if total is None else total} questions failed, {most:.0%} may "
            f"(max_failed_questions); {question!r}: {reason}"
        )


class Means:
    """Running means of the values of questions, metric by metric."""

    def __init__(self) -> None:
        self.count = 0
        self._columns: dict[str, list[float]] = {}

    def add(self, values: Values) -> None:
        """Take in a block."""
        self.count += len(values)
        for row in values.values():
            for name, value in row.items():
                self._columns.setdefault(name, []).append(value)

    def values(self) -> dict[str, float]:
        """The mean of each metric so far, exactly rounded and so independent of the order."""
        return {name: math.fsum(column) / len(column) for name, column in self._columns.items()}


def as_float(value: Any, metric: str) -> float:
    """A score as a finite Python float.

    Raises:
        TrialError: It is not a number, or not finite.
    """
    if not is_number(value):
        raise TrialError(f"{metric} is {short(value)}, a {type(value).__name__}; it must be a number")
    number = float(value)
    if not math.isfinite(number):
        raise TrialError(f"{metric} is {number}; a score must be finite")
    return number


def short(value: Any) -> str:
    """A value for a message, if it is short: errors are logged, and documents must not be."""
    text = repr(value)
    return text if len(text) <= 40 else f"something of {len(text)} characters"


def is_number(value: Any) -> bool:
    """Whether it is a number, or an array or tensor of no dimension that holds one."""
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        value = value.item()
    return isinstance(value, numbers.Real)
