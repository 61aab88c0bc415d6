"""The contract around every search algorithm."""

from __future__ import annotations

import math
import random
from typing import Any

from ray.tune.search import Searcher

from raytuner.space import Raw, SearchSpace
from raytuner.space_parameters import plain_value

MAX_REJECTED = 10
"""After so many suggestions in a row that cannot be used, a configuration near the last one is drawn instead."""
NEIGHBOURS = 30
"""So often one parameter of the suggestion is drawn anew, and as often two, before all are."""
MAX_DRAWN = 1000
"""After so many draws that cannot be used, the rest of a finite space is looked through."""


class Guard(Searcher):  # type: ignore[misc]
    """Lets an algorithm suggest only what is new and valid, and tells it what is known of the rest.

    - Equal resolved configurations are never evaluated twice: the algorithm is told the known result at
      once, or, while the first is still in flight, when that one ends.
    - Configurations that break the rule of the space are told as failures.
    - Neither counts as a trial.
    - A finite space ends when it is exhausted; `ended` says why a search has ended.
    - Failed trials and scores that are not finite are told as failures.

    What goes to a trial is ``{"number": 1.., "point": raw sample}``.

    Args:
        space: The search space.
        inner: The algorithm, over the raw space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        trials: The most configurations to evaluate.
        seed: For the configurations that are drawn when the algorithm only repeats itself.
        patience: See `MAX_REJECTED`; less for an algorithm that takes long for a suggestion.
    """

    def __init__(
        self,
        space: SearchSpace,
        inner: Searcher,
        metric: str,
        mode: str,
        *,
        trials: int | None = None,
        seed: int = 0,
        patience: int = MAX_REJECTED,
    ) -> None:
        super().__init__(metric=metric, mode=mode)
        self._space = space
        self._inner = inner
        self._trials = trials
        self._patience = patience
        self._size = space.size()
        self._rng = random.Random(f"guard {seed}")  # not the draws of random search once more
        self._asked = 0
        self._results: dict[str, float | None] = {}  # key -> score, None = failed
        self._waiting: dict[str, list[str]] = {}  # key in flight -> ids of the inner algorithm's repeats
        self._keys: dict[str, str] = {}  # Ray's trial id -> key
        self._inner_ids: dict[str, str] = {}  # Ray's trial id -> id known to the inner algorithm
        self._invalid: set[str] = set()
        self.ended: str | None = None

    @property
    def started(self) -> int:
        """How many configurations have been handed out."""
        return len(self._results) + len(self._waiting)

    @property
    def rejected_invalid(self) -> int:
        """How many configurations were suggested that break the rule of the space."""
        return len(self._invalid)

    @property
    def at_most(self) -> int | None:
        """The most configurations there will be, if that is known."""
        return min((bound for bound in (self._trials, self._size) if bound is not None), default=None)

    def suggest(self, trial_id: str) -> Any:
        """The next new configuration, `Searcher.FINISHED`, or None while the algorithm waits."""
        if self._trials is not None and self.started >= self._trials:
            return Searcher.FINISHED
        if self._size is not None and self.started >= self._size:
            self.ended = f"the space is exhausted: all {self._size} configurations were tried"
            return Searcher.FINISHED
        for _ in range(self._patience):
            inner_id = self._next_id()
            raw = self._inner.suggest(inner_id)
            if raw is None:
                return None
            if isinstance(raw, str):  # Searcher.FINISHED
                break
            if self._is_usable(raw, inner_id):
                self._inner_ids[trial_id] = inner_id
                return self._hand_out(trial_id, raw)
        else:
            unseen = self._draw_unseen(raw)
            if unseen is not None:
                return self._hand_out(trial_id, unseen)
        self.ended = f"the search has nothing new to suggest after {self.started} configurations"
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Partial results are for the scheduler; the algorithm learns from finished trials."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the algorithm how a trial ended, and the repeats that were waiting for it."""
        key = self._keys.pop(trial_id, None)
        if key is None:
            return
        score = None if error or not result else result.get(self.metric)
        if score is not None and not math.isfinite(score):
            score = None
        self._results[key] = score
        inner_id = self._inner_ids.pop(trial_id, None)
        for known in [*([inner_id] if inner_id else []), *self._waiting.pop(key, [])]:
            self._tell(known, score)

    def save(self, checkpoint_path: str) -> None:
        """Nothing is saved: the run's own log is what resumes."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing is restored."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles the searcher to a file that nobody reads."""
        return {}

    def _next_id(self) -> str:
        self._asked += 1
        return f"{self._asked:06d}"

    def _is_usable(self, raw: Raw, inner_id: str) -> bool:
        """Whether a suggestion is new and valid; if not, the algorithm is told."""
        key = self._space.key(raw)
        if key in self._results:
            self._tell(inner_id, self._results[key])
            return False
        if key in self._waiting:
            self._waiting[key].append(inner_id)
            return False
        if not self._is_valid(raw, key):
            self._tell(inner_id, None)
            return False
        return True

    def _hand_out(self, trial_id: str, raw: Raw) -> dict[str, Any]:
        key = self._space.key(raw)
        self._waiting[key] = []
        self._keys[trial_id] = key
        return {"number": self.started, "point": {name: plain_value(raw[name]) for name in self._space.parameters}}

    def _tell(self, inner_id: str, score: float | None) -> None:
        if score is None:
            self._inner.on_trial_complete(inner_id, error=True)
        else:
            result = {self.metric: score, "training_iteration": 1}
            self._inner.on_trial_complete(inner_id, result=result)

    def _draw_unseen(self, near: Raw) -> Raw | None:
        """A new valid configuration at random, if possible near a given one; None if there seems to be none."""
        names = list(self._space.parameters)
        for count in (*[1] * NEIGHBOURS, *[2] * NEIGHBOURS, *[len(names)] * MAX_DRAWN):
            drawn = self._space.draw(self._rng)
            raw = {**near, **{name: drawn[name] for name in self._rng.sample(names, min(count, len(names)))}}
            if self._is_unseen(raw) and self._is_valid(raw, self._space.key(raw)):
                return raw
        if self._size is None:
            return None
        unseen = [raw for raw in self._space.points() if self._is_unseen(raw)]
        return self._rng.choice(unseen) if unseen else None

    def _is_valid(self, raw: Raw, key: str) -> bool:
        if key not in self._invalid and not self._space.is_valid(raw):
            self._invalid.add(key)
        return key not in self._invalid

    def _is_unseen(self, raw: Raw) -> bool:
        key = self._space.key(raw)
        return key not in self._results and key not in self._waiting
