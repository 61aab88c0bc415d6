"""Where the OpenAI-style service is and the key for it; both come from the environment alone."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from raytuner.errors import ModelError

KEY = "OPENAI_API_KEY"
DEFAULT_URL = "https://api.openai.com/v1"


def base_url() -> str:
    """Find the address of the service: ``OPENAI_BASE_URL``, ``OPENAI_API_BASE`` or OpenAI's own."""
    return os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE") or DEFAULT_URL


def public_url() -> str:
    """The address without user name, password and query, fit for keys and logs."""
    parts = urlsplit(base_url())
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def has_key() -> bool:
    """Say whether the key is set."""
    return bool(os.environ.get(KEY))


def key(model: str) -> str:
    """Read the key.

    Raises:
        ModelError: The variable is not set.
    """
    if not has_key():
        raise ModelError(f"model {model!r} needs a key: set the environment variable {KEY}")
    return os.environ[KEY]
