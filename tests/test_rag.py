"""The RAG objective."""

from __future__ import annotations

import asyncio
import json
import math
import os
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.llms.callbacks import llm_completion_callback

from raytuner import SearchSpace, datasets, models
from raytuner.datasets import Question, QuestionSet, Reference
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.documents.squad import squad_paragraphs
from raytuner.errors import ConfigError, DataError, ModelError
from raytuner.models.mock import MockLLM
from raytuner.objective import Objective
from raytuner.pipeline import embed, generate
from raytuner.pipeline.generate import Answer
from raytuner.rag import RagObjective
from raytuner.results import RunResult

DOCUMENTS = load_documents("builtin:quickstart")
QUESTIONS = QuestionSet(datasets.load("builtin:quickstart", documents=DOCUMENTS).questions[::2])
FIXED: dict[str, Any] = {"embedding": "wordllama", "chunk_size": 64}
CONFIGURATIONS: list[dict[str, Any]] = [
    {"retriever": "vector", "top_k": 3},
    {"retriever": "bm25", "top_k": 1},
    {"retriever": "hybrid", "top_k": 5, "fusion": "weighted"},
    {"retriever": "vector", "top_k": 3, "llm": "mock"},
    {"retriever": "bm25", "top_k": 120, "chunk_overlap": 0},
]


def objective(metric: str = "semantic_similarity", **options: Any) -> RagObjective:
    return RagObjective(DOCUMENTS, QUESTIONS, metric=metric, **{**FIXED, **options})


def scored(result: RunResult) -> dict[str, Any]:
    """All that must be the same whenever the same configuration is scored."""
    return {"score": result.score, "metrics": result.metrics, "questions": dict(sorted(result.questions.items()))}


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    """The scores of each configuration by an objective of its own."""
    return [scored(objective()(params)) for params in CONFIGURATIONS]


# The result


def test_means_and_values_of_every_question(expected: list[dict[str, Any]]) -> None:
    for found in expected:
        assert set(found["questions"]) == {question.id for question in QUESTIONS}
        assert set(found["metrics"]) == {"semantic_similarity", "token_f1", "exact_match", "chunk_tokens"}
        for name, mean in found["metrics"].items():
            values = [row[name] for row in found["questions"].values()]
            assert mean == math.fsum(values) / len(values)
        assert found["score"] == found["metrics"]["semantic_similarity"]
    assert len({found["score"] for found in expected}) == len(CONFIGURATIONS)


def test_the_result_names_its_configuration() -> None:
    assert objective("span_iou")({"top_k": 2}).params == {"top_k": 2}


# The same scores, however they are computed


@pytest.mark.parametrize("block_size", [1, 1000])
def test_block_size_does_not_matter(expected: list[dict[str, Any]], block_size: int) -> None:
    rag = objective(block_size=block_size)
    assert [scored(rag(params)) for params in CONFIGURATIONS] == expected


def test_what_ran_before_does_not_matter(expected: list[dict[str, Any]]) -> None:
    rag = objective()
    for params in ({"retriever": "hybrid", "top_k": 50}, {"top_k": 1, "chunk_size": 256}, *CONFIGURATIONS[::-1]):
        rag(params)
    assert [scored(rag(params)) for params in CONFIGURATIONS] == expected


def test_the_seed_only_changes_the_order(expected: list[dict[str, Any]]) -> None:
    assert scored(objective(seed=5)(CONFIGURATIONS[0])) == expected[0]


def test_from_coroutines_and_inside_a_running_loop(expected: list[dict[str, Any]]) -> None:
    rag = objective()

    async def together() -> list[RunResult]:
        return await asyncio.gather(*map(rag.acall, CONFIGURATIONS))

    async def notebook() -> list[RunResult]:
        return [rag(params) for params in CONFIGURATIONS]

    assert [scored(result) for result in asyncio.run(together())] == expected
    assert [scored(result) for result in asyncio.run(notebook())] == expected


@pytest.mark.timeout(30)
def test_from_a_coroutine_function_as_objective(expected: list[dict[str, Any]]) -> None:
    rag = objective()

    async def param_fn(params: dict[str, Any]) -> RunResult:
        return rag(params)

    (report,) = Objective(param_fn, metric="semantic_similarity").reports(CONFIGURATIONS[3])
    assert report.metrics == expected[3]["metrics"]


def test_in_a_fresh_process(expected: list[dict[str, Any]]) -> None:
    code = (
        "import json, sys; from raytuner.rag import RagObjective\n"
        f"rag = RagObjective('builtin:quickstart', 'builtin:quickstart', **{FIXED!r})\n"
        f"print(json.dumps([rag(params).questions for params in {CONFIGURATIONS[1:4]!r}]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4321", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    for all_questions, found in zip(json.loads(done.stdout), expected[1:4], strict=True):
        assert {name: all_questions[name] for name in found["questions"]} == found["questions"]


def test_after_pickling_without_artefacts(expected: list[dict[str, Any]]) -> None:
    rag = objective()
    size = len(pickle.dumps(rag))
    rag(CONFIGURATIONS[0])
    copy = pickle.loads(pickle.dumps(rag))
    assert len(pickle.dumps(rag)) == size
    assert scored(copy(CONFIGURATIONS[0])) == expected[0]


# Blocks


def test_blocks_have_one_order_for_all_configurations() -> None:
    rag = objective("span_iou", block_size=7)
    orders = [[list(block) for block in rag.blocks(params)] for params in ({}, {"retriever": "bm25", "top_k": 9})]
    assert orders[0] == orders[1]
    assert orders[0] == [list(block) for block in objective("span_iou", block_size=7).blocks({})]
    assert orders[0] != [list(block) for block in objective("span_iou", block_size=7, seed=1).blocks({})]
    assert {len(block) for block in orders[0][:-1]} == {7}
    assert sum(map(len, orders[0])) == len(QUESTIONS)


def test_every_beginning_holds_the_documents_in_proportion() -> None:
    documents = {question.id: question.references[0].document for question in QUESTIONS}
    order = [question for block in objective("span_iou").blocks({}) for question in block]
    share = {name: count / len(order) for name, count in Counter(documents.values()).items()}
    for length in range(1, len(order) + 1):
        counts = Counter(documents[question] for question in order[:length])
        assert all(abs(counts[name] - length * part) < 1 for name, part in share.items())


def test_blocks_are_what_objective_reports() -> None:
    rag = objective("ndcg")
    reports = list(Objective(rag, metric="ndcg").reports({"top_k": 2}))
    assert [report.block.values for report in reports if report.block] == list(rag.blocks({"top_k": 2}))
    assert reports[-1].metrics == rag({"top_k": 2}).metrics


# Nothing is computed that is not needed


@pytest.mark.usefixtures("empty_cache")
def test_retrieval_metrics_answer_nothing_and_bm25_embeds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise AssertionError("a model was used")

    monkeypatch.setattr(embed, "_embedders", {})
    generate._synthesizer.cache_clear()
    monkeypatch.setattr(models, "embedding", refuse)
    monkeypatch.setattr(models, "llm", refuse)
    assert objective("span_iou", retriever="bm25", llm="mock")({}).score > 0
    for options in ({"retriever": "vector"}, {"retriever": "bm25", "metric": "token_f1"}):
        with pytest.raises(AssertionError, match="a model was used"):
            objective(**{"metric": "span_iou", "llm": "extractive", **options})({})


@pytest.mark.parametrize(
    ("metric", "params", "expected_models"),
    [
        ("ndcg", {"retriever": "bm25"}, (set(), set())),
        ("ndcg", {"llm": "mock"}, ({"wordllama"}, set())),
        ("ndcg", {"retriever": "bm25", "splitter": "semantic"}, ({"wordllama"}, set())),
        ("token_f1", {"retriever": "bm25", "llm": "mock"}, (set(), {"mock"})),
        ("token_f1", {"retriever": "bm25"}, ({"wordllama"}, set())),
        ("semantic_similarity", {"retriever": "bm25", "llm": "mock"}, ({"wordllama"}, {"mock"})),
        ("semantic_similarity", {"embedding": "minilm"}, ({"minilm", "wordllama"}, set())),
    ],
)
def test_the_models_that_are_needed(metric: str, params: dict[str, Any], expected_models: Any) -> None:
    assert objective(metric).models(SearchSpace.from_dict({}), params) == expected_models
    assert objective(metric).models(choices(params)) == expected_models


def choices(params: dict[str, Any]) -> SearchSpace:
    return SearchSpace.from_dict({name: [value] for name, value in params.items()})


def test_an_own_splitter_is_imported_before_the_search_and_not_by_a_check() -> None:
    rag = objective("ndcg", retriever="bm25")
    rag.check({"splitter": "no_such_module.Parser"})
    for space, fixed in (
        (choices({"splitter": "no_such_module.Parser"}), {}),
        (choices({}), {"splitter": "no_such.P"}),
    ):
        with pytest.raises(ConfigError, match="there is no module 'no_such"):
            rag.prepare(space, fixed)
    rag.prepare(choices({"splitter": "llama_index.core.node_parser.SentenceSplitter"}))


def test_answers_are_compared_by_one_model() -> None:
    assert objective(similarity_embedding="minilm").models(choices({}))[0] == {"minilm", "wordllama"}
    tuned = RagObjective(DOCUMENTS, QUESTIONS, retriever="bm25", llm="mock")
    assert tuned.models(choices({"embedding": "wordllama"}))[0] == {"minilm"}


# Metrics


@pytest.mark.parametrize("llm", ["extractive", "mock"])
def test_semantic_similarity_is_llamaindexs(monkeypatch: pytest.MonkeyPatch, llm: str) -> None:
    from llama_index.core.evaluation import SemanticSimilarityEvaluator

    rag = objective(llm=llm)
    answers: dict[str, str] = {}
    answered = rag._stages().answered

    async def noted(params: Any, questions: Any, contexts: Any, repeat: int) -> Any:
        found = await answered(params, questions, contexts, repeat)
        answers.update(zip(questions, (one.text for one in found), strict=True))  # type: ignore[union-attr]
        return found

    monkeypatch.setattr(rag._stages(), "answered", noted)
    result = rag({})
    evaluator = SemanticSimilarityEvaluator(embed_model=models.embedding("wordllama"))
    for question in QUESTIONS:
        score = evaluator.evaluate(response=answers[question.text], reference=question.answer).score
        assert result.questions[question.id]["semantic_similarity"] == pytest.approx(score, abs=1e-6)


def test_no_answer_is_not_similar() -> None:
    unknown = QuestionSet((Question("q1", "zebra quagga?", answer="No zebra."), Question("q2", "chunk?", answer="x")))
    for llm in ("extractive", "mock"):
        result = RagObjective(DOCUMENTS, unknown, retriever="bm25", llm=llm, embedding="wordllama")({})
        assert result.questions["q1"]["semantic_similarity"] == result.questions["q1"]["chunk_tokens"] == 0
        assert result.questions["q2"]["chunk_tokens"] > 0


@pytest.mark.parametrize("params", [{"chunk_overlap": 0.5}, {"chunk_size": 256, "retriever": "bm25"}])
def test_relevance_and_retrieval_metrics_by_brute_force(params: dict[str, Any]) -> None:
    rag = objective("recall")
    result = rag(params)
    own = {**FIXED, **params}
    chunks = rag._stages().chunks(own)
    for question in QUESTIONS:
        relevant = set()
        for position, chunk in enumerate(chunks):
            inside = set(range(chunk.start, chunk.end))
            for reference in question.references:
                span = set(range(reference.start, reference.end))
                if DOCUMENTS[chunk.document].id == reference.document and inside & span:
                    shared = len(inside & span)
                    relevant |= {position} if 2 * shared >= len(span) or 2 * shared >= len(inside) else set()
        (ranking,) = rag._stages().rankings(own, [question.text])
        hits = [int(position) in relevant for position in ranking.chunks]
        values = result.questions[question.id]
        assert values["recall"] == (sum(hits) / len(relevant) if relevant else 0)
        assert values["hit_rate"] == any(hits)
        assert values["mrr"] == (1 / (hits.index(True) + 1) if any(hits) else 0)
        assert values["chunk_tokens"] == sum(chunks[int(position)].tokens for position in ranking.chunks)


def test_a_sentence_window_is_what_is_read_and_a_sentence_what_is_retrieved() -> None:
    rag = objective("recall", splitter="sentence_window", retriever="bm25")
    narrow, wide = (rag({"window_size": size}) for size in (0, 2))
    for name in ("recall", "hit_rate", "mrr", "ndcg", "precision"):
        assert narrow.metrics[name] == wide.metrics[name], name
    for name in ("chunk_tokens", "span_recall"):
        assert narrow.metrics[name] < wide.metrics[name], name
    own = {**FIXED, "splitter": "sentence_window", "retriever": "bm25", "window_size": 2}
    for question in QUESTIONS:
        (ranking,) = rag._stages().rankings(own, [question.text])
        windows = rag._stages().contexts(own, ranking)
        assert wide.questions[question.id]["chunk_tokens"] == sum(window.tokens for window in windows)
    answers = objective("token_f1", splitter="sentence_window", retriever="bm25", llm="mock")
    assert answers({"window_size": 0}).score != answers({"window_size": 5}).score


def test_an_object_may_be_a_splitter() -> None:
    from llama_index.core.node_parser import SentenceSplitter

    own = objective("ndcg", retriever="bm25", splitter=SentenceSplitter(chunk_size=64, chunk_overlap=0))
    named = objective("ndcg", retriever="bm25", chunk_size=64, chunk_overlap=0)
    assert scored(own({})) == scored(named({})) == scored(pickle.loads(pickle.dumps(own))({}))


def test_questions_that_know_only_documents() -> None:
    questions = QuestionSet(tuple(replace(q, documents=(q.references[0].document,), references=()) for q in QUESTIONS))
    rag = RagObjective(DOCUMENTS, questions, metric="hit_rate", **FIXED)
    result = rag({"retriever": "bm25"})
    assert set(result.metrics) == {"hit_rate", "mrr", "ndcg", "recall", "precision", "chunk_tokens"}
    chunks = rag._stages().chunks(FIXED)
    for question in questions:
        (ranking,) = rag._stages().rankings({**FIXED, "retriever": "bm25"}, [question.text])
        hits = [DOCUMENTS[chunks[int(position)].document].id in question.documents for position in ranking.chunks]
        assert result.questions[question.id]["hit_rate"] == any(hits)
        assert result.questions[question.id]["precision"] == (sum(hits) / len(hits) if hits else 0)


def test_metrics_see_only_what_the_cutoff_leaves() -> None:
    cut = objective("chunk_tokens")({"similarity_cutoff": 2.0, "retriever": "vector"})
    assert cut.metrics == {"chunk_tokens": 0.0}


def test_a_metric_of_the_first_chunks() -> None:
    at_two = objective("span_recall@2")({"top_k": 5})
    assert at_two.score == objective("span_recall")({"top_k": 2}).score < at_two.metrics["span_recall"]


def test_real_questions_with_spans(data_dir: Path) -> None:
    folder = data_dir / "chroma-chunking"
    documents = load_documents(folder / "corpora" / "state_of_the_union.md")
    questions = datasets.load(folder / "questions.csv")
    ours = [q for q in questions if q.references[0].document == "state_of_the_union"]
    rag = RagObjective(documents, QuestionSet(tuple(ours)), metric="span_recall", **FIXED)
    scores = [rag({"top_k": top_k}).score for top_k in (1, 3, 10)]
    assert 0.2 < scores[0] < scores[1] < scores[2] < 1


def test_the_guides_questions(data_dir: Path) -> None:
    folder = data_dir / "llama2"
    rag = RagObjective(folder / "llama2_paper.md", folder / "llama2_eval_qr_dataset.json", embedding="wordllama")
    scores = [rag({"top_k": top_k, "chunk_size": 256}).score for top_k in (1, 5)]
    assert 0.4 < scores[0] < scores[1] < 0.9


# Several references and answers, and none


SPAN_METRICS = ("span_recall", "span_precision", "span_f1", "span_f4", "span_iou")
RETRIEVAL_METRICS = ("hit_rate", "mrr", "ndcg", "recall", "precision")


def with_alternatives(question: Question, *groups: tuple[Reference, ...]) -> QuestionSet:
    """One question, with a group of references for each alternative."""
    references = tuple(replace(r, alternative=number) for number, group in enumerate(groups) for r in group)
    return QuestionSet((replace(question, references=references),))


def test_the_best_alternative_counts_for_each_metric() -> None:
    params = CONFIGURATIONS[0]
    values = objective("span_recall")(params).questions
    found = max(QUESTIONS, key=lambda question: values[question.id]["span_recall"])
    other = next(q for q in QUESTIONS if q.references[0].document != found.references[0].document)

    def scores(*groups: tuple[Reference, ...]) -> dict[str, float]:
        return RagObjective(DOCUMENTS, with_alternatives(found, *groups), metric="span_f4", **FIXED)(params).metrics

    first, second = found.references, other.references
    alone, either, together = [scores(first), scores(second)], scores(second, first), scores(first + second)
    for name in (*SPAN_METRICS, *RETRIEVAL_METRICS):
        assert either[name] == max(values[name] for values in alone) > 0, name
    assert either["chunk_tokens"] == alone[0]["chunk_tokens"]
    assert 0 < together["span_recall"] < either["span_recall"]


def test_the_best_of_several_answers_counts() -> None:
    def scores(answer: str, *others: str) -> dict[str, float]:
        questions = QuestionSet((Question("q", QUESTIONS.questions[0].text, answer, other_answers=others),))
        return RagObjective(DOCUMENTS, questions, llm="mock", **FIXED)({}).metrics

    answers = [QUESTIONS.questions[0].answer or "", "something else", "and more of it"]
    alone = [scores(answer) for answer in answers]
    assert len({found["semantic_similarity"] for found in alone}) == 3
    for name in ("semantic_similarity", "token_f1", "exact_match"):
        best = max(found[name] for found in alone)
        assert scores(answers[2], *answers[:2])[name] == pytest.approx(best, abs=1e-6)


UNANSWERABLE = Question("none", "zebra quagga?", "", answerable=False)


def test_unanswerable_questions_are_left_out_where_references_are_needed(caplog: pytest.LogCaptureFixture) -> None:
    more = QuestionSet((UNANSWERABLE, *QUESTIONS, replace(UNANSWERABLE, id="too")))
    for metric in ("span_f4", "recall"):
        caplog.clear()
        rag = RagObjective(DOCUMENTS, more, metric=metric, **FIXED)
        assert rag.questions == QUESTIONS
        assert f"2 questions that cannot be answered are left out: {metric} needs references" in caplog.text
        assert scored(rag({})) == scored(objective(metric)({}))
    assert len(RagObjective(DOCUMENTS, more, metric="token_f1").questions) == len(QUESTIONS) + 2
    with pytest.raises(DataError, match="none of the 1 questions can be answered"):
        RagObjective(DOCUMENTS, QuestionSet((UNANSWERABLE,)), metric="ndcg")


def test_to_abstain_is_right_where_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = QuestionSet((UNANSWERABLE, replace(UNANSWERABLE, id="python", answer=None), QUESTIONS.questions[0]))
    rag = RagObjective(DOCUMENTS, questions, metric="semantic_similarity", **FIXED)
    names = ("semantic_similarity", "token_f1", "exact_match")
    for answer, expected in (("I don't know.", 1), ("", 1), ("A zebra.", 0)):

        async def answered(_params: Any, texts: Any, _contexts: Any, _: int, answer: str = answer) -> list[Answer]:
            return [Answer(answer)] * len(texts)

        monkeypatch.setattr(rag._stages(), "answered", answered)
        values = rag({}).questions
        for question in ("none", "python"):
            assert [values[question][name] for name in names] == [expected] * 3
        assert values[QUESTIONS.questions[0].id]["exact_match"] == 0


def test_squad_2(data_dir: Path, tmp_path: Path) -> None:
    data = json.loads((data_dir / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))
    small = {"version": "v2.0", "data": data["data"][:4]}
    documents = []
    for name, paragraph in squad_paragraphs(small):
        documents.append(Document(name, paragraph["context"]))
        for question in paragraph["qas"][::3]:
            question.update(is_impossible=True, plausible_answers=question["answers"], answers=[])
    (tmp_path / "squad.json").write_text(json.dumps(small), encoding="utf-8")
    questions = datasets.load(tmp_path / "squad.json", documents=documents)
    answerable = [question.id for question in questions if question.answerable]
    assert 0 < len(answerable) < len(questions)
    found = RagObjective(documents, questions, metric="hit_rate", retriever="bm25")({"top_k": 5})
    assert set(found.questions) == set(answerable)
    assert found.score > 0.9
    answers = RagObjective(documents, questions, metric="exact_match", retriever="bm25", llm="mock")({})
    assert set(answers.questions) == {question.id for question in questions}


# What is refused


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"chunksize": 3}, ConfigError, "did you mean 'chunk_size'"),
        ({"chunk_size": "256"}, ConfigError, "chunk_size: '256'.*integer"),
        ({"top_k": 0}, ConfigError, "top_k: 0"),
        ({"metric": "ndgc"}, ConfigError, "did you mean 'ndcg'"),
        ({"block_size": 0}, ConfigError, "block_size is 0"),
        ({"similarity_embedding": "minilmm"}, ModelError, "did you mean 'minilm'"),
    ],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        objective(**options)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"topk": 3}, "did you mean 'top_k'"),
        ({"chunk_size": 256.0}, "256.0.*integer"),
        ({"chunk_size": True}, "True.*integer"),
        ({"fusion_weight": 1.5}, "fusion_weight: 1.5"),
        ({"splitter": "sentences"}, "did you mean 'sentence'"),
        ({"chunk_overlap": 64}, "chunk_overlap 64 .* chunk_size 64"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(params: dict[str, Any], words: str) -> None:
    rag = objective("ndcg")
    for evaluate in (rag.check, rag, lambda params: asyncio.run(rag.acall(params))):
        with pytest.raises(ConfigError, match=words):
            evaluate(params)
    assert rag._pipeline is None


@pytest.mark.parametrize(
    ("metric", "lacks", "words"),
    [
        ("token_f1", {"answer": None}, "token_f1 needs reference answers.*1 of"),
        ("semantic_similarity", {"answer": None}, "needs reference answers"),
        ("recall", {"references": ()}, "recall needs references"),
        ("span_iou", {"references": (), "documents": (DOCUMENTS[0].id,)}, "span_iou needs reference spans"),
    ],
)
def test_questions_that_lack_what_the_metric_needs(metric: str, lacks: dict[str, Any], words: str) -> None:
    first, *others = QUESTIONS
    questions = QuestionSet((replace(first, **lacks), *others))
    with pytest.raises(DataError, match=words) as error:
        RagObjective(DOCUMENTS, questions, metric=metric)
    assert first.id in str(error.value)
    RagObjective(DOCUMENTS, questions, metric="chunk_tokens")


@pytest.mark.parametrize(
    ("documents", "questions", "words"),
    [
        ([], QUESTIONS, "empty list"),
        ([Document("a", "x"), Document("a", "y")], QUESTIONS, "2 documents have the id 'a'"),
        ([Document("a", " \n")], QUESTIONS, "'a' is empty"),
        (DOCUMENTS, QuestionSet(()), "question set is empty"),
        (DOCUMENTS, QuestionSet((Question("q", "?", "!", (Reference("nowhere", 0, 1),)),)), "'nowhere'"),
        ("nowhere.md", QUESTIONS, "no such file"),
    ],
)
def test_documents_and_questions_that_do_not_serve(documents: Any, questions: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        RagObjective(documents, questions)


# Models by name and as objects


class CountedLLM(MockLLM):
    """Answers with the number of words of its prompt; its repr would show a key."""

    api_key: str = "sk-0123456789"

    @llm_completion_callback()  # type: ignore[untyped-decorator]
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=str(len(prompt.split())))


def test_models_may_be_objects() -> None:
    llm, embedding = CountedLLM(), models.embedding("wordllama")
    by_object = objective("token_f1", llm=llm, embedding=embedding)
    assert by_object.fixed == {"embedding": "WordLlama", "chunk_size": 64, "llm": "CountedLLM"}
    assert "sk-0123456789" not in repr(by_object.fixed) + repr(by_object._models)
    own = objective("token_f1", models={"counted": llm, "again": {"model": "mock"}})
    found = {name: own({"llm": name}) for name in ("counted", "again", "mock", "extractive")}
    assert found["counted"].questions == by_object({}).questions
    assert found["again"].questions == found["mock"].questions
    assert len({json.dumps(result.questions, sort_keys=True) for result in found.values()}) == 3
    assert found["counted"].params == {"llm": "counted"}
    assert own({"llm": llm}).params == {"llm": "CountedLLM"}


def test_objects_go_to_workers_with_the_objective() -> None:
    by_object = objective("token_f1", llm=CountedLLM())
    again = pickle.loads(pickle.dumps(by_object))
    assert again({}).questions == by_object({}).questions


def test_an_object_compares_answers() -> None:
    named = objective(similarity_embedding="words", models={"words": models.embedding("wordllama")})
    assert scored(named({})) == scored(objective()({}))
    assert named.models(SearchSpace.from_dict({})) == ({"wordllama", "words"}, set())


def test_models_of_the_table_are_made_before_the_first_trial() -> None:
    broken = objective("token_f1", models={"broken": {"model": "not_there.LLM"}})
    broken.prepare(SearchSpace.from_dict({"llm": ["mock", "extractive"]}))
    with pytest.raises(ConfigError, match="there is no module 'not_there'"):
        broken.prepare(SearchSpace.from_dict({"llm": ["mock", "broken"]}))


class Halves:
    """A node parser that cuts after so many characters."""

    def __new__(cls, size: int) -> Any:
        from llama_index.core.node_parser import TokenTextSplitter

        return TokenTextSplitter(chunk_size=size, chunk_overlap=0)


def test_two_objects_of_one_class_stay_apart() -> None:
    table = {"small": Halves(20), "large": Halves(200)}
    rag = RagObjective(DOCUMENTS, "builtin:quickstart", metric="span_f4", retriever="bm25", components=table)
    scores = [rag({"splitter": name}).score for name in ("small", "large", "small")]
    assert scores[0] == scores[2] != scores[1]
    assert rag({"splitter": "small"}).params == {"splitter": "small"}
    results = [rag({"splitter": found}) for found in table.values()]
    assert [result.score for result in results] == scores[:2]
    assert results[0].params != results[1].params


def test_an_own_retriever_needs_no_embedding() -> None:
    rag = RagObjective(DOCUMENTS, "builtin:quickstart", metric="span_f4", retriever="my_module.Retriever")
    assert rag.models(choices({"top_k": [1, 2]})) == (set(), set())


def test_a_component_must_not_have_a_name_that_is_built_in() -> None:
    with pytest.raises(ConfigError, match=r"components\.sentence: that is a splitter that is built in"):
        RagObjective(DOCUMENTS, "builtin:quickstart", components={"sentence": {"path": "my_module.Splitter"}})


def test_a_model_beside_the_config_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from raytuner.models.mock import MockLLM\n\n\nclass Beside(MockLLM):\n    pass\n"
    (tmp_path / "llm_beside.py").write_text(code)
    monkeypatch.chdir("/")
    rag = RagObjective(
        "builtin:quickstart",
        "builtin:quickstart",
        metric="token_f1",
        llm="own",
        retriever="bm25",
        models={"own": {"model": "llm_beside.Beside"}},
        folder=tmp_path,
    )
    rag.prepare(SearchSpace.from_dict({"top_k": [1, 2]}))
