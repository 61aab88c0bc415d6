"""Where raytuner keeps what it can fetch or make again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """``$RAYTUNER_CACHE``, else the user's cache folder; it may not exist yet."""
    given = os.environ.get("RAYTUNER_CACHE")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("raytuner")
