"""The contract around every search algorithm."""

from __future__ import annotations

import contextlib
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from raytuner.errors import RaytunerError, SearchError, in_a_line, quoted
from raytuner.search.quiet import quiet
from raytuner.space import Choice, Raw, SearchSpace
from raytuner.space_parameters import plain_value

Scores = list[float]
"""One for each metric."""

MAX_REJECTED = 10
"""After so many suggestions in a row that cannot be used, a configuration near the last one is drawn instead."""
NEIGHBOURS = 30
"""So often one parameter of the suggestion is drawn anew, and as often two, before all are."""
MAX_DRAWN = 1000
"""After so many draws that cannot be used, the rest of a finite space is looked through."""
MAX_DRAWN_BLINDLY = 10_000
"""After so many the search ends, where the space cannot be looked through."""
MAX_WAITS = 20
"""So often in a row an algorithm may have nothing to suggest while no trial is in flight."""


class Guard(Searcher):  # type: ignore[misc]
    """Lets an algorithm suggest only what is new and valid, and tells it what is known of the rest.

    - Equal resolved configurations are never evaluated twice: the algorithm is told the known result at
      once, or, while the first is still in flight, when that one ends.
    - Configurations that break the rule of the space are told as failures.
    - Neither counts as a trial.
    - Where an algorithm only repeats itself, a configuration near its suggestion is drawn, and told to it with its
      score if it can be told of points that it did not suggest; also that it is in flight, if the algorithm has a
      method ``expect`` for that.
    - A finite space ends when it is exhausted, and so does a search whose algorithm waits for nothing; `ended` says
      why a search has ended.
    - An algorithm that learns from partial results, which has an attribute ``budgets``, shares of the questions, and
      methods ``on_partial`` and ``on_stopped``, is told the means at each budget, and no estimate of a stopped trial.
    - Failed trials and scores that are not finite are told as failures.
    - Warnings of a library are not shown.
    - What is suggested has a value for each parameter, or it is an error.
    - Whatever an algorithm raises ends the search: the next `suggest` says so in one line.
    - `save` and `restore` keep what was suggested and told, as JSON: a restored algorithm goes through it again.

    What goes to a trial is ``{"number": 1.., "point": raw sample}``, inactive parameters at their default.

    Args:
        space: The search space.
        inner: The algorithm, over the raw space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        trials: The most configurations to evaluate.
        seed: For the configurations that are drawn when the algorithm only repeats itself.
        patience: See `MAX_REJECTED`; less for an algorithm that takes long for a suggestion.
        name: What the algorithm is called in messages.
        others: Further metrics that the algorithm is told of.
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
        name: str = "algorithm",
        others: Sequence[str] = (),
    ) -> None:
        super().__init__(metric=metric, mode=mode)
        self._metrics = (metric, *others)
        self._space = space
        self._inner = inner
        self._trials = trials
        self._patience = patience
        self._name = name
        self._size = space.size()
        self._rng = random.Random(f"guard {seed}")  # not the draws of random search once more
        self._asked = self._last = 0
        self._results: dict[str, Scores | None] = {}  # key -> scores, None = failed
        self._waiting: dict[str, list[str]] = {}  # key in flight -> ids of the inner algorithm's repeats
        self._keys: dict[str, str] = {}  # Ray's trial id -> key
        self._inner_ids: dict[str, str] = {}  # Ray's trial id -> id known to the inner algorithm
        self._drawn: dict[str, Raw] = {}  # Ray's trial id -> a point that the algorithm has not suggested
        self._invalid: set[str] = set()
        self._waits = 0
        self._budgets: Sequence[float] = getattr(inner, "budgets", ())
        self._passed: dict[str, int] = {}  # Ray's trial id -> how many of the budgets it has reached
        self._failure: SearchError | None = None
        self._taken_back: Raw | None = None
        self._replays = True  # whether a restored algorithm has suggested the same so far
        self._events: list[tuple[str, str, Any]] = []  # Ray's trial id, what happened, and the point or the scores
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
        """The next new configuration, `Searcher.FINISHED`, or None while the algorithm waits.

        Raises:
            SearchError: The algorithm raised something, now or when it was told a result, or it suggested what is no
                sample of the space.
        """
        if self._failure is not None:
            raise self._failure
        if self.at_most is not None and self.started >= self.at_most:
            if self._trials is None or self.started < self._trials:
                self.ended = f"the space is exhausted: all {self._size} configurations were tried"
            return Searcher.FINISHED
        if self._taken_back is not None and self._is_unseen(self._taken_back):  # it may be suggested only once
            return self._hand_out_drawn(trial_id, self._taken_back)
        for _ in range(self._patience):
            inner_id = self._next_id()
            raw = self._ask(inner_id)
            if raw is None:
                return self._wait()
            if isinstance(raw, str):  # Searcher.FINISHED
                break
            if self._is_usable(self._checked(raw), inner_id):
                self._inner_ids[trial_id] = inner_id
                return self._hand_out(trial_id, raw)
        else:
            if (unseen := self._draw_unseen(raw)) is not None:
                return self._hand_out_drawn(trial_id, unseen)
        self.ended = f"the search has nothing new to suggest after {self.started} configurations{self._rejected()}"
        return Searcher.FINISHED

    def _rejected(self) -> str:
        """What the rule of the space has to do with the end of the search."""
        if not self._invalid or self._size is not None:
            return ""
        share = math.floor(1000 * len(self._invalid) / (len(self._invalid) + self.started)) / 10
        return f"; the rule of the space rejects {share:g}% of those that were looked at, give it narrower bounds"

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Partial results are for the scheduler; the algorithm learns from finished trials."""

    def on_partial(self, trial_id: str, share: float, result: Mapping[str, Any]) -> None:
        """Tell an algorithm that learns from partial results of one.

        Args:
            trial_id: Ray's id of the trial.
            share: Of the questions that have been evaluated, from 0 to 1.
            result: The means so far by metric.
        """
        reached = sum(share >= budget for budget in self._budgets)
        if trial_id not in self._inner_ids or reached <= self._passed.get(trial_id, 0):
            return
        self._passed[trial_id] = reached
        scores, budget = self._scores(result), self._budgets[reached - 1]
        if scores is None:
            return
        self._events.append((trial_id, "partial", [budget, self._by_metric(scores)]))
        inner: Any = self._inner
        with self._noting_failure():
            inner.on_partial(self._inner_ids[trial_id], budget, self._by_metric(scores))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the algorithm how a trial ended, and the repeats that were waiting for it.

        What is told of a trial that was stopped, ``result["stopped"]``, is an estimate.
        """
        key = self._keys.pop(trial_id, None)
        if key is None:
            return
        scores = None if error or not result else self._scores(result)
        stopped = bool(result and result.get("stopped"))
        self._results[key] = scores
        self._events.append((trial_id, "stopped" if stopped else "ended", self._by_metric(scores)))
        if stopped and self._budgets and trial_id in self._inner_ids:
            inner: Any = self._inner
            with self._noting_failure():
                inner.on_stopped(self._inner_ids.pop(trial_id))
        if trial_id in self._drawn:
            self._tell_drawn(self._drawn.pop(trial_id), scores)
        inner_id = self._inner_ids.pop(trial_id, None)
        for known in [*([inner_id] if inner_id else []), *self._waiting.pop(key, [])]:
            self._tell(known, scores)

    def save(self, checkpoint_path: str) -> None:
        """Write what was handed out and told, as JSON."""
        Path(checkpoint_path).write_text(json.dumps(self._events), encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Go through what was handed out and told, with a searcher that has not been used.

        An algorithm that suggests the same again stands where it stood; another one is told of the points instead.
        Trials that were in flight stay so.
        """
        self.take_up(json.loads(Path(checkpoint_path).read_text(encoding="utf-8")))

    def take_up(self, events: Iterable[tuple[str, str, Any]], last: int = 0) -> None:
        """Go through what happened in an earlier search; see `restore`.

        Args:
            events: The id of a trial, what happened, and: its point if it ``began``; the share of the questions and
                the means by metric of a ``partial`` result; the values by metric, or None, if it ``ended`` or was
                ``stopped``.
            last: The highest number that was handed out, where that is more than there are trials.
        """
        for trial_id, happened, what in events:
            if happened == "began":
                self._suggest_again(trial_id, what)
            elif happened == "partial":
                self.on_partial(trial_id, *what)
            else:
                self.on_trial_complete(trial_id, {**(what or {}), "stopped": happened == "stopped"}, error=what is None)
        self._last = max(self._last, last)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles the searcher to a file that nobody reads."""
        return {}

    def _ask(self, inner_id: str) -> Any:
        """What the algorithm suggests.

        Raises:
            SearchError: It raised something.
        """
        with self._noting_failure():
            return self._inner.suggest(inner_id)
        assert self._failure is not None
        raise self._failure

    @contextlib.contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Keep what the algorithm raises for the next `suggest`.

        Ray Tune would take what is raised while a result is told for a failure of the trial, and go on.
        """
        try:
            with quiet():
                yield
        except Exception as error:  # it is another library's code
            self._failure = SearchError(self._said(error))
            self._failure.__cause__ = error

    def _said(self, error: Exception) -> str:
        if isinstance(error, RaytunerError):
            return str(error)
        start = f"search {self._name!r} failed after {self.started} configurations"
        return f"{start} ({in_a_line(error)}); use another search"

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

    def _wait(self) -> Any:
        """The algorithm has nothing to suggest now."""
        self._waits = 0 if self._keys else self._waits + 1
        if self._waits <= MAX_WAITS:
            return None
        self.ended = f"the search suggests nothing after {self.started} configurations, of which none is in flight"
        return Searcher.FINISHED

    def _checked(self, raw: Raw) -> Raw:
        """What was suggested, if all of it can be read.

        Raises:
            SearchError: A parameter has no value, or one that is none of its own.
        """
        for name, parameter in self._space.parameters.items():
            try:
                parameter.decode(raw[name])
                if not isinstance(parameter, Choice) and not math.isfinite(raw[name]):
                    raise ValueError
            except (KeyError, TypeError, ValueError, OverflowError):
                is_absent = isinstance(raw, Mapping) and name not in raw
                value = "nothing" if is_absent else quoted(raw[name] if isinstance(raw, Mapping) else raw)
                raise SearchError(
                    f"{name}: search {self._name!r} suggested {value}, which is none of its values; use another search"
                ) from None
        return raw

    def _hand_out(self, trial_id: str, raw: Raw) -> dict[str, Any]:
        key = self._space.key(raw)
        point = {name: plain_value(value) for name, value in self._space.canonical(raw).items()}
        self._waits = 0
        self._waiting[key] = []
        self._keys[trial_id] = key
        self._events.append((trial_id, "began", point))
        self._last += 1
        return {"number": self._last, "point": point}

    def _hand_out_drawn(self, trial_id: str, raw: Raw) -> dict[str, Any]:
        """Hand out what the algorithm has not suggested."""
        handed = self._hand_out(trial_id, raw)
        point = self._drawn[trial_id] = handed["point"]
        if hasattr(self._inner, "expect"):
            with self._noting_failure():
                self._inner.expect(point)
        return handed

    def _suggest_again(self, trial_id: str, point: Raw) -> None:
        """Have a point suggested as it was before, or take it for one that was drawn."""
        if self._replays:
            again = self.suggest(trial_id)
            self._replays = isinstance(again, dict) and self._space.key(again["point"]) == self._space.key(point)
            if self._replays:
                return
            if isinstance(again, dict):  # the algorithm went another way, and is only told from here on
                self._take_back(trial_id)
            self.ended = None
        self._hand_out_drawn(trial_id, point)

    def _take_back(self, trial_id: str) -> None:
        """Undo that a point was handed out; to the algorithm it is a failure."""
        *_, self._taken_back = self._events.pop()
        self._last -= 1
        del self._waiting[self._keys.pop(trial_id)]
        if trial_id in self._drawn:
            self._tell_drawn(self._drawn.pop(trial_id), None)
        if trial_id in self._inner_ids:
            self._tell(self._inner_ids.pop(trial_id), None)

    def _scores(self, result: Mapping[str, Any]) -> Scores | None:
        """What the algorithm is told of; None if one of the metrics is no finite number."""
        found = [result.get(name) for name in self._metrics]
        scores = [value for value in found if value is not None and math.isfinite(value)]
        return scores if len(scores) == len(found) else None

    def _by_metric(self, scores: Scores | None) -> dict[str, float] | None:
        return None if scores is None else dict(zip(self._metrics, scores, strict=True))

    def _tell_drawn(self, raw: Raw, scores: Scores | None) -> None:
        value = math.nan if scores is None else scores[0] if len(scores) == 1 else scores
        # Many of Ray's wrappers know only what they have suggested.
        with self._noting_failure(), contextlib.suppress(NotImplementedError):
            self._inner.add_evaluated_point(raw, value, error=scores is None)

    def _tell(self, inner_id: str, scores: Scores | None) -> None:
        with self._noting_failure():
            if scores is None:
                self._inner.on_trial_complete(inner_id, error=True)
            else:
                told = {**(self._by_metric(scores) or {}), "training_iteration": 1}
                self._inner.on_trial_complete(inner_id, result=told)

    def _draw_unseen(self, near: Raw) -> Raw | None:
        """A new valid configuration at random, if possible near a given one; None if there seems to be none."""
        names = list(self._space.parameters)
        most = MAX_DRAWN_BLINDLY if self._size is None else MAX_DRAWN
        for count in (*[1] * NEIGHBOURS, *[2] * NEIGHBOURS, *[len(names)] * most):
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
