"""Rows of cells, head first, for a terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Row = Sequence[str]


def as_text(rows: Sequence[Row]) -> str:
    """Aligned columns, the first to the left and the others to the right, with a rule below the head.

    >>> print(as_text([("policy", "value"), ("stay", "4.576"), ("bound", "11.812")]))
    policy   value
    --------------
    stay     4.576
    bound   11.812
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def as_markdown(rows: Sequence[Row]) -> str:
    """A Markdown table; a bar within a cell is escaped.

    >>> print(as_markdown([("policy", "value"), ("stay", "4.576")]))
    | policy | value |
    |---|---|
    | stay | 4.576 |
    """
    head, *body = [_line(cell.replace("|", "\\|") for cell in row) for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
