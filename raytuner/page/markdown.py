"""The report as Markdown, for a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raytuner.page.charts import charts_of

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_LINKED = re.compile(r"@(?=\w)|\bwww(?=\.)|\b(?:https?|ftp|mailto|xmpp)(?=:)", re.IGNORECASE)
"""Before what GitHub makes a link or a mention of, there comes a comment, which nobody sees."""
MOST_ROWS = 30
"""So many rows of a table are shown; ``--format json`` and ``csv`` have all."""
_LEFT_OUT = {"parallel", "stopped", "questions"}


def as_markdown(report: Mapping[str, Any]) -> str:
    """The report as text; what is quoted from runs and documents is escaped."""
    return (
        "\n".join(line for run in report["runs"] for line in _run(run)) + f"\nMade by raytuner {report['raytuner']}\n"
    )


def _run(run: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {escaped(run['name'])}"
    yield ""
    yield f"{escaped(run['folder'])}: {run['state']}, {len(run['trials'])} trials"
    yield ""
    yield from _answer(run)
    for chart in charts_of(run):
        if chart["id"] in _LEFT_OUT:
            continue
        yield f"## {escaped(chart['title'])}"
        yield ""
        yield escaped(chart["about"])
        yield ""
        yield from _table(chart["table"]["head"], chart["table"]["rows"])
    yield from _questions(run)
    for note in run["notes"]:
        yield f"- {escaped(note)}"
    if run["own_code"]:
        yield f"Code of its own, not imported: {escaped(', '.join(run['own_code']))}"
    yield ""


def _answer(run: Mapping[str, Any]) -> Iterator[str]:
    answer = run["answer"]
    if answer is None:
        yield f"**No answer yet: {escaped(run['no_answer'])}**"
        yield ""
        return
    yield f"**{escaped(answer['headline'])}**"
    yield ""
    yield from (f"- {escaped(line)}" for line in answer["verdict"])
    yield ""
    best, default = answer["best"], answer["default"]
    names = list(dict.fromkeys([*best["params"], *(default["params"] if default else ())]))
    others = [default] if default and default["trial"] != best["trial"] else []
    head = ["parameter", f"trial {best['trial']}", *("default" for _ in others)]
    yield from _table(head, [[name, *(one["params"].get(name, "") for one in (best, *others))] for name in names])


def _questions(run: Mapping[str, Any]) -> Iterator[str]:
    found = run["questions"]
    if found is None:
        return
    texts = found["texts"].get("questions", {})
    rows = {row["id"]: row for row in found["rows"]}
    yield "## The worst questions"
    yield ""
    head = ["question", *(f"trial {leader['trial']}" for leader in found["leaders"]), "best of any"]
    worst = [rows[name] for name in found["worst"]]
    yield from _table(head, [[texts.get(row["id"], row["id"]), *row["scores"], row["top"]] for row in worst])


def _table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield _line(head)
    yield _line(["---"] * len(head), escape=False)
    yield from map(_line, rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        yield ""
        yield f"and {len(rows) - MOST_ROWS} more"
    yield ""


def _line(cells: Sequence[Any], escape: bool = True) -> str:
    texts = ["" if cell is None else " ".join(str(cell).split()) for cell in cells]
    return f"| {' | '.join(map(escaped, texts) if escape else texts)} |"


def escaped(text: str) -> str:
    """A text in which nothing is Markdown or HTML."""
    plain = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return _LINKED.sub(lambda found: f"{found.group()}<!-- -->", plain)
