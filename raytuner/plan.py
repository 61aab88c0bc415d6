"""From a config to a search: what will be run is decided here, before anything slow is imported."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytuner import models
from raytuner.calls.budget import Budget
from raytuner.config import TuneConfig
from raytuner.datasets.blocks import AUTO, FEWEST_TO_SPLIT
from raytuner.documents.load import Progress, progress_bar
from raytuner.errors import ConfigError, SpaceError, UserError, quoted
from raytuner.goals import Goal
from raytuner.models import Missing, ModelSpec
from raytuner.own_objective import OwnObjective
from raytuner.pipeline import parameters as stages
from raytuner.plan_budget import budget_of
from raytuner.plan_objective import goals_of, make_objective, read_documents, warn_of_metric
from raytuner.rag import RagObjective
from raytuner.results import TunedResult
from raytuner.schedulers import FEWEST, FIFO, RACING, check_one_by_one, check_scheduler
from raytuner.search.options import SearchOptions
from raytuner.search.registry import DEFAULT_TRIALS, algorithm, check_search, default_trials
from raytuner.space import MAX_COUNTED, Choice, Params, Range, SearchSpace
from raytuner.study import Listener
from raytuner.tracking.registry import missing
from raytuner.warm_start import WarmStart, warm_start

if TYPE_CHECKING:
    from raytuner.past import Past
    from raytuner.run_log import RunLog

logger = logging.getLogger("raytuner")


@dataclass(frozen=True)
class Plan:
    """What a config comes to.

    Attributes:
        config: The config.
        objective: Documents, questions, metric and fixed parameters.
        space: The search space.
        default: The default configuration, which is trial 1.
        search: The name of the search algorithm.
        scheduler: The name of what stops trials early.
        trials: The most trials; None is the whole grid.
        budget: What may be spent on calls.
        why: Why this algorithm and number.
        models: The names of the embedding models and LLMs that some configuration uses.
        places: For each of them that is not built in: where it is, and which variable's key goes there.
        missing: What has to be fetched or set before it can run.
        warm: What earlier runs tell.
        skipped: How many points of the space break a rule and are left out; None if they were not counted.
    """

    config: TuneConfig
    objective: RagObjective | OwnObjective
    space: SearchSpace
    default: Params
    search: str
    scheduler: str
    trials: int | None
    budget: Budget
    why: str
    models: Sequence[str]
    places: Mapping[str, str]
    missing: Sequence[Missing]
    warm: WarmStart
    skipped: int | None

    @property
    def goals(self) -> Sequence[Goal]:
        """What is optimised: modes as the config says, else as the metrics are meant."""
        return goals_of(self.config, self.objective)

    @property
    def mode(self) -> str:
        """The mode of the first objective, ``max`` or ``min``."""
        return self.goals[0].mode or "max"

    @property
    def complete(self) -> bool:
        """Whether the documents were read; those of a reader by dotted path are not unless it may be imported."""
        return self.config.documents is None or bool(self.objective.documents)

    @property
    def notes(self) -> list[str]:
        """What has to be said of the search that is not wrong."""
        own = self.objective
        warm = [f"warm start: {line}" for line in self.warm.said]
        if not isinstance(own, RagObjective) or self.config.search.holdout != AUTO or own.holdout:
            return warm
        return [*warm, f"no questions are held out: that takes {FEWEST_TO_SPLIT}, there are {len(own.questions)}"]

    @property
    def total(self) -> int | None:
        """How many trials there will be."""
        return min((n for n in (self.trials, self.space.size()) if n is not None), default=None)


def make_plan(
    config: TuneConfig, *, imports: bool = False, progress: Progress | None = None, warm: WarmStart | None = None
) -> Plan:
    """Read documents and questions, and check that everything fits.

    Args:
        config: The config.
        imports: Whether what the config names by dotted paths is imported, which runs its code: for a search, not
            for a look at it. Documents from a reader of the user's own are not read without.
        progress: Called with how many parts of the documents have been read, and how many there are.
        warm: What earlier runs tell, of a run that goes on; by default they are read.

    Raises:
        UserError: With the value, the rule and the fix.
    """
    with config.named_in_errors():
        return _make_plan(config, imports, progress, warm)


def _make_plan(config: TuneConfig, imports: bool, progress: Progress | None, warm: WarmStart | None) -> Plan:
    check_parameters(config)
    if config.search.name is not None:
        algorithm(config.search.name).check_options(config.search.options)
    elif config.search.options:
        raise ConfigError("search.options are those of one algorithm; name it in search.name")
    documents = read_documents(config, imports, progress)
    objective = make_objective(config, documents)
    if isinstance(objective, RagObjective):
        _check_conditions(config, objective)
    space = SearchSpace.from_dict(decided(config.space, config.pipeline), constraint=objective.check)
    if isinstance(objective, RagObjective):
        _check_space_values(space, objective)
    if imports:
        objective.resolve()
    default = space.configuration(space.default())
    search, trials, why = _choose(config, space)
    embeddings, llms = objective.models(space)
    check_search(search, space, config.search.options)
    goals = goals_of(config, objective)
    scheduler = _scheduler(config, objective)
    check_scheduler(config.search.scheduler or scheduler, config.search.scheduler_options, goals)
    budget = budget_of(config, objective.specs(embeddings), objective.specs(llms))
    ends_early = config.budget.minutes is not None or budget != Budget()
    if ends_early or not isinstance(objective, RagObjective) or algorithm(search).models:
        check_one_by_one(scheduler)
    if isinstance(objective, RagObjective):
        warn_of_metric(goals, space)
    objective.warn(embeddings)
    return Plan(
        config=config,
        objective=objective,
        space=space,
        default=default,
        search=search,
        scheduler=scheduler,
        trials=trials,
        budget=budget,
        why=why,
        models=(*sorted(embeddings), *sorted(llms)),
        places=_places([*objective.specs(embeddings), *objective.specs(llms)]),
        missing=[*models.required(objective.specs(embeddings), objective.specs(llms)), *missing(config.track)],
        warm=warm_start(config, objective, space, goals, trials) if warm is None else warm,
        skipped=_skipped(space),
    )


def tune(
    config: TuneConfig,
    *,
    listeners: tuple[Listener, ...] = (),
    verbose: bool = False,
    show_progress: bool | None = None,
) -> TunedResult:
    """Run the search that a config describes.

    Args:
        config: From `TuneConfig.load`.
        listeners: Called with the study and a trial after each change.
        verbose: Whether what workers print is shown.
        show_progress: Whether a bar is shown while documents are read, on a terminal only, and then a table of the
            best and the running trials; by default in notebooks.

    Returns:
        The results, best first; `TunedResult.default` is that of the default configuration, and the
        run folder holds ``best.yaml``.

    Raises:
        UserError: Something in the config, the documents or the questions is wrong.
        AllTrialsFailedError: No configuration could be scored.
    """
    from raytuner.progress import Progress, in_notebook
    from raytuner.run_log import RunLog

    shown = in_notebook() if show_progress is None else show_progress
    with RunLog() as log:
        with progress_bar(quiet=not shown) as reading:
            plan = make_plan(config, imports=True, progress=reading)
        with Progress(plan.total, quiet=not shown) as progress:
            return run_plan(plan, log, listeners=(*listeners, progress), verbose=verbose)


def run_plan(
    plan: Plan,
    log: RunLog,
    *,
    listeners: tuple[Listener, ...] = (),
    verbose: bool = False,
    past: Past | None = None,
) -> TunedResult:
    """Run a plan (from `make_plan`); see `tune` for what is not said here.

    Args:
        plan: The plan.
        log: What was logged while the plan was made; it goes on in the run folder.
        listeners: See there.
        verbose: See there.
        past: The log of a run of this plan that goes on.
    """
    from raytuner.driver import Start, search
    from raytuner.going_on import identity
    from raytuner.objective import Objective

    config = plan.config
    if not plan.complete:
        raise ConfigError("the plan was made without reading the documents; use make_plan(config, imports=True)")
    config.with_best(plan.default)  # an error in this would be a pity after the search
    start = Start(
        Path(config.run.folder or "runs").expanduser(),
        config.run.name or "run",
        {"config.yaml": config.text, **plan.warm.files},
        identity(plan),
        plan.notes,
        past,
        plan.warm,
        config.track,
    )
    others = [goal.metric for goal in plan.goals[1:]]
    with config.named_in_errors():
        result = search(
            Objective(plan.objective, metric=plan.objective.metric, others=others),
            plan.space,
            _options_of(plan),
            start,
            log=log,
            default=plan.default,
            listeners=listeners,
            verbose=verbose,
        )
    best = config.with_best(result.best.params)
    assert result.run is not None  # a search from a config always has a folder
    (Path(result.run) / "best.yaml").write_text(best, encoding="utf-8")
    return result


def _options_of(plan: Plan) -> SearchOptions:
    """How a plan is searched."""
    config = plan.config
    return SearchOptions(
        plan.search,
        plan.mode,
        plan.trials,
        config.search.seed,
        config.search.concurrency,
        time_budget_s=None if config.budget.minutes is None else config.budget.minutes * 60,
        address=config.run.address,
        algorithm_options=config.search.options,
        goals=plan.goals,
        scheduler=plan.scheduler,
        scheduler_options=config.search.scheduler_options if plan.scheduler != FIFO else {},
        budget=plan.budget,
        trial_timeout_s=config.search.trial_timeout_s,
        max_retries=config.search.max_retries,
        resources=config.run.resources,
        cache=config.run.cache,
    )


def _places(specs: Sequence[ModelSpec]) -> dict[str, str]:
    return {spec.name: place for spec in specs if (place := models.describe(spec)) is not None}


def check_parameters(config: TuneConfig) -> None:
    """Refuse parameters that the pipeline does not have, or that are both fixed and tuned."""
    if config.modules is not None and not config.folder.is_dir():
        raise ConfigError(f"modules: {quoted(config.modules)} is no folder; name the one with your modules")
    for name in config.space:
        if name in config.pipeline:
            raise ConfigError(f"{quoted(name)} is both in pipeline and in space; remove it from one")
    if config.objective.function is not None:  # its parameters are its own affair
        return
    given = models.resolved(config.pipeline, models.table_of(config.models_table()))
    for name, value in given.items():
        if name not in stages.COMPONENTS or str(value) not in config.components:
            stages.check_value(name, value, config.components)
    for name in config.space:
        if name not in stages.parameters():
            stages.check_value(name, None)


def decided(space: Mapping[str, Any], pipeline: Mapping[str, Any]) -> dict[str, Any]:
    """The space without conditions on what is fixed, and without the parameters that are never active for them."""
    decided = {}
    for name, entry in space.items():
        when = entry.get("when") if isinstance(entry, Mapping) else None
        if not isinstance(when, Mapping) or not set(when) & set(pipeline):
            decided[name] = entry
            continue
        fixed = {parent: allowed for parent, allowed in when.items() if parent in pipeline}
        if all(pipeline[parent] in _listed(v) for parent, v in fixed.items()):
            decided[name] = {**entry, "when": {parent: v for parent, v in when.items() if parent not in fixed}}
        else:
            logger.warning("%s is left out: its `when` never holds with what is fixed", name)
    return decided


def _check_conditions(config: TuneConfig, objective: RagObjective) -> None:
    """Refuse conditions that name values which a fixed parameter cannot have; `SearchSpace` looks at the others."""
    for name, entry in config.space.items():
        when = entry.get("when") if isinstance(entry, Mapping) else None
        for parent, allowed in when.items() if isinstance(when, Mapping) else ():
            for value in _listed(allowed) if parent in config.pipeline else ():
                try:
                    stages.check_value(parent, objective.resolved({parent: value})[parent])
                except UserError as error:
                    raise SpaceError(f"{name}: `when` can never hold: {error}") from None


def _listed(allowed: Any) -> list[Any]:
    return allowed if isinstance(allowed, list) else [allowed]


def _check_space_values(space: SearchSpace, objective: RagObjective) -> None:
    for name, parameter in space.parameters.items():
        values: Sequence[Any] = ()
        if isinstance(parameter, Choice):
            values = parameter.values
        elif isinstance(parameter, Range):
            values = [parameter.decode(parameter.encode(bound)) for bound in (parameter.low, parameter.high)]
        for value in values:
            objective.check_value(name, objective.resolved({name: value})[name])


def _choose(config: TuneConfig, space: SearchSpace) -> tuple[str, int | None, str]:
    """The algorithm, the number of trials, and why."""
    size = space.size()
    asked = (config.search.trials, config.budget.trials)
    trials = min((limit for limit in asked if limit is not None), default=None)
    if config.search.name is not None:
        most = trials or default_trials(config.search.name)
        return config.search.name, most, "as asked"
    most = trials or DEFAULT_TRIALS
    if size is not None and size <= most:
        return "grid", trials, f"the space has {size} configurations, at most {most}: all of them can be tried"
    count = str(size) if size is not None else f"more than {MAX_COUNTED:,}"
    if any(parameter.size() is None for parameter in space.parameters.values()):
        count = "endless"
    return "auto", most, f"the space has {count} configurations, more than {most}: a model chooses"


def _scheduler(config: TuneConfig, objective: RagObjective | OwnObjective) -> str:
    """What stops trials early: racing for a RAG pipeline with enough questions, if nothing else is asked for."""
    asked = config.search.scheduler
    if not isinstance(objective, RagObjective):
        if isinstance(config.search.holdout, int) and config.search.holdout:
            logger.warning("search.holdout is left out: the questions of your own objective are its own affair")
        return asked or FIFO
    if objective.total >= FEWEST:
        return asked or RACING
    if asked not in (None, FIFO):
        logger.warning(
            "%s needs %d questions, there are %d: every trial runs to its end", asked, FEWEST, objective.total
        )
    return FIFO


def _skipped(space: SearchSpace) -> int | None:
    valid = space.size()
    everything = SearchSpace(space.parameters).size()
    return None if valid is None or everything is None else everything - valid
