"""all-MiniLM-L6-v2 as an ONNX file with int8 weights, on onnxruntime."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from raytuner.models import local, weights
from raytuner.models.wheels import MINILM

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = 254  # the model takes 256 tokens, of which two are [CLS] and [SEP]


class _Model(NamedTuple):
    tokenizer: Any
    session: Any
    first: int  # the id of [CLS]
    last: int  # the id of [SEP]


class MiniLM(local.LocalEmbedding):
    """Sentence embeddings of 384 dimensions; windows of 254 tokens and the two special ones."""

    window: ClassVar[int | None] = WINDOW

    model_name: str = "minilm"

    def _encode_distinct(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, MINILM.dimensions), np.float32)
        cut = split if self.long_text == "windows" else _head
        pieces = [cut(ids) for ids in self._tokens(texts)]
        means = iter(_means([piece for own in pieces for piece in own]))
        return np.stack([_pool(own, list(itertools.islice(means, len(own)))) for own in pieces])

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return local.tokenize(_model().tokenizer, texts)


def split(ids: list[int]) -> list[list[int]]:
    """Cut tokens into the fewest windows that hold them, of nearly equal length.

    Args:
        ids: Tokens of a text, without special ones.

    Returns:
        One window or more, in order; their lengths differ by at most one.
    """
    count = max(1, -(-len(ids) // WINDOW))
    edges = [len(ids) * i // count for i in range(count + 1)]
    return [ids[start:end] for start, end in itertools.pairwise(edges)]


def _head(ids: list[int]) -> list[list[int]]:
    return [ids[:WINDOW]]


def _means(windows: list[list[int]]) -> list[NDArray[np.float64]]:
    """Run windows one by one: beside others, padding and other matrix shapes would change the last bits."""
    run: Callable[[list[int]], NDArray[np.float64]] = functools.partial(_mean, _model())
    workers = min(local.threads(), len(windows))
    if workers == 1:
        return [run(window) for window in windows]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, windows))


def _mean(model: _Model, window: list[int]) -> NDArray[np.float64]:
    """The mean of the model's output over the tokens of one window, the special ones included."""
    ids = np.array([[model.first, *window, model.last]], dtype=np.int64)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    mean: NDArray[np.float64] = model.session.run(None, feed)[0][0].mean(axis=0, dtype=np.float64)
    return mean


def _pool(windows: list[list[int]], means: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Weigh the windows of a text by their numbers of tokens; the norm makes a division needless."""
    if len(windows) == 1:  # which may be empty, with a weight of 0
        return local.unit(means[0])
    return local.unit(np.sum([len(window) * mean for window, mean in zip(windows, means, strict=True)], axis=0))


@local.once
def _model() -> _Model:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # One thread for each run and several runs at once: faster than several threads for each run, and exact.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    path = weights.member_path("minilm", "model.onnx")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tokenizer = local.load_tokenizer("minilm", "tokenizer.json")
    return _Model(tokenizer, session, tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]"))
