"""The search space: what may vary, between which values, and under which conditions."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

from raytuner.errors import SpaceError, UserError, nearest, quoted
from raytuner.space_parameters import Choice, Normal, Parameter, Range, plain_value, same

__all__ = ["Choice", "Normal", "Parameter", "Params", "Range", "Raw", "SearchSpace"]

Params = dict[str, Any]
Raw = dict[str, Any]  # what a searcher sees: one label or number for every parameter, active or not

MAX_NAME = 100
MAX_COUNTED = 20_000  # a space with a constraint is counted point by point up to here
MAX_LOOKED_AT = 10_000  # so many configurations are tried where a default has to be made valid


class _Decided(NamedTuple):
    """The beginning of a configuration: raw values and values of the first parameters, and which are active."""

    raw: Raw
    values: Params
    active: frozenset[str]


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
            if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MAX_NAME:
                raise SpaceError(f"{quoted(name)} is not the name of a parameter; names are short texts in one line")
        return cls({name: parameter(name, value) for name, value in spec.items()}, constraint)

    def decode(self, raw: Mapping[str, Any]) -> Params:
        """The value of every parameter, active or not, behind what a searcher drew.

        Args:
            raw: A raw sample: for every parameter a label (of a choice), a number of steps or a number.
        """
        return {name: parameter.decode(raw[name]) for name, parameter in self.parameters.items()}

    def configuration(self, raw: Mapping[str, Any]) -> Params:
        """The configuration behind what a searcher drew; see `resolve`.

        Args:
            raw: See `decode`.

        Returns:
            The active parameters by name.
        """
        return self.resolve(self.decode(raw))

    def names(self, params: Mapping[str, Any]) -> dict[str, str]:
        """What stands for those values of a configuration that are objects, where it is logged and shown.

        Args:
            params: The configuration.

        Returns:
            A name for each parameter whose value is an object; the others are left out.
        """
        choices = {name: part for name, part in self.parameters.items() if isinstance(part, Choice) and name in params}
        named = {name: part.name(params[name]) for name, part in choices.items()}
        return {name: text for name, text in named.items() if text is not None}

    def covering(self, names: Sequence[str]) -> list[Params]:
        """Configurations that together hold every choice of some parameters, the others at their default.

        Args:
            names: Names of parameters; those that are no `Choice`, or not in the space, are left out.
        """
        values = self.decode({name: parameter.first() for name, parameter in self.parameters.items()})
        found = [values]
        for name in names:
            parameter = self.parameters.get(name)
            if isinstance(parameter, Choice):
                found = [{**one, name: value} for one in found for value in parameter.values]
        return [self.resolve(one) for one in found]

    def encode(self, params: Mapping[str, Any]) -> Raw:
        """What a searcher would draw for these values.

        Args:
            params: Values by name; parameters that are absent get their default.

        Returns:
            The raw sample; see `decode`.

        Raises:
            SpaceError: A value is none of the space.
        """
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
        canonical = {name: self._canonical(name, raw[name]) for name in self.active(raw)}
        return json.dumps(canonical, sort_keys=True)

    def sample(self, pick: Callable[[str], Any]) -> Raw:
        """A raw sample whose active parameters are picked, parents first; inactive ones have their default.

        Args:
            pick: From the name of an active parameter to a raw value.
        """
        raw: Raw = {}
        values: Params = {}
        active: set[str] = set()
        for name in self._order:
            parameter = self.parameters[name]
            if self._holds(parameter, active, values):
                active.add(name)
                raw[name] = pick(name)
            else:
                raw[name] = parameter.first()
            values[name] = parameter.decode(raw[name])
        return {name: raw[name] for name in self.parameters}

    def canonical(self, raw: Mapping[str, Any]) -> Raw:
        """The same configuration with every inactive parameter at its default: one sample for each configuration."""
        return self.sample(raw.__getitem__)

    def active(self, raw: Mapping[str, Any]) -> set[str]:
        """The names of the parameters that are active in a raw sample."""
        return self._active(self.decode(raw))

    def is_valid(self, raw: Mapping[str, Any]) -> bool:
        """Whether the configuration behind a raw sample keeps the rule of the space."""
        if self._constraint is None:
            return True
        try:
            self._constraint(self.configuration(raw))
        except UserError:
            return False
        return True

    def draw(self, rng: random.Random) -> Raw:
        """Draw every parameter independently.

        Args:
            rng: Where the numbers come from.

        Returns:
            A raw sample, which need not be valid.
        """
        return {name: parameter.draw(rng) for name, parameter in self.parameters.items()}

    def points(self) -> Iterator[Raw]:
        """Every distinct valid configuration as a raw sample, the first parameter varying slowest.

        Inactive parameters have their default, and parameters vary after those that their conditions name.

        Yields:
            Raw samples; see `decode`.

        Raises:
            SpaceError: A parameter has no countable values.
        """
        for name, parameter in self.parameters.items():
            if parameter.size() is None:
                raise SpaceError(
                    f"{name}: a grid needs countable values; give it a step, e.g. {{float: [0, 1], step: 0.1}}, "
                    "or choose another search"
                )
        return (raw for raw in self._distinct() if self.is_valid(raw))

    def _distinct(self) -> Iterator[Raw]:
        """Every distinct configuration, whether valid or not."""
        raw_values = {name: parameter.raw_values() for name, parameter in self.parameters.items()}
        if not any(parameter.when for parameter in self.parameters.values()):
            yield from (
                dict(zip(raw_values, values, strict=True)) for values in itertools.product(*raw_values.values())
            )
            return
        walks = [iter([_Decided({}, {}, frozenset())])]
        while walks:  # one through the values of each parameter that is decided, so that none is listed beforehand
            decided = next(walks[-1], None)
            if decided is None:
                walks.pop()
            elif len(decided.raw) == len(self._order):
                yield {name: decided.raw[name] for name in self.parameters}
            else:
                walks.append(self._further(decided, raw_values))

    def _further(self, decided: _Decided, raw_values: Mapping[str, list[Any]]) -> Iterator[_Decided]:
        """The same with the next parameter decided: with each of its values; its default where it is inactive."""
        raw, values, active = decided
        name = self._order[len(raw)]
        parameter = self.parameters[name]
        holds = self._holds(parameter, active, values)
        for own in raw_values[name] if holds else [parameter.first()]:
            value = parameter.decode(own)
            yield _Decided({**raw, name: own}, {**values, name: value}, active | {name} if holds else active)

    def size(self) -> int | None:
        """How many distinct valid configurations there are.

        Returns:
            The number; None if some parameter is continuous, or if there are more than
            `MAX_COUNTED` and they cannot be counted without looking at each.
        """
        return self._size

    @cached_property
    def _size(self) -> int | None:
        sizes = [size for parameter in self.parameters.values() if (size := parameter.size()) is not None]
        if len(sizes) < len(self.parameters):
            return None
        if self._constraint is None:
            return self._count()
        distinct = self._count()
        return None if distinct is None or distinct > MAX_COUNTED else sum(1 for _ in self.points())

    def _count(self) -> int | None:
        """The distinct configurations, by looking only at those parameters that conditions name."""
        parents = {parent for parameter in self.parameters.values() for parent in parameter.when}
        if not parents:
            return math.prod(parameter.size() or 0 for parameter in self.parameters.values())
        deciding = SearchSpace({name: self.parameters[name] for name in self.parameters if name in parents})
        if (deciding.size() or MAX_COUNTED + 1) > MAX_COUNTED:
            return None
        active = (self._active(deciding.decode(raw)) - parents for raw in deciding.points())
        return sum(math.prod(self.parameters[name].size() or 0 for name in names) for names in active)

    def default(self) -> Raw:
        """The default configuration: each entry's default, first choice or lower bound, made valid.

        Where these together break the rule of the space, it is a valid configuration that keeps as
        many of them as possible.

        Returns:
            A raw sample; see `decode`.

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
                self._constraint(self.configuration(raw))
        except UserError as error:
            return f"e.g. {error}"
        return "check its bounds"

    def _active(self, values: Mapping[str, Any]) -> set[str]:
        """The names whose conditions hold; a condition on an inactive parameter never does."""
        active: set[str] = set()
        for name in self._order:
            if self._holds(self.parameters[name], active, values):
                active.add(name)
        return active

    @staticmethod
    def _holds(parameter: Parameter, active: AbstractSet[str], values: Mapping[str, Any]) -> bool:
        """Whether the conditions of a parameter hold, its parents being decided."""
        return all(parent in active and _among(values[parent], allowed) for parent, allowed in parameter.when.items())

    def _canonical(self, name: str, raw: Any) -> Any:
        parameter = self.parameters[name]
        if isinstance(parameter, Choice):
            return parameter.position(raw)
        return parameter.decode(raw)


def _among(value: Any, allowed: tuple[Any, ...]) -> bool:
    return any(same(value, candidate) for candidate in allowed)


def _with_exact_when(name: str, parameters: Mapping[str, Parameter]) -> Parameter:
    """A parameter whose conditions name values that others can have, written as those decode them."""
    exact: dict[str, tuple[Any, ...]] = {}
    for parent, allowed in parameters[name].when.items():
        if parent not in parameters:
            raise SpaceError(
                f"{name}: `when` names {quoted(parent)}, which is not in the space; {nearest(parent, parameters)}"
            )
        if not allowed:
            raise SpaceError(f"{name}: `when` names no value of {parent}; list at least one")
        try:
            exact[parent] = tuple(parameters[parent].exact(value) for value in allowed)
        except SpaceError as error:
            raise SpaceError(f"{name}: `when` can never hold: {parent}: {error}") from None
    return replace(parameters[name], when=exact)


def _parents_first(parameters: Mapping[str, Parameter]) -> list[str]:
    """The names in an order in which conditions can be decided: as given, but each after those that it depends on."""
    order: list[str] = []
    for first in parameters:
        waiting = [] if first in order else [first]
        while waiting:
            name = waiting[-1]
            parent = next((parent for parent in parameters[name].when if parent not in order), None)
            if parent in waiting:
                circle = ", ".join(sorted(waiting[waiting.index(parent) :]))
                raise SpaceError(f"the conditions of {circle} go round in a circle; remove one `when`")
            if parent is None:
                order.append(waiting.pop())
            else:
                waiting.append(parent)
    return order
