"""What charts have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raytuner.goals import shown

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
BLUE, ORANGE, GREEN, RED, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#8a8a8a"
"""Colours that the colour-blind can tell apart (Okabe and Ito, "Color Universal Design", 2008)."""
SCALE = "viridis"

Run = Mapping[str, Any]
Chart = dict[str, Any]


def chart(
    id_: str, part: str, title: str, about: str, spec: Mapping[str, Any], table: Sequence[Sequence[Any]]
) -> Chart:
    """A chart as `raytuner.page.charts.charts_of` has it, as wide as its place in the page."""
    sized = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    whole = {"$schema": SCHEMA, "description": f"{title}. {about}", **sized, **spec}
    return {"id": id_, "part": part, "title": title, "about": about, "spec": whole, "table": _table(table)}


def _table(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    head, *body = rows
    return {"head": list(head), "rows": [[_cell(value) for value in row] for row in body]}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return shown(value) if isinstance(value, float) else str(value)


def scored(run: Run) -> list[Mapping[str, Any]]:
    """The trials that were scored, in the order in which they ended."""
    return [row for row in run["trials"] if row["state"] == "scored"]


def goal_of(run: Run) -> tuple[str, str]:
    """The first objective: its metric and its mode."""
    goal = run["objectives"][0]
    return goal["metric"], goal["mode"] or "max"


def value_of(row: Mapping[str, Any], metric: str) -> float | None:
    """What a trial has of a metric; None if it is no number."""
    found = row["metrics"].get(metric)
    return found if isinstance(found, (int, float)) else None


def said(params: Mapping[str, Any]) -> str:
    """A configuration in a line."""
    return ", ".join(f"{name}={value}" for name, value in params.items())


def quantity(field: str, title: str, **more: Any) -> dict[str, Any]:
    """A quantity on an axis that need not begin at 0."""
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False, "nice": True}, **more}


def nominal(field: str, rows: Sequence[Mapping[str, Any]], looks: Mapping[str, Any]) -> dict[str, Any]:
    """What is told apart by colour or shape, with its legend below the chart.

    Args:
        field: What of the rows it is.
        rows: What is drawn; the legend has what is there.
        looks: The colour or shape of each value.
    """
    found = {row[field] for row in rows}
    there = {value: look for value, look in looks.items() if value in found}
    return {
        "field": field,
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(there), "range": list(there.values())},
        "legend": {"orient": "bottom"},
    }


def gradient(field: str, title: str, mode: str) -> dict[str, Any]:
    """What a colour says, brighter for better."""
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"scheme": SCALE, "zero": False, "reverse": mode == "min"},
        "legend": {"orient": "bottom", "gradientLength": 160},
    }


def fits(labels: Sequence[str]) -> bool:
    """Whether the labels of an axis fit beside each other on a small chart."""
    return sum(len(label) + 2 for label in labels) < 40
