"""The splitter ``semantic``."""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np

from raytuner.pipeline.standalone.fitted import fitted
from raytuner.pipeline.standalone.glue import embed_model
from raytuner.pipeline.standalone.sentences import sentence_pieces
from raytuner.pipeline.standalone.unit import unit_rows

BREAKPOINT_PERCENTILE = 95.0


def cut(text: str) -> list[str]:
    """Cut a text where its meaning changes, and what is too long between sentences."""
    return fitted(topics(text))


def topics(text: str) -> list[str]:
    """Runs of sentences; each sentence is compared together with its neighbours."""
    pieces = sentence_pieces(text)
    bounds = [0, *accumulate(map(len, pieces))]
    breaks: list[int] = []
    if len(bounds) > 2:
        groups = ["".join(pieces[max(0, i - 1) : i + 2]) for i in range(len(pieces))]
        vectors = unit_rows(embed_model().get_text_embedding_batch(groups))
        distances = 1 - np.sum(vectors[:-1] * vectors[1:], axis=1)
        breaks = (np.flatnonzero(distances > np.percentile(distances, BREAKPOINT_PERCENTILE)) + 1).tolist()
    parts = [text[start:end].strip() for start, end in pairwise([0, *(bounds[i] for i in breaks), len(text)])]
    return [part for part in parts if part]
