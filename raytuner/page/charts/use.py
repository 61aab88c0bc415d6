"""Where the time went, and how the leaders do question by question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raytuner.page.charts.parts import (
    BLUE,
    GREEN,
    ORANGE,
    Chart,
    Run,
    chart,
    gradient,
    nominal,
)


def time_by_stage(run: Run) -> Chart | None:
    """How long each stage took."""
    spent = run["spent"]
    stages = [{"stage": row["stage"], "seconds": row["seconds"]} for row in spent["stages"] if row["seconds"] >= 0.001]
    if not stages:
        return None
    rest = spent["seconds"] - sum(row["seconds"] for row in stages)
    rows = [*stages, *([{"stage": "reading, scoring, waiting", "seconds": rest}] if rest > 0.001 else [])]
    spec = {
        "height": 24 * len(rows),
        "data": {"values": rows},
        "mark": {"type": "bar", "color": BLUE, "cornerRadiusEnd": 3},
        "encoding": {
            "y": {"field": "stage", "type": "nominal", "sort": None, "title": None},
            "x": {
                "field": "seconds",
                "type": "quantitative",
                "title": "seconds of all workers",
                "axis": {"tickCount": 5},
            },
            "tooltip": [{"field": "stage"}, {"field": "seconds", "format": ".2f"}],
        },
    }
    about = (
        "What making things took in all workers together; calls that overlap count each. The start of Ray is not in it."
    )
    table = [("stage", "seconds"), *((row["stage"], f"{row['seconds']:.2f}") for row in rows)]
    return chart("time", "spent", "Time by stage", about, spec, table)


def reused(run: Run) -> Chart | None:
    """How much was made, and how much was there."""
    stages = run["spent"]["stages"]
    if not stages:
        return None
    rows = [
        {
            "stage": row["stage"],
            "kind": kind,
            "count": row[name],
            "share": row[name] / ((row["made"] + row["reused"]) or 1),
        }
        for row in stages
        for kind, name in (("used again", "reused"), ("made", "made"))
    ]
    spec = {
        "height": 24 * len(stages),
        "data": {"values": rows},
        "mark": {"type": "bar"},
        "encoding": {
            "y": {"field": "stage", "type": "nominal", "sort": None, "title": None},
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "share of what was asked for",
                "axis": {"format": "%", "tickCount": 5},
                "scale": {"domain": [0, 1]},
            },
            "color": nominal("kind", rows, {"used again": GREEN, "made": ORANGE}),
            "order": {"field": "kind", "sort": "descending"},
            "tooltip": [{"field": "stage"}, {"field": "kind"}, {"field": "count"}, {"field": "share", "format": ".1%"}],
        },
    }
    about = "How often what a stage makes was there already, from another trial or an earlier run."
    table = [("stage", "used again", "made"), *((row["stage"], row["reused"], row["made"]) for row in stages)]
    return chart("reused", "spent", "What was used again", about, spec, table)


def by_question(run: Run) -> Chart | None:
    """The leaders on each question."""
    found = run["questions"]
    if not found:
        return None
    leaders = [_leader(row) for row in found["leaders"]]
    rows = [
        {"n": number, "question": row["id"], "leader": leader, "score": score}
        for number, row in enumerate(found["rows"], 1)
        for leader, score in zip(leaders, row["scores"], strict=True)
        if score is not None
    ]
    spec = {
        "height": 22 * len(leaders),
        "data": {"values": rows},
        "mark": {"type": "rect"},
        "encoding": {
            "x": {
                "field": "n",
                "type": "ordinal",
                "title": "questions, the worst for the first first",
                "axis": {"labels": False, "ticks": False},
            },
            "y": {"field": "leader", "type": "nominal", "sort": leaders, "title": None},
            "color": gradient("score", found["metric"], found["mode"]),
            "tooltip": [{"field": "question"}, {"field": "leader"}, {"field": "score", "title": found["metric"]}],
        },
    }
    about = "Each column is a question: where a column is dark, all leaders fail; where it is mixed, they differ."
    if any(None in row["scores"] for row in found["rows"]):
        about += " Empty: not asked, or it failed."
    table = [("question", *leaders), *((row["id"], *row["scores"]) for row in found["rows"])]
    return chart("questions", "questions", "The leaders on each question", about, spec, table)


def _leader(row: Mapping[str, Any]) -> str:
    said = ", ".join(row["marks"])
    return f"trial {row['trial']}" + (f" ({said})" if said else "")
