"""Parameters as most libraries want them: categories as text, whole numbers and other numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raytuner.space import Choice, Parameter, Range, Raw, SearchSpace

Value = int | float | str
"""What stands for a raw value: for a category its number as text, else a number."""


MOST_WHOLE = 10_000
"""Of more whole numbers than that some libraries would make a list; they take them for real ones, to be rounded."""


@dataclass(frozen=True)
class Dimension:
    """One parameter with more than one value.

    Attributes:
        kind: ``category``, whose values have no order, ``whole`` or ``real``.
        low: The least number.
        high: The largest number, included.
        log: Whether small numbers are as likely as large ones by order of magnitude.
        labels: The raw values by their number; empty where they are the numbers themselves. A choice of numbers
            stands in their order and is ``whole``, so that a model knows which of them are near each other.
        rounded: Whether the raw values of a real dimension are whole numbers.
    """

    kind: Literal["category", "whole", "real"]
    low: float
    high: float
    log: bool = False
    labels: tuple[Any, ...] = ()
    rounded: bool = False

    @property
    def categories(self) -> list[str]:
        """What stands for the values of a category."""
        return [str(number) for number in range(len(self.labels))]

    def encode(self, raw: Any) -> Value:
        """What stands for a raw value."""
        if self.kind == "real":
            return float(raw)
        number = self.labels.index(raw) if self.labels else round(raw)
        return str(number) if self.kind == "category" else number

    def decode(self, value: Any) -> Any:
        """The raw value behind what stands for it, moved between the bounds."""
        if self.kind == "real":
            number = min(max(float(value), self.low), self.high)
            return round(number) if self.rounded else number
        number = min(max(round(float(value)), int(self.low)), int(self.high))
        return self.labels[number] if self.labels else number


def dimension(parameter: Parameter) -> Dimension:
    """The dimension of a parameter, which is no normal distribution."""
    if isinstance(parameter, Choice):
        pairs = list(zip(parameter.values, parameter.labels, strict=True))
        ordered = all(type(value) in (int, float) for value in parameter.values)
        labels = tuple(label for _, label in (sorted(pairs) if ordered else pairs))
        return Dimension("whole" if ordered else "category", 0, len(labels) - 1, labels=labels)
    assert isinstance(parameter, Range)  # others are refused beforehand
    if parameter.indexed:
        return _whole(0, (parameter.size() or 1) - 1, log=False)
    if parameter.integer and parameter.step == 1:
        return _whole(int(parameter.low), int(parameter.high), log=True)
    return Dimension("real", parameter.low, parameter.high, log=parameter.log)


def _whole(low: int, high: int, log: bool) -> Dimension:
    if high - low < MOST_WHOLE:
        return Dimension("whole", low, high, log)
    return Dimension("real", low, high, log, rounded=True)


class Dimensions(dict[str, Dimension]):
    """The dimensions of a space by the name of their parameter; what has a single value has none."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__({name: dimension(part) for name, part in space.parameters.items() if part.size() != 1})
        self._space = space

    def encode(self, raw: Raw) -> dict[str, Value]:
        """What stands for a raw sample, inactive parameters having their default."""
        canonical = self._space.canonical(raw)
        return {name: part.encode(canonical[name]) for name, part in self.items()}

    def decode(self, values: Mapping[str, Any]) -> Raw:
        """The raw sample behind what stands for it."""
        return {
            name: self[name].decode(values[name]) if name in self else parameter.first()
            for name, parameter in self._space.parameters.items()
        }
