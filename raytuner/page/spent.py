"""Where the time and the money of a run went, and what was used again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytuner.cost import Cost, read_calls
from raytuner.pipeline.link import LINKS


def spent(folder: Path, rows: Sequence[Mapping[str, Any]], cost: Cost | None) -> dict[str, Any]:
    """What a run took, by stage.

    Args:
        folder: The run folder.
        rows: Those of its log.
        cost: What its calls took, if there were any.

    Returns:
        ``{"stages": [{"stage", "made", "reused", "seconds"}], "blocks", "seconds", "calls": [{"stage", "model",
        "answered", "failed", "seconds", "tokens", "usd"}], "usd"}``: ``seconds`` is that of all blocks of questions in
        all workers, and that of a stage is what making took, so that the rest is reading, scoring and waiting.
    """
    blocks = [row for row in rows if row["kind"] in ("block", "held_out")]
    stages: dict[str, list[float]] = {}
    for row in blocks:
        for name, use in _stages(row).items():
            stages[name] = [sum(pair) for pair in zip(stages.get(name, [0, 0, 0.0]), use, strict=True)]
    found: list[dict[str, Any]] = [
        {"stage": _said(name), "made": int(made), "reused": int(reused), "seconds": seconds}
        for name, (made, reused, seconds) in stages.items()
        if name != LINKS  # notes beside the artefacts
    ]
    found.sort(key=lambda row: (-row["seconds"], row["stage"]))
    return {
        "stages": found,
        "blocks": len(blocks),
        "seconds": math.fsum(row.get("seconds") or 0.0 for row in blocks),
        "calls": _calls(folder, cost),
        "usd": None if cost is None else cost.total.usd,
    }


def _said(stage: str) -> str:
    """The name of a stage for a reader; those that split are called like their way of splitting."""
    from raytuner.pipeline.splitters import SPLITTERS

    return f"split ({stage})" if stage in SPLITTERS else stage.replace("_", " ")


def _stages(row: Mapping[str, Any]) -> dict[str, list[float]]:
    """What a block says of stages; nothing in logs of before, or what is damaged."""
    stages = row.get("stages")
    if not isinstance(stages, dict):
        return {}
    return {
        str(name): use
        for name, use in stages.items()
        if isinstance(use, list) and len(use) == 3 and all(isinstance(number, (int, float)) for number in use)
    }


def _calls(folder: Path, cost: Cost | None) -> list[dict[str, Any]]:
    if cost is None:
        return []
    seconds: dict[tuple[str, str], float] = {}
    for row in read_calls(folder):
        key = (row["model"], row["stage"])
        seconds[key] = seconds.get(key, 0.0) + (row.get("seconds") or 0.0)
    return [
        {
            "stage": part.stage,
            "model": part.model,
            "answered": part.answered,
            "failed": part.attempts - part.answered,
            "seconds": seconds.get((part.model, part.stage), 0.0),
            "tokens": part.tokens,
            "usd": part.usd,
        }
        for part in cost.parts
    ]
