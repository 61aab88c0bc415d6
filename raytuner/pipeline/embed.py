"""Embeddings of chunks, questions and sentences; equal texts are embedded once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic.json_schema import SkipJsonSchema

from raytuner import models
from raytuner.errors import ModelChangedError, RaytunerError
from raytuner.models import ModelSpec
from raytuner.pipeline.cache import StageCache, shared_cache
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.link import key_for
from raytuner.pipeline.stage import digest, stage
from raytuner.store import ARRAYS, Adapted, Codec
from raytuner.store.codec import Content

Vectors = NDArray[np.float32]
LongText = Literal["windows", "truncate"]
Model = str | SkipJsonSchema[ModelSpec]
"""A model as a stage takes it: a name, or what a name of the config stands for."""
VECTORS: Codec[Vectors] = Adapted(
    "vectors-1", ARRAYS, lambda vectors: {"vectors": vectors}, lambda arrays: arrays["vectors"]
)
"""How the vectors of all chunks are stored."""


class _Vector:
    """How a single vector is stored: there are many, so it is its numbers and nothing else."""

    format = "vector.f4"

    def encode(self, value: Vectors) -> list[Content]:
        return [value.astype("<f4").tobytes()]

    def decode(self, content: Content) -> Vectors:
        return np.frombuffer(content, "<f4")


VECTOR: Codec[Vectors] = _Vector()

logger = logging.getLogger("raytuner")


def model_identity(own: Mapping[str, Any]) -> str:
    """What stands for an embedding model in a key."""
    return models.embedding_identity(own["embedding"], own["long_text"])


def vectors_key(kind: Literal["text", "query"], identity: str) -> str:
    """What the keys of the vectors that a model gives for texts or for questions begin with."""
    return digest([f"embed_{kind}", 1, identity])


class Embedder:
    """An embedding model that embeds equal texts once, whoever asks: each vector is an artefact of its own.

    Args:
        model: A LlamaIndex ``BaseEmbedding``.
        name: What messages call it; by default its class.
        identity: What stands for it in keys; by default this object is a model of its own.
        artefacts: Where vectors are kept; by default the process's cache.
    """

    def __init__(
        self, model: Any, name: str | None = None, identity: str | None = None, artefacts: StageCache | None = None
    ) -> None:
        self._model = model
        self._name = name or type(model).__name__
        self._identity = identity or uuid.uuid4().hex
        self._own_artefacts = artefacts
        self._dimensions: int | None = None

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts.

        Returns:
            Shape (texts, dimensions), rows of length 1, in the order of the texts.

        Raises:
            ModelChangedError: The vectors are not all of the length of the first one that the model ever gave.
            RaytunerError: It gave another number of vectors than of texts, or what is no finite number.
        """
        return self._remembered("text", texts, self._embed_texts)

    def queries(self, queries: Sequence[str]) -> Vectors:
        """Embed questions; some models treat them unlike texts. Same form as `texts`."""
        return self._remembered("query", queries, self._embed_queries)

    def cut_share(self, texts: Sequence[str]) -> float:
        """The share of texts that are longer than the model's window (0 where it is not known)."""
        share = getattr(self._model, "cut_share", None)
        return float(share(texts)) if share is not None else 0.0

    def _remembered(
        self, kind: Literal["text", "query"], texts: Sequence[str], embed: Callable[[list[str]], Vectors]
    ) -> Vectors:
        # The longest first: in a batch of a model that pads they are alike, and the last batches are short.
        distinct = sorted(dict.fromkeys(texts), key=len, reverse=True)
        key = vectors_key(kind, self._identity)
        rows = (self._own_artefacts or shared_cache()).get_or_build_many(
            [key_for(key, text) for text in distinct],
            lambda needed: list(_unit_length(embed([distinct[i] for i in needed]))),
            codec=VECTOR,
            stage=f"embed_{kind}",
            batch=self._batch,
        )
        self._check_lengths([len(row) for row in rows])
        found = dict(zip(distinct, rows, strict=True))
        return np.stack([found[text] for text in texts])

    def _embed_texts(self, texts: list[str]) -> Vectors:
        if self._is_local:
            return np.asarray(self._model.encode(texts), dtype=np.float32)
        return self._array(lambda: self._model.get_text_embedding_batch(texts), len(texts))

    def _embed_queries(self, queries: list[str]) -> Vectors:
        if self._is_local:
            return np.asarray(self._model.encode(queries), dtype=np.float32)
        return self._array(lambda: [self._model.get_query_embedding(query) for query in queries], len(queries))

    @property
    def _batch(self) -> int:
        """The fewest texts that are worth a call; a call of one of raytuner's own costs nothing beside its texts."""
        return 4 if self._is_local else int(self._model.embed_batch_size)

    @property
    def _is_local(self) -> bool:
        """Whether it is one of raytuner's own; what another model calls ``encode`` may be something else."""
        from raytuner.models.local import LocalEmbedding

        return isinstance(self._model, LocalEmbedding)

    def _array(self, ask: Callable[[], Sequence[Sequence[float]]], count: int) -> Vectors:
        """What a model answers as an array of so many vectors, all of the length of the first that it ever gave."""
        who = f"embedding model {self._name!r} gave"
        try:
            vectors = ask()
        except ValidationError as error:
            if error.title != "EmbeddingEndEvent":  # in which LlamaIndex puts the vectors
                raise
            raise RaytunerError(f"{who} what is no list of numbers for each text") from None
        if len(vectors) != count:
            raise RaytunerError(f"{who} {len(vectors)} vectors for {count} texts: it must give one for each text")
        self._check_lengths(map(len, vectors))
        with np.errstate(over="ignore"):
            array: Vectors = np.array(vectors, dtype=np.float32)
        if not array.size or not np.isfinite(array).all():
            raise RaytunerError(f"{who} a vector that is empty, or with numbers that are not finite: see the model")
        return array

    def _check_lengths(self, lengths: Iterable[int]) -> None:
        """Refuse vectors of another length than the first one."""
        for length in lengths:
            if self._dimensions is None:
                self._dimensions = length
            if length != self._dimensions:
                raise ModelChangedError(
                    f"embedding model {self._name!r} gave a vector of {length} numbers after one of "
                    f"{self._dimensions}: use a model or a server whose dimension does not change, and another "
                    "`version` under `models` when another model takes its name"
                )


def _unit_length(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1, so that the inner product is the cosine; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


_embedders: dict[str, Embedder] = {}


def embedder(model: Model, long_text: str = "windows") -> Embedder:
    """The process's one embedder of that identity, its weights loaded on first use."""
    identity = models.embedding_identity(model, long_text)
    if identity not in _embedders:
        _embedders[identity] = Embedder(models.embedding(model, long_text=long_text), str(model), identity)
    return _embedders[identity]


@stage(version=1, codec=VECTORS, shares_work=True, embedding=model_identity)
def embed_chunks(chunks: Sequence[Chunk], *, embedding: Model = "minilm", long_text: LongText = "windows") -> Vectors:
    """Embed every chunk.

    Args:
        chunks: The chunks.
        embedding: The name of the model.
        long_text: What happens to text beyond the model's window: ``windows`` embeds it in parts and
            pools them, ``truncate`` ignores the rest.

    Returns:
        Shape (chunks, dimensions).
    """
    model = embedder(embedding, long_text)
    texts = [chunk.text for chunk in chunks]
    if long_text == "truncate" and (share := model.cut_share(texts)) > 0:
        logger.warning(
            "%s sees only the beginning of %.0f%% of %d chunks, the longest of %d tokens (long_text: truncate); "
            "use smaller chunks or long_text: windows",
            embedding,
            100 * share,
            len(chunks),
            max(chunk.tokens for chunk in chunks),
        )
    return model.texts(texts)
