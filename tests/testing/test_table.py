"""The table of algorithms and tests, and the committed one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from raytuner.search import ALGORITHMS
from raytuner.testing import table
from raytuner.testing.__main__ import main
from raytuner.testing.known import KNOWN, conformance
from raytuner.testing.suite import all_tests

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance.md"


def test_the_committed_table_is_of_these_algorithms_and_tests() -> None:
    """Its figures may differ; if it fails, run ``python -m raytuner.testing NAME --out docs/conformance.md``."""
    page = PAGE.read_text(encoding="utf-8")
    rows = table.read(page)
    assert list(rows) == list(ALGORITHMS)
    assert table.updated(page, {}) == page
    assert [cell for row in rows.values() for cell in row.cells if cell == table.FAILED] == []


def test_the_exceptions_are_those_of_the_table() -> None:
    assert set(KNOWN) <= set(ALGORITHMS)
    rows = table.read(PAGE.read_text(encoding="utf-8"))
    for name, row in rows.items():
        cells = dict(zip(all_tests(), row.cells, strict=True))
        if table.NOT_RUN not in row.cells:
            known = KNOWN[name].exceptions if name in KNOWN else {}
            assert {test for test, cell in cells.items() if cell == table.EXCEPTION} <= set(known)


def row(word: str) -> table.Row:
    return table.Row([word] * len(all_tests()), ["1"] * len(table.FIGURES))


def test_rows_of_what_was_not_run_stay() -> None:
    page = f"before\n{table.BEGIN}\n{table.END}\nafter\n"
    first = table.updated(page, {"grid": row("yes")})
    assert first.startswith("before\n") and first.endswith("\nafter\n")
    assert set(table.read(first)["random"].cells) == {table.NOT_RUN}
    second = table.updated(first, {"random": row("-")})
    found = {name: set(row.cells) for name, row in table.read(second).items()}
    assert (found["grid"], found["random"], found["optuna"]) == ({"yes"}, {"-"}, {table.NOT_RUN})
    assert list(found) == list(ALGORITHMS)


def test_rows_of_other_tests_are_left_out() -> None:
    page = table.updated(f"{table.BEGIN}\n{table.END}", {"grid": row("yes")})
    assert "grid" in table.read(page)
    assert "grid" not in table.read(page.replace("| `grid` | yes |", "| `grid` |", 1))


def test_what_fails_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        table, "run", lambda name, say, **more: table.Row(row("no").cells, row("no").figures, ["TestGrid.test_x: no"])
    )
    done = CliRunner().invoke(main, ["grid", "--out", str(tmp_path / "page.md")])
    assert (done.exit_code, "TestGrid.test_x: no" in done.output) == (1, True)
    assert set(table.read((tmp_path / "page.md").read_text())["grid"].cells) == {"no"}


def test_an_unknown_algorithm_is_said_in_a_line() -> None:
    done = CliRunner().invoke(main, ["gird"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "did you mean 'grid'" in done.output


def test_a_row_is_made_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    found = table.run("grid", said.append)
    asked = [name for name in all_tests() if getattr(conformance("grid"), name) is not None]
    assert [line.split()[1].rstrip(":") for line in said] == asked
    cells = dict(zip(all_tests(), found.cells, strict=True))
    assert cells["test_other_seeds_differ"] == table.EXCEPTION
    assert cells["test_regret_on_a_mixed_function"] == table.NOT_ASKED
    assert cells["test_finite_spaces_end_exhausted"] == table.PASSED
    assert found.problems == []
    monkeypatch.delitem(KNOWN, "grid")
    problems = table.run("grid").problems
    assert sorted(problem.partition(":")[0] for problem in problems) == [
        "TestGrid.test_other_seeds_differ",
        "TestGrid.test_regret_on_a_categorical_function",
        "TestGrid.test_regret_on_a_conditional_function",
        "TestGrid.test_regret_when_minimising",
    ]


def test_only_what_is_missing_is_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    cells = ["no"] * len(all_tests())
    cells[list(all_tests()).index("test_conditions_hold")] = table.NOT_RUN
    known = table.Row(cells, ["7"] * len(table.FIGURES))
    page.write_text(table.updated(f"{table.BEGIN}\n{table.END}\n", {"random": known}))
    done = CliRunner().invoke(main, ["random", "--missing", "--out", str(page)])
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["test_conditions_hold:"]
    found = table.read(page.read_text())["random"]
    assert (list(found.cells).count("no"), list(found.cells).count("yes")) == (len(cells) - 1, 1)
    assert list(found.figures) == ["7"] * len(table.FIGURES)


def test_the_row_is_kept_after_each_test() -> None:
    kept: list[list[str]] = []
    most = dict.fromkeys(all_tests(), table.PASSED)
    most["test_conditions_hold"] = most["test_other_seeds_differ"] = table.NOT_RUN
    known = table.Row(list(most.values()), ["1"] * len(table.FIGURES))
    table.run("random", known=known, keep=lambda row: kept.append(list(row.cells)))
    assert [cells.count(table.NOT_RUN) for cells in kept] == [1, 0]


def test_missing_needs_a_page() -> None:
    done = CliRunner().invoke(main, ["random", "--missing"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
