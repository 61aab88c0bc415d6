"""Question sets that are folders: BEIR's and AutoRAG's."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from raytuner.datasets.row import Row, decoded
from raytuner.datasets.rows import line_rows
from raytuner.datasets.tables import parquet_rows
from raytuner.errors import DataError

SPLITS = ("test", "dev", "train")  # of a BEIR folder; the first that is there is read
FORMS = "BEIR (corpus.jsonl, queries.jsonl, qrels/*.tsv), AutoRAG (qa.parquet, corpus.parquet)"

logger = logging.getLogger("raytuner")


def folder_rows(folder: Path, file: str, encoding: str) -> list[Row]:
    """The rows of a question set that is a folder.

    Args:
        folder: The folder.
        file: Its name for messages.
        encoding: How its texts are decoded.

    Returns:
        One row for each question; of a BEIR folder those with a relevant document in the split that is read.

    Raises:
        DataError: The folder is in no known form, or a file in it is malformed.
    """
    if (folder / "queries.jsonl").is_file():
        return _beir_rows(folder, file, encoding)
    if (folder / "qa.parquet").is_file():
        return parquet_rows(folder / "qa.parquet", f"{file}/qa.parquet")
    raise DataError(f"{file}: the folder is no question set; known forms of folders: {FORMS}; or name a file in it")


def _beir_rows(folder: Path, file: str, encoding: str) -> list[Row]:
    relevant = _qrels(folder, file, encoding)
    name = f"{file}/queries.jsonl"
    rows = line_rows(decoded((folder / "queries.jsonl").read_bytes(), name, encoding), name)
    judged = [row for row in rows if str(row.values.get("_id")) in relevant]
    if not judged:
        raise DataError(f"{name}: none of {len(rows)} questions has a relevant document in qrels; check their ids")
    if len(judged) < len(rows):
        logger.info("%s: %d of %d questions have no relevant document there", file, len(rows) - len(judged), len(rows))
    return [Row(row.where, _question(row, relevant)) for row in judged]


def _question(row: Row, relevant: Mapping[str, list[str]]) -> dict[str, object]:
    key = str(row.values["_id"])
    return {"id": key, "question": row.values.get("text"), "document": relevant[key]}


def _qrels(folder: Path, file: str, encoding: str) -> Mapping[str, list[str]]:
    """The relevant documents of each question: those that are judged above 0."""
    split = next((name for name in SPLITS if (folder / "qrels" / f"{name}.tsv").is_file()), None)
    if split is None:
        raise DataError(f"{file}: there is none of qrels/{', qrels/'.join(f'{name}.tsv' for name in SPLITS)}; add one")
    name = f"{file}/qrels/{split}.tsv"
    text = decoded((folder / "qrels" / f"{split}.tsv").read_bytes(), name, encoding)
    relevant: dict[str, list[str]] = defaultdict(list)
    for query, document, score in _judgements(text, name):
        if score > 0:
            relevant[query].append(document)
    return relevant


def _judgements(text: str, file: str) -> Iterator[tuple[str, str, float]]:
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split("\t")
        if not line.strip() or (number == 1 and fields[-1].strip() == "score"):
            continue
        try:
            query, document, score = fields
            yield query.strip(), document.strip(), float(score)
        except ValueError:
            raise DataError(
                f"{file}: line {number}: a judgement is query-id, corpus-id and score between tabs, not {line!r:.60}"
            ) from None
