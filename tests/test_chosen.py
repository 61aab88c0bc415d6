"""Which configuration of a run is meant, and what it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from raytuner.chosen import all_concerns, check_trusted, choose, concerns
from raytuner.config import TuneConfig
from raytuner.errors import AllTrialsFailedError, DataError, UserError

BM25 = "pipeline: {retriever: bm25}\nspace: {top_k: [1, 2, 3]}\n"
TRIALS = [({"top_k": 1}, 0.2), ({"top_k": 2}, 0.9), ({"top_k": 3}, "ValueError: too many"), ({"top_k": 3}, None)]
MakeRun = Callable[..., Path]


def test_the_best_or_the_trial_that_is_named(make_run: MakeRun) -> None:
    run = make_run(BM25, TRIALS)
    assert (choose(run).trial, dict(choose(run).tuned)) == (2, {"top_k": 2})
    assert choose(run, 1).params == {"retriever": "bm25", "top_k": 1}
    assert choose("rag", 1, run.parent).folder == run
    assert choose(run).resolved()["chunk_size"] == 512


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (3, "trial 3 failed (ValueError: too many); choose one"),
        (4, "trial 4 has not ended"),
        (9, "trial 9: there is none; the run has trials 1 to 4"),
    ],
)
def test_a_trial_that_cannot_be_used(make_run: MakeRun, trial: int, said: str) -> None:
    with pytest.raises(DataError, match=r"trial") as found:
        choose(make_run(BM25, TRIALS), trial)
    assert str(found.value).startswith(said)


def test_a_run_without_a_pipeline(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(BM25, [({"top_k": 1}, "broken")])
    with pytest.raises(AllTrialsFailedError):
        choose(run)
    (run / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"without config\.yaml"):
        choose(run)
    with pytest.raises(DataError, match="no such run"):
        choose("nothing", None, tmp_path)
    own = make_run("objective: {function: my_module.score}\n", [({}, 1.0)])
    with pytest.raises(DataError, match="objective of its own"):
        choose(own)
    newer = make_run(BM25, TRIALS)
    (newer / "run.json").write_text(json.dumps({**json.loads((newer / "run.json").read_text()), "format": 99}))
    with pytest.raises(DataError, match="newer raytuner"):
        choose(newer)


def test_the_config_of_a_configuration_is_a_config(make_run: MakeRun) -> None:
    run = make_run(BM25, TRIALS)
    loaded = TuneConfig.parse(choose(run).yaml)
    assert loaded.pipeline == {"retriever": "bm25", "top_k": 2}
    assert loaded.documents is not None
    assert loaded.documents.paths == [str(run.parent.parent / "docs")]
    assert not loaded.space


STRANGE = """\
models:
  far: {model: "openai-like:m", base_url: "https://models.example/v1", api_key_env: MY_KEY}
  near: {model: "openai-like:m", base_url: "http://127.0.0.1:9/v1"}
  own: {model: evil_models.Embedding}
pipeline: {splitter: evil_parts.Splitter, reranker: evil_parts.Reranker, llm: far, embedding: own}
space: {top_k: [1]}
"""


def test_what_a_strangers_run_names_is_listed_and_never_imported(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("evil_parts", "evil_models"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    chosen = choose(make_run(STRANGE, [({"top_k": 1}, 0.5)]))
    assert list(concerns(chosen)) == [
        "splitter evil_parts.Splitter, by dotted path, not imported",
        "reranker evil_parts.Reranker, by dotted path, not imported",
        "model evil_models.Embedding, by dotted path, not imported",
        "model far at https://models.example/v1, which gets the key in MY_KEY",
    ]
    with pytest.raises(UserError, match=r"evil_parts\.Splitter.*if you trust it, add --trust"):
        check_trusted(chosen, False)
    check_trusted(chosen, True)


def test_a_run_of_built_in_parts_needs_no_trust(make_run: MakeRun) -> None:
    near = STRANGE.replace("evil_parts.Splitter", "token").replace(", reranker: evil_parts.Reranker", "")
    near = near.replace("llm: far, embedding: own", "llm: near")
    assert list(concerns(choose(make_run(near, [({"top_k": 1}, 0.5)])))) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("model: 'huggingface:x', options: {trust_remote_code: true}", "whose own code it runs"),
        ("model: 'huggingface:x', options: {model_kwargs: {trust_remote_code: true}}", "whose own code it runs"),
        ("model: 'huggingface:x', options: {a: [{b: {trust_remote_code: 1}}]}", "whose own code it runs"),
        ("model: 'huggingface:x', options: {model_kwargs: {trust_remote_code: false}}", None),
        ("model: 'openai-like:x', base_url: 'http://127.0.0.1:9/v1', api_key_env: AWS_SECRET_ACCESS_KEY", "AWS_SECRET"),
        ("model: 'openai-like:x', base_url: 'http://127.0.0.1:9/v1', api_key_env: OPENAI_API_KEY", "OPENAI_API_KEY"),
        ("model: 'openai:x', api_key_env: GITHUB_TOKEN", "gets the key in GITHUB_TOKEN"),
        ("model: 'openai:x', api_key_env: OPENAI_API_KEY", None),
        ("model: 'openai:x', base_url: 'https://api.openai.com/v1', api_key_env: OPENAI_API_KEY", None),
        ("model: 'openai:x'", None),
    ],
)
def test_code_beside_weights_and_keys_need_trust(make_run: MakeRun, entry: str, said: str | None) -> None:
    run = make_run(f"models: {{m: {{{entry}}}}}\npipeline: {{embedding: m}}\nspace: {{top_k: [1]}}\n", TRIALS[:1])
    found = list(concerns(choose(run)))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


WHOLE = """\
models:
  judge: {model: evil_models.Judge}
  far: {model: "openai-like:m", base_url: "https://models.example/v1"}
components: {idle: {path: evil_parts.Idle}}
modules: code
pipeline: {retriever: bm25}
space: {top_k: [1]}
objective: {judge: judge, similarity_embedding: evil_models.Similar}
objectives: [{metric: evil_metrics.exact}, {metric: recall}]
run: {address: "far.example:6379"}
"""


def test_all_that_a_written_config_would_run_is_listed(make_run: MakeRun, tmp_path: Path) -> None:
    chosen = choose(make_run(WHOLE, TRIALS[:1]))
    assert list(concerns(chosen)) == []
    assert list(all_concerns(chosen)) == [
        "metric evil_metrics.exact, by dotted path, not imported",
        "component idle evil_parts.Idle, by dotted path, not imported",
        "model evil_models.Judge, by dotted path, not imported",
        "model evil_models.Similar, by dotted path, not imported",
        "model far at https://models.example/v1, without a key",
        f"modules {tmp_path / 'code'}",
        "run.address far.example:6379",
    ]
