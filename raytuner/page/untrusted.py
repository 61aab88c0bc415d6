"""What may be read of a run that is looked at and not trusted: nothing of the environment, and no file far from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytuner.config import TuneConfig
from raytuner.yaml_text import dump


def config_to_look_at(run: Mapping[str, Any], folder: Path) -> TuneConfig | str:
    """The config of a run with the variables that were filled in then; those of now are not read.

    Args:
        run: What ``run.json`` holds.
        folder: The run folder.

    Returns:
        It, or why nothing is read without trust.

    Raises:
        ConfigError: Something in it is wrong now.
    """
    if "${" in json.dumps([run["config"], run["base"]]):
        return "its config would read variables of the environment; --trust does"
    config = TuneConfig.parse(dump(run["config"]), base=Path(run["base"]))
    if far := far_paths(config, folder):
        return f"{', '.join(far)}: neither below the current folder nor beside the folder of the runs; --trust reads it"
    return config


def far_paths(config: TuneConfig, folder: Path) -> list[str]:
    """The paths of a config that are read only if it is trusted.

    Near are the package's own data and what is below the current folder, or below the folder that holds the one with
    the runs; the home folder and what holds it are too wide to count.

    Args:
        config: That of the run.
        folder: The run folder.
    """
    home = Path.home().resolve()
    near = [place for place in (Path.cwd().resolve(), folder.resolve().parent.parent) if not home.is_relative_to(place)]
    sections = (config.documents, config.questions)
    paths = [str(path) for section in sections if section is not None for path in section.paths]
    return [path for path in paths if not _is_near(path, near)]


def _is_near(path: str, near: list[Path]) -> bool:
    if path.startswith("builtin:"):
        return True
    if "://" in path:
        return False
    real = Path(path).resolve()
    return any(real.is_relative_to(place) for place in near)
