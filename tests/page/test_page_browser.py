"""The page in a real browser: drawn, silent, harmless, readable."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from made_run import make_run

from raytuner.goals import Goal
from raytuner.page.data import report_of
from raytuner.page.write import page
from raytuner.run_folder import LOG, holding

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

SCRIPT = "</script><script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"


class Seen(NamedTuple):
    """A page that was opened, and what it did.

    Attributes:
        page: Playwright's page.
        said: What went to the console, and errors.
        requests: The addresses that it asked for.
    """

    page: Any
    said: list[str]
    requests: list[str]

    def drawn(self) -> None:
        """Wait until all charts are drawn."""
        self.page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Seen]]:
    """Opens an address in a tab of its own."""
    contexts = []

    def look(address: str, **options: Any) -> Seen:
        context = browser.new_context(**options)
        contexts.append(context)
        seen = Seen(context.new_page(), [], [])
        seen.page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.said.append(str(error)))
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.goto(address)
        seen.drawn()
        return seen

    yield look
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def address(run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page whose texts, names and values try to run."""
    report = report_of([run])
    found = report["runs"][0]
    found["name"] += SCRIPT
    texts = found["questions"]["texts"]
    for passage in texts["passages"]:
        passage["text"] = SCRIPT + passage["text"]
    for name in texts["questions"]:
        texts["questions"][name] += SCRIPT
    for one in texts["shown"].values():
        one["answer"] = SCRIPT
    for trial in found["trials"]:
        trial["params"][SCRIPT] = trial["params"]["splitter"] + SCRIPT
        if "reason" in trial:
            trial["reason"] = SCRIPT
    found["notes"] = [SCRIPT]
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path.as_uri()


def test_all_charts_are_drawn_in_silence_and_nothing_is_asked_for(opened: Callable[..., Seen], address: str) -> None:
    seen = opened(address)
    plots = seen.page.locator(".chart .plot")
    assert plots.count() >= 12
    for number in range(plots.count()):
        svg = plots.nth(number).locator("svg")
        assert svg.count() == 1
        assert svg.bounding_box()["height"] > 40
        assert svg.locator("path, rect, line").count() > 3
    assert seen.page.evaluate("window.raytuner.failedCharts") == []
    assert seen.said == []
    assert seen.requests == [address]


def test_a_script_in_a_document_does_nothing(opened: Callable[..., Seen], address: str) -> None:
    seen = opened(address)
    for summary in seen.page.locator("summary").all():
        summary.click()
    assert SCRIPT in seen.page.locator(".text").first.inner_text() + seen.page.locator("main").inner_text()
    assert seen.page.title() != "run"
    assert seen.page.locator("main script, main img").count() == 0
    assert seen.said == []


def test_even_a_script_that_got_in_could_not_run_or_send(opened: Callable[..., Seen], address: str) -> None:
    seen = opened(address)
    made = "const made = document.createElement('script'); made.textContent = 'document.title = \"run\"'; "
    seen.page.evaluate(f"() => {{ {made} document.body.append(made) }}")
    assert seen.page.title() != "run"
    failed = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert seen.page.evaluate(failed) == "refused"
    assert all("Content Security Policy" in said or "Fetch API cannot load" in said for said in seen.said)


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_is_wider_than_the_screen(opened: Callable[..., Seen], address: str, width: int) -> None:
    seen = opened(address, viewport={"width": width, "height": 800})
    for summary in seen.page.locator("summary").all():
        summary.click()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def contrast(page: Any, selector: str) -> float:
    """The contrast of a text with the page's ground, as WCAG 2 has it."""
    script = """(node) => {
      const light = (colour) => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
        const [r, g, b] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const style = getComputedStyle(node);
      const text = light(node instanceof SVGElement ? style.fill : style.color);
      const ground = light(getComputedStyle(node.closest('.card') || document.body).backgroundColor);
      return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
    }"""
    found: float = page.locator(selector).first.evaluate(script)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_the_light_and_in_the_dark(opened: Callable[..., Seen], address: str, scheme: str) -> None:
    seen = opened(address, color_scheme=scheme)
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(246, 247, 249)") == (scheme == "light")
    for selector in (".lead", ".soft", "summary", ".chart .role-axis text", ".chart .role-legend text"):
        assert contrast(seen.page, selector) >= 4.5, selector


def test_it_can_be_used_by_the_keyboard(opened: Callable[..., Seen], address: str) -> None:
    seen = opened(address)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the report"
    summary = seen.page.locator("summary", has_text="All 26 trials")
    summary.focus()
    seen.page.keyboard.press("Enter")
    table = seen.page.locator("[aria-label=Trials] table")
    table.wait_for(timeout=10_000)
    assert table.locator("tbody tr").count() == 26
    table.locator("th button", has_text="span_f4").focus()
    seen.page.keyboard.press("Enter")
    shown = [text for text in table.locator("tbody tr td:nth-child(3)").all_inner_texts() if text != "–"]
    assert [float(text) for text in shown] == sorted(float(text) for text in shown)
    seen.page.locator("input[type=search]").last.fill("stopped")
    assert seen.page.locator("[aria-label=Trials] tbody tr").count() == 2


def test_each_chart_has_a_name_and_the_same_as_a_table(opened: Callable[..., Seen], address: str) -> None:
    seen = opened(address)
    for chart in seen.page.locator(".chart").all():
        assert chart.get_attribute("aria-label")
        assert chart.locator("svg").first.get_attribute("aria-label") or chart.locator("[aria-label]").count()
        chart.locator("summary").click()
        chart.locator("tbody tr").first.wait_for(state="attached", timeout=10_000)


def test_it_prints(opened: Callable[..., Seen], address: str, tmp_path: Path) -> None:
    seen = opened(address, color_scheme="dark")
    path = tmp_path / "report.pdf"
    seen.page.pdf(path=str(path), format="A4")
    from pypdf import PdfReader

    reader = PdfReader(path)
    text = " ".join(" ".join(sheet.extract_text() for sheet in reader.pages).split())
    assert len(reader.pages) >= 3
    assert "Take trial" in text
    assert "Importance of each parameter" in text
    seen.page.emulate_media(media="print")
    assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert contrast(seen.page, ".chart .role-axis text") >= 4.5


def test_the_reference_is_marked_where_it_stands(opened: Callable[..., Seen], run: Path, tmp_path: Path) -> None:
    report = report_of([run])
    path = tmp_path / "report.html"
    path.write_text(page(report), encoding="utf-8")
    seen = opened(path.as_uri())
    questions = report["runs"][0]["questions"]
    for name in questions["worst"]:
        seen.page.locator(f"details[data-key='question-{name}']").evaluate("(node) => { node.open = true }")
    shown = questions["texts"]["shown"]
    for name in questions["worst"]:
        node = seen.page.locator(f"details[data-key='question-{name}']")
        references = [one["text"] for one in shown[name]["references"]]
        texts = node.locator(".text:not(.chunk .text) mark").all_text_contents()
        assert texts == references
        for mark in node.locator(".chunk mark").all_text_contents():
            assert any(mark in reference for reference in references)


def test_several_objectives_and_several_runs(opened: Callable[..., Seen], run: Path, tmp_path: Path) -> None:
    goals = [
        Goal.model_validate({"metric": "span_recall", "mode": "max"}),
        Goal.model_validate({"metric": "chunk_tokens", "mode": "min", "limit": 2000.0}),
    ]
    two = make_run(tmp_path / "two", trials=20, goals=goals)
    empty = make_run(tmp_path / "empty", trials=0, ended=False)
    path = tmp_path / "report.html"
    path.write_text(page(report_of([two, run, empty], texts=False)), encoding="utf-8")
    seen = opened(path.as_uri())
    assert seen.page.locator("article.run").count() == 3
    assert seen.page.locator("[data-chart=pareto-1] svg").count() == 1
    assert seen.page.locator("[data-chart=pareto-1] svg line[stroke-dasharray='5,4']").count() == 1  # the limit
    assert "no trial has begun" in seen.page.locator("article").last.inner_text()
    assert seen.said == []


def test_watch_shows_news_keeps_what_is_open_and_ends_with_the_run(opened: Callable[..., Seen], tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", trials=4, held_out=0, ended=False)
    lines = (run / LOG).read_text().splitlines(keepends=True)
    cut = next(number for number, line in enumerate(lines) if '"trial": 3' in line)
    (run / LOG).write_text("".join(lines[:cut]))
    command = [sys.executable, "-m", "raytuner", "watch", str(run)]
    with contextlib.ExitStack() as driver:
        driver.enter_context(holding(run))
        server = driver.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        driver.callback(server.kill)
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        seen = opened(address)
        seen.page.locator("summary", has_text="All 2 trials").click()
        (run / LOG).write_text("".join(lines))
        seen.page.locator("summary", has_text="All 4 trials").wait_for(timeout=30_000)
        assert seen.page.locator("details[data-key=all-trials]").get_attribute("open") is not None
        assert seen.page.locator(".state.running").count() == 1
        (run / ".lock").unlink()  # as far as others see, the driver has ended
        seen.page.locator(".state", has_text="cut off").wait_for(timeout=30_000)
        # Texts are there now.
        seen.page.locator(".question-card details").first.wait_for(timeout=30_000)
        seen.drawn()
        assert seen.said == []
    assert all(request.startswith(address) for request in seen.requests)


def test_a_plot_draws_itself_in_a_frame(opened: Callable[..., Seen], run: Path, tmp_path: Path) -> None:
    from raytuner.run_folder import read_run
    from raytuner.saved_run import load_study, result_of

    plot = result_of(load_study(run), read_run(run)).plot_history()
    path = tmp_path / "cell.html"
    path.write_text(f"<!doctype html><html data-drawn=yes><body>{plot._repr_html_()}</body></html>", encoding="utf-8")
    seen = opened(path.as_uri())
    seen.page.frame_locator("iframe").locator("html[data-drawn=yes] svg").first.wait_for(timeout=30_000)
    assert seen.said == []
