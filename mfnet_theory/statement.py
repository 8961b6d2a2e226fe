"""What an experiment hands back: statements with their verdicts, tables, pictures; and what it is asked with."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mfnet_envs.model import LocalModel

Verdict = Literal["holds", "holds as corrected", "fails"]


@dataclass(frozen=True)
class Statement:
    """One line of the result.

    Attributes:
        name: where it stands, for example "Lemma 3.1, (9)".
        says: what the paper, or the corrected reading, claims.
        computed: what came out, with its numbers.
        tolerance: how far the two may be apart.
        verdict: "holds", "holds as corrected" (the printed form is false, the corrected one true) or "fails".
    """

    name: str
    says: str
    computed: str
    tolerance: str
    verdict: Verdict


def judged(name: str, says: str, computed: str, tolerance: str, holds: bool, *, corrected: bool = False) -> Statement:
    """The statement with its verdict.

    Args:
        holds: whether what was computed agrees with what is claimed.
        corrected: the claim is not the printed one; where it holds the verdict says so.
    """
    verdict: Verdict = ("holds as corrected" if corrected else "holds") if holds else "fails"
    return Statement(name, says, computed, tolerance, verdict)


@dataclass(frozen=True)
class Table:
    """Numbers behind a picture; written as ``<experiment>-<name>.csv``."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Experiment:
    """What an experiment found.

    Attributes:
        key: its name on the command line.
        text: a paragraph on what was done.
        tables: name -> table.
        figures: (caption, matplotlib figure).
    """

    key: str
    title: str
    text: str
    statements: tuple[Statement, ...]
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: tuple[tuple[str, Any], ...] = ()


def _say_on_error_stream(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Settings:
    """What an experiment is asked with.

    Attributes:
        quick: seconds instead of minutes.
        seed: of everything random.
        model: the user's own model; None for the experiment's own instances.
        say: shows one line of progress.
    """

    quick: bool = True
    seed: int = 0
    model: LocalModel | None = None
    say: Callable[[str], None] = _say_on_error_stream
