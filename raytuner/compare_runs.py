"""Two configurations on the same questions: winners of two runs, or one then and now."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from raytuner.confirm import LEVEL, Difference, Values
from raytuner.errors import DataError, UserError, nearest, quoted
from raytuner.goals import Goal, Mode, shown
from raytuner.scored_run import Scored
from raytuner.stats import mean_interval, p_above_zero, questions_needed
from raytuner.take_up import changes

FEW = 20
"""Fewer questions than this can hardly tell two configurations apart."""
FEWEST = 2
"""With fewer there is no interval."""
SHOWN = 5
"""So many questions are named."""


class Side(BaseModel):
    """One of the two.

    Attributes:
        run: The name of its run folder, or ``today``.
        trial: The number of its trial.
        params: The configuration.
    """

    run: str
    trial: int | None
    params: dict[str, Any]


class Pair(BaseModel):
    """Two values of a metric."""

    before: float
    after: float


class Part(BaseModel):
    """The comparison on some questions.

    Attributes:
        questions: How many both were scored on.
        documents: Of how many documents they are; None if that is not known.
        metrics: The means of each metric that both have on all of them.
        difference: By how much the second is better.
        p_worse: The one-sided p-value that the second is not worse.
        lost: The questions on which the second is worse by most, with their values; at most `SHOWN`.
    """

    questions: int
    documents: int | None
    metrics: dict[str, Pair]
    difference: Difference
    p_worse: float
    lost: dict[str, Pair]

    @property
    def verdict(self) -> Literal["better", "worse", "open"]:
        """What the second is, if that is more than chance: the interval is on one side of 0, and the test says so."""
        if self.difference.low > 0 and self.difference.is_sure:
            return "better"
        return "worse" if self.difference.high < 0 and self.p_worse <= LEVEL else "open"


class Comparison(BaseModel):
    """Two configurations, question by question; as text it says what a reader has to know.

    Attributes:
        metric: What is compared.
        mode: ``max`` or ``min``.
        before: The first.
        after: The second.
        searched: On the questions of the search; None if they have none in common.
        held_out: On the questions that were held out from both searches; None if there are none.
        only_before: How many questions the first alone was scored on.
        only_after: How many questions the second alone was scored on.
        reworded: How many questions have the same id and another text; they are among both of these.
        notes: What else has to be said.
    """

    metric: str
    mode: str
    before: Side
    after: Side
    searched: Part | None
    held_out: Part | None
    only_before: int
    only_after: int
    reworded: int
    notes: list[str]

    @property
    def deciding(self) -> Part:
        """The part that tells most: the held-out questions, by which no winner was chosen."""
        part = self.held_out or self.searched
        assert part is not None  # or there would be no comparison
        return part

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints: the fields, and for each part its verdict."""
        found: dict[str, Any] = self.model_dump(mode="json")
        for name, part in (("searched", self.searched), ("held_out", self.held_out)):
            if part is not None:
                found[name]["verdict"] = part.verdict
        return found

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield f"before: {_label(self.before)}"
        yield f"after:  {_label(self.after)}"
        for line in changes(self.before.params, self.after.params):
            yield f"  {line}"
        searched = "questions" if self.after.trial is None else "questions of the search"
        for name, part in ((searched, self.searched), ("held-out questions", self.held_out)):
            if part is not None:
                yield ""
                yield from self._part(name, part)
        yield from ("", *(f"note: {note}" for note in self.notes)) if self.notes else ()

    def _part(self, name: str, part: Part) -> Iterator[str]:
        documents = "" if part.documents is None else f" about {part.documents} document{'s' * (part.documents != 1)}"
        yield f"{part.questions} {name}{documents}"
        rows = [("", "before", "after", "")]
        for metric, pair in part.metrics.items():
            rows.append((metric, shown(pair.before), shown(pair.after), f"{pair.after - pair.before:+.4f}"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            numbers = "  ".join(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
            yield f"  {row[0].ljust(widths[0])}  {numbers}".rstrip()
        yield f"{self.metric}: {said(part)}"
        if part.lost:
            yield "worse by most:"
            yield from (f"  {name}: {shown(pair.before)} -> {shown(pair.after)}" for name, pair in part.lost.items())


def said(part: Part) -> str:
    """What a part says of the second configuration, in a line."""
    own = part.difference
    if own.mean == own.low == own.high == 0:
        return "equal on each question"
    size = f"{abs(own.mean):.4f} {'better' if own.mean > 0 else 'worse'}"
    interval = f"95% interval {own.low:+.4f} to {own.high:+.4f}"
    if part.verdict != "open":
        return f"after is {size} ({interval}), more than chance"
    needed = "" if own.needed is None else f"; about {own.needed:,} questions would tell"
    return f"after is {size} ({interval}), which may be chance{needed}"


def compare(before: Scored, after: Scored, metric: str | None = None) -> Comparison:
    """Compare two configurations on the questions that both were scored on.

    A question is the same if its id is, and its text where that is known of both.

    Args:
        before: The first.
        after: The second.
        metric: What is compared; by default what both were scored for.

    Returns:
        The comparison: above 0 the second is better.

    Raises:
        DataError: They have no questions in common, or were scored for different metrics.
    """
    goal = _goal(before, after, metric)
    same = {name for name in ids(before) & ids(after) if is_same(name, before, after)}
    parts = {
        name: _part(goal, getattr(before, name), getattr(after, name), same, {**before.documents, **after.documents})
        for name in ("questions", "held_out")
    }
    if not any(parts.values()):
        raise DataError(_nothing_common(before, after, same))
    return Comparison(
        metric=goal.metric,
        mode=goal.mode or "max",
        before=Side(run=before.name, trial=before.trial, params=dict(before.params)),
        after=Side(run=after.name, trial=after.trial, params=dict(after.params)),
        searched=parts["questions"],
        held_out=parts["held_out"],
        only_before=len(ids(before) - same),
        only_after=len(ids(after) - same),
        reworded=len(ids(before) & ids(after)) - len(same),
        notes=list(_notes(before, after, goal, same, [part for part in parts.values() if part is not None])),
    )


def _goal(before: Scored, after: Scored, metric: str | None) -> Goal:
    """What is compared.

    Raises:
        DataError: It is not known, or one of the two has no values of it.
    """
    if metric is None:
        if (before.goal.metric, before.goal.mode) != (after.goal.metric, after.goal.mode):
            one, other = (f"{own.name} is for {own.goal.metric}, {own.goal.mode}" for own in (before, after))
            raise DataError(f"{one}, and {other}; name a metric that both have, by --metric")
        return before.goal
    names = _metrics(before) & _metrics(after)
    if metric not in names:
        raise DataError(f"metric {quoted(metric)}: not both have it; {nearest(metric, sorted(names))}")
    known = [own.goal for own in (before, after) if own.goal.metric == metric]
    return known[0] if known else Goal(metric=metric, mode=_mode(metric))


def _mode(metric: str) -> Mode:
    """Whether more of a metric is better: as raytuner means it, ``max`` for others."""
    from raytuner import metrics

    try:
        return metrics.metric(metric).mode
    except UserError:
        return "max"


def _metrics(own: Scored) -> set[str]:
    return {metric for values in (own.questions, own.held_out) for row in values.values() for metric in row}


def ids(own: Scored) -> set[str]:
    """The questions that a configuration was scored on, those that failed too."""
    return {*own.questions, *own.held_out}


def is_same(name: str, before: Scored, after: Scored) -> bool:
    """Whether a question has the same text in both, as far as that is known."""
    texts = before.asked.get(name), after.asked.get(name)
    return None in texts or texts[0] == texts[1]


def _part(goal: Goal, before: Values, after: Values, same: set[str], documents: Mapping[str, str]) -> Part | None:
    """The comparison on the questions that both have of a part; None if that are fewer than `FEWEST`."""
    names = sorted(name for name in same if goal.metric in before.get(name, {}) and goal.metric in after.get(name, {}))
    if len(names) < FEWEST:
        return None
    better = np.array([goal.loss(before[name][goal.metric]) - goal.loss(after[name][goal.metric]) for name in names])
    groups = [documents[name] for name in names] if all(name in documents for name in names) else []
    interval = mean_interval(better, groups)
    return Part(
        questions=len(names),
        documents=len(set(groups)) if groups else None,
        metrics=_means(goal.metric, [before[name] for name in names], [after[name] for name in names]),
        difference=Difference(
            mean=float(better.mean()),
            low=interval.low,
            high=interval.high,
            p=p_above_zero(better, groups),
            needed=questions_needed(better, groups, level=LEVEL),
        ),
        p_worse=p_above_zero(-better, groups),
        lost={
            names[at]: Pair(before=before[names[at]][goal.metric], after=after[names[at]][goal.metric])
            for at in np.argsort(better, kind="stable")[:SHOWN]
            if better[at] < 0
        },
    )


def _means(first: str, before: Sequence[Mapping[str, float]], after: Sequence[Mapping[str, float]]) -> dict[str, Pair]:
    """The means of the metrics that both have on all questions, what is compared before the others."""
    rows = [*before, *after]
    names = [first, *(name for name in before[0] if name != first and all(name in row for row in rows))]
    mean = {name: [math.fsum(row[name] for row in own) / len(own) for own in (before, after)] for name in names}
    return {name: Pair(before=one, after=other) for name, (one, other) in mean.items()}


def _nothing_common(before: Scored, after: Scored, same: set[str]) -> str:
    both = f"the {len(ids(before))} questions of {before.name} and the {len(ids(after))} of {after.name}"
    reworded = len(ids(before) & ids(after)) - len(same)
    again = f", {reworded} have the same id and another text" if reworded else ""
    if len(same) >= FEWEST:
        return f"{len(same)} of {both} are the same, but one was scored on them in its search, the other held them out"
    return f"{len(same)} of {both} are the same{again}; compare runs on the same questions"


def _notes(before: Scored, after: Scored, goal: Goal, same: set[str], parts: Sequence[Part]) -> Iterator[str]:
    """What has to be said of a comparison."""
    yield from (*before.notes, *after.notes)
    for own in (before, after):
        alone = len(ids(own) - same)
        if alone:
            yield f"{alone} of the {len(ids(own))} questions of {own.name} are left out: the other has them not"
        failed = sum(not values[name] for values in (own.questions, own.held_out) for name in set(values) & same)
        if failed:
            yield f"{failed} questions could not be scored in {own.name} and are left out"
    for line in changes(before.scored_by(goal.metric), after.scored_by(goal.metric)):
        yield f"scored otherwise: {line}"
    if max(part.questions for part in parts) < FEW:
        yield f"fewer than {FEW} questions can hardly tell two configurations apart"


def _label(side: Side) -> str:
    return side.run if side.trial is None else f"{side.run}, trial {side.trial}"
