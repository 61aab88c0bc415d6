"""``raytuner resume``: a run that goes on."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from raytuner.cli_tune import ask, headline
from raytuner.going_on import go_on, planned
from raytuner.head import check_address
from raytuner.past import Past
from raytuner.plan import Plan
from raytuner.progress import Progress
from raytuner.results import TunedResult
from raytuner.run_log import RunLog


def run(
    folder: Path,
    *,
    trials: int | None,
    search: str | None,
    address: str | None,
    overrides: Sequence[str],
    force: bool,
    as_json: bool,
    verbose: bool,
    quiet: bool,
    yes: bool,
) -> tuple[TunedResult, Plan]:
    """Go on with a run; see the command.

    Raises:
        UserError: Something that is given is wrong, or has changed.
    """
    given = {"run.address": address, "search.name": search}
    options = [f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None]
    if search is not None and not any(one.startswith("search.options") for one in overrides):
        options.append("search.options={}")  # those of the other algorithm
    check_address(address)
    with RunLog() as log:
        plan = planned(folder, trials, [*overrides, *options], quiet=quiet)
        if not yes:
            ask(plan)
        if not quiet:
            click.echo(headline(plan), err=True)
        with Progress(plan.total, quiet=quiet) as progress, contextlib.redirect_stdout(sys.stderr):

            def listeners(past: Past) -> tuple[Any, ...]:
                if not quiet:
                    click.echo(_said(past), err=True)
                return (progress,)

            shown = verbose and not as_json
            return go_on(plan, folder, log, force=force, listeners=listeners, verbose=shown), plan


def _said(past: Past) -> str:
    ended = len(past.trials) - len(past.unfinished)
    return f"goes on: {ended} trials have ended, {len(past.unfinished)} were in flight"
