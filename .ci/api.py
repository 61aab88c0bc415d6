"""Writes the guide's API reference, `docs/api.md`, from the docstrings: `python .ci/api.py`.

raytuner is read, not imported. A new public name belongs into `SECTIONS`.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import griffe

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"
WIDTH = 100
LISTED = {
    "parameters": "Arguments",
    "attributes": "Attributes",
    "yields": "Yields",
    "returns": "Returns",
    "raises": "Raises",
}


class Section(NamedTuple):
    """A part of the page: the names in it as users import them."""

    title: str
    intro: str
    names: tuple[str, ...]


SECTIONS = (
    Section(
        "Run a search",
        "What the commands `raytuner tune`, `resume` and `submit` do; the keys of a config are in "
        "[configuration.md](configuration.md).",
        ("raytuner.tune", "raytuner.resume", "raytuner.submit", "raytuner.TuneConfig", "raytuner.jobs.job.Job"),
    ),
    Section(
        "Tuners",
        "For any function of a dict, with the fields of LlamaIndex's tuners.",
        ("raytuner.RayTuneParamTuner", "raytuner.ParamTuner", "raytuner.AsyncParamTuner", "raytuner.FailedQuestion"),
    ),
    Section(
        "The RAG pipeline",
        "The objective behind the command line.",
        ("raytuner.RagObjective", "raytuner.retrieved.Retrieved"),
    ),
    Section(
        "Results",
        "What a search returns.",
        (
            "raytuner.TunedResult",
            "raytuner.page.notebook.Plot",
            "raytuner.RunResult",
            "raytuner.results.StoppedTrial",
            "raytuner.FailedTrial",
            "raytuner.confirm.Confirmation",
            "raytuner.confirm.HeldOut",
            "raytuner.confirm.Difference",
            "raytuner.robustness.Robustness",
            "raytuner.robustness.WithoutDocument",
            "raytuner.cost.Cost",
            "raytuner.cost.Spent",
            "raytuner.goals.Goal",
        ),
    ),
    Section(
        "Use what was found",
        "More is in [use.md](use.md).",
        (
            "raytuner.load",
            "raytuner.loaded.LoadedPipeline",
            "raytuner.loaded.Reply",
            "raytuner.serving.app.make_app",
            "raytuner.serving.gate.Limits",
        ),
    ),
    Section(
        "Documents and questions",
        "Their forms are in [documents.md](documents.md) and [questions.md](questions.md).",
        (
            "raytuner.documents.load.load_documents",
            "raytuner.documents.load.progress_bar",
            "raytuner.documents.document.Document",
            "raytuner.datasets.load",
            "raytuner.datasets.fit",
            "raytuner.datasets.given",
            "raytuner.datasets.convert",
            "raytuner.datasets.write",
            "raytuner.datasets.check_target",
            "raytuner.datasets.QuestionSet",
            "raytuner.datasets.Question",
            "raytuner.datasets.Reference",
        ),
    ),
    Section(
        "Metrics",
        "The metrics themselves are in [metrics.md](metrics.md).",
        (
            "raytuner.metrics.custom",
            "raytuner.metrics.Evidence",
            "raytuner.metrics.Metric",
            "raytuner.metrics.metric",
            "raytuner.metrics.from_function",
            "raytuner.metrics.group",
            "raytuner.metrics.is_relevant",
            "raytuner.metrics.abstains",
        ),
    ),
    Section(
        "Models",
        "Their names are in [models.md](models.md).",
        ("raytuner.models.embedding", "raytuner.models.llm"),
    ),
    Section(
        "Search spaces and algorithms",
        "Their forms and names are in [search.md](search.md).",
        (
            "raytuner.SearchSpace",
            "raytuner.make_searcher",
            "raytuner.search.check_search",
            "raytuner.search.algorithm",
            "raytuner.search.names",
            "raytuner.search.Algorithm",
            "raytuner.search.Library",
            "raytuner.search.Task",
            "raytuner.search.ask_tell.AskTellSearcher",
            "raytuner.search.auto_sampler.AutoSampler",
        ),
    ),
    Section(
        "Tests for search algorithms",
        "For algorithms of your own, see [search.md](search.md#an-algorithm-of-your-own).",
        ("raytuner.testing.SearcherConformance", "raytuner.testing.Drive"),
    ),
    Section(
        "Errors",
        "Those that a user can mend are `UserError`s, with exit code 2 on the command line; the others have 1.",
        (
            "raytuner.RaytunerError",
            "raytuner.errors.UserError",
            "raytuner.errors.ConfigError",
            "raytuner.errors.SpaceError",
            "raytuner.errors.DataError",
            "raytuner.errors.ModelError",
            "raytuner.errors.SearchError",
            "raytuner.errors.ClusterError",
            "raytuner.errors.StoreError",
            "raytuner.errors.ModelChangedError",
            "raytuner.errors.TrialError",
            "raytuner.errors.BudgetUsedUpError",
            "raytuner.errors.EndpointDownError",
            "raytuner.errors.AllTrialsFailedError",
            "raytuner.errors.InfeasibleError",
        ),
    ),
)

ELSEWHERE = {
    "raytuner.search.algorithm": "search.registry.algorithm",
    "raytuner.datasets.convert": "datasets.convert.convert",
}
"""Homes of functions whose names are those of modules, too."""
SHOWN = {
    "RagObjective": ("acall", "blocks", "ablocks", "retrieve", "check", "mode", "total"),
    "AskTellSearcher": ("ask", "tell", "expect"),
    "AutoSampler": (),
    "Goal": (),
    "Job": ("status", "logs", "follow", "wait", "stop", "reason"),
    "Retrieved": ("citation",),
    "TuneConfig": ("load", "parse", "with_best", "text", "base"),
}
"""The members of classes that have others which are the business of those that call them."""

INTRO = """# API reference

The public names of raytuner, from their docstrings. `import raytuner` is fast: what a name needs is imported when it is
first used. A class without a signature is made with its attributes, by keyword.
"""


def load() -> Any:
    """The package as griffe reads it."""
    return griffe.load("raytuner", search_paths=[str(ROOT)], docstring_parser="google")


def page(package: Any) -> str:
    """The page as it has to be."""
    toc = [f"- [{section.title}](#{_anchor(section.title)}): {_names(section)}\n" for section in SECTIONS]
    parts = [INTRO, "".join(toc)]
    for section in SECTIONS:
        parts.append(f"## {section.title}\n\n{section.intro}\n")
        parts += [_described(name, found(package, name)) for name in section.names]
    return "\n".join(parts)


def found(package: Any, name: str) -> Any:
    """What a name stands for."""
    one = package[ELSEWHERE.get(name, name.removeprefix("raytuner."))]
    return one.final_target if one.is_alias else one


def members(one: Any) -> Iterator[Any]:
    """The public methods and properties of a class, and of its bases that are not described by themselves."""
    shown = SHOWN.get(one.name)
    seen = set()
    for cls in _classes(one):
        for name, member in cls.members.items():
            wanted = not name.startswith(("_", "test_")) if shown is None else name in shown
            if wanted and name not in seen and not member.is_alias and (member.is_function or _is_property(member)):
                seen.add(name)
                yield member


def _classes(one: Any) -> list[Any]:
    """A class and those of its bases that are not described by themselves."""
    described = {name.rpartition(".")[2] for section in SECTIONS for name in section.names}
    return [one, *(base for base in one.mro() if base.name not in described)] if one.is_class else [one]


def _is_property(member: Any) -> bool:
    return "property" in member.labels


def listed(one: Any) -> dict[str, list[Any]]:
    """What the docstring lists: arguments, attributes, what is returned and raised."""
    parsed = one.docstring.parse("google", returns_multiple_items=False, returns_named_value=False, warnings=False)
    return {part.kind.value: list(part.value) for part in parsed if part.kind.value in LISTED}


def _names(section: Section) -> str:
    return ", ".join(f"`{name.rpartition('.')[2]}`" for name in section.names)


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _described(name: str, one: Any) -> str:
    parts = [f"### `{name}`\n", _code(one), _text(one), *_lists(one)]
    own = list(members(one)) if one.is_class else []
    properties = [
        f"- `{member.name}: {member.annotation}`: {_in_a_line(member)}\n" for member in own if _is_property(member)
    ]
    if properties:
        parts.append("Properties:\n\n" + "".join(properties))
    for member in own:
        if not _is_property(member):
            parts += [f"#### `{one.name}.{member.name}`\n", _code(member), _text(member), *_lists(member)]
    return "\n".join(parts)


def _in_a_line(one: Any) -> str:
    return " ".join(_text(one).split())


def _code(one: Any) -> str:
    """The signature, of a class that of its constructor if that is described."""
    if one.is_class:
        bases = ", ".join(str(base) for base in one.bases if str(base).endswith(("Error", "Exception", "Result")))
        signature = f"class {one.name}({bases})" if bases else f"class {one.name}"
        if "parameters" in listed(one):
            signature = _call(f"class {one.name}", one.members["__init__"])
    else:
        before = "@classmethod\n" if "classmethod" in one.labels else ""
        before += "async def" if "async" in one.labels else "def"
        signature = _call(f"{before} {one.name}", one) + (f" -> {one.returns}" if one.returns else "")
    return f"```python\n{signature}\n```\n"


def _call(head: str, function: Any) -> str:
    given, starred = [], False
    for parameter in function.parameters:
        if parameter.name in ("self", "cls"):
            continue
        kind = parameter.kind.value
        if kind == "keyword-only" and not starred:
            given.append("*")
        starred = starred or kind in ("keyword-only", "variadic positional")
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        default = None if stars or parameter.default is None else _value(str(parameter.default), function)
        given.append(_typed(f"{stars}{parameter.name}", parameter.annotation, default))
    line = f"{head}({', '.join(given)})"
    return line if len(line) <= WIDTH else f"{head}(\n" + "".join(f"    {one},\n" for one in given) + ")"


def _value(default: str, function: Any) -> str:
    """What a default is; of a constant its value."""
    constant = function.module.members.get(default) if default.isupper() else None
    return default if constant is None else str((constant.final_target if constant.is_alias else constant).value)


def _typed(name: str, annotation: Any, default: str | None) -> str:
    text = name if annotation is None else f"{name}: {annotation}"
    return text if default is None else f"{text} = {default}" if annotation else f"{text}={default}"


def _text(one: Any) -> str:
    parsed = one.docstring.parse("google", warnings=False)
    return "".join(f"{_flowing(part.value)}" for part in parsed if part.kind.value == "text")


def _flowing(text: str) -> str:
    """Text as Markdown: paragraphs on a line each, code in single backticks."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip())]
    return "\n\n".join(paragraphs).replace("``", "`") + "\n"


def _lists(one: Any) -> Iterator[str]:
    """What the docstring lists, each as a list of Markdown."""
    parts = listed(one)
    attributes = [item for cls in _classes(one) for item in listed(cls).get("attributes", [])]
    parts |= {"attributes": attributes} if attributes else {}
    defaults = {} if "parameters" in parts else _defaults(one)
    for kind, title in LISTED.items():
        items = [_item(kind, item, defaults) for item in parts.get(kind, ())]
        if items:
            yield f"{title}:\n\n" + "".join(items)


def _item(kind: str, item: Any, defaults: dict[str, str]) -> str:
    description = _flowing(item.description).strip()
    if kind in ("returns", "yields"):
        return f"- {description}\n"
    if kind == "raises":
        return f"- `{item.annotation}`: {description}\n"
    annotation = None if item.annotation is None else str(item.annotation)
    default = defaults.get(item.name) if kind == "attributes" else None
    return f"- `{item.name if kind == 'parameters' else _typed(item.name, annotation, default)}`: {description}\n"


def _defaults(one: Any) -> dict[str, str]:
    """The defaults of the fields of a model or a dataclass, its bases' included."""
    found: dict[str, str] = {}
    for cls in _classes(one) if one.is_class else ():
        for name, member in cls.members.items():
            if member.is_attribute and member.value is not None and (default := _default(str(member.value))):
                found.setdefault(name, default)
    return found


def _default(value: str) -> str | None:
    """The default that a field is written with, e.g. `2` of `Field(default=2, ge=1)`."""
    call = ast.parse(value, mode="eval").body
    if not isinstance(call, ast.Call) or ast.unparse(call.func) not in ("Field", "field"):
        return value
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if "default_factory" in keywords:
        return {"dict": "{}", "list": "[]"}.get(keywords["default_factory"], f"{keywords['default_factory']}()")
    return keywords.get("default")


if __name__ == "__main__":
    PAGE.write_text(page(load()), encoding="utf-8")
