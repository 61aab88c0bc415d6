"""Options of an algorithm or a scheduler, checked against what the function that makes it takes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from raytuner.errors import SearchError, nearest, quoted


def parameters(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options: the keyword-only parameters of the function, with the types of their values."""
    taken = {
        name: parameter
        for name, parameter in inspect.signature(make).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    # Theirs alone: what the function returns is often known to type checkers only.
    own = SimpleNamespace(__annotations__={name: parameter.annotation for name, parameter in taken.items()})
    hints = get_type_hints(own, vars(sys.modules[make.__module__]), include_extras=True)
    return {name: parameter.replace(annotation=hints[name]) for name, parameter in taken.items()}


def check(owner: str, options: Mapping[str, Any], *makes: Callable[..., Any]) -> None:
    """Check the names and the values of options.

    Args:
        owner: What they are options of, for messages, e.g. ``search 'optuna'``.
        options: The options.
        makes: The functions that take them; each may take others than the rest.

    Raises:
        SearchError: With the nearest valid name, or with the values that are allowed.
    """
    known = {name: parameter for make in makes for name, parameter in parameters(make).items()}
    for name, value in options.items():
        if name not in known:
            valid = nearest(name, known) if known else "it takes none"
            raise SearchError(f"{owner} has no option {quoted(name)}; {valid}")
        try:
            TypeAdapter(known[name].annotation, config=ConfigDict(strict=True)).validate_python(value)
        except ValidationError as error:
            rule = error.errors()[0]["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            raise SearchError(f"option {name} of {owner} is {quoted(value)}; it should be {rule}") from None
