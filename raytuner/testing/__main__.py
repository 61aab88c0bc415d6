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
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the rows into this page.")
def main(names: tuple[str, ...], out: Path | None) -> None:
    """Run the conformance suite on algorithms; by default on all of raytuner's that can be used here."""
    try:
        chosen = names or tuple(name for name, found in ALGORITHMS.items() if found.problem() is None)
        for name in chosen:
            algorithm(name).check_options({})
    except RaytunerError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    rows = {}
    for name in chosen:
        rows[name] = table.run(name, lambda line: click.echo(line, err=True))
        if out is not None:  # at once: some take hours
            page = out.read_text(encoding="utf-8") if out.exists() else f"{table.BEGIN}\n{table.END}\n"
            out.write_text(table.updated(page, {name: rows[name]}), encoding="utf-8")
    if out is None:
        click.echo(table.render(rows))
    problems = [problem for row in rows.values() for problem in row.problems]
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
