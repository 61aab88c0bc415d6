"""raytuner's own search: a Gaussian process for few trials, that weighs improvement against new work."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from math import erf, pi, sqrt
from typing import Any, NamedTuple

import numpy as np
from ray.tune.search import Searcher
from threadpoolctl import threadpool_limits

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.candidates import Candidates
from raytuner.search.coordinates import Coordinates
from raytuner.search.gp import Floats, Process, spread
from raytuner.search.new_work import NewWork
from raytuner.search.task import Task, Work
from raytuner.space import Raw, SearchSpace

DESIGN = 3
"""So many configurations are spread out, before a model chooses; those that were given count."""
DRAWS, MIN_DRAWS = 32, 16
"""So many draws of the model's settings there are for up to 40 trials, and for the most."""
MAX_MODELLED = 100
"""So many trials are modelled; each suggestion takes the longer the more there are."""
MODELLED_BEST = 40
"""So many of them are the best, the others are drawn."""
AROUND = 5
"""Around so many of the best configurations candidates are looked for."""
REFINED = (0.02, 0.005)
"""How far the best candidates are moved in long ranges, in one round after the other."""


class Known(NamedTuple):
    """A configuration that was evaluated.

    Attributes:
        raw: As a raw sample.
        score: More is better; None if it failed.
    """

    raw: Raw
    score: float | None


class Auto:
    """Chooses the next configuration from the results so far; it keeps nothing of them itself.

    Args:
        space: The space.
        seed: Fixes the sequence of configurations.
        trials: The most configurations that will be evaluated; None if that is not known.
        work: What work a configuration needs; None if nothing is known of it.
    """

    def __init__(self, space: SearchSpace, seed: int = 0, trials: int | None = None, work: Work | None = None) -> None:
        self._space = space
        self._seed = seed
        self._coordinates = Coordinates(space)
        self._candidates = Candidates(space, self._coordinates)
        self._new_work = None if work is None else NewWork(space, work, trials)

    def suggest(self, known: Sequence[Known], pending: Sequence[Raw] = ()) -> Raw | None:
        """The next configuration.

        Args:
            known: What was evaluated.
            pending: What is being evaluated.

        Returns:
            A valid configuration that is neither; None if none was found.
        """
        started = [*(one.raw for one in known), *pending]
        rng = random.Random(f"auto {self._seed} {len(started)}")
        with threadpool_limits(limits=1):  # of small matrices threads make more work than they share
            found = self._suggest(known, pending, started, rng)
        # Most of a space that is nearly exhausted is known, and so may be all candidates.
        return found or self._first(self._candidates.listed(rng), started)

    @property
    def knows_all(self) -> bool:
        """Whether it looks at the whole space before it finds nothing."""
        return self._candidates.are_all

    def _suggest(
        self, known: Sequence[Known], pending: Sequence[Raw], started: Sequence[Raw], rng: random.Random
    ) -> Raw | None:
        best = sorted((one for one in known if one.score is not None), key=lambda one: -(one.score or 0.0))
        if not best or len(started) < DESIGN:
            return self._spread_out(started, rng)
        model = self._model(known, best, pending, rng)
        candidates = self._candidates.around([one.raw for one in best[:AROUND]], rng)
        gains = self._gains(model, candidates)
        for distance in REFINED if self._coordinates.long else ():
            top = [candidates[i] for i in np.argsort(-gains, kind="stable")[:AROUND]]
            more = [raw for point in top for raw in self._candidates.near(point, rng, [distance])]
            candidates, gains = [*candidates, *more], np.append(gains, self._gains(model, more))
        return self._first_new(candidates, gains, started)

    def _spread_out(self, started: Sequence[Raw], rng: random.Random) -> Raw | None:
        """The configuration of which least is known; several of them make a design that is nearly D-optimal."""
        candidates = self._candidates.around([], rng)
        rng.shuffle(candidates := [*candidates])
        of = self._coordinates.of
        return self._first_new(candidates, spread(of(started), of(candidates), self._coordinates.ordered), started)

    def _model(
        self, known: Sequence[Known], best: Sequence[Known], pending: Sequence[Raw], rng: random.Random
    ) -> Process:
        """The model of what is known; of what is pending it believes its own prediction (Ginsbourger et al. 2010)."""
        modelled = known
        if len(known) > MAX_MODELLED:
            top = list(best[:MODELLED_BEST])
            names = {id(one) for one in top}
            modelled = [*top, *rng.sample([k for k in known if id(k) not in names], MAX_MODELLED - len(top))]
        worst = best[-1].score
        scores = np.array([worst if one.score is None else one.score for one in modelled], dtype=float)
        model = Process(
            self._coordinates.of(one.raw for one in modelled),
            standardised(scores),
            self._coordinates.ordered,
            max(MIN_DRAWS, min(DRAWS, DRAWS * 40 // len(modelled))),
            np.random.default_rng(rng.getrandbits(64)),
        )
        return model.believing(self._coordinates.of(pending)) if pending else model

    def _gains(self, model: Process, candidates: Sequence[Raw]) -> Floats:
        """The expected improvement of candidates over the best that each draw of the model believes to know."""
        found = model.predict(self._coordinates.of(candidates))
        gains: Floats = expected_improvement(found.mean, found.deviation, model.best[:, None]).mean(axis=0)
        return gains

    def _first_new(self, candidates: Sequence[Raw], gains: Floats, started: Sequence[Raw]) -> Raw | None:
        """The candidate of the greatest gain, for its cost, that is valid and was not started."""
        order = np.argsort(-gains, kind="stable")
        if self._new_work is not None:
            order = self._new_work.order(candidates, gains, started)
        return self._first((candidates[i] for i in order), started)

    def _first(self, candidates: Iterable[Raw], started: Sequence[Raw]) -> Raw | None:
        """The first candidate that is valid and was not started."""
        seen = {self._space.key(raw) for raw in started}
        new = (raw for raw in candidates if self._space.key(raw) not in seen and self._space.is_valid(raw))
        return next(map(dict, new), None)


class AutoSearcher(AskTellSearcher):
    """`Auto` as Ray's ``Searcher``.

    Args:
        task: What is searched.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._auto = Auto(task.space, task.seed, task.trials, task.work)
        self._rng = random.Random(f"auto {task.seed}")
        self._known: dict[str, Known] = {}
        self._pending: dict[str, Raw] = {}

    def ask(self) -> Any:
        """The next point, or that there is none; any point where none was found, though there may be more."""
        raw = self._auto.suggest(list(self._known.values()), list(self._pending.values()))
        if raw is None:
            return Searcher.FINISHED if self._auto.knows_all else self.space.draw(self._rng)
        return raw

    def expect(self, raw: Raw) -> None:
        """Take note of a point that is evaluated now."""
        self._pending[self.space.key(raw)] = raw

    def tell(self, raw: Raw, loss: float | None) -> None:
        """Take in what is to be minimised of a point."""
        key = self.space.key(raw)
        self._pending.pop(key, None)
        self._known[key] = Known(raw, None if loss is None else -loss)


def standardised(scores: Floats) -> Floats:
    """The scores with mean 0 and deviation 1; all 0 where they are all the same."""
    deviation = scores.std()
    centred = scores - scores.mean()
    return centred / deviation if deviation > 1e-12 * max(1.0, abs(scores).max()) else np.zeros_like(scores)


def expected_improvement(mean: Floats, deviation: Floats, best: Floats | float) -> Floats:
    """E max(0, f - best) for a normal f (Jones, Schonlau and Welch 1998, equation 15, for a maximum).

    Args:
        mean: Of f.
        deviation: Of f; above 0.
        best: What is to be improved on.
    """
    z = (mean - best) / deviation
    below = (1 + np.asarray(_erf(z / sqrt(2)), dtype=float)) / 2
    gain: Floats = np.maximum(deviation * (z * below + np.exp(-z * z / 2) / sqrt(2 * pi)), 0.0)
    return gain


_erf = np.frompyfunc(erf, 1, 1)
