"""What parameters do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from raytuner.goals import shown
from raytuner.page.charts.parts import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SKY,
    Chart,
    Run,
    chart,
    fits,
    goal_of,
    gradient,
    nominal,
    quantity,
    said,
    scored,
    value_of,
)
from raytuner.page.importance import FEWEST_FOR_INTERVAL, Tried, levels, varied

MOST_LINES = 150
"""So many trials at the most are lines of the parallel coordinates."""
MOST_TICKS = 9
MOST_AXES = 8
"""So many parameters at the most have an axis there."""
MOST_EFFECTS = 12
"""So many parameters at the most have a chart of their own."""
WIDE_COLUMNS = 5
"""With more columns than this the cells of a heat map are narrow."""


def importance(run: Run) -> Chart | None:
    """How much each parameter matters, for each objective."""
    shares = run["importance"]["shares"]
    if not shares:
        return None
    objectives = list(dict.fromkeys(row["objective"] for row in shares))
    names = list(dict.fromkeys(row["parameter"] for row in shares))
    spec: dict[str, Any] = {
        "height": len(names) * (26 if len(objectives) == 1 else 16 * len(objectives)),
        "data": {"values": list(shares)},
        "mark": {"type": "bar", "cornerRadiusEnd": 3},
        "encoding": {
            "y": {"field": "parameter", "type": "nominal", "sort": names, "title": None},
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "share of the importance",
                "scale": {"domain": [0, 1]},
                "axis": {"format": "%", "tickCount": 5},
            },
            "color": nominal("objective", shares, dict(zip(objectives, cycle((BLUE, ORANGE, GREEN, SKY))))),
            "tooltip": [{"field": "parameter"}, {"field": "objective"}, {"field": "share", "format": ".1%"}],
        },
    }
    if len(objectives) == 1:
        spec["encoding"]["color"]["legend"] = None
    else:
        spec["encoding"]["yOffset"] = {"field": "objective", "sort": objectives}
    left = "".join(f" Left out: {row['parameter']}, {row['why']}." for row in run["importance"]["left_out"])
    table = [
        ("parameter", "objective", "share"),
        *((r["parameter"], r["objective"], f"{r['share']:.1%}") for r in shares),
    ]
    return chart(
        "importance", "parameters", "Importance of each parameter", run["importance"]["how"] + left, spec, table
    )


def effects(run: Run) -> Iterator[Chart]:
    """The mean by value of each of the most important parameters."""
    metric, _ = goal_of(run)
    by_name = {row["parameter"]: row["levels"] for row in run["effects"]}
    values = [value for row in scored(run) if (value := value_of(row, metric)) is not None]
    values += [row[end] for rows in by_name.values() for row in rows for end in ("low", "high") if row[end] is not None]
    for name in _most_important(run, list(by_name), MOST_EFFECTS):
        yield _effect(name, by_name[name], metric, (min(values), max(values)))


def _most_important(run: Run, names: Sequence[str], most: int) -> list[str]:
    """Some parameters, the most important first; those of which that is not known come last."""
    metric, _ = goal_of(run)
    known = [row["parameter"] for row in run["importance"]["shares"] if row["objective"] == metric]
    return [*(name for name in known if name in names), *(name for name in names if name not in known)][:most]


def _effect(name: str, rows: Sequence[Mapping[str, Any]], metric: str, ends: tuple[float, float]) -> Chart:
    """One parameter; all have the same scale, which holds scores and intervals."""
    low, high = ends
    margin = (high - low) * 0.05 or 0.05
    scale = {"domain": [low - margin, high + margin], "nice": False, "zero": False}
    sort = [row["value"] for row in rows]
    x = {
        "field": "value",
        "type": "nominal",
        "sort": sort,
        "title": name,
        "axis": {"labelAngle": 0 if fits(sort) else -40},
    }
    tips = [{"field": field} for field in ("value", "mean", "low", "high", "trials")]
    spec = {
        "height": 170,
        "data": {"values": list(rows)},
        "encoding": {"x": x},
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "strokeWidth": 2, "color": BLUE},
                "encoding": {"y": quantity("low", metric, scale=scale), "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "color": BLUE},
                "encoding": {"y": quantity("mean", metric, scale=scale), "tooltip": tips},
            },
            {
                "mark": {"type": "text", "dx": 10, "align": "left", "fontSize": 10},
                "encoding": {"y": quantity("mean", metric, scale=scale), "text": {"field": "trials", "format": "d"}},
            },
        ],
    }
    about = (
        f"Mean {metric} by {name}, with its 95% interval where {FEWEST_FOR_INTERVAL} trials or more have the value; "
        "the number is that of the trials."
    )
    table = [
        (name, f"mean {metric}", "low", "high", "trials"),
        *((r["value"], r["mean"], r["low"], r["high"], r["trials"]) for r in rows),
    ]
    return chart(f"effect-{name}", "effects", name, about, spec, table)


def parallel(run: Run) -> Chart | None:
    """Each trial as a line through its parameters to its score."""
    metric, mode = goal_of(run)
    trials = [row for row in scored(run) if value_of(row, metric) is not None]
    tried = [Tried(row["params"], row["metrics"]) for row in trials]
    every = varied(tried)
    important = _most_important(run, every, MOST_AXES)
    names = [name for name in every if name in important]
    if len(trials) < 3 or not names:
        return None
    kept = _spread(trials, metric, mode)
    ticks, places = _axes(tried, names, metric)
    lines = [
        {
            "trial": row["trial"],
            "axis": name,
            "at": places[name][at],
            "score": value_of(row, metric),
            "params": said(row["params"]),
        }
        for at, row in enumerate(trials)
        if row["trial"] in kept
        for name in (*names, metric)
        if at in places[name]
    ]
    spec = {"height": 300, "layer": _parallel_layers(run, [*names, metric], lines, ticks)}
    table = [
        ("trial", *names, metric),
        *(
            (row["trial"], *(row["params"].get(name) for name in names), value_of(row, metric))
            for row in trials
            if row["trial"] in kept
        ),
    ]
    about = f"Each line is a trial, from the values of its parameters to its {metric}; the thick one is to be taken."
    if len(kept) < len(trials):
        about += f" {len(kept)} of the {len(trials)} are drawn: the best, and others spread over the scores."
    if len(names) < len(every):
        about += f" Of {len(every)} parameters these are the most important."
    return chart("parallel", "parameters", "All parameters at once", about, spec, table)


def _parallel_layers(
    run: Run, axes: Sequence[str], lines: Sequence[Mapping[str, Any]], ticks: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The axes, the lines of the trials, and the values on the axes."""
    metric, mode = goal_of(run)
    angle = 0 if max(map(len, axes)) * len(axes) < 80 else -25
    x = {
        "field": "axis",
        "type": "nominal",
        "sort": list(axes),
        "title": None,
        "axis": {"labelAngle": angle, "labelLimit": 120, "domain": False, "orient": "top"},
        "scale": {"padding": 0.3},
    }
    y = {"field": "at", "type": "quantitative", "axis": None, "scale": {"domain": [-0.04, 1.04]}}
    best = run["answer"]["best"]["trial"] if run["answer"] else -1
    is_best = f"datum.trial === {best}"
    trials = {
        "x": x,
        "y": y,
        "detail": {"field": "trial"},
        "color": gradient("score", metric, mode),
        "opacity": {"condition": {"test": is_best, "value": 1}, "value": 0.45},
        "strokeWidth": {"condition": {"test": is_best, "value": 4}, "value": 1.4},
        "tooltip": [{"field": "trial"}, {"field": "score", "title": metric}, {"field": "params"}],
    }
    rules = {"data": {"values": [{"axis": name} for name in axes]}, "mark": {"type": "rule", "color": GREY}}
    label = {"type": "text", "align": "left", "dx": 4, "fontSize": 10, "limit": 90}
    return [
        {**rules, "encoding": {"x": x}},
        {"data": {"values": list(lines)}, "mark": {"type": "line"}, "encoding": trials},
        {"data": {"values": list(ticks)}, "mark": label, "encoding": {"x": x, "y": y, "text": {"field": "label"}}},
    ]


def _spread(trials: Sequence[Mapping[str, Any]], metric: str, mode: str) -> set[int]:
    """The best trials, and of the others some, spread over their scores; all leaders."""
    ranked = sorted(trials, key=lambda row: (value_of(row, metric) or 0.0) * (1 if mode == "min" else -1))
    if len(ranked) <= MOST_LINES:
        return {row["trial"] for row in ranked}
    best, rest = ranked[: MOST_LINES // 3], ranked[MOST_LINES // 3 :]
    step = len(rest) / (MOST_LINES - len(best))
    others = [rest[int(place * step)] for place in range(MOST_LINES - len(best))]
    return {row["trial"] for row in (*best, *others, *(row for row in ranked if row.get("leader")))}


def _axes(
    tried: Sequence[Tried], names: Sequence[str], metric: str
) -> tuple[list[dict[str, Any]], dict[str, dict[int, float]]]:
    """The labels on each axis, and where on it each trial is, from 0 to 1."""
    ticks: list[dict[str, Any]] = []
    places: dict[str, dict[int, float]] = {}
    for name in names:
        found = levels(tried, name)
        places[name] = {at: _share(place, len(found)) for place, level in enumerate(found) for at in level.at}
        step = -(-len(found) // MOST_TICKS)
        ticks += [
            {"axis": name, "at": _share(place, len(found)), "label": level.label}
            for place, level in enumerate(found)
            if place % step == 0
        ]
    scores = [trial.metrics[metric] for trial in tried]
    low, high = min(scores), max(scores)
    places[metric] = {at: (score - low) / (high - low or 1.0) for at, score in enumerate(scores)}
    ticks += [
        {"axis": metric, "at": at, "label": shown(low + at * (high - low))}
        for at in ((0, 0.5, 1) if high > low else (0,))
    ]
    return ticks, places


def _share(place: int, count: int) -> float:
    return place / (count - 1) if count > 1 else 0.5


def interactions(run: Run) -> Iterator[Chart]:
    """The means by the values of two parameters."""
    metric, mode = goal_of(run)
    for number, pair in enumerate(run["interactions"], 1):
        a, b, cells = pair["a"], pair["b"], pair["cells"]
        columns, lines = _in_order(cells, "a"), _in_order(cells, "b")
        angle = 0 if fits(columns) else -40
        spec = {
            "height": 34 * len(lines),
            "data": {"values": list(cells)},
            "encoding": {
                "x": {"field": "a", "type": "nominal", "sort": columns, "title": a, "axis": {"labelAngle": angle}},
                "y": {"field": "b", "type": "nominal", "sort": lines, "title": b},
            },
            "layer": _heat_layers((a, b), cells, metric, mode, is_narrow=len(columns) > WIDE_COLUMNS),
        }
        about = f"Mean {metric} of the trials with both values; what was not tried is empty."
        table = [(a, b, f"mean {metric}", "trials"), *((c["a"], c["b"], c["mean"], c["trials"]) for c in cells)]
        yield chart(f"pair-{number}", "interactions", f"{a} and {b}", about, spec, table)


def _heat_layers(
    names: tuple[str, str], cells: Sequence[Mapping[str, Any]], metric: str, mode: str, *, is_narrow: bool
) -> list[dict[str, Any]]:
    """Coloured cells, and their means in them: white where the colour is dark."""
    means = [cell["mean"] for cell in cells]
    middle = (min(means) + max(means)) / 2
    is_dark = f"datum.mean {'>' if mode == 'min' else '<'} {middle}"
    a, b = names
    tips = [{"field": "a", "title": a}, {"field": "b", "title": b}, {"field": "mean"}, {"field": "trials"}]
    text = {
        "text": {"field": "mean", "format": ".2~g" if is_narrow else ".3~g"},
        "color": {"condition": {"test": is_dark, "value": "white"}, "value": "black"},
    }
    return [
        {"mark": {"type": "rect"}, "encoding": {"color": gradient("mean", metric, mode), "tooltip": tips}},
        {"mark": {"type": "text", "fontSize": 9 if is_narrow else 11}, "encoding": text},
    ]


def _in_order(cells: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The labels of an axis: those that are numbers by size, else as they come."""
    labels = list(dict.fromkeys(str(cell[name]) for cell in cells))
    try:
        return sorted(labels, key=lambda label: float(label.partition(" to ")[0]))
    except ValueError:
        return labels
