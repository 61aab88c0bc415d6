"""The regression gate: when it fails, when it does not, and what it refuses."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from made_runs import make_run, write_config, write_data

from raytuner.check import Check, as_checked
from raytuner.check import check as checked
from raytuner.cli import cli
from raytuner.compare_runs import compare
from raytuner.config import TuneConfig
from raytuner.errors import BudgetUsedUpError, ConfigError, DataError, TrialError, UserError
from raytuner.goals import Goal
from raytuner.run_folder import RUN, read_run, write_json
from raytuner.scored_run import Scored, scored
from raytuner.testing.openai_server import Behaviour, OpenAIServer

TRIALS = ({"chunk_size": 16, "top_k": 1}, {"chunk_size": 32, "top_k": 3})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A config with a run of it, whose second trial won."""
    write_data(tmp_path)
    make_run(write_config(tmp_path), TRIALS)
    return tmp_path


def run_of(project: Path) -> Path:
    return project / "runs" / "rag-20260101-000000"


def call(project: Path, *arguments: str, config: str = "rag.yaml") -> tuple[int, str]:
    run = str(run_of(project))
    done = CliRunner().invoke(cli, ["check", str(project / config), "--baseline", run, *arguments])
    refused = done.exception if isinstance(done.exception, UserError) else None
    shown = done.stdout if "--json" in arguments else done.output
    return (done.exit_code, shown) if refused is None else (2, str(refused))


def test_what_has_not_changed_passes_with_the_same_scores(project: Path) -> None:
    code, out = call(project, "--json", "--max-drop", "0")
    assert code == 0, out
    found = json.loads(out)
    assert found["passed"] is True
    assert found["drop"] == 0
    difference = found["comparison"]["searched"]["difference"]
    assert difference["mean"] == difference["low"] == difference["high"] == 0
    assert found["comparison"]["after"]["params"]["chunk_size"] == found["comparison"]["before"]["params"]["chunk_size"]


def test_the_same_check_says_the_same_again(project: Path) -> None:
    found = [json.loads(call(project, "--json", "--set", "pipeline.top_k=1")[1]) for _ in range(2)]
    assert found[0]["comparison"] == found[1]["comparison"]


def test_documents_that_have_lost_what_is_asked_for_fail(project: Path) -> None:
    for path in sorted((project / "docs").glob("*.md"))[:6]:
        path.write_text("What stood here is gone, and something else is said in its place.")
    rows = [json.loads(line) for line in (project / "q.jsonl").read_text().splitlines()]
    for row in rows:  # what supports the answers is known by the documents' names alone
        del row["reference_contexts"]
    (project / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = write_config(project, "by-name.yaml", objective={"metric": "ndcg"})
    run = make_run(write_config(project, "was.yaml", objective={"metric": "ndcg"}), TRIALS, name="gone")
    assert call(project, config="by-name.yaml")[0] == 2  # the run is for span_f4
    before = scored(run)
    better = {name: {**row, "ndcg": 1.0} for name, row in before.questions.items()}
    found = checked(TuneConfig.load(config), before._replace(questions=better))
    assert not found.passed
    assert found.comparison.deciding.verdict == "worse"
    assert "failed: ndcg has dropped by 0.5000, more than the 0.02 allowed, and that is more than chance" in str(found)


def test_a_worse_configuration_in_the_config_is_what_is_checked(project: Path) -> None:
    code, out = call(project, "--set", "pipeline.top_k=1", "--set", "pipeline.chunk_size=4", "--set", "space={}")
    assert code == 1, out
    assert "top_k: 3 -> 1" in out or "chunk_size: " in out
    assert "and that is more than chance" in out
    code, out = call(project, "--set", "pipeline.chunk_size=4", "--set", "space={}", "--max-drop", "0.99")
    assert code == 0, out
    assert "within the 0.99 allowed" in out


def test_without_a_search_ray_is_not_started(project: Path) -> None:
    code = (
        "import sys; sys.argv = ['raytuner', 'check', 'rag.yaml', '--baseline', 'runs/rag-20260101-000000']\n"
        "from raytuner.cli import cli\n"
        "cli.main(standalone_mode=False); import ray; assert not ray.is_initialized()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "has not dropped" in done.stdout


def test_questions_that_were_added_or_removed_are_left_out_and_said(project: Path) -> None:
    rows = (project / "q.jsonl").read_text().splitlines()
    (project / "q.jsonl").write_text("\n".join([*rows[3:], rows[0].replace('"q0"', '"new"')]) + "\n")
    code, out = call(project)
    assert code == 0, out
    assert "3 of the 24 questions of rag-20260101-000000 are left out" in out
    assert "1 of the 22 questions of today are left out" in out


def test_a_document_that_grows_does_not_make_its_questions_others(project: Path) -> None:
    path = project / "docs" / "cats.md"
    path.write_text("A new beginning. " + path.read_text())  # so that all spans in it have moved
    code, out = call(project, "--json")
    assert code in (0, 1), out
    assert json.loads(out)["comparison"]["searched"]["questions"] == 24


def test_other_questions_are_refused_before_anything_is_scored(project: Path) -> None:
    text = (project / "q.jsonl").read_text()
    (project / "q.jsonl").write_text(text.replace("How is", "What is"))
    code, out = call(project)
    assert code == 2
    assert "0 of its 24 and of today's 24 are common; 24 more have the same id and another text" in out
    assert len(out.splitlines()) == 1


def test_a_run_that_has_not_ended_is_refused_unless_a_trial_is_named(project: Path) -> None:
    run = read_run(run_of(project))
    del run["interrupted"]
    write_json(run_of(project) / RUN, run)
    code, out = call(project)
    assert code == 2
    assert "has not ended" in out
    assert call(project, "--trial", "1")[0] == 0
    assert call(project, "--trial", "9")[0] == 2


def test_what_a_strangers_run_names_is_not_imported(project: Path) -> None:
    (project / "evil.py").write_text("raise SystemExit('imported')")
    run = read_run(run_of(project))
    run["config"]["pipeline"]["reranker"] = "evil.Reranker"
    write_json(run_of(project) / RUN, run)
    code, out = call(project)
    assert code == 2
    assert "evil.Reranker" in out
    assert "imported" not in out.replace("would be imported", "")
    config = TuneConfig.load(project / "rag.yaml")
    own = scored(run_of(project))
    metric = own._replace(config={}, goal=Goal(metric="evil.metric", mode="max"))
    with pytest.raises(ConfigError, match=r"evil\.metric"):
        as_checked(config, metric)


def test_what_the_config_fixes_wins_and_the_rest_is_the_baselines(project: Path) -> None:
    config = TuneConfig.parse(yaml.safe_dump({"documents": "docs", "questions": "q.jsonl", "pipeline": {"top_k": 5}}))
    found = as_checked(config, scored(run_of(project), 2))
    assert found.pipeline == {"retriever": "bm25", "chunk_size": 32, "top_k": 5}
    assert (found.objective.metric, found.objective.mode) == ("span_f4", "max")
    assert found.space == {}
    assert found.search.holdout == "none"


def test_too_many_questions_that_fail_are_no_pass(project: Path) -> None:
    (project / "own.py").write_text("def broken(evidence):\n    raise ValueError('no')\n")
    config = write_config(project, "own.yaml", objective={"metric": "own.broken", "mode": "max"})
    own = scored(run_of(project))
    baseline = own._replace(
        goal=Goal(metric="own.broken", mode="max"),
        questions={name: {"own.broken": 1.0} for name in own.questions},
    )
    with pytest.raises(TrialError, match="questions failed"):
        checked(TuneConfig.load(config), baseline)


def test_a_question_that_was_scored_and_fails_today_is_no_pass(project: Path) -> None:
    (project / "mine.py").write_text(
        "calls = []\n\n\ndef frail(evidence):\n    calls.append(1)\n    if len(calls) == 3:\n"
        "        raise ValueError('not this one')\n    return 1.0\n"
    )
    config = write_config(project, "mine.yaml", objective={"metric": "mine.frail", "mode": "max"})
    own = scored(run_of(project))
    rows = {name: {"mine.frail": 1.0} for name in own.questions}
    baseline = own._replace(goal=Goal(metric="mine.frail", mode="max"), questions=rows)
    found = checked(TuneConfig.load(config), baseline)
    assert not found.passed
    assert found.drop == 0
    ((name, reason),) = found.failed.items()
    assert "not this one" in reason
    assert found.as_json()["failed"] == {name: reason}
    lines = str(found).splitlines()[-2:]
    assert lines[0].startswith(f"failed: 1 question of the baseline's cannot be scored today; {name!r}: ")
    assert lines[1] == "of the others mine.frail has not dropped"
    sys.modules.pop("mine").calls.clear()
    had_failed = baseline._replace(questions={**rows, name: {}})
    again = checked(TuneConfig.load(config), had_failed)
    assert again.failed == {}
    assert again.passed


@pytest.mark.parametrize(
    "damaged", [{"objective": 5}, {"pipeline": 5}, {"objective": {"weights": 5}}, {"objective": ["judge"]}]
)
def test_a_run_with_a_damaged_config_is_said_to_be_damaged(project: Path, damaged: dict[str, object]) -> None:
    run = read_run(run_of(project))
    write_json(run_of(project) / RUN, {**run, "config": {**run["config"], **damaged}})
    assert call(project) == (2, f"{run_of(project)}: the run is damaged; restore its files")
    with pytest.raises(DataError, match="the run is damaged"):
        scored(run_of(project))


def test_calls_of_services_are_counted_and_keep_to_the_budget(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE", str(project / "cache"))
    rows = [json.loads(line) for line in (project / "q.jsonl").read_text().splitlines()]
    (project / "q.jsonl").write_text("".join(json.dumps({**row, "answer": "name"}) + "\n" for row in rows))
    with OpenAIServer(Behaviour(answer=lambda prompt: "name")) as server:
        llm = {"model": "openai-like:m", "base_url": server.base_url, "api_key_env": None}
        sections = {
            "models": {"served": {name: value for name, value in llm.items() if value}},
            "pipeline": {"retriever": "bm25", "llm": "served"},
            "objective": {"metric": "exact_match"},
        }
        config = write_config(project, "llm.yaml", **sections)
        baseline = scored(run_of(project))
        right = {name: {"exact_match": 1.0} for name in baseline.questions}
        before = baseline._replace(questions=right, goal=Goal(metric="exact_match", mode="max"), asked={})
        capped = TuneConfig.load(config, ["budget.llm_calls=5"])
        with pytest.raises(BudgetUsedUpError, match="5 LLM calls"):
            checked(capped, before)
        found = checked(TuneConfig.load(config), before)
    assert found.passed
    assert found.cost is not None
    assert found.cost.llm_calls == 24 - 5  # what was answered before the budget ended is kept


def test_artefacts_are_shared_as_the_config_says(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE", str(project / "cache"))
    code, out = call(project, "--set", f"run.cache={project / 'shared'}")
    assert code == 0, out
    assert [path for path in (project / "shared").rglob("*") if path.is_file()]


def of(values: list[float]) -> Scored:
    rows = {f"q{at:03}": {"hit": value} for at, value in enumerate(values)}
    return Scored("a-run", None, {}, Goal(metric="hit", mode="max"), rows, {}, {}, {}, {})


def verdicts(drop: float, count: int, repeats: int = 60, max_drop: float = 0.02) -> float:
    """How often a check fails where a share of the questions is lost, and as many others change either way."""
    failed = 0
    for seed in range(repeats):
        rng = random.Random(f"{drop} {count} {seed}")
        before = [float(rng.random() < 0.7) for _ in range(count)]
        noisy = [1 - value if rng.random() < 0.05 else value for value in before]
        after = [0.0 if rng.random() < drop / 0.7 else value for value in noisy]
        found = compare(of(before), of(after))
        failed += not Check(comparison=found, max_drop=max_drop, seconds=0, cost=None).passed
    return failed / repeats


def test_it_fails_as_often_as_its_level_without_a_drop_and_nearly_always_with_a_large_one() -> None:
    assert verdicts(0.0, 60) <= 0.05
    assert verdicts(0.0, 60, max_drop=0.0) <= 0.08
    assert verdicts(0.25, 60) >= 0.9


def test_a_drop_within_what_is_allowed_passes_though_it_is_sure() -> None:
    found = compare(of([1.0] * 200), of([0.9] * 200))
    assert found.deciding.verdict == "worse"
    assert Check(comparison=found, max_drop=0.1, seconds=0, cost=None).passed
    assert not Check(comparison=found, max_drop=0.09, seconds=0, cost=None).passed


def test_a_baseline_of_a_newer_version_is_refused(project: Path) -> None:
    write_json(run_of(project) / RUN, {**read_run(run_of(project)), "format": 99})
    code, out = call(project)
    assert code == 2
    assert "newer raytuner" in out
    with pytest.raises(DataError):
        scored(run_of(project))
