"""The splitter ``markdown``."""

from __future__ import annotations

import re
from itertools import pairwise

from markdown_it import MarkdownIt

from raytuner.pipeline.standalone.fitted import fitted


def cut(text: str) -> list[str]:
    """Cut a text at its headings, and sections that are too long between sentences."""
    return fitted(sections(text))


def sections(text: str) -> list[str]:
    """The sections of a Markdown text, each with the heading it begins with."""
    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    lines = [0, *(match.end() for match in re.finditer(r"\r\n?|\n", text))]
    headings = [
        lines[token.map[0]] for token in tokens if token.type == "heading_open" and token.map and not token.level
    ]
    parts = [text[start:end].strip() for start, end in pairwise(sorted({0, *headings, len(text)}))]
    return [part for part in parts if part]
