"""Judges, repeats, weights and what answers take, by real clients against a real server."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytuner import AsyncParamTuner, ParamTuner, RagObjective
from raytuner.calls import calling
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.config_sections import JudgeConfig
from raytuner.cost import cost_of, said
from raytuner.datasets import Question, QuestionSet
from raytuner.errors import AllTrialsFailedError, ConfigError, TrialError
from raytuner.metrics import Evidence, custom
from raytuner.pipeline import judge
from raytuner.testing.openai_server import Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(90)

DOCUMENT = "The moon causes the tides. Spring tides come at full moon. Neap tides come at half moon. Cats sleep a lot."
ROWS = [
    ("Why are there tides?", "The moon."),
    ("When are spring tides?", "At full moon."),
    ("What do cats do?", "They sleep."),
]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, empty_cache: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger(max_outage_s=5.0)
    calling(LocalHandle(made))
    yield made
    calling(None)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(Behaviour(answer=replies)) as server:
        yield server


def replies(prompt: str) -> str:
    """As an LLM that answers and judges."""
    if "expert evaluation system" in prompt or "MY SCALE" in prompt:
        return "4.5\nIt is nearly right." if "moon" in prompt.rsplit("Generated Answer", maxsplit=1)[-1] else "2\nno"
    if "YES" in prompt:
        return "NO" if prompt.startswith("YES or NO: sleep") else "YES, it is."
    return "sleep" if "What do cats do" in prompt else "the moon"


def objective(tmp_path: Path, server: OpenAIServer, **options: Any) -> RagObjective:
    (tmp_path / "d.md").write_text(DOCUMENT)
    rows = [
        f'{{"id": "q{at}", "question": "{question}", "answer": "{answer}"}}'
        for at, (question, answer) in enumerate(ROWS)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(rows))
    own = {"base_url": server.base_url, "timeout": 2.0, "max_tokens": 50}
    return RagObjective(
        tmp_path / "d.md",
        tmp_path / "q.jsonl",
        **{
            "llm": "tiny",
            "retriever": "bm25",
            "models": {
                "tiny": {"model": "openai-like:tiny", "price": {"input": 1.0, "output": 2.0}, **own},
                "wise": {"model": "openai-like:wise", **own},
            },
            **options,
        },
    )


def test_the_three_judges(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    rag = objective(tmp_path, server, metric=["correctness", "faithfulness", "relevancy"], judge="wise")
    result = rag({})
    assert {name: row["correctness"] for name, row in result.questions.items()} == {
        "q0": 0.875,
        "q1": 0.875,
        "q2": 0.25,
    }
    assert {row["faithfulness"] for row in result.questions.values()} == {1.0}
    rows, _ = ledger.take()
    assert Counter((row["model"], row["stage"]) for row in rows) == {("tiny", "answers"): 3, ("wise", "judge"): 9}
    assert rag({}).questions == result.questions
    assert ledger.take()[0] == [], "what was judged once is kept"


def test_answers_that_are_cut_short_are_counted(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.finish = "length"
    assert objective(tmp_path, server, metric="exact_match")({}).questions["q0"]["exact_match"] == 1.0
    found = cost_of(ledger.take()[0])
    assert found is not None
    assert found.total.cut == 3
    assert "max_tokens cut 3 answers short" in said(found)[0]


def test_a_judge_in_batches_judges_all_questions_at_once(
    tmp_path: Path, server: OpenAIServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytuner.calls.batch.QUIET_S", 0.1)
    metrics = ["correctness", "faithfulness", "relevancy"]
    plain = objective(tmp_path, server, metric=metrics, judge="wise")({}).questions
    own = {"base_url": server.base_url, "max_tokens": 50}
    models = {name: {"model": f"openai-like:{name}", **own, "batch": True} for name in ("tiny", "late")}
    batched = objective(tmp_path, server, metric=metrics, judge="late", models=models, llm="tiny", block_size=None)
    rows = batched({}).questions
    assert {name: [row[metric] for metric in metrics] for name, row in rows.items()} == {
        name: [row[metric] for metric in metrics] for name, row in plain.items()
    }
    assert [batch.count for batch in server.batches.values()] == [9]
    assert batched.block_size == 8
    many = QuestionSet(tuple(Question(f"q{at}", f"Why {at}?", "So.") for at in range(20)))
    asked = {"metric": "correctness", "models": models}
    assert RagObjective(tmp_path / "d.md", many, judge="late", llm="tiny", **asked).block_size == 20
    assert RagObjective(tmp_path / "d.md", many, judge="mock", llm="tiny", **asked).block_size == 8


def test_what_an_answer_took_is_reported_and_kept(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.latency_s = 0.05
    result = objective(tmp_path, server, metric="token_f1")({})
    for row in result.questions.values():
        assert row["latency"] >= 0.05
        assert row["usd"] == pytest.approx((row["prompt_tokens"] + 2 * row["completion_tokens"]) / 1e6)
    assert result.latency is not None
    assert 0.05 <= result.latency["p50"] <= result.latency["p95"]
    again = objective(tmp_path, server, metric="latency")({})
    assert again.score == result.metrics["latency"], "of an answer from the cache it is that of the real call"
    assert len(server.requests) == 3


def test_extracted_answers_take_nothing(tmp_path: Path, server: OpenAIServer) -> None:
    result = objective(tmp_path, server, metric="token_f1", llm="extractive", embedding="wordllama")({})
    assert set(result.metrics) == {"token_f1", "exact_match", "chunk_tokens"}


def test_repeats_are_asked_anew_and_vary(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    said: Counter[str] = Counter()

    def changing(prompt: str) -> str:
        said[prompt] += 1
        return "the moon" if said[prompt] % 2 else "no idea"

    server.behaviour.answer = changing
    rag = objective(tmp_path, server, metric="exact_match", repeats=2)
    result = rag({})
    assert len(server.requests) == 6
    assert result.questions["q0"]["exact_match"] == 0.5
    assert result.questions["q0"]["exact_match_sd"] == pytest.approx(0.5**0.5)
    assert result.questions["q2"]["exact_match_sd"] == 0.0
    assert rag({}).questions == result.questions
    assert len(server.requests) == 6, "each repeat has its place in the cache"
    objective(tmp_path, server, metric="exact_match")({})
    assert len(server.requests) == 6, "the first one is that of a search without repeats"


@pytest.mark.parametrize("said", ["", "a fine answer", "7 of 5", "0"])
def test_a_judge_that_gives_no_number_fails_the_question(tmp_path: Path, server: OpenAIServer, said: str) -> None:
    server.behaviour.answer = lambda prompt: said if "expert evaluation" in prompt else "the moon"
    rag = objective(tmp_path, server, metric="correctness", judge="wise")
    for _ in range(2):
        with pytest.raises(TrialError, match=r"3 of 3 questions failed, 10% may.*the judge gave no score from 1 to 5"):
            rag({})
    assert set(server.answered.values()) == {1}, "what was said is kept, and not paid for again"


def test_a_judge_that_says_neither_yes_nor_no(tmp_path: Path, server: OpenAIServer) -> None:
    server.behaviour.answer = lambda prompt: "yesterday" if "YES" in prompt else "the moon"
    rag = objective(tmp_path, server, metric="faithfulness", judge="wise")
    with pytest.raises(TrialError, match="the judge said neither yes nor no for faithfulness: 9 other characters"):
        rag({})


def test_a_prompt_of_ones_own_is_in_the_key(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    prompt = "MY SCALE {query} {reference_answer} Generated Answer {generated_answer}"
    first = objective(tmp_path, server, metric="correctness", judge={"llm": "wise", "prompts": {"correctness": prompt}})
    assert first({}).score == pytest.approx((0.875 * 2 + 0.25) / 3)
    objective(tmp_path, server, metric="correctness", judge="wise")({})
    assert Counter(row["stage"] for row in ledger.take()[0]) == {"answers": 3, "judge": 6}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "correctness"}, "metric correctness needs a judge: set objective.judge"),
        (
            {"judge": {"llm": "wise", "prompts": {"correctness": "{query} {reference_answer}"}}},
            "lacks {generated_answer}",
        ),
        ({"judge": {"llm": "wise", "prompts": {"correctnes": "x"}}}, "did you mean 'correctness'"),
        ({"judge": {"llm": "wise", "temperatur": 1}}, "judge.temperatur"),
        ({"repeats": 0}, "repeats is 0"),
        ({"weights": {}}, "weights are empty"),
        ({"weights": {"token_f1": 0}}, "the weight of token_f1 is 0"),
        ({"weights": {"token_f9": 1}}, "did you mean 'token_f1'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(
    tmp_path: Path, server: OpenAIServer, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        objective(tmp_path, server, **{"metric": "token_f1", **options})
    assert server.requests == []


def test_weights(tmp_path: Path, server: OpenAIServer) -> None:
    rag = objective(tmp_path, server, weights={"correctness": 3, "exact_match": 1, "chunk_tokens": 0.01}, judge="wise")
    assert (rag.metric, rag.mode) == ("weighted", "max")
    for row in rag({}).questions.values():
        expected = (3 * row["correctness"] + row["exact_match"] - 0.01 * row["chunk_tokens"]) / 4.01
        assert row["weighted"] == pytest.approx(expected)
    tuned = ParamTuner(param_fn=rag, param_dict={"top_k": [1, 2]}).tune()
    assert tuned.best_run_result.score == tuned.best_run_result.metrics["weighted"]


def test_metrics_of_ones_own_that_ask(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    async def waits(evidence: Evidence) -> float:
        await asyncio.sleep(0)
        return float(len(evidence.answer or ""))

    @custom(needs="llm")
    async def asks(evidence: Evidence, llm: Any) -> float:
        said = await llm.acomplete(f"YES or NO: {evidence.answer}?")
        return float("YES" in said.text)

    @custom(needs="llm")
    def asks_here(evidence: Evidence, llm: Any) -> float:
        return float("YES" in llm.complete(f"YES or NO, now: {evidence.answer}?").text)

    for _ in range(2):
        objective(tmp_path, server, metric=asks_here, judge="wise")({})
    assert Counter(row["stage"] for row in ledger.take()[0]) == {"answers": 3, "judge": 2}, "kept, and asked once"
    result = objective(tmp_path, server, metric=[asks, waits], judge="wise")({})
    assert [row["asks"] for _, row in sorted(result.questions.items())] == [1.0, 1.0, 0.0]
    assert Counter(row["stage"] for row in ledger.take()[0]) == {"judge": 2}
    assert objective(tmp_path, server, metric=asks, judge="wise")({}).questions
    assert ledger.take()[0] == []
    assert result.questions["q0"]["waits"] == len("the moon")
    with pytest.raises(ConfigError, match="metric asks needs a judge"):
        objective(tmp_path, server, metric=asks)


@pytest.mark.parametrize(
    ("value", "words"), [(float("nan"), "must be finite"), ("high", "must be a number"), (None, "it must be a number")]
)
def test_a_metric_that_asks_and_gives_no_number(tmp_path: Path, server: OpenAIServer, value: Any, words: str) -> None:
    async def odd(evidence: Evidence) -> Any:
        return value

    with pytest.raises(AllTrialsFailedError, match=words):
        ParamTuner(param_fn=objective(tmp_path, server, metric=odd), param_dict={"top_k": [1]}).tune()


def test_an_answer_that_fails_fails_its_question_alone(tmp_path: Path, server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.script = ["filtered"]
    result = objective(tmp_path, server, metric="token_f1", max_failed_questions=0.4)({})
    (failed,) = result.failed_questions.values()
    assert "the content filter held the answer back" in failed
    assert len(result.questions) == 3


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("4.5\nIt is nearly right.", 4.5),
        ("On a scale of 1 to 5, I give it a 4.", 4.0),
        ("Score (1-5): 4", 4.0),
        ("4 out of 5", 4.0),
        ("1.\nThe answer is good\n2.\nfine\nScore: 4", 4.0),
        ("It is 2 or 3.", None),
        ("1. The answer is relevant.\nScore: 5.0", 5.0),
        ("Of the 2 claims both are right.\n5", 5.0),
        ("Score: -3", None),
        ("The score is 3.", 3.0),
        ("**4**", 4.0),
        ("4/5", 4.0),
        ("I would say 2 here", 2.0),
        ("6", None),
    ],
)
def test_the_number_in_what_a_judge_says(said: str, score: float | None) -> None:
    if score is None:
        with pytest.raises(TrialError, match="gave no score from 1 to 5"):
            judge._number(said, "correctness")
    else:
        assert judge._number(said, "correctness") == score


@pytest.mark.parametrize(
    ("said", "yes"),
    [("YES", 1.0), ("No.", 0.0), ("There is no doubt: YES", 1.0), ("Answer: yes", 1.0), ("It says yes there", 1.0),
     ("yes and no", None), ("", None)],
)  # fmt: skip
def test_yes_or_no_in_what_a_judge_says(said: str, yes: float | None) -> None:
    if yes is None:
        with pytest.raises(TrialError, match="neither yes nor no"):
            judge._yes_or_no(said, "relevancy")
    else:
        assert judge._yes_or_no(said, "relevancy") == yes


@pytest.mark.timeout(40)
def test_what_waits_for_a_service_does_not_hold_up_the_loop(tmp_path: Path, server: OpenAIServer) -> None:
    """Embeddings of one trial wait for places at the endpoint that answers of others have, on the same loop."""
    server.behaviour.latency_s = 0.02
    calling(LocalHandle(Ledger()))
    rag = objective(
        tmp_path,
        server,
        metric="semantic_similarity",
        similarity_embedding="vectors",
        models={
            name: {"model": f"openai-like:{name}", "base_url": server.base_url, "concurrency": 2, "timeout": 30}
            for name in ("tiny", "vectors")
        },
    )
    try:
        found = asyncio.run(
            AsyncParamTuner(aparam_fn=rag.acall, param_dict={"top_k": [1, 2, 3]}, num_workers=3).atune()
        )
    finally:
        calling(None)
    assert len(found.run_results) == 3
    assert server.most_in_flight <= 2


def test_the_same_answer_is_judged_once_whatever_it_was_made_of(
    tmp_path: Path, server: OpenAIServer, ledger: Ledger
) -> None:
    rag = objective(tmp_path, server, metric="correctness", judge="wise")
    for top_k in (1, 2):
        rag({"top_k": top_k})
    judged = [found for found in server.requests if found.model == "wise"]
    assert len(judged) == 3


def test_the_best_of_several_right_answers_counts_for_judges_too(
    tmp_path: Path, server: OpenAIServer, ledger: Ledger
) -> None:
    objective(tmp_path, server)  # which writes the document
    asked = (
        Question("q0", "What do tides follow?", "the sun", other_answers=("the moon",)),
        Question("q1", "Who is the king?", "", answerable=False),
    )
    seen: list[str] = []

    def judge(prompt: str) -> str:
        seen.append(prompt)
        reference = prompt.rpartition("Reference Answer")[2].partition("Generated")[0]
        return "5\nright" if "the moon" in reference else "2\nno"

    server.behaviour.answer = judge
    models = {"wise": {"model": "openai-like:wise", "base_url": server.base_url, "max_tokens": 50}}
    own = {"judge": "wise", "llm": "mock", "models": models, "retriever": "bm25"}
    found = RagObjective(tmp_path / "d.md", QuestionSet(asked), metric="correctness", **own)({})
    assert found.questions["q0"]["correctness"] == 1.0
    assert any("cannot be answered" in prompt for prompt in seen)


def test_a_config_with_a_bad_prompt_of_a_judge_is_refused(tmp_path: Path, server: OpenAIServer) -> None:
    for prompts, words in (
        ({"correctness": "rate {query}"}, "lacks {reference_answer}"),
        ({"goodness": "x"}, "not judged"),
        ({"correctness": "{query} {reference_answer} {generated_answer} {context_str}"}, "holds {context_str}"),
    ):
        config = JudgeConfig.model_validate({"llm": "wise", "prompts": prompts})
        with pytest.raises(ConfigError, match=re.escape(words)):
            objective(tmp_path, server, metric="correctness", judge=config)
