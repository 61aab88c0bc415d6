"""What the commands that search have in common."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import click

from raytuner.cli_parts import printable

INTERRUPTED = 130


def set_logging(verbose: bool, quiet: bool) -> None:
    """Show what raytuner says from a level on."""
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(message)s", stream=sys.stderr)
    logging.getLogger("raytuner").setLevel(level)


def overrides_of(
    search: str | None, scheduler: str | None, trials: int | None, seed: int | None, overrides: tuple[str, ...]
) -> list[str]:
    """Options as what they replace in the config; the options win over ``--set``."""
    given = {
        "search.name": None if search is None else json.dumps(search),
        "search.scheduler": None if scheduler is None else json.dumps(scheduler),
        "search.trials": trials,
        "search.seed": seed,
    }
    return [*overrides, *(f"{key}={value}" for key, value in given.items() if value is not None)]


def run_tune(
    config: Path,
    *,
    search: str | None,
    scheduler: str | None,
    trials: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    as_json: bool,
    verbose: bool,
    quiet: bool,
    yes: bool,
) -> None:
    """Search as a config says, and print the result; see `raytuner tune`."""
    set_logging(verbose, quiet)
    from raytuner.config import TuneConfig
    from raytuner.head import check_address
    from raytuner.run_log import RunLog

    with RunLog() as log:
        loaded = TuneConfig.load(config, overrides_of(search, scheduler, trials, seed, overrides))
        if (loaded.run.address or "").startswith("ray://"):
            from raytuner.cli_jobs import tune_there

            tune_there(loaded, as_json=as_json, quiet=quiet, yes=yes)
            return
        check_address(loaded.run.address)  # before documents are read
        from raytuner.documents.load import progress_bar
        from raytuner.plan import make_plan, run_plan
        from raytuner.progress import Progress

        with progress_bar(quiet=quiet) as reading:
            plan = make_plan(loaded, imports=True, progress=reading)
        if not yes:
            ask(plan)
        if not quiet:
            click.echo(headline(plan), err=True)
        # What workers print, and what Ray says of those that die, goes to stdout, which belongs to the result.
        with Progress(plan.total, quiet=quiet) as progress, contextlib.redirect_stdout(sys.stderr):
            result = run_plan(plan, log, listeners=(progress,), verbose=verbose and not as_json)
    conclude(result, plan, as_json, quiet)


def conclude(result: Any, plan: Any, as_json: bool, quiet: bool) -> None:
    """Print the result of a search, and end with the exit code of Ctrl-C if that ended it."""
    if result.interrupted:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not lose the result of the first
    print_result(result, plan.objective.metric, plan.mode, as_json, quiet)
    if result.interrupted:
        sys.exit(INTERRUPTED)


def ask(plan: Any) -> None:
    """On a terminal, ask before a search that is expected to be dear."""
    if not sys.stdin.isatty():
        return
    from raytuner.plan_cost import ASK_ABOVE_USD, expected_usd

    usd = expected_usd(plan)
    if usd > ASK_ABOVE_USD:
        click.confirm(f"About {usd:,.2f} USD are expected (raytuner plan says for what). Go on?", abort=True, err=True)


def headline(plan: Any) -> str:
    """What is about to be searched, in a line."""
    from raytuner.goals import described

    count = "?" if plan.total is None else plan.total
    read = {"questions": plan.objective.questions, "documents": plan.objective.documents}
    numbers = ", ".join(f"{name}: {len(found)}" for name, found in read.items() if found)
    held_out = getattr(plan.objective, "holdout", 0)
    numbers += f", of the questions held out: {held_out}" if held_out else ""
    searched = f"{plan.search}, trials: {count} ({plan.why}); {plan.scheduler}; {described(plan.goals)}"
    return f"{searched}; {numbers}" if numbers else searched


def print_result(result: Any, metric: str, mode: str, as_json: bool, quiet: bool = False) -> None:
    """Print a result: as text, or one JSON object to stdout and the text to stderr."""
    from raytuner import report

    text = printable(report.as_text(result, metric, mode))
    if not as_json:
        click.echo(text)
        return
    if not quiet:
        click.echo(text, err=True)
    click.echo(json.dumps(report.as_json(result), ensure_ascii=False))
