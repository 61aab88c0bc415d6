"""Aim: an experiment for the search, and in it a run for each trial that has ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from raytuner.tracking.config import AimConfig
from raytuner.tracking.tracker import EndFacts, RunFacts, TrialFacts


class Aim:
    """See `raytuner.tracking.tracker.Tracker`; Aim keeps one value for each step, however often it is told it.

    Args:
        config: Its options.
    """

    def __init__(self, config: AimConfig) -> None:
        self._config = config
        self._written: dict[int, TrialFacts] = {}

    def begin(self, run: RunFacts) -> None:
        """Open the repository, and look which runs of the search are in it."""
        logging.getLogger("aim").setLevel(logging.ERROR)
        from aim import Repo

        self._facts = run
        self._repo: Any = Repo.from_path(self._config.repo or str(run.folder), init=True)
        runs = ((found, found.experiment_obj) for found in self._repo.structured_db.runs())
        self._known = {found.name: found.hash for found, own in runs if own is not None and own.name == run.name}

    def trial(self, trial: TrialFacts) -> None:
        """Write a trial that has ended."""
        if not trial.ended or self._written.get(trial.number) == trial:
            return
        said = {"params": dict(trial.params), "values": trial.values, "state": trial.state, "reason": trial.reason}
        self._write(f"trial {trial.number}", said, trial)
        self._written[trial.number] = trial

    def end(self, end: EndFacts) -> None:
        """Write a run of the search itself."""
        facts = {**self._facts.facts, "objectives": "; ".join(map(str, self._facts.goals))}
        self._write("search", {"search": facts, "values": dict(end.facts), "config": self._facts.config})

    def _write(self, name: str, said: Mapping[str, Any], trial: TrialFacts | None = None) -> None:
        from aim import Run

        run = Run(
            self._known.get(name),
            repo=self._repo,
            experiment=self._facts.name,
            system_tracking_interval=None,
            capture_terminal_logs=False,
            log_system_params=False,
            force_resume=True,  # the lock of a driver that was killed
        )
        try:
            run.name = name
            self._known[name] = run.hash
            for key, value in said.items():
                run[key] = value
            for step in trial.steps if trial is not None else ():
                for metric, value in step.metrics.items():
                    run.track(value, name=metric, step=step.questions)
        finally:
            run.close()


def make(config: AimConfig) -> Aim:
    """See `raytuner.tracking.registry.make`."""
    return Aim(config)
