"""Which models the configurations of a space use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raytuner.components import Component, component
from raytuner.models import named, resolved
from raytuner.models.spec import ModelSpec
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.generate import EXTRACTIVE
from raytuner.pipeline.splitters import semantic, splitter_stage
from raytuner.space import SearchSpace

DECIDE = ("embedding", "llm", "retriever", "splitter", "reranker")
"""The parameters that decide which models are used."""


def used_models(
    space: SearchSpace,
    fixed: Mapping[str, Any],
    table: dict[str, ModelSpec],
    resolve: Callable[[Mapping[str, Any]], dict[str, Any]],
    *,
    answers: bool,
) -> tuple[set[str], set[str]]:
    """The models that some configuration of a space uses.

    Args:
        space: The space.
        fixed: Parameters that do not vary.
        table: What names of models stand for.
        resolve: Gives a configuration as the stages of the pipeline take it.
        answers: Whether questions are answered.

    Returns:
        The names of embedding models and of LLMs.
    """
    embeddings: set[str] = set()
    llms: set[str] = set()
    for params in space.covering(DECIDE):
        own = {**stages.defaults(), **fixed, **named(params, table)}
        for model in stages.component_models(resolve(own)):
            (llms if model.is_llm else embeddings).add(model.spec.name)
        if answers and own["llm"] != EXTRACTIVE:
            llms.add(own["llm"])
        if uses_embedding(own, answers=answers):
            embeddings.add(own["embedding"])
    return embeddings, llms


def uses_embedding(params: Mapping[str, Any], *, answers: bool) -> bool:
    """Whether a configuration uses its embedding model.

    Args:
        params: The whole configuration.
        answers: Whether questions are answered.
    """
    by_vector = params["retriever"] in ("vector", "hybrid")
    return splitter_stage(params) is semantic or by_vector or (answers and params["llm"] == EXTRACTIVE)


def resolved_with(
    params: Mapping[str, Any], models: Mapping[str, ModelSpec], components: Mapping[str, Component]
) -> dict[str, Any]:
    """Parameters as the stages of a pipeline take them: what names of models and components stand for in their place.

    Args:
        params: Parameters of a pipeline.
        models: What names of models stand for.
        components: What names of components stand for.
    """
    return {
        name: component(value, components) if name in stages.COMPONENTS else value
        for name, value in resolved(params, models).items()
    }


def names_of(
    params: Mapping[str, Any], table: dict[str, ModelSpec], components: dict[str, Component]
) -> dict[str, Any]:
    """Parameters with names in place of models and components that are objects, which are added to the tables."""
    found = named(params, table)
    for parameter in stages.COMPONENTS:
        made = component(found.get(parameter))
        if isinstance(made, Component) and made.instance is not None:
            found[parameter] = _registered(made, components)
    return found


def _registered(made: Component, components: dict[str, Component]) -> str:
    """A name for an object that was handed over, the same for the same object."""
    name, number = made.name, 1
    while components.setdefault(name, made) != made:
        number += 1
        name = f"{made.name}-{number}"
    return name
