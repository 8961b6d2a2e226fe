"""Ways to spoil a text, a table of texts, or bytes."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

Row = dict[str, str]
Tables = dict[str, list[Row]]

NASTY = (
    "0", "-1", "-0", "1e308", "-1e308", "1e400", "1e-320", "nan", "inf", "-inf", "NaN", "1000000000", "9" * 400, "",
    "abc",
    "1,5", "1.5.2", "0x10", "１２", "½", "None", "null", "true", "<b>", "--1", "+5", "[1]", "[-" + "-" * 3000 + "1]",
    "1;2",
    "1|2", "'5'", "5 mph", "5 MPH", "\u202e7", "1e5", "3.7", "walk", "both", "2", "7", "1.", ".5", "1 000", "N/A", "-",
    "1" + "0" * 30, "x" * 140_000, "é", "\x00",
)  # fmt: skip


def pick(rng: np.random.Generator, things: list[str] | tuple[str, ...]) -> str:
    return things[int(rng.integers(len(things)))]


def nasty(rng: np.random.Generator) -> str:
    """A text where a number is expected; now and then a number."""
    if rng.random() < 0.3:
        return repr(round(float(rng.choice([1e-6, 1.0, 100.0, 1e6]) * rng.exponential()), int(rng.integers(0, 9))))
    return pick(rng, NASTY)


def spoil_tables(rng: np.random.Generator, tables: Tables) -> tuple[Tables, str]:
    """One change to a copy of the tables, and what it was."""
    tables = copy.deepcopy(tables)
    name = pick(rng, [key for key, rows in tables.items() if rows])
    rows = tables[name]
    at = int(rng.integers(len(rows)))
    how = rng.random()
    if how < 0.7:
        column = pick(rng, list(rows[at]))
        before, rows[at][column] = rows[at][column], nasty(rng)
        return tables, f"{name}[{at}].{column}: {before!r} -> {rows[at][column][:60]!r}"
    if how < 0.78:
        del rows[at]
        return tables, f"{name}[{at}] deleted"
    if how < 0.86:
        rows.insert(int(rng.integers(len(rows) + 1)), dict(rows[at]))
        return tables, f"{name}[{at}] twice"
    one, two = pick(rng, list(rows[at])), pick(rng, list(rows[at]))
    rows[at][one], rows[at][two] = rows[at][two], rows[at][one]
    return tables, f"{name}[{at}]: {one} and {two} exchanged"


def shuffled(rng: np.random.Generator, tables: Tables, names: tuple[str, ...]) -> Tables:
    """Rows in another order, where the format gives the order no meaning."""
    return {
        name: [rows[i] for i in rng.permutation(len(rows))] if name in names else rows for name, rows in tables.items()
    }


def _flips(rng: np.random.Generator, data: bytes) -> bytes:
    raw = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    return bytes(raw)


def _cut(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _hole(rng: np.random.Generator, data: bytes) -> bytes:
    a = int(rng.integers(len(data)))
    return data[:a] + data[a + int(rng.integers(1, 40)) :]


def _twice(rng: np.random.Generator, data: bytes) -> bytes:
    a, b = sorted(int(x) for x in rng.integers(0, len(data) + 1, 2))
    return data[:b] + data[a:b] + data[b:]


def _swapped_lines(rng: np.random.Generator, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    a, b = rng.integers(0, len(lines), 2)
    lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


def _lost_line(rng: np.random.Generator, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[int(rng.integers(len(lines)))]
    return b"".join(lines)


def _inserted(rng: np.random.Generator, data: bytes) -> bytes:
    junk = [b"\x00", b"\xff\xfe", b'"', b"[" * 5000, b"(" * 5000, b"<a>" * 5000, b"\xed\xa0\x80", b"~", b";", b"<",
            b">", b"\r",
            b"&x;", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"\x1b[31m", "١٢".encode(), b"9" * 5000,
            b"x" * 200_000]  # fmt: skip
    a = int(rng.integers(len(data) + 1))
    return data[:a] + junk[int(rng.integers(len(junk)))] + data[a:]


def _number(rng: np.random.Generator, data: bytes) -> bytes:
    """One run of digits becomes something else."""
    places = [i for i, byte in enumerate(data) if 48 <= byte < 58 and (i == 0 or not 48 <= data[i - 1] < 58)]
    if not places:
        return _flips(rng, data)
    a = places[int(rng.integers(len(places)))]
    b = a
    while b < len(data) and 48 <= data[b] < 58:
        b += 1
    return data[:a] + nasty(rng).encode("utf-8", "surrogatepass") + data[b:]


def _encoded(rng: np.random.Generator, data: bytes) -> bytes:
    text = data.decode("utf-8", "replace")
    codec = pick(rng, ["utf-16", "utf-32", "utf-8-sig", "cp1252", "utf-16-le", "cp500"])
    return text.encode(codec, "replace")


BYTES: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    _flips, _cut, _hole, _twice, _swapped_lines, _lost_line, _inserted, _number, _number, _number, _encoded,
)  # fmt: skip


def spoil_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if data:
            data = BYTES[int(rng.integers(len(BYTES)))](rng, data)
    return data


def spoil_kind(rng: np.random.Generator, path: Path) -> str:
    """Something else stands where the file was."""
    how = pick(rng, ["empty", "folder", "pipe", "device", "zero", "loop", "unreadable", "gone"])
    path.unlink()
    if how == "empty":
        path.touch()
    elif how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "device":
        path.symlink_to("/dev/null")
    elif how == "zero":
        path.symlink_to("/dev/zero")
    elif how == "loop":
        path.symlink_to(path.name)
    elif how == "unreadable":
        path.touch(0)
    return how
