"""What is in the keys of artefacts, noted so that a plan can say why one is used again or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raytuner.pipeline.stage import Stage, digest

PLAIN = (str, int, float, bool, type(None))

LINKS = "links"
"""Under this name the store keeps what is in the keys of others."""


class Link(NamedTuple):
    """What a stage makes for a configuration: one artefact for the whole collection, or one for each question.

    Attributes:
        stage: The name of the stage.
        key: Its content key; for questions what the keys of their artefacts begin with.
        parts: What is in the key beside what comes from upstream.
        upstream: The keys of what it is made from, or the fingerprint of the documents.
        depth: For rankings, how deep they must be; 0 for everything else.
        each: Whether there is one for each question.
        kept: Whether it is kept on disk.
    """

    stage: str
    key: str
    parts: dict[str, Any]
    upstream: str = ""
    depth: int = 0
    each: bool = False
    kept: bool = True

    @classmethod
    def of(cls, part: Stage, params: Mapping[str, Any], *upstream: str, depth: int = 0, each: bool = False) -> Link:
        """What a stage makes for a configuration."""
        parts = {"version": part.version, **part.parts(params)}
        key, kept = part.key(params, *upstream), part.codec is not None
        return cls(part.name, key, parts, " ".join(upstream), depth, each or depth > 0, kept)

    @property
    def described(self) -> dict[str, Any]:
        """As JSON; models and components by what stands for them."""
        parts = {name: value if isinstance(value, PLAIN) else str(value) for name, value in self.parts.items()}
        return {"stage": self.stage, "key": self.key, "parts": parts, "upstream": self.upstream}


def key_for(key: str, *asked: object) -> str:
    """The key of an artefact.

    Args:
        key: That of its link.
        *asked: The question, and what else is asked with it; nothing for the whole collection.
    """
    return digest([key, *asked]) if asked else key
