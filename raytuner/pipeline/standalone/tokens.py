"""How the size of a text is counted."""

from __future__ import annotations

from llama_index.core.utils import get_tokenizer


def count_tokens(text: str) -> int:
    """The tokens of a text, by LlamaIndex's default tokenizer."""
    return len(get_tokenizer()(text))
