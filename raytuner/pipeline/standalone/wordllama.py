"""The embedding model ``wordllama``."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from llama_index.core.embeddings import BaseEmbedding
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from raytuner.pipeline.standalone.packaged import packaged_file

WORDLLAMA_TABLE = ("wordllama", "l2_supercat_256.safetensors", "")
WORDLLAMA_TOKENIZER = ("wordllama", "l2_supercat_tokenizer_config.json", "")


class WordLlama(BaseEmbedding):  # type: ignore[misc]
    """The mean of the vectors of a text's tokens, which are read from a table."""

    def _get_text_embedding(self, text: str) -> list[float]:
        tokenizer, table = wordllama()
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if not ids:
            return [0.0] * table.shape[1]
        mean = table[ids].mean(axis=0)
        unit: list[float] = (mean / float(np.sqrt(np.square(mean, dtype=np.float64).sum()))).astype(np.float32).tolist()
        return unit

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@cache
def wordllama() -> tuple[Any, Any]:
    """The tokenizer and the table."""
    tokenizer = Tokenizer.from_file(packaged_file(*WORDLLAMA_TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    (table,) = load_file(packaged_file(*WORDLLAMA_TABLE)).values()
    return tokenizer, table.astype(np.float32)
