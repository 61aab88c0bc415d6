"""Where OpenAI's models are."""

from __future__ import annotations

import os


def openai_url() -> str:
    """The address that the environment names, else OpenAI's own."""
    named = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    return named or "https://api.openai.com/v1"
