"""What stages made and used again."""

from __future__ import annotations

import time
from pathlib import Path

from raytuner import RagObjective
from raytuner.objective import Objective
from raytuner.pipeline.cache import StageCache
from raytuner.pipeline.tally import TALLY, Tally, Use
from raytuner.store import JSON, Store


def test_the_time_of_what_another_stage_makes_is_not_counted_twice() -> None:
    tally = Tally()
    with tally.making("outer", 1):
        time.sleep(0.02)
        with tally.making("inner", 3):
            time.sleep(0.05)
    found = tally.take()
    assert found["inner"].made == 3
    assert found["inner"].seconds >= 0.05
    assert 0.02 <= found["outer"].seconds < 0.05
    assert tally.take() == {}


def test_the_cache_counts_what_it_makes_and_what_was_there(tmp_path: Path) -> None:
    TALLY.take()
    cache = StageCache(Store(tmp_path))
    cache.get_or_build_many(["a" * 32, "b" * 32], lambda needed: ["x"] * len(needed), codec=JSON, stage="part")
    cache.get_or_build("a" * 32, lambda: "y", codec=JSON, stage="part")
    other = StageCache(Store(tmp_path))  # another process finds them on disk
    other.get_or_build_many(["b" * 32, "c" * 32], lambda needed: ["x"] * len(needed), codec=JSON, stage="part")
    other.get_or_build("derived", lambda: 1)  # beside artefacts, of no stage
    found = TALLY.take()
    assert set(found) == {"part"}
    assert (found["part"].made, found["part"].reused) == (3, 2)
    assert isinstance(found["part"], Use)


def test_a_block_of_questions_says_what_its_stages_made(empty_cache: Path) -> None:
    objective = Objective(RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f1", retriever="bm25"))
    TALLY.take()
    first, *others = [report.block for report in objective.reports({"chunk_size": 128})]
    assert first is not None
    assert first.stages["sentence"].made == 1
    assert first.stages["bm25_index"].made == 1
    assert first.stages["bm25_search"].made >= len(first.values)
    assert 0 < first.stages["bm25_index"].seconds < first.seconds
    for block in others:
        assert block is not None
        assert sum(use.made for use in block.stages.values()) == 0  # all questions were retrieved for at once
        assert block.stages["bm25_search"].reused == len(block.values)
