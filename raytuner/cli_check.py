"""``raytuner compare`` and ``raytuner check``."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import click

from raytuner.cli_parts import CONFIG, AnyPath, printable
from raytuner.cli_tune import set_logging

FAILED = 1
RUNS = click.option(
    "--folder", type=AnyPath(), default="runs", show_default=True, help="Where runs given by name are looked for."
)


@click.command()
@click.argument("before", type=AnyPath(), metavar="RUN1")
@click.argument("after", type=AnyPath(), metavar="RUN2")
@click.option("--trial1", type=int, metavar="N", help="Take this trial of RUN1 in place of its winner.")
@click.option("--trial2", type=int, metavar="N", help="Take this trial of RUN2 in place of its winner.")
@click.option("--metric", metavar="NAME", help="Compare by this metric; by default by what both were tuned for.")
@RUNS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(
    before: str, after: str, trial1: int | None, trial2: int | None, metric: str | None, folder: str, as_json: bool
) -> None:
    """Compare the winners of RUN1 and RUN2, question by question; two trials of one run, if RUN1 is RUN2."""
    from raytuner.compare_runs import compare as compared
    from raytuner.run_folder import find_run
    from raytuner.scored_run import scored

    parent = Path(folder)
    one, other = scored(find_run(before, parent), trial1), scored(find_run(after, parent), trial2)
    found = compared(one, other, metric)
    click.echo(json.dumps(found.as_json(), ensure_ascii=False) if as_json else printable(str(found)))


@click.command()
@click.argument("config", type=CONFIG)
@click.option("--baseline", type=AnyPath(), required=True, metavar="RUN", help="The run to compare with.")
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    default=0.02,
    show_default=True,
    help="How far the metric may drop, in its own unit.",
)
@click.option("--trial", type=int, metavar="N", help="Score this trial of the run in place of its winner.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Replace a value of the config.")
@RUNS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout, all else to stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option("-q", "--quiet", is_flag=True, help="With --json print nothing else.")
def check(
    config: Path,
    baseline: str,
    max_drop: float,
    trial: int | None,
    overrides: tuple[str, ...],
    folder: str,
    as_json: bool,
    verbose: bool,
    quiet: bool,
) -> None:
    """Score the winner of a run on CONFIG's documents and questions as they are now; exit with 1 on a drop.

    It is for CI. A drop counts if it is larger than --max-drop and more than chance. Ray is not started.
    """
    set_logging(verbose, quiet)
    from raytuner.check import check as checked
    from raytuner.config import TuneConfig
    from raytuner.errors import DataError
    from raytuner.run_folder import find_run, has_ended, read_run
    from raytuner.scored_run import scored

    loaded = TuneConfig.load(config, overrides)
    run = find_run(baseline, Path(folder))
    if trial is None and not has_ended(read_run(run)):
        raise DataError(f"{run}: this run has not ended; raytuner resume ends it, or name a trial by --trial")
    with contextlib.redirect_stdout(sys.stderr):  # what documents' readers print is no result
        found = checked(loaded, scored(run, trial), max_drop=max_drop)
    if not as_json or not quiet:
        click.echo(printable(str(found)), err=as_json)
    if as_json:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False))
    if not found.passed:
        sys.exit(FAILED)
