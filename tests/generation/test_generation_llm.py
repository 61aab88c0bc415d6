"""Questions by an LLM: a real client against a real server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from raytuner import datasets
from raytuner.calls import calling
from raytuner.calls.budget import Budget
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.cli import cli
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError
from raytuner.generation import generate
from raytuner.generation.by_llm import drafted, knows
from raytuner.generation.draft import Draft, Place
from raytuner.generation.passages import Passage, passages
from raytuner.generation.review import read_review, review_text
from raytuner.models.spec import ModelSpec, spec
from raytuner.testing.openai_server import Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(90)

WORDS = [
    *("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "jetty"),
    *("kelp", "ledge", "marsh", "nook", "oasis", "pond", "quay", "ridge", "shoal", "tarn"),
]
TEXTS = {
    name: " ".join(
        f"The {name} {word} lies {at} miles from the lighthouse and is known for its {WORDS[at - 1]} in autumn."
        for at, word in enumerate(WORDS)
    )
    for name in ("north", "south", "west")
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(Behaviour(answer=writes)) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "docs" / f"{name}.txt").write_text(text)
    return tmp_path / "docs"


def writes(prompt: str) -> str:
    """As an LLM that writes questions from what it is shown, and knows nothing else."""
    if prompt.startswith("Answer in a few words"):
        return "unknown"
    if prompt.startswith("Does this text answer"):
        return "NO"
    shown = [part.split(". ")[0] + "." for part in prompt.split("Text:\n")[1:]]
    if prompt.startswith("Write one question that sounds as if"):
        return json.dumps({"question": f"Who painted {shown[0][4:20]}?", "answer": "", "quotes": []})
    found = {"question": f"Where is {' and '.join(one[4:24] for one in shown)}?", "answer": shown[0], "quotes": shown}
    return f"Here it is:\n```json\n{json.dumps(found)}\n```"


def llm(server: OpenAIServer, **settings: Any) -> ModelSpec:
    given = {"model": "openai-like:tiny", "base_url": server.base_url, "timeout": 2.0, "max_tokens": 100, **settings}
    return spec("tiny", {"tiny": given})


def documents() -> list[Document]:
    return [Document(f"{name}.txt", text) for name, text in TEXTS.items()]


def test_questions_with_verified_spans(server: OpenAIServer) -> None:
    made = generate(documents(), 4, llm(server), seed=3)
    assert len(made.drafts) == 4
    assert made.ended is None
    for draft in made.drafts:
        for place in draft.places:
            assert TEXTS[place.document.removesuffix(".txt")][place.start : place.end].startswith("The ")
    assert {draft.kind for draft in made.drafts} <= {"fact", "comparison", "unanswerable"}
    asked = len(server.requests)
    assert generate(documents(), 4, llm(server), seed=3).drafts == made.drafts
    assert len(server.requests) == asked, "what was said is kept"


def test_comparisons_quote_both_passages_and_some_cannot_be_answered(server: OpenAIServer) -> None:
    made = generate(documents(), 60, llm(server))
    assert made.ended == "all passages were asked about"
    kinds = Counter(draft.kind for draft in made.drafts)
    assert kinds["comparison"] >= 1
    for draft in made.drafts:
        assert len(draft.places) == {"fact": 1, "comparison": 2, "unanswerable": 0}[draft.kind]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("no idea", "without a question"),
        ('{"question": 7}', "without a question"),
        ('{"question": "Why?", "answer": " "}', "without an answer"),
        (
            '{"question": "Why?", "answer": "So.", "quotes": ["never written"]}',
            "with a quote that is not in the documents",
        ),
        ('{"question": "Why?", "answer": "So."}', "with a quote that is not in the documents"),
        (
            '{"question": "Why?", "answer": "So.", "quotes": ["first words", "never written"]}',
            "with a quote that is not",
        ),
    ],
)
def test_what_is_wrong_with_a_draft(said: str, why: str) -> None:
    source = Passage("d", 10, ((10, 30),), "The first\n words are here.", "")
    found = drafted("fact", said, [source])
    assert isinstance(found, str)
    assert found.startswith(why)


def test_a_quote_may_differ_in_white_space() -> None:
    source = Passage("d", 10, ((10, 30),), "The first\n words are here.", "")
    found = drafted("fact", '{"question": "Why?", "answer": "So.", "quotes": ["first words"]}', [source])
    assert not isinstance(found, str)
    assert [(place.start, place.end) for place in found.places] == [(14, 26)]
    other = Passage("d", 100, ((100, 130),), "Other words stand there.", "")
    both = drafted("comparison", '{"question": "Why?", "answer": "So.", "quotes": ["first words"]}', [source, other])
    assert both == "without a quote of one passage"


def test_what_the_llm_knows_by_itself_is_dropped(server: OpenAIServer) -> None:
    assert knows("It is the moon, I think.", "The moon")
    assert not knows("unknown", "The moon")
    assert not knows("the sun", "The moon of Jupiter that is largest")
    server.behaviour.answer = lambda prompt: (
        "the lighthouse, miles and autumn is known for its lies from the" if "few words" in prompt else writes(prompt)
    )
    made = generate(documents(), 3, llm(server))
    assert made.dropped["answered without the documents"] >= 3


def test_with_faults_the_questions_are_the_same(server: OpenAIServer) -> None:
    expected = generate(documents(), 5, llm(server), seed=1).drafts
    with OpenAIServer(Behaviour(share=0.3, answer=writes, hang_s=5)) as faulty:
        calling(LocalHandle(Ledger(max_outage_s=10)))
        try:
            assert generate(documents(), 5, llm(faulty), seed=1).drafts == expected
        finally:
            calling(None)


def test_a_budget_ends_it_and_it_goes_on_later(server: OpenAIServer) -> None:
    ledger = Ledger(Budget(llm_calls=6))
    calling(LocalHandle(ledger))
    try:
        made = generate(documents(), 5, llm(server), seed=1)
    finally:
        calling(None)
    assert made.ended == "the budget of 6 LLM calls is used up"
    assert len(server.requests) == 6
    assert len(generate(documents(), 5, llm(server), seed=1).drafts) == 5
    assert set(server.answered.values()) == {1}, "nothing is paid for twice"


def test_a_quote_that_stands_twice_keeps_its_place(tmp_path: Path) -> None:
    texts = {"d": "Tides rise. Cats sleep. Tides rise. Dogs bark."}
    drafts = [Draft("fact", "What do tides do?", "rise", (Place("d", 24, 35), Place("d", 36, 46)))]
    text = review_text(drafts, texts)
    assert text.count("start:") == 1
    folder = tmp_path
    (folder / "r.yaml").write_text(text)
    assert read_review(folder / "r.yaml", [Document("d", texts["d"])]) == drafts
    (folder / "r.yaml").write_text(text.replace("What do tides do?", "' '"))
    with pytest.raises(DataError, match="the question is blank"):
        read_review(folder / "r.yaml", [Document("d", texts["d"])])


def test_few_questions_take_few_calls(server: OpenAIServer) -> None:
    assert len(generate(documents(), 1, llm(server)).drafts) == 1
    assert len(server.requests) <= 4


def test_what_is_there_when_the_budget_ends_is_kept(server: OpenAIServer) -> None:
    calling(LocalHandle(Ledger(Budget(llm_calls=11))))
    try:
        made = generate(documents(), 12, llm(server, concurrency=1), seed=1)
    finally:
        calling(None)
    assert made.ended == "the budget of 11 LLM calls is used up"
    assert made.drafts
    assert not made.is_all


def test_a_question_that_another_passage_answers_is_not_unanswerable(server: OpenAIServer) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        if prompt.startswith("Does this text answer"):
            asked.append(prompt)
            return "**Yes**, it does."
        return writes(prompt)

    server.behaviour.answer = answer
    made = generate(documents(), 60, llm(server))
    assert made.dropped["the documents answer it"] == len(asked) > 0
    assert made.is_all
    assert max(prompt.count(". The ") for prompt in asked) > 8, "other passages are shown too"


# The command


def run(*args: str | Path) -> str:
    found = CliRunner().invoke(cli, ["generate", *map(str, args)], catch_exceptions=False, standalone_mode=False)
    return found.output


def test_without_an_llm_and_all_forms(folder: Path, tmp_path: Path) -> None:
    out = run(folder, "--n", "5", "--out", tmp_path / "q.jsonl", "--review", tmp_path / "r.yaml")
    assert "q.jsonl: 5 questions" in out
    found = datasets.load(tmp_path / "q.jsonl", documents=load_documents(folder))
    assert len(found) == 5
    assert all(question.references for question in found)
    run(folder, "--from-review", tmp_path / "r.yaml", "--out", tmp_path / "q2.json", "--to", "query-response")
    assert len(datasets.load(tmp_path / "q2.json")) == 5
    run(folder, "--from-review", tmp_path / "r.yaml", "--out", tmp_path / "q3.json")
    assert len(datasets.load(tmp_path / "q3.json", documents=load_documents(folder))) == 5


def test_in_batches(folder: Path, tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytuner.calls.batch.QUIET_S", 0.2)
    models = {"tiny": {"model": "openai-like:tiny", "base_url": server.base_url, "max_tokens": 100}}
    config = tmp_path / "models.yaml"
    config.write_text(yaml.safe_dump({"documents": "docs", "questions": "auto", "models": models}))
    asked = ("--llm", "tiny", "--config", config, "--n", "6")
    run(folder, *asked, "--batch", "--out", tmp_path / "b.jsonl")
    assert len(server.batches) == 2, "what is written, and what is asked of it"
    assert not set(server.answered.values()) - {1}
    run(folder, *asked, "--out", tmp_path / "q.jsonl")
    assert (tmp_path / "b.jsonl").read_text() == (tmp_path / "q.jsonl").read_text()


def test_by_an_llm_with_a_config(folder: Path, tmp_path: Path, server: OpenAIServer) -> None:
    models = {
        "tiny": {"model": "openai-like:tiny", "base_url": server.base_url, "max_tokens": 100, "price": {"input": 1}}
    }
    config = {"documents": str(folder), "questions": "auto", "space": {"top_k": [1, 2]}, "models": models}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    common = (folder, "--n", "3", "--llm", "tiny", "--config", tmp_path / "c.yaml", "--out", tmp_path / "q.jsonl")
    out = run(*common, "--usd", "1")
    assert "q.jsonl: 3 questions" in out
    with pytest.raises(DataError, match="the file exists"):
        run(*common)


@pytest.mark.parametrize(
    ("settings", "args", "words"),
    [
        ({}, ("--usd", "1"), "the price of tiny is not known"),
        ({"price": {"input": 1}, "max_tokens": None}, ("--usd", "1"), "needs the most tokens of an answer of tiny"),
        ({}, ("--tokens", "0"), "0 is not in the range"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(
    folder: Path, tmp_path: Path, server: OpenAIServer, settings: dict[str, Any], args: tuple[str, ...], words: str
) -> None:
    own = {"model": "openai-like:tiny", "base_url": server.base_url, "max_tokens": 100, **settings}
    own = {name: value for name, value in own.items() if value is not None}
    config = {"documents": str(folder), "questions": "auto", "space": {"top_k": [1]}, "models": {"tiny": own}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(Exception, match=words) as caught:
        run(folder, "--llm", "tiny", "--config", tmp_path / "c.yaml", "--out", tmp_path / "q.jsonl", *args)
    assert isinstance(caught.value, ConfigError) or "range" in words
    assert server.requests == []


# The review


def test_a_review_is_read_back_and_checked(tmp_path: Path) -> None:
    found = documents()
    drafts = generate_from(found)
    texts = {document.id: document.text for document in found}
    path = tmp_path / "r.yaml"
    path.write_text(review_text(drafts, texts))
    assert read_review(path, found) == drafts
    entries = yaml.safe_load(path.read_text())
    entries[0]["keep"] = False
    path.write_text(yaml.safe_dump(entries))
    assert read_review(path, found) == drafts[1:]
    for change, words in (
        ({"quotes": [{"document": "north.txt", "text": "never written"}]}, "question 2: a quote is not in 'north.txt'"),
        ({"quotes": [{"document": "east.txt", "text": "x"}]}, "there is no document 'east.txt'"),
        ({"quotes": []}, "question 2 has no quote"),
        ({"question": ""}, "question 2: question: "),
        ({"likes": 1}, "question 2: likes: "),
    ):
        path.write_text(yaml.safe_dump([entries[0], {**entries[1], **change}]))
        with pytest.raises(DataError, match=words):
            read_review(path, found)
    path.write_text("a: [")
    with pytest.raises(DataError, match="correct the file"):
        read_review(path, found)


def generate_from(found: list[Document]) -> Any:
    from raytuner.generation import extracted

    assert list(passages(found[0]))
    return extracted(found, 3)
