"""Paths: which there can be, and where raytuner keeps what it can fetch or make again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

MAX_PATH, MAX_PART = 4000, 255
"""The most characters of a path, and bytes of a name in it."""


def is_path(text: str) -> bool:
    """Whether a file system can have a path: in one line, not too long, below the home of a user that there is."""
    try:
        Path(text).expanduser()
    except RuntimeError:
        return False
    parts = os.fsencode(text).split(b"/")
    return 0 < len(text) <= MAX_PATH and min(text) >= " " and max(map(len, parts)) <= MAX_PART


def cache_folder() -> Path:
    """``$RAYTUNER_CACHE``, else the user's cache folder; it may not exist yet."""
    given = os.environ.get("RAYTUNER_CACHE")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("raytuner")
