"""The chain of stages over one collection of documents, each link through the cache."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, TypeVar

from raytuner.aio import in_thread
from raytuner.components import Component, component
from raytuner.documents.document import Document
from raytuner.errors import TrialError
from raytuner.pipeline.cache import StageCache, shared_cache
from raytuner.pipeline.chain import Chain
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.embed import Vectors, embed_chunks, embedder
from raytuner.pipeline.generate import EXTRACTIVE, Answer, extract, generate, is_sampled, may_sample
from raytuner.pipeline.link import LINKS, Link, key_for
from raytuner.pipeline.own_retriever import make_retriever, own_search
from raytuner.pipeline.parameters import route
from raytuner.pipeline.rerank import rerank
from raytuner.pipeline.retrieve import Ranking, bm25_index, bm25_search, fuse, select, vector_search
from raytuner.pipeline.splitters import expand, sentence_window, splitter_stage, whole, window
from raytuner.pipeline.stage import Stage, digest
from raytuner.pipeline.tally import TALLY
from raytuner.retrieved import Retrieved
from raytuner.store import JSON
from raytuner.values import FailedQuestion, each_or_failed

T = TypeVar("T")

_waiting = ThreadPoolExecutor(256, thread_name_prefix="raytuner-answers")
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
        self._turn = threading.Lock()
        self._fingerprint = digest([[document.id, document.text] for document in documents])
        # Beside their texts, own retrievers and rerankers are given these; of all else a moved folder changes nothing.
        self._places = digest([[document.source, document.pages] for document in documents])

    def in_use(self) -> AbstractContextManager[None]:
        """While a trial runs: what it uses stays in the cache."""
        return self._cache.in_use()

    def chain(self, params: Mapping[str, Any]) -> Chain:
        """The content keys of what a configuration needs."""
        return Chain(params, self._fingerprint, self._places)

    def split_key(self, params: Mapping[str, Any]) -> str:
        """The content key of the chunks."""
        return self.chain(params).split.key

    def shares_answers(self, params: Mapping[str, Any]) -> bool:
        """Whether answers are kept, and not asked for anew by each trial, as far as is known without making the LLM."""
        return generate.own(params)["llm"] == EXTRACTIVE or self._cache_sampled or not may_sample(params)

    def chunks(self, params: Mapping[str, Any]) -> list[Chunk]:
        """The chunks of the whole collection."""
        part = splitter_stage(params)
        chunks: list[Chunk] = self._whole(part, self.chain(params).split, lambda: part(params, self.documents))
        return chunks

    def _whole(self, part: Stage, link: Link, build: Callable[[], Any]) -> Any:
        """The one artefact of a stage for the whole collection."""
        made = None
        if part.shares_work and self._cache.get(link.key, part.codec) is None:
            made = build()  # without a lock, so that whoever needs the same takes part in the work

        def noted() -> Any:
            artefact = build() if made is None else made
            self._note(link)
            return artefact

        return self._built(part, link.key, noted)

    def _note(self, link: Link) -> None:
        """Note what is in a key, beside the artefact that is made for it."""
        if link.kept:
            self._cache.get_or_build(digest(["link", link.key]), lambda: link.described, codec=JSON, stage=LINKS)

    def contexts(self, params: Mapping[str, Any], ranking: Ranking) -> list[Chunk]:
        """What is answered from: the retrieved chunks, those of a sentence window widened."""
        chunks = self.chunks(params)
        if splitter_stage(params) is sentence_window:
            widened: list[Chunk] = expand(params, chunks, self.documents, ranking.chunks.tolist())
            return widened
        return [chunks[i] for i in ranking.chunks]

    def texts(self, params: Mapping[str, Any], rankings: Sequence[Ranking]) -> list[list[str]]:
        """The texts of the `contexts` of each ranking; their tokens are not counted, which takes a tokenizer."""
        part = splitter_stage(params)
        if part is whole:
            return [[self._whole_texts[i] for i in ranking.chunks] for ranking in rankings]
        chunks = self.chunks(params) if rankings else []
        if part is not sentence_window:
            return [[chunks[i].text for i in ranking.chunks] for ranking in rankings]
        size = expand.own(params)["window_size"]
        windows = [[window(chunks, i, size) for i in ranking.chunks.tolist()] for ranking in rankings]
        return [[self.documents[number].text[start:end] for number, start, end in places] for places in windows]

    @cached_property
    def _whole_texts(self) -> list[str]:
        return [document.text for document in self.documents if document.text.strip()]

    def _built(self, part: Stage, key: str, build: Callable[[], Any]) -> Any:
        """The one artefact of a stage."""
        return self._cache.get_or_build(key, build, codec=part.codec, stage=part.name)

    def remember(self, key: object, build: Callable[[], Any]) -> Any:
        """Keep what a caller derives from artefacts beside them, under its own key."""
        return self._cache.get_or_build(digest(key), build)

    async def in_turn(self, work: Callable[[], T]) -> T:
        """Do what may wait for a service, one thing after the other and off the event loop.

        On the loop it would wait for a place that calls of the same loop have, which could then never end.
        """

        def locked() -> T:
            with self._turn:
                return work()

        return await in_thread(locked)

    def rankings(self, params: Mapping[str, Any], questions: Sequence[str]) -> list[Ranking]:
        """Retrieve: for each question its `top_k` chunks.

        Args:
            params: The configuration.
            questions: Their texts.

        Returns:
            One ranking a question.
        """
        chain = self.chain(params)
        ways = {"vector": self._by_vector, "bm25": self._by_bm25, "hybrid": self._by_both, "own": self._by_component}
        deep = ways[chain.way](chain, questions)
        if chain.is_reranked:
            deep = self._reranked(chain, questions, deep)
        return [select(params, ranking) for ranking in deep]

    def retrieved(self, params: Mapping[str, Any], question: str) -> list[Retrieved]:
        """What is retrieved for a question, best first, with its place for a citation.

        Args:
            params: The configuration.
            question: The question.
        """
        (ranking,) = self.rankings(params, [question])
        return [
            Retrieved.of(self.documents[chunk.document], chunk.start, chunk.end, score)
            for chunk, score in zip(self.contexts(params, ranking), ranking.scores.tolist(), strict=True)
        ]

    def _reranked(self, chain: Chain, questions: Sequence[str], deep: list[Ranking]) -> list[Ranking]:
        def search(needed: list[int]) -> list[Ranking]:
            chunks = self.chunks(chain.params)
            return [rerank(chain.params, deep[i], questions[i], chunks, self.documents) for i in needed]

        return self._each(rerank, chain.reranked, questions, search)

    def _by_component(self, chain: Chain, questions: Sequence[str]) -> list[Ranking]:
        own: Component = component(route(chain.params))
        link = chain.by_component

        def search(needed: list[int]) -> list[Ranking]:
            chunks = self.chunks(chain.params)
            retriever = self.remember(
                [link.key, "retriever"], lambda: make_retriever(own, chunks, self.documents, link.depth)
            )
            return own_search(own, retriever, [questions[i] for i in needed], chunks, link.depth)

        return self._each(route, link, questions, search)

    async def answers(
        self, params: Mapping[str, Any], questions: Sequence[str], contexts: Sequence[Sequence[str]]
    ) -> list[str]:
        """Answer each question from its contexts, with the LLM of the configuration or without one.

        Raises:
            TrialError: One of them could not be answered.
        """
        found = await self.answered(params, questions, contexts)
        for one in found:
            if isinstance(one, FailedQuestion):
                raise TrialError(one.reason)
        return [one.text for one in found if isinstance(one, Answer)]

    async def answered(
        self, params: Mapping[str, Any], questions: Sequence[str], contexts: Sequence[Sequence[str]], repeat: int = 0
    ) -> list[Answer | FailedQuestion]:
        """The answers, with what they took.

        Args:
            params: The configuration.
            questions: The questions.
            contexts: For each the texts of the retrieved chunks.
            repeat: The same question is asked anew for each number.

        Returns:
            For each question the answer, or why there is none.
        """
        chain = self.chain(params)
        pairs = list(zip(questions, contexts, strict=True))
        if chain.is_extractive:
            return await self.in_turn(lambda: [Answer(self._extracted(chain, *pair)) for pair in pairs])
        asked = (self._generated(chain, question, texts, repeat) for question, texts in pairs)
        return await each_or_failed(asked)

    async def _generated(self, chain: Chain, question: str, contexts: Sequence[str], repeat: int) -> Answer:
        def ask() -> Coroutine[Any, Any, Answer]:
            call: Coroutine[Any, Any, Answer] = generate(chain.params, question, contexts)
            return call

        if not self._cache_sampled and is_sampled(chain.params):
            return await ask()
        key = key_for(chain.answers.key, question, list(contexts), *([repeat] if repeat else []))
        answer: Answer = await self.asked(generate, key, ask, chain.answers)
        return answer

    async def asked(
        self, part: Stage, key: str, ask: Callable[[], Coroutine[Any, Any, Any]], link: Link | None = None
    ) -> Any:
        """What an LLM says, asked for once even if others want it at the same time.

        Args:
            part: The stage that asks.
            key: The content key of what it says.
            ask: Asks.
            link: See `_note`.
        """
        known = self._cache.get(key, part.codec)
        if known is not None:
            TALLY.reused(part.name, 1)
            return known
        loop = asyncio.get_running_loop()
        calls: list[Future[Any]] = []
        gone = threading.Event()

        def wait() -> Any:
            if gone.is_set():  # while it waited for another one that asked for the same
                raise RuntimeError("nobody wants it any more")
            calls.append(asyncio.run_coroutine_threadsafe(ask(), loop))
            said = calls[0].result()
            if link is not None:
                self._note(link)
            return said

        own = contextvars.copy_context()  # which says for which trial it is
        try:
            # In a thread, since it may have to wait for another process that asks for the same.
            return await loop.run_in_executor(_waiting, lambda: own.run(self._built, part, key, wait))
        except asyncio.CancelledError:  # the thread would wait for the answer, and the process for the thread
            gone.set()
            for call in calls:
                call.cancel()
            raise

    def _extracted(self, chain: Chain, question: str, contexts: Sequence[str]) -> str:
        def choose() -> str:
            self._note(chain.queries)
            self._note(chain.answers)
            chosen: str = extract(chain.params, question, contexts)
            return chosen

        answer: str = self._built(extract, key_for(chain.answers.key, question, list(contexts)), choose)
        return answer

    def _by_vector(self, chain: Chain, questions: Sequence[str]) -> list[Ranking]:
        def queries(needed: list[str]) -> Vectors:
            self._note(chain.queries)
            own = embed_chunks.own(chain.params)
            return embedder(own["embedding"], own["long_text"]).queries(needed)

        def search(needed: list[str]) -> list[Ranking]:
            asked = queries(needed)
            found: list[Ranking] = vector_search(chain.params, self._vectors(chain), asked, chain.by_vector.depth)
            return found

        def ahead(needed: list[str]) -> None:
            self._vectors(chain)
            queries(needed)

        return self._at_once(vector_search, chain.by_vector, questions, search, ahead)

    def _vectors(self, chain: Chain) -> Vectors:
        vectors: Vectors = self._whole(
            embed_chunks, chain.vectors, lambda: embed_chunks(chain.params, self.chunks(chain.params))
        )
        return vectors

    def _by_bm25(self, chain: Chain, questions: Sequence[str]) -> list[Ranking]:
        params = chain.params

        def search(needed: list[str]) -> list[Ranking]:
            index = self._whole(bm25_index, chain.index, lambda: bm25_index(params, self.chunks(params)))
            found: list[Ranking] = bm25_search(params, index, needed, chain.by_bm25.depth)
            return found

        return self._at_once(bm25_search, chain.by_bm25, questions, search)

    def _by_both(self, chain: Chain, questions: Sequence[str]) -> list[Ranking]:
        by_vector, by_bm25 = self._by_vector(chain, questions), self._by_bm25(chain, questions)

        def search(needed: list[int]) -> list[Ranking]:
            return [fuse(chain.params, by_vector[i], by_bm25[i], chain.fused.depth) for i in needed]

        return self._each(fuse, chain.fused, questions, search)

    def _at_once(
        self,
        part: Stage,
        link: Link,
        questions: Sequence[str],
        search: Callable[[list[str]], list[Ranking]],
        ahead: Callable[[list[str]], object] = lambda _: None,
    ) -> list[Ranking]:
        """As `_each`, for a search that costs hardly more for all questions than for a few.

        What it needs is made `ahead` of it, where workers that need the same do not wait for one of them.
        """
        known = self._cache.get(key_for(link.key, questions[0]), part.codec) if questions else None
        others = self._questions if known is None or known.depth < link.depth else []
        together = list(dict.fromkeys([*questions, *others]))
        if others:
            ahead(together)
        found = self._each(part, link, together, lambda needed: search([together[i] for i in needed]))
        by_question = dict(zip(together, found, strict=True))
        return [by_question[question] for question in questions]

    def _each(
        self, part: Stage, link: Link, questions: Sequence[str], search: Callable[[list[int]], list[Ranking]]
    ) -> list[Ranking]:
        """The rankings of the questions from the cache, those missing or too shallow searched for at once."""

        def noted(needed: list[int]) -> list[Ranking]:
            self._note(link)
            return search(needed)

        return self._cache.get_or_build_many(
            [key_for(link.key, question) for question in questions],
            noted,
            codec=part.codec,
            stage=part.name,
            usable=lambda ranking: ranking.depth >= link.depth,
        )
