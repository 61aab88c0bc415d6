"""Components by dotted path: a user's own readers, splitters, models, retrievers, rerankers, metrics and objectives.

Importing runs code, so nothing is imported by looking at a config: only what runs a search calls `load`.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import WithJsonSchema

from raytuner.errors import ConfigError, nearest, redact

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_dotted(name: object) -> bool:
    """Whether a name is written like a dotted path, e.g. ``my_package.my_module.MyReader``."""
    return isinstance(name, str) and _DOTTED.fullmatch(name) is not None


def load(path: str, what: str = "component") -> Any:
    """Import what a dotted path names.

    Args:
        path: ``package.module.name``; the module is found on Python's path, on which `importable` puts the folder
            of a config.
        what: What it is to be, for messages, e.g. ``metric``.

    Returns:
        The class, function or object of that name.

    Raises:
        ConfigError: There is no such module or name in it, or the module fails while it is imported.
    """
    if not is_dotted(path):
        raise ConfigError(f"{what} {path!r} is no dotted path; write package.module.name")
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} {path}: there is no module {error.name!r}; install it, or put it beside the config"
        ) from None
    except Exception as error:  # whatever a user's module does while it is imported
        raise ConfigError(f"{what} {path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise ConfigError(f"{what} {path}: {module_name} has no {name!r}; {nearest(name, public)}")
    return getattr(module, name)


@contextlib.contextmanager
def importable(folder: str | Path | None) -> Iterator[None]:
    """A folder on Python's path for a time, so that modules beside a config are found.

    Args:
        folder: The folder; None changes nothing.
    """
    if folder is None:
        yield
        return
    sys.path.append(str(folder))  # once for each user, since trials run at once
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            # One of ours is the last; what was there before stays.
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(str(folder))]


_run = uuid.uuid4().hex


def run_token() -> str:
    """What stands in keys for the code of components without a version: it is another in each search."""
    return _run


def begin_run(token: str | None = None) -> None:
    """Begin a search: nothing that was made of code without a version is used again.

    Args:
        token: In a worker, the `run_token` of the driver, so that the workers of a search share.
    """
    global _run  # noqa: PLW0603 - a process works for one search at a time
    _run = token or uuid.uuid4().hex


MODEL_OPTIONS = ("llm", "embed_model")
"""The arguments by which LlamaIndex's parts take their models; as options they name models."""


def identity(value: Any) -> str:
    """What stands for the value of a parameter in a key: its name, or the identity of a component."""
    found = component(value)
    return found.identity if isinstance(found, Component) else str(found)


@dataclass(frozen=True)
class Component:
    """A part of the pipeline that is the user's own; it is imported and made when it is first used.

    Attributes:
        name: What the configuration calls it.
        path: Its dotted path: a class, a function that makes it, or the thing itself; empty with `instance`.
        options: Arguments for making it, as canonical JSON.
        version: Stands for its code in keys; without one, artefacts are of one search only.
        instance: The thing itself, where it was handed over in Python.
        token: What distinguishes one instance from another.
        models: A `raytuner.pipeline.own_models.NamedModel` for each option that names one.
    """

    name: str
    path: str = ""
    options: str = "{}"
    version: str = ""
    instance: Any = field(default=None, compare=False, repr=False)
    token: str = ""
    models: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def identity(self) -> str:
        """What stands for it in keys."""
        version = self.version or run_token()
        return " ".join((self.path, self.options, version, self.token, *(own.identity for own in self.models)))

    @property
    def arguments(self) -> dict[str, Any]:
        """Its options, as they are written."""
        found: dict[str, Any] = json.loads(self.options)
        return found

    def target(self, what: str) -> Any:
        """What its path leads to, or the thing that was handed over.

        Args:
            what: What it is to be, for messages.

        Raises:
            ConfigError: It cannot be imported.
        """
        return self.instance if self.instance is not None else load(self.path, what)

    def make(self, what: str, **given: Any) -> Any:
        """Import it and, unless it is the finished thing, call it.

        Args:
            what: What it is to be, for messages.
            **given: Arguments that raytuner offers; those that its signature does not take are left out.

        Returns:
            The thing itself.

        Raises:
            ConfigError: It cannot be imported or made.
        """
        target = self.target(what)
        if not (inspect.isclass(target) or inspect.isroutine(target)):
            return target
        maker = maker_of(target)
        return self.call(maker, what, **_accepted(maker, given))

    def call(self, maker: Any, what: str, **given: Any) -> Any:
        """Call what makes it, with its options.

        Args:
            maker: A class or function.
            what: What it is to be, for messages.
            **given: Further arguments; options go before.

        Raises:
            ConfigError: It takes a model that the options do not name, or cannot be made.
        """
        self.check_models(maker, what)
        arguments = {**given, **self.arguments, **{own.option: own.make() for own in self.models}}
        try:
            return maker(**arguments)
        except Exception as error:  # whatever a user's code does
            reason = redact(" ".join(str(error).split()))[:300]
            raise ConfigError(
                f"{what} {self.name}: making it failed: {type(error).__name__}: {reason}; check its options"
            ) from error

    def check_models(self, maker: Any, what: str) -> None:
        """Refuse a part of LlamaIndex that is given no model: it would take OpenAI's, with the user's key.

        Args:
            maker: The class or function that makes it.
            what: What it is to be, for messages.

        Raises:
            ConfigError: With the option that has to name a model.
        """
        if not (getattr(maker, "__module__", None) or "").startswith("llama_index."):
            return
        named = {own.option for own in self.models}
        for option in _accepted(maker, dict.fromkeys(MODEL_OPTIONS)):
            if option not in named:
                raise ConfigError(
                    f"{what} {self.name} takes a model as {option}, and none is named: write "
                    f"components: {{NAME: {{path: {self.path or 'PATH'}, options: {{{option}: MODEL}}}}}} and use NAME"
                )


OwnComponent = Annotated[Component, WithJsonSchema({"type": "string"})]
"""A component as the parameter of a stage; a config names it by its dotted path, or as an entry of `components`."""


def maker_of(target: Any) -> Any:
    """What makes a thing out of its parts: LlamaIndex's own way for a class, where there is one."""
    return getattr(target, "from_defaults", target) if inspect.isclass(target) else target


def _accepted(maker: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Of some arguments those that a function takes by name."""
    taken = inspect.signature(maker).parameters
    fields = getattr(maker, "model_fields", {})  # pydantic classes take their fields as **data
    return {name: value for name, value in given.items() if name in taken or name in fields}


def canonical(options: Any, where: str) -> str:
    """Options of a config as JSON.

    An address among them is refused, unless it is this machine's: the classes of many libraries send the key that
    they find in the environment to whatever address they are given, and a config may be a stranger's.

    Args:
        options: The options.
        where: Their place in the config, for messages.

    Raises:
        ConfigError: JSON cannot hold them, or one is an address.
    """
    try:
        text = json.dumps(options, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise ConfigError(f"{where}: only what JSON can hold is allowed: texts, numbers, lists, mappings") from None
    for name, value in _texts(options):
        if ("://" in value or _ADDRESS.search(name)) and not _is_here(value):
            by_name = "name the model as openai-like:MODEL with base_url, or "
            raise ConfigError(
                f"{where}: {name} may get an address of this machine only, since keys could go there; for a service "
                f"{by_name if where.startswith('models') else ''}make the object in a module of your own, and name that"
            )
    return text


_ADDRESS = re.compile(r"base|url|uri|host|endpoint|proxy|server", re.IGNORECASE)
_HERE = re.compile(r"(?:https?://)?(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?(?:/[^@\\]*)?")


def _is_here(address: str) -> bool:
    return _HERE.fullmatch(address) is not None


def _texts(options: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text at any depth, with the nearest key above it."""
    if isinstance(options, str):
        yield name, options
    elif isinstance(options, Mapping):
        for key, inner in options.items():
            yield from _texts(inner, str(key))
    elif isinstance(options, (list, tuple)):
        for inner in options:
            yield from _texts(inner, name)


_instances: dict[int, Component] = {}  # they keep their objects, so that no other gets the number


def component(value: Any, table: Mapping[str, Any] | None = None) -> Any:
    """What a parameter's value means: a built-in name stays a name, everything else becomes a `Component`.

    Args:
        value: A built-in name, a name of `table`, a dotted path, or an object.
        table: From names to settings (``path``, ``options``, ``version``) or to objects.

    Returns:
        The name, or a `Component`. What is neither a name nor an object stays as it is.
    """
    if value is None or isinstance(value, (Component, int, float, list, dict)):
        return value
    if not isinstance(value, str):
        name = getattr(value, "__name__", type(value).__name__)
        made = Component(name, instance=value, token=uuid.uuid4().hex)
        return _instances.setdefault(id(value), made)
    entry = (table or {}).get(value)
    if entry is None:
        return Component(value, value) if is_dotted(value) else value
    if isinstance(entry, Mapping):
        options = canonical(entry.get("options") or {}, f"components.{value}.options")
        return Component(value, entry.get("path") or value, options, str(entry.get("version") or ""))
    return replace(component(entry), name=value)
