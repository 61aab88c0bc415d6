"""Artefacts between processes: what is stored is found again, whole and equal, and nothing else is built."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytuner.components import component
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.pipeline.cache import StageCache, artefacts_folder, open_store, shared_cache
from raytuner.pipeline.chunk import CHUNKS
from raytuner.pipeline.parameters import component_table
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import INDEX, RANKING, bm25_index, bm25_scores
from raytuner.pipeline.stage import digest
from raytuner.rag import RagObjective
from raytuner.store import JSON

QUESTIONS = ["What is a chunk?", "How does BM25 weigh a repeated term?", "Why embed in windows?"]
PARAMS: dict[str, Any] = {"embedding": "wordllama", "chunk_size": 64, "retriever": "hybrid"}

RUN = """
import json, sys, time
from raytuner.documents.load import load_documents
from raytuner.models.wordllama import WordLlama
from raytuner.pipeline.pipeline import Pipeline
embedded = []
encode = WordLlama.encode
def counted(self, texts):
    embedded.extend(texts)
    time.sleep(SLOW * len(texts))
    return encode(self, texts)
WordLlama.encode = counted
documents = load_documents("builtin:quickstart")[:3]
if len(sys.argv) > 1 and sys.argv[1] != "wait":
    first = documents[0]
    documents[0] = type(first)(first.id, first.text + sys.argv[1], first.source)
params = {"embedding": "wordllama", "chunk_size": 64, "retriever": "hybrid"}
questions = ["What is a chunk?", "How does BM25 weigh a repeated term?", "Why embed in windows?"]
if "wait" in sys.argv:
    print("ready", file=sys.stderr, flush=True)
    sys.stdin.readline()
found = Pipeline(documents, questions=questions).rankings(params, questions)
print(json.dumps([len(embedded), [[r.chunks.tolist(), r.scores.tolist()] for r in found]]))
"""


def run(*arguments: str) -> list[Any]:
    done = subprocess.run(
        [sys.executable, "-c", f"SLOW = 0\n{RUN}", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.usefixtures("empty_cache")
def test_another_process_embeds_nothing_again_and_finds_the_same() -> None:
    first, second = run(), run()
    assert first[0] > 50
    assert second == [0, first[1]]


@pytest.mark.usefixtures("empty_cache")
def test_who_needs_the_same_vectors_takes_part_in_making_them() -> None:
    alone, expected = run()
    store = open_store(artefacts_folder(), None)
    assert store is not None
    store.clear()
    command = [sys.executable, "-c", f"SLOW = 0.01\n{RUN}", "wait"]
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    both = [subprocess.Popen(command, text=True, **streams) for _ in range(2)]
    for process in both:
        assert "ready" in process.stderr.readline()
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    (first, found), (second, same) = (json.loads(process.communicate(timeout=60)[0]) for process in both)
    assert found == same == expected
    assert min(first, second) > (first + second) / 10  # half each, on a machine that does nothing else
    assert first + second == alone


@pytest.mark.usefixtures("empty_cache")
def test_what_a_killed_process_had_made_is_kept_and_nothing_half_written() -> None:
    alone, expected = run()
    store = open_store(artefacts_folder(), None)
    assert store is not None
    store.clear()
    streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", f"SLOW = 0.02\n{RUN}", "wait"], text=True, **streams) as process:
        process.stdin.write("go\n")
        process.stdin.flush()
        end = time.monotonic() + 60
        while "embed_text" not in store.info().stages or store.info().stages["embed_text"].artefacts < alone / 3:
            assert time.monotonic() < end
            time.sleep(0.01)
        process.kill()
    again, found = run()
    assert found == expected
    assert 0 < again < alone * 3 / 4
    assert list((store.folder / "tmp").iterdir()) == []


def test_a_full_disk_costs_no_result(
    small_disk: Callable[[str], Path], empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = run()
    folder = small_disk("200k")
    for entry in empty_cache.iterdir():
        if entry.name != "artefacts":
            (folder / entry.name).symlink_to(entry.resolve())
    monkeypatch.setenv("RAYTUNER_CACHE", str(folder))
    command = [sys.executable, "-c", f"import logging; logging.basicConfig()\nSLOW = 0\n{RUN}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[1] == expected
    assert done.stderr.count("no space left") == 1


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("at", [0, 0.5, 1])
def test_damage_on_disk_changes_no_result(at: float) -> None:
    _, expected = run()
    store = open_store(artefacts_folder(), None)
    assert store is not None
    store.clear(["vector_search"])  # else nobody needs the vectors
    (path,) = (store.folder / "files" / "embed_chunks").iterdir()
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[int(at * (len(whole) - 1))] ^= 4
    path.write_bytes(damaged)
    assert run() == [0, expected]  # the texts' own vectors are stored beside the index
    (mended,) = (store.folder / "files" / "embed_chunks").iterdir()
    assert mended.read_bytes() == whole


@pytest.mark.usefixtures("empty_cache")
def test_of_a_changed_document_only_the_changed_chunks_are_embedded() -> None:
    before, after = run(), run(" One more sentence at the end.")
    assert 1 <= after[0] <= 3 < before[0]


def test_what_is_read_equals_what_was_built(empty_cache: Path) -> None:
    documents = load_documents("builtin:quickstart")[:2]
    built = Pipeline(documents, StageCache()).chunks(PARAMS)
    key = "0" * 32
    store = shared_cache().store
    assert store is not None
    store.put(key, built, CHUNKS, stage="sentence")
    assert store.get(key, CHUNKS) == built
    index = bm25_index({}, built)
    store.put(key, index, INDEX, stage="bm25_index")
    read = store.get(key, INDEX)
    assert read is not None
    np.testing.assert_array_equal(bm25_scores(read, QUESTIONS), bm25_scores(index, QUESTIONS))
    ranking = Pipeline(documents, StageCache()).rankings(PARAMS, QUESTIONS[:1])[0]
    store.put(key, ranking, RANKING, stage="fuse")
    stored = store.get(key, RANKING)
    assert stored is not None
    assert (stored.chunks.tolist(), stored.scores.tolist(), stored.depth) == (
        ranking.chunks.tolist(),
        ranking.scores.tolist(),
        ranking.depth,
    )
    assert artefacts_folder() == empty_cache / "artefacts"


def test_large_arrays_are_mapped_and_not_counted_as_memory(empty_cache: Path) -> None:
    cache = shared_cache()
    from raytuner.pipeline.embed import VECTORS

    matrix = np.ones((1000, 384), np.float32)
    first = cache.get_or_build("1" * 32, lambda: matrix, codec=VECTORS, stage="embed_chunks")
    assert not first.flags.writeable
    np.testing.assert_array_equal(first, matrix)
    assert cache._bytes < 1000


def test_the_least_recently_used_leave_the_memory_first() -> None:
    cache = StageCache(limit=3000)
    for name in "abcd":
        cache.get_or_build(name, lambda: np.zeros(100))  # 900 bytes each
        cache.get_or_build("a", lambda: pytest.fail("a was used last"))
    assert [name for name in "abcd" if cache.get(name) is not None] == ["a", "c", "d"]


def test_a_limit_of_zero_keeps_nothing_on_disk(tmp_path: Path) -> None:
    assert open_store(tmp_path / "artefacts", "0") is None
    assert not (tmp_path / "artefacts").exists()


def test_a_folder_that_cannot_be_used_is_said_and_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "artefacts").write_text("a file")
    assert open_store(tmp_path / "artefacts", None) is None
    assert "what trials share is kept in each process only" in caplog.text


@pytest.mark.parametrize("llm", ["extractive", "mock"])
def test_two_questions_with_the_same_contexts_have_their_own_answers(llm: str) -> None:
    contexts = ["Cats sleep a lot. Chunks are pieces of text. BM25 ranks by shared words."]
    params = {"llm": llm, "embedding": "wordllama", "answer_tokens": 8, "prompt": "{query_str} {context_str}"}
    questions = ["What are chunks?", "How does BM25 rank?"]

    def answers(pipeline: Pipeline, *asked: str) -> list[str]:
        return asyncio.run(pipeline.answers(params, asked, [contexts] * len(asked)))

    together = answers(Pipeline([], StageCache()), *questions)
    assert together[0] != together[1]
    assert together == [answers(Pipeline([], StageCache()), question)[0] for question in questions]


class ByFolder:
    """A reranker that prefers a folder."""

    def postprocess_nodes(self, nodes: list[Any], query_str: str) -> list[Any]:
        return sorted(nodes, key=lambda found: "trusted" not in found.node.metadata["source"])


def test_where_a_document_lies_is_in_the_keys_of_what_is_told() -> None:
    components = component_table({"folder": {"path": f"{__name__}.ByFolder", "version": "1"}}, {})
    params = {"retriever": "bm25", "reranker": component("folder", components), "top_k": 2}
    cache = StageCache()

    def first(*sources: str) -> int:
        texts = ["chunks of text", "text in chunks"]
        documents = [
            Document(str(i), text, source) for i, (text, source) in enumerate(zip(texts, sources, strict=True))
        ]
        (ranking,) = Pipeline(documents, cache).rankings(params, ["chunks text"])
        return int(ranking.chunks[0])

    assert (first("/trusted/a", "/other/b"), first("/other/a", "/trusted/b")) == (0, 1)


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("how", ["blocks", "ablocks"])
def test_what_a_running_trial_uses_is_not_evicted(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE_LIMIT", "2MB")
    objective = RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f4", block_size=10, **PARAMS)
    chain = Pipeline(objective.documents, StageCache()).chain(objective.resolved({}))
    used = {link.key for link in chain.links(answered=False) if not link.each}
    store = open_store(artefacts_folder(), "2MB")  # as another process has it
    assert store is not None

    def fill(name: str) -> None:
        for number in range(50):
            store.put(digest([name, number]), "x" * 60_000, JSON, stage="filler")

    async def blocks() -> AsyncIterator[object]:
        if how == "ablocks":
            async for values in objective.ablocks({}):
                yield values
        else:
            for values in objective.blocks({}):
                yield values

    async def trial() -> int:
        count = 0
        async for _ in blocks():
            count += 1
            fill(f"beside {count}")
            assert store.present(list(used)) == used
        return count

    assert asyncio.run(trial()) > 1
    fill("after")
    assert not store.present(list(used))
