"""Why a search has no result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raytuner.results import FailedTrial
from raytuner.run_folder import LOG
from raytuner.so_far import so_far

if TYPE_CHECKING:
    from raytuner.study import Study


def why_none(study: Study, failed: list[FailedTrial]) -> str:
    """Why no trial was scored, with the first error."""
    where = f"; see {study.folder / LOG}" if study.folder else ""
    if leads := so_far(study.goals, list(study.trials.values())):
        return f"{leads}{f'; {study.halted}' if study.halted else ''}{where}"
    if study.stopped:
        first = study.stopped[0]
        return f"no trial ran to its end; trial {first.number} was stopped: {first.stopped}{where}"
    if not failed and study.halted is not None:
        return f"no trial was finished: {study.halted}{where}"
    if not failed:
        return f"no trial was finished; give the search more time{where}"
    return f"all {len(failed)} trials failed, the first with: {failed[0].summary}{where}"


def why_none_within(study: Study) -> str:
    """Why no trial is within the limits, with the nearest one."""
    nearest = study.scored[0]
    params = ", ".join(f"{name}={value}" for name, value in nearest.shown.items())
    where = f"; all are in {study.folder / LOG}" if study.folder else ""
    return (
        f"none of {len(study.scored)} configurations is within the limits; the nearest, trial {nearest.number} "
        f"({params}), has {', '.join(study.breaches(nearest))}; loosen the limit, or widen the space{where}"
    )
