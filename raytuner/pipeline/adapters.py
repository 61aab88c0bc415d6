"""A tuned pipeline as LlamaIndex's retriever and query engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import Response
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from raytuner.retrieved import Retrieved


class Replied(Protocol):
    """An answer, and what it took; see `raytuner.loaded.Reply`."""

    @property
    def text(self) -> str:
        """The answer."""

    @property
    def sources(self) -> list[Retrieved]:
        """What it was answered from."""

    @property
    def seconds(self) -> float:
        """From the question to the answer."""

    @property
    def prompt_tokens(self) -> int | None:
        """Of the LLM's calls."""

    @property
    def completion_tokens(self) -> int | None:
        """Likewise."""

    @property
    def usd(self) -> float | None:
        """What they cost."""


class Answering(Protocol):
    """What retrieves and answers; see `raytuner.loaded.LoadedPipeline`."""

    def retrieve(self, question: str) -> list[Retrieved]:
        """What is found for a question."""

    async def aretrieve(self, question: str) -> list[Retrieved]:
        """`retrieve` for a running event loop."""

    def ask(self, question: str) -> Replied:
        """Answer a question."""

    async def aask(self, question: str) -> Replied:
        """`ask` for a running event loop."""


class TunedRetriever(BaseRetriever):  # type: ignore[misc]
    """Retrieves what a tuned pipeline finds.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: Answering) -> None:
        self._pipeline = pipeline
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return as_nodes(self._pipeline.retrieve(query_bundle.query_str))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return as_nodes(await self._pipeline.aretrieve(query_bundle.query_str))


class TunedQueryEngine(BaseQueryEngine):  # type: ignore[misc]
    """Answers with a tuned pipeline.

    Args:
        pipeline: The pipeline.
    """

    def __init__(self, pipeline: Answering) -> None:
        self._pipeline = pipeline
        super().__init__(callback_manager=None)

    def _get_prompt_modules(self) -> dict[str, Any]:
        return {}

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """What is found for a question."""
        return as_nodes(self._pipeline.retrieve(query_bundle.query_str))

    def _query(self, query_bundle: QueryBundle) -> Response:
        return _response(self._pipeline.ask(query_bundle.query_str))

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        return _response(await self._pipeline.aask(query_bundle.query_str))


def as_nodes(found: Sequence[Retrieved]) -> list[NodeWithScore]:
    """What was retrieved as LlamaIndex has it: the place is in the node, document, source and page in its metadata."""
    return [NodeWithScore(node=_node(one), score=one.score) for one in found]


def _node(one: Retrieved) -> TextNode:
    metadata = {"document": one.document, "source": one.source, "page": one.page}
    node = TextNode(
        id_=f"{one.document}:{one.start}:{one.end}",
        text=one.text,
        start_char_idx=one.start,
        end_char_idx=one.end,
        metadata={name: value for name, value in metadata.items() if value is not None},
    )
    node.excluded_embed_metadata_keys = node.excluded_llm_metadata_keys = list(node.metadata)
    return node


def _response(reply: Replied) -> Response:
    took = {
        "seconds": reply.seconds,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "usd": reply.usd,
    }
    return Response(response=reply.text, source_nodes=as_nodes(reply.sources), metadata=took)
