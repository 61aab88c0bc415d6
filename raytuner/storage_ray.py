"""Whether the nodes of a cluster share a storage; asked before anything is written to it."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raytuner.errors import ConfigError, in_a_line
from raytuner.storage import DISK, Storage, unusable

ANSWER_S = 120.0
"""A node may have to start a process first, and to unpack what a job brings."""


def check_shared(url: str, nodes: Sequence[Mapping[str, Any]], otherwise: str) -> None:
    """Write to a storage from here, and look from each node whether it is there.

    Args:
        url: The storage, from `checked_storage`.
        nodes: Those that are alive, as Ray lists them.
        otherwise: What can be done but to name a storage that all nodes share.

    Raises:
        ConfigError: It cannot be used from one of them, or is a path that is not the same on all.
    """
    storage = Storage(url)
    if len(nodes) < 2:
        return
    probe = f"{storage.root}/.raytuner-{uuid.uuid4().hex}"
    storage.files.pipe_file(probe, b"")
    try:
        task = ray.remote(num_cpus=0, max_retries=0)(_trouble_with)
        asked = [on_node(task, node["NodeID"]).remote(storage.url, probe, otherwise) for node in nodes]
        for node, answer in zip(nodes, asked, strict=True):
            if (trouble := answer_of(node, answer)) is not None:
                raise ConfigError(trouble)
    finally:
        storage.files.rm_file(probe)


def on_node(task: Any, node: str) -> Any:
    """A task, or an actor, that runs on one node only."""
    return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))


def answer_of(node: Mapping[str, Any], answer: Any) -> str | None:
    """What a task on a node has found wrong; that the node does not answer is wrong too."""
    try:
        found: str | None = ray.get(answer, timeout=ANSWER_S)
    except ray.exceptions.RayError as error:
        reason = in_a_line(error)
        return f"node {node['NodeManagerHostname']} does not answer: {reason}; look at it by `ray status`"
    return found


def _trouble_with(url: str, probe: str, otherwise: str) -> str | None:
    """Why this node cannot share a storage with the one that has written the probe; None if it can."""
    if url.startswith(DISK):
        try:
            Path(probe).stat()
        except PermissionError as error:
            return unusable(url, error)
        except OSError:
            return (
                f"storage {url} is not the same folder on node {socket.gethostname()}; name one that all nodes share, "
                f"or a URL (s3://bucket/folder), or {otherwise}"
            )
    try:
        Storage(url)
    except ConfigError as error:
        return str(error)
    return None
