"""``python -m raytuner.testing``: run the suite, without pytest, and show or write the table."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from raytuner.errors import RaytunerError
from raytuner.search import ALGORITHMS, algorithm
from raytuner.testing import table


@click.command()
@click.argument("names", nargs=-1, metavar="[ALGORITHM]...")
@click.option("--missing", is_flag=True, help="Run only the tests whose cells in that page say `not run`.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows into this page.")
def main(names: tuple[str, ...], missing: bool, out: Path | None) -> None:
    """Run the conformance suite on algorithms; by default on all of raytuner's that can be used here."""
    try:
        chosen = names or tuple(name for name, found in ALGORITHMS.items() if found.problem() is None)
        for name in chosen:
            algorithm(name).check_options({})
    except RaytunerError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    if missing and out is None:
        click.echo("error: --missing is about the page of --out; name it", err=True)
        sys.exit(2)
    known = table.read(_page(out)) if missing and out is not None else {}
    rows = {}
    for name in chosen:

        def keep(row: table.Row, name: str = name) -> None:
            if out is not None:
                out.write_text(table.updated(_page(out), {name: row}), encoding="utf-8")

        rows[name] = table.run(name, lambda line: click.echo(line, err=True), known=known.get(name), keep=keep)
        keep(rows[name])
    if out is None:
        click.echo(table.render(rows))
    problems = [problem for row in rows.values() for problem in row.problems]
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


def _page(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else f"{table.BEGIN}\n{table.END}\n"


if __name__ == "__main__":
    main()
