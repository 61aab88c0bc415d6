"""Results in a notebook: a data frame, and charts that show themselves."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytuner.errors import UserError
from raytuner.page.answer import answer_of
from raytuner.page.charts import charts_of
from raytuner.page.importance import FEWEST, Tried, importances, plain
from raytuner.page.write import apart, chart_page
from raytuner.results import FailedTrial, RunResult, TunedResult
from raytuner.run_folder import jsonable

WHY_NONE = {
    "history": "no trial has a score",
    "importance": f"it takes {FEWEST} trials that were scored, and scores that differ",
    "pareto-1": "there is one objective only; name several in objectives",
}


@dataclass(frozen=True)
class Plot:
    """A chart.

    Attributes:
        chart: Its title, its Vega-Lite specification under ``spec``, and the same as a table.
    """

    chart: Mapping[str, Any]

    @property
    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, for other tools."""
        found: dict[str, Any] = self.chart["spec"]
        return found

    def save(self, path: str | Path) -> None:
        """Write it as an HTML file that needs no network."""
        Path(path).write_text(chart_page(self.chart), encoding="utf-8")

    def __repr__(self) -> str:
        return f"Plot({self.chart['title']!r})"

    def _repr_html_(self) -> str:
        """The chart in a frame of its own, which runs its script apart from the notebook and needs no network."""
        source = html.escape(chart_page(self.chart), quote=True)
        return (
            f'<iframe title="{html.escape(self.chart["title"], quote=True)}" sandbox="allow-scripts" '
            f'style="width:100%;height:30rem;border:0" srcdoc="{source}"></iframe>'
        )


def plots(result: TunedResult, name: str) -> Plot:
    """A chart of a result.

    Args:
        result: The result.
        name: The id of the chart.

    Raises:
        UserError: There is nothing to show.
    """
    found = next((chart for chart in charts_of(_run(result)) if chart["id"] == name), None)
    if found is None:
        raise UserError(f"there is nothing to plot: {WHY_NONE[name]}")
    return Plot(found)


def _run(result: TunedResult) -> dict[str, Any]:
    """What charts need of a run; of the folder, which need not be there, nothing."""
    tried = [Tried(found.shown, found.metrics) for found in result.run_results]
    found: dict[str, Any] = jsonable(
        {
            "objectives": [goal.model_dump() for goal in result.objectives],
            "default_trial": None if result.default is None else result.default.trial,
            "answer": answer_of(result),
            "trials": sorted(_rows(result), key=lambda row: row["trial"] or 0),
            "importance": importances(tried, result.objectives),
            "effects": [],
            "interactions": [],
            "spent": {"stages": [], "seconds": 0.0},
            "questions": None,
        }
    )
    return found


def _rows(result: TunedResult) -> list[dict[str, Any]]:
    front = {found.trial for found in result.pareto}
    states: list[tuple[str, Sequence[RunResult]]] = [("scored", result.run_results), ("stopped", result.stopped)]
    rows = [
        {**_row(found, state), "front": found.trial in front, "beyond": result.breaches(found)}
        for state, several in states
        for found in several
    ]
    return [*rows, *(_row(found, "failed") for found in result.failed)]


def _row(found: RunResult | FailedTrial, state: str) -> dict[str, Any]:
    own = found if isinstance(found, RunResult) else None
    params = found.params if own is None else own.shown
    return {
        "trial": found.trial,
        "state": state,
        "params": {name: plain(value) for name, value in params.items()},
        "metrics": {} if own is None else own.metrics,
        "questions": 0 if own is None else len(own.questions),
        "seconds": found.seconds,
    }


def to_dataframe(result: TunedResult) -> Any:
    """See `raytuner.TunedResult.to_dataframe`."""
    try:
        import pandas
    except ImportError:
        raise UserError("to_dataframe needs pandas; pip install pandas") from None
    return pandas.DataFrame(
        [
            {
                "trial": row["trial"],
                "state": row["state"],
                **row["params"],
                **apart(row["metrics"], {"trial", "state", "seconds", *row["params"]}),
                "seconds": row["seconds"],
            }
            for row in sorted(_rows(result), key=lambda row: row["trial"] or 0)
        ]
    )
