"""Tables as HTML, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, below: str = "") -> str:
    """A table.

    Args:
        head: The columns.
        rows: Their cells.
        below: A line under the table.

    Returns:
        HTML in which all texts are escaped.
    """
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    remark = f"<p>{escape(below)}</p>" if below else ""
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>{remark}"
