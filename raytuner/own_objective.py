"""An objective of the user's own, named in a config by its dotted path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from raytuner.components import importable, load
from raytuner.datasets import Question
from raytuner.documents.document import Document
from raytuner.errors import ConfigError
from raytuner.models import ModelSpec
from raytuner.space import SearchSpace
from raytuner.values import MOST_FAILED


class OwnObjective:
    """A function by dotted path that is imported when a search begins, and again in each worker.

    Args:
        path: The function: it is called with one dict, the fixed and the tuned parameters together; see
            `raytuner.objective.Objective` for what it may return.
        metric: The value to optimise, where it returns several.
        folder: Where its module is looked for, beside Python's own path.
        documents: If there are any, they are given to the function as ``documents``.
        questions: If there are any, they are given to the function as ``questions``.
        fixed: Fixed parameters.
        max_failed_questions: See `raytuner.objective.Objective`.
    """

    modes: Mapping[str, Literal["max", "min"]] = MappingProxyType({})  # the config says it

    def __init__(
        self,
        path: str,
        metric: str = "score",
        folder: str | Path | None = None,
        documents: Sequence[Document] = (),
        questions: Sequence[Question] = (),
        fixed: Mapping[str, Any] | None = None,
        max_failed_questions: float = MOST_FAILED,
    ) -> None:
        self.path = path
        self.metric = metric
        self.folder = folder
        self.documents = documents
        self.questions = questions
        self.fixed = dict(fixed or {})
        self.max_failed_questions = max_failed_questions

    def check(self, params: Mapping[str, Any]) -> None:
        """Nothing: what the function takes is its own affair."""

    def models(self, space: SearchSpace) -> tuple[set[str], set[str]]:
        """None that raytuner knows of."""
        return set(), set()

    def specs(self, names: Iterable[str]) -> list[ModelSpec]:
        """None that raytuner knows of."""
        return []

    def warn(self, embeddings: set[str]) -> None:
        """Nothing to warn of."""

    def resolve(self) -> None:
        """Import the function, which runs its module, so only a search does it.

        Raises:
            ConfigError: There is no such function.
        """
        self._function()

    def __call__(self, params: dict[str, Any]) -> Any:
        """Call the function."""
        given = {"documents": list(self.documents), "questions": list(self.questions)}
        known = {name: value for name, value in given.items() if value}
        with importable(self.folder):
            return self._function()({**known, **self.fixed, **params})

    def _function(self) -> Any:
        with importable(self.folder):
            function = load(self.path, "objective.function")
        if not callable(function):
            raise ConfigError(
                f"objective.function {self.path}: a {type(function).__name__} cannot be called; "
                "name a function of one dict"
            )
        return function
