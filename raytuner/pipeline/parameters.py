"""The stages of a pipeline, their parameters, and which of these may stand together."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from raytuner.components import Component, OwnComponent, component, identity
from raytuner.errors import ConfigError, nearest, quoted
from raytuner.models import ModelSpec
from raytuner.pipeline.embed import embed_chunks, model_identity
from raytuner.pipeline.generate import check_prompt, extract, generate, llm_identity
from raytuner.pipeline.own_models import NamedModel, with_models
from raytuner.pipeline.own_retriever import prepare_retriever
from raytuner.pipeline.rerank import prepare_reranker, rerank
from raytuner.pipeline.retrieve import (
    RANKING,
    bm25_index,
    bm25_search,
    fuse,
    select,
    vector_search,
)
from raytuner.pipeline.splitters import (
    SPLITTERS,
    check_chunking,
    choose,
    custom,
    expand,
    prepare_splitter,
    sentence,
)
from raytuner.pipeline.stage import Stage, stage


@stage(version=1, codec=RANKING, retriever=lambda own: identity(own["retriever"]))
def route(*, retriever: Literal["vector", "bm25", "hybrid"] | OwnComponent = "vector") -> str | Component:
    """Say which way a question goes.

    Args:
        retriever: By embedding, by BM25, by the fusion of both, or by a retriever of the user's own.
    """
    return retriever


STAGES: tuple[Stage, ...] = (
    choose,
    sentence,
    expand,
    *(part for part in SPLITTERS.values() if part is not sentence),
    custom,
    embed_chunks,
    route,
    vector_search,
    bm25_index,
    bm25_search,
    fuse,
    rerank,
    select,
    generate,
    extract,
)


@cache
def parameters() -> dict[str, inspect.Parameter]:
    """Every parameter of a pipeline, from the signatures of its stages: name to default and type."""
    return {name: parameter for part in STAGES for name, parameter in part.parameters.items()}


def defaults() -> dict[str, Any]:
    """The configuration of a pipeline of which nothing is said."""
    return {name: parameter.default for name, parameter in parameters().items()}


COMPONENTS = ("splitter", "retriever", "reranker")
"""Parameters that may be components of the user's own."""

MAX_WHOLE = 2**53  # above, a float cannot tell one whole number from the next

SINGLE_RULES: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "prompt": check_prompt,
    "embedding": lambda params: model_identity(embed_chunks.own(params)),
    "llm": lambda params: llm_identity(generate.own(params)),
}
"""Rules that one value breaks or keeps whatever the others are."""


def check_value(name: str, value: Any, components: Iterable[str] = ()) -> None:
    """Refuse an unknown parameter, or a value of the wrong type or range.

    Args:
        name: The parameter.
        value: Its value, names of models and components resolved.
        components: The names of components, for messages.

    Raises:
        ConfigError: With the value and what is expected.
    """
    if name not in parameters():
        raise ConfigError(f"unknown pipeline parameter {quoted(name)}; {nearest(name, parameters())}")
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise ConfigError(f"{name}: {quoted(value)} is too large; whole numbers may go up to {MAX_WHOLE:,}")
    try:
        _adapter(name).validate_python(component(value) if name in COMPONENTS else value, strict=True)
    except ValidationError as error:
        if isinstance(value, str) and (names := _names(name)):
            own = components if name in COMPONENTS else ()
            raise ConfigError(f"{name}: {quoted(value)} is unknown; {nearest(value, [*names, *own])}") from None
        reason = error.errors()[0]["msg"].removeprefix("Input should be ")
        raise ConfigError(f"{name}: {quoted(value)} is not allowed; it should be {reason}") from None
    if name in SINGLE_RULES:
        SINGLE_RULES[name]({**defaults(), name: value})


def _names(parameter: str) -> list[str]:
    """The names that a parameter takes; none if it is no matter of names."""
    annotation = parameters()[parameter].annotation
    parts = (annotation, *get_args(annotation))
    names = [name for part in parts if get_origin(part) is Literal for name in get_args(part)]
    return [*names, *(["a dotted path"] if parameter in COMPONENTS else [])]


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(parameters()[name].annotation, config=ConfigDict(allow_inf_nan=False))


def check(params: Mapping[str, Any]) -> None:
    """Refuse a configuration that cannot run.

    Raises:
        ConfigError: With the first rule that is broken.
        ModelError: There is no model of that name.
    """
    for name, value in params.items():
        check_value(name, value)
    check_chunking(params)
    _check_depth(params)


def prepare(params: Mapping[str, Any]) -> None:
    """Import the components of a configuration, so that a mistake in them is found before any worker starts.

    Raises:
        ConfigError: One cannot be imported or made.
    """
    prepare_splitter(params)
    prepare_retriever(params.get("retriever"))
    prepare_reranker(params.get("reranker"), rerank.own(params)["rerank_depth"])


def component_table(table: Mapping[str, Any] | None, models: Mapping[str, ModelSpec]) -> dict[str, Component]:
    """What names of components stand for.

    Args:
        table: From names to settings (``path``, ``options``, ``version``) or to objects.
        models: What names of models stand for, beside those that are built in.

    Raises:
        ConfigError: A name is that of something built in, or its settings cannot be used.
        ModelError: An option names a model that there is not.
    """
    for parameter in COMPONENTS:
        for name in table or {}:
            if name in _names(parameter):
                raise ConfigError(f"components.{name}: that is a {parameter} that is built in; choose another name")
    return {name: with_models(component(name, table), models) for name in table or {}}


def component_models(params: Mapping[str, Any]) -> list[NamedModel]:
    """The models that the options of a configuration's components name.

    Args:
        params: The configuration, names of components resolved.
    """
    own = (component(params.get(name)) for name in COMPONENTS)
    return [model for part in own if isinstance(part, Component) for model in part.models]


def _check_depth(params: Mapping[str, Any]) -> None:
    """What comes before the cut to `top_k` must be as deep."""
    top_k = select.own(params)["top_k"]
    used = {
        "fusion_depth": (fuse, route(params) == "hybrid"),
        "rerank_depth": (rerank, rerank.own(params)["reranker"] is not None),
    }
    for name, (part, active) in used.items():
        depth = part.own(params)[name]
        if active and top_k > depth:
            raise ConfigError(f"top_k {top_k} is above {name} {depth}; raise {name}")
