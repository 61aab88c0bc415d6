"""Whole searches on Ray whose answers come from a server that misbehaves."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner import TuneConfig, resume, tune
from raytuner.cost import read_calls
from raytuner.report import as_json, as_text
from raytuner.results import TunedResult
from raytuner.run_folder import read_run
from raytuner.saved_run import load_study, result_of
from raytuner.testing.openai_server import PASSING, Behaviour, OpenAIServer

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240), pytest.mark.usefixtures("local_ray")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def search(folder: Path, server: OpenAIServer, cache: Path | None = None, **sections: Any) -> TunedResult:
    tiny = {
        "model": "openai-like:tiny",
        "base_url": server.base_url,
        "timeout": 2.0,
        "max_tokens": 80,
        "price": {"input": 1.0, "output": 2.0},
        **sections.pop("model", {}),
    }
    config = {
        "documents": "builtin:quickstart",
        "questions": "builtin:quickstart",
        "models": {"tiny": tiny},
        "pipeline": {"llm": "tiny", "retriever": "bm25"},
        "space": {"chunk_size": [128, 256], "top_k": [1, 3]},
        "search": {"scheduler": "fifo", "holdout": "none"},
        "objective": {"metric": "token_f1"},
        "run": {"folder": str(folder / "runs")},
        **sections,
    }
    return tune(TuneConfig.parse(yaml.safe_dump(config)))


def scores(result: TunedResult) -> dict[str, Any]:
    return {
        json.dumps(one.shown, sort_keys=True): {name: row["token_f1"] for name, row in one.questions.items()}
        for one in result.run_results
    }


def test_with_a_third_of_faults_a_search_is_the_same(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OpenAIServer(Behaviour(latency_s=0.02)) as server:
        plain = search(tmp_path / "plain", server)
        assert plain.cost is not None
        assert len(server.requests) == plain.cost.total.attempts == plain.cost.total.answered
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path_factory.mktemp("other")))
    behaviour = Behaviour(latency_s=0.02, share=0.3, kinds=(*PASSING, "no usage"), hang_s=5.0)
    with OpenAIServer(behaviour) as server:
        faulty = search(tmp_path / "faulty", server, model={"concurrency": 6})
        assert faulty.cost is not None
        assert not faulty.failed
        assert scores(faulty) == scores(plain)
        assert faulty.failed_questions == {}
        assert set(server.answered.values()) == {1}, "nothing that was answered is asked again"
        rows = read_calls(Path(faulty.run or ""))
        assert len(rows) == len(server.requests) > 1.2 * len(server.answered)
        assert Counter(row["status"] for row in rows)["ok"] == len(server.answered)
        assert server.most_in_flight <= 6
    assert {row["stage"] for row in rows} == {"answers"}
    assert {row["trial"] for row in rows} == {1, 2, 3, 4}
    assert sum(part.attempts for part in faulty.cost.trials.values()) == len(rows)
    again = result_of(load_study(Path(faulty.run or "")), read_run(Path(faulty.run or "")))
    assert again.cost == faulty.cost
    assert as_text(again, "token_f1", "max") == as_text(faulty, "token_f1", "max")
    assert as_json(faulty)["cost"]["attempts"] == len(rows)


def test_a_budget_ends_a_search_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with OpenAIServer(Behaviour(share=0.1, kinds=("429", "500", "cut"))) as server:
        one = {"scheduler": "fifo", "holdout": "none", "concurrency": 1}
        first = search(tmp_path, server, budget={"usd": 0.04}, search=one)
        assert first.ended == "the budget of 0.04 USD is used up"
        assert first.cost is not None
        assert first.cost.total.usd is not None
        assert 0.02 < first.cost.total.usd <= 0.04
        assert 0 < len(first.run_results) < 4
        assert not first.failed, "what was under way is unfinished, and not failed"
        spent = len(server.requests)
        second = search(tmp_path, server, budget={"llm_calls": 10_000})
        assert len(second.run_results) == 4
        assert set(server.answered.values()) == {1}, "nothing is paid for twice"
        assert len(server.requests) > spent
        assert second.cost is not None
        assert second.cost.total.attempts == len(server.requests) - spent


def test_the_winner_is_confirmed_within_a_budget_and_more_of_it_goes_on(tmp_path: Path) -> None:
    """Racing with a budget brings trials to their end, whatever it is, and keeps what the held-out questions take."""
    with OpenAIServer(Behaviour(latency_s=0.1)) as server:
        space = {"chunk_size": [64, 96, 128, 192, 256, 320], "top_k": [1, 2, 3, 4]}
        how: dict[str, Any] = {"scheduler": "racing", "name": "grid"}
        first = search(tmp_path, server, space=space, search=how, budget={"llm_calls": 700})
        assert first.ended == "the budget is used up but for what it takes to confirm the winner"
        assert 400 < len(server.requests) <= 700
        assert first.trials < 24
        assert first.confirmation is not None
        assert first.held_out is not None
        assert first.confirmation.questions == 20
        assert first.best.trial in {found.trial for found in first.confirmation.results}
        again = resume(str(first.run), overrides=["budget.llm_calls=5000"])
        assert again.trials == 24
        assert again.confirmation is not None
        assert again.cost is not None
        assert again.cost.llm_calls == len(server.requests)
        assert set(server.answered.values()) == {1}, "nothing is paid for twice"


def test_an_endpoint_that_refuses_the_key_ends_it_at_once(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        server.behaviour.script = [*[None] * 60, *["401"] * 20]
        one = {"scheduler": "fifo", "holdout": "none", "concurrency": 1}
        found = search(tmp_path, server, model={"concurrency": 2}, search=one)
        assert found.ended is not None
        assert "refuses all requests (401)" in found.ended
        assert len(found.run_results) >= 1
        assert not found.failed


def test_questions_that_cannot_be_answered_are_counted(tmp_path: Path) -> None:
    with OpenAIServer(Behaviour(share=0.04, kinds=("filtered", "overflow"), in_a_row=1)) as server:
        found = search(tmp_path, server, search={"scheduler": "fifo", "holdout": "none", "max_failed_questions": 0.3})
        failed = Counter(found.fault for found in server.requests)
        lost = sum(row.trials for row in found.failed_questions.values())
        assert lost == failed["filtered"] + failed["overflow"] > 0
        assert len(found.run_results) == 4
        assert "could not be scored in" in as_text(found, "token_f1", "max")
