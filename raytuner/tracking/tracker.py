"""What a tracker is told, and what it has to be able to do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from raytuner.cost import Spent
from raytuner.goals import Goal
from raytuner.run_folder import jsonable
from raytuner.space import SearchSpace
from raytuner.withhold import SHORTEST, as_written, texts_of, withhold

LONGEST = 80
"""Fewer characters than this a text may have that is told as it is."""

State = Literal["running", "scored", "stopped", "failed"]


@dataclass(frozen=True)
class RunFacts:
    """What is known of a search when it begins.

    Attributes:
        id: Stands for it: the same when it goes on, another one for every other search.
        folder: Its run folder, whose name is its own.
        goals: What is optimised.
        space: The search space.
        facts: Search algorithm, scheduler, seed, versions.
        config: The config as it was written, as YAML; empty without one.
    """

    id: str
    folder: Path
    goals: Sequence[Goal]
    space: SearchSpace
    facts: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.folder.name


@dataclass(frozen=True)
class Step:
    """Where a trial stood after a block of questions.

    Attributes:
        questions: How many it had answered.
        metrics: The means over them.
    """

    questions: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class TrialFacts:
    """What is known of a trial.

    Attributes:
        number: Its number.
        params: The tuned parameters, as JSON can hold them.
        state: Whether it runs (or waits), was scored, stopped or failed.
        metrics: The means so far.
        steps: Where it stood after each block of questions, from the first.
        seconds: How long it took.
        reason: Why it was stopped or failed, in a line.
        held_out: The means over the held-out questions; empty before they are answered, and for most.
        spent: What its calls of services took; None before the search ends, and without any.
    """

    number: int
    params: Mapping[str, Any]
    state: State
    metrics: Mapping[str, float]
    steps: Sequence[Step] = ()
    seconds: float = 0.0
    reason: str = ""
    held_out: Mapping[str, float] = field(default_factory=dict)
    spent: Spent | None = None

    @property
    def ended(self) -> bool:
        """Whether it has ended; one that was stopped may yet go on, if all others fail."""
        return self.state != "running"

    @property
    def values(self) -> dict[str, float]:
        """The numbers that stand for it as a whole, by name; only those that are finite."""
        found = dict(self.metrics) | {"seconds": self.seconds, "questions": float(self.answered)}
        found |= {f"held_out/{name}": value for name, value in self.held_out.items()}
        if self.spent is not None:
            found |= {"tokens": float(self.spent.tokens), "calls": float(self.spent.attempts)}
            found |= {"usd": self.spent.usd} if self.spent.usd is not None else {}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    @property
    def answered(self) -> int:
        """How many questions it has answered."""
        return self.steps[-1].questions if self.steps else 0

    def withheld(self) -> TrialFacts:
        """The same without texts, see `withheld`; the reason without what it quotes from those of the parameters."""
        reason = withhold(self.reason, as_written(texts_of(self.params)))
        return replace(self, params=withheld(dict(self.params)), reason=reason)


@dataclass(frozen=True)
class EndFacts:
    """How a search ended.

    Attributes:
        finished: Whether it ran to its end; else it failed or was interrupted, and may go on.
        best: The number of the best trial; None if there is none.
        facts: Numbers by name: the best trial, its scores, seconds, cost.
        held_out: The means of the leaders over the held-out questions, by the number of the trial.
    """

    finished: bool
    best: int | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    held_out: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


class Tracker(Protocol):
    """One that is told of a search; all calls come from one thread.

    A call that raises is made again later. What is told twice, also after a search has gone on in another process, must
    not be written twice.
    """

    def begin(self, run: RunFacts) -> None:
        """The search begins, or goes on."""
        ...

    def trial(self, trial: TrialFacts) -> None:
        """A trial has changed since it was told of last: it has begun, come further, or ended."""
        ...

    def end(self, end: EndFacts) -> None:
        """The search has ended, and all trials were told of."""
        ...


def withheld(value: Any, name: str = "") -> Any:
    """A value without texts at any depth: of what is long or called a prompt only length and hash.

    Args:
        value: The value, as JSON can hold it.
        name: What it is called.
    """
    if isinstance(value, Mapping):
        return {key: withheld(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list):
        return [withheld(inner, name) for inner in value]
    most = SHORTEST if "prompt" in name.lower() else LONGEST
    if not isinstance(value, str) or (len(value) < most and "\n" not in value):
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"<text of {len(value)} characters, {digest}>"


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON can hold them."""
    found: dict[str, Any] = jsonable(params)
    return found
