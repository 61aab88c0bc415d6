"""Where the points of a search space lie, as a model of the scores sees them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raytuner.space import Choice, Normal, Parameter, Range, Raw, SearchSpace

_MOST = sys.float_info.max
MAX_VALUES = 12
"""A parameter with no more values has them all tried around a good configuration."""


class Scale(NamedTuple):
    """How the numbers of a parameter become positions, most of them from 0 to 1.

    Attributes:
        low: The number at 0, or its logarithm.
        high: The number at 1, or its logarithm.
        log: Whether it is the logarithms that matter.
    """

    low: float
    high: float
    log: bool

    def position(self, value: float) -> float:
        """Where a number is."""
        return ((math.log(value) if self.log else value) - self.low) / (self.high - self.low)

    def value(self, position: float) -> float:
        """The number at a position."""
        value = self.low + position * (self.high - self.low)
        return math.exp(value) if self.log else value


class Coordinates:
    """The coordinates of the points of a space: positions of numbers, codes of categories, NaN for what is inactive.

    Choices between three numbers or more have an order too, as chunk sizes do; on a logarithmic scale where they are
    spaced more evenly on it.

    Args:
        space: The space.

    Attributes:
        names: The parameters that vary, one for each coordinate.
        ordered: Whether each is a number.
        long: Whether there is a range of more values than can be tried one by one.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._conditional = any(parameter.when for parameter in space.parameters.values())
        varying = {name: parameter for name, parameter in space.parameters.items() if parameter.size() != 1}
        self.names = list(varying)
        self._scales = {name: scale(parameter) for name, parameter in varying.items()}
        self._of = [_coordinate(varying[name], self._scales[name]) for name in self.names]
        self.ordered: NDArray[np.bool_] = np.array([self._scales[name] is not None for name in self.names], dtype=bool)
        self.long = any((parameter.size() or MAX_VALUES + 1) > MAX_VALUES for parameter in varying.values())

    def of(self, points: Iterable[Raw]) -> NDArray[np.float64]:
        """The coordinates of raw samples; points x parameters that vary."""
        rows = [self._row(point) for point in points]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.names))

    def is_ordered(self, name: str) -> bool:
        """Whether the values of a parameter are numbers."""
        return self._scales[name] is not None

    def near(self, name: str, raw: Any, distance: float) -> Any:
        """The raw value of a number that lies at a distance from another one, or at its nearer end."""
        parameter, own = self._space.parameters[name], self._scales[name]
        assert own is not None
        value = own.value(own.position(parameter.decode(raw)) + distance)
        if isinstance(parameter, Choice):
            nearest = min(parameter.values, key=lambda other: abs(other - value))
            return parameter.encode(nearest)
        if isinstance(parameter, Range):
            value = min(max(value, parameter.low), parameter.high)
        return parameter.encode(value)

    def _row(self, point: Raw) -> list[float]:
        active = self._space.active(point) if self._conditional else point
        return [of(point[name]) if name in active else math.nan for name, of in zip(self.names, self._of, strict=True)]


def scale(parameter: Parameter) -> Scale | None:
    """The scale of a parameter; None if its values have no order."""
    if isinstance(parameter, Range):
        low, high = parameter.low, parameter.high
        return Scale(math.log(low), math.log(high), True) if parameter.log else Scale(low, high, False)
    if isinstance(parameter, Normal):
        return Scale(parameter.mean - 2 * parameter.sd, parameter.mean + 2 * parameter.sd, False)
    assert isinstance(parameter, Choice)
    return _scale_of(parameter.values)


def _scale_of(values: Sequence[Any]) -> Scale | None:
    if len(values) < 3 or not all(type(value) in (int, float) and -_MOST <= value <= _MOST for value in values):
        return None
    numbers = sorted(float(value) for value in values)
    if numbers[0] == numbers[-1]:  # 1 and 1.0
        return None
    logarithms = [math.log(number) for number in numbers] if numbers[0] > 0 else []
    if logarithms and unevenness(logarithms) < unevenness(numbers):
        return Scale(logarithms[0], logarithms[-1], True)
    return Scale(numbers[0], numbers[-1], False)


def unevenness(numbers: Sequence[float]) -> float:
    """The deviation of the distances between ascending numbers, over their mean."""
    distances = np.diff(numbers)
    return float(distances.std() / distances.mean())


def _coordinate(parameter: Parameter, own: Scale | None) -> Callable[[Any], float]:
    """The function from a raw value to its coordinate."""
    if own is None:
        assert isinstance(parameter, Choice)
        return parameter.position
    if isinstance(parameter, Choice):
        positions = [own.position(value) for value in parameter.values]
        return lambda raw: positions[parameter.position(raw)]
    return lambda raw: own.position(parameter.decode(raw))
