"""Among which configurations of a search space a model chooses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from raytuner.search.coordinates import MAX_VALUES, Coordinates
from raytuner.space import Raw, SearchSpace

MAX_LISTED = 2_000
"""A space with no more configurations is listed once."""
MAX_CANDIDATES = 600
"""Among so many a model chooses at most, for the time that each takes."""
DISTANCES = (0.2, 0.05, 0.01)
"""Of the values that are tried around a good one in a longer range, whose length is 1."""


class Candidates:
    """Configurations that a model may choose among: all of a small space, else some of it.

    Args:
        space: The space.
        coordinates: Its coordinates.
    """

    def __init__(self, space: SearchSpace, coordinates: Coordinates) -> None:
        self._space = space
        self._coordinates = coordinates
        size = space.size()
        self._listed = None if size is None or size > MAX_LISTED else list(space.points())

    def around(self, best: Sequence[Raw], rng: random.Random) -> list[Raw]:
        """Configurations near good ones, and others from anywhere; some may be known or invalid.

        Args:
            best: Good configurations.
            rng: Where the others are drawn from.
        """
        if self._listed is not None and len(self._listed) <= MAX_CANDIDATES:
            return self._listed
        near = [raw for point in best for raw in self.near(point, rng)][: MAX_CANDIDATES // 2]
        others = MAX_CANDIDATES - len(near)
        if self._listed is not None:
            return [*near, *rng.sample(self._listed, others)]
        return [*near, *(self._space.canonical(self._space.draw(rng)) for _ in range(others))]

    def listed(self, rng: random.Random) -> list[Raw]:
        """All configurations of a small space in any order; nothing for a larger one."""
        return [] if self._listed is None else rng.sample(self._listed, len(self._listed))

    @property
    def are_all(self) -> bool:
        """Whether `listed` is the whole space."""
        return self._listed is not None

    def near(self, point: Raw, rng: random.Random, distances: Sequence[float] = DISTANCES) -> Iterator[Raw]:
        """The configurations with one other value, in long ranges some of them.

        Args:
            point: A configuration.
            rng: Where values of long ranges are drawn from.
            distances: How far they are from those of the point at the most.
        """
        for name in self._coordinates.names:
            parameter = self._space.parameters[name]
            size = parameter.size()
            if size is not None and size <= MAX_VALUES:
                values = [value for value in parameter.raw_values() if value != point[name]]
            elif self._coordinates.is_ordered(name):
                values = [
                    self._coordinates.near(name, point[name], rng.uniform(0, sign * distance))
                    for distance in distances
                    for sign in (-1, 1)
                ]
            else:
                values = [parameter.draw(rng) for _ in range(MAX_VALUES)]
            yield from (self._space.canonical({**point, name: value}) for value in values)
