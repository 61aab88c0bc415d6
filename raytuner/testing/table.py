"""The table of algorithms and tests: run, written into a page, and read back from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raytuner.search import ALGORITHMS
from raytuner.testing.known import KNOWN, conformance
from raytuner.testing.suite import SearcherConformance, all_tests, at_random

BEGIN = "<!-- made by: python -m raytuner.testing --out docs/conformance.md -->"
END = "<!-- end -->"
FIGURES = ("mixed", "conditional", "categorical", "ms", "slower")
PASSED, FAILED, EXCEPTION, NOT_ASKED, NOT_RUN = "yes", "no", "except", "-", "not run"


@dataclass(frozen=True)
class Row:
    """What the tests have said of one algorithm, as it is written.

    Attributes:
        cells: A word for each test, in their order.
        figures: Regret on each function, milliseconds a suggestion, last quarter to first.
        problems: What failed that is no known exception.
    """

    cells: Sequence[str]
    figures: Sequence[str]
    problems: Sequence[str] = ()

    @classmethod
    def missing(cls) -> Row:
        """The row of an algorithm that was never run."""
        return cls([NOT_RUN] * len(all_tests()), [NOT_RUN] * len(FIGURES))


def run(
    search: str,
    say: Callable[[str], None] = lambda line: None,
    *,
    known: Row | None = None,
    keep: Callable[[Row], None] = lambda row: None,
) -> Row:
    """Run all tests on one algorithm, without pytest.

    Args:
        search: Its name.
        say: Is told what came of each test, with the seconds that it took.
        known: What is known already: only tests that were not run are run.
        keep: Is given the row after each test, since for some algorithms all of them take hours.
    """
    suite = conformance(search)
    problems: list[str] = []
    row = known or Row.missing()
    cells, figures = list(row.cells), dict(zip(FIGURES, row.figures, strict=True))
    for at, name in enumerate(all_tests()):
        if cells[at] != NOT_RUN:
            continue
        started = time.perf_counter()
        cells[at] = _outcome(suite, name, problems)
        figures |= {figure: f"{suite.figures[figure]:.2g}" for figure in FIGURES if figure in suite.figures}
        if cells[at] != NOT_ASKED:
            say(f"{search} {name}: {cells[at]}, {time.perf_counter() - started:.1f} s")
        keep(Row(list(cells), list(figures.values()), problems))
    final = [NOT_ASKED if figure == NOT_RUN else figure for figure in figures.values()]
    return Row(cells, final, problems)


def _outcome(suite: type[SearcherConformance], name: str, problems: list[str]) -> str:
    if getattr(suite, name) is None:
        return NOT_ASKED
    try:
        getattr(suite(), name)()
    except Exception as error:  # another library's; under pytest it would fail the test too
        if name in suite.exceptions and isinstance(error, AssertionError):
            return EXCEPTION
        problems.append(f"{suite.__name__}.{name}: {type(error).__name__}: {error}")
        return FAILED
    return PASSED


def render(rows: Mapping[str, Row]) -> str:
    """Both tables, what the tests are, and the exceptions, as Markdown."""
    header = ["algorithm", *map(str, range(1, len(all_tests()) + 1))]
    baseline = ", ".join(f"{name} {at_random(name):.2g}" for name in FIGURES[:3])
    lines = [
        *_table(header, {name: row.cells for name, row in rows.items()}),
        "",
        *(f"{number}. `{name}`: {what}" for number, (name, what) in enumerate(all_tests().items(), 1)),
        "",
        f"Median regret of random search: {baseline}.",
        "",
        *_table(["algorithm", *FIGURES], {name: row.figures for name, row in rows.items()}),
        "",
        *(f"- `{name}`, `{test}`: {why}" for name in rows for test, why in _exceptions(name).items()),
    ]
    return "\n".join(lines)


def _exceptions(name: str) -> Mapping[str, str]:
    return KNOWN[name].exceptions if name in KNOWN else {}


def _table(header: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    body = [[f"`{name}`", *cells] for name, cells in rows.items()]
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *body)]


def read(page: str) -> dict[str, Row]:
    """The rows in a page; those that were made of other tests are left out."""
    cells: dict[str, list[list[str]]] = {}
    for line in _split(page)[1].splitlines():
        if line.startswith("| `"):
            name, *found = [cell.strip() for cell in line.strip("|").split(" | ")]
            cells.setdefault(name.strip("` "), []).append(found)
    lengths = [len(all_tests()), len(FIGURES)]
    return {name: Row(*both) for name, both in cells.items() if [len(found) for found in both] == lengths}


def updated(page: str, new: Mapping[str, Row]) -> str:
    """A page with new rows; those of algorithms that were not run stay as they were."""
    before, _, after = _split(page)
    known = {**read(page), **new}
    rows = {name: known.get(name) or Row.missing() for name in ALGORITHMS}
    return f"{before}{BEGIN}\n{render(rows)}\n{END}{after}"


def _split(page: str) -> tuple[str, str, str]:
    before, _, rest = page.partition(BEGIN)
    made, _, after = rest.partition(END)
    return before, made, after
