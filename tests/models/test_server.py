"""smollm2 and its server: the same answers for all, one process, gone with its last user."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from raytuner import models
from raytuner.calls import calling
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.datasets import QuestionSet, load
from raytuner.documents.load import load_documents
from raytuner.errors import ModelError
from raytuner.models import server
from raytuner.models.spec import spec
from raytuner.rag import RagObjective
from raytuner.space import SearchSpace
from raytuner.values import FailedQuestion

pytestmark = pytest.mark.usefixtures("full_cache", "own_folder")

PROMPTS = [
    "What is the capital of Germany?",
    "Name a colour of the sky.",
    "What is 2 + 3?",
    "word " * 100 + "\nSummarise.",
]
USER = """
import sys
from raytuner.models import server
print(server.connect().base_url, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest.fixture
def own_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for the server of these tests, not that of the user."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))


def user() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def published() -> dict[str, object]:
    found: dict[str, object] = json.loads((server.private_folder() / server.ADDRESS).read_text())
    return found


def is_served() -> bool:
    return server.is_held(server.private_folder() / server.SERVER_LOCK)


def wait_for_the_end() -> None:
    until = time.monotonic() + 30
    while is_served():
        assert time.monotonic() < until
        time.sleep(0.2)


def test_the_folder_is_private(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = server.private_folder()
    assert found.is_relative_to(folder)
    assert found.stat().st_mode & 0o777 == found.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"raytuner-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(ModelError, match="is not a private folder of yours: remove it"):
        server.private_folder()
    (tmp_path / f"raytuner-{os.getuid()}").rmdir()
    (tmp_path / f"raytuner-{os.getuid()}").symlink_to(folder)
    with pytest.raises(ModelError, match="is not a private folder"):
        server.private_folder()


@pytest.mark.slow
def test_processes_share_a_server_that_ends_after_the_last() -> None:
    users = [user() for _ in range(3)]
    addresses = {address(process) for process in users}
    assert len(addresses) == 1
    users[0].send_signal(signal.SIGKILL)  # the one that may have started it
    users[1].communicate()
    time.sleep(7)
    assert is_served()
    late = user()
    assert address(late) in addresses
    for process in (users[2], late):
        process.send_signal(signal.SIGKILL)
        process.communicate()
    users[0].communicate()
    wait_for_the_end()
    assert not (server.private_folder() / server.ADDRESS).exists()


@pytest.mark.slow
def test_a_killed_server_is_started_again() -> None:
    first = user()
    address(first)
    before = published()
    os.kill(int(str(before["pid"])), signal.SIGKILL)
    wait_for_the_end()
    second = user()
    assert address(second)
    assert published()["key"] != before["key"]
    for process in (first, second):
        process.communicate()


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"no weights")
    other = tmp_path / "folder"
    other.mkdir()
    with pytest.raises(ModelError, match=r"the server of smollm2 did not start .*see .*server\.log"):
        server._start(other, str(broken))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_answers_are_the_same_in_any_order_and_from_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # which nobody is
    short = spec("short", {"short": {"model": "smollm2", "max_tokens": 16}})
    llm = models.llm(short)
    first = {prompt: llm.complete(prompt).text for prompt in PROMPTS}
    assert "Berlin" in first[PROMPTS[0]]
    assert len(set(first.values())) == len(PROMPTS)
    answers: list[tuple[str, str]] = []

    def ask(seed: int) -> None:
        own = models.llm(short)
        answers.extend((p, own.complete(p).text) for p in random.Random(seed).sample(PROMPTS, len(PROMPTS)))

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3 * len(PROMPTS)
    assert all(answer == first[prompt] for prompt, answer in answers)


@pytest.mark.slow
def test_only_the_user_may_ask() -> None:
    found = server.connect()
    assert found.base_url.startswith("http://127.0.0.1:")
    path = server.private_folder() / server.ADDRESS
    assert path.stat().st_mode & 0o777 == 0o600
    request = urllib.request.Request(
        f"{found.base_url}/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer none"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 401
    assert found.api_key not in repr(models.llm("smollm2"))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_server_by_its_url_answers_a_whole_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    found = server.connect()
    monkeypatch.setenv("SMOL", found.api_key)
    by_url = {"model": "openai-like:smollm2", "base_url": found.base_url, "api_key_env": "SMOL"}
    settings = {"context_window": 2048, "max_tokens": 16}
    documents = load_documents("builtin:quickstart")
    questions = load("builtin:quickstart", documents=documents)
    kept = sorted({reference.document for reference in questions.questions[0].references})
    kept = [*kept, *(document.id for document in documents if document.id not in kept)][:2]
    few = [q for q in questions if q.answer and {r.document for r in q.references} <= set(kept)][:2]
    objective = RagObjective(
        [document for document in documents if document.id in kept],
        QuestionSet(tuple(few[:2])),
        metric="token_f1",
        embedding="wordllama",
        models={"local": {**by_url, **settings}, "builtin": {"model": "smollm2", **settings}},
    )
    objective.prepare(SearchSpace.from_dict({"llm": ["local", "builtin", "extractive"]}))
    results = {llm: objective({"llm": llm, "top_k": 1, "chunk_size": 128}) for llm in ("local", "builtin")}
    assert len(results["local"].questions) == len(few) > 0
    assert 0 < results["local"].score < 1
    local, builtin = (
        {question: {name: value for name, value in row.items() if name != "latency"} for question, row in rows.items()}
        for rows in (results["local"].questions, results["builtin"].questions)
    )
    assert {question: {**row, "usd": 0.0} for question, row in local.items()} == builtin  # the same model, otherwise
    assert results["local"].params["llm"] == "local"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_answers_and_judges(empty_cache: Path) -> None:
    """So small a model is a bad judge: what it does not say in the form that is asked for fails a question, counted."""
    correctness = (
        "Rate the answer. The score is a whole number from 1 to 5. Examples:\n"
        "Question: 2+2? Right: 4. Answer: It is 4. Score: 5\n"
        "Question: Capital of France? Right: Paris. Answer: Rome. Score: 1\n"
        "Question: {query} Right: {reference_answer} Answer: {generated_answer} Score:"
    )
    faithfulness = "Text: {context_str}\n\nDoes the text say this: {query_str}\nAnswer with YES or NO only."
    ledger = Ledger()
    calling(LocalHandle(ledger))
    try:
        rag = RagObjective(
            "builtin:quickstart",
            QuestionSet(load("builtin:quickstart").questions[:6]),
            metric=["correctness", "faithfulness"],
            judge={"llm": "judge", "prompts": {"correctness": correctness, "faithfulness": faithfulness}},
            models={
                "small": {"model": "smollm2", "max_tokens": 30},
                "judge": {"model": "smollm2", "max_tokens": 150},
            },
            llm="small",
            retriever="bm25",
            max_failed_questions=0.99,
        )
        found = rag({"chunk_size": 128, "top_k": 1})
        rows, _ = ledger.take()
        again = rag({"chunk_size": 128, "top_k": 1})
        repeated, _ = ledger.take()
    finally:
        calling(None)
    assert [row["status"] for row in rows if row["stage"] == "answers"] == ["ok"] * 6
    judged = [row for row in rows if row["stage"] == "judge"]
    assert len(judged) == 12
    assert all(row["completion_tokens"] > 0 and not row["estimated"] for row in rows)
    scored = [row for row in found.questions.values() if not isinstance(row, FailedQuestion)]
    assert scored
    assert all(row["correctness"] in (0, 0.25, 0.5, 0.75, 1) and row["faithfulness"] in (0, 1) for row in scored)
    failed = [row.reason for row in found.questions.values() if isinstance(row, FailedQuestion)]
    assert len(scored) + len(failed) == 6
    assert all("metric correctness: " in reason or "metric faithfulness: " in reason for reason in failed)
    assert again.questions == found.questions
    assert {row["status"] for row in repeated} <= {"cut short"}, "what was said is kept, but for half judgements"
