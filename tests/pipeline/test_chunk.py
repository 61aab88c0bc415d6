"""Chunk sizes and overlaps."""

from __future__ import annotations

import pytest

from raytuner.errors import ConfigError
from raytuner.pipeline.chunk import check_overlap, overlap_tokens


@pytest.mark.parametrize(
    ("size", "overlap", "tokens"), [(512, 0.1, 51), (64, 0, 0), (64, 0.25, 16), (64, 1, 1), (64, 20.0, 20)]
)
def test_overlap_in_tokens(size: int, overlap: float, tokens: int) -> None:
    assert overlap_tokens(size, overlap) == tokens


@pytest.mark.parametrize("overlap", [64, 65, 0.999])
def test_an_overlap_as_large_as_the_chunk_is_refused(overlap: float) -> None:
    with pytest.raises(ConfigError, match=f"chunk_overlap {overlap:g} .* chunk_size 64"):
        check_overlap(64, overlap)
    check_overlap(64, 63)


def test_an_overlap_is_a_fraction_or_a_whole_number() -> None:
    with pytest.raises(ConfigError, match=r"chunk_overlap 1.5 is neither a fraction"):
        check_overlap(64, 1.5)
