"""What the calls of a search took, from its ``calls.jsonl``: tokens and dollars by model, stage and trial."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from raytuner.calls.budget import EMBEDDINGS
from raytuner.calls.call import OK
from raytuner.errors import DataError, RaytunerError, redact

CALLS = "calls.jsonl"


class Spent(BaseModel):
    """What calls took.

    Attributes:
        model: What the configuration calls the model; empty for all.
        stage: What it was asked for, e.g. ``answers``; empty for all.
        answered: How many requests were answered.
        attempts: How many were made for that, those that failed too.
        prompt_tokens: Those that were sent and paid for.
        completion_tokens: Those of the answers.
        estimated: In how many attempts the service did not count them.
        cut: How many answers ``max_tokens`` cut short, and are used as they are.
        usd: US dollars; None if a price is unknown.
    """

    model: str = ""
    stage: str = ""
    answered: int = 0
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    cut: int = 0
    usd: float | None = 0.0

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens


class Cost(BaseModel):
    """What a search took in calls of services.

    Attributes:
        parts: By model and stage, the dearest first.
        trials: By the number of the trial.
    """

    parts: list[Spent] = Field(default_factory=list)
    trials: dict[int, Spent] = Field(default_factory=dict)

    @property
    def total(self) -> Spent:
        """All of it."""
        return _sum(self.parts)

    @property
    def llm_calls(self) -> int:
        """How many attempts were of LLMs."""
        return sum(part.attempts for part in self.parts if part.stage != EMBEDDINGS)


def cost_of(rows: Iterable[Mapping[str, Any]]) -> Cost | None:
    """What the calls in a log took; None if there were none.

    Args:
        rows: See `raytuner.calls.call.row`.
    """
    parts: dict[tuple[str, str], list[Spent]] = {}
    trials: dict[int, list[Spent]] = {}
    for row in rows:
        one = Spent(
            answered=row["status"] in (OK, "filtered"),
            attempts=1,
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            estimated=bool(row["estimated"]),
            cut=bool(row.get("cut")),
            usd=row["usd"],
        )
        parts.setdefault((row["model"], row["stage"]), []).append(one)
        if row["trial"] is not None:
            trials.setdefault(row["trial"], []).append(one)
    if not parts:
        return None
    found = [_sum(ones, model, stage) for (model, stage), ones in parts.items()]
    found.sort(key=lambda part: (-(part.usd or 0.0), -part.tokens, part.model, part.stage))
    return Cost(parts=found, trials={number: _sum(ones) for number, ones in sorted(trials.items())})


def _sum(ones: Sequence[Spent], model: str = "", stage: str = "") -> Spent:
    known = [one.usd for one in ones if one.usd is not None]
    return Spent(
        model=model,
        stage=stage,
        answered=sum(one.answered for one in ones),
        attempts=sum(one.attempts for one in ones),
        prompt_tokens=sum(one.prompt_tokens for one in ones),
        completion_tokens=sum(one.completion_tokens for one in ones),
        estimated=sum(one.estimated for one in ones),
        cut=sum(one.cut for one in ones),
        usd=math.fsum(known) if len(known) == len(ones) else None,
    )


def said(cost: Cost) -> list[str]:
    """The cost as lines: all of it, and its parts if there are several."""
    lines = [f"cost: {_said(cost.total)}"]
    if len(cost.parts) > 1:
        lines += [f"  {part.stage}, {part.model}: {_said(part)}" for part in cost.parts]
    return lines


def _said(spent: Spent) -> str:
    failed = spent.attempts - spent.answered
    again = f" ({failed:,} more failed)" if failed else ""
    usd = "price unknown" if spent.usd is None else f"{dollars(spent.usd)} USD"
    again += f"; max_tokens cut {spent.cut:,} answers short" if spent.cut else ""
    counted = f", {spent.estimated:,} of them estimated" if spent.estimated else ""
    return (
        f"{spent.answered:,} calls{again}, {spent.prompt_tokens:,} + {spent.completion_tokens:,} tokens{counted}, {usd}"
    )


def dollars(usd: float) -> str:
    """Dollars with two places, or as many as show two digits."""
    if usd == 0 or usd >= 1:
        return f"{usd:,.2f}"
    return f"{usd:.{max(2, 1 - math.floor(math.log10(usd)))}f}"


Amounts = tuple[float, int, int]
"""Dollars, tokens and calls of LLMs, as a budget counts them."""


def spent_of(rows: Sequence[Mapping[str, Any]]) -> Amounts:
    """Dollars, tokens and calls of LLMs of some attempts, as a budget counts them."""
    usd = math.fsum(row["usd"] or 0.0 for row in rows)
    tokens = sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    return usd, tokens, sum(row["stage"] != EMBEDDINGS for row in rows)


class Taken:
    """What the calls of a search have taken so far.

    Attributes:
        all: All of them together.
        trials: Those of each trial, without embeddings, which are paid once for several trials.
    """

    def __init__(self) -> None:
        self.all: Amounts = (0.0, 0, 0)
        self.trials: dict[int, Amounts] = {}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Further calls, as they are logged."""
        self.all = _plus(self.all, spent_of(rows))
        for row in rows:
            if row["trial"] is not None and row["stage"] != EMBEDDINGS:
                self.trials[row["trial"]] = _plus(self.trials.get(row["trial"], (0.0, 0, 0)), spent_of([row]))


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


class CallLog:
    """``calls.jsonl``: a line for each attempt.

    Args:
        folder: The run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CALLS

    def extend(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write lines and wait until they are on disk.

        Raises:
            RaytunerError: They cannot be written.
        """
        if not rows:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(redact(json.dumps(row)) + "\n" for row in rows))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RaytunerError(f"{self._path}: {error.strerror}; free some space") from None


def read_calls(folder: Path) -> list[dict[str, Any]]:
    """The attempts of a run; a torn last line is skipped.

    Raises:
        DataError: A line is damaged.
    """
    path = folder / CALLS
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    rows = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            row = json.loads(line)
            cost_of([row])
        except (ValueError, KeyError, TypeError):
            if number >= len(lines) - 1:
                break
            raise DataError(f"{path}: line {number} is damaged; restore the file or remove the line") from None
        rows.append(row)
    return rows
