"""WordLlama: a text's vector is the mean of its tokens' vectors, read from a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from raytuner.models import local, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Model(NamedTuple):
    tokenizer: Any
    table: NDArray[np.float32]  # shape (tokens, dimensions)


class WordLlama(local.LocalEmbedding):
    """Static embeddings of 256 dimensions, for texts of any length, so ``long_text`` has no effect.

    A text without tokens has the vector of zeros.
    """

    model_name: str = "wordllama"

    def _encode_distinct(self, texts: Sequence[str]) -> NDArray[np.float32]:
        table = _model().table
        vectors = np.zeros((len(texts), table.shape[1]), np.float32)
        for row, ids in enumerate(self._tokens(texts)):
            if ids:
                vectors[row] = local.unit(table[ids].mean(axis=0))
        return vectors

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return local.tokenize(_model().tokenizer, texts)


@local.once
def _model() -> _Model:
    from safetensors.numpy import load_file

    (table,) = load_file(weights.member_path("wordllama", "l2_supercat_256.safetensors")).values()
    tokenizer = local.load_tokenizer("wordllama", "l2_supercat_tokenizer_config.json")
    return _Model(tokenizer, table.astype(np.float32))
