"""Brings the Chinese pages up to the English ones in what both share: the blocks of code and where links lead.

Text is translated by hand. In a translation a new block is an empty one (two fences), and a new link has the target of
the English page: both are filled in. `python .ci/translations.py` writes, or says which page has other blocks.
"""

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^ *```\w*\n(?:.*\n)*?^ *```$|(?<=\n\n)(?: {4}.*\n?)+(?=\n)", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


class Pair(NamedTuple):
    """A page and its translation."""

    english: Path
    chinese: Path


def pairs() -> list[Pair]:
    """Every translation with its original; pages in `docs/zh/` have the names of those in `docs/`."""
    pages = [Pair(ROOT / "docs" / page.name, page) for page in sorted((ROOT / "docs" / "zh").glob("*.md"))]
    return [Pair(ROOT / "README.md", ROOT / "README.zh-CN.md"), *pages]


def blocks(text: str) -> list[str]:
    """The blocks of code, between fences or indented by four spaces."""
    return [match[0] for match in BLOCK.finditer(text)]


def headings(text: str) -> list[tuple[str, str]]:
    """The level, as so many `#`, and the text of each heading."""
    return HEADING.findall(BLOCK.sub("", text))


def anchors(page: Path) -> list[str]:
    """What links call the headings of a page; a picture has none."""
    if page.suffix != ".md":
        return []
    found = headings(page.read_text(encoding="utf-8"))
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for _, heading in found]


def translated(link: str, pair: Pair) -> str:
    """A link of either page as the translation has it, to Chinese pages where they are; one to nowhere stays."""
    path, _, anchor = link.partition("#")
    for page in (pair.chinese, pair.english):
        target = (page.parent / path).resolve() if path else page
        if (target, anchor) == (pair.english, ""):  # the way to the other language
            return link
        if "://" in link or not target.is_file():
            continue
        to = dict(pairs()).get(target, target)
        names = {"": "", **dict(zip(anchors(target), anchors(to), strict=False)), **{own: own for own in anchors(to)}}
        if anchor in names:
            shown = "" if to == pair.chinese else Path(os.path.relpath(to, pair.chinese.parent)).as_posix()
            return f"{shown}#{names[anchor]}" if anchor else shown
    return link


def brought_up(pair: Pair) -> str:
    """The translation with the blocks of the original, and with links that lead where those of the original lead.

    Raises:
        ValueError: The two have not as many blocks.
    """
    text = pair.chinese.read_text(encoding="utf-8")
    shared = blocks(pair.english.read_text(encoding="utf-8"))
    if len(blocks(text)) != len(shared):
        raise ValueError(f"{pair.chinese.name} has {len(blocks(text))} blocks, the English page {len(shared)}")
    following = iter(shared)
    text = BLOCK.sub(lambda _: next(following), text)
    return LINK.sub(lambda link: translated(link[0], pair), text)


if __name__ == "__main__":
    for pair in pairs():
        try:
            pair.chinese.write_text(brought_up(pair), encoding="utf-8")
        except ValueError as error:
            sys.exit(str(error))
