"""The space as the package ConfigSpace has it, for the libraries that build on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ConfigSpace import (
    AndConjunction,
    CategoricalHyperparameter,
    Configuration,
    ConfigurationSpace,
    InCondition,
    UniformFloatHyperparameter,
    UniformIntegerHyperparameter,
)

from raytuner.search.dimensions import Dimension, Dimensions
from raytuner.space import Raw, SearchSpace


class ConfigSpace:
    """A search space, its conditions too, in ConfigSpace and back.

    Args:
        space: The search space.
        seed: For what ConfigSpace draws.

    Attributes:
        configs: The space as ConfigSpace has it; parameters have their numbers as names.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._dimensions = Dimensions(space)
        self._names = {f"p{number:04d}": name for number, name in enumerate(self._dimensions)}
        made = {name: _hyperparameter(key, self._dimensions[name]) for key, name in self._names.items()}
        self.configs = ConfigurationSpace(seed=seed)
        self.configs.add(list(made.values()))
        for name, child in made.items():
            # What a parent with a single value demands always holds, or the parameter is never active and told as such.
            parents = {parent: allowed for parent, allowed in space.parameters[name].when.items() if parent in made}
            conditions = [
                InCondition(child, made[parent], [self._encoded(parent, value) for value in allowed])
                for parent, allowed in parents.items()
            ]
            if conditions:
                self.configs.add(AndConjunction(*conditions) if len(conditions) > 1 else conditions[0])

    def raw(self, config: Mapping[str, Any]) -> Raw:
        """The raw sample behind a configuration, inactive parameters having their default."""
        values = dict(config)
        default = self._dimensions.encode({name: part.first() for name, part in self._space.parameters.items()})
        return self._dimensions.decode({name: values.get(key, default[name]) for key, name in self._names.items()})

    def values(self, raw: Raw) -> dict[str, Any]:
        """The values of the parameters of a raw sample that are active to ConfigSpace."""
        return dict(self.config(raw))

    def config(self, raw: Raw) -> Configuration:
        """The configuration of a raw sample."""
        values = self._dimensions.encode(raw)
        active = self._space.active(raw)
        return Configuration(
            self.configs,
            values={key: values[name] for key, name in self._names.items() if name in active or self._is_free(name)},
        )

    def _is_free(self, name: str) -> bool:
        """Whether a parameter is always active to ConfigSpace."""
        return not any(parent in self._dimensions for parent in self._space.parameters[name].when)

    def _encoded(self, name: str, value: Any) -> Any:
        return self._dimensions[name].encode(self._space.parameters[name].encode(value))


def _hyperparameter(key: str, part: Dimension) -> Any:
    if part.kind == "category":
        return CategoricalHyperparameter(key, part.categories)
    made = UniformIntegerHyperparameter if part.kind == "whole" else UniformFloatHyperparameter
    return made(key, part.low, part.high, log=part.log)
