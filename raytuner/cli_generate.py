"""``raytuner generate``: questions from documents."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from raytuner import cost, datasets
from raytuner.calls import calling
from raytuner.calls.budget import Budget
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.config import TuneConfig
from raytuner.datasets import Question
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError, redact
from raytuner.generation import Generated, extracted, generate
from raytuner.generation.draft import Draft, as_question
from raytuner.generation.review import read_review, review_text
from raytuner.models import ModelSpec, prepare
from raytuner.models.factory import SERVICES, check_llm
from raytuner.models.pricing import price
from raytuner.models.spec import spec


def run(
    paths: Sequence[str],
    out: Path,
    *,
    count: int,
    llm: str | None,
    config: Path | None,
    batch: bool,
    seed: int,
    budget: Budget,
    review: Path | None,
    from_review: Path | None,
    form: str | None,
    force: bool,
) -> None:
    """Make questions and write them; see the command.

    Raises:
        UserError: Something that is given is wrong.
    """
    documents = load_documents(paths)
    texts = {document.id: document.text for document in documents}
    if out.exists() and not force:
        raise DataError(f"{out}: the file exists; name another, or replace it with --force")
    datasets.check_target(out, form)
    if review is not None and not review.parent.is_dir():
        raise DataError(f"{review}: there is no folder {review.parent}; make it, or name another file")
    if review is not None and review.exists() and not force:
        raise DataError(f"{review}: the file exists; name another, or replace it with --force")
    if from_review is not None:
        made = Generated(read_review(from_review, documents))
    elif llm is None:
        made = Generated(extracted(documents, count, seed))
    else:
        made = _by_llm(documents, count, _spec(llm, config, budget, batch), seed, budget)
    if not made.drafts:
        why = _dropped(made).removeprefix("; ") or made.ended or "none is kept"
        raise DataError(f"no question came of it ({why}); see another LLM, or none")
    datasets.write(_questions(made.drafts, texts), out, texts, form=form, force=force)
    click.echo(redact(f"{out}: {len(made.drafts)} questions ({_kinds(made.drafts)}){_dropped(made)}"))
    if review is not None:
        review.write_text(review_text(made.drafts, texts), encoding="utf-8")
        click.echo(f"{review}: to be looked through; then --from-review {review}")
    if made.ended is not None:
        again = "" if made.is_all else "; the same call with --force goes on from there"
        click.echo(redact(f"{made.ended}: {len(made.drafts)} of {count}{again}"), err=True)
    elif from_review is None and len(made.drafts) < count:
        click.echo(f"{len(made.drafts)} of {count}: the documents have no more to ask about without an LLM", err=True)


def _by_llm(documents: Sequence[Document], count: int, llm: ModelSpec, seed: int, budget: Budget) -> Generated:
    prepare([], [llm])
    ledger = Ledger(budget)
    calling(LocalHandle(ledger))
    started = time.monotonic()
    try:
        made = generate(documents, count, llm, seed)
    finally:
        calling(None)
        ledger.settle_all()
        rows, notes = ledger.take()
        for line in (*notes, *(cost.said(spent) if (spent := cost.cost_of(rows)) else ())):
            click.echo(line, err=True)
    click.echo(f"{time.monotonic() - started:.1f} s", err=True)
    return made


def _spec(llm: str, config: Path | None, budget: Budget, batch: bool) -> ModelSpec:
    table = TuneConfig.load(config).models_table() if config is not None else {}
    named = spec(llm, table)
    found = check_llm(replace(named, batch=True) if batch else named)
    if budget.usd is not None and price(found) is None:
        raise ConfigError(f"--usd {budget.usd:g}: the price of {llm} is not known; set models.NAME.price in --config")
    bounded = budget.usd is not None or budget.tokens is not None
    if bounded and found.kind in SERVICES and found.max_tokens is None:
        raise ConfigError(
            f"a budget needs the most tokens of an answer of {llm}; set models.NAME.max_tokens in --config"
        )
    return found


def _questions(drafts: Sequence[Draft], texts: dict[str, str]) -> list[Question]:
    return [as_question(draft, number, texts) for number, draft in enumerate(drafts, 1)]


def _kinds(drafts: Sequence[Draft]) -> str:
    kinds = [draft.kind for draft in drafts]
    return ", ".join(f"{kind} {kinds.count(kind)}" for kind in dict.fromkeys(kinds))


def _dropped(made: Generated) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in made.dropped.most_common(5))
    return f"; left out: {reasons}" if reasons else ""
