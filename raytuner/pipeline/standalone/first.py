"""What is answered from."""

from __future__ import annotations

from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore


class First(BaseNodePostprocessor):  # type: ignore[misc]
    """Keeps the first chunks of a ranking."""

    count: int

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
        return nodes[: self.count]
