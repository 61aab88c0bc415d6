"""Vectors of length 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def unit_rows(vectors: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Vectors as the rows of a matrix, scaled to length 1, so that their inner product is the cosine."""
    rows = np.array(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32).astype(np.float64)
