"""The benchmark of searches on tables: its figures on tables that can be worked out by hand."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import pytest
import search_quality
from search_quality import Run, figures, read, run, table

PARAMS = ["size", "model", "k"]


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Two tables of 3 x 3 x 2; the model decides."""
    lines = ["set,size,model,k,score,note"]
    for group, size, model, k in itertools.product(("one", "two"), (10, 2, 5), "xyz", (1, 2)):
        lines.append(f"{group},{size},{model},{k},{'xyz'.index(model) + size / 100 + k / 1000},{model}")
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_columns_of_numbers_are_ordered_numbers(csv_file: Path) -> None:
    groups = read(csv_file, "set", PARAMS, "score")
    assert list(groups) == ["one", "two"]
    made = table(groups["one"], PARAMS, "score")
    assert made.space.parameters["size"].raw_values() == [2.0, 5.0, 10.0]
    assert made.space.parameters["model"].raw_values() == ["x", "y", "z"]
    assert made.space.size() == len(made.scores) == 18


def test_combinations_without_a_row_are_not_in_the_space(csv_file: Path) -> None:
    rows = read(csv_file, "set", PARAMS, "score")["one"]
    made = table(rows[:-3], PARAMS, "score")
    assert made.space.size() == 15
    assert len(run("auto", made, 0, 20).regrets) == 15


@pytest.mark.parametrize("name", ["auto", "random", "greedy"])
def test_regret_falls_to_zero(name: str, csv_file: Path) -> None:
    made = table(read(csv_file, "set", PARAMS, "score")["one"], PARAMS, "score")
    found = run(name, made, 1, 20)
    assert found.regrets == sorted(found.regrets, reverse=True)
    assert found.regrets[-1] == found.after(20) == 0
    assert 1 <= found.to_1pct <= 18
    assert found == run(name, made, 1, 20)


def test_greedy_changes_one_parameter_after_the_other_the_last_first(csv_file: Path) -> None:
    rows = read(csv_file, "set", PARAMS, "score")["one"]
    by_model_last = table(rows, ["size", "k", "model"], "score")
    # From wherever it starts: 1 + 2 trials for the model, then 1 for k and 2 for the size.
    assert max(run("greedy", by_model_last, seed, 3).regrets[-1] for seed in range(8)) < 0.15
    assert all(run("greedy", by_model_last, seed, 6).regrets[-1] == 0 for seed in range(8))


def test_figures_are_means_of_medians() -> None:
    runs = [[Run([0.5] * 5 + [0.1] * 20, 8), Run([0.3] * 25, 21), Run([0.1] * 25, 4)], [Run([0.0] * 25, 1)] * 3]
    assert figures(runs) == {
        "regret_5": pytest.approx((0.9 + 0) / 6),
        "regret_10": pytest.approx(0.5 / 6),
        "regret_20": pytest.approx(0.5 / 6),
        "to_1pct": (8 + 1) / 2,
    }


def test_the_last_line_is_json(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        "--group set --groups two --params size,model,k --metric score --search auto,random --trials 5 --seeds 2 --json"
    )
    monkeypatch.setattr(sys, "argv", ["search_quality.py", "--table", str(csv_file), *options.split()])
    search_quality.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(found) == ["auto", "random"]
    assert all(list(values) == ["regret_5", "regret_10", "regret_20", "to_1pct"] for values in found.values())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--group": "sets"}, "no column 'sets'"),
        ({"--groups": "three"}, "set has no 'three'; it has one, two"),
        ({"--params": "size,model"}, "rows repeat a combination"),
        ({"--metric": "note"}, "holds 'x', which is not a number"),
        ({"--search": "autoo"}, "unknown search algorithm 'autoo'"),
        ({"--seeds": "0"}, "at least 1"),
        ({"--table": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_wrong_options(
    change: dict[str, str],
    said: str,
    csv_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {"--table": str(csv_file), "--group": "set", "--params": "size,model,k", "--metric": "score", **change}
    monkeypatch.setattr(sys, "argv", ["search_quality.py", *itertools.chain(*options.items())])
    with pytest.raises(SystemExit) as ended:
        search_quality.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
