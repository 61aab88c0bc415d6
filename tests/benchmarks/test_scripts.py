"""The benchmarks: their options, what they compute from what they measure, and the quick ones from end to end."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import common
import corpus_scale
import memory
import overhead
import plain
import pytest
import recipe
import recording
import scale
from bare import Session

from raytuner import RagObjective, RayTuneParamTuner, datasets, models
from raytuner.datasets import Question
from raytuner.documents.load import load_documents
from raytuner.schedulers import make_rule
from raytuner.schedulers.batch import BatchRace
from raytuner.space import SearchSpace

HERE = Path(__file__).resolve().parent
SCRIPTS = (
    *("overhead", "recipe", "plain", "warm", "retrieval_sweep", "scale", "corpus_scale", "embedding"),
    *("search_quality", "cost_aware", "racing", "false_alarms", "generated_questions", "llm_throughput"),
    *("scaling", "faults", "warm_start", "check_power", "report"),
)


def run(script: str, *args: str, timeout: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / f"{script}.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def refused(script: str, args: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code with which a script ends before it measures anything."""
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *args])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(script).main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_is_measured(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(script, ["--help"], monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "--json" in shown
    assert str(importlib.import_module(script).__doc__) in shown


@pytest.mark.parametrize(
    ("script", "args", "said"),
    [
        ("overhead", ["--trials", "1"], "at least 2"),
        ("recipe", ["--data", "nowhere"], "'nowhere' is no folder"),
        ("retrieval_sweep", ["--data", ".", "--trials", "100000"], "the size of the grid"),
        ("scale", ["--search", "optuna,grit"], "unknown search 'grit'"),
        ("corpus_scale", ["--mb", "4,1,16"], "rising"),
    ],
)
def test_a_wrong_option_is_refused(
    script: str, args: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(script, args, monkeypatch) == 2
    assert said in capsys.readouterr().err


def test_a_table_says_which_goals_are_met() -> None:
    rows = [common.at_most("time", 30.04, 25, " ms"), common.at_least("ratio", 50, 50), common.Row("start", "3 s")]
    lines = common.table("Title", rows).splitlines()
    assert lines[0] == "Title"
    assert [line.split("  ")[0] for line in lines[2:]] == ["time", "ratio", "start"]
    assert lines[2].endswith("25 ms or less  goal missed")
    assert "30.0 ms" in lines[2]
    assert lines[3].endswith("50 or more     met")
    assert lines[4].endswith("3 s")
    assert [common.exactly("texts", value, 485).met for value in (485, 486)] == [True, False]


def test_overhead_is_the_time_between_results() -> None:
    results = [{"at": at, "worker": worker} for at, worker in ((12.0, 1), (10.0, 2), (11.0, 1))]
    assert overhead.figures(results, 8.5) == {"ms": 1000, "pids": 2, "first_result_s": 1.5}


def test_quarters_cover_all_results_once() -> None:
    times = [float(moment) for moment in range(9)] + [10.0, 12.0, 14.0]
    assert scale.by_quarter(times) == [1000, 1000, 1000, 2000]


def test_growth_is_one_where_it_is_linear() -> None:
    linear = [{"mb": mb, "seconds": 5 + 2 * mb} for mb in (1.0, 4.0, 16.0)]
    square = [{"mb": mb, "seconds": mb**2} for mb in (1.0, 4.0, 16.0)]
    assert corpus_scale.growth(linear, "seconds") == pytest.approx(1)
    assert corpus_scale.growth(square, "seconds") == pytest.approx(4)


def test_recombined_text_is_seeded_and_distinct() -> None:
    source = corpus_scale.sentences()
    assert len(source) > 300
    text = corpus_scale.recombined(source, 100_000, random.Random(1))
    assert len(text) >= 100_000
    assert text == corpus_scale.recombined(source, 100_000, random.Random(1))
    paragraphs = text.split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs)


def test_scores_that_differ_are_no_comparison() -> None:
    scores = {(size, top_k): size / 1000 + top_k / 100 for size in (1, 2, 3) for top_k in (1, 2)}
    recipe.check_scores(scores, {params: score + 9e-5 for params, score in scores.items()})
    with pytest.raises(AssertionError, match=r"\(3, 2\)"):
        recipe.check_scores(scores, {**scores, (3, 2): scores[3, 2] + 2e-4})
    with pytest.raises(AssertionError, match="only 1 distinct"):
        recipe.check_scores(dict.fromkeys(scores, 0.5))


def test_f1_counts_each_character_once() -> None:
    assert plain.f1([(0, 10), (5, 15)], [(10, 20)]) == pytest.approx(2 * 5 / (15 + 10))
    assert plain.f1([(0, 5)], [(5, 9)]) == 0


def test_a_bare_session_gives_the_vectors_of_minilm() -> None:
    texts = ["short", "a longer one of many words " * 100]
    for truncate, long_text in ((True, "truncate"), (False, "windows")):
        wanted = models.embedding("minilm", long_text=long_text).encode(texts)
        assert Session(truncate=truncate).embed(texts) == pytest.approx(wanted, abs=1e-6)


def test_a_recording_counts_what_every_process_embeds(tmp_path: Path) -> None:
    with common.cold_cache("wordllama") as cache:
        common.apart(embed_some, tmp_path, cache=cache)
    assert sorted(recording.texts(tmp_path)) == ["one", "one", "two"]


def embed_some(folder: Path) -> None:
    """In another process: the recording travels with an objective."""
    objective = RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f1", embedding="wordllama")
    recording.Recording(folder).attach(objective)
    assert pickle.loads(pickle.dumps(objective)).metric == "span_f1"
    model = models.embedding("wordllama")
    model.get_text_embedding_batch(["one", "two", "one"])
    model.get_query_embedding("one")


def test_a_sampler_knows_the_past() -> None:
    values = iter(range(1000))
    with memory.Sampler(lambda: next(values), every_s=0.01) as sampler:
        time.sleep(0.1)
    assert sampler.peak >= 3
    assert sampler.at(0) == 0
    assert sampler.at(time.time()) == sampler.peak


def test_memory_and_disk_are_measured(tmp_path: Path) -> None:
    before = memory.rss_mb()
    held = bytearray(b"x") * 50_000_000
    assert memory.rss_mb() - before > 40
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_bytes(held[:2_000_000])
    assert memory.folder_mb(tmp_path) == pytest.approx(2)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(400)
def test_overhead_and_scale_measure_what_they_say() -> None:
    found = last_line(run("overhead", "--trials", "6", "--workers", "2", "--json", timeout=180))
    assert set(found) == {"raytuner_ms", "llamaindex_ms", "ratio", "pids", "first_result_s", "init_s"}
    assert found["pids"] == 2
    assert found["ratio"] == pytest.approx(found["llamaindex_ms"] / found["raytuner_ms"])
    assert found["ratio"] > 5
    found = last_line(run("scale", "--trials", "16", "--search", "grid", "--json", timeout=180))
    assert set(found) == {"grid"}
    assert set(found["grid"]) == {"ms_by_quarter", "rss_mb_by_quarter", "disk_mb"}
    assert len(found["grid"]["ms_by_quarter"]) == len(found["grid"]["rss_mb_by_quarter"]) == 4
    assert found["grid"]["disk_mb"] > 0
    assert all(after > 100 for _, after in pairwise(found["grid"]["rss_mb_by_quarter"]))


def test_few_searches_of_false_alarms(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["false_alarms.py", "--searches", "20", "--json"])
    importlib.import_module("false_alarms").main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found) == {"false_better", "coverage"}
    assert found["false_better"] <= 0.2
    assert found["coverage"] > 0.7


def scores_of(keys: list[str], questions: list[Question]) -> dict[str, dict[str, dict[str, float]]]:
    """The later a configuration comes, the better it is."""
    rng = random.Random(0)
    return {
        key: {question.id: {"span_f1": 0.005 * at + rng.gauss(0, 0.02)} for question in questions}
        for at, key in enumerate(keys)
    }


def test_replays_of_racing() -> None:
    """All rules on made-up scores: the best is found on fewer questions, and what is counted is what was evaluated."""
    racing = importlib.import_module("racing")
    space = SearchSpace.from_dict(racing.SPACE)
    keys = [space.key(raw) for raw in space.points()]
    questions = [Question(id=f"q{at}", text="?", documents=(f"d{at % 3}",)) for at in range(48)]
    made = racing.Table(space, questions, scores_of(keys, questions))
    found = racing.measure(made, "span_f1", racing.grid_rules(), 2)
    assert set(found) == {"racing", "a quarter of the questions", "asha", "successive halving", "wilcoxon"}
    assert found["a quarter of the questions"]["share"] == 0.25
    assert found["racing"]["share"] < 0.6
    assert found["racing"]["gap"] < 0.05
    replay = racing.Replay(made, "span_f1", 0)
    outcome = replay.at_once(BatchRace(replay.goals, replay.total))
    assert outcome.picked in keys[-12:]
    fifo = replay.one_by_one(make_rule("fifo", replay.goals, replay.total), "random", 5)
    assert fifo.used == 5 * 48


@pytest.mark.ray
@pytest.mark.timeout(280)
@pytest.mark.usefixtures("local_ray")
def test_a_race_through_ray_is_its_replay(tmp_path: Path) -> None:
    """On real documents: the same blocks of the same configurations are evaluated, and the same one wins."""
    data = Path(os.environ.get("RAYTUNER_DATA", HERE.parents[2] / "shared" / "data")) / "chroma-chunking"
    if not data.is_dir():
        pytest.skip("needs the data of docs/data.md")
    racing = importlib.import_module("racing")
    documents = [load_documents(data / "corpora" / "state_of_the_union.md")[0]]
    asked = datasets.load(data / "questions.csv")
    own = tuple(q for q in asked if any(reference.document == "state_of_the_union" for reference in q.references))
    rag = RagObjective(documents, datasets.QuestionSet(own), metric="span_f1", embedding="wordllama", seed=3)
    space_of = {"chunk_size": [64, 128, 256, 512], "retriever": ["bm25", "vector"], "top_k": [1, 5]}
    space = SearchSpace.from_dict(space_of)
    values = {space.key(raw): rag(space.configuration(raw)).questions for raw in space.points()}
    replay = racing.Replay(racing.Table(space, rag.questions.questions, values), "span_f1", 3)
    outcome = replay.at_once(BatchRace(replay.goals, replay.total))
    result = RayTuneParamTuner(
        param_fn=rag, param_dict=space_of, storage_path=tmp_path, address="local", scheduler="racing", seed=3
    ).tune()
    used = sum(len(one.questions) for one in (*result.run_results, *result.stopped))
    assert (space.key(space.encode(result.best_run_result.params)), used) == outcome
    assert len(result.stopped) > 4


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_nothing_is_lost_when_things_die() -> None:
    found = last_line(run("faults", "--runs", "3", "--json", timeout=880))
    assert set(found) == {"driver", "worker", "node"}
    for kind, one in found.items():
        assert (one["lost"], one["repeated"], one["wrong"], one["failed_resumes"]) == (0, 0, 0, 0), kind
    assert found["driver"]["kills"] >= 2
    assert sum(one["kills"] for one in found.values()) >= 6
