"""Run folders as the driver writes them, of trials that are scored in this process: no Ray is started."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raytuner import TuneConfig
from raytuner.driver import versions
from raytuner.going_on import identity
from raytuner.objective import Objective
from raytuner.plan import make_plan
from raytuner.run_folder import FORMAT, QUESTIONS, RUN, write_json
from raytuner.study import Study

WORDS = ("tides", "moon", "wheat", "price", "cats", "sleep", "rain", "river", "stone", "bread", "glass", "horse")


def write_data(folder: Path, questions: int = 24, documents: int = 12) -> None:
    """A document for each word, in which the answers of its questions stand one after the other, and its questions."""
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    for at in range(documents):
        facts = [f"The {WORDS[at]} number {n} is called name{at}x{n} by those who live there." for n in range(9)]
        (folder / "docs" / f"{WORDS[at]}.md").write_text(" ".join(facts), encoding="utf-8")
    rows = []
    for number in range(questions):
        at, fact = number % documents, number // documents
        answer = f"The {WORDS[at]} number {fact} is called name{at}x{fact} by those who live there."
        question = f"How is the {WORDS[at]} number {fact} called?"
        rows.append(
            {"id": f"q{number}", "question": question, "document": f"{WORDS[at]}.md", "reference_contexts": [answer]}
        )
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_config(folder: Path, name: str = "rag.yaml", **sections: Any) -> Path:
    """A config of that data, by BM25."""
    config = {
        "documents": "docs",
        "questions": "q.jsonl",
        "pipeline": {"retriever": "bm25"},
        "space": {"chunk_size": [16, 32, 64], "top_k": [1, 2, 3]},
        "search": {"holdout": "none"},
        **sections,
    }
    path = folder / name
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


def make_run(config: Path, trials: Sequence[Mapping[str, Any]], *, name: str = "rag", stopped: int = 0) -> Path:
    """A run of a config that has ended.

    Args:
        config: The config.
        trials: Their parameters.
        name: That of the run.
        stopped: So many of the last trials were stopped after their first block.
    """
    plan = make_plan(TuneConfig.load(config))
    objective, goals = Objective(plan.objective, metric=plan.objective.metric), plan.goals
    folder = config.parent / "runs" / f"{name}-20260101-000000"
    folder.mkdir(parents=True)
    study = Study(objective.metric, plan.mode, folder, goals=goals)
    for number, params in enumerate(trials, 1):
        study.start(number, params, plan.space.encode(params))
        reports = objective.reports(params)
        if number > len(trials) - stopped:
            study.report(number, next(reports))
            study.stop(number, 0.1, "behind", {})
            continue
        for report in reports:
            study.report(number, report)
        study.finish(number, 0.1)
    study.close()
    described = {"metric": objective.metric, "mode": plan.mode, "objectives": [goal.model_dump() for goal in goals]}
    known = {"format": FORMAT, "name": name, "default_trial": 1, "versions": versions(), "trials": len(trials)}
    write_json(folder / RUN, {**known, **described, **identity(plan), "seconds": 1.0, "interrupted": False})
    write_json(folder / QUESTIONS, {"documents": objective.question_documents})
    (folder / "config.yaml").write_text(plan.config.text)
    return folder
