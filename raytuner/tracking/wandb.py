"""Weights & Biases: a group for the search, and in it a run for each trial that has ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from raytuner.tracking.config import WandbConfig
from raytuner.tracking.tracker import EndFacts, RunFacts, TrialFacts

SETTINGS = {
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Nothing of the machine, the code and what is printed is kept; those that a version does not know are left out."""


class Wandb:
    """See `raytuner.tracking.tracker.Tracker`.

    A run is written at once, when its trial has ended. What is written offline replaces what was there before; online,
    Weights & Biases itself leaves out the steps that it has.

    Args:
        config: Its options.
    """

    def __init__(self, config: WandbConfig) -> None:
        self._config = config
        self._written: dict[int, TrialFacts] = {}

    def begin(self, run: RunFacts) -> None:
        """Import the library; nothing is written yet."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._facts = run
        self._library: Any = wandb
        known = wandb.Settings.model_fields
        self._settings = wandb.Settings(
            mode=self._config.how, **{name: value for name, value in SETTINGS.items() if name in known}
        )

    def trial(self, trial: TrialFacts) -> None:
        """Write a trial that has ended."""
        if not trial.ended or self._written.get(trial.number) == trial:
            return
        with self._opened(str(trial.number), f"trial {trial.number}", "trial", trial.params, [trial.state]) as run:
            for step in trial.steps:
                run.log({**step.metrics, "questions": step.questions}, step=step.questions)
            run.summary.update({**trial.values, "state": trial.state, "reason": trial.reason})
        self._written[trial.number] = trial

    def end(self, end: EndFacts) -> None:
        """Write a run of the search itself."""
        facts = {**self._facts.facts, "config": self._facts.config}
        with self._opened("search", self._facts.name, "search", facts, []) as run:
            run.summary.update({**end.facts, "finished": end.finished})

    def _opened(self, name: str, shown: str, kind: str, config: Mapping[str, Any], tags: list[str]) -> Any:
        """A run of Weights & Biases, which ends with the block."""
        identity = f"{self._facts.id}-{name}"
        offline = self._config.how == "offline"
        for before in self._facts.folder.glob(f"wandb/offline-run-*-{identity}") if offline else ():
            shutil.rmtree(before)
        return self._library.init(
            project=self._config.project,
            entity=self._config.entity,
            group=self._facts.name,
            name=shown,
            id=identity,
            job_type=kind,
            tags=tags,
            config=dict(config),
            dir=str(self._facts.folder),
            resume=None if offline else "allow",
            reinit="create_new",
            settings=self._settings,
        )


def make(config: WandbConfig) -> Wandb:
    """See `raytuner.tracking.registry.make`."""
    return Wandb(config)
