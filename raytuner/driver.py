"""One search, from a connected Ray to a result and its run folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raytuner import runtime
from raytuner.objective import Objective
from raytuner.results import TunedResult
from raytuner.search import make_searcher
from raytuner.space import Params, SearchSpace
from raytuner.study import RUN, Listener, Study, new_folder, utc_now, write_json


def search(
    objective: Objective,
    space: SearchSpace,
    *,
    algorithm: str,
    mode: str,
    trials: int | None,
    seed: int,
    parent: Path,
    name: str,
    default: Params | None = None,
    concurrency: int | None = None,
    resources: Mapping[str, float] | None = None,
    time_budget_s: float | None = None,
    run_config: Mapping[str, Any] | None = None,
    address: str | None = None,
    listeners: tuple[Listener, ...] = (),
    files: Mapping[str, str] | None = None,
    verbose: bool = False,
) -> TunedResult:
    """Connect to Ray, search, and record everything in a new run folder.

    Args:
        objective: What is evaluated.
        space: The search space.
        algorithm: The name of the search algorithm.
        mode: ``max`` or ``min``.
        trials: The most configurations to evaluate.
        seed: Fixes the sequence of configurations.
        parent: Where the run folder is made.
        name: The name of the run.
        default: The default configuration; if given, it is trial 1.
        concurrency: The most trials at once.
        resources: What each trial may use.
        time_budget_s: Seconds after which no more is run.
        run_config: Further fields of Ray's ``RunConfig``.
        address: A Ray cluster; None and ``local`` start Ray here.
        listeners: Called after each change of the study.
        files: Texts to store in the run folder by file name.
        verbose: Whether what workers print is shown.

    Returns:
        The results, best first.

    Raises:
        SearchError: An unknown algorithm.
        SpaceError: The algorithm cannot express the space.
        AllTrialsFailedError: No configuration could be scored.
    """
    points = [space.encode(default)] if default is not None else []
    searcher = make_searcher(algorithm, space, objective.metric, mode, seed, trials=trials, points=points)
    runtime.connect(address, verbose=verbose)
    folder = new_folder(parent, name)
    for file, text in (files or {}).items():
        (folder / file).write_text(text, encoding="utf-8")
    default_trial = 1 if points else None
    run: dict[str, Any] = {
        "name": name,
        "created": utc_now(),
        "metric": objective.metric,
        "mode": mode,
        "search": algorithm,
        "trials": trials,
        "seed": seed,
        "default_trial": default_trial,
        "versions": versions(),
    }
    write_json(folder / RUN, run)
    study = Study(objective.metric, mode, folder, listeners)
    finished = runtime.run_trials(
        objective,
        space,
        searcher,
        study,
        concurrency=concurrency,
        resources=resources,
        time_budget_s=time_budget_s,
        run_config=run_config,
    )
    if searcher.rejected_invalid:
        study.note(f"{searcher.rejected_invalid} suggested configurations broke a rule of the space and were skipped")
    ended = {"seconds": round(study.seconds, 3), "stopped": searcher.ended, "notes": study.notes}
    write_json(folder / RUN, {**run, **ended, "interrupted": not finished})
    result = study.result(objective.fixed, default=default_trial, stopped=searcher.ended, interrupted=not finished)
    result.notes = list(study.notes)
    return result


def versions() -> dict[str, str | None]:
    """The versions that a result depends on."""
    packages = ("raytuner", "ray", "llama-index-core", "optuna", "hyperopt", "bm25s", "onnxruntime", "numpy")
    return {"python": platform.python_version(), **{name: installed(name) for name in packages}}


def installed(package: str) -> Any:
    """The installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
