"""Domains to and from Ray Tune's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ray import tune
from ray.tune.search import sample

from raytuner.errors import SpaceError
from raytuner.space import SearchSpace
from raytuner.space_parameters import Choice, Normal, Parameter, Range, plain_value
from raytuner.space_parse import checked_range


def to_ray(space: SearchSpace) -> dict[str, sample.Domain]:
    """The space as Ray's domains, conditions flattened, in the raw values that `SearchSpace.decode` reads.

    Args:
        space: The space.

    Returns:
        A domain for each parameter: ``choice`` of labels, ``randint`` over the steps of a stepped
        range, ``uniform`` or ``loguniform`` otherwise.
    """
    return {name: _domain(parameter) for name, parameter in space.parameters.items()}


def _domain(parameter: Parameter) -> sample.Domain:
    if isinstance(parameter, Choice):
        return tune.choice(list(parameter.labels))
    if isinstance(parameter, Normal):
        return tune.randn(parameter.mean, parameter.sd)
    assert isinstance(parameter, Range)
    if parameter.indexed:
        return tune.randint(0, parameter.size() or 1)
    if parameter.integer and parameter.step == 1:
        return tune.lograndint(int(parameter.low), int(parameter.high) + 1)
    return (tune.loguniform if parameter.log else tune.uniform)(parameter.low, parameter.high)


def from_ray(domain: Any, name: str = "parameter") -> Parameter:
    """Read one of Ray's domains, or the mapping that ``tune.grid_search`` makes.

    Args:
        domain: ``tune.choice``, ``uniform``, ``quniform``, ``loguniform``, ``qloguniform``, ``randint``,
            ``qrandint``, ``lograndint``, ``qlograndint``, ``randn``, ``qrandn`` or ``grid_search``.
        name: For messages.

    Raises:
        SpaceError: For ``sample_from``, whose function cannot be looked into, and unknown domains.
    """
    from raytuner.space_parse import parameter

    if isinstance(domain, dict):
        return parameter(name, domain["grid_search"])
    if isinstance(domain, sample.Categorical):
        return parameter(name, list(domain.categories))
    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, sample.Quantized):
        sampler, step = sampler.sampler, plain_value(sampler.q)
    if isinstance(domain, (sample.Float, sample.Integer)):
        if isinstance(sampler, sample.Normal):
            return Normal(mean=sampler.mean, sd=sampler.sd, step=step)
        return _bounded(name, domain, isinstance(sampler, sample.LogUniform), step)
    raise SpaceError(
        f"{name}: {type(domain).__name__} ({domain!r}) cannot be searched; "
        "name its values or bounds, and use `when: {...}` for what depends on another parameter"
    )


def _bounded(name: str, domain: Any, log: bool, step: float | None) -> Parameter:
    """A range of Ray's, whose whole numbers end before the upper bound and whose grid is the multiples of its step."""
    integer = isinstance(domain, sample.Integer)
    low, high = plain_value(domain.lower), plain_value(domain.upper)
    if integer and step in (None, 1):
        high -= 1
    elif step is not None:
        low, high = _multiple(low, step, math.ceil), _multiple(high, step, math.floor)
    if low > high:
        step = step or 1
        raise SpaceError(f"{name}: there is no multiple of {step} in {domain.domain_str}; widen the bounds")
    if low == high:
        return Choice(values=(low if integer else float(low),))
    return checked_range(name, low, high, step=step, log=log, integer=integer)


def _multiple(bound: float, step: float, inwards: Callable[[float], int]) -> float:
    """A bound moved inwards to a multiple of the step, unless it is one already but for rounding."""
    exact = round(bound / step)
    return bound if math.isclose(exact * step, bound) else inwards(bound / step) * step
