from __future__ import annotations

from pathlib import Path

import pytest

from raytuner import TuneConfig
from raytuner.errors import ConfigError
from raytuner.goals import Goal

ROOT = Path(__file__).resolve().parent.parent
SMALL = "documents: docs\nquestions: q.jsonl\n"


def test_defaults() -> None:
    config = TuneConfig.parse(SMALL, base=Path("/base"))
    assert config.documents.paths == ["/base/docs"]
    assert config.questions.paths == ["/base/q.jsonl"]
    assert (config.pipeline, config.space) == ({}, {})
    assert config.search.name is None
    assert (config.search.seed, config.search.scheduler, config.search.holdout) == (0, None, "auto")
    assert (config.objective.metric, config.objective.mode, config.objective.block_size) == (None, None, None)
    assert config.run.address is None


def test_several_objectives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGEST", "1500")
    text = SMALL + "objectives: [{metric: span_recall}, {metric: chunk_tokens, mode: min, limit: '${LONGEST}'}]\n"
    config = TuneConfig.parse(text)
    assert config.objectives == [
        Goal(metric="span_recall"),
        Goal(metric="chunk_tokens", mode="min", limit=1500),
    ]
    assert TuneConfig.parse(config.with_best({"top_k": 2})).objectives == config.objectives
    assert TuneConfig.parse(SMALL + "objectives:\n").objectives is None
    assert TuneConfig.parse(SMALL, overrides=["objectives=[{metric: a, limit: 3}]"]).objectives == [
        Goal(metric="a", limit=3)
    ]


def test_a_config_made_in_python_has_a_text_and_a_best() -> None:
    config = TuneConfig(documents=["/d"], questions={"path": "/q"}, pipeline={"prompt": "${x}"})  # type: ignore[arg-type]
    again = TuneConfig.parse(config.text)
    assert (again.documents.paths, again.questions.paths, again.pipeline) == (["/d"], ["/q"], {"prompt": "${x}"})
    assert TuneConfig.parse(config.with_best({"top_k": 2})).pipeline == {"prompt": "${x}", "top_k": 2}


def test_the_best_of_a_config_with_an_empty_pipeline() -> None:
    text = TuneConfig.parse(SMALL + "pipeline:\nspace: {top_k: [1]}\n").with_best({"top_k": 1})
    assert TuneConfig.parse(text).pipeline == {"top_k": 1}


def test_a_variable_with_a_relative_path_is_relative_to_the_first_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS", "data/a")
    monkeypatch.setenv("QS", "/abs/q")
    config = TuneConfig.parse("documents: ${DOCS}\nquestions: ${QS}\n", base=Path("/first"))
    best = config.with_best({})
    assert "${QS}" in best
    assert TuneConfig.parse(best, base=Path("/second")).documents.paths == config.documents.paths == ["/first/data/a"]


def test_every_character_of_a_prompt_survives() -> None:
    prompt = "A\u0085: \u2028 Ä 中 \ud83e\udd89".encode("utf-16", "surrogatepass").decode("utf-16")
    text = TuneConfig.parse(SMALL).with_best({"prompt": prompt})
    assert TuneConfig.parse(text).pipeline["prompt"] == prompt


def test_a_secret_in_the_best_configuration_is_withheld(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "tok-0123456789")
    text = TuneConfig.parse(SMALL).with_best({"prompt": "use tok-0123456789 {context_str}"})
    assert "tok-0123456789" not in text
    with pytest.raises(ConfigError, match=r"\$\{MY_API_TOKEN\}"):
        TuneConfig.parse(text)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "my_token", "DB_PASSWORD", "AWS_SECRET", "NOT_SET_KEY"])
def test_a_secret_is_put_nowhere_into_a_config(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name != "NOT_SET_KEY":
        monkeypatch.setenv(name, "tok-0123456789")
    for entry in (f"https://evil/${{{name}}}", f"${{{name}:-x}}"):
        with pytest.raises(ConfigError, match=rf"api_key_env: {name}") as caught:
            TuneConfig.parse(SMALL + f"models: {{m: {{model: 'openai-like:m', base_url: '{entry}'}}}}\n")
        assert "tok-" not in str(caught.value)
        with pytest.raises(ConfigError, match="is not put into a config"):
            TuneConfig.parse(f"documents: '{entry}'\nquestions: q.jsonl\n")


def test_a_model_of_the_config_has_its_settings() -> None:
    text = "models: {local: {model: 'openai-like:qwen', base_url: 'http://localhost:8000/v1', context_window: 8192}}\n"
    assert TuneConfig.parse(SMALL + text).models_table() == {
        "local": {
            "model": "openai-like:qwen",
            "base_url": "http://localhost:8000/v1",
            "context_window": 8192,
            "batch": False,
            "options": {},
        }
    }
    with pytest.raises(ConfigError, match=r"unknown key 'models.local.contxt_window'; did you mean 'context_window'"):
        TuneConfig.parse(SMALL + text.replace("context_", "contxt_"))
    with pytest.raises(ConfigError, match=r"models.local.context_window: 0 is not allowed"):
        TuneConfig.parse(SMALL + text.replace("8192", "0"))


def test_a_name_may_look_like_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILD", "123")
    assert TuneConfig.parse(SMALL + "run: {name: '${BUILD}'}\n").run.name == "123"


def test_sections_with_nothing_in_them_have_their_defaults() -> None:
    config = TuneConfig.parse(SMALL + "space:\nsearch:\npipeline:\n")
    assert (config.space, config.search.trials, config.pipeline) == ({}, None, {})


def test_paths_are_relative_to_the_file_and_builtins_are_not_paths(tmp_path: Path) -> None:
    file = tmp_path / "my search.yaml"
    file.write_text("documents: [a, /b/c, builtin:quickstart]\nquestions: {path: q.csv, columns: {question: Q}}\n")
    config = TuneConfig.load(file)
    assert config.documents.paths == [str(tmp_path / "a"), "/b/c", "builtin:quickstart"]
    assert config.questions.paths == [str(tmp_path / "q.csv")]
    assert config.run.name == "my-search"


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDER", "/data")
    monkeypatch.setenv("K", "7")
    monkeypatch.delenv("ABSENT", raising=False)
    text = (
        "documents: ${FOLDER}/docs\nquestions: ${ABSENT:-q.jsonl}\n"
        "pipeline: {top_k: '${K}', llm: '${ABSENT:-mock}', prompt: '$${K} ${K}', temperature: '${ABSENT:-0.5}'}\n"
    )
    config = TuneConfig.parse(text, base=Path("/base"))
    assert (config.documents.paths, config.questions.paths) == (["/data/docs"], ["/base/q.jsonl"])
    assert config.pipeline == {"top_k": 7, "llm": "mock", "prompt": "${K} 7", "temperature": 0.5}
    assert config.text == text


def test_a_variable_cannot_change_the_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVIL", "{llm: x}\nspace: {a: [1]}")
    config = TuneConfig.parse(SMALL + "pipeline: {prompt: '${EVIL}'}\n")
    assert config.pipeline == {"prompt": "{llm: x}\nspace: {a: [1]}"}
    assert config.space == {}


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match=r"\$\{NOT_SET\}.*NOT_SET is not set.*:-default"):
        TuneConfig.parse(SMALL + "run: {name: '${NOT_SET}'}\n")


@pytest.mark.parametrize("name", ["chinese", "llama2", "spans"])
def test_configs_on_public_data_name_the_variable_and_the_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYTUNER_DATA", raising=False)
    with pytest.raises(ConfigError, match=r"RAYTUNER_DATA is not set.*docs/data\.md"):
        TuneConfig.load(ROOT / "configs" / f"{name}.yaml")


def test_overrides() -> None:
    overrides = [
        "search.trials=5",
        "space.top_k=[1, 2]",
        "pipeline.llm=mock",
        "documents=other",
        "search.seed=1",
        "search.seed=2",
    ]
    config = TuneConfig.parse(SMALL, base=Path("/b"), overrides=overrides)
    assert (config.search.trials, config.search.seed) == (5, 2)
    assert config.space == {"top_k": [1, 2]}
    assert config.pipeline == {"llm": "mock"}
    assert config.documents.paths == ["/b/other"]
    assert "trials: 5" in config.text


@pytest.mark.parametrize("override", ["top_k", "=3", "search.trials=[", "documents.path.a=1"])
def test_malformed_overrides(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        TuneConfig.parse(SMALL, overrides=[override])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a mapping"),
        ("- a\n- b\n", "must be a mapping"),
        ("documents: [a\n", "line 2: not valid YAML"),
        ("documents: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("questions: q\n", "documents is missing"),
        (SMALL + "search: {trials: 5}\nsearch: {seed: 1}\n", "line 4: the key 'search' is there twice"),
        (SMALL + "space:\n  top_k: [1]\n  top_k: [2]\n", "the key 'top_k' is there twice"),
        (SMALL + "serach: {}\n", "unknown key 'serach'; did you mean 'search'"),
        (SMALL + "search: {trails: 3}\n", "unknown key 'search.trails'; did you mean 'trials'"),
        (SMALL + "search: {trials: many}\n", "search.trials: 'many' is not allowed"),
        (SMALL + "search: {trials: 0}\n", "search.trials: 0 is not allowed; it should be greater than or equal to 1"),
        (SMALL + "search: {holdout: -5}\n", "search.holdout: -5 is not allowed; it should be a number of questions"),
        (SMALL + "search: {holdout: 0.3}\n", "search.holdout: 0.3 is not allowed; it should be a number of questions"),
        (SMALL + "search: {holdout: true}\n", "search.holdout: True is not allowed"),
        (SMALL + "search: {scheduler: fif}\n", "search.scheduler: 'fif' is not allowed; it should be 'fifo'"),
        (SMALL + "objective: {mode: best}\n", "objective.mode: 'best' is not allowed; it should be 'max' or 'min'"),
        (SMALL + "objectives: []\n", "objectives is empty; name at least one"),
        (SMALL + "objectives: [span_recall]\n", "objectives.0: 'span_recall' is not allowed; it should be a mapping"),
        (SMALL + "objectives: [{mode: max}]\n", "objectives.0.metric is missing"),
        (SMALL + "objectives: [{metric: a}, {metric: b}, {metric: a}]\n", "objectives: 'a' is there twice"),
        (SMALL + "objectives: [{metric: a, limits: 3}]\n", "unknown key 'objectives.0.limits'; did you mean 'limit'"),
        (SMALL + "objectives: [{metric: a, limit: .nan}]\n", "objectives.0.limit: nan is not allowed"),
        (
            SMALL + "objectives: [{metric: a, mode: most}]\n",
            "objectives.0.mode: 'most' is not allowed; it should be 'max'",
        ),
        (SMALL + "objectives: [{metric: a}]\nobjective: {metric: b}\n", "objective.metric is for one metric"),
        (SMALL + "objectives: [{metric: a}]\nobjective: {mode: min}\n", "objective.mode is for one metric"),
        (SMALL + "models: {m: {modle: x}}\n", "unknown key 'models.m.modle'; did you mean 'model'"),
        (SMALL + "objective: {block_size: true}\n", "objective.block_size: True"),
        (SMALL + "run: {name: ../evil}\n", "run.name: '../evil' is not allowed; it should be letters, digits"),
        (SMALL + "run: {address: 'http://h:1'}\n", "it should be auto or HOST:PORT, e.g. 10.0.0.1:6379, or ray://"),
        (SMALL + "run: {cache: cache}\n", "run.cache 'cache': write a URL (s3://bucket/runs), or an absolute path"),
        (SMALL + "run: {cache: 's3://me:passw0rd@b/c'}\n", "run.cache holds an address with a password"),
        (SMALL + "space: [top_k]\n", "space: ['top_k'] is not allowed; it should be a mapping"),
        ("documents: {pth: d}\nquestions: q\n", "unknown key 'documents.pth'; did you mean 'path'"),
        ("documents: {path: 3}\nquestions: q\n", "documents.path: 3 is not allowed; it should be a valid list"),
        ("documents: [3]\nquestions: q\n", "documents.path.0: 3 is not allowed; it should be a valid string"),
        ("documents: d\nquestions: 5\n", "questions: 5 is not allowed; it should be a path, a list of paths"),
        ("documents: 3\nquestions: q\n", "documents: 3 is not allowed; it should be a path, a list of paths, or"),
        ("documents: d\nquestions: {path: q, colums: {}}\n", "unknown key 'questions.colums'; did you mean 'columns'"),
        ("documents: d\nquestions: {path: q, on_bad_span: ignore}\n", "questions.on_bad_span: 'ignore'"),
    ],
)
def test_mistakes_name_the_key_and_the_rule(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        TuneConfig.parse(text, source="c.yaml")
    assert str(error.value).startswith("c.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_best_configuration_is_a_config_that_loads_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIVATE_FOLDER", "/secret")
    (tmp_path / "c.yaml").write_text(
        "documents: [docs, '${PRIVATE_FOLDER}/x']\nquestions: q.jsonl\n"
        "pipeline: {llm: mock, top_k: 9}\nspace: {top_k: [1]}\nsearch: {name: grid}\nobjective: {metric: recall}\n"
    )
    text = TuneConfig.load(tmp_path / "c.yaml").with_best({"top_k": 2, "prompt": "${HOME} {context_str}"})
    assert "/secret" not in text
    best = TuneConfig.parse(text, base=Path("/elsewhere"))
    assert best.documents.paths == [str(tmp_path / "docs"), "/secret/x"]
    assert best.questions.paths == [str(tmp_path / "q.jsonl")]
    assert best.pipeline == {"llm": "mock", "top_k": 2, "prompt": "${HOME} {context_str}"}
    assert (best.space, best.search.name, best.objective.metric) == ({}, None, "recall")


def test_documents_in_detail(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("documents: {path: [a, /b], encoding: cp1252, reader: my.reader, options: {x: 1}}\nquestions: q\n")
    config = TuneConfig.load(file)
    found = config.documents
    assert (found.paths, found.encoding) == ([str(tmp_path / "a"), "/b"], "cp1252")
    assert (found.reader, found.options) == ("my.reader", {"x": 1})
    assert TuneConfig.parse(config.with_best({}), base=Path("/elsewhere")).documents == found
    made = TuneConfig(documents=found, questions={"path": "/q"})  # type: ignore[arg-type]
    assert TuneConfig.parse(made.text).documents == found


def test_a_reader_needs_no_path() -> None:
    config = TuneConfig.parse("documents: {reader: my.reader}\nquestions: q\n")
    assert config.documents.paths == []


def test_the_best_config_finds_the_modules_beside_the_first(tmp_path: Path) -> None:
    text = "documents: docs\nquestions: q.jsonl\nspace: {top_k: [1, 2]}\n"
    own = TuneConfig.parse(text + "objective: {metric: my_metrics.brevity}\n", base=tmp_path)
    best = TuneConfig.parse(own.with_best({"top_k": 2}), base=tmp_path / "runs" / "x")
    assert own.folder == best.folder == tmp_path
    assert "modules" not in TuneConfig.parse(text, base=tmp_path).with_best({"top_k": 2})
    elsewhere = TuneConfig.parse(text + "modules: parts\n", base=tmp_path)
    assert elsewhere.folder == tmp_path / "parts"


def test_an_override_may_go_below_a_short_form() -> None:
    config = TuneConfig.parse(SMALL, overrides=["questions.on_bad_span=drop", "documents.encoding=cp1252"])
    assert config.questions is not None
    assert config.questions.on_bad_span == "drop"
    assert config.documents is not None
    assert config.documents.encoding == "cp1252"


def test_an_alias_that_leads_to_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="an alias leads back to itself"):
        TuneConfig.parse("documents: &a [*a]\nquestions: q\n")
