"""TuneConfig: one YAML file, validated whole; unknown keys are refused."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, WithJsonSchema, field_validator, model_validator

from raytuner.components import is_dotted
from raytuner.config_sections import (
    AUTO_QUESTIONS,
    MAX_NAME,
    RUNS,
    BudgetConfig,
    ComponentConfig,
    DocumentsConfig,
    ObjectiveConfig,
    PathText,
    QuestionsConfig,
    RunSection,
    SearchConfig,
    Section,
)
from raytuner.errors import ConfigError, UserError, holds_secret, is_secret, nearest, quoted, redact
from raytuner.goals import Goal, checked
from raytuner.models.spec import ModelSettings
from raytuner.tracking.config import TrackConfig
from raytuner.yaml_text import dump, read, read_file

VARIABLE = re.compile(r"\$(?:\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")
DATA_HINT = "the guide's page on data says where the public files come from (docs/data.md)"


class TuneConfig(Section):
    """A search, as one YAML file describes it.

    Attributes:
        documents: A path or several, or a `DocumentsConfig`; required, but for an objective of the user's own.
        questions: The path of a question set or several, or a `QuestionsConfig`; likewise.
        models: What names of models stand for, beside those that are built in.
        pipeline: Fixed parameters of the pipeline.
        space: Tuned parameters; see `SearchSpace.from_dict`.
        components: Splitters, retrievers and rerankers of the user's own, by the names that the two above use.
        modules: The folder in which modules named by dotted paths are looked for, beside Python's own path; by default
            that of the config.
        search: How the space is searched.
        objective: What is optimised.
        objectives: Several metrics to optimise, or limits to keep, in place of ``objective.metric`` and ``mode``.
        budget: What the search may use up.
        run: Where it runs and where the results go.
        warm_start: Earlier runs to start from: run folders, or names of runs as ``runs/NAME``, of which the newest is
            taken.
        track: Which trackers are told of it: ``mlflow``, a list of such names, or a mapping of them to their options.
        cache_sampled: Whether trials share the answers of an LLM that samples too, at a temperature above 0.
    """

    documents: DocumentsConfig | None = None
    questions: QuestionsConfig | None = None
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    pipeline: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any] = Field(default_factory=dict)
    components: dict[str, ComponentConfig] = Field(default_factory=dict)
    modules: PathText | None = None
    search: SearchConfig = Field(default_factory=SearchConfig)
    objective: ObjectiveConfig = Field(default_factory=ObjectiveConfig)
    objectives: list[Goal] | None = Field(default=None, json_schema_extra={"minItems": 1})
    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    run: RunSection = Field(default_factory=RunSection)
    warm_start: Annotated[list[PathText], WithJsonSchema(RUNS)] = Field(default_factory=list)
    track: TrackConfig = Field(default_factory=TrackConfig)
    cache_sampled: bool = False

    @field_validator("warm_start", mode="before")
    @classmethod
    def _one_run(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else [] if value is None else value

    @field_validator("documents", "questions", mode="before")
    @classmethod
    def _only_paths(cls, value: Any) -> Any:
        if not isinstance(value, (str, list, dict, DocumentsConfig, QuestionsConfig, type(None))):
            raise ValueError("a path, a list of paths, or a mapping with `path`")
        return {"path": value} if isinstance(value, (str, list)) else value

    @field_validator(
        "models", "pipeline", "space", "components", "search", "objective", "budget", "run", "track", mode="before"
    )
    @classmethod
    def _nothing_said(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> TuneConfig:
        for name in ("documents", "questions") if self.objective.function is None else ():
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing; add it")
        if self.objectives is not None:
            checked(self.objectives)
            for name in ("metric", "mode", "weights"):
                if getattr(self.objective, name) is not None:
                    raise ValueError(
                        f"objective.{name} is for one metric, objectives for several; remove one of the two"
                    )
        if self.objective.weights is not None and self.objective.metric is not None:
            raise ValueError("objective.metric is one metric, objective.weights several; remove one of the two")
        for name, entry in self.components.items():
            if entry.path is None and not is_dotted(name):
                raise ValueError(f"components.{quoted(name)[1:-1]} names no part; add path: module.name")
        return self

    _text: str = PrivateAttr(default="")
    _source: str = PrivateAttr(default="")
    _base: Path = PrivateAttr(default_factory=Path.cwd)

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> TuneConfig:
        """Read a config file.

        Args:
            path: The YAML file. ``${NAME}`` and ``${NAME:-default}`` in its values are taken from the
                environment, ``$${`` stands for ``${``; relative paths are relative to the file.
            overrides: ``a.b=c`` each: a key and its new value as YAML.

        Returns:
            The config; a run without a name gets that of the file.

        Raises:
            ConfigError: With the file, the key, the rule and the fix.
        """
        file = Path(path).expanduser()
        config = cls.parse(
            read_file(file, str(path)), base=file.resolve().parent, source=str(path), overrides=overrides
        )
        if config.run.name is None:
            config.run.name = re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("-._")[:MAX_NAME] or "run"
        return config

    @classmethod
    def parse(
        cls, text: str, *, base: Path | None = None, source: str = "config", overrides: Sequence[str] = ()
    ) -> TuneConfig:
        """Read a config from a text; see `load`.

        Args:
            text: YAML.
            base: What relative paths are relative to; the current folder by default.
            source: The name of the text in messages.
            overrides: See `load`.

        Raises:
            ConfigError: With the source, the key, the rule and the fix.
        """
        raw = _mapping(text, source)
        for override in overrides:
            _override(raw, override)
        base = base or Path.cwd()
        try:
            expanded = {key: _expand(value, numbers=key in WITH_NUMBERS) for key, value in raw.items()}
            config = cls.model_validate(_resolve_paths(expanded, base))
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(error)}") from None
        for section in config.track.asked.values():
            section.relative_to(base)
        config._text = dump(raw) if overrides else text
        config._base = base
        config._source = source
        return config

    def models_table(self) -> dict[str, dict[str, Any]]:
        """The section ``models`` as `RagObjective` takes it."""
        return {name: entry.model_dump(exclude_none=True) for name, entry in self.models.items()}

    def components_table(self) -> dict[str, dict[str, Any]]:
        """The section ``components`` as `RagObjective` takes it."""
        return {name: entry.model_dump() for name, entry in self.components.items()}

    @contextlib.contextmanager
    def named_in_errors(self) -> Iterator[None]:
        """What is wrong with this config begins with the name of its file."""
        try:
            yield
        except UserError as error:
            if not self._source or str(error).startswith(f"{self._source}:"):
                raise
            raise type(error)(f"{self._source}: {error}") from error

    @property
    def folder(self) -> Path:
        """Where modules named by dotted paths are looked for, beside Python's own path."""
        return Path(self.modules) if self.modules is not None else self._base

    @property
    def base(self) -> Path:
        """The folder that relative paths are relative to."""
        return self._base

    @property
    def settings(self) -> dict[str, Any]:
        """All that is set, as JSON can hold it, with variables filled in; of keys only the names of their variables."""
        return self.model_dump(mode="json", exclude_defaults=True, by_alias=True)

    @property
    def text(self) -> str:
        """The YAML as it was written, variables not expanded, with the overrides applied."""
        if self._text:
            return self._text
        written = escaped(self.model_dump(mode="json", exclude_defaults=True, by_alias=True))  # it was made in Python
        return dump(written)

    def with_best(self, params: Mapping[str, Any]) -> str:
        """A config with one configuration fixed, which loads from any folder.

        Args:
            params: The tuned parameters.

        Returns:
            YAML; variables are not expanded, relative paths made absolute.
        """
        raw = _resolve_paths(_mapping(self.text, "config"), self._base)
        raw["pipeline"] = {**(raw.get("pipeline") or {}), **escaped(dict(params))}
        for name in ("space", "warm_start", "track"):
            raw.pop(name, None)
        search = raw.pop("search", None) or {}
        if kept := {key: search[key] for key in ("seed", "holdout") if key in search}:
            raw["search"] = kept  # which questions are held out, so that its score is the same again
        if any(map(is_dotted, _texts(raw))):
            raw.setdefault("modules", str(self.folder))
        return redact(dump(raw), "${{{name}}}")  # which is refused when the config is read, with what to do instead


def _texts(value: Any) -> Iterator[str]:
    """Every text in a config, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _mapping(text: str, source: str) -> dict[str, Any]:
    raw = read(text, source)
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: the file must be a mapping of documents, questions, space, ...")
    return raw


def _override(raw: dict[str, Any], override: str) -> None:
    """Apply one ``a.b=c``."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {quoted(override)}: write KEY=VALUE, e.g. --set pipeline.top_k=5")
    *parents, last = key.strip().split(".")
    place = raw
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        if parent in ("documents", "questions") and isinstance(place[parent], (str, list)):
            place[parent] = {"path": place[parent]}  # the short form
        place = place[parent]
        if not isinstance(place, dict):
            raise ConfigError(f"--set {quoted(override)}: {quoted(parent)} is not a mapping")
    place[last] = read(value, f"--set {quoted(override)}")


WITH_NUMBERS = ("models", "components", "pipeline", "space", "search", "objective", "objectives", "budget")


def _expand(value: Any, *, numbers: bool) -> Any:
    """Variables of the environment put in, in texts at any depth.

    With `numbers`, a text that is a variable and nothing else may come to a number or a truth value.
    """
    if isinstance(value, dict):
        return {key: _expand(inner, numbers=numbers) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expand(inner, numbers=numbers) for inner in value]
    if not isinstance(value, str):
        return value
    expanded = VARIABLE.sub(_variable, value)
    whole = VARIABLE.fullmatch(value)
    return _number(expanded, value) if numbers and whole and whole.group(1) else expanded


def _variable(match: re.Match[str]) -> str:
    name, default = match.group(1), match.group(2)
    if name is not None and len(name) > MAX_NAME:
        raise ConfigError(f"{quoted(match.group())}: the name of a variable has at most {MAX_NAME} characters")
    if name is None:
        return "${"
    if is_secret(name):
        raise ConfigError(
            f"${{{name}}}: what is called a secret is not put into a config; for the key of a service write "
            f"models: {{NAME: {{api_key_env: {name}}}}}"
        )
    given = os.environ.get(name)
    if given and holds_secret(given):
        raise ConfigError(
            f"${{{name}}}: its value looks like a key, and none is put into a config; for the key of a service write "
            f"models: {{NAME: {{api_key_env: {name}}}}}; what is none is written into the config itself"
        )
    found = given or default
    if found is None:
        hint = f"; {DATA_HINT}" if name == "RAYTUNER_DATA" else ", or write ${" + name + ":-default}"
        raise ConfigError(f"${{{name}}}: the environment variable {name} is not set; set it{hint}")
    return found


def _number(text: str, variable: str) -> Any:
    """The number or truth value that a text stands for, else the text."""
    value = read(text, variable) if re.fullmatch(r"[-+.\w]+", text) else text
    return value if isinstance(value, (int, float)) else text


def escaped(value: Any) -> Any:
    """Texts so that reading them back does not look for variables."""
    if isinstance(value, dict):
        return {key: escaped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [escaped(inner) for inner in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _resolve_paths(raw: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Relative paths made absolute; the run folder stays relative to where the command is called."""
    resolved = dict(raw)
    if "modules" in raw:
        resolved["modules"] = _resolve_path(raw["modules"], base)
    if "warm_start" in raw:
        resolved["warm_start"] = _resolve_entries(raw["warm_start"], base)
    for key in ("documents", "questions"):
        section = raw.get(key)
        if isinstance(section, dict) and "path" in section:
            resolved[key] = {**section, "path": _resolve_entries(section["path"], base)}
        elif section is not None and not isinstance(section, dict) and section != AUTO_QUESTIONS:
            resolved[key] = _resolve_entries(section, base)
    return resolved


def _resolve_entries(value: Any, base: Path) -> Any:
    return [_resolve_path(entry, base) for entry in value] if isinstance(value, list) else _resolve_path(value, base)


def _resolve_path(value: Any, base: Path) -> Any:
    if not isinstance(value, str) or not value.strip() or "://" in value or value.startswith("builtin:"):
        return value  # what is no path at all is refused where it is read
    if value.startswith("${"):  # kept as it is, unless it comes to a relative path
        expanded = str(_expand(value, numbers=False))
        return value if expanded.startswith("builtin:") or Path(expanded).is_absolute() else str(base / expanded)
    try:
        return str(base / Path(value).expanduser())
    except RuntimeError:  # there is no such user, which is said when the value is checked
        return value


def _explain(error: ValidationError) -> str:
    """The first rule that is broken: the key, the value, what is allowed."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    key = ".".join(location)
    key = key if key.isprintable() and len(key) <= 2 * MAX_NAME else quoted(key)
    if first["type"] == "extra_forbidden":
        return f"unknown key {quoted('.'.join(location))}; {nearest(location[-1], _valid_keys(location[:-1]))}"
    if first["type"] == "invalid_key" or location[-1:] == ["[key]"]:
        where = ".".join(location[: -1 if first["type"] == "invalid_key" else -2])
        return f"{where or 'the config'}: the key {quoted(first['input'])} is no text; put it in quotes, or correct it"
    if first["type"] == "missing":
        return f"{key} is missing; add it"
    if first["type"] in ("dict_type", "model_type"):
        return f"{key}: {quoted(first['input'])} is not allowed; it should be a mapping of keys to values"
    if not key:
        return str(first["msg"].removeprefix("Value error, "))
    reason = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{key}: {quoted(first['input'])} is not allowed; it should be {reason}"


def _valid_keys(location: Sequence[str]) -> Iterator[str]:
    """The keys of the section at a place."""
    model: Any = TuneConfig
    for part in location:
        if part in model.model_fields:
            model = next(_sections(model.model_fields[part].annotation), model)
    yield from (field.alias or name for name, field in model.model_fields.items())


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections in the type of a key."""
    parts = get_args(annotation)
    if not parts and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in parts:
        yield from _sections(part)
