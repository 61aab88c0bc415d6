"""Embedding: equal texts once, unit length, warnings."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from llama_index.core.embeddings import BaseEmbedding
from pydantic import PrivateAttr

from raytuner import models
from raytuner.errors import RaytunerError
from raytuner.pipeline import embed
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.embed import Embedder, embed_chunks


class CountingEmbedding(BaseEmbedding):
    """Embeds a text as its numbers of a, b and c, and keeps what it was asked."""

    _texts: list[str] = PrivateAttr(default_factory=list)
    _queries: list[str] = PrivateAttr(default_factory=list)

    def _get_text_embedding(self, text: str) -> list[float]:
        self._texts.append(text)
        return [float(text.count(letter)) for letter in "abc"]

    def _get_query_embedding(self, query: str) -> list[float]:
        self._queries.append(query)
        return [float(query.count(letter)) + 1 for letter in "abc"]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)


def chunks(*texts: str) -> list[Chunk]:
    return [Chunk(0, 0, len(text), 1, text) for text in texts]


def test_equal_texts_are_embedded_once() -> None:
    model = CountingEmbedding()
    embedder = Embedder(model)
    first = embedder.texts(["a", "b", "a", "cc"])
    assert np.array_equal(embedder.texts(["cc", "a"]), first[[3, 0]])
    embedder.texts(["cc", "ab"])
    assert model._texts == ["cc", "a", "b", "ab"]  # the longest first


def test_questions_and_texts_are_apart() -> None:
    model = CountingEmbedding()
    embedder = Embedder(model)
    assert not np.allclose(embedder.queries(["a"]), embedder.texts(["a"]))
    embedder.queries(["a", "a", "b"])
    assert (model._texts, model._queries) == (["a"], ["a", "b"])


def test_rows_have_length_1_and_zeros_stay_zeros() -> None:
    vectors = Embedder(CountingEmbedding()).texts(["aab", "xyz", "cccc"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [[2 / 5**0.5, 1 / 5**0.5, 0], [0, 0, 0], [0, 0, 1]], atol=1e-6)


def test_chunks_are_embedded_in_order() -> None:
    texts = ["How large is a chunk?", "", "Retrieval by BM25.", "How large is a chunk?"]
    vectors = embed_chunks.run(chunks(*texts), embedding="wordllama")
    np.testing.assert_allclose(vectors, models.embedding("wordllama").encode(texts), atol=1e-6)


def test_an_embedder_is_shared_in_the_process() -> None:
    assert embed.embedder("wordllama", "windows") is embed.embedder("wordllama", "windows")
    assert embed.embedder("minilm", "windows") is not embed.embedder("minilm", "truncate")
    # It has no window, so that both come to the same vectors.
    assert embed.embedder("wordllama", "windows") is embed.embedder("wordllama", "truncate")


@pytest.mark.parametrize(("long_text", "warned"), [("truncate", True), ("windows", False)])
def test_a_cut_text_is_warned_of(caplog: pytest.LogCaptureFixture, long_text: Any, warned: bool) -> None:
    caplog.set_level(logging.WARNING, logger="raytuner")
    texts = ["one", "two", "three", "a long text " * 150]
    vectors = embed_chunks.run(chunks(*texts), embedding="minilm", long_text=long_text)
    assert vectors.shape == (4, 384)
    assert [("25%" in message, "minilm" in message) for message in caplog.messages] == [(True, True)] * warned


def test_nothing_cut_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="raytuner")
    embed_chunks.run(chunks("one", "two"), embedding="minilm", long_text="truncate")
    embed_chunks.run(chunks("long " * 2000), embedding="wordllama", long_text="truncate")
    assert caplog.messages == []


class GrowingEmbedding(CountingEmbedding):
    """Gives longer vectors for longer texts."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0] * len(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@pytest.mark.parametrize(
    ("calls", "lengths"), [([["ab", "cd"], ["abc"]], "3 numbers after one of 2"), ([["ab", "abc"]], "2 .* one of 3")]
)
def test_a_dimension_that_changes_is_refused(calls: list[list[str]], lengths: str) -> None:
    for ask in ("texts", "queries"):
        embedder = Embedder(GrowingEmbedding(), "growing")
        with pytest.raises(RaytunerError, match=f"'growing' gave a vector of {lengths}") as caught:
            for texts in calls:
                getattr(embedder, ask)(texts)
        assert caught.value.exit_code == 1


def test_questions_and_texts_have_one_dimension() -> None:
    embedder = Embedder(GrowingEmbedding())
    embedder.texts(["ab"])
    with pytest.raises(RaytunerError, match="'GrowingEmbedding' gave a vector of 1 numbers after one of 2"):
        embedder.queries(["a"])


class GivenEmbedding(CountingEmbedding):
    """Gives what it is told to, whatever the texts are."""

    _given: Any = PrivateAttr(default=None)

    def _get_text_embeddings(self, texts: list[str]) -> Any:
        return self._given

    def _get_query_embedding(self, query: str) -> Any:
        return self._given[0]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([[1.0]], "gave 1 vectors for 2 texts"),
        ([[1.0]] * 3, "gave 3 vectors for 2 texts"),
        ([[], []], "a vector that is empty"),
        ([None, [1.0]], "what is no list of numbers for each text"),
        ([[1.0, float("nan")], [1.0, 2.0]], "numbers that are not finite"),
        ([[1.0], [1e39]], "numbers that are not finite"),
        ([[1.0], ["a"]], "what is no list of numbers"),
        ([[1.0], [[1.0]]], "what is no list of numbers"),
    ],
)
def test_what_is_no_vector_for_each_text_is_refused(given: Any, said: str) -> None:
    model = GivenEmbedding()
    model._given = given
    with pytest.raises(RaytunerError, match=f"^embedding model 'given' .*{said}"):
        Embedder(model, "given").texts(["a", "b"])


@pytest.mark.parametrize("given", [[], None, [float("inf")]])
def test_what_is_no_vector_for_a_question_is_refused(given: Any) -> None:
    model = GivenEmbedding()
    model._given = [given]
    with pytest.raises(RaytunerError, match=r"^embedding model 'given' gave"):
        Embedder(model, "given").queries(["a"])
