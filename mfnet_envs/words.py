"""The sentences that refuse an argument: each names it, says what it must be and what it is."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: ``; did you mean 'x'?`` or a full stop."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else "."


def is_whole(value: Any, lowest: int = 0) -> bool:
    """Whether ``value`` is an integer of at least ``lowest``; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= lowest


def is_number(value: Any) -> bool:
    """Whether ``value`` is a finite real number; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def whole(name: str, value: Any, lowest: int = 1) -> int:
    """``value`` as an int of at least ``lowest``.

    Raises:
        ValueError: it is none.
    """
    if is_whole(value, lowest):
        return int(value)
    wanted = {0: "a non-negative integer", 1: "a positive integer"}.get(lowest, f"an integer of at least {lowest}")
    raise ValueError(f"{name} must be {wanted}, not {value!r}")


def positive(**numbers: Any) -> None:
    """Refuse what is not a finite number > 0."""
    for name, value in numbers.items():
        if not (is_number(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, not {value!r}")


def non_negative(**numbers: Any) -> None:
    """Refuse what is not a finite number >= 0."""
    for name, value in numbers.items():
        if not (is_number(value) and value >= 0):
            raise ValueError(f"{name} must be a non-negative number, not {value!r}")


def share(**numbers: Any) -> None:
    """Refuse what is not a number in [0, 1]."""
    for name, value in numbers.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")


def one_of(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse what is not among the choices."""
    if not (isinstance(value, str) and value in choices):
        near = did_you_mean(value, choices)
        meant = near if near != "." else ""
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}{meant}")


def checked_population(population: Any) -> int:
    """The population as an int; the one place that says what a population is."""
    if not is_whole(population, 1):
        raise ValueError(f"population must be a positive integer (the number of agents N), not {population!r}")
    return int(population)
