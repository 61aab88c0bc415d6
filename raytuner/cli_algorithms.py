"""The command ``raytuner algorithms --install``: environments of their own for algorithms that need one."""

from __future__ import annotations

import sys

import click

from raytuner.errors import SearchError


def install_algorithm(name: str, yes: bool) -> None:
    """Make the environment of an algorithm, after saying what is fetched; one that works is left as it is.

    Args:
        name: The algorithm.
        yes: Do not ask.

    Raises:
        SearchError: It needs no environment, nobody can be asked, or it could not be made.
    """
    from raytuner.search import algorithm
    from raytuner.search.bridge.environment import SYSTEMS, install, is_installed, plan_install, python_of
    from raytuner.search.bridge.install import has
    from raytuner.search.bridge.systems import check_runs

    if name not in SYSTEMS:
        problem = algorithm(name).problem() or "can be used as it is"
        raise SearchError(f"search {name!r} needs no environment of its own, it {problem}")
    if is_installed(name):
        try:
            check_runs(name, python_of(name))
        except SearchError as error:
            click.echo(f"{name}: {error}")
        else:
            click.echo(f"{name}: ready in {python_of(name).parent.parent}")
            return
    plan = plan_install(name, has)
    click.echo(f"{name}: {plan.packages} packages for Python {plan.version}, {plan.size / 1e6:,.0f} MB to fetch")
    click.echo(f"into {plan.folder}")
    if plan.hint:
        click.echo(plan.hint)
    if not yes:
        if not sys.stdin.isatty():
            raise SearchError("nothing was fetched, since nobody could be asked; add --yes")
        click.confirm("Fetch and install them?", abort=True)
    install(plan, lambda python: check_runs(name, python))
    click.echo(f"{name}: ready")
