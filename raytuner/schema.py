"""The JSON schema of a config, by which editors complete and check it.

It is made of what is there already: pydantic's schema of `TuneConfig`, the signatures of the pipeline's stages for
`pipeline` and `space`, and the docstrings of both for the descriptions.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, TypeAdapter

from raytuner.config import TuneConfig
from raytuner.config_sections import PATHS
from raytuner.pipeline import parameters as stages
from raytuner.tracking.config import SHORT

SCHEMA_FILE = "raytuner.schema.json"
HEADER = f"# yaml-language-server: $schema={SCHEMA_FILE}\n"
"""The line by which editors find the schema beside a config."""

Schema = dict[str, Any]

VARIABLE = "Variable"
_SHORT_FORMS: dict[str, Schema] = {"documents": PATHS, "questions": PATHS, "track": SHORT}
"""What may stand in place of a mapping or list; `TuneConfig` takes it apart."""
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def schema_text() -> str:
    """The schema as JSON, as `raytuner schema` prints it."""
    return json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n"


def config_schema() -> Schema:
    """The JSON schema (draft 2020-12) of a config as it is written, variables not yet put in."""
    schema = TuneConfig.model_json_schema()
    for model in _models(TuneConfig):
        _describe(schema if model is TuneConfig else schema["$defs"][model.__name__], model)
    sections = schema["properties"]
    types, fixed, tuned = _parameters()
    sections["pipeline"].update(properties=fixed, additionalProperties=False)
    sections["space"].update(properties=tuned, additionalProperties=False)
    schema["$defs"].update(types)
    for name, section in sections.items():
        sections[name] = _as_written(name, section)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **_with_variables(schema), "title": "A config"}
    schema["$defs"][VARIABLE] = {"type": "string", "pattern": r"\$\{", "description": "${NAME} or ${NAME:-default}"}
    return schema


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those in the types of its fields."""
    yield model
    for field in model.model_fields.values():
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _models(part)


def _parts(annotation: Any) -> Iterator[Any]:
    """A type and all types in it."""
    yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _parts(part)


def _describe(schema: Schema, model: type[BaseModel]) -> None:
    """Put the docstring of a model in, each attribute at its key."""
    text = inspect.getdoc(model) or ""
    schema["description"] = text.partition("\n\n")[0]
    for name, meaning in _entries(text, "Attributes").items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = meaning


def _entries(docstring: str, section: str) -> dict[str, str]:
    """The entries of a section of a docstring in Google's style."""
    body = docstring.partition(f"\n{section}:\n")[2].partition("\n\n")[0]
    return {name: " ".join(text.split()) for name, text in _ENTRY.findall(body)}


def _as_written(name: str, section: Schema) -> Schema:
    """A section with the shorter forms in which it may be written, and nothing for one that may be left out."""
    forms = [_SHORT_FORMS[name]] if name in _SHORT_FORMS else [{"type": "null"}]
    said: Schema = {key: section.pop(key) for key in ("title", "description", "default") if key in section}
    return {**said, "anyOf": [*forms, section]}


def _parameters() -> tuple[Schema, Schema, Schema]:
    """The pipeline's parameters: their types for the definitions, as they are fixed, and as they are tuned."""
    types, fixed, tuned = {}, {}, {}
    for name, parameter in stages.parameters().items():
        types[name] = TypeAdapter(parameter.annotation).json_schema()
        said = {"description": _meaning(name), "default": parameter.default}
        fixed[name] = {"$ref": f"#/$defs/{name}", **said}
        tuned[name] = {"anyOf": list(_forms(name, json.dumps(types[name]))), "description": said["description"]}
    return types, fixed, tuned


def _meaning(name: str) -> str:
    """What the docstring of the first stage with a parameter says of it."""
    found = (_entries(inspect.getdoc(stage.run) or "", "Args").get(name) for stage in stages.STAGES)
    return next((text for text in found if text), name)


def _forms(name: str, kind: str) -> Iterator[Schema]:
    """The forms of `SearchSpace.from_dict` that suit a type."""
    value = {"$ref": f"#/$defs/{name}"}
    values: Schema = {"type": "array", "items": value, "minItems": 1}
    when: Schema = {"type": "object", "description": "the parameter is there only with these values of others"}
    common: Schema = {"default": value, "when": when}
    steps = {"step": {"type": "number", "exclusiveMinimum": 0}, "log": {"type": "boolean"}}
    yield values
    yield _mapping("grid_search", values, {})
    yield _mapping("choice", values, common)
    yield _mapping("fixed", value, common)
    if '"integer"' in kind or '"number"' in kind:
        yield _mapping("int", _bounds("integer"), {**common, **steps})
    if '"number"' in kind:
        yield _mapping("float", _bounds("number"), {**common, **steps})


def _bounds(kind: str) -> Schema:
    return {"type": "array", "items": {"type": kind}, "minItems": 2, "maxItems": 2}


def _mapping(form: str, value: Schema, others: Schema) -> Schema:
    properties = {form: value, **others}
    return {"type": "object", "properties": properties, "required": [form], "additionalProperties": False}


def _with_variables(schema: Any) -> Any:
    """A schema in which a variable of the environment may stand for a number, a truth value or one of several words."""
    if isinstance(schema, list):
        return [_with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "enum" in schema or "const" in schema or schema.get("type") in ("integer", "number", "boolean"):
        said = {key: schema[key] for key in ("title", "description", "default") if key in schema}
        rule = {key: inner for key, inner in schema.items() if key not in said}
        return {**said, "anyOf": [rule, {"$ref": f"#/$defs/{VARIABLE}"}]}
    return {key: _with_variables(part) for key, part in schema.items()}
