"""What is said of the held-out questions, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raytuner.confirm import Confirmation, Difference, HeldOut
from raytuner.goals import shown
from raytuner.results import TunedResult
from raytuner.stats import FEWEST_CLUSTERS

NOT_CONFIRMED = ", and was not confirmed on others"
SHOWN = 3
"""So many documents are named."""


def as_json(result: TunedResult) -> dict[str, Any]:
    """The object under ``held_out``.

    Args:
        result: With a confirmation.

    Returns:
        ``{"questions", "documents", "results": [{"trial", "score", "metrics", "versus_default", "behind"}], "ties"}``,
        where a difference is ``{"mean", "low", "high", "p", "needed"}``; see `raytuner.confirm`.
    """
    assert result.confirmation is not None
    return result.confirmation.model_dump()


def lines(result: TunedResult, metric: str) -> Iterator[str]:
    """The score on held-out questions, whether it is better than the default's, and what cannot be told apart."""
    if result.confirmation is not None and result.held_out is not None:
        yield from _confirmed(result, result.confirmation, result.held_out, metric)
    elif result.best_run_result.questions:
        yield f"That is optimistic: it was chosen by its questions{NOT_CONFIRMED}"
    yield from _robustness(result)


def _confirmed(result: TunedResult, found: Confirmation, best: HeldOut, metric: str) -> Iterator[str]:
    yield f"That is optimistic: it was chosen by its questions. On {found.questions} held-out questions:"
    yield f"Trial {result.best.trial}: {metric} {shown(best.score)}{_versus(result, found)}"
    if len(found.ties) > 1:
        yield _ties(result, found)
    if found.documents is not None and found.documents < FEWEST_CLUSTERS:
        documents = "1 document" if found.documents == 1 else f"{found.documents} documents"
        yield f"The questions are about {documents}: this says nothing of how it does on others"


def _robustness(result: TunedResult) -> Iterator[str]:
    """How much the winner of the search depends on the questions."""
    found = result.robustness
    if found is None:
        return
    best = result.best_run_result.trial
    rival = next((f"; trial {number} in {share:.0%}" for number, share in found.rivals.items()), "")
    complete = len(result.run_results)
    share = f"{found.win_share:.0%} of the draws of such questions{rival}"
    yield f"Of the {complete} that ran to their end, trial {best} would win in {share}"
    others = found.other_winners(best)
    if others:
        named = ", ".join(f"trial {one.trial} without {one.document}" for one in others[:SHOWN])
        more = f", and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        yield f"It depends on the documents: {named}{more} would win"


def _versus(result: TunedResult, found: Confirmation) -> str:
    """How it compares with the default."""
    default = found.of(result.default.trial) if result.default and result.default.trial is not None else None
    if default is None or default.trial == result.best.trial:
        return ", the default configuration itself" if default is not None else ""
    versus = result.versus_default
    assert versus is not None  # which all but the default have
    score = shown(default.score)
    if versus.is_sure:
        return f", better than the default's {score} by {_interval(versus)}"
    needed = "" if versus.needed is None else f"; about {versus.needed} questions would tell"
    return f", not surely better than the default's {score}: by {_interval(versus)}{needed}"


def _interval(difference: Difference) -> str:
    return f"{shown(difference.mean)} [{shown(difference.low)}, {shown(difference.high)}]"


def _ties(result: TunedResult, found: Confirmation) -> str:
    others = [one for number in found.ties if (one := found.of(number)) is not None and one.behind is not None]
    needed = [one.behind.needed for one in others if one.behind is not None and one.behind.needed is not None]
    would = f"; about {min(needed)} questions would tell the first of them apart" if needed else ""
    cost = result.best.metrics.get("chunk_tokens")
    tokens = "" if cost is None else f", with {cost:.0f} tokens of context"
    return (
        f"These {len(found.ties)} cannot be told apart there: trials {', '.join(map(str, found.ties))}{would}; "
        f"take the cheapest, trial {result.best.trial}{tokens}"
    )
