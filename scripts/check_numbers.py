"""Hold every number of README.md, CONTRIBUTING.md and docs/ against docs/numbers.toml, and that against what runs.

check_numbers.py [--slow] [NAME ...]   (a) no result without a record, (b) pages say what the record says, (c) commands
                                       print it again: the exact and quick ones, with --slow all, or those named
check_numbers.py --pages               (a) and (b) only

The record holds three things. ``[commands.NAME]``: what prints the numbers, what that ``cost``s (exact: seconds, the
same digits everywhere; quick: minutes; slow), and for times the machine. ``[[claims]]``: pieces of ``text`` as they
stand on a ``page``, with the command, where their numbers stand in what it prints, and how far apart the two may be.
``[[constants]]``: numbers that nobody measures (sizes of the model, published values, versions), with the reason.

A number is a result, and must stand in one of these, where a table's cell begins with it or where it looks like one: it
has decimals or thousands, a unit, a percent sign or an interval. Code, links, equation numbers and versions are no
results. The pages of docs/environments are written by build_pages.py; their measured tables need no entry, since the
command ``environments`` is build_pages.py itself.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import hypot
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORD = "docs/numbers.toml"
COSTS = ("exact", "quick", "slow")
DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d+)?"
NUMBER = re.compile(rf"(?<![\w.^])(?:± )?[-−]?{DIGITS}(?![\w^]|\.\d|,\d)")  # "± .05" is half an interval
UNIT = r"\s?(?:%|±|s\b|ms\b|MB\b|GB\b|seconds?\b|minutes?\b|hours?\b|times as\b)"
LOOKS_LIKE_ONE = rf"[-−]?{DIGITS}(?={UNIT})|(?<=± ){DIGITS}|[-−]?(?=[\d.,]*[.,]\d){DIGITS}"
RESULT = re.compile(rf"(?<![\w.^])(?:{LOOKS_LIKE_ONE})(?![\w^]|\.\d|,\d)")
# Code, tags and links; equations, statements and readings by number; versions and powers; ranges; conventions.
NO_CLAIMS = (
    r"`[^`]+`", r"<[a-z/][^<>]*>", r"\]\([^)]*\)",
    r"\(\d\d?\)", r"\b(?:Theorems?|Lemmas?|Sections?|Python|readings?) [\d.]+",
    r"\b\d+\.\d+\.\d+\w*", r"[A-Za-z]{2,}-\d[\d.]*", r"\^-?\d+",
    r"\d+\.\.\d+", r"95 % interval", r"\bgamma =? ?[\d.]+",
)  # fmt: skip
NO_CLAIM = re.compile("|".join(NO_CLAIMS))
NO_WORDS = re.compile(r"^```.*?^```|<!--.*?-->", re.MULTILINE | re.DOTALL)


# -- the record -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """What prints numbers: ``run`` follows the Python of ``env``, or begins with mfnet; ``on``: what took the times."""

    name: str
    run: str
    cost: str
    on: str = ""
    env: str = "default"

    def printed(self) -> str:
        """What it prints; raises RuntimeError where it fails."""
        words = shlex.split(self.run)
        start = ["-m", "mfnet_agents.cli"] if words[0] == "mfnet" else [words[0]]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"}
        python = sys.executable if self.env == "default" else str(ROOT / ".venv-interop" / "bin" / "python")
        ran = subprocess.run([python, *start, *words[1:]], capture_output=True, text=True, cwd=ROOT, env=environment)
        if ran.returncode:
            raise RuntimeError(f"exit code {ran.returncode}\n{ran.stderr[-2000:]}")
        return ran.stdout


@dataclass(frozen=True)
class Claim:
    """Pieces of a page whose numbers a command prints.

    Attributes:
        printed: patterns whose groups are the numbers of the text in order; or else ``sections``.
        sections: the text is rows of a table, and each cell's numbers stand in the row of the same name (``names``
            where it is another) after this heading of the output: one heading for each column, or one for the row.
        tolerance: "exact" (the same digits, up to one of the last), "interval" (three of the printed intervals
            together; 5 % where a number has none), or the factor by which it may differ, such as 2 for a speed.
    """

    page: str
    command: str
    text: tuple[str, ...]
    printed: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    names: dict[str, str] = field(default_factory=dict)
    tolerance: str | float = "exact"

    def pairs(self, output: str) -> list[tuple[str, str]]:
        """(on the page, in the output) for every number; raises LookupError where the output has none."""
        return list(self._by_row(output) if self.sections else self._by_pattern(output))

    def _by_pattern(self, output: str) -> Iterator[tuple[str, str]]:
        found = []
        for pattern in self.printed:
            match = re.search(pattern, output, re.MULTILINE)
            if match is None:
                raise LookupError(f"nothing like {pattern!r} is printed")
            found += match.groups()
        said = [number for piece in self.text for number in numbers(piece)]
        if len(said) != len(found):
            raise LookupError(f"the text has {len(said)} numbers, {len(found)} are looked for in the output")
        yield from zip(said, found, strict=True)

    def _by_row(self, output: str) -> Iterator[tuple[str, str]]:
        for row in self.text:
            label, *cells = [cell.strip().strip("*") for cell in row.strip().strip("|").split("|")]
            if len(self.sections) == 1:
                cells = [" ".join(cells)]
            for cell, section in zip(cells, self.sections, strict=False):
                if said := numbers(cell):
                    found = numbers(_line(output, section, self.names.get(label, label)))
                    if len(found) < len(said):
                        raise LookupError(f"in the row {label!r} only {len(found)} numbers are printed")
                    yield from zip(said, found, strict=False)


def _line(output: str, section: str, label: str) -> str:
    """What stands after ``label`` on its line, in the table after ``section``."""
    _, found, rest = output.partition(section)
    rest = re.split(r"(?<=\|)\n\n", rest)[0]
    match = re.search(rf"^[|\s*]*{re.escape(label)}[\s*|:](.*)$", rest, re.MULTILINE)
    if not found or match is None:
        raise LookupError(f"no row {label!r} is printed after {section!r}")
    return match[1]


class Record:
    """docs/numbers.toml. Raises ValueError for an entry that does not make sense."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        given = tomllib.loads((root / RECORD).read_text("utf-8"))
        self.commands = {name: Command(name, **entry) for name, entry in given.get("commands", {}).items()}
        self.claims = [Claim(**{**entry, "text": _pieces(entry["text"])}) for entry in given.get("claims", [])]
        self.constants: list[dict[str, Any]] = [
            {**entry, "text": _pieces(entry["text"])} for entry in given.get("constants", [])
        ]
        self.claims += _measured(root) if "environments" in self.commands else []
        for command in self.commands.values():
            if command.cost not in COSTS:
                raise ValueError(f"{RECORD}: command {command.name} costs {command.cost!r}, not one of {COSTS}")
        for claim in self.claims:
            if claim.command not in self.commands:
                raise ValueError(f"{RECORD}: {claim.text[0]!r} is printed by {claim.command!r}, which is no command")
        for constant in self.constants:
            if not constant["why"].strip():
                raise ValueError(f"{RECORD}: {constant['text'][0]!r} is a constant without a reason")

    @cached_property
    def pages(self) -> dict[str, str]:
        """Every page, white space as one blank except at the ends of lines of tables."""
        files = [self.root / "README.md", self.root / "CONTRIBUTING.md", *sorted((self.root / "docs").rglob("*.md"))]
        texts = {str(path.relative_to(self.root)): path.read_text("utf-8") for path in files if path.exists()}
        return {name: _words(text) for name, text in texts.items() if name != "docs/environments/README.md"}

    def faults(self) -> list[str]:
        """(a) numbers without a record, and (b) records that the page no longer says."""
        return [*self._unsaid(), *self._unrecorded()]

    def _unsaid(self) -> Iterator[str]:
        said = [(claim.page, piece) for claim in self.claims for piece in claim.text]
        said += [(constant["page"], piece) for constant in self.constants for piece in constant["text"]]
        for page, piece in said:
            if piece not in self.pages.get(page, ""):
                yield f"{page} does not say {piece!r}, which {RECORD} has; run the command named there, mend both"

    def _unrecorded(self) -> Iterator[str]:
        for page, text in self.pages.items():
            pieces = [piece for claim in self.claims if claim.page == page for piece in claim.text]
            pieces += [piece for entry in self.constants if entry["page"] == page for piece in entry["text"]]
            for piece in sorted(pieces, key=len, reverse=True):
                text = text.replace(piece, re.sub(r"\S", "_", piece))
            for line in text.splitlines():
                for number in results(line):
                    yield f"{page}: {number} has no record in {RECORD}: ...{line[:110]}..."


def _measured(root: Path) -> Iterator[Claim]:
    """The tables of the environments' pages, which build_pages.py writes and prints alike."""
    for path in sorted((root / "docs" / "environments").glob("*.md")):
        _, found, rest = path.read_text("utf-8").partition("\n## Measured\n")
        id = re.search("^# (.+)$", path.read_text("utf-8"), re.MULTILINE)
        if found and id:
            rows = tuple(_blank(row) for row in rest.strip().partition("\n\n")[0].splitlines()[2:])
            page = str(path.relative_to(root))
            yield Claim(page, "environments", rows, sections=(f"{id[1]}:",), tolerance="interval")


def _pieces(text: str | list[str]) -> tuple[str, ...]:
    """One piece, a list of them, or the rows of a table."""
    if isinstance(text, str):
        text = text.strip().splitlines() if text.strip().startswith("|") else [text]
    return tuple(_blank(piece) for piece in text)


def _words(text: str) -> str:
    """A page without what is no claim; paragraphs and rows become lines."""
    text = text.partition("\n## Spaces\n")[0]  # what follows is the code's, as is all of these pages
    parts = re.split(r"\n{2,}|\n(?=\||- |#)", NO_WORDS.sub("", text))
    return "\n".join(_blank(part) for part in parts)


def _blank(text: str) -> str:
    return " ".join(text.split())


def numbers(text: str) -> list[str]:
    """Every number of a piece of text, references left out."""
    return [match[0] for match in NUMBER.finditer(NO_CLAIM.sub("_", text))]


def results(line: str) -> list[str]:
    """The numbers of a line that must have a record: all in a cell of numbers, elsewhere what looks like a result."""
    if not line.startswith("|"):
        return [match[0] for match in RESULT.finditer(NO_CLAIM.sub("_", line))]
    label, *cells = line.strip("| ").split(" | ")
    return results(label) + [found for cell in cells for found in (numbers if _is_numeric(cell) else results)(cell)]


def _is_numeric(cell: str) -> bool:
    """Whether a cell is numbers with at most a word or two."""
    return bool(re.match(rf"[*\[\s]*[-−]?{DIGITS}", cell)) and sum(map(str.isalpha, cell)) <= 12


# -- comparing --------------------------------------------------------------------------------------------------------


def value(number: str) -> float:
    return float(number.removeprefix("± ").replace(",", "").replace("−", "-"))


def unit(number: str) -> float:
    """One of the last digit shown."""
    mantissa, _, exponent = number.replace(",", "").partition("e")
    return 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def differences(claim: Claim, output: str) -> list[str]:
    """What the command prints otherwise than the page says, in words."""
    pairs = claim.pairs(output)
    return [
        f"{claim.page} says {said}, `{claim.command}` prints {now} (tolerance: {claim.tolerance})"
        for (said, now), after in zip(pairs, [*pairs[1:], None], strict=True)
        if not agree(said, now, claim.tolerance, after)
    ]


def agree(said: str, now: str, tolerance: str | float, after: tuple[str, str] | None) -> bool:
    """Whether two numbers may stand for each other; ``after``: the next pair, their intervals if it begins with ±."""
    old, new, step = value(said), value(now), 1.01 * unit(said)
    if tolerance == "exact":
        factor = 1.0
    elif tolerance != "interval":
        factor = float(tolerance)
    elif after is not None and after[0].startswith("±"):
        return abs(old - new) <= 3 * hypot(value(after[0]), value(after[1])) + step
    else:
        factor = 3.0 if said.startswith("±") else 1.05
    ends = sorted((old / factor, old * factor))
    return ends[0] - step <= new <= ends[1] + step


def rerun(record: Record, wanted: list[Command]) -> list[str]:
    """(c): run commands and compare; a line for each on the error stream."""
    faults = []
    for command in wanted:
        claims = [claim for claim in record.claims if claim.command == command.name]
        began = time.monotonic()
        try:
            output = command.printed()
        except (OSError, RuntimeError) as error:  # OSError: the other environment is not there
            faults.append(f"`{command.run}` cannot be run in the {command.env} environment: {error}")
            continue
        for claim in claims:
            try:
                faults += differences(claim, output)
            except LookupError as error:
                faults.append(f"{claim.page}, {claim.text[0][:60]!r}, `{command.run}`: {error}")
        print(f"{command.name}: {len(claims)} claims, {time.monotonic() - began:.0f} s", file=sys.stderr)
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="these commands only")
    parser.add_argument("--slow", action="store_true", help="the slow commands too")
    parser.add_argument("--pages", action="store_true", help="run no command")
    options = parser.parse_args()
    record = Record()
    if unknown := set(options.names) - set(record.commands):
        parser.error(f"no command {', '.join(sorted(unknown))} in {RECORD}; there are {', '.join(record.commands)}")
    costs = () if options.pages else COSTS if options.slow else COSTS[:2]
    wanted = [
        command for command in record.commands.values()
        if (command.name in options.names if options.names else command.cost in costs)
    ]  # fmt: skip
    faults = [*record.faults(), *rerun(record, wanted)]
    print("\n".join(faults) or f"every number of {len(record.pages)} pages has its record")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
