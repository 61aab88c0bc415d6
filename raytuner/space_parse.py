"""The forms in which a parameter may be written: a list, a YAML mapping, one of Ray's domains."""

from __future__ import annotations

import math
from collections.abc import Iterator, KeysView, Mapping, Sequence, ValuesView
from dataclasses import replace
from typing import Any

from raytuner.errors import SpaceError, nearest, quoted
from raytuner.space_parameters import Choice, Parameter, Range, plain_value, with_when

FORMS = ("choice", "int", "float", "fixed")
MAX_WHOLE = 2**53  # above, a float cannot tell one whole number from the next
MAX_NUMBER = 1e100
KEYS = (*FORMS, "step", "log", "default", "when")


def parameter(name: str, value: Any) -> Parameter:
    """Read one entry of a param dict.

    Args:
        name: The parameter's name, for messages.
        value: See `SearchSpace.from_dict`.

    Raises:
        SpaceError: With the name, the value and the rule.
    """
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Mapping) and set(value) == {"grid_search"}:  # what tune.grid_search makes
        return _choice(name, value["grid_search"])
    if is_ray_domain(value):
        from raytuner.space_ray import from_ray

        return from_ray(value, name)
    if isinstance(value, Mapping):
        return _from_mapping(name, value)
    return _choice(name, value)


def is_ray_domain(value: Any) -> bool:
    """Whether a value is one of Ray's domains, told without importing Ray."""
    if isinstance(value, Mapping):
        return set(value) == {"grid_search"}
    return any(base.__module__.startswith("ray.tune.search.sample") for base in type(value).__mro__)


def _from_mapping(name: str, spec: Mapping[str, Any]) -> Parameter:
    unknown = [key for key in spec if key not in KEYS]
    if unknown:
        raise SpaceError(f"{name}: unknown key {quoted(unknown[0])}; {nearest(unknown[0], KEYS)}")
    forms = [form for form in FORMS if form in spec]
    if len(forms) != 1:
        raise SpaceError(f"{name}: {quoted(dict(spec))} must hold exactly one of {', '.join(FORMS)}")
    form = forms[0]
    if form in ("choice", "fixed"):
        extra = [key for key in ("step", "log") if key in spec]
        if extra:
            raise SpaceError(f"{name}: `{extra[0]}` goes with int or float, not with {form}")
        values = spec["choice"] if form == "choice" else [spec["fixed"]]
        found: Parameter = _choice(name, values)
    else:
        found = _range(name, spec, integer=form == "int")
    if "default" in spec:
        found = replace(found, default=spec["default"])
        _check_default(name, found)
    when = spec.get("when", {})
    if not isinstance(when, Mapping):
        raise SpaceError(f"{name}: `when` is {quoted(when)}; write when: {{parameter: value}}")
    return with_when(found, when)


def _check_default(name: str, found: Parameter) -> None:
    try:
        found.exact(found.default)
    except SpaceError as error:
        raise SpaceError(f"{name}: default: {error}") from None


def _choice(name: str, values: Any) -> Choice:
    if getattr(values, "shape", ()):
        values = values.tolist()  # an array of NumPy's
    if isinstance(values, (set, frozenset)):
        raise SpaceError(f"{name}: a set has no order; write a list of {quoted(values)}")
    if isinstance(values, Iterator | KeysView | ValuesView):
        values = list(values)
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise SpaceError(
            f"{name}: {quoted(values)} is not a list of choices; "
            f"write [{quoted(values)}], or put a fixed value elsewhere"
        )
    if not values:
        raise SpaceError(f"{name}: an empty list; name at least one value")
    for value in _leaves(values):
        if is_ray_domain(value):
            raise SpaceError(
                f"{name}: a Ray domain inside a choice would reach the objective undrawn; "
                "make it a parameter of its own with `when: {...}`"
            )
    return Choice(values=tuple(values))


def _leaves(value: Any) -> Iterator[Any]:
    """A nested value and all values in it, domains not looked into."""
    yield value
    if isinstance(value, Mapping) and not is_ray_domain(value):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner)


def _range(name: str, spec: Mapping[str, Any], *, integer: bool) -> Range:
    bounds = spec["int" if integer else "float"]
    if isinstance(bounds, (list, tuple)):
        bounds = [plain_value(bound) for bound in bounds]
    allowed = (int,) if integer else (int, float)
    numbers = isinstance(bounds, (list, tuple)) and len(bounds) == 2 and all(_is_number(b, allowed) for b in bounds)
    if not numbers:
        kind = "whole numbers" if integer else "numbers"
        raise SpaceError(f"{name}: {quoted(bounds)} must be [low, high], two finite {kind}{_hint(bounds)}")
    log, step = spec.get("log", False), plain_value(spec.get("step"))
    if not isinstance(log, bool):
        raise SpaceError(f"{name}: log is {quoted(log)}; it must be true or false")
    if step is not None and not _is_number(step, allowed):
        raise SpaceError(
            f"{name}: step is {quoted(step)}; it must be a {'whole ' if integer else ''}number{_hint([step])}"
        )
    return checked_range(name, bounds[0], bounds[1], step=step, log=log, integer=integer)


def _is_number(value: Any, allowed: tuple[type[int] | type[float], ...]) -> bool:
    if not isinstance(value, allowed) or isinstance(value, bool):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _hint(values: Any) -> str:
    """What to do about texts that look like numbers."""
    texts = [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    return f"; {quoted(texts[0])} is a text: YAML reads 1.0e-4 as a number, but not 1e-4" if texts else ""


def checked_range(name: str, low: float, high: float, *, step: float | None, log: bool, integer: bool) -> Range:
    """A range whose bounds, step and scale fit each other.

    Raises:
        SpaceError: With the rule that is broken.
    """
    largest = MAX_WHOLE if integer else MAX_NUMBER
    for number in (low, high, step or 0):
        if abs(number) > largest:
            raise SpaceError(f"{name}: {quoted(number)} is too large; numbers may go up to {largest:,}")
    if not low < high:
        fix = f"use {{fixed: {low}}} for one value" if low == high else f"write [{high}, {low}]"
        raise SpaceError(f"{name}: the lower bound {low} is not below the upper bound {high}; {fix}")
    if log and low <= 0:
        raise SpaceError(f"{name}: a log scale cannot start at {low}; raise the lower bound above 0")
    if step is None and integer:
        step = 1
    found = Range(low=low, high=high, step=step, log=log, integer=integer)
    if step is not None and step > 0 and (high - low) / step > MAX_WHOLE:
        raise SpaceError(f"{name}: step {step} gives too many values to number; make it larger, or leave it out")
    if step is not None and (step <= 0 or found.size() == 1):
        raise SpaceError(f"{name}: step {step} must be above 0 and at most {high - low:g}, the length of the range")
    return found
