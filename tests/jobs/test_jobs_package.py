"""What is packed for a cluster, and what never is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import yaml

from raytuner.config import TuneConfig
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError, RaytunerError
from raytuner.jobs.order import Order
from raytuner.jobs.package import Package, pack

ORDER = Order("raytuner-x", "0.1.0", "3.11", ["numpy>=1"], ["A_KEY"], None)
BUILTIN = "documents: builtin:quickstart\nquestions: builtin:quickstart\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with documents, questions and modules, and with much that no config names."""
    files = {
        "docs/handbook.md": "# Handbook\n\nEach employee has 30 days of paid leave a year.\n",
        "docs/more/travel.txt": "Trips are approved by the team lead.",
        "docs/.hidden.md": "not to be packed",
        "docs/.git/config.txt": "not to be packed",
        "docs/.env": "A_KEY=not-to-be-packed",
        "docs/photo.raw": "not a document",
        "questions.jsonl": '{"question": "How many days?", "answer": "30", "document": "handbook.md"}\n',
        ".env": "A_KEY=not-to-be-packed",
        "parts.py": "import helpers\nfrom kit.tools import tool\nimport json\n",
        "helpers.py": "import os\n",
        "kit/__init__.py": "",
        "kit/tools.py": "import deep\ntool = 1\n",
        "kit/words.txt": "data of the package",
        "kit/__pycache__/tools.pyc": "compiled",
        "deep.py": "",
        "unused.py": "",
        "elsewhere/notes.md": "not to be packed",
    }
    folder = tmp_path / "project"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def packed(folder: Path, text: str, name: str = "rag.yaml", **options: float) -> Package:
    (folder / name).write_text(text, encoding="utf-8")
    return pack(TuneConfig.load(folder / name), ORDER, **options)


def unpacked(package: Package, folder: Path) -> Path:
    """The package as a job finds it."""
    with zipfile.ZipFile(package.write(folder / "package.zip")) as archive:
        archive.extractall(folder / "there")
    return folder / "there"


def test_a_package_holds_what_the_config_names_and_no_more(project: Path) -> None:
    package = packed(project, "documents: docs\nquestions: questions.jsonl\n")
    assert set(package.content) == {
        "config.yaml",
        "job.json",
        "job-files/docs/handbook.md",
        "job-files/docs/more/travel.txt",
        "job-files/questions.jsonl",
    }


@pytest.mark.parametrize(
    "documents",
    ["docs", "docs/handbook.md", "docs/**/*.txt", "[docs/handbook.md, docs/more]", ".", "docs/../docs/*"],
)
def test_documents_have_the_same_names_in_the_package(project: Path, documents: str, tmp_path: Path) -> None:
    text = f"documents: {documents}\nquestions: questions.jsonl\n"
    there = unpacked(packed(project, text), tmp_path)
    before, after = texts(project / "rag.yaml"), texts(there / "config.yaml")
    assert before
    assert after == before
    assert str(project) not in (there / "config.yaml").read_text()


def texts(path: Path) -> dict[str, str]:
    """The texts of a config's documents by their names."""
    config = TuneConfig.load(path)
    assert config.documents is not None
    assert config.questions is not None
    found = load_documents(config.documents.paths, exclude=config.questions.paths)
    return {document.id: document.text for document in found}


def test_documents_far_apart_keep_the_paths_that_tell_them_apart(project: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (project / name).mkdir()
        (project / name / "same.md").write_text(f"text {name}")
    (project / "config").mkdir()
    text = "documents: [../a/same.md, ../b/same.md]\nquestions: ../questions.jsonl\n"
    config = TuneConfig.load(unpacked(packed(project, text, "config/rag.yaml"), tmp_path) / "config.yaml")
    assert config.documents is not None
    assert {entry.id for entry in load_documents(config.documents.paths)} == {"a/same.md", "b/same.md"}


def test_a_collection_goes_with_its_questions(project: Path) -> None:
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        (project / "beir" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "beir" / name).write_text("{}")
    package = packed(project, "documents: beir\nquestions: beir\n")
    data = {name for name in package.content if name.startswith("job-files")}
    assert data == {f"job-files/beir/{name}" for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")}


def test_own_modules_lie_beside_the_config_with_what_they_import(project: Path, tmp_path: Path) -> None:
    text = (
        "documents: docs\nquestions: questions.jsonl\npipeline: {reranker: parts.Mine}\ncomponents: {parts.Mine: {}}\n"
    )
    package = packed(project, text)
    code = {name for name in package.content if name.endswith((".py", ".txt")) and not name.startswith("job-files")}
    assert code == {"parts.py", "helpers.py", "kit/__init__.py", "kit/tools.py", "kit/words.txt", "deep.py"}
    assert TuneConfig.load(unpacked(package, tmp_path) / "config.yaml").folder == tmp_path / "there"


def test_modules_in_another_folder_are_found(project: Path) -> None:
    (project / "code").mkdir()
    (project / "code" / "mine.py").write_text("def score(params): return 1.0\n")
    package = packed(project, "modules: code\nobjective: {function: mine.score}\nspace: {a: [1, 2]}\n")
    assert set(package.content) == {"config.yaml", "job.json", "mine.py"}


def test_builtin_documents_need_no_files(tmp_path: Path) -> None:
    package = packed(tmp_path, BUILTIN)
    assert set(package.content) == {"config.yaml", "job.json"}
    assert b"builtin:quickstart" in bytes(package.content["config.yaml"])  # type: ignore[arg-type]


def test_the_config_of_a_package_is_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_NAME", "wordllama")
    text = BUILTIN + "pipeline: {embedding: '${MODEL_NAME}', prompt: '$${x} {context_str} {query_str}'}\n"
    text += "run: {folder: /here/runs, address: 'elsewhere:6379', name: mine}\n"
    config = TuneConfig.load(unpacked(packed(tmp_path, text), tmp_path) / "config.yaml")
    assert config.pipeline == {"embedding": "wordllama", "prompt": "${x} {context_str} {query_str}"}
    assert config.run.model_dump() == {
        "folder": None,
        "address": "auto",
        "name": "mine",
        "resources": None,
        "cache": None,
    }


@pytest.mark.parametrize("name", ["full.yaml", "quickstart.yaml", "pareto.yaml"])
def test_a_config_means_the_same_in_the_package(name: str, tmp_path: Path) -> None:
    path = Path(__file__).resolve().parents[2] / "configs" / name
    if not path.is_file():
        path = Path(__file__).resolve().parents[2] / "raytuner" / "data" / name
    before = TuneConfig.load(path)
    after = TuneConfig.load(unpacked(pack(before, ORDER), tmp_path) / "config.yaml")
    same = {"run", "modules"}
    assert after.model_dump(exclude=same) == before.model_dump(exclude=same)


def test_the_order_says_where_things_were(project: Path, tmp_path: Path) -> None:
    there = unpacked(packed(project, "documents: docs\nquestions: questions.jsonl\n"), tmp_path)
    order = Order.read(there)
    assert order == ORDER._replace(root=str(project), modules=None)


def test_the_same_package_has_the_same_bytes(project: Path, tmp_path: Path) -> None:
    text = "documents: docs\nquestions: questions.jsonl\n"
    first, second = (packed(project, text).write(tmp_path / name).read_bytes() for name in ("1.zip", "2.zip"))
    assert first == second


# Refused


def test_a_package_that_is_too_large_is_refused_with_its_largest_file(project: Path) -> None:
    (project / "docs" / "big.txt").write_bytes(b"x" * 2_000_000)
    with pytest.raises(DataError) as caught:
        packed(project, "documents: docs\nquestions: questions.jsonl\n", max_mb=1)
    assert "the package has 2.0 MB, more than 1 MB; its largest file is" in str(caught.value)
    assert f"{project}/docs/big.txt with 2.0 MB" in str(caught.value)
    assert packed(project, "documents: docs\nquestions: questions.jsonl\n", max_mb=3).size > 2_000_000


@pytest.mark.parametrize("text", ["documents: nowhere\n", "documents: 'docs/*.pdf'\n", "documents: ''\n"])
def test_documents_that_are_not_there_are_refused(project: Path, text: str) -> None:
    with pytest.raises(RaytunerError, match=r"no such file or folder|empty path|not allowed"):
        packed(project, text + "questions: questions.jsonl\n")


def test_questions_that_are_not_there_are_refused(project: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        packed(project, "documents: docs\nquestions: none.jsonl\n")


KEY = "sk-proj-a1B2c3D4e5F6g7H8i9J0"


@pytest.mark.parametrize(
    "line",
    [
        f"models: {{m: {{model: 'openai-like:x', base_url: 'http://x/v1', options: {{api_key: {KEY}}}}}}}",
        "models: {m: {model: 'openai-like:x', base_url: 'http://me:passw0rd@host/v1'}}",
        f"pipeline: {{prompt: 'say {KEY} {{context_str}} {{query_str}}'}}",
    ],
)
def test_a_literal_secret_in_a_config_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"the config holds .* secrets are not packed") as caught:
        packed(tmp_path, BUILTIN + line)
    assert KEY not in str(caught.value)
    assert "passw0rd" not in str(caught.value)


def test_a_secret_in_a_module_is_refused(project: Path) -> None:
    (project / "mine.py").write_text(f"KEY = '{KEY}'\ndef score(params): return 1.0\n")
    with pytest.raises(ConfigError, match=r"mine\.py holds what looks like a key"):
        packed(project, "objective: {function: mine.score}\nspace: {a: [1, 2]}\n")


def test_names_in_a_module_are_no_keys(project: Path) -> None:
    (project / "mine.py").write_text("def hf_embedding_model(): ...\ndef score(params): return sk_learn_metrics\n")
    assert packed(project, "objective: {function: mine.score}\nspace: {a: [1, 2]}\n").size > 0


def test_the_value_of_a_secret_variable_is_packed_from_nowhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_PASSWORD", "correct horse battery")
    (project / "docs" / "notes.md").write_text("the password is correct horse battery\n")
    with pytest.raises(ConfigError, match=r"notes\.md holds the value of SERVICE_PASSWORD") as caught:
        packed(project, "documents: docs\nquestions: questions.jsonl\n")
    assert "horse" not in str(caught.value)


def test_a_document_that_shows_how_keys_look_is_no_secret(project: Path) -> None:
    (project / "docs" / "keys.md").write_text(f"A key looks like {KEY}.\n")
    assert "job-files/docs/keys.md" in packed(project, "documents: docs\nquestions: questions.jsonl\n").content


def test_a_config_is_yaml_that_anybody_can_read(project: Path, tmp_path: Path) -> None:
    there = unpacked(packed(project, "documents: docs\nquestions: questions.jsonl\n"), tmp_path)
    raw = yaml.safe_load((there / "config.yaml").read_text())
    assert raw["documents"] == {"path": ["job-files/docs"]}


def test_runs_of_a_warm_start_go_along(project: Path, tmp_path: Path) -> None:
    run = project / "runs" / "rag-20260101-000000"
    run.mkdir(parents=True)
    (run / "run.json").write_text('{"metric": "ndcg", "mode": "max"}')
    (run / "log.jsonl").write_text("")
    (run / "raytuner.log").write_text("not to be packed")
    there = unpacked(packed(project, f"{BUILTIN}warm_start: runs/rag\n"), tmp_path)
    config = TuneConfig.load(there / "config.yaml")
    assert config.warm_start == [str(there / "job-files" / "runs" / run.name)]
    assert sorted(path.name for path in Path(config.warm_start[0]).iterdir()) == ["log.jsonl", "run.json"]
