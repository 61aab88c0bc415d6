"""The commands ``raytuner cache``: what artefacts are on disk."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from raytuner.cli_parts import Commands

if TYPE_CHECKING:
    from raytuner.store import Info

ROOM = 2**20
"""Bytes that the index needs to forget what is in it."""


@click.group(cls=Commands)
def cache() -> None:
    """Show and remove what trials and runs share on disk."""


@cache.command()
def info() -> None:
    """Show what is there, by stage."""
    from raytuner.pipeline.cache import artefacts_folder
    from raytuner.store import Store

    click.echo(_table(Store(artefacts_folder()).info()))


@cache.command()
@click.option("--stage", "stages", multiple=True, help="Only the artefacts of this stage; may be repeated.")
@click.option("--unused-days", type=click.FloatRange(min=0), help="Only those that were not used for so long.")
def clear(stages: tuple[str, ...], unused_days: float | None) -> None:
    """Remove artefacts; what running searches need stays."""
    from raytuner.pipeline.cache import artefacts_folder
    from raytuner.store import Store, empty

    if not stages and unused_days is None and _is_full(artefacts_folder()):
        empty(artefacts_folder())  # nothing can be written there, so nothing smaller can be done
        click.echo("removed: everything, since the disk is full")
        return
    store = Store(artefacts_folder())
    before = store.info()
    if unknown := sorted(set(stages) - set(before.stages)):
        raise click.UsageError(
            f"--stage {unknown[0]!r}: there are {', '.join(sorted(before.stages)) or 'no artefacts'}"
        )
    after = store.clear(stages or None, unused_s=(unused_days or 0) * 86_400)
    click.echo(f"removed: {before.artefacts - after.artefacts:,} artefacts, {_size(before.bytes - after.bytes)}")
    if after.artefacts:
        click.echo(f"left: {after.artefacts:,} artefacts, {_size(after.bytes)}")


def _is_full(folder: Path) -> bool:
    """Whether there is no room for a change of the index."""
    return folder.is_dir() and shutil.disk_usage(folder).free < ROOM


def _table(found: Info) -> str:
    lines = [f"folder  {found.folder}", f"limit   {_size(found.limit)}"]
    for name, count in sorted(found.stages.items(), key=lambda entry: -entry[1].bytes):
        lines.append(f"  {name:16} {count.artefacts:>9,} artefacts {_size(count.bytes):>10}")
    lines.append(f"in all  {found.artefacts:,} artefacts, {_size(found.bytes)}")
    if found.oldest is not None and found.newest is not None:
        lines.append(f"made    {_day(found.oldest)} to {_day(found.newest)}")
    return "\n".join(lines)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"
