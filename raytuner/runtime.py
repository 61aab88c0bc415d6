"""Connecting to Ray and running trials on it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import threading
import uuid
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raytuner import head, ray_access
from raytuner.errors import ConfigError, RaytunerError, SearchError, in_a_line, nearest
from raytuner.objective import Objective
from raytuner.run_log import RunLog
from raytuner.schedulers.rule import Rule
from raytuner.schedulers.unfinished import Losses, every_loss_counted
from raytuner.search.options import SearchOptions
from raytuner.space import SearchSpace
from raytuner.study import Study

TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's newer output prints its tables even when it is told to be silent
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study is the log; Tune writes no files for each trial
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # nothing is ever restored from Tune's own snapshots
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "3",  # after Ctrl-C a trial in flight does not hold up the end
}
"""What Tune reads while it runs trials; set for that time only."""

_started_here = False
"""Whether it was raytuner that connected this process to Ray."""


OF_RAY = ("cpu", "gpu", "memory")
"""Resources that Tune names so and Ray in capitals; others are as their nodes name them."""


class Slots(NamedTuple):
    """How many trials run at once, and what each may use."""

    number: int
    resources: dict[str, float]


def connect(address: str | None = None, *, verbose: bool = False) -> None:
    """Connect to Ray, unless this process is connected already.

    Args:
        address: ``local`` or None starts Ray on this machine; ``auto`` or ``HOST:PORT`` joins a cluster.
        verbose: Whether what workers print is shown.

    Raises:
        ConfigError: The address cannot be used.
    """
    ray_access.prepare()
    import ray
    from ray.util.client import ray as client

    if ray.is_initialized():
        if client.is_connected():
            raise ConfigError("this process is connected by Ray Client, which is not used; use raytuner.submit")
        return
    head.check_address(address)
    options: dict[str, Any] = {"address": address or "local", "logging_level": logging.ERROR, "log_to_driver": verbose}
    if options["address"] == "local":
        ray_access.require_token()
        options |= {"include_dashboard": False, "_temp_dir": str(ray_access.temporary_folder())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            with _interrupt_later():
                ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            if options["address"] == "local":
                raise RaytunerError(f"Ray could not be started on this machine: {in_a_line(error)}") from None
            raise ConfigError(f"address {address!r}: {_why_not(error)}") from None
    global _started_here  # noqa: PLW0603 - Ray itself is one for each process
    _started_here = True


def _why_not(error: BaseException) -> str:
    """Why a cluster cannot be joined, and what to do."""
    if any("InvalidAuthToken" in str(one) for one in (error, error.__cause__)):
        where = "RAY_AUTH_TOKEN, or its file in RAY_AUTH_TOKEN_PATH, with RAY_AUTH_MODE=token"
        return f"the cluster refuses the token of this machine; put its own into {where}"
    if str(error).startswith("Version mismatch"):
        return f"{' '.join(str(error).split())}; install the cluster's versions here, or these there"
    return f"no Ray cluster answers there ({in_a_line(error)}); correct the address"


def disconnect() -> None:
    """Leave Ray; a local instance ends with all its workers."""
    import ray

    global _started_here  # noqa: PLW0603 - see connect
    _started_here = False
    ray.shutdown()


def abandon() -> None:
    """End a search that runs in another thread, if it runs on a Ray that raytuner has started."""
    if _started_here:
        disconnect()


def slots(concurrency: int | None, resources: Mapping[str, float] | None) -> Slots:
    """How many trials the connected cluster can run at once.

    Args:
        concurrency: The most that are wanted; None is as many as fit.
        resources: What a trial needs; None is whole CPUs, all of them shared out over the slots.

    Raises:
        ConfigError: No trial fits.
    """
    nodes = _nodes()
    cpus = max(int(sum(node.get("cpu", 0) for node in nodes)), 1)
    if concurrency is not None and concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}; it must be at least 1")
    if resources is not None:
        resources = {name.lower() if name.lower() in OF_RAY else name: amount for name, amount in resources.items()}
    else:
        # Whole CPUs: with fractions Tune was seen to use one worker only. No more than a node has.
        largest = max(1, *(int(node.get("cpu", 0)) for node in nodes))
        share = min(cpus // min(concurrency or cpus, cpus), largest)
        resources = {"cpu": share}
    fitting = sum(_fitting(node, resources) for node in nodes)
    if fitting < 1:
        raise ConfigError(f"resources_per_trial {dict(resources)} fit on no node; the nodes have {nodes}")
    return Slots(min(concurrency or fitting, fitting), dict(resources))


def _fitting(node: Mapping[str, float], resources: Mapping[str, float]) -> int:
    """How many trials fit on a node."""
    needed = {name: amount for name, amount in resources.items() if amount}
    return min((int(node.get(name, 0) / amount + 1e-9) for name, amount in needed.items()), default=1)


def _nodes() -> list[dict[str, float]]:
    """The resources of each node that is alive, the names of its own left out."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [
        {name.lower() if name.lower() in OF_RAY else name: amount for name, amount in node.items()}
        for node in ({name: node[name] for name in node if not name.startswith("node:")} for node in alive)
    ]


class Job(NamedTuple):
    """What is run on Ray.

    Attributes:
        objective: What is evaluated; it travels to each worker once.
        space: The search space.
        searcher: From `raytuner.search.make_searcher`, or around one.
        rule: From `raytuner.schedulers.make_rule`.
        study: Takes in every report.
        options: How it is searched.
        log: Takes in what workers log and warn of.
        losses: Says which trials go on whose worker was lost.
    """

    objective: Objective
    space: SearchSpace
    searcher: Any
    rule: Rule
    study: Study
    options: SearchOptions
    log: RunLog
    losses: Losses


def run_trials(job: Job) -> bool:
    """Run a search on the connected Ray and record it in the study.

    Args:
        job: The search.

    Returns:
        False if it was interrupted by Ctrl-C.

    Raises:
        ConfigError: The resources fit on no node, or the objective cannot be sent to workers.
        RaytunerError: Tune itself failed, or the search algorithm.
    """
    from ray.tune.error import TuneError

    from raytuner.calls_ray import open_accounts
    from raytuner.nodes_ray import Shared, may_grow
    from raytuner.schedulers.gate import Gate

    study, options = job.study, job.options
    share = slots(options.concurrency, options.resources)
    if options.concurrency is not None and options.concurrency > share.number:
        study.note(f"concurrency {options.concurrency} is more than fits: {share.number} trials run at once")
    workers = min(share.number, job.searcher.at_most or share.number)
    grows = may_grow()
    gate = Gate(uuid.uuid4().hex, workers, limit_s=max(20.0, 2.0 * workers), grows=grows)
    shared = Shared.pack(job.objective.built_in(job.space), options.cache, grows)
    accounts = open_accounts(job.objective, job.space, job.options, study)
    # Tune insists on files of its own; they hold nothing that is needed and go when it ends.
    with (
        tempfile.TemporaryDirectory(prefix="raytuner-", ignore_cleanup_errors=True) as scratch,
        _quiet_tune(share.number),
        contextlib.closing(gate),
        contextlib.closing(accounts),
        contextlib.closing(shared),
        _watched(job),
        every_loss_counted(),
    ):
        tuner = _tuner(job, share, gate, accounts, shared, scratch)
        try:
            return _fit(tuner, accounts)
        except SearchError as error:  # raised while it ran: nothing that the user has written
            study.give_up(str(error))
        except TuneError as error:
            if study.failure is not None:
                raise study.failure from None
            raise RaytunerError(f"Ray Tune stopped: {str(error).strip().splitlines()[0]}") from error


def _watched(job: Job) -> contextlib.AbstractContextManager[None]:
    """The head and the driver's node looked after; without them calls into Ray wait until Ray ends the process."""
    import ray

    context = ray.get_runtime_context()
    servers = [head.Server("the head of the Ray cluster", context.gcs_address, head.HEAD_LOST_S)]
    for node in ray.nodes():
        if node["NodeID"] == context.get_node_id():
            address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
            servers.append(head.Server("the Ray node of this process", address, head.NODE_LOST_S))

    job.losses.settle = lambda: head.await_all(servers)

    def lost(server: head.Server) -> None:
        said = head.farewell(server, job.study.folder)
        job.log.note(f"ended: {said}", logging.ERROR)
        head.end(said)

    return head.watched(servers, lost)


def _tuner(job: Job, share: Slots, gate: Any, accounts: Any, shared: Any, scratch: str) -> Any:
    """Tune's own object for the search."""
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter

    from raytuner.schedulers.room import Room
    from raytuner.schedulers.tune import RuleScheduler
    from raytuner.trainable import ObjectiveTrainable, Parcel, StudyCallback

    given = dict(job.options.run_config or {})
    fields = tune.RunConfig.__dataclass_fields__
    for key in given:
        if key not in fields:
            raise ConfigError(f"unknown run_config_dict key {key!r}; {nearest(key, fields)}")
    # The constraint of the space, which holds the documents once more, is for the driver only.
    parcel = Parcel.pack(job.objective, SearchSpace(job.space.parameters))
    trainable = tune.with_parameters(
        ObjectiveTrainable,
        parcel=parcel,
        gate=gate,
        ledger=accounts.ledger,
        timeout_s=job.options.trial_timeout_s,
        shared=shared,
    )
    recorder = StudyCallback(job.study, job.space, job.log, job.losses, job.options.trial_timeout_s)
    limiter = ConcurrencyLimiter(job.searcher, share.number)

    def fitting() -> int:
        found = sum(_fitting(node, share.resources) for node in _nodes())
        return min(job.options.concurrency or found, found)

    room = [Room(limiter, fitting, gate.expect, job.log.note)] if gate.grows else []
    quiet = {
        "verbose": 0,
        "checkpoint_config": tune.CheckpointConfig(checkpoint_at_end=False),
        "progress_reporter": tune.CLIReporter(),  # silent; the one for notebooks empties the cell
    }
    ours = {
        "name": "tune",
        "storage_path": str(Path(scratch).resolve()),
        "callbacks": [recorder, accounts, *room, *(given.get("callbacks") or ())],
    }
    return tune.Tuner(
        tune.with_resources(trainable, share.resources),
        tune_config=tune.TuneConfig(
            metric=job.study.metric,
            mode=job.study.mode,
            search_alg=limiter,
            scheduler=RuleScheduler(job.rule, job.searcher.on_partial, job.losses),
            num_samples=-1,
            reuse_actors=True,
            time_budget_s=job.options.time_budget_s,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(**{**quiet, **given, **ours}),
    )


def _fit(tuner: Any, accounts: Any) -> bool:
    """Run Tune; False after Ctrl-C.

    A Ray that raytuner started is left at once, which ends the trials in flight. On the user's own Ray,
    Tune has to stop them; it then returns as if nothing had happened, but has put the handler of the
    signal back, which it does not do otherwise.
    """
    if _started_here or threading.current_thread() is not threading.main_thread():
        try:
            with _environment({"TUNE_DISABLE_SIGINT_HANDLER": "1"}):
                tuner.fit()
        except KeyboardInterrupt:
            with _uninterrupted():
                accounts.close()
                abandon()
            return False
        return True
    before = signal.getsignal(signal.SIGINT)
    try:
        tuner.fit()
        return signal.getsignal(signal.SIGINT) is not before
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C ignored: a second one must not lose what the first one has to save."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _interrupt_later() -> Iterator[None]:
    """Ctrl-C kept until the end: Ray leaves processes behind, or crashes, when its start is interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed.is_set():
        import ray

        with _uninterrupted():
            ray.shutdown()
        raise KeyboardInterrupt


@contextlib.contextmanager
def _quiet_tune(workers: int) -> Iterator[None]:
    """Tune told to be silent, and to start all workers at once, for the time of one search."""
    log = logging.getLogger("ray.tune")
    level = log.level
    log.setLevel(logging.CRITICAL)  # it would show a traceback for each worker that is lost
    try:
        with _environment({**TUNE_ENVIRONMENT, "TUNE_MAX_PENDING_TRIALS_PG": str(workers)}):
            yield
    finally:
        log.setLevel(level)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables set for a time."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
