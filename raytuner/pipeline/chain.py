"""The links of a configuration: the content keys of all that it needs, each made of those before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raytuner.components import Component, component
from raytuner.pipeline.embed import embed_chunks, model_identity, vectors_key
from raytuner.pipeline.generate import EXTRACTIVE, extract, generate
from raytuner.pipeline.link import Link, key_for
from raytuner.pipeline.parameters import route
from raytuner.pipeline.rerank import rerank
from raytuner.pipeline.retrieve import MIN_DEPTH, bm25_index, bm25_search, fuse, select, vector_search
from raytuner.pipeline.splitters import splitter_stage


@dataclass(frozen=True)
class Chain:
    """The links of a configuration; nothing is computed but keys.

    Attributes:
        params: The configuration.
        documents: The fingerprint of the documents.
        places: That of their sources and pages.
    """

    params: Mapping[str, Any]
    documents: str
    places: str

    @cached_property
    def split(self) -> Link:
        """The chunks."""
        return Link.of(splitter_stage(self.params), self.params, self.documents)

    @cached_property
    def vectors(self) -> Link:
        """The vectors of all chunks."""
        return Link.of(embed_chunks, self.params, self.split.key)

    @cached_property
    def queries(self) -> Link:
        """The vectors of the questions."""
        identity = model_identity(embed_chunks.own(self.params))
        return Link("embed_query", vectors_key("query", identity), {"embedding": identity}, each=True)

    @cached_property
    def by_vector(self) -> Link:
        """The rankings by vector."""
        return Link.of(vector_search, self.params, self.vectors.key, depth=self._searched_depth)

    @cached_property
    def index(self) -> Link:
        """The BM25 index."""
        return Link.of(bm25_index, self.params, self.split.key)

    @cached_property
    def by_bm25(self) -> Link:
        """The rankings by BM25."""
        return Link.of(bm25_search, self.params, self.index.key, depth=self._searched_depth)

    @cached_property
    def fused(self) -> Link:
        """The fused rankings."""
        return Link.of(fuse, self.params, self.by_vector.key, self.by_bm25.key, depth=self.depth)

    @cached_property
    def by_component(self) -> Link:
        """The rankings of a retriever of the user's own, which may rank otherwise when it is asked for more."""
        link = Link.of(route, self.params, self.split.key, self.places, depth=self.depth)
        return link._replace(key=key_for(link.key, self.depth), parts={**link.parts, "depth": self.depth})

    @cached_property
    def retrieved(self) -> Link:
        """The rankings before they are reranked."""
        ways = {"vector": "by_vector", "bm25": "by_bm25", "hybrid": "fused", "own": "by_component"}
        link: Link = getattr(self, ways[self.way])
        return link

    @cached_property
    def reranked(self) -> Link:
        """The rankings of the reranker."""
        depth = rerank.own(self.params)["rerank_depth"]
        return Link.of(rerank, self.params, self.retrieved.key, self.places, depth=depth)

    @cached_property
    def answers(self) -> Link:
        """The answers, which are also asked with the retrieved texts."""
        return Link.of(extract if self.is_extractive else generate, self.params, each=True)

    def links(self, answered: bool) -> list[Link]:
        """All that is kept on disk, in the order in which it is made; the answers only if questions are answered."""
        found = [self.split]
        if self.embeds:
            found += [self.vectors, self.queries, self.by_vector]
        if self.way in ("bm25", "hybrid"):
            found += [self.index, self.by_bm25]
        if self.way == "own":
            found += [self.by_component]
        if self.is_reranked:
            found += [self.reranked]
        if answered and self.is_extractive and not self.embeds:
            found += [self.queries]
        if answered:
            found += [self.answers]
        return [link for link in found if link.kept]

    @property
    def way(self) -> str:
        """The name of the retriever; ``own`` for one of the user's own."""
        retriever = component(route(self.params))
        return "own" if isinstance(retriever, Component) else str(retriever)

    @property
    def embeds(self) -> bool:
        """Whether chunks and questions are embedded."""
        return self.way in ("vector", "hybrid")

    @property
    def is_reranked(self) -> bool:
        """Whether there is a reranker."""
        return rerank.own(self.params)["reranker"] is not None

    @property
    def is_extractive(self) -> bool:
        """Whether answers are sentences of what is retrieved, and not of an LLM."""
        return bool(generate.own(self.params)["llm"] == EXTRACTIVE)

    @property
    def depth(self) -> int:
        """How deep what is retrieved must be."""
        reranked = rerank.own(self.params)["rerank_depth"] if self.is_reranked else 0
        wanted: int = max(select.own(self.params)["top_k"], reranked)
        return max(wanted, MIN_DEPTH)

    @property
    def _searched_depth(self) -> int:
        """How deep a search must be; the least depth lets smaller ones of a fusion share one search."""
        wanted: int = fuse.own(self.params)["fusion_depth"] if self.way == "hybrid" else self.depth
        return max(wanted, MIN_DEPTH)
