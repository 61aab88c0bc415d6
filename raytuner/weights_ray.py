"""Weights of built-in models on their way to nodes that lack them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from raytuner.models import weights


@dataclass(frozen=True)
class Freight:
    """What workers on other nodes may need; nothing moves before one does.

    Attributes:
        files: For each model where Ray keeps its files.
    """

    files: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def pack(cls, models: Iterable[str]) -> Freight:
        """Hand the weights of some models, which this node has, to Ray; on one node alone nothing is."""
        if sum(node["Alive"] for node in ray.nodes()) < 2:
            return cls()
        return cls({name: ray.put(weights.contents(name)) for name in sorted(models)})

    def unpack(self) -> None:
        """Put into this node's cache what it lacks, in a worker."""
        for name, files in self.files.items():
            if not weights.cached(name):
                weights.take(name, ray.get(files))
