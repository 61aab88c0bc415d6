"""The section ``track`` of a config: which trackers are told of a search, and where they are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import BeforeValidator, Field, field_validator, model_validator

from raytuner.config_sections import PathText, Section
from raytuner.errors import ConfigError, declare_secret, nearest, quoted

_SECRET_IN_QUERY = re.compile(r"[?&;][^=&;]*(pass|pwd|secret|token|key|odbc_connect)[^=&;]*=", re.IGNORECASE)


def _holds_password(address: str) -> bool:
    """Whether an address holds a password, however it is read: some readers take ``/`` and ``?`` for a part of it."""
    if _SECRET_IN_QUERY.search(unquote(address)):
        return True
    scheme, is_url, rest = address.partition("://")
    if not is_url:
        rest = address
    if scheme.startswith("sqlite") and rest.startswith("/"):
        return False  # what follows is the path of a file
    is_http = scheme.lower().startswith("http")
    return "@" in rest.partition(":")[2] or (is_http and "@" in re.split(r"[?#]", rest)[0])


def _from_environment(where: str, name: str | None) -> str | None:
    """The value of an environment variable, which is taken for a secret: an address may hold a password."""
    if name is None:
        return None
    declare_secret(name)
    if not os.environ.get(name):
        raise ConfigError(f"{where}: the environment variable {name} is not set; set it")
    return os.environ[name]


class TrackerSection(Section):
    """What the trackers have in common.

    Attributes:
        texts: Whether prompts and other long texts are told as they are; by default as their length and hash.
    """

    option: ClassVar[str | None] = None
    """The key whose value may stand alone."""

    texts: bool = False

    @property
    def place(self) -> str:
        """Where it writes, for a person."""
        return "the run folder"

    def check(self) -> None:
        """Refuse what cannot work here.

        Raises:
            ConfigError: With the key and the fix.
        """

    def relative_to(self, base: Path) -> None:
        """Take a path that is relative as relative to a folder."""
        given = getattr(self, self.option) if self.option else None
        if given is None:
            return
        scheme, is_url, path = str(given).rpartition(":///")
        if not is_url and "://" not in path:
            setattr(self, str(self.option), str(base / Path(path).expanduser()))
        elif scheme.startswith("sqlite") and not path.startswith((":", "file:")):
            setattr(self, str(self.option), f"{scheme}:///{base / path}")


def _without_password(where: str, schemes: str) -> Callable[[Any], Any]:
    """Refuses an address that holds a password, without repeating it, or that is of another scheme."""

    def check(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if _holds_password(value):
            key = where.rpartition(".")[2]
            raise ConfigError(
                f"{where} holds a password, and none is put into a config; put the whole address into an environment "
                f"variable and name that: {key}_env: NAME"
            )
        if not re.match(rf"({schemes})(\+\w+)?://", value):
            raise ValueError(f"an address that begins with {schemes.replace('|', ', ')} and ://")
        return value

    return check


DATABASES = "sqlite|postgresql|mysql|mariadb|mssql|oracle"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


class MlflowConfig(TrackerSection):
    """MLflow: a run for the search, and in it one for each trial.

    Attributes:
        uri: Its tracking server or database; by default that of ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the run
            folder.
        uri_env: The environment variable that holds it, in place of ``uri``, if it holds a password.
        experiment: The name of the experiment.
    """

    option = "uri"

    uri: Annotated[str, BeforeValidator(_without_password("track.mlflow.uri", f"http|https|{DATABASES}"))] | None = None
    uri_env: Annotated[str, Field(pattern=VARIABLE)] | None = None
    experiment: str = Field(default="raytuner", min_length=1, max_length=200)

    def address(self) -> str | None:
        """The tracking URI; None is a database in the run folder.

        Raises:
            ConfigError: The environment variable is not set.
        """
        return self.uri or _from_environment("track.mlflow.uri_env", self.uri_env) or _set("MLFLOW_TRACKING_URI")

    @property
    def place(self) -> str:
        """See `TrackerSection.place`."""
        return (
            self.uri or _named(self.uri_env) or _named(_is_set("MLFLOW_TRACKING_URI")) or "mlflow.db in the run folder"
        )

    def check(self) -> None:
        """Refuse to send credentials of the environment to whatever server a config names."""
        address = self.address()
        credentials = [name for name in ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD") if os.environ.get(name)]
        own = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
        if credentials and self.uri and self.uri.startswith("http") and (address or "").rstrip("/") != own:
            raise ConfigError(
                f"track.mlflow.uri: {credentials[0]} would go to {self.uri}; set MLFLOW_TRACKING_URI to where it "
                "may go, and leave uri out"
            )


class WandbConfig(TrackerSection):
    """Weights & Biases: a group for the search, and in it a run for each trial that has ended.

    Attributes:
        project: The name of the project.
        entity: The user or team; by default that of the key.
        mode: ``offline`` writes to the folder ``wandb`` in the run folder, for ``wandb sync``; ``online`` sends it. By
            default that of ``WANDB_MODE``, else ``offline``.
    """

    project: str = Field(default="raytuner", min_length=1, max_length=128)
    entity: str | None = None
    mode: Literal["offline", "online"] | None = None

    @property
    def how(self) -> str:
        """The mode that counts."""
        return self.mode or ("online" if os.environ.get("WANDB_MODE") == "online" else "offline")

    @property
    def place(self) -> str:
        """See `TrackerSection.place`."""
        return f"{self.how}, wandb in the run folder" if self.how == "offline" else f"online, project {self.project}"

    def check(self) -> None:
        """Refuse to go online without a key: it would be asked for in the middle of the search."""
        if self.how == "online" and not os.environ.get("WANDB_API_KEY"):
            raise ConfigError(
                "track.wandb: mode online needs a key; set WANDB_API_KEY, or leave mode out and sync later"
            )


class TensorboardConfig(TrackerSection):
    """TensorBoard: event files for each trial, with its parameters for the HPARAMS dashboard.

    Attributes:
        folder: Where they are written, in a folder of the run's name; by default ``tensorboard`` in the run folder.
    """

    option = "folder"

    folder: PathText | None = None

    @property
    def place(self) -> str:
        """See `TrackerSection.place`."""
        return self.folder or "tensorboard in the run folder"


class AimConfig(TrackerSection):
    """Aim: an experiment for the search, and in it a run for each trial that has ended.

    Attributes:
        repo: The folder of its repository; by default the run folder.
    """

    option = "repo"

    repo: PathText | None = None

    @property
    def place(self) -> str:
        """See `TrackerSection.place`."""
        return self.repo or "the run folder"


class OptunaConfig(TrackerSection):
    """A study of Optuna in a database, as ``optuna-dashboard`` opens it, whatever the search algorithm is.

    Attributes:
        url: The database, as SQLAlchemy writes it; the path of one of SQLite is relative to the config. By default
            ``optuna.db`` in the run folder.
        url_env: The environment variable that holds it, in place of ``url``, if it holds a password.
        study: The name of the study; by default that of the run folder.
    """

    option = "url"

    url: Annotated[str, BeforeValidator(_without_password("track.optuna.url", DATABASES))] | None = None
    url_env: Annotated[str, Field(pattern=VARIABLE)] | None = None
    study: str | None = Field(default=None, min_length=1, max_length=500)

    def address(self) -> str | None:
        """The database; None is one in the run folder.

        Raises:
            ConfigError: The environment variable is not set.
        """
        return self.url or _from_environment("track.optuna.url_env", self.url_env)

    @property
    def place(self) -> str:
        """See `TrackerSection.place`."""
        return self.url or _named(self.url_env) or "optuna.db in the run folder"

    def check(self) -> None:
        """Look whether the environment variable is set."""
        self.address()


def _set(name: str) -> str | None:
    return os.environ.get(name) or None


def _is_set(name: str) -> str | None:
    return name if os.environ.get(name) else None


def _named(variable: str | None) -> str | None:
    return None if variable is None else f"where {variable} says"


NAMES = ("aim", "mlflow", "optuna", "tensorboard", "wandb")
SHORT: dict[str, Any] = {
    "anyOf": [
        {"type": "null"},
        {"enum": list(NAMES)},
        {"type": "array", "items": {"anyOf": [{"enum": list(NAMES)}, {"type": "object", "maxProperties": 1}]}},
    ]
}
"""What may stand in place of the mapping: a name, or several."""


def _also_alone(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "string"})


class TrackConfig(Section):
    """Which trackers are told of the search; a name or a list of names may stand for those without options.

    Attributes:
        aim: Aim.
        mlflow: MLflow.
        optuna: A study of Optuna, for optuna-dashboard.
        tensorboard: TensorBoard.
        wandb: Weights & Biases.
    """

    aim: AimConfig | None = Field(default=None, json_schema_extra=_also_alone)
    mlflow: MlflowConfig | None = Field(default=None, json_schema_extra=_also_alone)
    optuna: OptunaConfig | None = Field(default=None, json_schema_extra=_also_alone)
    tensorboard: TensorboardConfig | None = Field(default=None, json_schema_extra=_also_alone)
    wandb: WandbConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_mapping(cls, value: Any) -> Any:
        if isinstance(value, (str, list)):
            return dict(map(_entry, [value] if isinstance(value, str) else value))
        return value

    @field_validator(*NAMES, mode="before")
    @classmethod
    def _without_options(cls, value: Any, info: Any) -> Any:
        if value is None or value is True:
            return {}
        section: type[TrackerSection] = SECTIONS[info.field_name]
        return {section.option: value} if isinstance(value, str) and section.option else value

    @property
    def asked(self) -> dict[str, TrackerSection]:
        """The trackers that are asked for, by name."""
        found = {name: getattr(self, name) for name in NAMES}
        return {name: section for name, section in found.items() if section is not None}


def _entry(entry: Any) -> tuple[str, Any]:
    """An entry of a list: a name, or a mapping of one name to its options."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((entry, options),) = entry.items()
    else:
        options = None
    if not isinstance(entry, str) or entry not in NAMES:
        raise ValueError(f"the name of a tracker, or several: {quoted(entry)} is none; {nearest(entry, NAMES)}")
    return entry, options


SECTIONS: dict[str, type[TrackerSection]] = {
    "aim": AimConfig,
    "mlflow": MlflowConfig,
    "optuna": OptunaConfig,
    "tensorboard": TensorboardConfig,
    "wandb": WandbConfig,
}
