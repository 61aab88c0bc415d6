"""The packaged quickstart corpus: enough text, and golden spans that match it."""

import json
from pathlib import Path
from typing import Any

import raytuner

FOLDER = Path(raytuner.__file__).parent / "data" / "quickstart"


def documents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.md"))}


def questions() -> list[dict[str, Any]]:
    lines = (FOLDER / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_corpus_size_and_encoding() -> None:
    contents = documents()
    assert sum(len(content) for content in contents.values()) >= 60_000
    for name, content in contents.items():
        assert content.decode("utf-8").strip(), name
        assert b"\r" not in content, name


def test_questions_are_complete_and_unique() -> None:
    items = questions()
    assert len(items) >= 40
    for key in ("id", "question"):
        assert len({item[key] for item in items}) == len(items)
    for item in items:
        assert item["question"].strip() and item["answer"].strip() and item["references"], item["id"]


def test_spans_match_the_documents() -> None:
    texts = {name: content.decode("utf-8") for name, content in documents().items()}
    for item in questions():
        for span in item["references"]:
            assert span["document"] in texts, item["id"]
            start, end = span["start_index"], span["end_index"]
            text = texts[span["document"]]
            assert 0 <= start < end <= len(text), item["id"]
            assert span["content"].strip() and span["content"] == text[start:end], item["id"]


def test_every_document_has_a_question() -> None:
    named = {span["document"] for item in questions() for span in item["references"]}
    assert named == set(documents())
