"""Rows of CSV files by column name."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from mfnet_envs.io.files import text_of
from mfnet_envs.io.reading import Place
from mfnet_envs.words import brief, shown


class Row(NamedTuple):
    """A row of a CSV file by column name in lower case; empty and ``NaN`` fields are left out."""

    place: Place
    fields: dict[str, str]

    def text(self, column: str) -> str:
        if column.lower() not in self.fields:
            self.place.fail(f"column {column} is empty")
        return self.fields[column.lower()]

    def value(self, columns: tuple[str, ...], default: float, kind: str = "non-negative") -> float:
        """The number in the first of ``columns`` that is filled."""
        for column in columns:
            if column.lower() in self.fields:
                return self.place.number(self.fields[column.lower()], column, kind)
        return default


def rows(path: Path, *required: str) -> Iterator[Row]:
    """The rows of a file, empty lines left out.

    Raises:
        NetworkFileError: no CSV, a header without one of the ``required`` columns, a row of another length.
    """
    place = Place(str(path))
    reader = csv.reader(StringIO(text_of(place), newline=""), strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        for column in required:
            if column.lower() not in names:
                place.line(1).fail(f"the header has no column {column}")
        if twice := [name for name in names if name and names.count(name) > 1]:
            place.line(1).fail(f"the header has column {shown(twice[0])} twice; keep one")
        for texts in reader:
            here = place.line(reader.line_num)
            if not any(text.strip() for text in texts):
                continue
            if len(texts) != len(names):
                here.fail(f"expected {len(names)} fields as in the header, found {len(texts)}")
            pairs = ((name, text.strip()) for name, text in zip(names, texts, strict=True))
            yield Row(here, {name: text for name, text in pairs if text and text.lower() != "nan"})
    except csv.Error as error:
        place.line(reader.line_num).fail(f"this is no CSV ({brief(error)}); is a quotation mark left open?")
