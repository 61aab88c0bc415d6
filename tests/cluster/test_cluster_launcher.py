"""The files of `ray up`: valid by Ray's own schema and code, with the token, and with options that Ray has."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from raytuner import ray_access

CLUSTER = Path(__file__).resolve().parents[2] / "cluster"
LAUNCHER = ["hosts.yaml", "aws.yaml", "gcp.yaml"]
STARTS = ("head_start_ray_commands", "worker_start_ray_commands")


def load(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def schema() -> Any:
    """Ray's schema of such files, without importing Ray."""
    spec = importlib.util.find_spec("ray")
    assert spec is not None and spec.submodule_search_locations
    return json.loads((Path(spec.submodule_search_locations[0]) / "autoscaler" / "ray-schema.json").read_text())


def settings(name: str) -> dict[str, str]:
    lines = (CLUSTER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_file_is_valid_by_rays_schema(name: str) -> None:
    jsonschema.validate(load(name), schema())


@pytest.mark.parametrize("name", LAUNCHER)
def test_a_misspelt_key_is_refused_by_rays_schema(name: str) -> None:
    config = load(name)
    for key in config:
        wrong = copy.deepcopy(config)
        wrong[f"{key}x"] = wrong.pop(key)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())


@pytest.mark.ray
@pytest.mark.parametrize("name", LAUNCHER)
def test_ray_itself_takes_a_file(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(load(name))
    validate_config(prepared)
    types = prepared["available_node_types"]
    workers = [kind for kind in types if kind != prepared["head_node_type"] or name == "hosts.yaml"]
    assert [types[kind]["min_workers"] for kind in workers] == [2]
    for key in STARTS:  # ours, and not Ray's defaults
        assert prepared[key] == load(name)[key]


@pytest.mark.ray
@pytest.mark.parametrize("name", [*LAUNCHER, "compose.yaml"])
def test_every_option_of_ray_start_exists(name: str) -> None:
    from ray.scripts.scripts import start

    options = {option for parameter in start.params for option in parameter.opts}
    used = re.findall(r"ray start (.*?)(?:;|$)", "\n".join(commands(name)), re.MULTILINE)
    assert len(used) == 2
    for arguments in used:
        named = [word.partition("=")[0] for word in shlex.split(arguments)]
        assert named and set(named) <= options


def commands(name: str) -> list[str]:
    config = load(name)
    if "services" in config:
        return [service["command"] for service in config["services"].values()]
    return [command for key in STARTS for command in config[key]]


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_node_has_the_token_and_the_settings_when_ray_starts(name: str) -> None:
    config = load(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert config["file_mounts"]["~/raytuner.env"] == "cluster/ray.env"
    for key in STARTS:
        *_, start = config[key]
        assert start.startswith("set -a; . ~/raytuner.env;")
    assert "--dashboard-host=127.0.0.1" in config[STARTS[0]][-1]


@pytest.mark.parametrize("name", LAUNCHER)
def test_every_command_is_sound_shell(name: str) -> None:
    config = load(name)
    lines = [line for key, value in config.items() if key.endswith("_commands") for line in value]
    script = "\n".join(["#!/usr/bin/env bash", "RAY_HEAD_IP=10.0.0.1", *lines, ""])
    # Files of the nodes are not here, and Ray sets the address of the head.
    check = [str(Path(sys.executable).parent / "shellcheck"), "--exclude=SC1090,SC1091,SC2086", "-"]
    done = subprocess.run(check, input=script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_settings_are_those_that_raytuner_starts_ray_with() -> None:
    """Without those that are only for who calls."""
    given = settings("ray.env")
    assert given.items() <= {"RAY_AUTH_MODE": "token", **ray_access.ENVIRONMENT}.items()
    assert {"RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED", "RAY_CHDIR_TO_TRIAL_DIR"} <= given.keys()
