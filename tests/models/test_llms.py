from __future__ import annotations

import json
import pickle
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raytuner import models
from raytuner.errors import ModelError

SECRET = "sk-test-0123456789abcdef"
QA = "Context information is below.\n---------------------\n{}\n---------------------\nQuery: {}\nAnswer: "

IMPORTS = """
import sys
import raytuner.models as models
from raytuner.models import weights
models.required(["minilm", "openai:e"], ["mock", "openai:m"])
models.embedding_identity("minilm", "windows"), models.llm_identity("openai:m"), weights.status()
print(*{name.partition(".")[0] for name in sys.modules})
"""


def words(count):
    return " ".join(f"w{i}" for i in range(count))


class Service(BaseHTTPRequestHandler):
    """The two routes of an OpenAI-style service that are used."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers["Authorization"], body))
        if self.path == "/v1/embeddings":
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"object": "embedding", "index": i, "embedding": [len(t), 1.0]} for i, t in enumerate(texts)]
            answer = {"object": "list", "model": body["model"], "data": data}
        else:
            message = {"role": "assistant", "content": "an answer"}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            kind = "chat.completion"
            answer = {"id": "1", "object": kind, "created": 0, "model": body["model"], "choices": [choice]}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def service(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.requests = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    yield server
    server.shutdown()
    server.server_close()


def test_mock_takes_60_words_at_even_steps():
    answer = models.llm("mock").complete(QA.format(words(120), "why?")).text.split()
    assert answer == [f"w{i}" for i in range(0, 120, 2)]


@pytest.mark.parametrize("count", [61, 100, 1000])
def test_mock_answers_depend_on_the_length_of_the_context(count):
    llm = models.llm("mock")
    answer = llm.complete(QA.format(words(count), "why?")).text.split()
    assert len(answer) == len(set(answer)) == 60
    assert answer != llm.complete(QA.format(words(count * 2), "why?")).text.split()
    assert answer == llm.complete(QA.format(words(count), "another question?")).text.split()


def test_mock_gives_back_a_short_context_whole():
    assert models.llm("mock").complete(QA.format("only\nthree  words", "why?")).text == "only three words"


def test_mock_keeps_rules_inside_the_context():
    context = "before\n---------\nafter"
    assert models.llm("mock").complete(QA.format(context, "why?")).text == "before --------- after"


def test_mock_without_dashed_lines_takes_the_whole_prompt():
    assert models.llm("mock").complete("no -------- line").text == "no -------- line"


def test_mock_streams_and_chats_the_same_answer():
    from llama_index.core.llms import ChatMessage

    llm, prompt = models.llm("mock", temperature=0.7), QA.format(words(90), "why?")
    text = llm.complete(prompt).text
    parts = list(llm.stream_complete(prompt))
    assert parts[-1].text == text == "".join(part.delta for part in parts)
    assert llm.chat([ChatMessage(role="user", content=prompt)]).message.content == text


def test_mock_pickles_and_never_cuts_a_prompt():
    llm = pickle.loads(pickle.dumps(models.llm("mock")))
    assert llm.complete(words(3)).text == words(3)
    assert llm.metadata.context_window == 1_000_000


def test_mock_works_in_a_response_synthesizer():
    from llama_index.core import get_response_synthesizer
    from llama_index.core.schema import NodeWithScore, TextNode

    nodes = [NodeWithScore(node=TextNode(text=words(40)), score=1.0)] * 3
    synthesizer = get_response_synthesizer(llm=models.llm("mock"), response_mode="compact")
    assert str(synthesizer.synthesize("why?", nodes)).split() == (words(40).split() * 3)[::2]


@pytest.mark.parametrize("name", ["gpt-4o-mini", "my/own-model:7b"])
def test_any_model_name_works(service, name):
    llm, embedding = models.llm(f"openai:{name}"), models.embedding(f"openai:{name}")
    assert llm.complete("question").text == "an answer"
    assert embedding.get_text_embedding_batch(["a", "bb"]) == [[1, 1], [2, 1]]
    assert embedding.get_query_embedding("ccc") == [3, 1]
    assert llm.metadata.is_chat_model
    assert llm.metadata.context_window == 128_000
    paths, keys, bodies = zip(*service.requests, strict=True)
    assert paths == ("/v1/chat/completions", "/v1/embeddings", "/v1/embeddings")
    assert set(keys) == {f"Bearer {SECRET}"}
    assert {body["model"] for body in bodies} == {name}
    assert bodies[0]["temperature"] == 0


def test_async_requests_carry_the_key(service):
    import asyncio

    assert asyncio.run(models.llm("openai:m").acomplete("question")).text == "an answer"
    assert asyncio.run(models.embedding("openai:e").aget_query_embedding("bb")) == [2, 1]
    assert [key for _, key, _ in service.requests] == [f"Bearer {SECRET}"] * 2


def test_the_temperature_is_sent_and_survives_a_pickle(service):
    llm = pickle.loads(pickle.dumps(models.llm("openai:m", temperature=0.5)))
    llm.complete("question")
    assert service.requests[0][2]["temperature"] == 0.5


def test_the_key_is_nowhere_in_the_objects(service):
    llm, embedding = models.llm("openai:m"), models.embedding("openai:e")
    llm.complete("question")
    embedding.get_query_embedding("text")
    for model in (llm, embedding):
        assert SECRET.encode() not in pickle.dumps(model)
        assert SECRET not in repr(model) + str(model) + json.dumps(model.to_dict(), default=str)


def test_the_key_is_read_again_after_a_pickle(service, monkeypatch):
    data = [pickle.dumps(models.llm("openai:m")), pickle.dumps(models.embedding("openai:e"))]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    llm, embedding = map(pickle.loads, data)
    llm.complete("question")
    embedding.get_query_embedding("text")
    assert [key for _, key, _ in service.requests] == ["Bearer sk-another"] * 2
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        pickle.loads(data[0]).complete("question")


def test_a_missing_key_is_named():
    for make in (models.llm, models.embedding):
        with pytest.raises(ModelError, match="'openai:m' needs a key: set the environment variable OPENAI_API_KEY"):
            make("openai:m")


def test_wrong_names_and_options_are_refused(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with pytest.raises(ModelError, match="'extractive' is not a language model"):
        models.llm("extractive")
    with pytest.raises(ModelError, match="did you mean 'mock'"):
        models.llm("mok")
    with pytest.raises(ModelError, match="unknown language model 'openai:'"):
        models.llm("openai:")
    with pytest.raises(ModelError, match=r"unknown option 'temprature' .* did you mean 'temperature'"):
        models.llm("mock", temprature=0)
    for value in (3, -1, "hot", True, float("nan")):
        with pytest.raises(ModelError, match="must be a number from 0 to 2"):
            models.llm("openai:m", temperature=value)


def test_identities_hold_the_address_without_credentials(monkeypatch):
    assert models.llm_identity("openai:m") == "openai:m@https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_API_BASE", "http://old:1/v1/")
    assert models.llm_identity("openai:m") == "openai:m@http://old:1/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:s3cret@new:2/v1?token=s3cret")
    assert models.embedding_identity("openai:e", "windows") == "openai:e@http://new:2/v1"
    assert models.llm_identity("mock") == "mock/v1"


def test_importing_is_light():
    run = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "raytuner" in loaded
    assert not loaded & {"llama_index", "onnxruntime", "tokenizers", "safetensors", "numpy", "openai", "ray"}
