"""What the log of a run says, for a search that goes on with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raytuner.trial_log import read_log, values_of
from raytuner.values import Means, Values

Event = tuple[str, str, Any]
"""As `raytuner.search.guard.Guard.restore` takes it: the id of a trial, what happened, and a point or scores."""


@dataclass
class PastTrial:
    """A trial as the log knows it.

    Attributes:
        number: Its number.
        params: The tuned parameters, as they are logged.
        point: Its raw sample.
        blocks: The values of its blocks of questions, without a gap, from the first.
        held_out: Those of the held-out questions.
        end: The row of its end; None if it has not ended.
    """

    number: int
    params: dict[str, Any]
    point: dict[str, Any]
    blocks: list[Values] = field(default_factory=list)
    held_out: list[Values] = field(default_factory=list)
    end: Mapping[str, Any] | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether it was stopped before its last question."""
        return self.end is not None and self.end.get("stopped") is not None

    @property
    def is_failed(self) -> bool:
        """Whether it failed."""
        return self.end is not None and self.end["error"] is not None


@dataclass(frozen=True)
class Past:
    """A log that was read back.

    Attributes:
        folder: The run folder.
        rows: Its rows, in their order; only those of trials of which it is known what they are.
        trials: The trials by number.
        notes: What has to be said of the log.
    """

    folder: Path
    rows: Sequence[Mapping[str, Any]]
    trials: Mapping[int, PastTrial]
    notes: Sequence[str]

    @property
    def unfinished(self) -> list[PastTrial]:
        """The trials that have begun and not ended."""
        return [trial for trial in self.trials.values() if trial.end is None]

    @property
    def last(self) -> int:
        """The highest number of a trial; 0 without one."""
        return max(self.trials, default=0)

    def events(self, total: int | None) -> Iterator[Event]:
        """What happened to the search algorithm: trials began in the order of their numbers.

        Args:
            total: How many questions a trial has, if that is known.
        """
        begun, means = 0, dict[int, Means]()
        for row in self.rows:
            while begun < row["trial"]:
                begun += 1
                if begun in self.trials:
                    yield id_of(begun), "began", self.trials[begun].point
            if row["kind"] == "block":
                seen = means.setdefault(row["trial"], Means())
                seen.add(values_of(row))
                if total:
                    yield id_of(row["trial"]), "partial", (seen.count / total, seen.values())
            elif row["kind"] == "trial":
                stopped = row.get("stopped") is not None
                told = (row.get("told") or None) if stopped else row["metrics"]
                yield id_of(row["trial"]), "stopped" if stopped else "ended", None if row["error"] else told


def id_of(number: int) -> str:
    """What stands for Tune's id of a trial that an earlier driver began."""
    return f"past-{number}"


def read_past(folder: Path) -> Past:
    """Read the log of a run that is to go on.

    Raises:
        DataError: There is no log.
    """
    read = read_log(folder)
    trials: dict[int, PastTrial] = {}
    for row in read.rows:
        if row["kind"] == "start" and row.get("point") is not None:
            known = trials.get(row["trial"])
            if known is None or known.end is None:  # begun anew, from its first question
                trials[row["trial"]] = PastTrial(row["trial"], row["params"], row["point"])
                trials[row["trial"]].held_out = known.held_out if known else []
    blocks: dict[tuple[int, str], dict[int, Values]] = {}
    for row in read.rows:
        key = (row["trial"], row["kind"])
        if row["kind"] == "start":
            blocks.pop((row["trial"], "block"), None)
        elif row["kind"] in ("block", "held_out"):
            blocks.setdefault(key, {})[row["block"]] = values_of(row)
        elif row["trial"] in trials:
            trials[row["trial"]].end = row
    for (number, kind), found in blocks.items():
        if number in trials:
            first = min(found) if kind == "held_out" else 0
            values = list(_without_gap(found, first))
            if kind == "block":
                trials[number].blocks = values
            else:
                trials[number].held_out = values
    rows = [row for row in read.rows if row["trial"] in trials]
    return Past(folder, rows, dict(sorted(trials.items())), read.notes)


def _without_gap(blocks: Mapping[int, Values], first: int) -> Iterator[Values]:
    while first in blocks:
        yield blocks[first]
        first += 1
