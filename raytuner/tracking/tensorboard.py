"""TensorBoard: event files for each trial, with its parameters for the HPARAMS dashboard."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from raytuner.tracking.config import TensorboardConfig
from raytuner.tracking.tracker import EndFacts, RunFacts, TrialFacts

MOST_OPEN = 50
"""So many files are open at once; another one of a trial is begun where that is not enough."""


class Tensorboard:
    """See `raytuner.tracking.tracker.Tracker`.

    Event files cannot be changed: those of an earlier driver are replaced by what the log of the run says.

    Args:
        config: Its options.
    """

    def __init__(self, config: TensorboardConfig) -> None:
        self._config = config
        self._open: dict[int, Any] = {}
        self._seen: dict[int, TrialFacts] = {}
        self._files = 0

    def begin(self, run: RunFacts) -> None:
        """Say where the files are."""
        own = self._config.folder
        self._folder = Path(own).expanduser() / run.name if own else run.folder / "tensorboard"

    def trial(self, trial: TrialFacts) -> None:
        """Write what is new of a trial."""
        before = self._seen.get(trial.number)
        folder = self._folder / f"trial-{trial.number}"
        if before is None:
            if trial.number in self._open:  # it could not be told to the end
                self._open.pop(trial.number).close()
            shutil.rmtree(folder, ignore_errors=True)
        writer = self._writer(trial.number, folder)
        for step in trial.steps:
            if before is None or step.questions > before.answered:
                for name, value in step.metrics.items():
                    writer.add_scalar(_tag(name), value, step.questions)
        if trial.ended and (before is None or before.values != trial.values or before.state != trial.state):
            self._conclude(writer, trial, before)
        writer.flush()
        self._seen[trial.number] = trial
        if trial.ended:
            self._open.pop(trial.number).close()

    def end(self, end: EndFacts) -> None:
        """Write how the search ended, and close all files."""
        from tensorboardX import SummaryWriter

        for writer in self._open.values():
            writer.close()
        self._open = {}
        folder = self._folder / "search"
        shutil.rmtree(folder, ignore_errors=True)
        with SummaryWriter(str(folder)) as writer:
            for name, value in end.facts.items():
                writer.add_scalar(f"search/{_tag(name)}", value, 0)

    def _conclude(self, writer: Any, trial: TrialFacts, before: TrialFacts | None) -> None:
        """Write the values of a trial that has ended and, once, its parameters."""
        from tensorboardX.summary import hparams

        known = before.values if before is not None and before.ended else {}
        for name, value in trial.values.items():
            if known.get(name) != value and (name not in trial.metrics or not trial.steps):
                writer.add_scalar(_tag(name), value, trial.answered)
        if before is None or not before.ended:
            values = {
                name: value if isinstance(value, (bool, int, float)) else str(value)
                for name, value in trial.params.items()
            }
            for summary in hparams(values, {_tag(name): trial.metrics[name] for name in sorted(trial.metrics)}):
                writer.file_writer.add_summary(summary)
            writer.add_text("state", f"{trial.state}: {trial.reason}" if trial.reason else trial.state)

    def _writer(self, number: int, folder: Path) -> Any:
        from tensorboardX import SummaryWriter

        writer = self._open.pop(number, None)
        if writer is None:
            self._files += 1  # of one second they would have one name
            writer = SummaryWriter(str(folder), flush_secs=10_000, filename_suffix=f".{self._files:06}")
        self._open[number] = writer
        if len(self._open) > MOST_OPEN:
            self._open.pop(next(iter(self._open))).close()
        return writer


def _tag(name: str) -> str:
    """A name as TensorBoard takes it."""
    return re.sub(r"[^\w\-./]", "_", name)


def make(config: TensorboardConfig) -> Tensorboard:
    """See `raytuner.tracking.registry.make`."""
    return Tensorboard(config)
