"""The charts of the report, as Vega-Lite specifications: https://vega.github.io/vega-lite/docs/."""

from __future__ import annotations

from raytuner.page.charts.parameters import effects, importance, interactions, parallel
from raytuner.page.charts.parts import Chart, Run
from raytuner.page.charts.search import history, pareto, stopped, versus_default
from raytuner.page.charts.use import by_question, reused, time_by_stage


def charts_of(run: Run) -> list[Chart]:
    """The charts of a run.

    Args:
        run: From `raytuner.page.data.run_data`.

    Returns:
        ``{"id", "part", "title", "about", "spec", "table": {"head", "rows"}}`` each; those without anything to show are
        left out. The table has what the chart shows, for whoever does not see it.
    """
    made = (
        versus_default(run),
        history(run),
        *pareto(run),
        importance(run),
        *effects(run),
        parallel(run),
        *interactions(run),
        stopped(run),
        time_by_stage(run),
        reused(run),
        by_question(run),
    )
    return [chart for chart in made if chart is not None]
