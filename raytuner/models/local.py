"""What the embedding models that run on this machine share."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from llama_index.core.embeddings import BaseEmbedding

from raytuner.models import weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")


def threads() -> int:
    """Say how many threads an embedding call may use.

    Returns:
        ``OMP_NUM_THREADS`` if it is a positive integer (Ray sets it in a worker to the CPUs of its trial),
        else the number of CPUs.
    """
    value = os.environ.get("OMP_NUM_THREADS", "")
    if value.isdecimal() and int(value) > 0:
        return int(value)
    return os.cpu_count() or 1


def unit(vector: NDArray[Any]) -> NDArray[np.float32]:
    """Scale a vector to length 1; zeros stay zeros."""
    # Not numpy.linalg.norm: its BLAS call may sum in another order on another build.
    length = float(np.sqrt(np.square(vector, dtype=np.float64).sum()))
    return (vector / length if length else vector).astype(np.float32)


def load_tokenizer(model: str, member: str) -> Any:
    """Load the tokenizer of a built-in model, set to neither cut nor pad."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights.member_path(model, member)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text's tokens, without special ones."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def once(load: Callable[[], T]) -> Callable[[], T]:
    """Make a function that loads something load it once per process, also when threads ask at once."""
    cached, lock = functools.cache(load), threading.Lock()

    @functools.wraps(load)
    def loaded() -> T:
        with lock:
            return cached()

    return loaded


class LocalEmbedding(BaseEmbedding):  # type: ignore[misc]
    """An embedding model that runs on this machine.

    A text's vector is bitwise the same whatever else is in the call, in any order, with any number of threads.
    Weights are loaded on first use, once per process, and are no part of a pickle.

    Attributes:
        long_text: What happens to a text longer than ``window``: ``windows`` embeds it in pieces of nearly equal
            length, pooled by their numbers of tokens; ``truncate`` embeds its beginning only.
        window: Tokens of text that the model sees at once; None if there is no limit.
    """

    window: ClassVar[int | None] = None

    long_text: Literal["windows", "truncate"] = "windows"
    embed_batch_size: int = 256

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; equal texts are embedded once.

        Args:
            texts: Any number of texts.

        Returns:
            Vectors of length 1, shape (number of texts, dimensions).

        Raises:
            ModelError: The weights are missing and cannot be fetched.
        """
        distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        vectors = self._encode_distinct(list(distinct))
        return vectors[[distinct[text] for text in texts]]

    def cut_share(self, texts: Sequence[str]) -> float:
        """Measure which share of texts, 0 to 1, is longer than the window."""
        if self.window is None or not texts:
            return 0.0
        return sum(len(ids) > self.window for ids in self._tokens(texts)) / len(texts)

    @abstractmethod
    def _encode_distinct(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts of which no two are equal, shape (number of texts, dimensions)."""

    @abstractmethod
    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text's tokens, without special ones."""

    def __reduce__(self) -> tuple[Callable[[], LocalEmbedding], tuple[()]]:
        """Pickle the settings only."""
        settings = {"long_text": self.long_text, "embed_batch_size": self.embed_batch_size}
        return functools.partial(type(self), **settings), ()

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.encode(texts).tolist()
        return vectors

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self._aget_text_embedding(query)
