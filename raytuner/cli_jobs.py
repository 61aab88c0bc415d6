"""The commands `raytuner submit` and `raytuner jobs`: searches on a Ray cluster."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raytuner.cli_parts import CONFIG, PATH, Commands, search_options
from raytuner.cli_tune import INTERRUPTED, ask, overrides_of, print_result, set_logging

if TYPE_CHECKING:
    from raytuner.config import TuneConfig
    from raytuner.jobs.job import Job


def address_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option of every command that speaks to a cluster."""
    return click.option(
        "--address",
        metavar="URL",
        help="The cluster's job server, http://HOST:8265; else RAY_API_SERVER_ADDRESS or RAY_ADDRESS says it.",
    )(command)


@click.command()
@click.argument("config", type=CONFIG)
@address_option
@search_options
@click.option(
    "--storage",
    metavar="URL",
    help="Where the run folder is copied to while it is written: s3://..., gs://..., or a path that all nodes share.",
)
@click.option("--detach", is_flag=True, help="Print the id and do not follow the log.")
@click.option("--image-has-raytuner", is_flag=True, help="raytuner is installed on the nodes: do not send it.")
@click.option(
    "--env",
    multiple=True,
    metavar="NAME",
    help="Give the job the value of this variable. Ray stores it and shows it to whoever holds the cluster's token; "
    "refused where there is no token. --env-from-cluster is safer.",
)
@click.option(
    "--env-from-cluster",
    multiple=True,
    metavar="NAME",
    help="A variable that every node has to have; a job whose node lacks it ends at once.",
)
@click.option(
    "--max-mb", type=click.FloatRange(0, min_open=True), default=100, show_default=True, help="Pack no more than this."
)
@click.option("--yes", is_flag=True, help="Do not ask before a search that is expected to be dear.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error.")
@click.option("-q", "--quiet", is_flag=True, help="Show the log of the job only.")
def submit(
    config: Path,
    address: str | None,
    search: str | None,
    scheduler: str | None,
    trials: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    detach: bool,
    yes: bool,
    verbose: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Run the search of CONFIG on a Ray cluster, as a job there, and follow its log.

    The config, its documents and questions and raytuner itself are packed and sent. Ctrl-C stops following; the job
    goes on.
    """
    set_logging(verbose, quiet)
    from raytuner.config import TuneConfig

    loaded = TuneConfig.load(config, overrides_of(search, scheduler, trials, seed, overrides))
    from raytuner.jobs.submit import submit as submit_job

    job = submit_job(loaded, address, show_progress=not quiet, confirm=None if yes else ask, **given)
    if detach:
        click.echo(job.id)
        if not quiet:
            click.echo(_next_steps(job, address), err=True)
        return
    if not quiet:
        click.echo(f"job {job.id}", err=True)
    sys.exit(_follow(job, address, quiet))


def tune_there(config: TuneConfig, *, as_json: bool, quiet: bool, yes: bool) -> None:
    """Search in the cluster of an address of Ray Client, and bring the run folder here, as if it had run here."""
    from raytuner.head import check_client_address
    from raytuner.jobs.cluster import connect, server_of
    from raytuner.jobs.fetch import fetch
    from raytuner.jobs.submit import submit as submit_job
    from raytuner.run_folder import read_run
    from raytuner.saved_run import load_study, result_of

    check_client_address(config.run.address or "")
    address = server_of(config.run.address or "")
    if not quiet:
        click.echo(f"the search is sent to {address} (RAY_API_SERVER_ADDRESS names another dashboard)", err=True)
    job = submit_job(config, address, show_progress=not quiet, confirm=None if yes else ask)
    if not quiet:
        click.echo(f"job {job.id} at {address}", err=True)
    with contextlib.redirect_stdout(sys.stderr):  # its log; the result is printed below
        code = _follow(job, address, quiet)
    if code in (0, INTERRUPTED):
        folder = fetch(connect(address), job, Path(config.run.folder or "runs").expanduser())
        study = load_study(folder)
        print_result(result_of(study, read_run(folder)), study.metric, study.mode, as_json, quiet=True)
    sys.exit(code)


@click.group(cls=Commands)
def jobs() -> None:
    """List, follow, stop and fetch the jobs of `raytuner submit`."""


@jobs.command("list")
@address_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def jobs_list(address: str | None, as_json: bool) -> None:
    """List the jobs that raytuner has submitted, the newest first."""
    from raytuner.jobs.cluster import connect
    from raytuner.jobs.job import jobs as list_jobs

    rows = list_jobs(connect(address))
    if as_json:
        click.echo(
            json.dumps([{**row._asdict(), "started": _iso(row.started), "ended": _iso(row.ended)} for row in rows])
        )
        return
    width = max((len(row.id) for row in rows), default=2)
    click.echo(f"{'id':{width}}  {'status':9}  started (UTC)         storage")
    for row in rows:
        started = (_iso(row.started) or "-").removesuffix("+00:00")
        click.echo(f"{row.id:{width}}  {row.status:9}  {started:20}  {row.storage or 'the head'}")


@jobs.command("logs")
@click.argument("job", metavar="JOB")
@address_option
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended; the exit code is the job's.")
def jobs_logs(job: str, address: str | None, follow: bool) -> None:
    """Print what JOB has printed: its id, or the name of its run (its newest)."""
    from raytuner.jobs.cluster import connect
    from raytuner.jobs.job import find

    found = find(connect(address), job)
    if follow:
        sys.exit(_follow(found, address, quiet=False))
    click.echo(found.logs(), nl=False)


@jobs.command("stop")
@click.argument("job", metavar="JOB")
@address_option
def jobs_stop(job: str, address: str | None) -> None:
    """Stop JOB as Ctrl-C stops a search: what is finished is kept."""
    from raytuner.jobs.cluster import connect
    from raytuner.jobs.job import find

    found = find(connect(address), job)
    was_running = found.stop()
    click.echo(f"{found.id}: {'stopped' if was_running else f'had ended before ({found.status()})'}")


@jobs.command("fetch")
@click.argument("job", metavar="JOB")
@address_option
@click.option(
    "--out", type=PATH, default="runs", show_default=True, metavar="DIR", help="Where the run folder is made."
)
def jobs_fetch(job: str, address: str | None, out: Path) -> None:
    """Bring the run folder of JOB from the head of the cluster to this machine (at most 100 MB)."""
    from raytuner.jobs.cluster import connect
    from raytuner.jobs.fetch import fetch
    from raytuner.jobs.job import find

    cluster = connect(address)
    folder = fetch(cluster, find(cluster, job), out)
    click.echo(f"{folder}: raytuner show {folder} shows it")


def _follow(job: Job, address: str | None, quiet: bool) -> int:
    """Show the log of a job until it ends; its exit code."""
    try:
        with contextlib.closing(job.follow()) as log:
            for piece in log:
                click.echo(piece, nl=False)
        code, reason = job.exit_code(), job.reason()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the job goes on\n{_next_steps(job, address)}") from None
    if reason is not None:
        click.echo(f"error: job {job.id} could not be run: {reason}", err=True)
    elif not quiet:
        click.echo(f"job {job.id}: {job.status()}, exit code {code}", err=True)
    return code


def _next_steps(job: Job, address: str | None) -> str:
    """The commands for a job that nobody follows."""
    there = f" --address {address}" if address else ""
    return "\n".join(
        (
            f"follow it:  raytuner jobs logs {job.id} --follow{there}",
            f"stop it:    raytuner jobs stop {job.id}{there}",
            f"its result: raytuner jobs fetch {job.id}{there}",
        )
    )


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
