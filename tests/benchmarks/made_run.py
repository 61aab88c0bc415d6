"""A run folder of any size, as a search would have written it, of scores that are drawn."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from raytuner.config import TuneConfig
from raytuner.confirm import confirm
from raytuner.data_hashes import data_of
from raytuner.documents.load import load_documents
from raytuner.driver import versions
from raytuner.goals import Goal
from raytuner.objective import Block, Report
from raytuner.pipeline.tally import Use
from raytuner.plan_objective import make_objective
from raytuner.run_folder import FORMAT, HELD_OUT, QUESTIONS, RUN, write_json
from raytuner.study import Study
from raytuner.values import Means, Values

CONFIG = """\
documents: builtin:quickstart
questions: builtin:quickstart
pipeline: {retriever: bm25}
space:
  chunk_size: {int: [64, 512]}
  chunk_overlap: [0, 0.1, 0.25]
  top_k: [1, 2, 3, 5, 8]
  splitter: [sentence, token]
search: {name: random}
objective: {metric: span_f4}
"""
PLAIN = Goal.model_validate({"metric": "span_f4", "mode": "max"})
BLOCK = 8
OTHERS = ("hit_rate", "mrr", "ndcg", "recall", "precision", "span_recall", "span_precision", "span_f1", "span_iou")


def make_run(
    folder: Path,
    *,
    trials: int = 12,
    goals: Sequence[Goal] = (PLAIN,),
    stopped: Sequence[int] = (),
    failed: Sequence[int] = (),
    held_out: int = 20,
    ended: bool = True,
    config: str = CONFIG,
    seed: int = 0,
) -> Path:
    """Write a run.

    Args:
        folder: Where; it is made.
        trials: How many trials there are; the first is the default.
        goals: The objectives, among the metrics that are drawn.
        stopped: Numbers of trials that end after one block.
        failed: Numbers of trials that fail.
        held_out: So many of the questions of the packaged set are held out.
        ended: Whether the run came to its end.
        config: The config; its documents and questions have to be those of the package.
        seed: Of what is drawn.
    """
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    loaded = TuneConfig.parse(config, base=folder)
    objective = make_objective(loaded, load_documents(["builtin:quickstart"]))
    names = [question.id for question in objective.questions]
    searched, kept = names[: len(names) - held_out], names[len(names) - held_out :]
    run = _run_json(folder, goals, trials) | {"data": data_of(objective), "base": str(folder)}
    run["config"] = loaded.settings
    write_json(folder / RUN, run)
    documents = dict(getattr(objective, "question_documents", {}))
    write_json(folder / QUESTIONS, {"documents": documents})
    rng = random.Random(seed)
    with mock.patch("os.fsync"):
        study = Study(goals[0].metric, goals[0].mode or "max", folder, goals=goals)
        for number in range(1, trials + 1):
            _trial(study, number, rng, searched, number in stopped, number in failed)
        if kept and study.scored:
            _hold_out(study, rng, kept, documents, folder)
        study.close()
    if ended:
        write_json(folder / RUN, {**run, "seconds": 12.5, "ended": None, "notes": [], "interrupted": False})
    return folder


def _run_json(folder: Path, goals: Sequence[Goal], trials: int) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": folder.name,
        "created": "2026-01-02T03:04:05+00:00",
        "metric": goals[0].metric,
        "mode": goals[0].mode,
        "objectives": [goal.model_dump() for goal in goals],
        "search": "random",
        "options": {},
        "scheduler": "racing",
        "scheduler_options": {},
        "trials": trials,
        "seed": 0,
        "default_trial": 1,
        "versions": versions(),
    }


def _trial(
    study: Study, number: int, rng: random.Random, questions: Sequence[str], is_stopped: bool, is_failed: bool
) -> None:
    params = _params(rng)
    study.start(number, params, params)
    means = Means()
    for index, start in enumerate(range(0, len(questions), BLOCK)):
        if is_failed or (is_stopped and index):
            break
        block = Block(index, _values(params, rng, questions[start : start + BLOCK]), 0.05, _uses(index))
        means.add(block.values)
        study.report(number, Report(means.values(), block))
    if is_failed:
        study.finish(number, 0.1, error='Traceback:\n  File "x.py", line 1, in f\n    f()\nValueError: <b>broken</b>')
    elif is_stopped:
        study.stop(number, 0.1, "the best is surely better after 8 questions", {study.metric: 0.1})
    else:
        study.finish(number, 0.4)


def _hold_out(
    study: Study, rng: random.Random, questions: Sequence[str], documents: Mapping[str, str], folder: Path
) -> None:
    """The best four and the default answer the held-out questions."""
    chosen = [trial.number for trial in study.scored[:4]]
    for number in dict.fromkeys([*chosen, 1]):
        values = _values(study.trials[number].params, rng, questions)
        study.report_held_out(number, Block(99, values, 0.1))
    found = {number: study.trials[number].held_out for number in dict.fromkeys([*chosen, 1])}
    confirmation = confirm(study.goals[0], found, chosen=chosen, default=1, documents=documents)
    assert confirmation is not None
    write_json(folder / HELD_OUT, confirmation.model_dump())


def _params(rng: random.Random) -> dict[str, Any]:
    found = {
        "chunk_size": rng.randint(64, 512),
        "chunk_overlap": rng.choice([0, 0.1, 0.25]),
        "top_k": rng.choice([1, 2, 3, 5, 8]),
        "splitter": rng.choice(["sentence", "token"]),
    }
    return dict(sorted(found.items()))


def _values(params: Mapping[str, Any], rng: random.Random, questions: Sequence[str]) -> Values:
    quality = 0.7 - abs(math.log2(params["chunk_size"] / 160)) * 0.15 + 0.03 * params["top_k"]
    drawn = {name: min(1.0, max(0.0, rng.gauss(quality, 0.25))) for name in questions}
    tokens = float(params["chunk_size"] * params["top_k"])
    return {
        name: {"span_f4": score, **{other: score * rng.random() for other in OTHERS}, "chunk_tokens": tokens}
        for name, score in drawn.items()
    }


def _uses(index: int) -> dict[str, Use]:
    return {"sentence": Use(1, BLOCK, 0.02), "bm25_search": Use(BLOCK, index, 0.01), "links": Use(1, 0, 0.001)}
