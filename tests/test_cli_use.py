"""The commands `raytuner export` and `raytuner ask`; `serve` is in tests/serving."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raytuner.cli import main
from raytuner.cli_parts import printable
from raytuner.testing.openai_server import Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(120)
BM25 = "pipeline: {retriever: bm25, chunk_size: 30, chunk_overlap: 0}\nspace: {top_k: [1, 2, 3]}\n"
OWN = "pipeline: {retriever: bm25, reranker: evil_parts.Reranker}\nspace: {top_k: [1]}\n"
TRIALS = [({"top_k": 1}, 0.2), ({"top_k": 2}, 0.9), ({"top_k": 3}, "ValueError: too many")]
MakeRun = Callable[..., Path]


Raytuner = Callable[..., tuple[int, str, str]]


@pytest.fixture
def raytuner(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Raytuner:
    """Runs the command line in this process: its exit code, what it prints to stdout and to stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raytuner", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(end.value.code or 0), said.out, said.err

    return run


def test_export_writes_a_config_that_plan_takes(make_run: MakeRun, raytuner: Raytuner, tmp_path: Path) -> None:
    run = make_run(BM25, TRIALS)
    code, out, _ = raytuner("export", run)
    assert code == 0
    assert "top_k: 2" in out
    assert raytuner("export", "rag", "--trial", "1", "--out", "best.yaml")[:2] == (0, "written: best.yaml\n")
    code, planned, _ = raytuner("plan", "best.yaml")
    assert code == 0
    assert "documents   2, " in planned
    assert "top_k: 1" in Path("best.yaml").read_text()
    code, _, said = raytuner("export", run, "--out", tmp_path / "best.yaml")
    assert (code, said) == (2, f"error: {tmp_path}/best.yaml: it is there already; name another file, or add --force\n")
    assert raytuner("export", run, "--out", tmp_path / "best.yaml", "--force")[0] == 0
    code, _, said = raytuner("export", run, "--out", tmp_path / "no" / "best.yaml")
    assert code == 2
    assert "No such file or directory" in said
    code, _, said = raytuner("export", run, "--trial", "3")
    assert (code, said) == (
        2,
        "error: trial 3 failed (ValueError: too many); choose one that `raytuner show` lists\n",
    )


def test_ask_answers_and_cites(make_run: MakeRun, raytuner: Raytuner) -> None:
    run = make_run(BM25, TRIALS)
    code, out, _ = raytuner("ask", run, "How many days of paid leave?")
    assert code == 0
    assert "30 days of paid leave" in out
    assert "1. leave.md, " in out
    assert out.splitlines()[-1].startswith("trial 2, ")
    assert out.splitlines()[-1].endswith(" s, 0.00 USD")
    code, out, _ = raytuner("ask", run, "How many days of paid leave?", "--json", "--trial", "1")
    found = json.loads(out)
    assert (found["trial"], found["usd"], len(found["sources"])) == (1, 0.0, 1)
    assert found["sources"][0]["citation"] == "leave.md"
    code, out, _ = raytuner("ask", run, "Xylophone?")
    assert out.startswith("(nothing was found for it)\n")


def test_ask_refuses_what_is_no_question(make_run: MakeRun, raytuner: Raytuner, tmp_path: Path) -> None:
    run = make_run(BM25, TRIALS)
    assert raytuner("ask", run, "")[::2] == (2, "error: the question is empty; ask something\n")
    code, _, said = raytuner("ask", run, "x" * 100_000)
    assert (code, said) == (2, "error: the question has 100,000 characters; ask in at most 10,000\n")
    code, _, said = raytuner("ask", tmp_path / "none", "Why?")
    assert code == 2
    assert "no such run" in said


def test_a_strangers_code_is_not_run_unasked(make_run: MakeRun, raytuner: Raytuner, tmp_path: Path) -> None:
    (tmp_path / "evil_parts.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    run = make_run(OWN, [({"top_k": 1}, 0.5)])
    named = "reranker evil_parts.Reranker, by dotted path, not imported"
    for words in (("ask", run, "Why?"), ("serve", run, "--port", "0")):
        code, _, said = raytuner(*words)
        assert code == 2
        assert said.endswith(f"names {named}; if you trust it, add --trust\n")
    code, _, said = raytuner("export", run, "--python", tmp_path / "pipeline.py")
    assert code == 0
    assert said == f"look at it before you use this: {named}\n"
    assert "from evil_parts import Reranker as own_reranker" in (tmp_path / "pipeline.py").read_text()
    assert not (tmp_path / "ran").exists()
    code, _, said = raytuner("ask", run, "Why?", "--trust")
    assert (tmp_path / "ran").exists()
    assert "evil_parts has no 'Reranker'" in said


def test_serve_refuses_what_it_lacks(make_run: MakeRun, raytuner: Raytuner, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(BM25, TRIALS)
    code, _, said = raytuner("serve", run, "--host", "0.0.0.0")
    assert (code, said) == (
        2,
        "error: --host 0.0.0.0: others could ask; name the variable of a key by --api-key-env\n",
    )
    code, _, said = raytuner("serve", run, "--api-key-env", "NOT_SET_KEY")
    assert code == 2
    assert "NOT_SET_KEY: the variable is not set" in said
    without = "pipeline: {retriever: bm25, llm: 'openai:gpt-4o-mini'}\nspace: {top_k: [1]}\n"
    code, _, said = raytuner("serve", make_run(without, [({"top_k": 1}, 0.5)]), "--port", "0")
    assert code == 2
    assert "needs a key: set the environment variable OPENAI_API_KEY" in said
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _, said = raytuner("serve", run)
    assert (code, said) == (2, 'error: raytuner serve needs fastapi: pip install "raytuner[serve]"\n')


def test_a_terminal_obeys_no_document() -> None:
    assert printable("a\x1b[31mb\x07\u202ec\td\n") == "a\ufffd[31mb\ufffd\ufffdc\td\n"


def test_export_writes_both_or_none(make_run: MakeRun, raytuner: Raytuner, tmp_path: Path) -> None:
    run = make_run(BM25, TRIALS)
    (tmp_path / "there.yaml").write_text("mine")
    for words, said in (
        (("--python", "a.py", "--out", "there.yaml"), "there.yaml: it is there already"),
        (("--python", "a.py", "--out", "no/b.yaml"), "no/b.yaml: No such file or directory"),
        (("--python", "a.py", "--out", "a.py"), "name the same file"),
        (("--out", "-"), "goes to stdout"),
        (("--python", "-"), "name a file"),
    ):
        code, _, err = raytuner("export", run, *words)
        assert code == 2
        assert said in err
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["questions.jsonl", "there.yaml"]
    code, _, err = raytuner("export", run, "--python", "a.py", "--out", "there.yaml", "--force")
    assert (code, "a.py" in {path.name for path in tmp_path.iterdir()}) == (0, True)


def test_all_that_a_config_names_is_said_before_it_is_written(make_run: MakeRun, raytuner: Raytuner) -> None:
    run = make_run(f"{BM25}objective: {{metric: evil_metrics.exact}}\n", TRIALS)
    named = "look at it before you use this: metric evil_metrics.exact, by dotted path, not imported\n"
    assert raytuner("export", run)[2] == named
    assert raytuner("export", run, "--out", "best.yaml")[2] == named
    assert raytuner("export", run, "--python", "a.py")[2] == ""


def test_a_question_that_looks_like_an_option(make_run: MakeRun, raytuner: Raytuner) -> None:
    run = make_run(BM25, TRIALS)
    code, _, said = raytuner("ask", run, "-why leave?")
    assert code == 2
    assert "raytuner ask RUN -- QUESTION" in said
    assert "leave.md" in raytuner("ask", run, "--", "-30 days of leave?")[1]


def test_an_empty_answer_is_called_so(make_run: MakeRun, raytuner: Raytuner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with OpenAIServer(Behaviour(answer=lambda _: " ")) as server:
        models = f"models: {{m: {{model: 'openai-like:m', base_url: '{server.base_url}'}}}}\n"
        run = make_run(models + BM25.replace("retriever: bm25", "retriever: bm25, llm: m"), TRIALS)
        code, out, _ = raytuner("ask", run, "How many days of paid leave?")
    assert code == 0
    assert out.startswith("(the answer is empty)\n\nSources:\n1. leave.md")
