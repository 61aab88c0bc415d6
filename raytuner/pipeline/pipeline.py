"""The chain of stages over one collection of documents, each link through the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from raytuner.components import Component, component
from raytuner.documents.document import Document
from raytuner.pipeline.cache import StageCache, shared_cache
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.embed import Vectors, embed_chunks, embedder
from raytuner.pipeline.generate import EXTRACTIVE, Answer, extract, generate, is_sampled
from raytuner.pipeline.link import LINKS, Link
from raytuner.pipeline.own_retriever import make_retriever, own_search
from raytuner.pipeline.parameters import route
from raytuner.pipeline.rerank import rerank
from raytuner.pipeline.retrieve import (
    MIN_DEPTH,
    Ranking,
    bm25_index,
    bm25_search,
    fuse,
    select,
    vector_search,
)
from raytuner.pipeline.splitters import (
    expand,
    sentence_window,
    splitter_stage,
)
from raytuner.pipeline.stage import Stage, digest
from raytuner.store import JSON

_waiting = ThreadPoolExecutor(32, thread_name_prefix="raytuner-answers")
"""Threads that wait for answers; as many may be in flight."""


class Pipeline:
    """A collection of documents and the stages over it.

    Args:
        documents: The collection.
        artefacts: Where artefacts are kept; by default the process's cache.
        questions: The texts of all questions that will be asked: the first that is retrieved for brings the others
            with it where that costs little, since many at once cost hardly more than a few.
        cache_sampled: Whether answers of an LLM that samples are shared between trials too.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        artefacts: StageCache | None = None,
        *,
        questions: Sequence[str] = (),
        cache_sampled: bool = False,
    ) -> None:
        self.documents = documents
        self._questions = list(dict.fromkeys(questions))
        self._cache = artefacts or shared_cache()
        self._cache_sampled = cache_sampled
        self._fingerprint = digest([[document.id, document.text] for document in documents])
        # Beside their texts, own retrievers and rerankers are given these; of all else a moved folder changes nothing.
        self._places = digest([[document.source, document.pages] for document in documents])

    def in_use(self) -> AbstractContextManager[None]:
        """While a trial runs: what it uses stays in the cache."""
        return self._cache.in_use()

    def split_key(self, params: Mapping[str, Any]) -> str:
        """The content key of the chunks."""
        return splitter_stage(params).key(params, self._fingerprint)

    def chunks(self, params: Mapping[str, Any]) -> list[Chunk]:
        """The chunks of the whole collection."""
        part = splitter_stage(params)
        chunks: list[Chunk] = self._linked(part, params, self._fingerprint, lambda: part(params, self.documents))
        return chunks

    def links(self, params: Mapping[str, Any]) -> list[Link]:
        """The artefacts that a configuration needs of the whole collection, in the order in which they are made."""
        split = Link.of(splitter_stage(params), params, self._fingerprint)
        way = str(route(params))
        indexes = ((embed_chunks, ("vector", "hybrid")), (bm25_index, ("bm25", "hybrid")))
        return [split, *(Link.of(part, params, split.key) for part, ways in indexes if way in ways)]

    def _linked(self, part: Stage, params: Mapping[str, Any], upstream: str, build: Callable[[], Any]) -> Any:
        """The one artefact of a stage for the whole collection; what is in its key is noted beside it."""
        link = Link.of(part, params, upstream)
        made = None
        if part.shares_work and self._cache.get(link.key, part.codec) is None:
            made = build()  # without a lock, so that whoever needs the same takes part in the work

        def noted() -> Any:
            artefact = build() if made is None else made
            self._cache.get_or_build(digest(["link", link.key]), lambda: link.described, codec=JSON, stage=LINKS)
            return artefact

        return self._built(part, link.key, noted)

    def contexts(self, params: Mapping[str, Any], ranking: Ranking) -> list[Chunk]:
        """What is answered from: the retrieved chunks, those of a sentence window widened."""
        chunks = self.chunks(params)
        if splitter_stage(params) is sentence_window:
            widened: list[Chunk] = expand(params, chunks, self.documents, ranking.chunks.tolist())
            return widened
        return [chunks[i] for i in ranking.chunks]

    def _built(self, part: Stage, key: str, build: Callable[[], Any]) -> Any:
        """The one artefact of a stage."""
        return self._cache.get_or_build(key, build, codec=part.codec, stage=part.name)

    def remember(self, key: object, build: Callable[[], Any]) -> Any:
        """Keep what a caller derives from artefacts beside them, under its own key."""
        return self._cache.get_or_build(digest(key), build)

    def rankings(self, params: Mapping[str, Any], questions: Sequence[str]) -> list[Ranking]:
        """Retrieve: for each question its `top_k` chunks.

        Args:
            params: The configuration.
            questions: Their texts.

        Returns:
            One ranking a question.
        """
        depth = max(select.own(params)["top_k"], rerank.own(params)["rerank_depth"], MIN_DEPTH)
        retriever = component(route(params))
        ways = {"vector": self._by_vector, "bm25": self._by_bm25, "hybrid": self._by_both}
        way = self._by_component if isinstance(retriever, Component) else ways[retriever]
        key, deep = way(params, questions, depth)
        return [select(params, ranking) for ranking in self._reranked(params, key, questions, deep)]

    def _reranked(
        self, params: Mapping[str, Any], upstream: str, questions: Sequence[str], deep: list[Ranking]
    ) -> list[Ranking]:
        if rerank.own(params)["reranker"] is None:
            return deep

        def search(needed: list[int]) -> list[Ranking]:
            chunks = self.chunks(params)
            return [rerank(params, deep[i], questions[i], chunks, self.documents) for i in needed]

        return self._each(
            rerank, rerank.key(params, upstream, self._places), questions, rerank.own(params)["rerank_depth"], search
        )

    def _by_component(
        self, params: Mapping[str, Any], questions: Sequence[str], depth: int
    ) -> tuple[str, list[Ranking]]:
        own: Component = component(route(params))
        # The depth is in the key: a retriever may rank otherwise when it is asked for more.
        key = digest([route.key(params, self.split_key(params), self._places), depth])

        def search(needed: list[int]) -> list[Ranking]:
            chunks = self.chunks(params)
            retriever = self.remember([key, "retriever"], lambda: make_retriever(own, chunks, self.documents, depth))
            return own_search(own, retriever, [questions[i] for i in needed], chunks, depth)

        return key, self._each(route, key, questions, depth, search)

    async def answers(
        self, params: Mapping[str, Any], questions: Sequence[str], contexts: Sequence[Sequence[str]]
    ) -> list[str]:
        """Answer each question from its contexts, with the LLM of the configuration or without one."""
        if generate.own(params)["llm"] == EXTRACTIVE:
            return [self._extracted(params, q, texts) for q, texts in zip(questions, contexts, strict=True)]
        pairs = zip(questions, contexts, strict=True)
        return list(await asyncio.gather(*(self._generated(params, question, texts) for question, texts in pairs)))

    async def _generated(self, params: Mapping[str, Any], question: str, contexts: Sequence[str]) -> str:
        if not self._cache_sampled and is_sampled(params):
            sampled: Answer = await generate(params, question, contexts)
            return sampled.text
        key = digest([generate.key(params), question, list(contexts)])
        loop = asyncio.get_running_loop()

        def ask() -> Answer:
            answer: Answer = asyncio.run_coroutine_threadsafe(generate(params, question, contexts), loop).result()
            return answer

        known: Answer | None = self._cache.get(key, generate.codec)
        # In a thread, since it may have to wait for another process that asks for the same.
        if known is None:
            known = await loop.run_in_executor(_waiting, lambda: self._answer(key, ask))
        return known.text

    def _answer(self, key: str, ask: Callable[[], Answer]) -> Answer:
        answer: Answer = self._built(generate, key, ask)
        return answer

    def _extracted(self, params: Mapping[str, Any], question: str, contexts: Sequence[str]) -> str:
        key = digest([extract.key(params), question, list(contexts)])
        answer: str = self._built(extract, key, lambda: extract(params, question, contexts))
        return answer

    def _by_vector(self, params: Mapping[str, Any], questions: Sequence[str], depth: int) -> tuple[str, list[Ranking]]:
        embed_key = embed_chunks.key(params, self.split_key(params))
        key = vector_search.key(params, embed_key)

        own = embed_chunks.own(params)

        def search(needed: list[str]) -> list[Ranking]:
            queries = embedder(own["embedding"], own["long_text"]).queries(needed)
            found: list[Ranking] = vector_search(params, self._vectors(params), queries, depth)
            return found

        def ahead(needed: list[str]) -> None:
            self._vectors(params)
            embedder(own["embedding"], own["long_text"]).queries(needed)

        return key, self._at_once(vector_search, key, questions, depth, search, ahead)

    def _vectors(self, params: Mapping[str, Any]) -> Vectors:
        vectors: Vectors = self._linked(
            embed_chunks, params, self.split_key(params), lambda: embed_chunks(params, self.chunks(params))
        )
        return vectors

    def _by_bm25(self, params: Mapping[str, Any], questions: Sequence[str], depth: int) -> tuple[str, list[Ranking]]:
        index_key = bm25_index.key(params, self.split_key(params))
        key = bm25_search.key(params, index_key)

        def search(needed: list[str]) -> list[Ranking]:
            split_key = self.split_key(params)
            index = self._linked(bm25_index, params, split_key, lambda: bm25_index(params, self.chunks(params)))
            found: list[Ranking] = bm25_search(params, index, needed, depth)
            return found

        return key, self._at_once(bm25_search, key, questions, depth, search)

    def _by_both(self, params: Mapping[str, Any], questions: Sequence[str], depth: int) -> tuple[str, list[Ranking]]:
        fused_depth = fuse.own(params)["fusion_depth"]
        deep_enough = max(fused_depth, MIN_DEPTH)  # so that smaller depths share one search
        vector_key, by_vector = self._by_vector(params, questions, deep_enough)
        bm25_key, by_bm25 = self._by_bm25(params, questions, deep_enough)
        key = fuse.key(params, vector_key, bm25_key)

        def search(needed: list[int]) -> list[Ranking]:
            return [fuse(params, by_vector[i], by_bm25[i], depth) for i in needed]

        return key, self._each(fuse, key, questions, depth, search)

    def _at_once(
        self,
        part: Stage,
        key: str,
        questions: Sequence[str],
        depth: int,
        search: Callable[[list[str]], list[Ranking]],
        ahead: Callable[[list[str]], object] = lambda _: None,
    ) -> list[Ranking]:
        """As `_each`, for a search that costs hardly more for all questions than for a few.

        What it needs is made `ahead` of it, where workers that need the same do not wait for one of them.
        """
        known = self._cache.get(digest([key, questions[0]]), part.codec) if questions else None
        others = self._questions if known is None or known.depth < depth else []
        together = list(dict.fromkeys([*questions, *others]))
        if others:
            ahead(together)
        found = self._each(part, key, together, depth, lambda needed: search([together[i] for i in needed]))
        by_question = dict(zip(together, found, strict=True))
        return [by_question[question] for question in questions]

    def _each(
        self,
        part: Stage,
        key: str,
        questions: Sequence[str],
        depth: int,
        search: Callable[[list[int]], list[Ranking]],
    ) -> list[Ranking]:
        """The rankings of the questions from the cache, those missing or too shallow searched for at once."""
        return self._cache.get_or_build_many(
            [digest([key, question]) for question in questions],
            search,
            codec=part.codec,
            stage=part.name,
            usable=lambda ranking: ranking.depth >= depth,
        )
