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
        point: Its raw sample; None where only the row of its end is known.
        blocks: The values of its blocks of questions, in their order; of one that has not ended, those before a gap.
        held_out: Those of the held-out questions.
        end: The row of its end; None if it has not ended.
    """

    number: int
    params: dict[str, Any]
    point: dict[str, Any] | None
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
        rows: Its rows that count, in their order: each block once, only of trials of which it is known what they are.
        trials: The trials by number.
        notes: What has to be said of the log.
        last: The highest number of a trial, also of one of which nothing else is known; 0 without one.
    """

    folder: Path
    rows: Sequence[Mapping[str, Any]]
    trials: Mapping[int, PastTrial]
    notes: Sequence[str]
    last: int = 0

    @property
    def unfinished(self) -> list[PastTrial]:
        """The trials that have begun and not ended."""
        return [trial for trial in self.trials.values() if trial.end is None]

    def events(self, total: int | None) -> Iterator[Event]:
        """What happened to the search algorithm: trials began in the order of their numbers.

        Args:
            total: How many questions a trial has, if that is known.
        """
        begun, means = 0, dict[int, Means]()
        for row in self.rows:
            while begun < row["trial"]:
                begun += 1
                if begun in self.trials and self.trials[begun].point is not None:
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
    rows = _counting(read.rows)
    trials: dict[int, PastTrial] = {}
    blocks: dict[tuple[str, int], dict[int, Values]] = {}
    for row in rows:
        number = row["trial"]
        if row["kind"] == "trial":  # known by its end alone if the line of its start is damaged
            trials.setdefault(number, PastTrial(number, row["params"], None)).end = row
        elif row["kind"] != "start":
            blocks.setdefault((row["kind"], number), {})[row["block"]] = values_of(row)
        elif row.get("point") is not None:
            trials[number] = PastTrial(number, row["params"], row["point"])
    held_out = min((at for (kind, _), found in blocks.items() if kind == "held_out" for at in found), default=0)
    for number, trial in trials.items():
        found = blocks.get(("block", number), {})
        trial.blocks = list(_without_gap(found, 0)) if trial.end is None else [found[at] for at in sorted(found)]
        trial.held_out = list(_without_gap(blocks.get(("held_out", number), {}), held_out))
    rows = [row for row in rows if row["trial"] in trials and _is_known(row, trials[row["trial"]])]
    last = max((row["trial"] for row in read.rows), default=0)
    return Past(folder, rows, dict(sorted(trials.items())), read.notes, last)


def _counting(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows without those that others replace: of a block that was done again, and of a trial before it began anew.

    Each start stays: in their order the trials were suggested.
    """
    begun, seen, found = set[int](), set[Any](), list[Mapping[str, Any]]()
    for row in reversed(rows):
        what = (row["kind"], row["trial"], row.get("block"))
        if row["kind"] == "start":
            begun.add(row["trial"])
        elif row["trial"] in begun or what in seen:
            continue
        seen.add(what)
        found.append(row)
    return found[::-1]


def _is_known(row: Mapping[str, Any], trial: PastTrial) -> bool:
    """Whether a row is none of a block after a gap, which is done again."""
    return row["kind"] != "block" or trial.end is not None or row["block"] < len(trial.blocks)


def _without_gap(blocks: Mapping[int, Values], first: int) -> Iterator[Values]:
    while first in blocks:
        yield blocks[first]
        first += 1
