"""What leaders retrieve is had anew, from the run's own documents only, and without running a stranger's code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_run import CONFIG, make_run

from raytuner.documents.load import load_documents
from raytuner.page.data import run_data
from raytuner.run_folder import RUN


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


def test_documents_that_are_gone_are_said_in_a_line(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    config = (other / "config.yaml").read_text().replace("documents: builtin:quickstart", "documents: gone/")
    (other / "config.yaml").write_text(config)
    why = texts(other)["why_none"]
    assert why.startswith("documents or questions cannot be read again: ")
    assert "gone" in why


STRANGERS = """
components:
  theirs: {path: stranger.splitter}
modules: .
"""


def test_code_that_a_run_names_is_listed_and_never_imported(tmp_path: Path) -> None:
    run = make_run(tmp_path / "theirs")
    (run / "config.yaml").write_text(CONFIG.replace("[sentence, token]", "[sentence, token, other.thing]") + STRANGERS)
    trap = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\ndef splitter(): ...\n"
    for name in ("stranger", "other"):
        (run / f"{name}.py").write_text(trap)
    found = run_data(run)
    assert found["own_code"] == ["other.thing", "stranger.splitter"]
    assert "stranger.splitter), which is not imported" in found["questions"]["texts"]["why_none"]
    assert not (run / "ran").exists()


def test_no_service_is_called_for_a_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-reader-0123456789")
    run = make_run(tmp_path / "theirs")
    config = CONFIG.replace("{retriever: bm25}", "{embedding: mine, retriever: vector}")
    config += (
        "models:\n  mine: {model: 'openai-like:m', base_url: 'http://127.0.0.1:9/v1', api_key_env: OPENAI_API_KEY}\n"
    )
    (run / "config.yaml").write_text(config)
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
