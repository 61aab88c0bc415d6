"""What earlier runs tell a new search, without Ray."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from made_runs import make_run, write_config, write_data

from raytuner import SearchSpace, TuneConfig
from raytuner.errors import DataError
from raytuner.going_on import FREE
from raytuner.plan import Plan, make_plan
from raytuner.plan_text import describe
from raytuner.run_folder import RUN, read_run, write_json
from raytuner.search import make_searcher
from raytuner.search.registry import ALGORITHMS
from raytuner.search.task import Evaluated
from raytuner.trial_log import read_log
from raytuner.warm_start import FILE, LEADERS, fitted, kept

TRIALS = [{"chunk_size": size, "top_k": k} for size in (16, 32, 64) for k in (1, 2, 3)]
EARLIER = ["runs/first"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_data(folder)
    make_run(write_config(folder), TRIALS, name="first", stopped=2)
    return folder


def planned(project: Path, **sections: Any) -> Plan:
    return make_plan(TuneConfig.load(write_config(project, "new.yaml", **{"warm_start": EARLIER, **sections})))


def scores(project: Path) -> dict[int, float]:
    rows = read_log(project / "runs" / "first-20260101-000000").rows
    return {row["trial"]: row["score"] for row in rows if row["kind"] == "trial" and row["score"] is not None}


def test_of_the_same_data_leaders_come_first_and_scores_are_told(project: Path) -> None:
    plan = planned(project, search={"name": "auto", "trials": 20, "holdout": "none"})
    found, own = plan.warm, scores(project)
    ranked = sorted(own, key=lambda number: -own[number])
    space, default = plan.space, plan.space.key(plan.space.default())
    expected = [space.key(space.encode(TRIALS[number - 1])) for number in ranked]
    assert [space.key(raw) for raw in found.first] == [key for key in expected if key != default][: len(found.first)]
    assert 0 < len(found.first) <= LEADERS
    told = {space.key(raw): values for raw, values in found.known}
    assert not set(told) & {*(space.key(raw) for raw in found.first), default}
    for number, score in own.items():
        key = space.key(space.encode(TRIALS[number - 1]))
        if key in told:
            assert told[key]["span_f4"] == pytest.approx(score)
    assert len(told) + len(found.first) + 1 == len(TRIALS)  # those that were stopped are told too


def test_a_stopped_trial_is_told_by_its_difference_to_the_best(project: Path) -> None:
    plan = planned(project, search={"name": "auto", "trials": 20, "holdout": "none"})
    rows = read_log(project / "runs" / "first-20260101-000000").rows
    blocks: dict[int, dict[str, Any]] = {}
    for row in rows:
        if row["kind"] == "block":
            blocks.setdefault(row["trial"], {}).update(row["values"])
    own = scores(project)
    best = max(own, key=lambda number: (own[number], -number))
    differences = [row["span_f4"] - blocks[best][name]["span_f4"] for name, row in blocks[9].items()]
    [told] = [one for one in plan.warm.known if plan.space.configuration(one.raw) == TRIALS[8]]
    assert told.values["span_f4"] == pytest.approx(own[best] + math.fsum(differences) / len(differences))


def test_no_more_than_half_of_the_trials_are_leaders(project: Path) -> None:
    assert len(planned(project, search={"trials": 4, "holdout": "none"}).warm.first) == 2
    assert len(planned(project, search={"trials": 1, "holdout": "none"}).warm.first) == 0


@pytest.mark.parametrize("change", ["documents", "questions", "scoring", "version"])
def test_scores_that_do_not_compare_are_not_told(project: Path, tmp_path: Path, change: str) -> None:
    write_data(tmp_path)
    sections: dict[str, Any] = {"warm_start": [str(project / "runs" / "first")]}
    if change == "documents":
        (tmp_path / "docs" / "cats.md").write_text((tmp_path / "docs" / "cats.md").read_text() + " More.")
    if change == "questions":
        write_data(tmp_path, questions=30)
    if change == "scoring":
        sections["objective"] = {"repeats": 2}
    if change == "version":
        run = make_run(write_config(tmp_path), TRIALS[:3], name="old")
        described = read_run(run)
        write_json(run / RUN, {**described, "versions": {**described["versions"], "raytuner": "0.0.1"}})
        sections["warm_start"] = [str(run)]
    found = planned(tmp_path, **sections).warm
    assert len(found.first) > 0
    assert len(found.known) == 0
    assert "its scores are not told" in found.said[0]


def test_what_is_outside_of_the_space_is_skipped_and_counted(project: Path) -> None:
    found = planned(project, space={"chunk_size": [16, 32], "top_k": {"int": [2, 9]}}).warm
    assert "5 of 9 configurations are outside of the space" in " ".join(found.said)
    for raw in found.first:
        assert raw["chunk_size"] in (16, 32, "16", "32")


def test_a_configuration_with_other_fixed_parameters_is_tried_and_its_score_is_not_told(project: Path) -> None:
    found = planned(project, pipeline={"retriever": "bm25", "bm25_k1": 0.9}).warm
    assert len(found.first) > 0
    assert len(found.known) == 0


def test_conditions_and_defaults_are_those_of_the_space() -> None:
    space = SearchSpace.from_dict(
        {"retriever": ["bm25", "hybrid"], "weight": {"float": [0, 1], "step": 0.5, "when": {"retriever": "hybrid"}}}
    )
    raw = fitted(space, {"retriever": "bm25", "weight": 0.7, "other": 3})
    assert raw is not None
    assert space.configuration(raw) == {"retriever": "bm25"}
    assert fitted(space, {"retriever": "hybrid", "weight": 0.7}) is None
    assert fitted(space, {"retriever": "hybrid"}) is None
    assert fitted(space, {"retriever": "vector", "weight": 0.5}) is None


def test_held_out_questions_that_an_earlier_search_has_seen_are_said(project: Path) -> None:
    found = planned(project, search={"holdout": 20}).warm
    assert "20 of the 20 questions that are held out now" in " ".join(found.said)


@pytest.mark.parametrize("wrong", ["nothing", "docs", "metric", "mode", "newer", "damaged", "failed", "empty"])
def test_a_run_that_cannot_be_started_from_is_refused_in_a_line(project: Path, tmp_path: Path, wrong: str) -> None:
    good = project / "runs" / "first-20260101-000000"
    run = tmp_path / "bad"
    run.mkdir()
    described, log = read_run(good), (good / "log.jsonl").read_text().splitlines()
    described |= {"newer": {"format": 99}, "damaged": {"config": 3}}.get(wrong, {})
    if wrong == "failed":
        row = {"kind": "trial", "trial": 1, "params": {}, "metrics": {}, "seconds": 1.0, "error": "ValueError: no"}
        log = [json.dumps(row)]
    (run / "log.jsonl").write_text("\n".join([] if wrong == "empty" else log) + "\n")
    write_json(run / RUN, described)
    sections: dict[str, Any] = {"warm_start": [{"nothing": "runs/none", "docs": "docs"}.get(wrong, str(run))]}
    if wrong == "metric":
        sections["objective"] = {"metric": "ndcg"}
    if wrong == "mode":
        sections["objective"] = {"metric": "span_f4", "mode": "min"}
    with pytest.raises(DataError) as error:
        planned(project, **sections)
    assert len(str(error.value).splitlines()) == 1


def test_the_plan_says_what_it_brings(project: Path) -> None:
    said = describe(planned(project))
    assert "warm start  first-20260101-000000: 9 scores are of the same documents and questions" in said
    assert "leaders are tried first" in said


def test_it_is_kept_in_the_run_folder_for_a_search_that_goes_on(project: Path, tmp_path: Path) -> None:
    found = planned(project).warm
    for name, text in found.files.items():
        (tmp_path / name).write_text(text)
    assert kept(tmp_path) == found
    assert "warm_start" in FREE
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(DataError):
        kept(tmp_path)


def test_best_yaml_does_not_start_from_anything(project: Path) -> None:
    plan = planned(project)
    assert "warm_start" not in plan.config.with_best(plan.default)


SPACE = {"size": [16, 32, 64], "k": {"int": [1, 4]}, "kind": ["a", "b"]}
HERE = [name for name, found in ALGORITHMS.items() if found.problem() is None]


def walk(name: str, trials: int | None, **given: Any) -> list[dict[str, Any]]:
    space = SearchSpace.from_dict(SPACE)
    first = [space.encode(one) for one in given.get("first", ())]
    known = [Evaluated(space.encode(one), {"score": score}) for one, score in given.get("known", ())]
    made = make_searcher(name, space, "score", "max", 3, trials=trials, points=first, known=known)
    found: list[dict[str, Any]] = []
    while isinstance(suggested := made.suggest(str(len(found))), dict):
        params = space.configuration(suggested["point"])
        made.on_trial_complete(str(len(found)), {"score": params["k"] + params["size"] / 64})
        found.append(params)
    return found


LEADING = [{"size": 64, "k": 4, "kind": "b"}, {"size": 32, "k": 4, "kind": "a"}]
TOLD = [({"size": 16, "k": 1, "kind": "a"}, 1.25), ({"size": 64, "k": 2, "kind": "b"}, 3.0)]


@pytest.mark.parametrize("name", HERE)
def test_every_algorithm_starts_with_the_leaders_and_the_seed_still_fixes_it(name: str) -> None:
    found = walk(name, 12, first=LEADING, known=TOLD)
    assert found[:2] == LEADING
    assert len(found) == 12
    assert len({tuple(sorted(one.items())) for one in found}) == 12
    assert walk(name, 12, first=LEADING, known=TOLD) == found


def test_a_grid_stays_the_same_set() -> None:
    def as_set(found: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {tuple(sorted(one.items())) for one in found}

    found = walk("grid", None, first=LEADING, known=TOLD)
    assert len(found) == 24
    assert as_set(found) == as_set(walk("grid", None))


def test_random_keeps_its_own_sequence_after_the_leaders() -> None:
    own = [one for one in walk("random", 10) if one not in LEADING]
    assert walk("random", 12, first=LEADING)[2:][: len(own)] == own


@pytest.mark.parametrize("name", ["auto", "optuna", "hyperopt"])
def test_those_that_learn_are_told(name: str) -> None:
    space = SearchSpace.from_dict(SPACE)
    told = [(space.configuration(raw), 9.0 if raw["kind"] == "b" else 0.0) for raw in space.points()]
    told = [(params, score + params["k"]) for params, score in told][::2] + [(params, 0.0) for params, _ in told[1:2]]
    cold, warm = walk(name, 8), walk(name, 8, known=told)
    assert cold != warm
