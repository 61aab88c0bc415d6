"""The trackers by name; their libraries are imported only when a search begins."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from raytuner.errors import ConfigError
from raytuner.models.readiness import Missing
from raytuner.search.algorithm import Library
from raytuner.tracking.config import TrackConfig, TrackerSection
from raytuner.tracking.tracker import Tracker

LIBRARIES: dict[str, Library] = {
    "aim": Library("aim", "aim", ">=3.29", "aim"),
    "mlflow": Library("mlflow", "mlflow", ">=3.17", "mlflow"),
    "optuna": Library("optuna", "optuna", ">=4.5"),
    "tensorboard": Library("tensorboardX", "tensorboardX"),  # which Ray Tune needs too
    "wandb": Library("wandb", "wandb", ">=0.21", "wandb"),
}
"""What each tracker needs, by name."""


def missing(track: TrackConfig) -> list[Missing]:
    """What has to be installed before the trackers that are asked for can be told anything; nothing is imported."""
    found = []
    for name in track.asked:
        problem = LIBRARIES[name].problem()
        if problem is not None:
            reason, _, fix = problem.rpartition("; ")
            found.append(Missing(name, reason, fix))
    return found


def check(track: TrackConfig) -> None:
    """Refuse trackers that cannot work here.

    Raises:
        ConfigError: With the fix.
    """
    for lacking in missing(track):
        raise ConfigError(f"track: {lacking.model} {lacking.reason}; {lacking.fix}, or leave it out")
    for section in track.asked.values():
        section.check()


def make(name: str, section: TrackerSection) -> Tracker:
    """Make a tracker; its library is not imported before it is told something.

    Args:
        name: Its name.
        section: Its options.
    """
    maker: Any = import_module(f"raytuner.tracking.{name}").make
    tracker: Tracker = maker(section)
    return tracker
