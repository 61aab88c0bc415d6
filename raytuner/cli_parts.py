"""Parts of the command line: its groups of commands, and what the shell completes."""

from __future__ import annotations

import atexit
import os
import sys
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


def leave_no_escapes() -> None:
    """With NO_COLOR, keep colorama, which Ray starts, from resetting the colours of the terminal at the end."""
    colorama = sys.modules.get("colorama.initialise")
    if colorama is not None and os.environ.get("NO_COLOR"):
        atexit.unregister(colorama.reset_all)
