"""What each script defines for its own pipeline, so that the pieces can be checked; no piece itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import TextNode

READERS: dict[str, Callable[[Path], str]] = {}


def cut(text: str) -> list[str]:
    """Cut a text into chunks."""
    raise NotImplementedError(text)


def make_nodes(documents: Sequence[Any]) -> list[TextNode]:
    """Make the chunks of all documents."""
    raise NotImplementedError(documents)


def embed_model() -> BaseEmbedding:
    """Make the embedding model, once."""
    raise NotImplementedError


def make_retriever(nodes: Sequence[TextNode]) -> BaseRetriever:
    """Make the retriever over the chunks."""
    raise NotImplementedError(nodes)


def make_postprocessors() -> list[BaseNodePostprocessor]:
    """Make what reranks, cuts and widens what was retrieved."""
    raise NotImplementedError


def make_synthesizer() -> BaseSynthesizer:
    """Make what answers from the retrieved chunks."""
    raise NotImplementedError


own_splitter: Any = None


def splitter_options() -> dict[str, Any]:
    """The options of a splitter of your own."""
    raise NotImplementedError
