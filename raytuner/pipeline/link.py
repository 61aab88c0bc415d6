"""What is in the key of an artefact, noted so that a plan can say why one is used again or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from raytuner.pipeline.stage import Stage

PLAIN = (str, int, float, bool, type(None))

LINKS = "links"
"""Under this name the store keeps what is in the keys of others."""


class Link(NamedTuple):
    """An artefact of a stage for the whole collection.

    Attributes:
        stage: The name of the stage.
        key: Its content key.
        parts: What is in the key beside what comes from upstream.
        upstream: The key of what it is made from, or the fingerprint of the documents.
    """

    stage: str
    key: str
    parts: dict[str, Any]
    upstream: str

    @classmethod
    def of(cls, part: Stage, params: Mapping[str, Any], upstream: str) -> Link:
        """The artefact of a stage for a configuration."""
        return cls(part.name, part.key(params, upstream), {"version": part.version, **part.parts(params)}, upstream)

    @property
    def described(self) -> dict[str, Any]:
        """As JSON; models and components by what stands for them."""
        parts = {name: value if isinstance(value, PLAIN) else str(value) for name, value in self.parts.items()}
        return {"stage": self.stage, "key": self.key, "parts": parts, "upstream": self.upstream}
