"""What every node of a cluster has to have before a search begins; called in a job."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from raytuner.errors import ClusterError, ConfigError
from raytuner.storage import DISK


def check_nodes(needs: Sequence[str], storage: str | None) -> None:
    """Look on each node for environment variables, and at a storage that is a path.

    Raises:
        ClusterError: A node lacks a variable, does not answer, or does not share the storage, which names it.
    """
    import ray

    from raytuner import runtime
    from raytuner.storage_ray import answer_of, check_shared, on_node

    runtime.connect("auto")
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]
        task = ray.remote(num_cpus=0, max_retries=0)(missing)
        asked = [on_node(task, node["NodeID"]).remote(list(needs)) for node in nodes]
        for node, answer in zip(nodes, asked, strict=True):
            if (found := answer_of(node, answer)) is not None:
                raise ClusterError(found)
        if storage is not None and storage.startswith(DISK):
            check_folder(storage)
            check_shared(storage, nodes, "leave it out: `raytuner jobs fetch` brings the run folder")
    except ConfigError as error:
        raise ClusterError(str(error)) from None
    finally:
        runtime.disconnect()


def missing(needs: Sequence[str]) -> str | None:
    """What this node lacks, in words; None if it has everything."""
    absent = [name for name in needs if not os.environ.get(name)]
    if not absent:
        return None
    names = ", ".join(absent)
    return (
        f"node {socket.gethostname()} lacks {names} in its environment; set it there before Ray is started, on "
        "Kubernetes from a Secret, or pass it by --env"
    )


def check_folder(storage: str) -> None:
    """Look whether the folder is there that a storage on a disk is in: what nodes share is not made here.

    Raises:
        ConfigError: It is not.
    """
    if not Path(storage.removeprefix(DISK)).parent.is_dir():
        raise ConfigError(
            f"storage {storage}: node {socket.gethostname()} has no such folder; name one that all nodes share"
        )
