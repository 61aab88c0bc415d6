"""Results in notebooks: a data frame, and charts."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path

import pytest

from raytuner import RunResult, TunedResult
from raytuner.errors import UserError
from raytuner.goals import Goal
from raytuner.run_folder import read_run
from raytuner.saved_run import load_study, result_of

ONE = [Goal.model_validate({"metric": "score", "mode": "max"})]
TWO = [*ONE, Goal.model_validate({"metric": "cost", "mode": "min"})]


def made(goals: list[Goal], count: int = 12) -> TunedResult:
    rows = [
        RunResult(
            score=n / 10, params={"a": n % 4, "b": "xy"[n % 2]}, metrics={"score": n / 10, "cost": n * 2.0}, trial=n + 1
        )
        for n in range(count)
    ]
    return TunedResult(run_results=rows[::-1], best_idx=0, objectives=goals)


def test_a_data_frame_has_a_line_for_each_trial(run: Path) -> None:
    frame = result_of(load_study(run), read_run(run)).to_dataframe()
    assert len(frame) == 26
    assert list(frame["trial"]) == list(range(1, 27))
    assert set(frame["state"]) == {"scored", "stopped", "failed"}
    assert {"chunk_size", "top_k", "span_f4", "seconds"} <= set(frame.columns)


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        made(ONE).to_dataframe()


def test_plots_show_themselves_and_can_be_saved(tmp_path: Path) -> None:
    result = made(TWO, count=24)
    for name in ("history", "importance", "pareto"):
        plot = getattr(result, f"plot_{name}")()
        shown = plot._repr_html_()
        assert shown.startswith("<iframe ")
        assert 'sandbox="allow-scripts"' in shown
        (source,) = re.findall(r'srcdoc="([^"]*)"', shown)
        path = tmp_path / f"{name}.html"
        plot.save(path)
        assert path.read_text(encoding="utf-8") == html.unescape(source)
        json.dumps(plot.spec)
    values = result.plot_history().spec["data"]["values"]
    assert [row["trial"] for row in values] == list(range(1, 25))


def test_what_cannot_be_plotted_says_why() -> None:
    with pytest.raises(UserError, match="one objective only"):
        made(ONE).plot_pareto()
    with pytest.raises(UserError, match="it takes 20 trials"):
        made(ONE, count=4).plot_importance()
