"""The commands `raytuner report`, `watch` and `runs`: what runs have found."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from pathlib import Path
from typing import Any

import click

from raytuner.cli_parts import PATH, AnyPath, printable
from raytuner.cli_tune import set_logging
from raytuner.errors import ConfigError, DataError

FOLDER = click.option(
    "--folder", type=AnyPath(), default="runs", show_default=True, help="Where runs given by name are looked for."
)
NO_TEXTS = click.option(
    "--no-texts",
    is_flag=True,
    help="Leave out the texts of questions and documents, which are read anew: a file that is passed on holds them.",
)
TRUST = click.option(
    "--trust",
    is_flag=True,
    help="To retrieve anew, import code and call services that the run's config names. Not for a stranger's run.",
)
SEVERAL = "report.html"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=AnyPath(), metavar="RUN...")
@click.option(
    "--out", type=PATH, metavar="FILE", help="Where; by default FOLDER.html here, with the run folder's name."
)
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json", "csv"]),
    default="html",
    show_default=True,
    help="A page, or to stdout Markdown, JSON, or a line for each trial.",
)
@NO_TEXTS
@TRUST
@FOLDER
def report(
    runs: tuple[str, ...], out: Path | None, opens: bool, form: str, no_texts: bool, trust: bool, folder: str
) -> None:
    """Write what RUN has found as one HTML file, which needs no network; several runs go into one file.

    RUN is the path of a run folder, or the name of a run (its newest). It may still be running.
    """
    set_logging(False, False)
    from raytuner.page.data import report_of
    from raytuner.run_folder import find_run

    if opens and form != "html":
        raise ConfigError(f"--open shows a page, and --format is {form}; leave one of them out")
    folders = list(dict.fromkeys(find_run(run, Path(folder)) for run in runs))
    found = report_of(folders, texts=not no_texts and form != "csv", trust=trust)
    text = _written(found, form)
    if form != "html" and out is None:
        click.echo(text, nl=False)
        return
    # Not into the run folder, which holds no documents.
    path = out or Path(f"{folders[0].name}.html" if len(folders) == 1 else SEVERAL)
    try:
        with open(path, "w", encoding="utf-8", opener=_own) as file:
            if path.is_file():  # which may have been there before
                path.chmod(0o600)
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name another file by --out") from None
    click.echo(f"written: {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if opens and not webbrowser.open(path.resolve().as_uri()):
        click.echo("no browser could be opened; open the file by hand", err=True)


def _own(path: str, flags: int) -> int:
    """Open a file for its owner alone: it holds texts of documents."""
    return os.open(path, flags, mode=0o600)


def _written(found: dict[str, Any], form: str) -> str:
    from raytuner.page import markdown, write

    views = {"html": write.page, "md": markdown.as_markdown, "json": write.as_json, "csv": write.as_csv}
    return str(views[form](found))


@click.command()
@click.argument("run", type=AnyPath())
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where it listens; by default any free port.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@NO_TEXTS
@TRUST
@FOLDER
def watch(run: str, port: int, opens: bool, no_texts: bool, trust: bool, folder: str) -> None:
    """Serve the report of RUN on this machine alone, live while the search goes on, until Ctrl-C."""
    set_logging(False, False)
    from raytuner.page.watch import serve
    from raytuner.run_folder import find_run

    def listening(address: str) -> None:
        click.echo(f"{address} (Ctrl-C ends it)")
        if opens:
            webbrowser.open(address)

    serve(find_run(run, Path(folder)), port=port, texts=not no_texts, trust=trust, listening=listening)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a list of JSON objects.")
@click.option("--folder", type=AnyPath(), default="runs", show_default=True, help="Where the run folders are.")
def runs(as_json: bool, folder: str) -> None:
    """List the runs, the newest first."""
    from raytuner.page.runs import listed, table

    if not Path(folder).is_dir():
        raise DataError(f"{folder}: no such folder; name the one with your runs by --folder")
    found = listed(Path(folder))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    if not found:
        click.echo(f"{folder}: no runs yet; raytuner quickstart makes one", file=sys.stderr)
        return
    click.echo(printable(table(found)))
