"""A language model that only copies: free, fast and deterministic, for tests and benchmarks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback

WORDS = 60

# The question-answering prompt of LlamaIndex puts the context between two lines of dashes. From the first
# such line to the last: the context may hold rules of its own.
_CONTEXT = re.compile(r"^-{5,}[ \t]*$(.*)^-{5,}[ \t]*$", re.MULTILINE | re.DOTALL)


def answer(prompt: str) -> str:
    """Take 60 words at even steps from the context in a prompt.

    Args:
        prompt: The context is what stands between its lines of dashes; without these, the whole prompt.

    Returns:
        The words, joined by spaces; all of them if there are fewer than 60.
    """
    match = _CONTEXT.search(prompt)
    words = (match[1] if match else prompt).split()
    if len(words) > WORDS:
        words = [words[i * len(words) // WORDS] for i in range(WORDS)]
    return " ".join(words)


class MockLLM(CustomLLM):  # type: ignore[misc]
    """Answers with 60 words of the context, so that the answer depends on chunk size and top_k.

    Attributes:
        temperature: 0, which says that the same prompt always has the same answer.
    """

    temperature: float = 0.0

    @property
    def metadata(self) -> LLMMetadata:
        """A context window of a million tokens, so that no prompt is ever cut."""
        return LLMMetadata(context_window=1_000_000, num_output=256, model_name="mock")

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serialises it."""
        return "raytuner_mock"

    def __reduce__(self) -> tuple[Callable[[], MockLLM], tuple[()]]:
        """It has no state."""
        return MockLLM, ()

    @llm_completion_callback()  # type: ignore[untyped-decorator]
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Answer at once."""
        return CompletionResponse(text=answer(prompt))

    @llm_completion_callback()  # type: ignore[untyped-decorator]
    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Iterator[CompletionResponse]:
        """Answer word by word."""

        def stream() -> Iterator[CompletionResponse]:
            text = ""
            for word in answer(prompt).split():
                delta = f" {word}" if text else word
                text += delta
                yield CompletionResponse(text=text, delta=delta)

        return stream()
