"""Models for components of the user's own: an option ``llm`` or ``embed_model`` names one, as ``pipeline.llm`` does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from raytuner import models
from raytuner.components import MODEL_OPTIONS, Component
from raytuner.errors import ModelError
from raytuner.models import ModelSpec
from raytuner.models.spec import spec


@dataclass(frozen=True)
class NamedModel:
    """A model that an option of a component names.

    Attributes:
        option: ``llm`` or ``embed_model``.
        spec: The model.
    """

    option: str
    spec: ModelSpec

    @property
    def identity(self) -> str:
        """What stands for it in keys."""
        return models.llm_identity(self.spec) if self.is_llm else models.embedding_identity(self.spec, "windows")

    @property
    def is_llm(self) -> bool:
        """Whether it is an LLM, and no embedding model."""
        return self.option == "llm"

    def make(self) -> Any:
        """The model, as LlamaIndex has it; an LLM at temperature 0."""
        return models.llm(self.spec) if self.is_llm else models.embedding(self.spec)


def with_models(component: Component, table: Mapping[str, ModelSpec]) -> Component:
    """A component with the models that its options name.

    Args:
        component: The component.
        table: What names of models stand for, beside those that are built in.

    Raises:
        ModelError: There is no such model.
    """
    return replace(component, models=tuple(_named(component, table)))


def _named(component: Component, table: Mapping[str, ModelSpec]) -> Iterator[NamedModel]:
    for option in MODEL_OPTIONS:
        name = component.arguments.get(option)
        if isinstance(name, str):
            found = NamedModel(option, spec(name, table))
            try:
                found.identity  # noqa: B018 - it refuses what is no such model
            except ModelError as error:
                raise ModelError(f"components.{component.name}.options.{option}: {error}") from None
            yield found
