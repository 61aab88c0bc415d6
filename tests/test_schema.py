"""The schema that editors use, and the configs that show what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from raytuner.config import TuneConfig
from raytuner.pipeline import parameters as stages
from raytuner.plan import make_plan
from raytuner.schema import HEADER, SCHEMA_FILE, config_schema, schema_text

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
FULL = ROOT / "configs" / "full.yaml"
MINIMAL = {"documents": "my-docs", "questions": "questions.jsonl"}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = config_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_beside_the_configs_is_up_to_date() -> None:
    stored = (ROOT / "configs" / SCHEMA_FILE).read_text(encoding="utf-8")
    assert stored == schema_text(), f"run: raytuner schema --out configs/{SCHEMA_FILE}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_each_config_names_the_schema_and_keeps_it(path: Path, validator: Draft202012Validator) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(HEADER)
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"documents": ["one", "two"], "questions": {"path": "q.csv", "columns": {"question": "Frage"}}},
        {"pipeline": None, "space": None, "search": None},
        {"pipeline": {"top_k": "${K:-3}", "retriever": "${RETRIEVER}"}, "search": {"trials": "${TRIALS}"}},
        {"space": {"top_k": [1, 2], "chunk_size": {"int": [32, 512], "step": 32, "log": True}}},
        {"space": {"fusion_weight": {"float": [0, 1], "default": 0.5, "when": {"retriever": "hybrid"}}}},
        {"objectives": [{"metric": "mrr"}, {"metric": "chunk_tokens", "mode": "min", "limit": "${MOST}"}]},
        {"objectives": None},
        {"track": "mlflow"},
        {"track": ["wandb", {"optuna": "sqlite:///study.db"}]},
        {"track": {"mlflow": None, "tensorboard": {"folder": "boards"}}},
        {"space": {"retriever": {"fixed": "bm25"}, "top_k": {"grid_search": [1, 2]}, "prompt": [None, "text"]}},
    ],
)
def test_what_loads_is_valid(sections: dict[str, Any], validator: Draft202012Validator) -> None:
    validator.validate({**MINIMAL, **sections})


@pytest.mark.parametrize(
    "sections",
    [
        {"serach": {}},
        {"search": {"trails": 3}},
        {"search": {"trials": 0}},
        {"search": {"scheduler": "ash"}},
        {"objectives": []},
        {"objectives": ["mrr"]},
        {"objectives": [{"mode": "max"}]},
        {"objectives": [{"metric": "mrr", "limt": 3}]},
        {"questions": {"columns": {}}},
        {"pipeline": {"top_kk": 3}},
        {"track": "mlfow"},
        {"track": {"mlflow": {"urii": "x"}}},
        {"pipeline": {"top_k": 0}},
        {"pipeline": {"fusion": "weihgted"}},
        {"pipeline": {"temperature": 3}},
        {"space": {"top_k": 3}},
        {"space": {"top_k": []}},
        {"space": {"top_k": [1, "2"]}},
        {"space": {"top_k": {"int": [1]}}},
        {"space": {"top_k": {"int": [1, 2], "stp": 1}}},
        {"space": {"retriever": {"int": [1, 2]}}},
        {"space": {"fusion": {"choice": ["weighted", "ranks"]}}},
    ],
)
def test_what_is_wrong_is_marked(sections: dict[str, Any], validator: Draft202012Validator) -> None:
    assert not validator.is_valid({**MINIMAL, **sections})


def test_keys_and_parameters_are_described() -> None:
    schema = config_schema()
    assert "RagObjective" not in schema["description"]
    assert schema["$defs"]["SearchConfig"]["properties"]["trials"]["description"].startswith("The most configurations")
    [_, pipeline] = schema["properties"]["pipeline"]["anyOf"]
    assert set(pipeline["properties"]) == set(stages.parameters())
    for name, described in pipeline["properties"].items():
        assert described["default"] == stages.defaults()[name]
        assert len(described["description"]) > len(name), f"{name} is not in the Args of its stage"
    assert schema["$defs"]["bm25_b"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 1}


def test_the_schema_is_json_and_quotes_nothing_of_this_machine() -> None:
    assert json.loads(schema_text()) == config_schema()
    assert str(ROOT) not in schema_text()


# configs/full.yaml


def test_the_full_config_plans() -> None:
    assert make_plan(TuneConfig.load(FULL)).total == 30


def test_the_full_config_holds_every_parameter_once() -> None:
    raw = yaml.safe_load(FULL.read_text(encoding="utf-8"))
    held = [*raw["pipeline"], *raw["space"]]
    assert sorted(held) == sorted(stages.parameters()), "configs/full.yaml: each parameter in pipeline or in space"
    assert {name: stages.defaults()[name] for name in raw["pipeline"]} == raw["pipeline"]


def test_the_full_config_holds_every_key_with_its_default() -> None:
    raw = yaml.safe_load(FULL.read_text(encoding="utf-8"))
    missing = [place for place, _, _ in lacking(TuneConfig, raw)]
    assert not missing, f"configs/full.yaml lacks {missing}"
    for place, value, default in compared(TuneConfig, raw):
        assert value == default, f"configs/full.yaml: {place}"


def test_each_key_of_the_full_config_has_a_comment() -> None:
    lines = FULL.read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if re.match(r"(  )?\w+:", line)]
    assert len(keys) > 30
    assert [line for line in keys if " # " not in line] == []


def sections(model: type[BaseModel], raw: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The sections of a config as written: their place, their model, what is written."""
    yield place, model, raw
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner and get_origin(field.annotation) is not dict and isinstance(raw.get(name), Mapping):
            yield from sections(inner[0], raw[name], f"{place}{name}.")


def lacking(model: type[BaseModel], raw: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for place, section, written in sections(model, raw):
        names = [field.alias or name for name, field in section.model_fields.items()]
        yield from ((f"{place}{name}", section, written) for name in names if name not in written)


def compared(model: type[BaseModel], raw: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What is written for each key that has a default, and the default; the sections and the pipeline apart."""
    for place, section, written in sections(model, raw):
        for name, field in section.model_fields.items():
            default = field.get_default(call_default_factory=True)
            key = field.alias or name
            required = f"{place}{key}" in ("documents", "documents.path", "questions")
            if default is not PydanticUndefined and not required and not isinstance(default, (BaseModel, dict)):
                yield f"{place}{key}", written[key], default
