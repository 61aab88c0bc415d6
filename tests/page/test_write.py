"""The report as files."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
from pathlib import Path

import pytest

from raytuner.page.data import report_of
from raytuner.page.markdown import as_markdown, escaped
from raytuner.page.write import LIBRARIES, as_csv, as_json, embedded, page

NASTY = "</script><script>alert(1)</script><!-- <b> & \u2028 \ud800"
NOTICE = Path(__file__).resolve().parents[2] / "NOTICE"


def test_nothing_in_embedded_json_can_end_its_element() -> None:
    text = embedded({"x": NASTY})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["x"].startswith(NASTY[:-1])


def test_the_page_allows_its_own_scripts_only_and_no_request(run: Path) -> None:
    text = page(report_of([run], texts=False))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert (rules["default-src"], rules["connect-src"]) == ("'none'", "'none'")
    assert "unsafe" not in rules["script-src"]
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts}
    assert len(scripts) == 4
    assert hashes == set(rules["script-src"].split())
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text.split("<script>")[0])
    assert len(text.encode()) < 5_000_000


def test_a_live_page_may_ask_its_own_server_only(run: Path) -> None:
    text = page({**report_of([run], texts=False), "seen": "x"}, live=True)
    assert "connect-src 'self';" in text
    assert '"live":true' in text


def test_the_libraries_are_those_that_the_notice_names() -> None:
    folder = Path(__file__).resolve().parents[2] / "raytuner" / "page"
    notice = NOTICE.read_text(encoding="utf-8")
    for name in LIBRARIES:
        content = (folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() in notice
        assert f"version:'{name}" not in notice
        licence = folder / "vendor" / f"LICENSE-{Path(name).name.removesuffix('.min.js')}.txt"
        assert "Redistribution and use" in licence.read_text(encoding="utf-8")


def test_json_is_the_whole_report(run: Path) -> None:
    report = report_of([run], texts=False)
    assert json.loads(as_json(report)) == report


def test_csv_has_a_line_for_each_trial_and_no_formula(run: Path) -> None:
    report = report_of([run], texts=False)
    report["runs"][0]["trials"][0]["params"]["prompt"] = '=HYPERLINK("http://x")'
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert len(rows) == 26
    assert rows[0]["params.prompt"] == '\'=HYPERLINK("http://x")'
    assert {row["state"] for row in rows} == {"scored", "stopped", "failed"}
    first = next(row for row in rows if row["trial"] == "1")
    assert float(first["span_f4"]) > 0


def test_markdown_has_the_answer_first_and_quotes_nothing_as_markup(run: Path) -> None:
    report = report_of([run], texts=False)
    report["runs"][0]["name"] = "x <script>alert(1)</script> [a](http://b) | c"
    text = as_markdown(report)
    lines = text.splitlines()
    assert lines[0] == "# x \\<script\\>alert(1)\\</script\\> \\[a\\](http<!-- -->://b) \\| c"
    assert lines[4].startswith("**Take trial ")
    for line in lines:
        if line.startswith("|"):
            assert line.endswith("|")
    assert "## Importance of each parameter" in text


@pytest.mark.parametrize("text", ["a|b", "<img src=x>", "`code`", "two\nlines", "![](http://x)"])
def test_markdown_of_a_text_is_that_text(text: str) -> None:
    found = escaped(text).replace("<!-- -->", "")
    assert "\n" not in found
    assert re.sub(r"\\(.)", r"\1", found) == " ".join(text.split())
    assert not re.search(r"(?<!\\)[|<>`\[]", found)


def test_metrics_do_not_overwrite_columns_and_no_header_is_a_formula(run: Path) -> None:
    report = report_of([run], texts=False)
    for row in report["runs"][0]["trials"]:
        row["metrics"] |= {"trial": 0.5, "run": 0.25, "usd": 0.75, "=HYPERLINK(1)": 1.0}
    header, first, *_ = csv.reader(io.StringIO(as_csv(report)))
    found = dict(zip(header, first, strict=True))
    assert len(set(header)) == len(header)
    assert (found["metrics.trial"], found["metrics.run"], found["metrics.usd"]) == ("0.5", "0.25", "0.75")
    assert found["run"] == report["runs"][0]["folder"]
    assert found["trial"] == str(report["runs"][0]["trials"][0]["trial"])
    assert "span_f4" in found
    assert "'=HYPERLINK(1)" in found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ask @somebody", "ask @<!-- -->somebody"),
        ("www.evil.example", "www<!-- -->.evil.example"),
        ("see https://evil.example", "see https<!-- -->://evil.example"),
        ("a@b.example", "a@<!-- -->b.example"),
        ("5 @ 3", "5 @ 3"),
    ],
)
def test_nobody_is_mentioned_and_nothing_is_linked(text: str, found: str) -> None:
    assert escaped(text) == found
