"""What is said of the held-out questions, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from raytuner.confirm import COSTS, Confirmation, Difference, HeldOut
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
    winner = result.best_run_result.trial
    if winner is not None and winner != result.best.trial and (won := found.of(winner)) is not None:
        yield f"Trial {winner}, the best of the search: {metric} {shown(won.score)} there"
    if len(found.ties) > 1:
        yield _ties(result, found)
    yield from _others(result, found, best)
    yield from _documents(found)


def _others(result: TunedResult, found: Confirmation, best: HeldOut) -> Iterator[str]:
    """Of those that cannot be told apart, which are surely better than the default though the cheapest is not."""
    if best.versus_default is None or best.versus_default.is_sure:
        return
    ties = [found.of(number) for number in found.ties]
    sure = [one for one in ties if one and one.versus_default is not None and one.versus_default.is_sure]
    for one in sure[:SHOWN]:
        assert one.versus_default is not None
        yield f"But trial {one.trial} is surely better than the default: by {_interval(one.versus_default)}"


def _documents(found: Confirmation) -> Iterator[str]:
    """What the documents of the questions limit."""
    if found.documents is None:
        return
    documents = "1 document" if found.documents == 1 else f"{found.documents} documents"
    if found.clusters is None or found.clusters < FEWEST_CLUSTERS:
        yield f"The questions are about {documents}: this says nothing of how it does on others"
    elif 2 * found.seen >= found.documents:
        yield f"They are about {documents}, of which the search saw {found.seen}: on others it may be less"


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
    needed = "" if versus.needed is None else f"; about {versus.needed:,} held-out questions would tell"
    return f", not surely better than the default's {score}: by {_interval(versus)}{needed}"


def _interval(difference: Difference) -> str:
    return f"{shown(difference.mean)} [{shown(difference.low)}, {shown(difference.high)}]"


def _ties(result: TunedResult, found: Confirmation) -> str:
    others = [one for number in found.ties if (one := found.of(number)) is not None and one.behind is not None]
    needed = [one.behind.needed for one in others if one.behind is not None and one.behind.needed is not None]
    would = f"; about {min(needed):,} held-out questions would tell the first of them apart" if needed else ""
    return (
        f"These {len(found.ties)} cannot be told apart there: trials {', '.join(map(str, found.ties))}{would}; "
        f"take {_cheapest(found)}"
    )


UNITS = {"chunk_tokens": "{:.0f} tokens of context", "latency": "{:.2f} s an answer", "usd": "{:.2g} USD an answer"}


def _cheapest(found: Confirmation) -> str:
    """The one to take, and by which cost."""
    first, *others = [one.metrics for number in found.ties if (one := found.of(number)) is not None]
    for name in COSTS:
        if name in first and any(round(first[name], 6) != round(one.get(name, 0.0), 6) for one in others):
            return f"the cheapest, trial {found.ties[0]}, with {UNITS[name].format(first[name])}"
    return f"the first, trial {found.ties[0]}: they cost the same"
