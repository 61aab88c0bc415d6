"""The section ``track`` of a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from raytuner.config import TuneConfig
from raytuner.errors import ConfigError, redact
from raytuner.plan import make_plan
from raytuner.plan_text import describe
from raytuner.schema import config_schema
from raytuner.tracking import registry
from raytuner.tracking.config import NAMES
from raytuner.tracking.tracking import Tracking
from raytuner.tuners import RayTuneParamTuner

REST = {"documents": "builtin:quickstart", "questions": "builtin:quickstart", "pipeline": {"retriever": "bm25"}}
FORMS: list[tuple[Any, dict[str, dict[str, Any]]]] = [
    (None, {}),
    ("mlflow", {"mlflow": {}}),
    (["mlflow", "wandb"], {"mlflow": {}, "wandb": {}}),
    (["aim", {"mlflow": "http://127.0.0.1:5000"}], {"aim": {}, "mlflow": {"uri": "http://127.0.0.1:5000"}}),
    ({"mlflow": None, "wandb": {"mode": "online"}}, {"mlflow": {}, "wandb": {"mode": "online"}}),
    ({"optuna": "sqlite:////tmp/study.db"}, {"optuna": {"url": "sqlite:////tmp/study.db"}}),
    ({"optuna": "sqlite:///study.db"}, {"optuna": {"url": "sqlite:////base/study.db"}}),
    ({"optuna": {"url_env": "STUDY", "texts": True}}, {"optuna": {"url_env": "STUDY", "texts": True}}),
    ({"tensorboard": "boards"}, {"tensorboard": {"folder": "/base/boards"}}),
    ({"aim": {"repo": "/elsewhere"}}, {"aim": {"repo": "/elsewhere"}}),
    ({"optuna": "sqlite:////me@home/a:b@c.db"}, {"optuna": {"url": "sqlite:////me@home/a:b@c.db"}}),
    ({"optuna": "mysql://me@db:3306/a?ssl_ca=x"}, {"optuna": {"url": "mysql://me@db:3306/a?ssl_ca=x"}}),
    ({"mlflow": {"uri": "postgresql+psycopg2://me@db/flow"}}, {"mlflow": {"uri": "postgresql+psycopg2://me@db/flow"}}),
]


def load(track: Any) -> TuneConfig:
    return TuneConfig.parse(yaml.safe_dump({**REST, "track": track}), base=Path("/base"), source="rag.yaml")


@pytest.mark.parametrize(("track", "asked"), FORMS)
def test_each_form_means_what_it_says(track: Any, asked: dict[str, dict[str, Any]]) -> None:
    found = load(track).track.asked
    assert {name: section.model_dump(exclude_defaults=True) for name, section in found.items()} == asked
    Draft202012Validator(config_schema()).validate({**REST, "track": track})


@pytest.mark.parametrize(
    ("track", "message"),
    [
        (
            "mlfow",
            "track: 'mlfow' is not allowed; it should be the name of a tracker, or several: 'mlfow' is none; did",
        ),
        (["mlflow", 3], "3 is none; Valid: aim, mlflow, optuna, tensorboard, wandb"),
        ({"mlflow": {"urii": "x"}}, "unknown key 'track.mlflow.urii'; did you mean 'uri'?"),
        ({"neptune": {}}, "unknown key 'track.neptune'; "),
        ({"mlflow": 3}, "track.mlflow: 3 is not allowed; it should be a mapping"),
        (
            {"mlflow": "databricks"},
            "track.mlflow.uri: 'databricks' is not allowed; it should be an address that begins",
        ),
        (
            {"optuna": "study.db"},
            "track.optuna.url: 'study.db' is not allowed; it should be an address that begins with s",
        ),
        ({"wandb": {"mode": "on"}}, "track.wandb.mode: 'on' is not allowed; it should be 'offline' or 'online'"),
        ({"wandb": "offline"}, "track.wandb: 'offline' is not allowed; it should be a mapping"),
        ({"mlflow": {"texts": 1}}, "track.mlflow.texts: 1 is not allowed"),
        (3, "track: 3 is not allowed; it should be a mapping"),
    ],
)
def test_what_is_wrong_is_said(track: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(track)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("track", "key"),
    [
        ({"mlflow": "https://me:hunter2@there"}, "uri"),
        ({"mlflow": {"uri": "https://hunter2@there"}}, "uri"),
        ({"optuna": "postgresql://me:hunter2@there/db"}, "url"),
        ({"optuna": "postgresql://there/db?user=me&password=hunter2"}, "url"),
        ({"optuna": "postgresql://me:hun/ter/hunter2@there/db"}, "url"),
        ({"optuna": "postgresql://me:hun?hunter2@there/db"}, "url"),
        ({"optuna": "postgresql://me:hunter2@x@there/db"}, "url"),
        ({"optuna": "postgresql://:12/hunter2@there"}, "url"),
        ({"optuna": "sqlite://me:hunter2@there"}, "url"),
        ({"optuna": "me:hunter2@there/db"}, "url"),
        ({"optuna": "postgresql:///db?sslpassword=hunter2"}, "url"),
        ({"optuna": "postgresql:///db?p%61ssword=hunter2"}, "url"),
        ({"optuna": "mssql+pymssql://there/db?pwd=hunter2"}, "url"),
        ({"mlflow": "mssql+pyodbc:///?odbc_connect=SERVER%3Dthere%3BPWD%3Dhunter2"}, "uri"),
        ({"mlflow": "https://me:hun/hunter2@there"}, "uri"),
        ({"mlflow": "https://there/?api_key=hunter2"}, "uri"),
    ],
)
def test_a_password_in_a_config_is_refused_and_not_repeated(track: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(track)
    assert "holds a password, and none is put into a config" in str(caught.value)
    assert f"name that: {key}_env: NAME" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_address_in_a_variable_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    config = load({"optuna": {"url_env": "STUDY_DATABASE"}})
    with pytest.raises(ConfigError, match=r"track.optuna.url_env: the environment variable STUDY_DATABASE is not set"):
        Tracking.of(config.track)
    monkeypatch.setenv("STUDY_DATABASE", "postgresql://me:hunter2hunter2@there/db")
    Tracking.of(config.track)
    assert "optuna: where STUDY_DATABASE says" in describe(make_plan(config))
    assert "hunter2" not in str(config.settings) + config.text
    assert redact("cannot reach postgresql://me:hunter2hunter2@there/db") == "cannot reach <STUDY_DATABASE>"


def test_credentials_go_to_no_server_that_a_config_names(monkeypatch: pytest.MonkeyPatch) -> None:
    section = load({"mlflow": "http://stranger.example:5000/"}).track.asked["mlflow"]
    section.check()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret-of-my-own")
    with pytest.raises(ConfigError, match=r"MLFLOW_TRACKING_TOKEN would go to http://stranger.example:5000/; set"):
        section.check()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://stranger.example:5000")
    section.check()


def test_online_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    load("wandb").track.asked["wandb"].check()
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(ConfigError, match="mode online needs a key; set WANDB_API_KEY"):
        load("wandb").track.asked["wandb"].check()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    load("wandb").track.asked["wandb"].check()


def test_a_plan_says_where_they_write_and_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(
        registry, "LIBRARIES", {**registry.LIBRARIES, "wandb": registry.Library("no_such", "no-such", "", "wandb")}
    )
    config = load(["mlflow", "wandb", "optuna"])
    lines = describe(make_plan(config)).splitlines()
    assert "track       mlflow: mlflow.db in the run folder" in lines
    assert "track       optuna: optuna.db in the run folder" in lines
    assert "missing     wandb: needs the package no-such; pip install 'raytuner[wandb]'" in lines
    with pytest.raises(
        ConfigError, match=r"track: wandb needs the package no-such; pip install 'raytuner\[wandb\]', or"
    ):
        registry.check(load("wandb").track)


def test_the_best_configuration_is_not_tracked() -> None:
    best = yaml.safe_load(load("mlflow").with_best({"top_k": 3}))
    assert "track" not in best


def test_every_tracker_has_its_library() -> None:
    assert set(registry.LIBRARIES) == set(NAMES)


def test_the_tuner_takes_the_same_forms() -> None:
    tuner = RayTuneParamTuner(param_fn=len, param_dict={"k": [1]}, track=["mlflow", {"optuna": "sqlite:///study.db"}])
    assert list(tuner.track.asked) == ["mlflow", "optuna"]
    with pytest.raises(ValidationError, match="'mlfow' is none; did you mean 'mlflow'"):
        RayTuneParamTuner(param_fn=len, param_dict={"k": [1]}, track="mlfow")
