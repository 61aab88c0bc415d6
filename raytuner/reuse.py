"""Why artefacts are used again or not: what is in their keys, beside what is in the keys on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raytuner.lookup import Found, Lookup
from raytuner.pipeline.chain import Chain
from raytuner.pipeline.link import Link, key_for
from raytuner.rag import RagObjective

MADE_FROM = "made from"
"""What stands in `Reuse.differs` for what artefacts are made from: documents, chunks, vectors, rankings."""

NEAREST = 50
"""So many of the most similar keys are looked for on disk; the artefacts of the rest are taken to be gone too."""


@dataclass(frozen=True)
class Reuse:
    """What is known of what a stage makes for a configuration.

    Attributes:
        stage: The stage that makes it.
        key: Its content key; for questions what the keys of their artefacts begin with.
        there: How many artefacts are on disk.
        wanted: How many are needed: one for the whole collection, or one for each question.
        unknown: Of how many of them it is not known, since what they are made from is not there.
        each: Whether there is one for each question.
        differs: Where none is there: what is another in the key of the most similar ones of the stage that are, as it
            is there and as it is wanted; empty if there are none.
    """

    stage: str
    key: str
    there: int
    wanted: int
    unknown: int
    each: bool
    differs: Mapping[str, tuple[Any, Any]]


def reuse(objective: RagObjective, params: Mapping[str, Any]) -> list[Reuse]:
    """What of the artefacts that a configuration needs is on disk.

    Args:
        objective: With its documents.
        params: The configuration. With a splitter from outside nothing is known.

    Raises:
        StoreError: The cache folder cannot be used.
    """
    lookup = Lookup(objective)
    chain = lookup.chain(objective.resolved(params))
    return [_reuse(lookup, chain, link) for link in lookup.links(chain)]


def _reuse(lookup: Lookup, chain: Chain, link: Link) -> Reuse:
    found = lookup.found(chain, link)
    there, unknown = len(found.there), len(found.unknown)
    differs = _nearest(lookup, link, found) if found.missing and not there else {}
    return Reuse(link.stage, link.key, there, there + len(found.missing) + unknown, unknown, link.each, differs)


def _nearest(lookup: Lookup, link: Link, found: Found) -> Mapping[str, tuple[Any, Any]]:
    """How a key differs from the most similar one of its stage under which there is something for what is asked."""
    wanted = link.described
    others = [(_differences(other, wanted), other["key"]) for other in lookup.notes if other["stage"] == link.stage]
    others.sort(key=lambda other: len(other[0]))
    for differs, key in others[:NEAREST]:
        if lookup.present([key_for(key, *asked) for asked in found.asked.values()]):
            return differs
    return {}


def _differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    old, new = there["parts"], wanted["parts"]
    found = {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}
    if there["upstream"] != wanted["upstream"]:
        found[MADE_FROM] = there["upstream"], wanted["upstream"]
    return found


@dataclass(frozen=True)
class Share:
    """How much of what a stage makes for several configurations is on disk; what they share counts once.

    Attributes:
        there: How many artefacts are.
        wanted: How many they need, as far as that is known.
        unknown: How many more there are at the most, whose keys are not known.
    """

    there: int
    wanted: int
    unknown: int


def shares(objective: RagObjective, configurations: Iterable[Mapping[str, Any]]) -> dict[str, Share]:
    """What of the artefacts that several configurations need is on disk, by stage.

    Args:
        objective: With its documents.
        configurations: As `RagObjective.resolved` has them; those with a splitter from outside are left out.
    """
    lookup = Lookup(objective)
    there: dict[str, set[str]] = {}
    missing: dict[str, set[str]] = {}
    unknown: Counter[str] = Counter()
    seen: set[str] = set()
    for chain in map(lookup.chain, configurations):
        for link in lookup.links(chain):
            if link is chain.answers or link.key not in seen:
                seen.add(link.key)
                found = lookup.found(chain, link)
                there.setdefault(link.stage, set()).update(found.there.values())
                missing.setdefault(link.stage, set()).update(found.missing.values())
                unknown[link.stage] += len(found.unknown)
    return {stage: Share(len(keys), len(keys) + len(missing[stage]), unknown[stage]) for stage, keys in there.items()}
