"""Answers without an LLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llama_index.core.llms.mock import MockLLM
from llama_index.core.response_synthesizers import BaseSynthesizer

from raytuner.pipeline.standalone.glue import embed_model
from raytuner.pipeline.standalone.sentences import sentences
from raytuner.pipeline.standalone.tokens import count_tokens
from raytuner.pipeline.standalone.unit import unit_rows

ANSWER_TOKENS = 100


class ExtractiveSynthesizer(BaseSynthesizer):  # type: ignore[misc]
    """Answers with the retrieved sentences that are most similar to the question, in their order."""

    def __init__(self) -> None:
        super().__init__(llm=MockLLM())  # which is not asked

    def get_response(self, query_str: str, text_chunks: Sequence[str], **kwargs: Any) -> str:
        """Answer from the texts of the retrieved chunks."""
        found = dict.fromkeys(one for text in text_chunks for block in text.split("\n\n") for one in sentences(block))
        candidates = list(found)
        if not candidates:
            return ""
        model = embed_model()
        vectors = unit_rows(model.get_text_embedding_batch(candidates))
        similarity = vectors @ unit_rows([model.get_query_embedding(query_str)])[0]
        taken: list[int] = []
        total = 0
        for position in np.argsort(-np.round(similarity, 9), kind="stable").tolist():
            tokens = count_tokens(" " + candidates[position])
            if taken and total + tokens > ANSWER_TOKENS:
                break
            taken.append(position)
            total += tokens
        return " ".join(candidates[position] for position in sorted(taken))

    async def aget_response(self, query_str: str, text_chunks: Sequence[str], **kwargs: Any) -> str:
        """As `get_response`."""
        return self.get_response(query_str, text_chunks)

    def _get_prompts(self) -> dict[str, Any]:
        return {}

    def _update_prompts(self, prompts: dict[str, Any]) -> None:
        """There are none."""
