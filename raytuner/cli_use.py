"""The commands that use what a run found: `raytuner export`, `raytuner ask` and `raytuner serve`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from raytuner.cli_parts import PATH, AnyPath, printable
from raytuner.cli_tune import set_logging
from raytuner.errors import UserError

if TYPE_CHECKING:
    from raytuner.loaded import LoadedPipeline, Reply

SHOWN = 200
"""So many characters of a source are shown."""


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and the options that say which configuration of which run is meant."""
    for part in (
        click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an unexpected error."),
        click.option(
            "--folder", type=PATH, default="runs", show_default=True, help="Where runs given by name are looked for."
        ),
        click.option(
            "--trial",
            type=click.IntRange(1),
            metavar="N",
            help="The configuration of trial N; by default the one to take.",
        ),
        click.argument("run", type=AnyPath()),
    ):
        command = part(command)
    return command


def use_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of commands that run the pipeline."""
    for part in (
        click.option(
            "--trust", is_flag=True, help="Import what RUN names by dotted path, and call the addresses it names."
        ),
        click.option("--documents", type=AnyPath(), metavar="PATH", help="Documents in place of those of the run."),
    ):
        command = part(command)
    return run_options(command)


@click.command()
@run_options
@click.option("--out", type=PATH, metavar="YAML", help="Write a config of this configuration; else to stdout.")
@click.option("--python", "script", type=PATH, metavar="FILE", help="Write LlamaIndex code that needs no raytuner.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
def export(
    run: str, trial: int | None, folder: Path, out: Path | None, script: Path | None, force: bool, verbose: bool
) -> None:
    """Write the configuration that RUN found as a config, or as code.

    RUN is the path of a run folder, or the name of a run (its newest). Nothing that it names is imported.
    """
    set_logging(verbose, False)
    from raytuner.chosen import all_concerns, choose, concerns

    check_free([path for path in (script, out) if path is not None], force)
    chosen = choose(run, trial, folder)
    writes_config = out is not None or script is None
    for concern in (all_concerns if writes_config else concerns)(chosen):
        click.echo(f"look at it before you use this: {concern}", err=True)
    if script is not None:
        from raytuner.script import script_of

        write_text(script, script_of(chosen), force)
    if out is not None:
        write_text(out, chosen.yaml, force)
    elif writes_config:
        click.echo(chosen.yaml, nl=False)


def check_free(paths: list[Path], force: bool) -> None:
    """Refuse files that cannot be written, before any of them is.

    Raises:
        UserError: With the path and what to do.
    """
    for path in paths:
        if str(path) == "-":
            raise UserError("-: name a file; without --out and --python the config goes to stdout")
        if path.exists() and not force:
            raise _is_there(path)
        if not path.absolute().parent.is_dir():
            raise UserError(f"{path}: No such file or directory; name another file")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UserError(f"{paths[0]}: --python and --out name the same file; name two")


def _is_there(path: Path) -> UserError:
    return UserError(f"{path}: it is there already; name another file, or add --force")


def write_text(path: Path, text: str, force: bool) -> None:
    """Write a file and say so.

    Raises:
        UserError: It is there already, or cannot be written.
    """
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name another file") from None
    click.echo(f"written: {path}")


class Asking(click.Command):
    """A command that takes a question, which may look like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As any command, with a hint."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "write a question that begins with a dash after --"
            raise click.UsageError(f"{error.format_message()} ({hint}: raytuner ask RUN -- QUESTION)", ctx) from None


@click.command(cls=Asking)
@use_options
@click.argument("question")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout.")
def ask(
    run: str,
    question: str,
    trial: int | None,
    folder: Path,
    documents: str | None,
    trust: bool,
    as_json: bool,
    verbose: bool,
) -> None:
    """Answer QUESTION with the pipeline that RUN found: the path of a run folder, or the name of a run (its newest)."""
    set_logging(verbose, False)
    from raytuner.loaded import check_question

    check_question(question)
    pipeline = open_pipeline(run, trial, folder, documents, trust)
    reply = pipeline.ask(question)
    click.echo(json.dumps(_as_json(reply, pipeline), ensure_ascii=False) if as_json else _as_text(reply, pipeline))


def open_pipeline(run: str, trial: int | None, folder: Path, documents: str | None, trust: bool) -> LoadedPipeline:
    """Load the pipeline of a run, if nothing of it has to be looked at first.

    Raises:
        UserError: It names code or an address, and is not trusted; or see `raytuner.loaded.load`.
    """
    from raytuner.chosen import check_trusted, choose
    from raytuner.documents.load import progress_bar
    from raytuner.loaded import loaded

    chosen = choose(run, trial, folder)
    check_trusted(chosen, trust)
    with progress_bar() as reading:
        return loaded(chosen, documents, reading)


def _as_json(reply: Reply, pipeline: LoadedPipeline) -> dict[str, Any]:
    sources = [{**asdict(one), "citation": one.citation} for one in reply.sources]
    return {**asdict(reply), "sources": sources, "trial": pipeline.trial, "run": str(pipeline.run)}


def _as_text(reply: Reply, pipeline: LoadedPipeline) -> str:
    nothing = "(the answer is empty)" if reply.sources else "(nothing was found for it)"
    lines = [printable(reply.text) if reply.text.strip() else nothing]
    if reply.sources:
        lines += ["", "Sources:"]
    for number, one in enumerate(reply.sources, 1):
        text = " ".join(one.text.split())
        text = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        lines.append(printable(f"{number}. {one.citation}, {one.start}:{one.end}, score {one.score:.4f}: {text}"))
    return "\n".join([*lines, "", _took(reply, pipeline)])


def _took(reply: Reply, pipeline: LoadedPipeline) -> str:
    from raytuner.cost import dollars

    parts = [f"trial {pipeline.trial}", f"{reply.seconds:.1f} s"]
    if reply.prompt_tokens is not None:
        parts.append(f"{reply.prompt_tokens:,} + {reply.completion_tokens or 0:,} tokens")
    parts.append("price unknown" if reply.usd is None else f"{dollars(reply.usd)} USD")
    return ", ".join(parts)


@click.command()
@use_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; beyond this machine with a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes any free one.")
@click.option("--name", default="raytuner", show_default=True, help="The name of the model that clients ask for.")
@click.option("--api-key-env", multiple=True, metavar="NAME", help="A variable with an API key; may be repeated.")
@click.option("--at-once", type=click.IntRange(1), default=16, show_default=True, help="The most requests at once.")
@click.option("--per-minute", type=click.IntRange(1), metavar="N", help="The most requests in any minute.")
def serve(
    run: str,
    trial: int | None,
    folder: Path,
    documents: str | None,
    trust: bool,
    host: str,
    port: int,
    name: str,
    api_key_env: tuple[str, ...],
    at_once: int,
    per_minute: int | None,
    verbose: bool,
) -> None:
    """Serve the pipeline that RUN found behind OpenAI's protocol: the path of a run folder, or the name of a run."""
    set_logging(verbose, False)
    from raytuner.serving.gate import Limits
    from raytuner.serving.serve import check_installed, keys_of, listening
    from raytuner.serving.serve import serve as serve_pipeline

    check_installed()
    keys = keys_of(api_key_env, host)
    with listening(host, port) as listens:
        pipeline = open_pipeline(run, trial, folder, documents, trust)
        pipeline.warm()

        def ready(address: str) -> None:
            click.echo(
                f"trial {pipeline.trial} of {pipeline.run.name}, as {name}, at {address}; Ctrl-C stops", err=True
            )

        limits = Limits(at_once, per_minute)
        serve_pipeline(pipeline, listens, name=name, keys=keys, limits=limits, ready=ready)
