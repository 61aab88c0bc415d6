"""Going on with a run that ended before its search did, from its folder alone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytuner.config import TuneConfig
from raytuner.data_hashes import data_of, hashed
from raytuner.documents.document import Document
from raytuner.documents.load import progress_bar
from raytuner.errors import ConfigError, DataError, UserError, redact
from raytuner.past import Past, read_past
from raytuner.plan import Plan, make_plan, run_plan
from raytuner.results import TunedResult
from raytuner.run_folder import FORMAT, LOG, RUN, holding, read_run
from raytuner.study import Listener
from raytuner.take_up import changes
from raytuner.trial_log import mend
from raytuner.warm_start import kept

if TYPE_CHECKING:
    from raytuner.run_log import RunLog

CONFIG = "config.yaml"
FREE = (
    "budget",
    "run",
    "track",
    "search.trials",
    "search.name",
    "search.options",
    "search.concurrency",
    "search.max_retries",
    "warm_start",
    "modules",
    "documents.path",
    "questions.path",
)
"""What of a config may change: it decides what is tried, and where, but not what a configuration scores.

Where documents and questions lie may, since their hashes say whether they are the same.
"""
DATA = ("documents", "questions")
SHOWN = 10


def identity(plan: Plan) -> dict[str, Any]:
    """What ``run.json`` says of a plan, so that a search that goes on later goes on with the same.

    Returns:
        ``{"base": the folder that paths are relative to, "config": ..., "data": ...}``; of texts only hashes, see
        `raytuner.data_hashes.data_of`.
    """
    config = _without_secrets(plan.config.settings)
    return {"base": str(plan.config.base), "config": config, "data": data_of(plan.objective)}


def load(folder: Path, overrides: Sequence[str] = ()) -> TuneConfig:
    """The config of a run.

    Args:
        folder: The run folder.
        overrides: See `TuneConfig.load`.

    Raises:
        UserError: It is no run of a config, or something in it is wrong now.
    """
    run, path = read_run(folder), folder / CONFIG
    if not path.is_file() or "config" not in run or run.get("format", FORMAT) < FORMAT:
        raise DataError(f"{folder}: a run without a config, or of an older version, cannot go on; begin a new one")
    _check_complete(run, folder)
    base = Path(run["base"])
    config = TuneConfig.parse(
        path.read_text(encoding="utf-8"),
        base=base if base.is_dir() else Path.cwd(),  # it began elsewhere
        source=str(path),
        overrides=overrides,
    )
    config.run.name = config.run.name or run["name"]
    return config


def _check_complete(run: Mapping[str, Any], folder: Path) -> None:
    """Refuse what is no description of a run that can go on.

    Raises:
        DataError: With what is missing.
    """
    there = {
        "name": isinstance(run.get("name"), str),
        "base": isinstance(run.get("base"), str),
        "config": isinstance(run["config"], dict),
        "trials": isinstance(run.get("trials"), (int, type(None))),
    }
    if damaged := [name for name, is_there in there.items() if not is_there]:
        raise DataError(f"{folder}: {RUN} lacks {', '.join(damaged)}, or it is damaged there; restore the file")


def more(folder: Path, trials: int) -> list[str]:
    """The override for so many configurations more than a run was to have.

    Raises:
        ConfigError: It was to have all there are.
    """
    before = read_run(folder).get("trials")
    if before is None:
        raise ConfigError("--trials: the run tries the whole grid already; there are no more configurations")
    return [f"search.trials={before + trials}"]


def check_unchanged(plan: Plan, run: Mapping[str, Any], force: bool = False) -> list[str]:
    """Refuse to go on with something else: scores would not compare.

    Args:
        plan: Of what would go on.
        run: What ``run.json`` says.
        force: Whether it goes on nevertheless.

    Returns:
        What is different, a line each, if it goes on.

    Raises:
        UserError: With the difference.
    """
    data = run.get("data")
    if not isinstance(data, dict) or not all(isinstance(data.get(kind), dict) for kind in DATA):
        raise DataError(f"{RUN} lacks data, or it is damaged there; restore the file, or begin a new run")
    now = identity(plan)
    found = [line for line in changes(run["config"], now["config"]) if not line.startswith(FREE)]
    for kind in DATA:
        found += _changed(kind, run["data"][kind], now["data"][kind])
    if found and not force:
        listed = "; ".join(found[:SHOWN]) + (f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
        raise UserError(f"the run cannot go on with what has changed: {listed}. Undo that, or go on with --force")
    return found


def changed_documents(run: Mapping[str, Any], documents: Sequence[Document]) -> list[str]:
    """How documents differ from those of a run, in lines; none where the run does not say.

    Args:
        run: What ``run.json`` says.
        documents: The documents of now.
    """
    before = (run.get("data") or {}).get("documents")
    now = {document.id: hashed(document.text) for document in documents}
    return [] if before is None else list(_changed("documents", before, now))


def _changed(kind: str, before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    named = {
        "changed": [name for name in before if name in now and before[name] != now[name]],
        "gone": [name for name in before if name not in now],
        "new": [name for name in now if name not in before],
    }
    for what, names in named.items():
        if names:
            listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            yield f"{kind} {what}: {len(names)} ({listed})"


def _without_secrets(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(redact(json.dumps(settings)))
    return found


@contextlib.contextmanager
def going_on(folder: Path) -> Iterator[Past]:
    """Hold a run folder, and read its log, of which a torn last line is cut off.

    Raises:
        UserError: Another driver works on it, or it is no run folder.
    """
    read_run(folder)
    with holding(folder):
        for file in (LOG, "calls.jsonl"):
            mend(folder / file)
        yield read_past(folder)


def resume(
    run: str | Path,
    *,
    trials: int | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    listeners: tuple[Listener, ...] = (),
    verbose: bool = False,
) -> TunedResult:
    """Go on with a run: with what was in flight, and then as if nothing had happened.

    Finished blocks of questions and trials are not computed again.

    Args:
        run: The run folder.
        trials: So many configurations more than the run was to have.
        overrides: What replaces something in its config, as ``a.b=c``: budgets, ``search.name`` and where it runs; what
            changes scores is refused.
        force: Whether changes of config, documents or questions are not refused.
        listeners: Called with the study and a trial after each change.
        verbose: Whether what workers print is shown.

    Returns:
        The results of the whole run, best first.

    Raises:
        UserError: Something has changed, or another driver works on the run.
        AllTrialsFailedError: No configuration could be scored.
    """
    from raytuner.run_log import RunLog

    folder = Path(run).expanduser().resolve()
    with RunLog() as log:
        plan = planned(folder, trials, overrides)
        return go_on(plan, folder, log, force=force, listeners=lambda _: listeners, verbose=verbose)


def planned(folder: Path, trials: int | None, overrides: Sequence[str], quiet: bool = True) -> Plan:
    """The plan of a run that goes on.

    Args:
        folder: The run folder.
        trials: See `resume`.
        overrides: See `resume`.
        quiet: Whether no bar is shown while documents are read.
    """
    extra = [] if trials is None else more(folder, trials)
    with progress_bar(quiet=quiet) as reading:
        return make_plan(load(folder, [*overrides, *extra]), imports=True, progress=reading, warm=kept(folder))


def go_on(
    plan: Plan,
    folder: Path,
    log: RunLog,
    *,
    force: bool,
    listeners: Callable[[Past], tuple[Listener, ...]],
    verbose: bool = False,
) -> TunedResult:
    """Run what is left of a plan; see `resume`.

    Args:
        plan: From `planned`.
        folder: The run folder.
        log: What was logged while the plan was made.
        force: See `resume`.
        listeners: The listeners, by what is known of the run.
        verbose: See `resume`.
    """
    with going_on(folder) as past:
        for line in check_unchanged(plan, read_run(folder), force):
            log.note(f"goes on though it has changed: {line}")
        return run_plan(plan, log, listeners=listeners(past), verbose=verbose, past=past)
