"""A run's pipeline in use: from Python, as LlamaIndex's retriever and query engine, and piece by piece."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.retrievers import BaseRetriever

import raytuner
from raytuner.calls.handle import own_handle
from raytuner.documents.find import find_files
from raytuner.errors import DataError, ModelError, RaytunerError
from raytuner.loaded import LoadedPipeline, Reply
from raytuner.testing.openai_server import Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(120)
BM25 = "pipeline: {retriever: bm25, chunk_size: 30, chunk_overlap: 0}\nspace: {top_k: [1, 2]}\n"
BY_LLM = """\
models: {{tiny: {{model: "openai-like:tiny", base_url: "{url}", price: {{input: 1, output: 2}}}}}}
pipeline: {{retriever: bm25, chunk_size: 30, chunk_overlap: 0, llm: tiny}}
space: {{top_k: [1, 2]}}
"""
TRIALS = [({"top_k": 1}, 0.2), ({"top_k": 2}, 0.9)]
MakeRun = Callable[..., Path]
QUESTION = "How many days of paid leave has an employee?"


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))
    with OpenAIServer(Behaviour(answer=lambda _: "Thirty  days.\nA year.")) as server:
        yield server


def test_it_retrieves_and_answers(make_run: MakeRun) -> None:
    pipeline = raytuner.load(make_run(BM25, TRIALS))
    assert (pipeline.trial, pipeline.params["top_k"]) == (2, 2)
    reply = pipeline.ask(QUESTION)
    assert "30 days of paid leave" in reply.text
    assert reply.sources == pipeline.retrieve(QUESTION)
    assert len(reply.sources) == 2
    assert reply.sources[0].citation == "leave.md"
    assert (reply.usd, reply.prompt_tokens) == (0.0, None)
    assert 0 < reply.seconds < 60
    one = raytuner.load(make_run(BM25, TRIALS), 1)
    assert one.retrieve(QUESTION) == reply.sources[:1]


def test_the_objective_of_the_search_retrieves_the_same(make_run: MakeRun) -> None:
    run = make_run(BM25, TRIALS)
    docs = run.parent.parent / "docs"
    fixed = {"retriever": "bm25", "chunk_size": 30, "chunk_overlap": 0}
    objective = raytuner.RagObjective(docs, docs.parent / "questions.jsonl", **fixed)
    assert raytuner.load(run).retrieve(QUESTION) == objective.retrieve(QUESTION, {"top_k": 2})


def test_as_llamaindex_has_it(make_run: MakeRun) -> None:
    pipeline = raytuner.load(make_run(BM25, TRIALS))
    retriever, engine = pipeline.as_retriever(), pipeline.as_query_engine()
    assert isinstance(retriever, BaseRetriever)
    assert isinstance(engine, BaseQueryEngine)
    found = retriever.retrieve(QUESTION)
    assert [one.score for one in found] == [one.score for one in pipeline.retrieve(QUESTION)]
    assert found[0].node.metadata["document"] == "leave.md"
    assert found[0].node.get_content() == pipeline.retrieve(QUESTION)[0].text
    response = engine.query(QUESTION)
    assert str(response) == pipeline.ask(QUESTION).text
    assert response.metadata["usd"] == 0.0
    assert [one.node.node_id for one in response.source_nodes] == [one.node.node_id for one in found]
    assert str(asyncio.run(engine.aquery(QUESTION))) == str(response)
    assert asyncio.run(retriever.aretrieve(QUESTION))[0].text == found[0].text


@pytest.mark.parametrize(
    ("question", "said"), [("", "empty"), ("  \n", "empty"), ("x" * 100_000, "100,000 characters")]
)
def test_a_question_that_is_none(make_run: MakeRun, question: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        raytuner.load(make_run(BM25, TRIALS)).ask(question)


def test_documents_that_have_changed_are_said(make_run: MakeRun, caplog: pytest.LogCaptureFixture) -> None:
    import json

    run = make_run(BM25, TRIALS)
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "data": {"documents": {"leave.md": "0", "gone.md": "1"}}}))
    with caplog.at_level(logging.WARNING, "raytuner"):
        raytuner.load(run)
    assert "since the run, documents changed: 1 (leave.md)" in caplog.text
    assert "documents gone: 1 (gone.md)" in caplog.text


def test_other_documents(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("The leave of an employee is 12 days.")
    pipeline = raytuner.load(make_run(BM25, TRIALS), documents=tmp_path / "other.md")
    assert [one.document for one in pipeline.retrieve(QUESTION)] == ["other.md"]


def test_an_llm_answers_and_what_it_took_is_known(make_run: MakeRun, upstream: OpenAIServer) -> None:
    pipeline = raytuner.load(make_run(BY_LLM.format(url=upstream.base_url), TRIALS))
    reply = pipeline.ask(QUESTION)
    assert reply.text == "Thirty  days.\nA year."
    assert reply.prompt_tokens is not None
    assert reply.usd == (reply.prompt_tokens + 2 * 4) / 1e6
    again = pipeline.ask(QUESTION)
    assert (again.text, again.prompt_tokens, again.usd) == (reply.text, reply.prompt_tokens, 0.0)
    assert len(upstream.requests) == 1, "the same question is not asked twice"


def test_nothing_of_a_question_is_written_to_disk(make_run: MakeRun, upstream: OpenAIServer, empty_cache: Path) -> None:
    raytuner.load(make_run(BY_LLM.format(url=upstream.base_url), TRIALS)).ask("Zebra leave?")
    kept = [path.read_bytes() for path in (empty_cache / "artefacts").rglob("*") if path.is_file()]
    assert any(b"paid leave" in content for content in kept), "chunks are"
    assert not any(b"Thirty" in content for content in kept)


async def _streamed(pipeline: LoadedPipeline) -> list[str | Reply]:
    return [piece async for piece in pipeline.astream(QUESTION)]


def test_pieces_come_as_the_llm_gives_them(make_run: MakeRun, upstream: OpenAIServer) -> None:
    upstream.behaviour.script[:] = ["429", "500"]
    pipeline = raytuner.load(make_run(BY_LLM.format(url=upstream.base_url), TRIALS))
    *pieces, reply = asyncio.run(_streamed(pipeline))
    assert pieces == ["Thirty", "  days.", "\nA", " year."]
    assert isinstance(reply, Reply)
    assert reply.text == "".join(map(str, pieces))
    assert reply.completion_tokens == 4
    assert reply.usd is not None
    assert [found.fault for found in upstream.requests] == ["429", "500", None], "it was asked again"
    assert not [gate for gate in own_handle().ledger._gates.values() if gate.running], "the call has ended"


def test_a_stream_that_breaks_off_fails(make_run: MakeRun, upstream: OpenAIServer) -> None:
    upstream.behaviour.script[:] = ["truncated"]
    pipeline = raytuner.load(make_run(BY_LLM.format(url=upstream.base_url), TRIALS))

    async def ask() -> list[str]:
        heard: list[str] = []
        with pytest.raises(RaytunerError, match="tiny"):
            async for piece in pipeline.astream(QUESTION):
                heard.append(str(piece))
        return heard

    assert asyncio.run(ask())[0] == "Thirty"
    assert not [gate for gate in own_handle().ledger._gates.values() if gate.running]


def test_without_an_llm_the_words_come(make_run: MakeRun) -> None:
    pipeline = raytuner.load(make_run(BM25, TRIALS))
    *words, reply = asyncio.run(_streamed(pipeline))
    assert isinstance(reply, Reply)
    assert "".join(map(str, words)) == reply.text
    assert len(words) > 5


def test_several_prompts_are_answered_whole(make_run: MakeRun, upstream: OpenAIServer) -> None:
    config = BY_LLM.format(url=upstream.base_url).replace("llm: tiny", "llm: tiny, response_mode: refine")
    *words, reply = asyncio.run(_streamed(raytuner.load(make_run(config, TRIALS))))
    assert isinstance(reply, Reply)
    assert "".join(map(str, words)) == reply.text == "Thirty  days.\nA year."


def test_a_model_or_a_key_that_lacks(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    run = make_run(
        "pipeline: {retriever: bm25, llm: 'openai:gpt-4o-mini'}\nspace: {top_k: [1]}\n", [({"top_k": 1}, 1.0)]
    )
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        raytuner.load(run)
    gone = make_run(BY_LLM.format(url="http://127.0.0.1:9/v1"), TRIALS)
    with pytest.raises(ModelError, match="nothing answers"):
        raytuner.load(gone)


def test_the_folder_of_a_run_is_on_the_path_for_its_own_modules_only(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "planted_module.py").write_text("raise SystemExit('imported')")
    (tmp_path / "planted_part.py").write_text(
        "from llama_index.core.postprocessor import SimilarityPostprocessor\n"
        "def reranker():\n    look()\n    return SimilarityPostprocessor(similarity_cutoff=0)\n"
        "def look():\n    try:\n        import planted_module\n    except ImportError:\n        pass\n"
    )

    def look(*_: object) -> None:  # as libraries do for what may be installed
        with contextlib.suppress(ImportError):
            importlib.import_module("planted_module")

    monkeypatch.setattr("raytuner.pipeline.parameters.prepare_splitter", look)
    monkeypatch.setattr("raytuner.documents.load.find_files", lambda *given: look() or find_files(*given))
    own = "pipeline: {retriever: bm25, reranker: planted_part.reranker}\nspace: {top_k: [1, 2]}\n"
    for config in (BM25, own):
        pipeline = raytuner.load(make_run(config, TRIALS))
        assert "30 days" in pipeline.ask(QUESTION).text
        assert str(tmp_path) not in sys.path
    assert "planted_part" in sys.modules


def test_embeddings_cost_too_and_no_account_grows(make_run: MakeRun, upstream: OpenAIServer) -> None:
    config = BY_LLM.format(url=upstream.base_url).replace("retriever: bm25", "embedding: tiny")
    pipeline = raytuner.load(make_run(config.replace(", llm: tiny", ""), TRIALS))
    pipeline.warm()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), own_handle()._loop).result()  # what was begun there is done
    assert not own_handle().ledger._rows
    first, again = pipeline.ask(QUESTION), pipeline.ask(QUESTION)
    assert first.usd is not None
    assert first.usd > 0
    assert again.usd == 0
    unknown = config.replace(", price: {input: 1, output: 2}", "")
    assert raytuner.load(make_run(unknown, TRIALS)).ask("What does leave cost?").usd is None
