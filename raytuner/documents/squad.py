"""SQuAD's JSON: articles whose paragraphs are documents, with questions about each.

The form is that of https://rajpurkar.github.io/SQuAD-explorer/, versions 1.1 and 2.0.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raytuner.documents.document import Document
from raytuner.documents.text import NotDocumentsError, decode, read_bytes


def is_squad(value: object) -> bool:
    """Whether a JSON value has SQuAD's form: articles in ``data``, each with a list of ``paragraphs``."""
    articles = value.get("data") if isinstance(value, dict) else None
    return isinstance(articles, list) and bool(articles) and all(map(_is_article, articles))


def squad_paragraphs(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The paragraphs of a SQuAD file with their names in it.

    Args:
        data: The file's content, for which `is_squad` holds.

    Yields:
        The name, ``title/number``, and the paragraph. The number counts the paragraphs of all articles of that title
        from 0; an article without a title is named ``article``.
    """
    numbers: Counter[str] = Counter()
    for article in data["data"]:
        title = str(article.get("title") or "article")
        for paragraph in article["paragraphs"]:
            yield f"{title}/{numbers[title]}", paragraph
            numbers[title] += 1


def _is_article(article: object) -> bool:
    paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
    return isinstance(paragraphs, list) and all(
        isinstance(paragraph, dict) and isinstance(paragraph.get("context"), str) for paragraph in paragraphs
    )


def read_squad(path: Path, name: str, encoding: str) -> list[Document]:
    """One document for each paragraph, with the id ``file#title/number``: other files may have the same titles.

    Raises:
        NotDocumentsError: It is JSON of another form.
        DataError: It cannot be read.
    """
    text = decode(path, read_bytes(path), encoding)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise NotDocumentsError(f"{path}: malformed JSON: {error}") from None
    if not is_squad(value):
        raise NotDocumentsError(
            f"{path}: JSON of no known form; documents in JSON are a SQuAD file (`data`, `paragraphs`), or JSON lines "
            "in a .jsonl file; a question set belongs under `questions`"
        )
    return [Document(f"{name}#{own}", paragraph["context"], str(path)) for own, paragraph in squad_paragraphs(value)]


def is_squad_file(path: Path) -> bool:
    """Whether a file holds JSON of SQuAD's form."""
    try:
        return path.suffix.lower() == ".json" and is_squad(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return False
