"""JSON question sets that are one object: SQuAD and LlamaIndex's two forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raytuner.datasets.row import Row
from raytuner.documents.squad import squad_paragraphs
from raytuner.errors import DataError


def rows_of_object(value: Mapping[str, Any], file: str) -> list[Row] | None:
    """The rows of a question set that is one JSON object.

    Args:
        value: The object.
        file: The file's name, for messages.

    Returns:
        One row for each question, or None for an object in no known form.

    Raises:
        DataError: The object is in a known form, and something in it is not as it should be.
    """
    if isinstance(value.get("queries"), dict):
        return list(_query_response_rows(value, file))
    if isinstance(value.get("examples"), list):
        return list(_labelled_rag_rows(value["examples"], file))
    return list(_squad_rows(value, file)) if _means_squad(value) else None


def _means_squad(value: Mapping[str, Any]) -> bool:
    """Whether an object is SQuAD's, sound or broken."""
    articles = value.get("data")
    if not isinstance(articles, list) or not articles:
        return False
    return "version" in value or any(isinstance(article, dict) and "paragraphs" in article for article in articles)


def _query_response_rows(value: Mapping[str, Any], file: str) -> Iterator[Row]:
    """LlamaIndex's QueryResponseDataset: two mappings from ids, to questions and to answers."""
    responses = value.get("responses") or {}
    if not isinstance(responses, dict):
        raise DataError(f"{file}: `queries` and `responses` must map ids to texts")
    for key, query in value["queries"].items():
        yield Row(f"{file}: query {key!r}", {"id": key, "question": query, "answer": responses.get(key)})


def _labelled_rag_rows(examples: list[Any], file: str) -> Iterator[Row]:
    """LlamaIndex's LabelledRagDataset: questions with the passages that they were made from."""
    for number, example in enumerate(examples):
        where = f"{file}: examples[{number}]"
        if not isinstance(example, dict):
            raise DataError(f'{where}: an example is a JSON object such as {{"query": ...}}, not {example!r:.40}')
        yield Row(where, example)


def _squad_rows(value: Mapping[str, Any], file: str) -> Iterator[Row]:
    """SQuAD 1.1 and 2.0: each question with its paragraph as document, and its answers as alternatives."""
    places = _check_squad(value["data"], file)
    for where, (document, paragraph) in zip(places, squad_paragraphs(dict(value)), strict=True):
        for number, question in enumerate(paragraph["qas"]):
            place = f"{where}.qas[{number}]"
            if not isinstance(question, dict):
                raise DataError(f"{place}: a question of SQuAD is an object, not {question!r:.40}")
            yield Row(place, _squad_question(question, document, place))


def _check_squad(articles: list[Any], file: str) -> list[str]:
    """Where each paragraph stands in the file, after a look at its form."""
    places = []
    for a, article in enumerate(articles):
        where = f"{file}: data[{a}]"
        _require(isinstance(article, dict), where, "an article of SQuAD is an object", article)
        paragraphs = article.get("paragraphs")
        _require(isinstance(paragraphs, list), f"{where}.paragraphs", "must be a list", paragraphs)
        for p, paragraph in enumerate(paragraphs):
            place = f"{where}.paragraphs[{p}]"
            _require(isinstance(paragraph, dict), place, "a paragraph of SQuAD is an object", paragraph)
            context, questions = paragraph.get("context"), paragraph.get("qas")
            _require(isinstance(context, str), f"{place}.context", "must be the paragraph's text", context)
            _require(isinstance(questions, list), f"{place}.qas", "must be a list of questions", questions)
            places.append(place)
    return places


def _require(holds: bool, where: str, rule: str, found: object) -> None:
    if not holds:
        raise DataError(f"{where}: {rule}, not {'absent' if found is None else repr(found)[:40]}; mend the file")


def _squad_question(question: Mapping[str, Any], document: str, where: str) -> dict[str, object]:
    values = {"id": question.get("id"), "question": question.get("question")}
    if question.get("is_impossible") is True:
        return values | {"answerable": False}
    answers = question.get("answers") or []
    _require(isinstance(answers, list), f"{where}.answers", "must be a list", answers)
    for number, answer in enumerate(answers):
        _check_answer(answer, f"{where}.answers[{number}]")
    if not answers:  # of a test set that keeps its answers for itself: at least its paragraph is known
        return values | {"document": document}
    spans = dict.fromkeys((answer.get("answer_start"), answer["text"]) for answer in answers)
    texts = list(dict.fromkeys(answer["text"] for answer in answers))
    references = [
        {"document": document, "start_index": start, "end_index": _end(start, text), "content": text, "alternative": n}
        for n, (start, text) in enumerate(spans)
    ]
    return values | {"answer": texts[0], "other_answers": texts[1:], "references": references}


def _check_answer(answer: object, where: str) -> None:
    _require(isinstance(answer, dict), where, "an answer of SQuAD is an object", answer)
    assert isinstance(answer, dict)
    text, start = answer.get("text"), answer.get("answer_start")
    _require(isinstance(text, str) and bool(text.strip()), f"{where}.text", "must be the answer's text", text)
    is_offset = start is None or (isinstance(start, int) and not isinstance(start, bool))
    _require(is_offset, f"{where}.answer_start", "must be a whole number of characters", start)


def _end(start: int | None, text: str) -> int | None:
    return None if start is None else start + len(text)
