"""One search, from a connected Ray to a result and its run folder."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raytuner import head, runtime
from raytuner.components import begin_run
from raytuner.confirm import Confirmation
from raytuner.cost import cost_of, read_calls
from raytuner.goals import Goal, described
from raytuner.leaders import Leaders, confirmed
from raytuner.objective import Objective
from raytuner.past import Past
from raytuner.results import TunedResult
from raytuner.run_folder import (
    FORMAT,
    HELD_OUT,
    QUESTIONS,
    RUN,
    check_parent,
    holding,
    new_folder,
    read_run,
    utc_now,
    write_json,
)
from raytuner.run_log import RunLog
from raytuner.schedulers import FIFO, Rule, check_scheduler, make_rule
from raytuner.schedulers.batch import Batch
from raytuner.search import algorithm, make_searcher
from raytuner.search.options import SearchOptions
from raytuner.space import Params, SearchSpace
from raytuner.study import Listener, Study
from raytuner.take_up import begun, find_points, left_of, take_up, would_suggest
from raytuner.tracking.config import TrackConfig
from raytuner.tracking.tracking import Tracking
from raytuner.warm_start import NONE, WarmStart
from raytuner.work import work


@dataclass(frozen=True)
class Start:
    """With what a search begins.

    Attributes:
        parent: Where the run folder is made.
        name: The name of the run.
        files: Texts to store in the run folder by file name.
        known: What else ``run.json`` is to say, for a search that goes on later.
        notes: What is known already that has to be said of the search.
        past: The log of the search that goes on; its folder is held by the caller.
        warm: What earlier runs tell.
        track: Which trackers are told of it.
    """

    parent: Path
    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Any] = field(default_factory=dict)
    notes: Iterable[str] = ()
    past: Past | None = None
    warm: WarmStart = NONE
    track: TrackConfig = field(default_factory=TrackConfig)


def search(
    objective: Objective,
    space: SearchSpace,
    options: SearchOptions,
    start: Start,
    *,
    log: RunLog,
    default: Params | None = None,
    listeners: tuple[Listener, ...] = (),
    verbose: bool = False,
) -> TunedResult:
    """Connect to Ray, search, and record everything in a new run folder, or in that of a search that goes on.

    Args:
        objective: What is evaluated.
        space: The search space.
        options: How it is searched.
        start: With what it begins.
        log: What was logged so far; it goes on in the run folder.
        default: The default configuration; if given, it is trial 1.
        listeners: Called after each change of the study.
        verbose: Whether what workers print is shown.

    Returns:
        The results, best first.

    Raises:
        ConfigError: A tracker cannot work here.
        SearchError: An unknown algorithm.
        SpaceError: The algorithm cannot express the space.
        ModelError: The objective uses a model that cannot be had.
        AllTrialsFailedError: No configuration could be scored.
    """
    begin_run()
    head.check_address(options.address)  # before all that takes longer
    tracking = Tracking.of(start.track)
    check_scheduler(options.scheduler, options.scheduler_options, options.goals)

    def new_searcher() -> Any:
        return _searcher(objective, space, options, default, start.warm)

    searcher = new_searcher()
    objective.prepare(space)
    past = start.past or Past(start.parent, [], {}, [])
    find_points(past, space)
    goals = options.goals or [Goal.model_validate({"metric": objective.metric, "mode": options.mode})]
    at_once = _can_race_at_once(objective, options, searcher) and would_suggest(past, space, new_searcher)
    kept = [] if default is None else [1]
    rule = make_rule(options.scheduler, goals, objective.total, kept, options.scheduler_options, at_once=at_once)
    if start.past is None:
        check_parent(start.parent)
    runtime.connect(options.address, verbose=verbose)
    run = _description(start, objective.metric, options, default_trial=None if default is None else 1)
    with contextlib.ExitStack() as held:
        if start.past is None:
            folder = new_folder(start.parent, start.name)
            held.enter_context(holding(folder))
        else:
            folder = start.past.folder
        _open_folder(folder, run, objective, start.files)
        log.open(folder)
        changed = (*listeners, log.on_change, tracking.on_change)
        study = Study(objective.metric, options.mode, folder, changed, space.names, goals=goals)
        how = f"{options.algorithm}, {options.scheduler}, seed {options.seed}"
        log.note(f"{how}; {described(study.goals)}; {run['versions']}")
        for note in start.notes:
            study.note(note)
        take_up(study, past, objective.total)
        study.taken.add(read_calls(folder))
        tracking.begin(study, space, run, start.files.get("config.yaml", ""), past)
        searcher = _around(searcher, rule, study, objective, options, run["default_trial"], past)
        job = runtime.Job(objective, space, searcher, rule, study, options, log, searcher.losses)
        held.callback(tracking.end, study, None, None, finished=False)  # of what is not told of its end below
        try:
            finished = runtime.run_trials(job)
        finally:
            study.close()
        return _concluded(job, run, finished, tracking)


def _searcher(
    objective: Objective, space: SearchSpace, options: SearchOptions, default: Params | None, warm: WarmStart
) -> Any:
    """The search algorithm; the default configuration comes first, then the leaders of earlier runs."""
    return make_searcher(
        options.algorithm,
        space,
        objective.metric,
        options.mode,
        options.seed,
        trials=options.trials,
        points=[*([] if default is None else [space.encode(default)]), *warm.first],
        objectives=options.goals,
        work=work(objective),
        known=warm.known,
        **options.algorithm_options,
    )


def _of_before(folder: Path) -> dict[str, Any]:
    """What ``run.json`` goes on saying of a run that goes on."""
    before = read_run(folder)
    times = {"created": before.get("created"), "resumed": [*before.get("resumed", ()), utc_now()]}
    return {**times, "seconds_before": (before.get("seconds") or 0.0) + before.get("seconds_before", 0.0)}


def _concluded(job: runtime.Job, run: Mapping[str, Any], finished: bool, tracking: Tracking) -> TunedResult:
    study, objective, options, searcher = job.study, job.objective, job.options, job.searcher
    folder = study.folder
    assert folder is not None
    confirmation = _confirmed(study, objective, folder, run["default_trial"])
    for remark in _remarks(objective, options, searcher, job.rule, confirmation):
        study.note(remark)
    cost = cost_of(read_calls(folder))
    for line in tracking.end(study, cost, confirmation, finished=finished):
        study.note(line)
    ended = searcher.ended or _out_of_time(study, options)
    _record_end(study, folder, run, job.log, ended=ended, finished=finished)
    result = study.result(objective.fixed, default=run["default_trial"], ended=ended, interrupted=not finished)
    known = {"confirmation": confirmation, "documents": objective.question_documents, "cost": cost}
    return result.model_copy(update=known)


def _open_folder(folder: Path, run: Mapping[str, Any], objective: Objective, files: Mapping[str, str]) -> Path:
    """Write into a run folder what is known before the search begins."""
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    write_json(folder / RUN, run)
    write_json(folder / QUESTIONS, {"documents": objective.question_documents})
    return folder


def _around(
    searcher: Any,
    rule: Rule,
    study: Study,
    objective: Objective,
    options: SearchOptions,
    default: int | None,
    past: Past,
) -> Any:
    """The search in rounds if all configurations race at once, and after it the leaders if questions are held out.

    What an earlier driver has done of it is known to all of them.
    """
    from raytuner.schedulers.halting import HaltingSearcher
    from raytuner.schedulers.rounds import RoundSearcher
    from raytuner.schedulers.unfinished import Losses, UnfinishedSearcher

    known = begun(past)
    if isinstance(rule, Batch):
        searcher = RoundSearcher(searcher, rule, objective.block_size, study.drop, past.trials)
        known = {name: {**one, "unfinished": False} for name, one in known.items()}  # rounds hand them out themselves
    else:
        searcher.take_up(past.events(objective.total), past.last)
        rule.restore(past.rows)
    unfinished = [(name, one) for name, one in known.items() if one["unfinished"]]
    losses = Losses(options.max_retries, lambda number: study.is_over(number, options.trial_timeout_s))
    left = left_of(study, objective)
    if objective.holdout:
        confirming = Leaders(study, objective, options, default).after(searcher, known)
        searcher = UnfinishedSearcher(confirming, losses, left, unfinished, confirming.goes_on)
    else:
        searcher = UnfinishedSearcher(searcher, losses, left, unfinished)
    return HaltingSearcher(searcher, lambda: study.halted, losses)


def _confirmed(study: Study, objective: Objective, folder: Path, default: int | None) -> Confirmation | None:
    """What the held-out questions say, also in the run folder; None if there are none or they were not all answered."""
    if not objective.holdout:
        return None
    confirmation = confirmed(study, objective.holdout, objective.question_documents, default)
    if confirmation is not None:
        write_json(folder / HELD_OUT, confirmation.model_dump())
    return confirmation


def _remarks(
    objective: Objective, options: SearchOptions, searcher: Any, rule: Rule, confirmation: Confirmation | None
) -> Iterator[str]:
    """What else has to be said of a search that has ended."""
    if rule.finished and options.scheduler != FIFO and not any(map(rule.count, rule.finished)):
        yield f"{options.scheduler} needs blocks of questions, which the objective does not yield: all trials ran on"
    if searcher.rejected_invalid:
        yield f"{searcher.rejected_invalid} suggested configurations broke a rule of the space and were skipped"
    if confirmation is not None and confirmation.questions < objective.holdout:
        lost = objective.holdout - confirmation.questions
        yield f"{lost} of the {objective.holdout} held-out questions could not be scored for all leaders: left out"
    if objective.holdout and confirmation is None:
        yield f"the winner was not confirmed on the {objective.holdout} held-out questions"


MAX_AT_ONCE = 10_000
"""So many configurations at the most race all at once; each is kept in memory from the beginning."""


def _can_race_at_once(objective: Objective, options: SearchOptions, searcher: Any) -> bool:
    """Whether all configurations can race at once, which takes fewer questions.

    They can where the search does not learn, there are not too many of them, and an objective goes on from any block.
    With a budget of time or calls they come one by one, so that some are complete when it ends.
    """
    can_go_on = objective.resumable and objective.total is not None and not options.is_bounded
    known = searcher.at_most is not None and searcher.at_most <= MAX_AT_ONCE
    return can_go_on and known and not algorithm(options.algorithm).models


def _record_end(
    study: Study, folder: Path, run: Mapping[str, Any], log: RunLog, *, ended: str | None, finished: bool
) -> None:
    """Write how a search ended into its run folder and its log."""
    end = {"seconds": study.seconds, "ended": ended, "notes": study.notes}
    write_json(folder / RUN, {**run, **end, "interrupted": not finished})
    for remark in (*study.notes, ended or "", "" if finished else "interrupted"):
        if remark:
            log.once(remark)


def _description(start: Start, metric: str, options: SearchOptions, default_trial: int | None) -> dict[str, Any]:
    """What ``run.json`` says of a run before it starts."""
    return {
        "format": FORMAT,
        "name": start.name,
        "created": utc_now(),
        "metric": metric,
        "mode": options.mode,
        "objectives": [goal.model_dump() for goal in options.goals] or [{"metric": metric, "mode": options.mode}],
        "search": options.algorithm,
        "options": dict(options.algorithm_options),
        "scheduler": options.scheduler,
        "scheduler_options": dict(options.scheduler_options),
        "trials": options.trials,
        "seed": options.seed,
        "default_trial": default_trial,
        "versions": versions(),
        **start.known,
        **({} if start.past is None else _of_before(start.past.folder)),
    }


def _out_of_time(study: Study, options: SearchOptions) -> str | None:
    budget = options.time_budget_s
    return f"the time budget of {budget:g} s is used up" if budget is not None and study.seconds >= budget else None


def versions() -> dict[str, str | None]:
    """The versions that a result depends on."""
    packages = ("raytuner", "ray", "llama-index-core", "optuna", "hyperopt", "bm25s", "onnxruntime", "numpy")
    return {"python": platform.python_version(), **{name: installed(name) for name in packages}}


def installed(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
