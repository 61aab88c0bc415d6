"""What leaders retrieve is had anew, from the run's own documents only, and without running a stranger's code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_run import CONFIG, make_run

from raytuner.documents.find import BUILTIN
from raytuner.documents.load import load_documents
from raytuner.page.data import report_of, run_data
from raytuner.page.write import embedded
from raytuner.run_folder import LOG, RUN
from raytuner.yaml_text import dump


def texts(run: Path, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = run_data(run, **options)["questions"]["texts"]
    return found


def test_the_worst_questions_have_what_each_leader_retrieves_and_the_reference(run: Path) -> None:
    found = run_data(run)
    questions = found["questions"]
    shown = questions["texts"]["shown"]
    documents = {document.id: document.text for document in load_documents(["builtin:quickstart"])}
    assert questions["texts"]["why_none"] is None
    assert set(shown) == set(questions["worst"])
    tuned = {row["trial"]: row["params"] for row in found["trials"]}
    for name, one in shown.items():
        for reference in one["references"]:
            assert documents[reference["document"]][reference["start"] : reference["end"]] == reference["text"]
        for leader, passages in zip(questions["leaders"], one["found"], strict=True):
            assert 1 <= len(passages) <= tuned[leader["trial"]]["top_k"], name
            for at in passages:
                passage = questions["texts"]["passages"][at]
                text = documents[passage["document"]][passage["start"] : passage["end"]]
                assert text.startswith(passage["text"])


def test_texts_are_left_out_when_asked(run: Path) -> None:
    found = run_data(run, texts=False)
    assert "--no-texts" in found["questions"]["texts"]["why_none"]
    assert "passages" not in json.dumps(found)


def test_what_has_changed_is_not_shown_as_what_the_run_saw(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    said = json.loads((other / RUN).read_text())
    first = next(iter(said["data"]["documents"]))
    said["data"]["documents"][first] = "0" * 16
    (other / RUN).write_text(json.dumps(said))
    assert "have changed since the run" in texts(other)["why_none"]


def changed(run: Path, folder: Path, **sections: Any) -> Path:
    """A copy of a run whose config is another."""
    other = Path(shutil.copytree(run, folder))
    said = json.loads((other / RUN).read_text())
    said["config"] |= sections
    (other / RUN).write_text(json.dumps(said))
    (other / "config.yaml").write_text(dump(said["config"]))
    return other


def test_documents_that_are_gone_are_said_in_a_line(run: Path, tmp_path: Path) -> None:
    other = changed(run, tmp_path / "runs/other", documents=str(tmp_path / "gone"))
    why = texts(other)["why_none"]
    assert why == "documents or questions cannot be read again (raytuner plan CONFIG says why, or report with --trust)"
    assert "gone" in texts(other, trust=True)["why_none"]


@pytest.mark.parametrize("section", ["documents", "questions"])
@pytest.mark.parametrize("where", ["/etc/passwd", "../../secret.jsonl", "{home}", "/", "../../link/secret.jsonl"])
def test_a_run_reads_no_file_far_from_it(
    run: Path, tmp_path: Path, where: str, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "secret.jsonl").write_text("the first line is a secret\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to(tmp_path)
    other = changed(run, tmp_path / "a/runs/other", **{section: where.format(home=Path.home())})
    said = json.loads((other / RUN).read_text()) | {"base": str(other)}
    (other / RUN).write_text(json.dumps(said))
    if where == "../../secret.jsonl":
        shutil.copy(tmp_path / "secret.jsonl", tmp_path / "a")
    found = run_data(other)
    assert "first line" not in json.dumps(found)
    why = found["questions"]["texts"]["why_none"]
    assert "cannot be read again (" in why if where == "../../secret.jsonl" else "--trust reads it" in why


def test_a_run_of_documents_near_it_needs_no_trust(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = Path(
        shutil.copytree(BUILTIN["builtin:quickstart"], tmp_path / "docs", ignore=lambda *_: ["questions.jsonl"])
    )
    other = changed(run, tmp_path / "runs/other", documents={"path": [str(documents)]})
    assert texts(other)["why_none"] is None
    far = Path(shutil.copytree(other, tmp_path / "b/runs/other"))
    assert "--trust reads it" in texts(far)["why_none"]
    monkeypatch.chdir(tmp_path)
    assert texts(far)["why_none"] is None


@pytest.mark.parametrize("path", ["${A_VARIABLE_OF_MINE}/x", "$${A_VARIABLE_OF_MINE}/x"])
def test_no_variable_of_the_reader_is_read(
    run: Path, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_VARIABLE_OF_MINE", "of-the-reader")
    found = run_data(changed(run, tmp_path / "runs/other", documents=path))
    assert "of-the-reader" not in json.dumps(found)
    assert "variables of the environment; --trust" in found["questions"]["texts"]["why_none"]


def test_variables_that_were_filled_in_need_no_trust(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    text = (other / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("documents: builtin:quickstart", "documents: ${NOT_SET}"))
    assert texts(other)["why_none"] is None


TRAP = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\nclass R: ...\n"


@pytest.mark.parametrize(
    "params",
    [{"reranker": "planted_in_a_log.R"}, {"embedding": "planted_in_a_log.R"}, {"top_k": {"a": ["planted_in_a_log.R"]}}],
)
def test_code_that_only_the_log_names_is_listed_and_never_imported(
    run: Path, tmp_path: Path, params: dict[str, Any]
) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    said = json.loads((other / RUN).read_text()) | {"base": str(other)}
    (other / RUN).write_text(json.dumps(said))
    (other / "planted_in_a_log.py").write_text(TRAP)
    rows = [json.loads(line) for line in (other / LOG).read_text().splitlines()]
    for row in rows:
        row.get("params", {}).update(params)
    (other / LOG).write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_data(other)
    assert found["own_code"] == ["planted_in_a_log.R"]
    assert "which is not imported" in found["questions"]["texts"]["why_none"]
    assert not (other / "ran").exists()


LOOK = """
import sys
from pathlib import Path
from raytuner.page.data import report_of, run_data
from raytuner.page.write import embedded

class Watched(list):
    def append(self, entry):
        raise SystemExit(f"{entry} was put on the path")

sys.path = Watched(sys.path)
assert run_data(Path(sys.argv[1]))["questions"]["texts"]["why_none"] is None
"""


def test_modules_beside_a_run_do_not_stand_in_for_libraries(run: Path, tmp_path: Path) -> None:
    other = changed(run, tmp_path / "other", modules=str(tmp_path / "other"))
    for name in ("sklearn", "torch", "transformers", "tiktoken_ext"):
        (other / f"{name}.py").write_text(TRAP)
    done = subprocess.run([sys.executable, "-c", LOOK, str(other)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (other / "ran").exists()


def test_weights_are_not_fetched_for_a_look(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path / "cache"))
    other = changed(run, tmp_path / "other", pipeline={"retriever": "hybrid"})
    assert "the weights of minilm are not here" in texts(other)["why_none"]


STRANGERS = """
components:
  theirs: {path: stranger.splitter}
modules: .
"""


def test_code_that_a_run_names_is_listed_and_never_imported(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "theirs", config=CONFIG.replace("[sentence, token]", "[sentence, token, other.thing]") + STRANGERS
    )
    trap = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\ndef splitter(): ...\n"
    for name in ("stranger", "other"):
        (run / f"{name}.py").write_text(trap)
    found = run_data(run)
    assert found["own_code"] == ["other.thing", "stranger.splitter"]
    assert "stranger.splitter), which is not imported" in found["questions"]["texts"]["why_none"]
    assert not (run / "ran").exists()


def test_no_service_is_called_for_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-reader-0123456789")
    config = CONFIG.replace("{retriever: bm25}", "{embedding: mine, retriever: vector}")
    config += (
        "models:\n  mine: {model: 'openai-like:m', base_url: 'http://127.0.0.1:9/v1', api_key_env: OPENAI_API_KEY}\n"
    )
    run = make_run(tmp_path / "theirs", config=config)
    why = texts(run)["why_none"]
    assert "retrieving would use mine" in why
    assert "--trust" in why
    assert "sk-of" not in json.dumps(run_data(run))


def test_a_run_without_a_config_says_so(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    said = json.loads((other / RUN).read_text())
    (other / RUN).write_text(
        json.dumps({name: value for name, value in said.items() if name not in ("data", "config")})
    )
    assert "has no config" in texts(other)["why_none"]


OWN = """
from llama_index.core.node_parser import TokenTextSplitter

splitter = TokenTextSplitter(chunk_size=100, chunk_overlap=0)
"""


def test_a_run_that_is_trusted_may_use_its_own_code(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", trials=3)
    (run / "my_splitter_of_a_report.py").write_text(OWN)
    config = CONFIG.replace("pipeline: {retriever: bm25}", "pipeline: {retriever: bm25, splitter: mine}")
    config = config.replace("  splitter: [sentence, token]\n", "")
    config += "components: {mine: {path: my_splitter_of_a_report.splitter}}\n"
    (run / "config.yaml").write_text(config)
    assert "--trust" in texts(run)["why_none"]
    assert texts(run, trust=True)["why_none"] is None


def test_texts_of_all_runs_of_a_file_have_one_room(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytuner.page.retrieved_anew.MOST_TEXT", 60_000)
    found = [one["questions"]["texts"] for one in report_of([run, run, run, run])["runs"]]
    assert "are shown with what was retrieved: more would be too large" in found[0]["note"]
    assert len(embedded(found).encode()) < 70_000
