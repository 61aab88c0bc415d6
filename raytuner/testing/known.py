"""raytuner's own algorithms in the suite: what each is known to miss, with figures, and how many seeds it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raytuner.testing.suite import RANDOM_SEEDS, SearcherConformance


@dataclass(frozen=True)
class Known:
    """What is known of an algorithm.

    Attributes:
        exceptions: Why it fails a test, by the name of the test.
        seeds: So many searches the median regret is taken of; fewer where suggestions take long.
    """

    exceptions: Mapping[str, str] = field(default_factory=dict)
    seeds: int = SearcherConformance.seeds


KNOWN: dict[str, Known] = {
    "grid": Known(
        {
            "test_other_seeds_differ": "its order is that of the space, whatever the seed",
            "test_regret_on_a_conditional_function": "0.53, at random 0.05: 40 trials do not leave the first retriever",
            "test_regret_on_a_categorical_function": "0.45, at random 0.2: 40 trials do not leave the first splitter",
            "test_regret_when_minimising": "0.45, at random 0.2: as above",
        },
        seeds=1,
    ),
    "random": Known(seeds=RANDOM_SEEDS),  # the same that it is compared with
    "sobol": Known(
        {
            "test_regret_on_a_conditional_function": "0.052, at random 0.0505: it learns nothing",
            "test_regret_on_a_categorical_function": "0.25, at random 0.2: it learns nothing",
            "test_regret_when_minimising": "0.25, at random 0.2: it learns nothing",
        },
        seeds=RANDOM_SEEDS,
    ),
    "ax": Known(seeds=1),  # seconds for each suggestion, as of the next ones
    "bayesopt": Known(seeds=3),
    "smac": Known(seeds=3),
    "hebo": Known(seeds=1),
    "dragonfly": Known(
        {
            "test_a_long_search_does_not_slow_down": "0.91 s at first, 3.9 s at last: its model keeps all trials",
            "test_suggestions_in_flight_differ": "different ones of four: 2, 1, 1, 4, 3; others are drawn then",
        }
    ),
    "sigopt": Known(
        {
            "test_regret_on_a_conditional_function": "0.0625, at random 0.0505: it does not know conditions",
            "test_a_long_search_does_not_slow_down": "0.44 s at first, 2.4 s at last: its model keeps all trials",
        }
    ),
    "skopt": Known({"test_regret_on_a_conditional_function": "0.052, at random 0.0505: it does not know conditions"}),
    "nevergrad": Known({"test_regret_on_a_conditional_function": "0.2, at random 0.0505: it does not know conditions"}),
}
"""By the name of the algorithm; the guide's list of exceptions is made of it."""


def conformance(search: str) -> type[SearcherConformance]:
    """The suite for an algorithm that raytuner or another package has registered.

    Args:
        search: Its name.

    Raises:
        SearchError: There is none of this name.
    """
    known = KNOWN.get(search, Known())
    settings = {"algorithm": search, "exceptions": known.exceptions, "seeds": known.seeds}
    return type(f"Test{search.title()}", (SearcherConformance,), settings)
