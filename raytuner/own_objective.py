"""An objective of the user's own, named in a config by its dotted path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytuner import components
from raytuner.errors import ConfigError
from raytuner.space import SearchSpace


class OwnObjective:
    """A function by dotted path that is imported when a search begins, and again in each worker.

    Args:
        path: The function: it is called with one dict, the fixed and the tuned parameters together; see
            `raytuner.objective.Objective` for what it may return.
        folder: Where its module is looked for, beside Python's own path.
    """

    def __init__(self, path: str, folder: str | Path | None = None) -> None:
        self.path = path
        self.folder = folder

    def prepare(self, space: SearchSpace, fixed: Mapping[str, Any] | None = None) -> None:
        """Import the function before any worker does.

        Raises:
            ConfigError: There is no such function.
        """
        self._function()

    def __call__(self, params: dict[str, Any]) -> Any:
        """Call the function."""
        return self._function()(params)

    def _function(self) -> Any:
        with components.importable(self.folder):
            function = components.load(self.path, "objective.function")
        if not callable(function):
            raise ConfigError(
                f"objective.function {self.path}: a {type(function).__name__} cannot be called; "
                "name a function of one dict"
            )
        return function
