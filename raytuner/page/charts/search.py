"""How a search went: its progress, its front, what was stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raytuner.page.charts.parts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    SKY,
    Chart,
    Run,
    chart,
    goal_of,
    nominal,
    quantity,
    said,
    scored,
    value_of,
)


def versus_default(run: Run) -> Chart | None:
    """By how much each leader is better than the default on held-out questions."""
    answer = run["answer"]
    kinds = ("surely better", "not surely")
    rows: list[dict[str, Any]] = [
        {
            **row,
            "kind": kinds[0 if row["is_sure"] else 1],
            "name": f"trial {row['trial']}{' (take)' if row['trial'] == answer['best']['trial'] else ''}",
        }
        for row in (answer["leaders"] if answer else ())
    ]
    if not rows:
        return None
    sort = [row["name"] for row in rows]
    y = {"field": "name", "type": "nominal", "sort": sort, "title": None}
    tips = [{"field": name, "format": ".4f"} for name in ("mean", "low", "high")]
    color = nominal("kind", rows, dict(zip(kinds, (GREEN, BLUE), strict=True)))
    spec = {
        "height": 26 * len(rows),
        "data": {"values": rows},
        "encoding": {"y": y, "color": color},
        "layer": [
            {
                "data": {"values": [{}]},
                "mark": {"type": "rule", "strokeDash": [4, 3]},
                "encoding": {"x": {"datum": 0}, "y": None, "color": {"value": GREY}},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2.5},
                "encoding": {"x": quantity("low", "better than the default by"), "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90},
                "encoding": {
                    "x": quantity("mean", "better than the default by"),
                    "shape": nominal("kind", rows, dict(zip(kinds, ("circle", "diamond"), strict=True))),
                    "tooltip": tips,
                },
            },
        ],
    }
    metric, _ = goal_of(run)
    about = f"{metric} on the held-out questions, with 95% intervals; to the right of the dashed line is better."
    table = [
        ("configuration", "mean", "low", "high", ""),
        *((r["name"], r["mean"], r["low"], r["high"], r["kind"]) for r in rows),
    ]
    return chart("versus-default", "answer", "Better than the default?", about, spec, table)


def history(run: Run) -> Chart | None:
    """The score of each trial in the order in which they ended, and the best so far."""
    metric, mode = goal_of(run)
    better = min if mode == "min" else max
    rows: list[dict[str, Any]] = []
    best = None
    for row in scored(run):
        value = value_of(row, metric)
        if value is None:
            continue
        if not row.get("beyond"):
            best = value if best is None else better(best, value)
        kind = "beyond a limit" if row.get("beyond") else "scored"
        kind = "default" if row["trial"] == run["default_trial"] else kind
        own = {"n": len(rows) + 1, "trial": row["trial"], "score": value, "best": best, "kind": kind}
        rows.append({**own, "params": said(row["params"])})
    if not rows:
        return None
    points = {
        "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.85},
        "encoding": {
            "y": quantity("score", metric),
            "color": nominal("kind", rows, {"scored": BLUE, "default": ORANGE, "beyond a limit": GREY}),
            "shape": nominal("kind", rows, {"scored": "circle", "default": "square", "beyond a limit": "cross"}),
            "tooltip": [{"field": name} for name in ("trial", "score", "params", "kind")],
        },
    }
    line = {
        "mark": {"type": "line", "interpolate": "step-after", "color": GREEN, "strokeWidth": 2.5},
        "encoding": {"y": quantity("best", metric)},
    }
    x = {
        "field": "n",
        "type": "quantitative",
        "title": "trials that have ended",
        "scale": {"zero": False, "nice": False, "padding": 8},
        "axis": {"tickMinStep": 1, "grid": False},
    }
    spec = {"height": 260, "data": {"values": rows}, "encoding": {"x": x}, "layer": [line, points]}
    way = "lower" if mode == "min" else "higher"
    about = f"Each point is a trial ({way} is better); the line is the best so far."
    table = [
        ("trial", metric, "best so far", "configuration"),
        *((r["trial"], r["score"], r["best"], r["params"]) for r in rows),
    ]
    return chart("history", "progress", "Progress of the search", about, spec, table)


KINDS = {
    "knee": (RED, "diamond"),
    "on the front": (GREEN, "circle"),
    "dominated": (SKY, "circle"),
    "default": (ORANGE, "square"),
    "beyond a limit": (GREY, "cross"),
}


def pareto(run: Run) -> Iterator[Chart]:
    """The first objective against each other one, with the front and the limits."""
    first, *others = run["objectives"]
    for number, other in enumerate(others, 1):
        a, b = first["metric"], other["metric"]
        rows = [
            {"trial": row["trial"], "a": x, "b": y, "kind": _standing(row, run), "params": said(row["params"])}
            for row in scored(run)
            if (x := value_of(row, a)) is not None and (y := value_of(row, b)) is not None
        ]
        if len(rows) < 2:
            continue
        has_line = len(others) == 1
        spec = {"height": 320, "data": {"values": rows}, "layer": _pareto_layers(rows, first, other, has_line=has_line)}
        about = "A configuration on the front is dominated by none; the knee is the best compromise."
        about += " The line joins it." if has_line else " It is that of all objectives."
        about += " Dashed: a limit." if first["limit"] is not None or other["limit"] is not None else ""
        head = ("trial", a, b, "", "configuration")
        table = [head, *((r["trial"], r["a"], r["b"], r["kind"], r["params"]) for r in rows)]
        yield chart(f"pareto-{number}", "pareto", f"{a} against {b}", about, spec, table)


def _pareto_layers(
    rows: Sequence[Mapping[str, Any]], first: Mapping[str, Any], other: Mapping[str, Any], *, has_line: bool
) -> list[dict[str, Any]]:
    """The front, the configurations, the limits."""
    place = {"x": quantity("b", _title(other)), "y": quantity("a", _title(first))}
    line = {
        "transform": [{"filter": "datum.kind === 'on the front' || datum.kind === 'knee'"}],
        "mark": {"type": "line", "color": GREEN, "strokeWidth": 1.5},
        "encoding": {**place, "order": {"field": "b", "type": "quantitative"}},
    }
    points = {
        "mark": {"type": "point", "filled": True, "opacity": 0.9},
        "encoding": {
            **place,
            "color": nominal("kind", rows, {kind: colour for kind, (colour, _) in KINDS.items()}),
            "shape": nominal("kind", rows, {kind: shape for kind, (_, shape) in KINDS.items()}),
            "size": {"condition": {"test": "datum.kind === 'knee'", "value": 220}, "value": 60},
            "tooltip": [
                {"field": "trial"},
                {"field": "a", "title": first["metric"]},
                {"field": "b", "title": other["metric"]},
                {"field": "params"},
                {"field": "kind"},
            ],
        },
    }
    limits = [
        {
            "data": {"values": [{}]},
            "mark": {"type": "rule", "strokeDash": [5, 4], "color": RED},
            "encoding": {axis: {"datum": goal["limit"]}},
        }
        for axis, goal in (("x", other), ("y", first))
        if goal["limit"] is not None
    ]
    return [*([line] if has_line else []), points, *limits]


def _title(goal: Mapping[str, Any]) -> str:
    return f"{goal['metric']} ({'lower' if goal['mode'] == 'min' else 'higher'} is better)"


def _standing(row: Mapping[str, Any], run: Run) -> str:
    if run["answer"] and row["trial"] == run["answer"]["knee"]:
        return "knee"
    if row.get("beyond"):
        return "beyond a limit"
    if row.get("front"):
        return "on the front"
    return "default" if row["trial"] == run["default_trial"] else "dominated"


def stopped(run: Run) -> Chart | None:
    """How far each trial came."""
    rows = [
        {
            "n": number,
            "trial": row["trial"],
            "questions": row["questions"],
            "state": row["state"],
            "why": row.get("reason") or row.get("error") or "",
        }
        for number, row in enumerate(run["trials"], 1)
    ]
    if not any(row["state"] == "stopped" for row in rows):
        return None
    spec = {
        "height": 160,
        "data": {"values": rows},
        "mark": {"type": "bar", "width": {"band": 0.85}} if len(rows) <= 120 else {"type": "bar", "width": 1},
        "encoding": {
            "x": {
                "field": "n",
                "type": "ordinal" if len(rows) <= 120 else "quantitative",
                "title": "trials in the order in which they ended",
                "axis": {"labelOverlap": True, "labelAngle": 0, "grid": False},
            },
            "y": {"field": "questions", "type": "quantitative", "title": "questions answered"},
            "color": nominal("state", rows, {"scored": BLUE, "stopped": ORANGE, "failed": RED, "unfinished": GREY}),
            "tooltip": [{"field": name} for name in ("trial", "questions", "state", "why")],
        },
    }
    count = sum(row["state"] == "stopped" for row in rows)
    about = (
        f"{count} of {len(rows)} trials were stopped before all questions were answered, since they would hardly win."
    )
    table = [
        ("trial", "questions", "state", "why"),
        *((r["trial"], r["questions"], r["state"], r["why"]) for r in rows),
    ]
    return chart("stopped", "stopped", "What was stopped early, and when", about, spec, table)
