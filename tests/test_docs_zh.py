"""The Chinese pages say what the English ones say: the same blocks, headings, names, figures, tables and links."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))

from translations import BLOCK, LINK, Pair, blocks, brought_up, headings, pairs, translated  # noqa: E402

PAIRS = [pytest.param(pair, id=pair.chinese.relative_to(ROOT).as_posix()) for pair in pairs()]
CODE = re.compile(r"`([^`]+)`")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.-])\d[\d,.]*(?<![,.])")
HAN = "\u4e00-\u9fff"
NO_SPACE = re.compile(rf"[{HAN}][A-Za-z0-9`$]|[A-Za-z0-9`%][{HAN}]")
FORMULA = re.compile(r"\([^()]* [+-] [^()]*\)")
HALF_WIDTH = re.compile(rf"[{HAN}][,;:!?()]|[,;:!?(][{HAN}]|[{HAN}]\.(?!\w)")


def sections(text: str) -> list[str]:
    """The text below each heading, without blocks; the first is what stands before any."""
    return re.split(r"^#+ .*$", BLOCK.sub("", text), flags=re.MULTILINE)


def by_section(pair: Pair) -> list[tuple[str, str, str]]:
    english, chinese = (page.read_text(encoding="utf-8") for page in pair)
    names = ["the head", *(heading for _, heading in headings(english))]
    return list(zip(names, sections(english), sections(chinese), strict=True))


def prose(text: str) -> str:
    """What is read: without blocks of code, link targets and comments."""
    return LINK.sub("", COMMENT.sub("", BLOCK.sub("", text)))


def rows(text: str) -> list[tuple[int, list[str]]]:
    """Of each row of tables the number of its cells, and the code in the first."""
    found = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
    return [(len(cells), sorted(CODE.findall(cells[0]))) for cells in found]


def every(pattern: re.Pattern[str], text: str) -> set[str]:
    return {" ".join(found.split()) for found in pattern.findall(text)}


@pytest.mark.parametrize("pair", PAIRS)
def test_blocks_and_links_are_those_of_the_english_page(pair: Pair) -> None:
    """Where they are not, `python .ci/translations.py` brings them up."""
    assert pair.english.is_file()
    assert pair.chinese.read_text(encoding="utf-8") == brought_up(pair)


@pytest.mark.parametrize("pair", PAIRS)
def test_each_page_leads_to_the_other_language(pair: Pair) -> None:
    to_chinese, to_english = (os.path.relpath(to, page.parent) for page, to in (pair, reversed(pair)))
    heads = [page.read_text(encoding="utf-8").split("\n")[2] for page in pair]
    assert heads == [f"English | [简体中文]({to_chinese})", f"[English]({to_english}) | 简体中文"]


@pytest.mark.parametrize("pair", PAIRS)
def test_headings_have_the_same_levels(pair: Pair) -> None:
    english, chinese = (headings(page.read_text(encoding="utf-8")) for page in pair)
    assert [level for level, _ in chinese] == [level for level, _ in english]


@pytest.mark.parametrize("pair", PAIRS)
def test_sections_have_the_same_names_figures_and_tables(pair: Pair) -> None:
    for heading, english, chinese in by_section(pair):
        assert every(CODE, chinese) == every(CODE, english), heading
        figures = [every(NUMBER, CODE.sub("", prose(text))) for text in (chinese, english)]
        assert figures[0] == figures[1], heading
        assert rows(chinese) == rows(english), heading


@pytest.mark.parametrize("pair", PAIRS)
def test_sections_have_the_same_links(pair: Pair) -> None:
    for heading, english, chinese in by_section(pair):
        wanted = {translated(link, pair) for link in every(LINK, english)}
        here = {link for link in every(LINK, chinese) if (pair.chinese.parent / link).resolve() != pair.english}
        assert here == wanted - {""}, heading


@pytest.mark.parametrize("pair", PAIRS)
def test_the_typography_is_chinese(pair: Pair) -> None:
    """A space between Han and Latin letters, digits or code; full-width punctuation; a paragraph is one line."""
    text = pair.chinese.read_text(encoding="utf-8")
    for line in prose(text).splitlines():
        bare = line.replace("**", "").replace("![", "").replace("[", "").replace("]()", "")
        assert not NO_SPACE.search(bare), line
        assert not HALF_WIDTH.search(FORMULA.sub("", CODE.sub("", bare))), line
    rendered = MarkdownIt().enable("table").render(COMMENT.sub("", BLOCK.sub("", text)))
    assert "**" not in re.sub(r"<code>.*?</code>", "", rendered)  # bold that is none, beside Chinese punctuation
    assert not re.search(rf"[{HAN}，。；：]\n[{HAN}]", rendered)


def test_a_page_that_drifts_apart_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    english, chinese = tmp_path / "page.md", tmp_path / "zh.md"
    english.write_text("# A\n\nSee [b](#b).\n\n```bash\nnew\n```\n\n## B\n")
    chinese.write_text("# 甲\n\n见 [乙](#b)。\n\n```bash\nold\n```\n\n## 乙\n")
    pair = Pair(english, chinese)
    monkeypatch.setattr("translations.pairs", lambda: [pair])
    assert brought_up(pair) == "# 甲\n\n见 [乙](#乙)。\n\n```bash\nnew\n```\n\n## 乙\n"
    chinese.write_text("# 甲\n")
    with pytest.raises(ValueError, match="has 0 blocks, the English page 1"):
        brought_up(pair)
    assert blocks("a\n\n    b\n    c\n\nd\n") == ["    b\n    c\n"]
