"""One dimension of a search space: its values, and what searchers see of them."""

from __future__ import annotations

import enum
import math
import random
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from raytuner.errors import SpaceError, quoted
from raytuner.naming import distinct_names

PLAIN = (type(None), bool, int, float, str)
CONTAINERS = (dict, list, tuple, set, frozenset)
_ROUNDING = 1e-3
"""Of a step: what is nearer to a bound is that bound, as far as it can come from the rounding of floats."""


class _Unset(enum.Enum):
    UNSET = "unset"  # a member stays the same object when a space is pickled


UNSET = _Unset.UNSET


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One dimension of a space.

    Attributes:
        when: The values of other parameters under which this one is active; empty means always.
        default: Its value in the default configuration; `UNSET` means the first or least.
    """

    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    default: Any = UNSET

    def size(self) -> int | None:
        """How many values there are, or None if they cannot be counted."""
        raise TypeError(f"{type(self).__name__} does not say its size")

    def decode(self, raw: Any) -> Any:
        """The value behind what a searcher drew: a plain Python value, on its grid."""
        raise TypeError(f"{type(self).__name__} cannot decode {raw!r}")

    def encode(self, value: Any) -> Any:
        """What a searcher would draw for this value."""
        return value

    def exact(self, value: Any) -> Any:
        """The value as it is decoded.

        Raises:
            SpaceError: It is not one of the values.
        """
        return self.decode(self.encode(value))

    def raw_values(self) -> list[Any]:
        """Every raw value in order; only where `size` is known."""
        return list(range(self.size() or 0))

    def draw(self, rng: random.Random) -> Any:
        """A raw value at random."""
        return rng.choice(self.raw_values())

    def quantile(self, share: float) -> Any:
        """The raw value below which a share of the draws lies, in [0, 1)."""
        return self.raw_values()[int(share * (self.size() or 1))]

    def first(self) -> Any:
        """The raw value of the default configuration."""
        return self.raw_values()[0] if self.default is UNSET else self.encode(self.default)


@dataclass(frozen=True, kw_only=True)
class Choice(Parameter):
    """A set of values of any type, each once: 1, 1.0 and True are three values, 1 and 1 are one.

    Searchers see the values themselves where those are plain, short and all different, else ``#0``, ``#1``, ...
    (Tune writes what it hands on to files, and prompts are nobody's business there).
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(_distinct(plain_value(value) for value in self.values)))

    @cached_property
    def labels(self) -> tuple[Any, ...]:
        """What searchers see, in the order of the values."""
        plain = all(type(value) in PLAIN and not _is_nan(value) and len(str(value)) <= 40 for value in self.values)
        if plain and len(set(self.values)) == len(self.values):
            return self.values
        return tuple(f"#{position}" for position in range(len(self.values)))

    @cached_property
    def _positions(self) -> dict[Any, int]:
        return {label: position for position, label in enumerate(self.labels)}

    def size(self) -> int:
        """The number of values."""
        return len(self.values)

    def raw_values(self) -> list[Any]:
        """The labels."""
        return list(self.labels)

    def decode(self, raw: Any) -> Any:
        """The value with this label."""
        return self.values[self.position(raw)]

    def position(self, raw: Any) -> int:
        """Which of the values has this label."""
        return self._positions[plain_value(raw)]

    def encode(self, value: Any) -> Any:
        """The label of this value."""
        value = plain_value(value)
        for label, candidate in zip(self.labels, self.values, strict=True):
            if same(candidate, value):
                return label
        raise SpaceError(f"{quoted(value)} is not among the choices {quoted(list(self.values))}")

    def name(self, value: Any) -> str | None:
        """What stands for one of the values in logs and tables, if it is an object; None if JSON can hold it."""
        return next((name for candidate, name in self._names if same(candidate, value)), None)

    @cached_property
    def _names(self) -> list[tuple[Any, str]]:
        objects = [value for value in self.values if not isinstance(value, (*PLAIN, *CONTAINERS))]
        return list(zip(objects, distinct_names(objects), strict=True))


@dataclass(frozen=True, kw_only=True)
class Range(Parameter):
    """Numbers from `low` to `high`, both included, in steps where `step` is set.

    Attributes:
        log: Whether small values are as likely as large ones by order of magnitude.
        integer: Whether the values are whole numbers; their step is 1 unless it is set.
    """

    low: float
    high: float
    step: float | None = None
    log: bool = False
    integer: bool = False

    @property
    def indexed(self) -> bool:
        """Whether searchers see the number of the step instead of the value."""
        return self.step is not None and not self.log

    def size(self) -> int | None:
        """The number of steps; None for a float without them."""
        if self.step is None:
            return None
        steps = float((Decimal(str(self.high)) - Decimal(str(self.low))) / Decimal(str(self.step)))
        rounding = 1e-15 * max(abs(self.low), abs(self.high)) / self.step  # of bounds that were computed
        return math.floor(steps + min(rounding, _ROUNDING)) + 1

    def decode(self, raw: Any) -> Any:
        """The value: the step with this number, or the number itself, moved onto the grid."""
        position = plain_value(raw) if self.indexed else self._position(plain_value(raw))
        if self.step is None:
            return float(min(max(position, self.low), self.high)) + 0.0  # never -0.0
        return self._at(min(max(round(position), 0), (self.size() or 1) - 1))

    def encode(self, value: Any) -> Any:
        """The number of the nearest step, or the value on it where searchers see values."""
        value = plain_value(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpaceError(f"{quoted(value)} is not a number")
        if not self.low <= value <= self.high:
            raise SpaceError(f"{quoted(value)} is outside {self.low:g}..{self.high:g}")
        if self.step is None:
            return value
        position = round(self._position(value))
        return position if self.indexed else self._at(position)

    def exact(self, value: Any) -> Any:
        """See `Parameter.exact`; numbers between the steps are refused."""
        found = super().exact(value)
        if self.step is not None and not math.isclose(found, value, abs_tol=1e-9 * self.step):
            raise SpaceError(f"{quoted(value)} is between the steps; the nearest value is {found!r}")
        return found

    def raw_values(self) -> list[Any]:
        """The numbers of the steps, or the values on them where searchers see values."""
        steps = range(self.size() or 0)
        return list(steps) if self.indexed else [self._at(index) for index in steps]

    def draw(self, rng: random.Random) -> Any:
        """A raw value at random."""
        return rng.randrange(self.size() or 1) if self.indexed else self.quantile(rng.random())

    def quantile(self, share: float) -> Any:
        """See `Parameter.quantile`."""
        if self.indexed:
            return int(share * (self.size() or 1))
        if self.log:
            end = self.high + 1 if self.integer else self.high  # so that the last whole number has its share
            value = math.exp(_between(math.log(self.low), math.log(end), share))
            return math.floor(value) if self.integer else value
        return _between(self.low, self.high, share)

    def first(self) -> Any:
        """The default, else the lower bound."""
        return self.encode(self.low if self.default is UNSET else self.default)

    def _position(self, value: float) -> float:
        return value if self.step is None else (value - self.low) / self.step

    def _at(self, index: int) -> Any:
        """The value of a step; decimals keep 0.1 + 2 * 0.1 at 0.3."""
        assert self.step is not None
        value = float(Decimal(str(self.low)) + index * Decimal(str(self.step)))
        if self.integer:
            return round(value)
        # A step such as 1/3 has no exact decimals; its last value is the upper bound all the same.
        rounding = max(1e-9 * self.step, min(1e-12 * abs(self.high), _ROUNDING * self.step))
        return float(self.high) if abs(value - self.high) <= rounding else value


@dataclass(frozen=True, kw_only=True)
class Normal(Parameter):
    """Numbers from a normal distribution, rounded to multiples of `step` where it is set."""

    mean: float
    sd: float
    step: float | None = None

    def size(self) -> None:
        """A normal distribution has no end."""
        return

    def decode(self, raw: Any) -> float:
        """The value, on its grid."""
        value = float(plain_value(raw))
        if self.step is not None:
            value = float(round(value / self.step) * Decimal(str(self.step)))
        return value + 0.0  # never -0.0

    def encode(self, value: Any) -> Any:
        """The value itself."""
        value = plain_value(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SpaceError(f"{quoted(value)} is not a finite number")
        return value

    def draw(self, rng: random.Random) -> float:
        """A raw value at random."""
        return rng.gauss(self.mean, self.sd)

    def quantile(self, share: float) -> float:
        """See `Parameter.quantile`."""
        return statistics.NormalDist(self.mean, self.sd).inv_cdf(max(share, sys.float_info.min))

    def first(self) -> Any:
        """The default, else the mean."""
        return self.mean if self.default is UNSET else self.encode(self.default)


def plain_value(value: Any) -> Any:
    """A numpy scalar as the Python value it holds."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    try:
        return bool(a == b)
    except Exception:  # arrays and frames have no single answer
        return False


def _distinct(values: Iterable[Any]) -> Iterator[Any]:
    """The values without repeats."""
    plain: set[tuple[type, Any]] = set()
    others: list[Any] = []
    for value in values:
        if type(value) in PLAIN:
            if (type(value), value) not in plain:
                plain.add((type(value), value))
                yield value
        elif not any(same(value, other) for other in others):
            others.append(value)
            yield value


def with_when(parameter: Parameter, when: Mapping[str, Any]) -> Parameter:
    """The same parameter under conditions; each value may be one or a list of values."""
    return replace(parameter, when={k: tuple(v) if isinstance(v, (list, tuple)) else (v,) for k, v in when.items()})
