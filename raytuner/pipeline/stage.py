"""A stage is a pure function whose keyword-only parameters are its whole schema; its keys chain."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_type_hints

from raytuner.store import Codec
from raytuner.versions import installed_version

Identify = Callable[[Mapping[str, Any]], str]


def digest(value: object) -> str:
    """The content hash of a JSON value.

    Args:
        value: Anything that JSON can hold.

    Returns:
        32 hexadecimal digits of the SHA-256 of the canonical JSON.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Attributes:
        name: Its name in keys.
        version: Raised whenever the results of the code change, so that old artefacts are not used.
        run: The function. Positional arguments are what comes from upstream; the keyword-only
            ones are the stage's own parameters, and no other parameter of a trial can reach it.
        identify: For a parameter that names something outside (a model), the function that maps the
            stage's own parameters to what stands for it in the key (the hash of its weights).
        codec: How its artefacts are stored on disk. None keeps them in the process: they cost less to make.
        libraries: The packages that decide what it makes; their versions are in its keys.
        shares_work: Whether what takes long in it are artefacts that it shares out among all who need them.
    """

    name: str
    version: int
    run: Callable[..., Any]
    identify: Mapping[str, Identify] = field(default_factory=dict)
    codec: Codec[Any] | None = None
    libraries: tuple[str, ...] = ()
    shares_work: bool = False

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The stage's own parameters: name to default and type."""
        hints = get_type_hints(self.run, include_extras=True)
        signature = inspect.signature(self.run)
        return {
            name: parameter.replace(annotation=hints.get(name, Any))
            for name, parameter in signature.parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }

    def own(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The stage's own part of a configuration, defaults filled in."""
        return {name: params.get(name, parameter.default) for name, parameter in self.parameters.items()}

    def key(self, params: Mapping[str, Any], *upstream: str) -> str:
        """The content key of the artefact for these parameters and the keys it is computed from."""
        return digest([self.name, self.version, self.parts(params), list(upstream)])

    def parts(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What of a configuration is in the key."""
        own = self.own(params)
        identities = {name: identify(own) for name, identify in self.identify.items()}
        return {**own, **identities, **{name: installed_version(name) for name in self.libraries}}

    def __call__(self, params: Mapping[str, Any], *upstream: Any) -> Any:
        """Run the stage on what comes from upstream with its own part of the parameters."""
        return self.run(*upstream, **self.own(params))


def stage(
    *,
    version: int,
    codec: Codec[Any] | None = None,
    libraries: tuple[str, ...] = (),
    shares_work: bool = False,
    **identify: Identify,
) -> Callable[[Callable[..., Any]], Stage]:
    """Make a stage of a function.

    Args:
        version: See `Stage`.
        codec: See `Stage`.
        libraries: See `Stage`.
        shares_work: See `Stage`.
        **identify: See `Stage`.
    """

    def decorate(run: Callable[..., Any]) -> Stage:
        return Stage(run.__name__, version, run, identify, codec, libraries, shares_work)

    return decorate
