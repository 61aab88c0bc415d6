"""What every node of a cluster has to have before a search begins; called in a job."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from raytuner.errors import ClusterError, ConfigError
from raytuner.jobs.storage import Mirror

ANSWER_S = 120.0
"""A node may first have to unpack what the job brings."""


def check_nodes(needs: Sequence[str], storage: str | None) -> None:
    """Look on each node for environment variables, and at a storage that is a path.

    Raises:
        ClusterError: A node lacks a variable, does not answer, or cannot write to the storage, which names it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from raytuner import runtime

    runtime.connect("auto")
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(missing)
        asked = []
        for node in ray.nodes():
            if node["Alive"]:
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                answer = task.options(scheduling_strategy=there).remote(list(needs), storage)
                asked.append((node["NodeManagerHostname"], answer))
        for name, answer in asked:
            try:
                found = ray.get(answer, timeout=ANSWER_S)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().splitlines()[0]
                raise ClusterError(f"node {name} does not answer: {reason}; look at it by `ray status`") from None
            if found is not None:
                raise ClusterError(found)
    finally:
        runtime.disconnect()


def missing(needs: Sequence[str], storage: str | None) -> str | None:
    """What this node lacks, in words; None if it has everything."""
    absent = [name for name in needs if not os.environ.get(name)]
    if absent:
        names = ", ".join(absent)
        return (
            f"node {socket.gethostname()} lacks {names} in its environment; set it there before Ray is started, on "
            "Kubernetes from a Secret, or pass it by --env"
        )
    if storage is not None and storage.startswith("file://"):
        if not Path(storage.removeprefix("file://")).parent.is_dir():
            return f"storage {storage}: node {socket.gethostname()} has no such folder; name one that all nodes share"
        try:
            Mirror(storage)
        except ConfigError as error:
            return str(error)
    return None
