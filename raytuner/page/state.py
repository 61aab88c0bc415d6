"""How a run stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytuner.run_folder import is_held

DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a run raises whose files hold something else than what was written."""


def state_of(folder: Path, run: Mapping[str, Any]) -> str:
    """How a run stands: ``running``, ``finished``, ``interrupted`` by Ctrl-C, or ``cut off`` without an end.

    Args:
        folder: The run folder.
        run: What its ``run.json`` holds.
    """
    if is_held(folder):
        return "running"
    if run.get("seconds") is None:
        return "cut off"
    return "interrupted" if run.get("interrupted") else "finished"
