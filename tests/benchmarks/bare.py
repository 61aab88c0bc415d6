"""The least that embedding with minilm can cost: a bare onnxruntime session, a thread a CPU, nothing around it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytuner.models import weights

WINDOW = 254


class Session:
    """minilm without raytuner's own code for it; the weights are loaded when it is made.

    Args:
        truncate: Whether only the beginning of a long text is embedded, else its windows are pooled.
    """

    def __init__(self, *, truncate: bool) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        path = str(weights.member_path("minilm", "model.onnx"))
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(weights.member_path("minilm", "tokenizer.json")))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._truncate = truncate

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1; the texts are distinct."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return np.stack(list(pool.map(self._vector, (text.ids for text in encoded))))

    def _vector(self, ids: list[int]) -> NDArray[np.float32]:
        windows = [ids[:WINDOW]] if self._truncate else split(ids)
        pooled = np.sum([max(len(window), 1) * self._mean(window) for window in windows], axis=0)
        vector: NDArray[np.float32] = (pooled / np.linalg.norm(pooled)).astype(np.float32)
        return vector

    def _mean(self, window: list[int]) -> Any:
        ids = np.array([[101, *window, 102]], dtype=np.int64)  # [CLS] and [SEP]
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        return self._session.run(None, feed)[0][0].mean(axis=0, dtype=np.float64)


def split(ids: list[int]) -> list[list[int]]:
    """The fewest windows that hold all tokens, of nearly equal length."""
    count = max(1, -(-len(ids) // WINDOW))
    edges = [len(ids) * i // count for i in range(count + 1)]
    return [ids[start:end] for start, end in pairwise(edges)]
