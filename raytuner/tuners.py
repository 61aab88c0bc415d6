"""The tuners: LlamaIndex's three, field for field, and what they lacked."""

from __future__ import annotations

import asyncio
import time
import traceback
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from raytuner import aio
from raytuner.components import begin_run
from raytuner.errors import ConfigError, nearest, quoted
from raytuner.goals import Goal, Mode, checked, with_modes
from raytuner.objective import Objective
from raytuner.progress import bar
from raytuner.results import TunedResult
from raytuner.search.options import SearchOptions
from raytuner.search.registry import default_trials
from raytuner.space import Params, SearchSpace
from raytuner.study import Listener, Study
from raytuner.tracking.config import TrackConfig


class BaseParamTuner(BaseModel):
    """What the tuners have in common.

    Attributes:
        param_dict: For each parameter a list of choices, one of Ray's domains, or a form of YAML;
            see `SearchSpace.from_dict`.
        fixed_param_dict: Parameters that do not vary (documents, questions, ...). They are given to the
            objective along with the others, which win where both have a name, and come back in the results
            by reference.
        show_progress: Whether a progress bar is shown.
        metric: The value to optimise, where the objective returns several.
        mode: ``max`` or ``min``.
        objectives: Several values to optimise, or limits to keep, in place of `metric` and `mode`: for each ``metric``
            and, if wanted, ``mode`` (by default as a metric of raytuner is meant, ``max`` for others) and ``limit``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    param_dict: dict[str, Any]
    fixed_param_dict: dict[str, Any] = Field(default_factory=dict)
    show_progress: bool = False
    metric: str = "score"
    mode: Mode = "max"
    objectives: list[Goal] | None = None

    @abstractmethod
    def tune(self) -> TunedResult:
        """Evaluate configurations and return the results, best first."""

    def _space(self) -> SearchSpace:
        return SearchSpace.from_dict(self.param_dict)

    def _configurations(self, space: SearchSpace) -> list[Params]:
        return [space.configuration(raw) for raw in space.points()]

    def _objective(self, function: Callable[[dict[str, Any]], Any]) -> tuple[Objective, tuple[Goal, ...]]:
        """The objective and what is optimised."""
        if self.objectives is None:
            return Objective(function, self.fixed_param_dict, self.metric), (Goal(metric=self.metric, mode=self.mode),)
        if {"metric", "mode"} & self.model_fields_set:
            raise ConfigError("metric and mode are for one value, objectives for several; give one of the two")
        names = [goal.metric for goal in checked(self.objectives)]
        objective = Objective(function, self.fixed_param_dict, names[0], names[1:])
        modes = objective.modes()
        for name in names if modes else ():
            if name not in (*modes, "score"):
                raise ConfigError(f"objectives: {quoted(name)} is no metric of the objective; {nearest(name, modes)}")
        return objective, with_modes(self.objectives, modes)

    def _study(self, space: SearchSpace, goals: Sequence[Goal], total: int) -> Study:
        listeners: tuple[Listener, ...] = (bar(total),) if self.show_progress else ()
        first = goals[0]
        return Study(first.metric, first.mode or "max", listeners=listeners, names=space.names, goals=goals)


class ParamTuner(BaseParamTuner):
    """Evaluates the full grid, one configuration after the other, in this process.

    Attributes:
        param_fn: The objective: a function of one dict. It may return a ``RunResult``, a number or a
            dict of values, be a coroutine function, or yield blocks of questions; see `Objective`.
    """

    param_fn: Callable[[dict[str, Any]], Any]

    def tune(self) -> TunedResult:
        """Evaluate the full grid.

        Returns:
            The results, best first. A configuration that raises is among `TunedResult.failed`.

        Raises:
            SpaceError: The space cannot be written as a grid.
            AllTrialsFailedError: No configuration could be scored.
        """
        begin_run()
        objective, goals = self._objective(self.param_fn)
        space = self._space()
        configurations = self._configurations(space)
        objective.prepare(space)
        study = self._study(space, goals, len(configurations))
        try:
            for number, params in enumerate(configurations, 1):
                _run_here(study, objective, number, params)
        except KeyboardInterrupt:
            return study.result(self.fixed_param_dict, interrupted=True)
        return study.result(self.fixed_param_dict)


def _run_here(study: Study, objective: Objective, number: int, params: Params) -> None:
    """Run one trial in this process."""
    started, error = time.perf_counter(), None
    study.start(number, params)
    try:
        for report in objective.reports(params):
            study.report(number, report)
    except (Exception, SystemExit):  # whatever an objective raises is a failed trial
        error = traceback.format_exc()
    study.finish(number, time.perf_counter() - started, error)


class AsyncParamTuner(BaseParamTuner):
    """Evaluates the full grid with several configurations in flight on one event loop.

    Attributes:
        aparam_fn: The objective: a coroutine function of one dict.
        num_workers: How many configurations are in flight at once.
    """

    aparam_fn: Callable[[dict[str, Any]], Any]
    num_workers: int = Field(default=2, ge=1)

    def tune(self) -> TunedResult:
        """Evaluate the full grid; works also inside a running event loop. See `atune`."""
        configurations, objective, study = self._prepared()
        try:
            aio.run(self._run_all(study, objective, configurations))
        except KeyboardInterrupt:
            return study.result(self.fixed_param_dict, interrupted=True)
        return study.result(self.fixed_param_dict)

    async def atune(self) -> TunedResult:
        """Evaluate the full grid on the running event loop.

        Returns:
            The results, best first. `tune` returns what was finished after Ctrl-C; here it is the loop's
            owner who decides what an interrupt means.

        Raises:
            SpaceError: The space cannot be written as a grid.
            AllTrialsFailedError: No configuration could be scored.
        """
        configurations, objective, study = self._prepared()
        await self._run_all(study, objective, configurations)
        return study.result(self.fixed_param_dict)

    def _prepared(self) -> tuple[list[Params], Objective, Study]:
        begin_run()
        objective, goals = self._objective(self.aparam_fn)
        space = self._space()
        configurations = self._configurations(space)
        objective.prepare(space)
        return configurations, objective, self._study(space, goals, len(configurations))

    async def _run_all(self, study: Study, objective: Objective, configurations: list[Params]) -> None:
        free = asyncio.Semaphore(self.num_workers)

        async def trial(number: int, params: Params) -> None:
            async with free:
                await _arun_here(study, objective, number, params)

        await asyncio.gather(*(trial(number, params) for number, params in enumerate(configurations, 1)))


async def _arun_here(study: Study, objective: Objective, number: int, params: Params) -> None:
    started, error = time.perf_counter(), None
    study.start(number, params)
    try:
        async for report in objective.areports(params):
            study.report(number, report)
    except (Exception, SystemExit):  # see _run_here
        error = traceback.format_exc()
    study.finish(number, time.perf_counter() - started, error)


class RayTuneParamTuner(BaseParamTuner):
    """Searches with Ray Tune: the grid by default, or at random, or with a model.

    Attributes:
        param_fn: The objective, as for `ParamTuner`; it runs in Ray's worker processes.
        aparam_fn: The same as a coroutine function; one of the two is given.
        search: The name of a search algorithm; ``raytuner algorithms`` lists them.
        search_options: Options of the algorithm.
        scheduler: What stops trials early: ``fifo`` (nothing), ``racing``, ``halving``, ``asha``, ``median`` or
            ``wilcoxon``.
        scheduler_options: Options of the scheduler.
        num_samples: The most configurations to evaluate; by default the whole grid, or 30 for the others.
        seed: Fixes the sequence of configurations; always for grid and random, for the others with one
            trial at a time.
        max_concurrent_trials: The most trials at once; by default as many as fit.
        resources_per_trial: What each trial may use, e.g. ``{"cpu": 1}``; by default its share of the CPUs.
        time_budget_s: Seconds after which no more is run; by default there is no limit.
        storage_path: Where the run folder is made; by default ``./runs``.
        address: A Ray cluster (``auto`` or ``HOST:PORT``); by default Ray is started on this machine,
            unless this process is connected already.
        run_config_dict: Fields of Ray's ``RunConfig``, as for LlamaIndex's tuner; ``name`` and ``storage_path`` name
            the run folder.
        track: Which trackers are told of the search: a name such as ``mlflow``, a list, or a mapping to options.
    """

    param_fn: Callable[[dict[str, Any]], Any] | None = None
    aparam_fn: Callable[[dict[str, Any]], Any] | None = None
    search: str = "grid"
    search_options: dict[str, Any] = Field(default_factory=dict)
    scheduler: str = "fifo"
    scheduler_options: dict[str, Any] = Field(default_factory=dict)
    num_samples: int | None = Field(default=None, ge=1)
    seed: int = 0
    max_concurrent_trials: int | None = Field(default=None, ge=1)
    resources_per_trial: dict[str, float] | None = None
    time_budget_s: float | None = Field(default=None, gt=0)
    storage_path: str | Path | None = None
    address: str | None = None
    run_config_dict: dict[str, Any] | None = None
    track: TrackConfig = Field(default_factory=TrackConfig)

    def tune(self) -> TunedResult:
        """Search; works also inside a running event loop, and with objectives of a notebook.

        Returns:
            The results, best first. After Ctrl-C, those that were finished.

        Raises:
            SearchError: An unknown algorithm.
            SpaceError: The algorithm cannot express the space.
            AllTrialsFailedError: No configuration could be scored.
        """
        from raytuner.driver import Start, search
        from raytuner.run_log import RunLog

        functions = [function for function in (self.param_fn, self.aparam_fn) if function is not None]
        if len(functions) != 1:
            raise ConfigError("give the objective as param_fn or as aparam_fn, one of the two")
        run_config = dict(self.run_config_dict or {})
        parent = self.storage_path or run_config.pop("storage_path", None) or "runs"
        name = run_config.pop("name", None) or "tune"
        objective, goals = self._objective(functions[0])
        space = self._space()
        options = SearchOptions(
            self.search,
            goals[0].mode or "max",
            self.num_samples or default_trials(self.search),
            self.seed,
            self.max_concurrent_trials,
            self.resources_per_trial,
            self.time_budget_s,
            self.address,
            run_config,
            self.search_options,
            goals,
            self.scheduler,
            self.scheduler_options,
        )
        with RunLog() as log:
            return search(
                objective,
                space,
                options,
                Start(Path(parent).expanduser(), name, track=self.track),
                log=log,
                listeners=(bar(_total(space, options.trials)),) if self.show_progress else (),
                verbose=True,
            )

    async def atune(self) -> TunedResult:
        """`tune` without blocking the running event loop; cancelling it ends the search."""
        try:
            return await asyncio.to_thread(self.tune)
        except asyncio.CancelledError:
            from raytuner import runtime

            runtime.abandon()
            raise


def _total(space: SearchSpace, trials: int | None) -> int | None:
    sizes = [size for size in (space.size(), trials) if size is not None]
    return min(sizes, default=None)
