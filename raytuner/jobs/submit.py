"""Submitting a search to a cluster."""

from __future__ import annotations

import logging
import os
import platform
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import raytuner
from raytuner.config import TuneConfig
from raytuner.documents.load import progress_bar
from raytuner.errors import REDACTED, ConfigError, declare_secret, quoted
from raytuner.jobs.cluster import Cluster, answered, check_python, connect
from raytuner.jobs.job import IMAGE, KEY, RUN, STORAGE, Job
from raytuner.jobs.order import Order
from raytuner.jobs.package import MAX_MB, RAYS_LIMIT_MB, Package, described, pack
from raytuner.jobs.wheel import requirements, unpacked_wheel
from raytuner.plan import Plan, make_plan
from raytuner.storage import checked_storage

ENTRYPOINT = "exec python -m raytuner.jobs.keeper"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
STOP_WAIT_S = 30
"""A search that is stopped shows what it has found; longer than that Ray does not wait."""

logger = logging.getLogger("raytuner")


def submit(
    config: TuneConfig | str | Path,
    address: str | None = None,
    *,
    storage: str | None = None,
    env: Sequence[str] = (),
    env_from_cluster: Sequence[str] = (),
    image_has_raytuner: bool = False,
    max_mb: float = MAX_MB,
    show_progress: bool = False,
    confirm: Callable[[Plan], None] | None = None,
) -> Job:
    """Run a search on a Ray cluster, as a job there.

    The config, its documents and questions and its own modules are packed and sent; raytuner goes with them.

    Args:
        config: The config, or its path.
        address: The job server of the cluster, ``http://HOST:8265``; see `raytuner.jobs.connect`.
        storage: Where the run folder is copied to while it is written: any URL of fsspec, or an absolute path that
            all nodes share. Without one it lies on the head.
        env: Variables whose values here the job gets. Ray stores them and shows them to whoever holds the cluster's
            token.
        env_from_cluster: Variables that each node has to have; a job whose node lacks one ends at once.
        image_has_raytuner: Whether raytuner is installed on the nodes, so that it is not sent.
        max_mb: The most that the package may be, in MB.
        show_progress: Whether the reading of the documents is shown on standard error.
        confirm: Called with what will be run before anything is sent; what it raises ends it.

    Returns:
        The job, whose `Job.follow` gives what it prints, and `Job.wait` its exit code.

    Raises:
        ConfigError: Something in the config or an argument is wrong.
        DataError: Documents or questions are not there, do not fit, or are too many.
        ClusterError: The cluster cannot be reached or used, with the reason.
    """
    loaded = config if isinstance(config, TuneConfig) else TuneConfig.load(config)
    storage = None if storage is None else checked_storage(storage)
    if not 0 < max_mb <= RAYS_LIMIT_MB:
        raise ConfigError(f"max_mb is {max_mb:g}; it must be above 0 and at most {RAYS_LIMIT_MB}, which is Ray's limit")
    for name in (*env, *env_from_cluster):
        if not VARIABLE.fullmatch(name):
            raise ConfigError(f"{quoted(name)} is no name of a variable; write one, e.g. --env-from-cluster MY_KEY")
    values = _values(env)
    cluster = connect(address)
    check_python(cluster)
    with loaded.named_in_errors():
        package, job = _packed(loaded, storage, env_from_cluster, max_mb)
    if values and not cluster.protected:
        raise ConfigError(
            f"--env {', '.join(values)}: {cluster.address} answers without a token, so anybody could read the value; "
            "start the cluster with RAY_AUTH_MODE=token, or set it on the nodes and use --env-from-cluster"
        )
    with progress_bar(quiet=not show_progress) as reading:
        plan = make_plan(loaded, progress=reading)  # its mistakes are said here, not by the job
    if confirm is not None:
        confirm(plan)
    metadata = {KEY: raytuner.__version__, RUN: loaded.run.name or "run", IMAGE: str(image_has_raytuner)}
    metadata |= {} if storage is None else {STORAGE: storage}
    logger.info("package: %d files, %s", len(package.content), described(package.size))
    if not cluster.protected:
        logger.warning("%s answers without a token: whoever reaches it can run anything there", cluster.address)
    if storage is None:
        logger.warning("without --storage the run folder lies on the head, and is lost with it")
    _send(cluster, job, package, metadata, _variables(values, env_from_cluster), wheel=not image_has_raytuner)
    return Job(cluster, job)


def _packed(config: TuneConfig, storage: str | None, needs: Sequence[str], max_mb: float) -> tuple[Package, str]:
    """The package of a new job, and its id."""
    job = f"raytuner-{config.run.name or 'run'}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    order = Order(
        job=job,
        raytuner=raytuner.__version__,
        python=".".join(platform.python_version_tuple()[:2]),
        requirements=requirements(),
        needs=list(needs),
        storage=storage,
    )
    with _saying_nothing():  # what is left out is said where the documents are read
        return pack(config, order, max_mb), job


def _values(names: Sequence[str]) -> dict[str, str]:
    """The values of variables here."""
    for name in names:
        if not os.environ.get(name):
            raise ConfigError(f"--env {quoted(name)}: there is no such variable here; set it, or correct the name")
        declare_secret(name)
    return {name: os.environ[name] for name in names}


def _variables(values: dict[str, str], from_cluster: Sequence[str]) -> dict[str, str]:
    """The environment of the job: what it is given, what it must not log, how it is stopped."""
    return {
        **values,
        REDACTED: ",".join([*values, *from_cluster]),
        "RAY_JOB_STOP_SIGNAL": "SIGINT",
        "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
    }


def _send(
    cluster: Cluster, job: str, package: Package, metadata: dict[str, str], variables: dict[str, str], *, wheel: bool
) -> None:
    """Upload what a job needs and start it."""
    with tempfile.TemporaryDirectory(prefix="raytuner-") as scratch, answered(cluster.address):
        runtime_env: dict[str, Any] = {
            "working_dir": str(package.write(Path(scratch) / "package.zip")),
            "env_vars": variables,
        }
        if wheel:
            runtime_env["py_modules"] = [str(path) for path in unpacked_wheel(Path(scratch))]
        cluster.client.submit_job(entrypoint=ENTRYPOINT, submission_id=job, runtime_env=runtime_env, metadata=metadata)


@contextmanager
def _saying_nothing() -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
