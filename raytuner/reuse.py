"""Why an artefact is used again or not: what is in its key, beside what is in the keys on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raytuner.pipeline.cache import shared_cache
from raytuner.pipeline.link import LINKS, Link
from raytuner.pipeline.pipeline import Pipeline
from raytuner.rag import RagObjective
from raytuner.store import JSON

MADE_FROM = "made from"
"""What stands in `Reuse.differs` for the documents or chunks that an artefact is made from."""


@dataclass(frozen=True)
class Reuse:
    """What is known of one artefact that a configuration needs.

    Attributes:
        stage: The stage that makes it.
        key: Its content key.
        there: Whether it is on disk.
        differs: Where it is not: what is another in the key of the most similar one of the stage, as it is there and as
            it is wanted; empty if the stage has made nothing yet.
    """

    stage: str
    key: str
    there: bool
    differs: Mapping[str, tuple[Any, Any]]


def reuse(objective: RagObjective, params: Mapping[str, Any]) -> list[Reuse]:
    """What of the artefacts that a configuration needs of the whole collection is on disk.

    Args:
        objective: With its documents.
        params: The configuration.

    Raises:
        StoreError: The cache folder cannot be used.
    """
    store = shared_cache().store
    links = Pipeline(objective.documents).links(objective.resolved(params))
    there = store.present([link.key for link in links]) if store is not None else set()
    known = store.of_stage(LINKS, JSON) if store is not None else []
    return [
        Reuse(link.stage, link.key, link.key in there, {} if link.key in there else _nearest(link, known))
        for link in links
    ]


def _nearest(link: Link, known: Sequence[Mapping[str, Any]]) -> Mapping[str, tuple[Any, Any]]:
    """How a key differs from the most similar one of its stage."""
    wanted = link.described
    differences = [_differences(other, wanted) for other in known if other["stage"] == link.stage]
    return min(differences, key=len, default={})


def _differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = there["parts"], wanted["parts"]
    found = {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}
    if there["upstream"] != wanted["upstream"]:
        found[MADE_FROM] = there["upstream"], wanted["upstream"]
    return found
