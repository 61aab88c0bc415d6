"""Exported scripts: they retrieve what raytuner retrieves, with LlamaIndex alone."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import raytuner
from raytuner.chosen import choose
from raytuner.errors import ConfigError
from raytuner.loaded import loaded
from raytuner.script import script_of
from raytuner.testing.openai_server import Behaviour, OpenAIServer

MakeRun = Callable[..., Path]
QUICKSTART = Path(raytuner.__file__).parent / "data" / "quickstart"
CHINESE = (
    "员工每年有三十天带薪休假。主管批准每一份申请！“出差乘火车，报销二等座。”酒店每晚最多一百二十欧元。\n\nＡＢＣ公司。"
    * 3
)
TEXTS = {
    **{path.name: path.read_text(encoding="utf-8")[:2500] for path in sorted(QUICKSTART.glob("*.md"))[:2]},
    "chinese.md": f"# 手册\n\n{CHINESE}\r\n\r\n## 其他\n\n{CHINESE}",
    "page.html": "<html><head><title>Stars</title></head><body><h1>Stars</h1><p>A star  is a <b>hot</b> ball &amp; hot."
    "<table><tr><td>Sun</td><td>near</td></tr></table><script>no()</script></body></html>",
    "repeats.txt": "The same line stands here.\n\n" * 40,
}
QUESTIONS = ["What is a star?", "有几天休假？", "Where does the same line stand?", "Who wrote the first program?"]
SPLITTERS = ("sentence", "token", "markdown", "recursive", "sentence_window", "semantic", "whole")
SIZES = {"chunk_size": 60, "top_k": 4}

PARTS = """
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore

class Shortest(BaseNodePostprocessor):
    least: int = 0

    def _postprocess_nodes(self, nodes, query_bundle=None):
        kept = [node for node in nodes if len(node.text) >= self.least]
        kept.sort(key=lambda one: len(one.text))
        return [NodeWithScore(node=one.node, score=-len(one.text)) for one in kept]

class Last(BaseRetriever):
    def __init__(self, nodes, similarity_top_k):
        self.found = nodes[::-1][:similarity_top_k]
        super().__init__()

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=node, score=1.0) for node in self.found]
"""


def script(make_run: MakeRun, documents: dict[str, str] | None = None, **config: Any) -> tuple[str, Any]:
    """The script of a pipeline, and the pipeline itself."""
    run = make_run(yaml.safe_dump({**config, "space": {"bm25_b": [0.75]}}), [({}, 1.0)], documents or TEXTS)
    chosen = choose(run)
    return script_of(chosen), chosen


def module_of(text: str) -> ModuleType:
    assert not [name for name in imported(text) if name.startswith("raytuner")]
    module = ModuleType("exported_pipeline")
    sys.modules["exported_pipeline"] = module  # where annotations are looked up
    exec(compile(text, "exported_pipeline.py", "exec"), module.__dict__)
    return module


def imported(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def found_by(module: ModuleType, docs: Path) -> list[list[list[Any]]]:
    from llama_index.core.schema import QueryBundle

    engine = module.build([str(docs)])
    return [
        [[one.metadata["document"], one.text, one.score] for one in engine.retrieve(QueryBundle(question))]
        for question in QUESTIONS
    ]


def expected_of(chosen: Any) -> list[list[list[Any]]]:
    pipeline = loaded(chosen)
    return [[[one.document, one.text, one.score] for one in pipeline.retrieve(question)] for question in QUESTIONS]


def assert_same(found: list[list[list[Any]]], expected: list[list[list[Any]]]) -> None:
    assert [[one[:2] for one in ones] for ones in found] == [[one[:2] for one in ones] for ones in expected]
    for ones, others in zip(found, expected, strict=True):
        assert [one[2] for one in ones] == pytest.approx([other[2] for other in others], abs=2e-6)
    assert any(expected), "something is retrieved"


@pytest.mark.parametrize("splitter", [name for name in SPLITTERS if name != "semantic"])
@pytest.mark.parametrize("overlap", [0, 0.3])
def test_each_splitter_cuts_and_bm25_ranks_the_same(make_run: MakeRun, splitter: str, overlap: float) -> None:
    pipeline = {"retriever": "bm25", "splitter": splitter, "chunk_overlap": overlap, **SIZES}
    text, chosen = script(make_run, pipeline=pipeline)
    assert_same(found_by(module_of(text), chosen.folder.parent.parent / "docs"), expected_of(chosen))


@pytest.mark.parametrize(
    "pipeline",
    [
        {"bm25_k1": 0.9, "bm25_b": 0.2, "similarity_cutoff": 1.5, "top_k": 20},
        {"splitter": "sentence_window", "window_size": 1, "reranker": "parts", "rerank_depth": 9, "top_k": 5},
        {"splitter": "llama_index.core.node_parser.SentenceSplitter", "chunk_overlap": 10},
        {"retriever": "exported_parts.Last", "reranker": "parts", "rerank_depth": 7, "top_k": 3},
    ],
)
def test_cuts_rerankers_and_parts_of_ones_own(
    make_run: MakeRun, tmp_path: Path, pipeline: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exported_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "exported_parts", raising=False)
    parts = {"parts": {"path": "exported_parts.Shortest", "options": {"least": 20}}}
    text, chosen = script(make_run, pipeline={"retriever": "bm25", **SIZES, **pipeline}, components=parts)
    assert_same(found_by(module_of(text), chosen.folder.parent.parent / "docs"), expected_of(chosen))


def test_word_and_pdf_are_read_the_same(make_run: MakeRun, tmp_path: Path) -> None:
    import docx
    from reportlab.pdfgen.canvas import Canvas

    _, chosen = script(make_run, pipeline={"retriever": "bm25", **SIZES})
    docs = tmp_path / "docs"
    word = docx.Document()
    word.add_paragraph("A star is a hot ball.")
    word.add_table(1, 2).cell(0, 1).text = "A planet is none."
    word.save(str(docs / "word.docx"))
    canvas = Canvas(str(docs / "two.pdf"))
    for line in ("What is a comet?", "A star of ice."):
        canvas.drawString(100, 700, line)
        canvas.showPage()
    canvas.save()
    text = script_of(chosen)
    found = found_by(module_of(text), docs)
    assert_same(found, expected_of(chosen))
    assert {"word.docx", "two.pdf"} <= {one[0] for ones in found for one in ones}


def test_what_cannot_be_exported_is_refused(make_run: MakeRun) -> None:
    with pytest.raises(ConfigError, match="llm mock repeats words"):
        script(make_run, pipeline={"retriever": "bm25", "llm": "mock"})
    with pytest.raises(ConfigError, match=r"documents of \.csv files cannot be exported"):
        script(make_run, {"a.csv": "id,text\n1,A star.\n"}, pipeline={"retriever": "bm25"})


def test_what_a_run_names_is_data_in_the_script_and_no_code(make_run: MakeRun) -> None:
    evil = '"""\nimport os\nos.abort()\n# {context_str} {query_str}'
    models = {"m": {"model": 'openai-like:x", y=os.abort(), z="', "base_url": "http://127.0.0.1:9/v1"}}
    text, _ = script(make_run, pipeline={"retriever": "bm25", "llm": "m", "prompt": evil}, models=models)
    tree = ast.parse(text)
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "os.abort" not in calls
    assert evil in [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    part = {"part": {"path": "own.Part", "options": {"x": "'''\"\n", "y": [1, None, True]}}}
    text, chosen = script(make_run, pipeline={"retriever": "bm25", "reranker": "part"}, components=part)
    assert "from own import Part as own_reranker" in text, "it is imported by the script, and was not to write it"
    with pytest.raises(ConfigError, match="no dotted path that can be imported"):
        script(make_run, pipeline={"retriever": "own.class"})
    odd = chosen.folder.rename(chosen.folder.parent / 'x""" + str(print(1)) + """-20260101-000000')
    ast.parse(script_of(choose(odd)))
    assert 'x"""' not in script_of(choose(odd))


def test_keys_come_from_the_environment(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-in-a-file-0123456789")
    pipeline = {"embedding": "openai:text-embedding-3-small", "llm": "openai:gpt-4o-mini", "temperature": 0.5}
    text, _ = script(make_run, pipeline=pipeline)
    assert "sk-never" not in text
    assert text.count('os.environ["OPENAI_API_KEY"]') == 2
    assert 'OpenAI(model="gpt-4o-mini", temperature=0.5' in text
    assert "minilm" not in text.lower()
    assert re.search(r'^#   "llama-index-llms-openai==[\d.]+",$', text, re.MULTILINE)


def test_texts_of_a_run_are_left_as_they_are(make_run: MakeRun) -> None:
    prompt = "Say:  # type: ignore[what]\n{context_str}  # type: ignore\n{query_str}"
    pipeline = {"retriever": "bm25", "llm": "openai:gpt-4o-mini", "prompt": prompt}
    text, _ = script(make_run, pipeline=pipeline)
    values = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert prompt in values
    assert text.count("# type: ignore") == 2, "of the prompt alone"


def test_each_model_of_ones_own_has_a_name(make_run: MakeRun) -> None:
    parts = {"part": {"path": "own.Part", "options": {"llm": "own.First"}}}
    text, _ = script(
        make_run, pipeline={"retriever": "bm25", "reranker": "part", "llm": "own.Second"}, components=parts
    )
    assert "First as own_llm, " in text
    assert "Second as own_llm_2" in text
    assert '"llm": own_llm if' in text
    assert "llm=own_llm_2 if isinstance(own_llm_2, LLM) else own_llm_2()" in text
    same, _ = script(make_run, pipeline={"retriever": "bm25", "reranker": "part", "llm": "own.First"}, components=parts)
    assert "own_llm_2" not in same


@pytest.mark.parametrize(
    "path", ["__future__.annotations", "raytuner.pipeline.standalone.made.made", "raytuner.pipeline.standalone.x"]
)
def test_parts_that_a_script_cannot_import_are_refused(make_run: MakeRun, path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be exported as code"):
        script(make_run, pipeline={"retriever": "bm25", "reranker": path})


def test_options_that_python_cannot_pass_are_refused(make_run: MakeRun) -> None:
    models = {"m": {"model": "own.Llm", "options": {"class": 1}}}
    with pytest.raises(ConfigError, match="'class' is no name that Python can pass"):
        script(make_run, pipeline={"retriever": "bm25", "llm": "m"}, models=models)


@pytest.mark.parametrize("variable", ["OPENAI_BASE_URL", "OPENAI_API_BASE"])
def test_openais_models_are_where_the_environment_says(
    make_run: MakeRun, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-in-a-file-0123456789")
    text, _ = script(make_run, pipeline={"embedding": "openai:text-embedding-3-small", "llm": "openai:gpt-4o-mini"})
    module = module_of(text)
    assert module.embed_model().api_base == "https://api.openai.com/v1"
    monkeypatch.setenv(variable, "http://127.0.0.1:9/v1")
    assert module.make_synthesizer()._llm.api_base == "http://127.0.0.1:9/v1"


def test_odd_pages_and_folders_are_read_the_same(
    make_run: MakeRun, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, chosen = script(make_run, pipeline={"retriever": "bm25", **SIZES})
    docs = tmp_path / "docs"
    for charset, encoding in (("latin1", "cp1252"), ("ISO_8859-1", "cp1252"), ("utf-16", "utf-8"), ("utf8", "utf-8")):
        page = f'<meta charset="{charset}"><title>T</title><p>A star \u2013 with a café.'
        (docs / f"{charset}.html").write_bytes(page.encode(encoding))
    (docs / "empty.html").write_text("<title>What is a star?</title><script>1</script>")
    (docs / "folder.md").mkdir()
    (docs / "dangling.md").symlink_to(docs / "nowhere")
    module = module_of(script_of(chosen))
    (docs / "table.xyz").write_text("A star.")
    found = found_by(module, docs)
    assert caplog.text.count("reads no such files") == 1
    assert_same(found, expected_of(chosen))
    assert "utf-16.html" in {one[0] for ones in found for one in ones}


# In an environment that has what the scripts ask for, and no raytuner

CASES: dict[str, dict[str, Any]] = {
    **{f"{s} {r}": {"splitter": s, "retriever": r} for s in SPLITTERS for r in ("vector", "bm25", "hybrid")},
    "weighted": {"retriever": "hybrid", "fusion": "weighted", "fusion_weight": 0.3, "fusion_depth": 12},
    "only vectors": {"retriever": "hybrid", "fusion_weight": 1.0},
    "wordllama": {"embedding": "wordllama", "retriever": "hybrid"},
    "wordllama semantic": {"embedding": "wordllama", "splitter": "semantic", "breakpoint_percentile": 80},
    "truncated": {"splitter": "whole", "long_text": "truncate"},
    "cut": {"similarity_cutoff": 0.35, "top_k": 9, "answer_tokens": 30},
    "reranked": {"retriever": "hybrid", "reranker": "parts", "rerank_depth": 8},
    **{f"llm {mode}": {"llm": "tiny", "response_mode": mode} for mode in ("compact", "refine", "tree_summarize")},
    "prompt": {"llm": "tiny", "prompt": "Say:\n{query_str}\n---\n{context_str}", "temperature": 0.7},
}
DRIVER = """
import importlib.util, json, sys

from llama_index.core.schema import QueryBundle

assert importlib.util.find_spec("raytuner") is None
docs, questions, *paths = sys.argv[1:]
for path in paths:
    spec = importlib.util.spec_from_file_location("pipeline", path)
    module = sys.modules["pipeline"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    engine, found, answers = module.build([docs]), [], []
    for question in json.loads(questions):
        nodes = engine.retrieve(QueryBundle(question))
        found.append([[one.metadata["document"], one.text, one.score] for one in nodes])
        answers.append(str(engine.synthesize(QueryBundle(question), nodes)) if nodes else "")
    print(json.dumps([found, answers]), flush=True)
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[OpenAIServer]:
    with OpenAIServer(Behaviour(answer=lambda prompt: " ".join(prompt.split())[-3000:])) as server:
        yield server


def fresh_environment(folder: Path, texts: list[str]) -> Path:
    """A Python with what the scripts say that they need."""
    needed = sorted({one for text in texts for one in re.findall(r'^#   "(.+)",$', text, re.MULTILINE)})
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    installer = [uv, "pip", "install", "--python", str(python)] if uv else [str(python), "-m", "pip", "install"]
    subprocess.run([*installer, "-q", *needed], check=True)
    return python


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_without_raytuner_chunks_scores_and_answers_are_the_same(
    make_run: MakeRun, tmp_path: Path, upstream: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "exported_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(scripts))
    shared = {
        "models": {"tiny": {"model": "openai-like:tiny", "base_url": upstream.base_url, "context_window": 1500}},
        "components": {"parts": {"path": "exported_parts.Shortest", "options": {"least": 20}}},
    }
    chosen = {name: script(make_run, pipeline={**SIZES, **own}, **shared) for name, own in CASES.items()}
    paths = []
    for number, (text, _) in enumerate(chosen.values()):
        paths.append(scripts / f"script{number}.py")
        paths[-1].write_text(text, encoding="utf-8")
    python = fresh_environment(tmp_path / "fresh", [text for text, _ in chosen.values()])
    (scripts / "driver.py").write_text(DRIVER)
    command = [str(python), "driver.py", str(tmp_path / "docs"), json.dumps(QUESTIONS), *map(str, paths)]
    done = subprocess.run(command, cwd=scripts, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for (name, (_, one)), line in zip(chosen.items(), done.stdout.splitlines(), strict=True):
        found, answers = json.loads(line)
        try:
            assert_same(found, expected_of(one))
            pipeline = loaded(one)
            assert answers == [pipeline.ask(question).text for question in QUESTIONS]
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
