"""What a job does on the cluster before and after its search."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import raytuner
from raytuner.errors import REDACTED, ClusterError, ConfigError
from raytuner.jobs import keeper, nodes
from raytuner.jobs.keeper import check, relocate
from raytuner.jobs.order import Order
from raytuner.jobs.storage import Mirror
from raytuner.jobs.wheel import requirements

HERE = ".".join(platform.python_version_tuple()[:2])
ORDER = Order("some-job", raytuner.__version__, HERE, [], [])


def test_a_node_with_all_that_is_needed_passes() -> None:
    check(ORDER._replace(requirements=requirements()))


def test_another_python_names_both() -> None:
    with pytest.raises(ClusterError, match=rf"runs Python {platform.python_version()}, .* made with Python 3\.9; "):
        check(ORDER._replace(python="3.9"))


def test_another_raytuner_in_the_image_names_both() -> None:
    with pytest.raises(ClusterError, match=rf"has raytuner {raytuner.__version__}, the package was made by 9\.9"):
        check(ORDER._replace(raytuner="9.9"))


def test_what_a_node_lacks_is_named_with_the_node() -> None:
    lacking = ["no-such-package>=1", "numpy>=999", "numpy>=1", 'tomli>=999; python_version < "3"']
    with pytest.raises(
        ClusterError, match=f"node {platform.node()} lacks no-such-package>=1, numpy>=999; start Ray in"
    ):
        check(ORDER._replace(requirements=lacking))


def test_a_variable_that_a_node_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IS_HERE", "1")
    monkeypatch.delenv("IS_NOT", raising=False)
    assert nodes.missing(["IS_HERE"]) is None
    found = nodes.missing(["IS_HERE", "IS_NOT"])
    assert found is not None
    assert "lacks IS_NOT in its environment" in found


def test_a_storage_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    nodes.check_folder(f"file://{tmp_path}/runs")
    with pytest.raises(ConfigError, match="has no such folder; name one that all nodes share"):
        nodes.check_folder("file:///no/such/folder/runs")


def test_the_configs_of_a_run_folder_have_the_users_paths(tmp_path: Path) -> None:
    run, here = tmp_path / "run", tmp_path / "ray" / "_ray_pkg_1"
    run.mkdir()
    inside = {"documents": {"path": ["job-files/docs", "builtin:quickstart"]}, "questions": ["job-files/q.jsonl"]}
    (run / "config.yaml").write_text(
        yaml.safe_dump({**inside, "run": {"name": "rag", "folder": "/x", "address": "auto"}})
    )
    best = {
        "documents": {"path": [f"{here}/job-files/docs"]},
        "modules": str(here),
        "pipeline": {"prompt": "job-filesystem"},
    }
    (run / "best.yaml").write_text(yaml.safe_dump(best))
    settings = {"documents": {"path": [f"{here}/job-files/docs"]}, "modules": None}
    (run / "run.json").write_text(json.dumps({"name": "rag", "base": str(here), "config": settings}))
    relocate(run, here, ORDER._replace(root="/home/me/project", modules="/home/me/project/code"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["documents"] == {"path": ["/home/me/project/docs", "builtin:quickstart"]}
    assert config["questions"] == ["/home/me/project/q.jsonl"]
    assert config["run"] == {"name": "rag"}
    best = yaml.safe_load((run / "best.yaml").read_text())
    assert best["documents"] == {"path": ["/home/me/project/docs"]}
    assert best["modules"] == "/home/me/project/code"
    assert best["pipeline"] == {"prompt": "job-filesystem"}
    assert json.loads((run / "run.json").read_text()) == {
        "name": "rag",
        "base": "/home/me/project",
        "config": {"documents": {"path": ["/home/me/project/docs"]}, "modules": "/home/me/project/code"},
    }


def test_at_the_end_the_run_folder_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "rag-1"
    run.mkdir()
    (run / "log.jsonl").write_text("{}\n")
    monkeypatch.setattr(keeper, "run_folder", lambda job: run)
    keeper._finish(ORDER, tmp_path, Mirror(f"file://{tmp_path}/shared/"))
    assert capsys.readouterr().out == f"copied to file://{tmp_path}/shared/rag-1\n"
    assert (tmp_path / "shared" / "rag-1" / "log.jsonl").read_text() == "{}\n"
    keeper._finish(ORDER, tmp_path, None)
    assert capsys.readouterr().out == ""


def test_the_keeper_starts_where_nothing_but_raytuner_is() -> None:
    """A node that lacks a dependency must get as far as to say so."""
    code = "import sys, raytuner.jobs.keeper; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for heavy in ("numpy", "pydantic", "ray", "yaml", "click", "fsspec", "httpx"):
        assert f"'{heavy}'" not in done.stdout


def test_a_job_that_cannot_run_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(ORDER._replace(python="3.9").dump())
    command = [sys.executable, "-m", "raytuner.jobs.keeper"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stdout.startswith("error: the cluster runs Python")
    assert done.stderr == ""


def test_an_order_reads_back_and_leaves_out_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(ORDER.dump().replace(b"{", b'{"later": 1,', 1))
    assert Order.read(tmp_path) == ORDER


def test_the_exit_code_of_a_killed_search_is_that_of_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(keeper.signal, "signal", lambda *_: None)
    script = tmp_path / "fake"
    script.write_text("#!/bin/sh\nkill -9 $$\n")
    script.chmod(0o700)
    monkeypatch.setattr(keeper.sys, "executable", str(script))
    assert keeper.keep(ORDER, tmp_path) == 128 + 9


def test_what_a_job_was_given_is_a_secret_in_all_its_processes() -> None:
    code = "from raytuner.errors import redact; print(redact('value: swordfish-1'))"
    environment = {**os.environ, REDACTED: "PLAIN,OTHER", "PLAIN": "swordfish-1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "value: <PLAIN>\n"
