"""The report as one file: a page, Markdown, JSON or a table."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
from collections.abc import Collection, Mapping
from importlib.resources import files
from typing import Any

from raytuner.page.charts import charts_of
from raytuner.page.importance import NO_SAMPLE

LIBRARIES = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-embed.min.js")

Report = Mapping[str, Any]


def page(report: Report, *, live: bool = False) -> str:
    """The report as one HTML file, which needs no network and sends nothing anywhere.

    Its Content-Security-Policy allows only the scripts in it, by their hashes, and no request; a live one may ask the
    server that it came from.

    Args:
        report: From `raytuner.page.data.report_of`.
        live: Whether it asks for news.
    """
    names = ", ".join(run["name"] for run in report["runs"])
    return _filled(f"{names} - raytuner", shown(report, live=live), live=live)


def chart_page(chart: Mapping[str, Any]) -> str:
    """One chart by itself as an HTML file; see `page`.

    Args:
        chart: One of `raytuner.page.charts.charts_of`.
    """
    return _filled(chart["title"], {"runs": [], "chart": chart}, live=False)


def _filled(title: str, data: Mapping[str, Any], *, live: bool) -> str:
    """The template with everything that the page needs."""
    scripts = [_own(name) for name in (*LIBRARIES, "page.js")]
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        f"connect-src {_quoted('self' if live else 'none')}; base-uri 'none'; form-action 'none'"
    )
    parts = {
        "policy": policy,
        "title": html.escape(title),
        "style": _own("page.css"),
        "data": embedded(data),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    pieces = _own("template.html").split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))


def shown(report: Report, **more: Any) -> dict[str, Any]:
    """The report with its charts, as the page reads it."""
    runs = [{**run, "charts": charts_of(run), "no_sample": NO_SAMPLE} for run in report["runs"]]
    return {**report, **more, "runs": runs}


def embedded(value: Any) -> str:
    """JSON that may stand in an element ``script``: nothing in it ends the element or begins another."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate has no UTF-8
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _own(name: str) -> str:
    return files("raytuner.page").joinpath(name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _quoted(word: str) -> str:
    return f"'{word}'"


def as_json(report: Report) -> str:
    """The report as JSON; the same object that the page is made of, without its charts."""
    return json.dumps(report, ensure_ascii=False, indent=1) + "\n"


def as_csv(report: Report) -> str:
    """A line for each trial; what begins like a formula is quoted, since spreadsheets would run it."""
    rows = [_line(run, row) for run in report["runs"] for row in run["trials"]]
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["run"]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(map(_harmless, columns))
    writer.writerows([_harmless(row.get(name)) for name in columns] for row in rows)
    return written.getvalue()


def _line(run: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    own = {"run": run["folder"], "trial": row["trial"]}
    said = {name: row.get(name) for name in ("state", "questions", "seconds", "usd", "reason", "error")}
    params = {f"params.{name}": value for name, value in row["params"].items()}
    return {**own, **params, **apart(row["metrics"], {*own, *said, *params}), **said}


def apart(metrics: Mapping[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """Metrics as columns; one with the name of another column is called ``metrics.NAME``."""
    return {f"metrics.{name}" if name in taken else name: value for name, value in metrics.items()}


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
