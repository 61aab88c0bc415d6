"""A first config: what documents and questions are there, and which space suits them."""

from __future__ import annotations

import bisect
import itertools
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from raytuner import datasets
from raytuner.datasets import QuestionSet
from raytuner.documents.document import Document
from raytuner.documents.formats import COLLECTIONS
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError
from raytuner.pipeline import parameters as stages
from raytuner.plan_objective import default_metric
from raytuner.rag import DEFAULT_METRIC
from raytuner.schema import HEADER, SCHEMA_FILE, schema_text

logger = logging.getLogger("raytuner")

PLACEHOLDER = "questions.jsonl"
EXAMPLE = (
    '{"question": "How many days of leave do I have?", "answer": "30 days.", '
    '"document": "handbook.md", "start_index": 26, "end_index": 73}'
)
SIZES = (16, 32, 64, 128, 256, 512, 1024)
MOST_SIZES = 4
BYTES_A_TOKEN = 4
"""A guess for cl100k: four letters of English, about one character of Chinese (three bytes)."""
MINILM_BYTES = 500_000
"""Beyond this, embedding the documents anew for each chunk size takes minutes with minilm, seconds with wordllama."""
WHY = {
    "span_f4": "every question has reference spans; recall counts 16 times",
    "ndcg": "every question names its documents, but not all have spans",
    "semantic_similarity": "the questions have answers, but not all name spans or documents",
}
"""Why `default_metric` takes a metric."""


@dataclass(frozen=True)
class Written:
    """What `init` has done.

    Attributes:
        config: The config that was written.
        found: What was found, a line each.
        advice: What to do next, a line each.
    """

    config: Path
    found: Sequence[str]
    advice: Sequence[str]


def init(documents: str, questions: str | None = None, out: Path = Path("rag.yaml"), *, force: bool = False) -> Written:
    """Write a first config for documents and questions, and the schema for editors beside it.

    Args:
        documents: A file, a folder, a glob or ``builtin:quickstart``.
        questions: A question set; without one the config names a file that is still to be written.
        out: The config.
        force: Whether a config that is there is replaced.

    Returns:
        What was found and written, and what to do next.

    Raises:
        ConfigError: There is such a file already, or it cannot be written.
        DataError: Documents or questions cannot be read.
    """
    if out.exists() and not force:
        raise ConfigError(f"{out}: this file is there already; name another by --out, or replace it by --force")
    texts = load_documents(documents, exclude=[] if questions is None else [questions])
    asked = _read(questions, texts) if questions is not None else None
    found = [_about_documents(texts), _about_questions(asked), *_about_misses(asked)]
    path = PLACEHOLDER if questions is None else _from(out, questions)
    text = _config(found, _Choices.of(texts, asked), _from(out, documents), _questions(path, asked))
    try:
        out.write_text(text, encoding="utf-8")
        (out.parent / SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}; name another file by --out") from None
    return Written(out, found, list(_advice(out, asked)))


def _read(path: str, documents: Sequence[Document]) -> QuestionSet:
    """The questions without what does not fit the documents; if nothing would be left, with what else they have."""
    try:
        return datasets.load(path, documents=documents, on_bad_span="drop")
    except DataError:
        return datasets.load(path, documents=documents)


@dataclass(frozen=True)
class _Choices:
    """What suits the documents and questions; each with the reason."""

    sizes: Sequence[int]
    why_sizes: str
    most_chunks: int
    embedding: str
    why_embedding: str
    english: bool
    metric: str | None
    why_metric: str

    @classmethod
    def of(cls, documents: Sequence[Document], questions: QuestionSet | None) -> _Choices:
        tokens = [_tokens(document) for document in documents]
        middle = _middle(tokens)
        metric = default_metric(questions) if questions is not None else None
        sizes = _sizes(middle, SIZES[-2] if metric == "span_f4" else SIZES[-1])
        large = sum(tokens) * BYTES_A_TOKEN > MINILM_BYTES
        return cls(
            sizes=sizes,
            why_sizes=f"tokens; half of the text is in documents of at least about {middle:,}",
            most_chunks=max(2, min(10, sum(tokens) // sizes[-1])),
            embedding="wordllama" if large else "minilm",
            why_embedding="fast; minilm is better and slower" if large else "built in; wordllama is faster",
            english=_is_latin(documents),
            metric=metric,
            why_metric="chosen by what the questions have" if metric is None else WHY.get(metric, ""),
        )


def _tokens(document: Document) -> int:
    return -(-len(document.text.encode()) // BYTES_A_TOKEN)


def _middle(tokens: Sequence[int]) -> int:
    """The length of the document with the middle of all text, which a few long ones beside many notes decide."""
    ordered = sorted(tokens)
    ends = list(itertools.accumulate(ordered))
    return ordered[bisect.bisect_left(ends, ends[-1] / 2)]


def _sizes(middle: int, largest: int) -> list[int]:
    """Chunk sizes of which none is larger than the documents that hold most of the text."""
    fitting = [size for size in SIZES if size <= min(middle, largest)]
    return fitting[-MOST_SIZES:] or [SIZES[0]]


def _is_latin(documents: Sequence[Document]) -> bool:
    """Whether most letters are Latin, by the beginnings of the documents."""
    letters = [letter for document in documents for letter in document.text[:2000] if letter.isalpha()]
    return sum(letter < "\u0250" for letter in letters) * 2 >= len(letters)


def _about_documents(documents: Sequence[Document]) -> str:
    suffixes = Counter(_kind(document) for document in documents)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in suffixes.most_common())
    lengths = sorted(_tokens(document) for document in documents)
    spread = f"about {lengths[0]:,}" + (f" to {lengths[-1]:,} tokens each" if len(lengths) > 1 else " tokens")
    return f"documents: {len(documents)} ({kinds}), {sum(len(d.text) for d in documents):,} characters, {spread}"


def _kind(document: Document) -> str:
    suffix = Path(document.source or document.id).suffix.lower()
    if suffix == ".json":
        return "paragraphs of a question set"
    if suffix in COLLECTIONS:
        return f"rows of {suffix}"
    return suffix if re.fullmatch(r"\.\w{1,8}", suffix) else "other"  # an id may be any text


def _about_questions(questions: QuestionSet | None) -> str:
    if questions is None:
        return "questions: none yet"
    counts = {
        "reference spans": sum(bool(question.references) for question in questions),
        "names of documents": sum(bool(question.documents) for question in questions),
        "answers": sum(question.answer is not None for question in questions),
    }
    having = ", ".join(f"{count} with {what}" for what, count in counts.items() if count) or "nothing but the questions"
    return f"questions: {len(questions)} ({having})"


def _about_misses(questions: QuestionSet | None) -> Iterator[str]:
    """What of the questions does not fit the documents."""
    if questions is None or not (questions.dropped or questions.missed):
        return
    yield (
        f"missed: {questions.missed} references that are nowhere in the documents, "
        f"{questions.dropped} spans that do not fit; {len(questions.lost)} questions have no other"
    )


def _questions(path: str, questions: QuestionSet | None) -> str:
    """What the config says of the questions; those that have lost their references would decide the metric."""
    if questions is None or not (questions.dropped or questions.missed):
        return _yaml(path)
    remark = "on_bad_span: drop leaves out references that are missed, and questions that have no other"
    kept = {question.id for question in questions}
    if kept.intersection(questions.lost):
        return f"{_yaml(path)}  # {remark}, here all of them"
    return f"{_yaml({'path': path, 'on_bad_span': 'drop'})}  # {remark}"


def _advice(out: Path, questions: QuestionSet | None) -> Iterator[str]:
    if questions is None:
        yield f"next: write questions into {out.parent / PLACEHOLDER}, one a line like this, then check the config:"
        yield f"  {EXAMPLE}"
    elif default_metric(questions) not in ("span_f4", "ndcg") and any(q.answer is None for q in questions):
        yield "next: give each question an answer, the name of its document or a span of it, then check the config:"
    else:
        yield "next: check what would be run:"
    yield f"  raytuner plan {out}"


def _from(out: Path, path: str) -> str:
    """A path as the config has to name it, whose relative paths are relative to itself."""
    named = Path(path).expanduser()
    if path.startswith("builtin:"):
        return path
    if not named.is_absolute():
        path = os.path.relpath(named.resolve(), out.resolve().parent)
    return path.replace("${", "$${")


def _yaml(value: Any) -> str:
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000)
        .removesuffix("...\n")
        .strip()
    )


def _config(found: Sequence[str], choices: _Choices, documents: str, questions: str) -> str:
    remarks = "".join(f"# {line}\n" for line in found)
    todo = f"  # to be written; one object a line: {EXAMPLE}" if choices.metric is None else ""
    return (
        f"{HEADER}{remarks}# Relative paths are relative to this file. `raytuner schema` knows every key.\n"
        f"documents: {_yaml(documents)}\n"
        f"questions: {questions}{todo}\n"
        "\npipeline:  # fixed; what is not named has its default\n"
        f"{''.join(_fixed(choices))}"
        "\nspace:  # tuned: a list of values, or a range\n"
        f"{''.join(_tuned(choices))}"
        "\nsearch:\n"
        "  name: auto  # learns from the trials before; grid tries everything\n"
        "  trials: 24  # configurations to try; the first is the default one\n"
        "\nobjective:\n"
        f"  metric: {_yaml(choices.metric)}  # {choices.why_metric}\n"
    )


def _fixed(choices: _Choices) -> Iterator[str]:
    yield f"  embedding: {choices.embedding}  # {choices.why_embedding}\n"
    if not choices.english:
        yield "  retriever: bm25  # the built-in embeddings know English; with another one, try vector and hybrid\n"
    if choices.metric in (None, DEFAULT_METRIC):  # the others ask for no answers
        yield "  llm: extractive  # no LLM: answers are sentences of what was retrieved; or e.g. openai:gpt-4o-mini\n"


def _tuned(choices: _Choices) -> Iterator[str]:
    defaults = stages.defaults()
    default = min(choices.sizes, key=lambda size: abs(size - defaults["chunk_size"]))
    yield f"  chunk_size: {{choice: {_yaml(list(choices.sizes))}, default: {default}}}  # {choices.why_sizes}\n"
    yield f"  chunk_overlap: {{choice: [0, 0.1, 0.25], default: {defaults['chunk_overlap']}}}  # of the chunk size\n"
    if choices.english:
        yield "  retriever: [vector, bm25, hybrid]  # by meaning, by words, by both\n"
        weight = "{float: [0.1, 0.9], step: 0.2, default: 0.5, when: {retriever: hybrid}}"
        yield f"  fusion_weight: {weight}  # the share of vector in hybrid\n"
    top_k = min(defaults["top_k"], choices.most_chunks)
    yield f"  top_k: {{int: [1, {choices.most_chunks}], default: {top_k}}}  # chunks for each question\n"
