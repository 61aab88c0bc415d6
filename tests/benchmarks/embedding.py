"""What share of the bare ONNX session's speed embedding reaches: the chunks of wikitexts at three sizes, minilm.

Each text is embedded by a bare session with a thread a CPU, and through raytuner's own embedder with an empty store on
disk, in one process, in turn; the loading of the weights is in neither time. Tokens are those of the model itself.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common
import wikitexts
from plain import SIZES, split

ROUNDS = 3


def run(data: Path) -> dict[str, float]:
    """The best of some rounds, in tokens a second."""
    os.environ["OMP_NUM_THREADS"] = str(os.cpu_count())
    from bare import Session

    document, _ = wikitexts.load(data, 1)
    texts = list(dict.fromkeys(node.text for size in SIZES for node in split(document.text, size)))
    session = Session(truncate=False)
    tokens = sum(len(encoded.ids) for encoded in session._tokenizer.encode_batch(texts, add_special_tokens=False))
    bare, ours = [], []
    for _ in range(ROUNDS):
        bare.append(tokens / seconds(lambda: session.embed(texts)))
        ours.append(tokens / through_raytuner(texts))
    return {"tokens_per_s": max(ours), "bare_tokens_per_s": max(bare), "share": max(ours) / max(bare)}


def through_raytuner(texts: Sequence[str]) -> float:
    """Seconds with a store of its own."""
    from raytuner import models
    from raytuner.pipeline.cache import StageCache
    from raytuner.pipeline.embed import Embedder
    from raytuner.store import Store

    with tempfile.TemporaryDirectory() as folder:
        model = models.embedding("minilm")
        model.encode(["the weights are loaded"])
        embedder = Embedder(model, "minilm", "minilm", StageCache(Store(Path(folder) / "artefacts")))
        return seconds(lambda: embedder.texts(texts))


def seconds(work: Callable[[], Any]) -> float:
    with common.Clock() as clock:
        work()
    return clock.seconds


def main() -> None:
    args = common.parser(__doc__, data=wikitexts.HELP).parse_args()
    with common.cold_cache("minilm") as cache:
        result = common.apart(run, args.data, cache=cache)
    rows = [
        common.Row("raytuner", common.figure(result["tokens_per_s"], " tokens/s")),
        common.Row("bare session", common.figure(result["bare_tokens_per_s"], " tokens/s")),
        common.Row("share", common.figure(result["share"])),
    ]
    common.show(args, "Embedding with minilm on all cores", rows, result)


if __name__ == "__main__":
    main()
