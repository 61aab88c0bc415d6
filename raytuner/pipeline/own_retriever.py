"""Retrieval by a component of the user's own: a LlamaIndex retriever over raytuner's chunks."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from raytuner.components import Component, maker_of
from raytuner.documents.document import Document
from raytuner.errors import ConfigError
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.nodes import as_nodes, as_ranking
from raytuner.pipeline.retrieve import Ranking


def make_retriever(component: Component, chunks: Sequence[Chunk], documents: Sequence[Document], depth: int) -> Any:
    """Make a retriever over chunks.

    Args:
        component: A ``BaseRetriever`` class, or a function that makes one. It may take ``nodes`` (the chunks as
            LlamaIndex's ``TextNode``) and ``similarity_top_k`` (the depth).
        chunks: The chunks.
        documents: The collection.
        depth: How many nodes it is to return for a question.

    Raises:
        ConfigError: It cannot be made, or is no retriever.
    """
    retriever = component.make("retriever", nodes=as_nodes(chunks, documents), similarity_top_k=depth)
    if not callable(getattr(retriever, "retrieve", None)):
        raise ConfigError(
            f"retriever {component}: a {type(retriever).__name__} has no retrieve; name a BaseRetriever of LlamaIndex"
        )
    return retriever


def prepare_retriever(retriever: Any) -> None:
    """Import a retriever, so that a mistake is found before any worker starts.

    Raises:
        ConfigError: It cannot be imported, or is neither a retriever nor something that makes one.
    """
    if not isinstance(retriever, Component):
        return
    target = retriever.target("retriever")
    if not callable(target) and not callable(getattr(target, "retrieve", None)):
        raise ConfigError(
            f"retriever {retriever}: a {type(target).__name__} is none; name a BaseRetriever of LlamaIndex"
        )
    if not callable(getattr(target, "retrieve", None)) or inspect.isclass(target):  # it is made when there are chunks
        retriever.check_models(maker_of(target), "retriever")


def own_search(
    component: Component, retriever: Any, questions: Sequence[str], chunks: Sequence[Chunk], depth: int
) -> list[Ranking]:
    """Ask a retriever for each question, in its order of relevance.

    Returns:
        One ranking a question.

    Raises:
        RaytunerError: It returned something else than the nodes it was given.
    """
    who = f"retriever {component}"
    return [as_ranking(retriever.retrieve(question), chunks, depth, who) for question in questions]
