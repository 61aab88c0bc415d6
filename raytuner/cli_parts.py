"""Parts of the command line: its groups of commands, and what the shell completes."""

from __future__ import annotations

import atexit
import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from raytuner.errors import nearest, quoted
from raytuner.folders import is_path


class Commands(click.Group):
    """Commands in the order of first use; an unknown one is answered with the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which the commands are defined."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for."""
        if not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}; {nearest(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


class AnyPath(click.Path):
    """A path that a file system can have."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what would only be an error of the system's later."""
        text = str(value)
        if not is_path(text):
            self.fail(f"{quoted(text)} cannot be a path; name a file or folder", param, ctx)
        return super().convert(value, param, ctx)


class ConfigPath(AnyPath):
    """The path of a config; the shell completes it with YAML files."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The YAML files of that beginning; where there are none, the shell is to offer any file or folder."""
        here = Path(incomplete + "*")
        found = sorted(path for path in here.parent.glob(here.name) if path.suffix in (".yaml", ".yml"))
        items = [CompletionItem(str(path)) for path in found]
        return items or [CompletionItem(incomplete, type="file")]


CONFIG = ConfigPath(path_type=Path)
PATH = AnyPath(path_type=Path)


def algorithm_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The values of --search, for the shell."""
    from raytuner.search.registry import names

    return [name for name in names() if name.startswith(incomplete)]


def scheduler_names(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The values of --scheduler, for the shell."""
    from raytuner.schedulers import SCHEDULERS

    return [name for name in SCHEDULERS if name.startswith(incomplete)]


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that searches."""
    for option in reversed(
        (
            click.option(
                "--search",
                "search",
                metavar="NAME",
                shell_complete=algorithm_names,
                help="The search algorithm; see `raytuner algorithms`.",
            ),
            click.option(
                "--scheduler",
                metavar="NAME",
                shell_complete=scheduler_names,
                help="What stops trials early: fifo (nothing), racing, halving, asha, median or wilcoxon.",
            ),
            click.option("--trials", type=click.IntRange(min=1), metavar="N", help="The most configurations to try."),
            click.option("--seed", type=int, metavar="S", help="Fixes the order of trials and questions."),
            click.option(
                "--set",
                "overrides",
                multiple=True,
                metavar="A.B=C",
                help="Replace a value of the config; may be repeated.",
            ),
        )
    ):
        command = option(command)
    return command


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that shows a result."""
    for option in reversed(
        (
            click.option(
                "--json", "as_json", is_flag=True, help="Print one JSON object to stdout, all else to stderr."
            ),
            click.option(
                "-v",
                "--verbose",
                is_flag=True,
                help="Show what workers print, and the traceback of an unexpected error.",
            ),
            click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
            click.option("--yes", is_flag=True, help="Do not ask before a search that is expected to be dear."),
        )
    ):
        command = option(command)
    return command


def leave_no_escapes() -> None:
    """With NO_COLOR, keep colorama, which Ray starts, from resetting the colours of the terminal at the end."""
    colorama = sys.modules.get("colorama.initialise")
    if colorama is not None and os.environ.get("NO_COLOR"):
        atexit.unregister(colorama.reset_all)


def printable(text: str) -> str:
    """A text without what a terminal would obey; a document or a run may hold anything."""
    return "".join("\ufffd" if _is_control(letter) else letter for letter in text)


def _is_control(letter: str) -> bool:
    return letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")
