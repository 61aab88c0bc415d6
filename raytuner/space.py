"""The search space: what may vary, between which values, and under which conditions."""

from __future__ import annotations

import enum
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

from raytuner.errors import SpaceError, UserError, nearest

Params = dict[str, Any]
Raw = dict[str, Any]  # what a searcher sees: one label or number for every parameter, active or not

MAX_COUNTED = 1_000_000  # a space with a constraint is counted point by point up to here
MAX_LOOKED_AT = 10_000  # so many configurations are tried where a default has to be made valid
PLAIN = (type(None), bool, int, float, str)


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

    def first(self) -> Any:
        """The raw value of the default configuration."""
        return self.raw_values()[0] if self.default is UNSET else self.encode(self.default)


@dataclass(frozen=True, kw_only=True)
class Choice(Parameter):
    """A set of values of any type, each once: 1, 1.0 and True are three values, 1 and 1 are one.

    Searchers see the values themselves where those are plain and all different, else ``#0``, ``#1``, ...
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(_distinct(plain_value(value) for value in self.values)))

    @cached_property
    def labels(self) -> tuple[Any, ...]:
        """What searchers see, in the order of the values."""
        plain = all(type(value) in PLAIN and not _is_nan(value) for value in self.values)
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
            if _same(candidate, value):
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
        if self.step is None:
            return None
        steps = float((Decimal(str(self.high)) - Decimal(str(self.low))) / Decimal(str(self.step)))
        rounding = 1e-15 * max(abs(self.low), abs(self.high)) / self.step  # of bounds that were computed
        return math.floor(steps + rounding) + 1

    def decode(self, raw: Any) -> Any:
        """The value: the step with this number, or the number itself, moved onto the grid."""
        position = plain_value(raw) if self.indexed else self._position(plain_value(raw))
        if self.step is None:
            return float(min(max(position, self.low), self.high)) + 0.0  # never -0.0
        return self._at(min(max(round(position), 0), (self.size() or 1) - 1))

    def encode(self, value: Any) -> Any:
        """The number of the nearest step, or the value itself where searchers see values."""
        value = plain_value(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SpaceError(f"{value!r} is not a number")
        if not self.low <= value <= self.high:
            raise SpaceError(f"{value!r} is outside {self.low:g}..{self.high:g}")
        return round(self._position(value)) if self.indexed else value

    def exact(self, value: Any) -> Any:
        """See `Parameter.exact`; numbers between the steps are refused."""
        found = super().exact(value)
        if self.step is not None and not math.isclose(found, value, abs_tol=1e-9 * self.step):
            raise SpaceError(f"{value!r} is between the steps; the nearest value is {found!r}")
        return found

    def raw_values(self) -> list[Any]:
        """The numbers of the steps, or the values on them where searchers see values."""
        steps = range(self.size() or 0)
        return list(steps) if self.indexed else [self._at(index) for index in steps]

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
        return float(self.high) if math.isclose(value, self.high, rel_tol=1e-12, abs_tol=1e-9 * self.step) else value


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
            raise SpaceError(f"{value!r} is not a finite number")
        return value

    def draw(self, rng: random.Random) -> float:
        """A raw value at random."""
        return rng.gauss(self.mean, self.sd)

    def first(self) -> Any:
        """The default, else the mean."""
        return self.mean if self.default is UNSET else self.encode(self.default)


def plain_value(value: Any) -> Any:
    """A numpy scalar as the Python value it holds."""
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
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
        elif not any(_same(value, other) for other in others):
            others.append(value)
            yield value


class SearchSpace:
    """Parameters by name, in order, with the rule that a configuration must keep.

    Args:
        parameters: The parameters by name.
        constraint: Raises a `UserError` for a configuration that cannot be run; such points are skipped.

    Raises:
        SpaceError: A condition names an unknown parameter or value, or goes round in a circle.
    """

    def __init__(self, parameters: Mapping[str, Parameter], constraint: Callable[[Params], None] | None = None) -> None:
        self.parameters = {name: _with_exact_when(name, parameters) for name in parameters}
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

        for name in spec:
            if not isinstance(name, str):
                raise SpaceError(f"{name!r} is not the name of a parameter; names are texts")
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
            name: plain_value(sample[name]) if name in sample else parameter.decode(parameter.first())
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
        return self._size

    @cached_property
    def _size(self) -> int | None:
        sizes = [size for parameter in self.parameters.values() if (size := parameter.size()) is not None]
        if len(sizes) < len(self.parameters):
            return None
        if self._constraint is None:
            return self._count()
        return sum(1 for _ in self.points()) if math.prod(sizes) <= MAX_COUNTED else None

    def _count(self) -> int | None:
        """The distinct configurations, by looking only at those parameters that conditions name."""
        parents = {parent for parameter in self.parameters.values() for parent in parameter.when}
        deciding = SearchSpace({name: self.parameters[name] for name in self.parameters if name in parents})
        if math.prod(parameter.size() or 0 for parameter in deciding.parameters.values()) > MAX_COUNTED:
            return None
        active = (self._active(deciding.decode(raw)) - parents for raw in deciding.points())
        return sum(math.prod(self.parameters[name].size() or 0 for name in names) for names in active)

    def default(self) -> Raw:
        """The default configuration: each entry's default, first choice or lower bound, made valid.

        Where these together break the rule of the space, it is a valid configuration that keeps as
        many of them as possible.

        Raises:
            SpaceError: No configuration is valid.
        """
        wanted = {name: parameter.first() for name, parameter in self.parameters.items()}
        for raw in self._candidates(wanted):
            if self.is_valid(raw):
                return raw
        raise SpaceError(f"no configuration of the space is valid; {self._why_invalid(wanted)}")

    def _candidates(self, wanted: Raw) -> Iterator[Raw]:
        """Samples that might be valid, the nearest to the wanted one first."""
        rng = random.Random(0)
        yield from itertools.islice(self._changed(wanted, rng), MAX_LOOKED_AT)
        if self.size() is not None:
            yield from itertools.islice(self.points(), 1)
        else:
            yield from (self.draw(rng) for _ in range(MAX_LOOKED_AT))

    def _changed(self, raw: Raw, rng: random.Random) -> Iterator[Raw]:
        """The sample itself, then samples with one other value, two other values, ..., the last ones first."""
        for count in range(len(raw) + 1):
            for names in reversed(list(itertools.combinations(raw, count))):
                others = [self._others(name, raw[name], rng) for name in names]
                for values in itertools.product(*others):
                    yield {**raw, **dict(zip(names, values, strict=True))}

    def _others(self, name: str, value: Any, rng: random.Random) -> list[Any]:
        parameter = self.parameters[name]
        if (parameter.size() or MAX_LOOKED_AT) < MAX_LOOKED_AT:
            return [other for other in parameter.raw_values() if other != value]
        return [parameter.draw(rng) for _ in range(20)]

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
            return parameter.position(raw)
        return parameter.decode(raw)


def _among(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(_same(value, candidate) for candidate in allowed)


def _with_exact_when(name: str, parameters: Mapping[str, Parameter]) -> Parameter:
    """A parameter whose conditions name values that others can have, written as those decode them."""
    exact: dict[str, tuple[Any, ...]] = {}
    for parent, allowed in parameters[name].when.items():
        if parent not in parameters:
            raise SpaceError(
                f"{name}: `when` names {parent!r}, which is not in the space; {nearest(parent, parameters)}"
            )
        if not allowed:
            raise SpaceError(f"{name}: `when` names no value of {parent}; list at least one")
        try:
            exact[parent] = tuple(parameters[parent].exact(value) for value in allowed)
        except SpaceError as error:
            raise SpaceError(f"{name}: `when` can never hold: {parent}: {error}") from None
    return replace(parameters[name], when=exact)


def _parents_first(parameters: Mapping[str, Parameter]) -> list[str]:
    """The names in an order in which conditions can be decided."""
    order: list[str] = []
    waiting = dict(parameters)
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
