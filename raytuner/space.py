"""The search space: what may vary, between which values, and under which conditions."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from raytuner.errors import SpaceError, UserError, nearest

Params = dict[str, Any]
Raw = dict[str, Any]  # what a searcher sees: one label or number for every parameter, active or not

MAX_COUNTED = 1_000_000  # a space with a constraint is counted point by point up to here


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One dimension of a space.

    Attributes:
        when: The values of other parameters under which this one is active; empty means always.
        default: Its value in the default configuration; `UNSET` means the first or least.
    """

    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    default: Any = None

    def size(self) -> int | None:
        """How many values there are, or None if they cannot be counted."""
        raise TypeError(f"{type(self).__name__} does not say its size")

    def decode(self, raw: Any) -> Any:
        """The value behind what a searcher drew: a plain Python value, on its grid."""
        raise TypeError(f"{type(self).__name__} cannot decode {raw!r}")

    def encode(self, value: Any) -> Any:
        """What a searcher would draw for this value."""
        return value

    def raw_values(self) -> list[Any]:
        """Every raw value in order; only where `size` is known."""
        return list(range(self.size() or 0))

    def draw(self, rng: random.Random) -> Any:
        """A raw value at random."""
        return rng.choice(self.raw_values())

    def first(self) -> Any:
        """The raw value of the default configuration."""
        return self.raw_values()[0] if self.default is None else self.encode(self.default)


@dataclass(frozen=True, kw_only=True)
class Choice(Parameter):
    """A set of values of any type.

    Searchers see the values themselves where those are plain and all different, else ``#0``, ``#1``, ...
    """

    values: tuple[Any, ...]

    @property
    def labels(self) -> tuple[Any, ...]:
        """What searchers see, in the order of the values."""
        plain = all(value is None or isinstance(value, (str, int, float, bool)) for value in self.values)
        if plain and len(set(self.values)) == len(self.values):
            return self.values
        return tuple(f"#{position}" for position in range(len(self.values)))

    def size(self) -> int:
        """The number of values."""
        return len(self.values)

    def raw_values(self) -> list[Any]:
        """The labels."""
        return list(self.labels)

    def decode(self, raw: Any) -> Any:
        """The value with this label."""
        return self.values[self.labels.index(_plain(raw))]

    def encode(self, value: Any) -> Any:
        """The label of this value."""
        for label, candidate in zip(self.labels, self.values, strict=True):
            if candidate is value or (type(candidate) is type(value) and candidate == value):
                return label
        raise SpaceError(f"{value!r} is not among the choices {list(self.values)!r}")


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
        return None if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def decode(self, raw: Any) -> Any:
        """The value: the step with this number, or the number itself, moved onto the grid."""
        position = _plain(raw) if self.indexed else self._position(_plain(raw))
        if self.step is None:
            return float(min(max(position, self.low), self.high))
        index = min(max(round(position), 0), (self.size() or 1) - 1)
        value = self.low + index * self.step
        return round(value) if self.integer else _on_grid(value, self.low, self.step)

    def encode(self, value: Any) -> Any:
        """The number of the step, or the value itself where searchers see values."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpaceError(f"{value!r} is not a number")
        if not self.low <= value <= self.high:
            raise SpaceError(f"{value!r} is outside {self.low:g}..{self.high:g}")
        return round(self._position(value)) if self.indexed else value

    def raw_values(self) -> list[Any]:
        """The numbers of the steps, or the values on them where searchers see values."""
        steps = range(self.size() or 0)
        return list(steps) if self.indexed else [self.low + index * (self.step or 0) for index in steps]

    def draw(self, rng: random.Random) -> Any:
        """A raw value at random."""
        if self.indexed:
            return rng.randrange(self.size() or 1)
        if self.log:
            end = self.high + 1 if self.integer else self.high  # so that the last whole number has its share
            value = math.exp(rng.uniform(math.log(self.low), math.log(end)))
            return math.floor(value) if self.integer else value
        return rng.uniform(self.low, self.high)

    def first(self) -> Any:
        """The default, else the lower bound."""
        return self.encode(self.low if self.default is None else self.default)

    def _position(self, value: float) -> float:
        return value if self.step is None else (value - self.low) / self.step


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
        value = float(_plain(raw))
        return value if self.step is None else _on_grid(round(value / self.step) * self.step, 0.0, self.step)

    def draw(self, rng: random.Random) -> float:
        """A raw value at random."""
        return rng.gauss(self.mean, self.sd)

    def first(self) -> Any:
        """The default, else the mean."""
        return self.mean if self.default is None else self.default


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value it holds."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def _on_grid(value: float, low: float, step: float) -> float:
    """A float without the noise of ``low + index * step``: with as many decimals as its step and origin have."""
    decimals = max(len(f"{x:.12f}".rstrip("0").partition(".")[2]) for x in (low, step))
    return round(value, decimals)


class SearchSpace:
    """Parameters by name, in order, with the rule that a configuration must keep.

    Args:
        parameters: The parameters by name.
        constraint: Raises a `UserError` for a configuration that cannot be run; such points are skipped.

    Raises:
        SpaceError: A condition names an unknown parameter or goes round in a circle.
    """

    def __init__(self, parameters: Mapping[str, Parameter], constraint: Callable[[Params], None] | None = None) -> None:
        self.parameters = dict(parameters)
        self._constraint = constraint
        self._order = _parents_first(self.parameters)

    @classmethod
    def from_dict(cls, spec: Mapping[str, Any], constraint: Callable[[Params], None] | None = None) -> SearchSpace:
        """Read a param dict.

        Args:
            spec: For each name a list of choices, one of Ray's domains (``tune.choice``, ``tune.uniform``,
                ``tune.grid_search``, ...), or the forms of YAML: ``{choice: [...]}``, ``{int: [1, 10]}``,
                ``{float: [0, 1], step: 0.1, log: false}``, ``{fixed: x}``; the latter also with
                ``default:`` and ``when: {name: value or list of values}``.
            constraint: See the class.

        Raises:
            SpaceError: With the name, the value and the rule.
        """
        from raytuner.space_parse import parameter  # the forms are a chapter of their own

        return cls({name: parameter(name, value) for name, value in spec.items()}, constraint)

    def decode(self, raw: Mapping[str, Any]) -> Params:
        """The value of every parameter, active or not, behind what a searcher drew."""
        return {name: parameter.decode(raw[name]) for name, parameter in self.parameters.items()}

    def encode(self, params: Mapping[str, Any]) -> Raw:
        """What a searcher would draw for these values; parameters that are absent get their default."""
        return {
            name: parameter.encode(params[name]) if name in params else parameter.first()
            for name, parameter in self.parameters.items()
        }

    def resolve(self, sample: Mapping[str, Any]) -> Params:
        """The configuration of a sample of values: inactive parameters dropped, sorted, plain Python values.

        Args:
            sample: A value for each parameter; where one is absent, its default is taken.

        Returns:
            The active parameters by name.
        """
        values = {
            name: _plain(sample[name]) if name in sample else parameter.decode(parameter.first())
            for name, parameter in self.parameters.items()
        }
        active = self._active(values)
        return {name: values[name] for name in sorted(values) if name in active}

    def key(self, raw: Mapping[str, Any]) -> str:
        """What two raw samples have in common exactly if they resolve to the same configuration."""
        active = self._active(self.decode(raw))
        canonical = {name: self._canonical(name, raw[name]) for name in active}
        return json.dumps(canonical, sort_keys=True)

    def is_valid(self, raw: Mapping[str, Any]) -> bool:
        """Whether the configuration behind a raw sample keeps the rule of the space."""
        if self._constraint is None:
            return True
        try:
            self._constraint(self.resolve(self.decode(raw)))
        except UserError:
            return False
        return True

    def draw(self, rng: random.Random) -> Raw:
        """Draw every parameter independently."""
        return {name: parameter.draw(rng) for name, parameter in self.parameters.items()}

    def points(self) -> Iterator[Raw]:
        """Every distinct valid configuration as a raw sample, the first parameter varying slowest.

        Raises:
            SpaceError: A parameter has no countable values.
        """
        for name, parameter in self.parameters.items():
            if parameter.size() is None:
                raise SpaceError(
                    f"{name}: a grid needs countable values; give it a step, e.g. {{float: [0, 1], step: 0.1}}, "
                    "or choose another search"
                )
        seen: set[str] = set()
        for values in itertools.product(*(parameter.raw_values() for parameter in self.parameters.values())):
            raw = dict(zip(self.parameters, values, strict=True))
            if self._has_conditions:
                key = self.key(raw)
                if key in seen:
                    continue
                seen.add(key)
            if self.is_valid(raw):
                yield raw

    def size(self) -> int | None:
        """How many distinct valid configurations there are.

        Returns:
            The number; None if some parameter is continuous, or if there are more than a million
            and they cannot be counted without looking at each.
        """
        sizes = [parameter.size() for parameter in self.parameters.values()]
        if any(size is None for size in sizes):
            return None
        product = math.prod(size or 0 for size in sizes)
        if self._constraint is None and not self._has_conditions:
            return product
        return sum(1 for _ in self.points()) if product <= MAX_COUNTED else None

    def default(self) -> Raw:
        """The default configuration: each entry's default, first choice or lower bound, made valid.

        Where these together break the rule of the space, it is the valid configuration that keeps
        most of them.

        Raises:
            SpaceError: No configuration is valid.
        """
        wanted = {name: parameter.first() for name, parameter in self.parameters.items()}
        if self.is_valid(wanted):
            return wanted
        rng = random.Random(0)
        candidates = self.points() if self.size() is not None else (self.draw(rng) for _ in range(10_000))
        valid = [raw for raw in itertools.islice(candidates, 10_000) if self.is_valid(raw)]
        if not valid:
            raise SpaceError(f"no configuration of the space is valid; {self._why_invalid(wanted)}")
        return max(valid, key=lambda raw: sum(raw[name] == wanted[name] for name in raw))

    def _why_invalid(self, raw: Raw) -> str:
        try:
            if self._constraint is not None:
                self._constraint(self.resolve(self.decode(raw)))
        except UserError as error:
            return f"e.g. {error}"
        return "check its bounds"

    @property
    def _has_conditions(self) -> bool:
        return any(parameter.when for parameter in self.parameters.values())

    def _active(self, values: Mapping[str, Any]) -> set[str]:
        """The names whose conditions hold; a condition on an inactive parameter never does."""
        active: set[str] = set()
        for name in self._order:
            when = self.parameters[name].when
            if all(parent in active and _among(values[parent], allowed) for parent, allowed in when.items()):
                active.add(name)
        return active

    def _canonical(self, name: str, raw: Any) -> Any:
        parameter = self.parameters[name]
        if isinstance(parameter, Choice):
            return parameter.labels.index(_plain(raw))
        return parameter.decode(raw)


def _among(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(type(value) is type(candidate) and value == candidate for candidate in allowed)


def _parents_first(parameters: Mapping[str, Parameter]) -> list[str]:
    """The names in an order in which conditions can be decided."""
    order: list[str] = []
    waiting = dict(parameters)
    for name, parameter in parameters.items():
        for parent in parameter.when:
            if parent not in parameters:
                raise SpaceError(
                    f"{name}: `when` names {parent!r}, which is not in the space; {nearest(parent, parameters)}"
                )
    while waiting:
        ready = [name for name, parameter in waiting.items() if all(parent in order for parent in parameter.when)]
        if not ready:
            raise SpaceError(f"the conditions of {', '.join(sorted(waiting))} go round in a circle; remove one `when`")
        order += ready
        waiting = {name: parameter for name, parameter in waiting.items() if name not in ready}
    return order


def with_when(parameter: Parameter, when: Mapping[str, Any]) -> Parameter:
    """The same parameter under conditions; each value may be one or a list of values."""
    return replace(parameter, when={k: tuple(v) if isinstance(v, (list, tuple)) else (v,) for k, v in when.items()})
