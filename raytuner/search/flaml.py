"""BlendSearch and CFO by FLAML."""

from __future__ import annotations

import random
from typing import Any

from flaml.tune.searcher.blendsearch import CFO, BlendSearch
from ray.tune.search import Searcher

from raytuner.search.task import Task
from raytuner.space import Raw
from raytuner.space_ray import to_ray

TRIES = 20
"""FLAML has nothing to suggest where it comes upon a point that it knows; it goes elsewhere when it is asked again."""

ALGORITHMS = {"blendsearch": BlendSearch, "cfo": CFO}


class FlamlSearcher(Searcher):  # type: ignore[misc]
    """Suggests what FLAML's searchers do; where they know of nothing, a point at random.

    They know trials by their ids, and learn from a point only what they have suggested themselves.

    Args:
        task: What is searched.
        variant: One of `ALGORITHMS`.
    """

    def __init__(self, task: Task, variant: str) -> None:
        super().__init__(metric=task.metric, mode=task.mode)
        self._space = task.space
        self._random = random.Random(task.seed)
        self._names = {f"p{number}": name for number, name in enumerate(task.space.parameters)}
        keys = {name: key for key, name in self._names.items()}
        self._suggested: dict[str, dict[str, Any]] = {}
        self._flaml = ALGORITHMS[variant](
            metric=task.metric,
            mode=task.mode,
            space={keys[name]: domain for name, domain in to_ray(task.space).items()},
            points_to_evaluate=[{keys[name]: raw for name, raw in point.items()} for point in task.points],
            seed=task.seed,
        )

    def suggest(self, trial_id: str) -> Raw:
        """The next point."""
        config = next(filter(None, (self._flaml.suggest(trial_id) for _ in range(TRIES))), None)
        if config is None:
            return self._space.draw(self._random)
        raw = self._space.canonical({name: config[key] for key, name in self._names.items()})
        self._suggested[trial_id] = {key: raw[name] for key, name in self._names.items()}
        return raw

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell a score, or that there is none."""
        config = self._suggested.pop(trial_id, None)
        if config is None:
            return
        score = None if error or result is None else {self.metric: result[self.metric]}
        told = None if score is None else {**score, "config": config, "training_iteration": 1, "time_total_s": 1}
        self._flaml.on_trial_complete(trial_id, told, error=told is None)
