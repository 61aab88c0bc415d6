"""Connecting to Ray and running trials on it."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raytuner.errors import ConfigError, RaytunerError, nearest
from raytuner.objective import Objective
from raytuner.space import SearchSpace
from raytuner.study import Study

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing reports home
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's newer output prints its tables even when it is told to be silent
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # an objective's relative paths mean the user's folder
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the study is the log; Tune writes no files for each trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is handled here: Tune would wait for trials in flight
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # nothing is ever restored from Tune's own snapshots
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}


_started_here = False
"""Whether it was raytuner that connected this process to Ray."""


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
    _prepare_environment()
    import ray

    if ray.is_initialized():
        return
    global _started_here  # noqa: PLW0603 - Ray itself is one for each process
    _started_here = True
    if address is not None and address.startswith("ray://"):
        raise ConfigError(f"address {address!r}: Ray Client is not supported; run on the cluster, with address auto")
    options: dict[str, Any] = {"address": address or "local", "logging_level": logging.ERROR, "log_to_driver": verbose}
    if options["address"] == "local":
        options["include_dashboard"] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"address {address!r}: no Ray cluster answers there ({str(error).splitlines()[0]})"
            ) from None


def _prepare_environment() -> None:
    """Set what Ray reads from the environment when it is imported and started."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _ensure_token()
    if "ray" not in sys.modules:  # once imported, Ray has read it; its own default is a token as well
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _ensure_token() -> None:
    """Have a token that only its owner can read: Ray's ports listen on all interfaces, and Ray makes it 0644."""
    if "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ:
        return
    token = Path.home() / ".ray" / "auth_token"
    if token.is_file():
        return
    try:
        token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(token, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    except OSError:
        if not token.is_file():  # else another process was faster
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(
                32
            )  # no home to write to: for this process and its children


def disconnect() -> None:
    """Leave Ray; a local instance ends with all its workers."""
    import ray

    ray.shutdown()


def slots(concurrency: int | None, resources: Mapping[str, float] | None) -> Slots:
    """How many trials the connected cluster can run at once.

    Args:
        concurrency: The most that are wanted; None is as many as fit.
        resources: What a trial needs; None is whole CPUs, all of them shared out over the slots.

    Raises:
        ConfigError: No trial fits.
    """
    import ray

    available = {name.lower(): amount for name, amount in ray.cluster_resources().items()}
    cpus = max(int(available.get("cpu", 1)), 1)
    if concurrency is not None and concurrency < 1:
        raise ConfigError(f"concurrency is {concurrency}; it must be at least 1")
    if resources is None:
        count = min(concurrency or cpus, cpus)
        # Whole CPUs: with fractions Tune was seen to use one worker only.
        return Slots(count, {"cpu": cpus // count})
    needed = {name.lower(): amount for name, amount in resources.items() if amount}
    fitting = [int(available.get(name, 0) / amount) for name, amount in needed.items()]
    if min(fitting, default=cpus) < 1:
        raise ConfigError(f"resources_per_trial {dict(resources)} do not fit; the cluster has {available}")
    count = min(fitting, default=cpus)
    return Slots(min(concurrency or count, count), dict(resources))


def run_trials(
    objective: Objective,
    space: SearchSpace,
    searcher: Any,
    study: Study,
    *,
    concurrency: int | None = None,
    resources: Mapping[str, float] | None = None,
    time_budget_s: float | None = None,
    run_config: Mapping[str, Any] | None = None,
) -> bool:
    """Run a search on the connected Ray and record it in the study.

    Args:
        objective: What is evaluated; it travels to each worker once.
        space: The search space.
        searcher: From `raytuner.search.make_searcher`.
        study: Takes in every report.
        concurrency: The most trials at once; None is as many as fit.
        resources: What each trial may use; None is its share of the CPUs.
        time_budget_s: Seconds after which no more is run.
        run_config: Further fields of Ray's ``RunConfig``.

    Returns:
        False if it was interrupted by Ctrl-C.

    Raises:
        RaytunerError: Tune itself failed.
    """
    from ray import tune
    from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner
    from ray.tune.error import TuneError

    from raytuner.trainable import Gate, ObjectiveTrainable, Parcel, StudyCallback

    share, options = slots(concurrency, resources), dict(run_config or {})
    for key in options:
        if key not in RunConfig.__dataclass_fields__:
            raise ConfigError(f"unknown run_config_dict key {key!r}; {nearest(key, RunConfig.__dataclass_fields__)}")
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    # The constraint, which holds the documents once more, is for the driver only.
    gate = Gate(uuid.uuid4().hex, min(share.number, searcher.at_most or share.number))
    trainable = tune.with_resources(
        tune.with_parameters(
            ObjectiveTrainable, parcel=Parcel.pack(objective, SearchSpace(space.parameters)), gate=gate
        ),
        share.resources,
    )
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(share.number)  # all workers start at once
    # Tune insists on files of its own; they hold nothing that is needed and go when it ends.
    with tempfile.TemporaryDirectory(prefix="raytuner-", ignore_cleanup_errors=True) as scratch:
        tuner = Tuner(
            trainable,
            tune_config=TuneConfig(
                metric=study.metric,
                mode=study.mode,
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=share.number,
                reuse_actors=True,
                time_budget_s=time_budget_s,
                trial_name_creator=lambda trial: trial.trial_id,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=RunConfig(
                **{
                    "verbose": 0,
                    "checkpoint_config": CheckpointConfig(checkpoint_at_end=False),
                    **options,
                    "name": "tune",
                    "storage_path": str(Path(scratch).resolve()),
                    "callbacks": [StudyCallback(study, space), *(options.get("callbacks") or ())],
                }
            ),
        )
        try:
            tuner.fit()
        except KeyboardInterrupt:
            if _started_here:
                disconnect()  # and so end the trials in flight
            return False
        except TuneError as error:
            raise RaytunerError(f"Ray Tune stopped: {str(error).strip().splitlines()[0]}") from error
    return True
