"""Components with models: those that their options name, and none else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from llama_index.core.postprocessor import LLMRerank

from raytuner import models
from raytuner.components import Component, component, identity
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, ModelError
from raytuner.models.mock import MockLLM
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.pipeline import Pipeline
from raytuner.rag import RagObjective
from raytuner.space import SearchSpace

DOCUMENTS = load_documents("builtin:quickstart")[:3]
QUESTION = "What does a tide depend on?"
BASE = {"chunk_size": 64, "retriever": "bm25", "top_k": 2, "rerank_depth": 4}
RERANK = "llama_index.core.postprocessor.LLMRerank"


class Server(ThreadingHTTPServer):
    """Says that the third and the second document are relevant, whatever it is asked."""

    requests: list[dict[str, Any]]
    keys: set[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "judge", "object": "model"}]})

    def do_POST(self) -> None:
        self.server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.add(self.headers["Authorization"])
        message = {"role": "assistant", "content": "Doc: 3, Relevance: 9\nDoc: 2, Relevance: 4"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        self.answer({"id": "1", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice]})

    def answer(self, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.keys = [], set()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-users-own-key")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)  # where LlamaIndex's default would go
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def judge(server: Server, **settings: Any) -> dict[str, Any]:
    return {"judge": {"model": "openai-like:judge", "base_url": server.url, **settings}}


def table(path: str, **options: Any) -> dict[str, Any]:
    return {"own": {"path": path, "options": options, "version": "1"}}


def objective(server: Server, **given: Any) -> RagObjective:
    return RagObjective(
        "builtin:quickstart", "builtin:quickstart", metric="span_f4", models=judge(server), **{**BASE, **given}
    )


def test_llamaindexs_reranker_uses_the_model_that_its_option_names(server: Server) -> None:
    plain = objective(server).retrieve(QUESTION, {"top_k": 4})
    own = objective(server, reranker="own", components=table(RERANK, llm="judge"))
    found = own.retrieve(QUESTION)
    assert [(chunk.text, chunk.score) for chunk in found] == [(plain[2].text, 9.0), (plain[1].text, 4.0)]
    assert own.retrieve(QUESTION) == found
    assert [(request["model"], request["temperature"]) for request in server.requests] == [("judge", 0.0)]
    assert server.keys == {"Bearer none"}


def test_a_plan_and_a_search_know_of_the_model(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    own = objective(server, components=table(RERANK, llm="judge"))
    space = SearchSpace.from_dict({"reranker": [None, "own"]})
    assert own.models(space) == (set(), {"judge"})
    assert own.models(SearchSpace.from_dict({"reranker": [None]})) == (set(), set())
    own.prepare(space)
    keyed = RagObjective(
        "builtin:quickstart",
        "builtin:quickstart",
        models=judge(server, api_key_env="JUDGE_KEY"),
        components=table(RERANK, llm="judge"),
        retriever="bm25",
        metric="span_f4",
    )
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    with pytest.raises(ModelError, match="'judge' needs a key: set the environment variable JUDGE_KEY"):
        keyed.prepare(space)


@pytest.mark.parametrize(
    ("parameter", "path", "option"),
    [
        ("reranker", RERANK, "llm"),
        ("reranker", "llama_index.core.postprocessor.rankGPT_rerank.RankGPTRerank", "llm"),
        ("reranker", "llama_index.core.postprocessor.StructuredLLMRerank", "llm"),
        ("reranker", "llama_index.core.postprocessor.SentenceEmbeddingOptimizer", "embed_model"),
        ("reranker", "llama_index.core.postprocessor.EmbeddingRecencyPostprocessor", "embed_model"),
        ("splitter", "llama_index.core.node_parser.SemanticSplitterNodeParser", "embed_model"),
        ("splitter", "llama_index.core.node_parser.MarkdownElementNodeParser", "llm"),
        ("retriever", "llama_index.core.VectorStoreIndex", "embed_model"),
        ("retriever", "llama_index.core.retrievers.RouterRetriever", "llm"),
    ],
)
@pytest.mark.parametrize("options", [None, {}, {"llm": None, "embed_model": None}])
def test_a_part_of_llamaindex_gets_no_model_of_its_own_choice(
    server: Server, parameter: str, path: str, option: str, options: dict[str, Any] | None
) -> None:
    own = (
        {parameter: path}
        if options is None
        else {parameter: "own", "components": {"own": {"path": path, "options": options}}}
    )
    with pytest.raises(ConfigError, match=rf"takes a model as {option}.* write components: .*{path}.*{option}: MODEL"):
        objective(server, **own).prepare(SearchSpace.from_dict({}))
    assert server.requests == []


def test_a_class_that_is_handed_over_gets_none_either(server: Server) -> None:
    with pytest.raises(ConfigError, match="LLMRerank takes a model as llm, and none is named"):
        objective(server, reranker=LLMRerank).retrieve(QUESTION)
    made = LLMRerank(llm=models.llm(objective(server).specs(["judge"])[0]))
    assert len(objective(server, reranker=made).retrieve(QUESTION)) == 2


def test_a_splitter_gets_its_embedding_model() -> None:
    path = "llama_index.core.node_parser.SemanticSplitterNodeParser"
    found = stages.component_table(table(path, embed_model="wordllama", breakpoint_percentile_threshold=50), {})
    chunks = Pipeline(DOCUMENTS).chunks({"splitter": found["own"]})
    assert len(chunks) > len(DOCUMENTS)


def needs_both(llm: Any, embed_model: Any) -> Any:
    """A reranker of the user's own that is made with models."""
    assert isinstance(llm, MockLLM)
    assert np.shape(embed_model.get_text_embedding("text")) == (256,)
    return LLMRerank(llm=llm)


def test_components_of_the_users_own_get_models_too() -> None:
    options = {"llm": "copier", "embed_model": "wordllama"}
    specs = models.table_of({"copier": MockLLM()})
    own = stages.component_table(table(f"{__name__}.needs_both", **options), specs)["own"]
    stages.prepare({"reranker": own})
    assert [model.spec.name for model in stages.component_models({"reranker": own})] == ["copier", "wordllama"]


def key_of(**settings: Any) -> str:
    specs = models.table_of({"judge": {"model": "openai-like:judge", "base_url": "http://127.0.0.1:9/v1", **settings}})
    own: Component = stages.component_table(table(RERANK, llm="judge"), specs)["own"]
    assert identity(own) == identity(component("own", {"own": own}))
    return identity(own)


def test_the_model_is_a_part_of_the_key() -> None:
    assert key_of() == key_of(timeout=9.0)
    assert len({key_of(), key_of(max_tokens=9), key_of(base_url="http://127.0.0.1:8/v1"), key_of(version="2")}) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"llm": "jugde"}, r"components\.own\.options\.llm: unknown language model 'jugde'; did you mean 'judge'"),
        ({"llm": "extractive"}, "'extractive' is not a language model"),
        ({"embed_model": "minilmm"}, "unknown embedding model 'minilmm'; did you mean 'minilm'"),
        ({"embed_model": "default"}, "unknown embedding model 'default'"),
    ],
)
def test_a_model_that_there_is_not_is_refused(options: dict[str, Any], said: str) -> None:
    specs = models.table_of({"judge": {"model": "mock"}})
    with pytest.raises(ModelError, match=said):
        stages.component_table(table(RERANK, **options), specs)
