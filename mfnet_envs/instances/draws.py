"""Whole numbers from a key, the same in every process, on every machine and with every version of every library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

Item = TypeVar("Item")


def digest(content: Any) -> str:
    """The sha256 of plain data: of its JSON with sorted keys, no blanks and no letters beyond ASCII.

    Raises:
        TypeError: a float in it, which may be written differently elsewhere, or what JSON has no word for.
    """
    _no_floats(content)
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _no_floats(content: Any) -> None:
    if isinstance(content, float):
        raise TypeError(f"an instance is written in whole numbers and words, not {content}")
    if isinstance(content, dict | list | tuple):
        for part in content.values() if isinstance(content, dict) else content:
            _no_floats(part)


class Draws:
    """The n-th draw is the first half of sha256("key/n"): no generator whose stream might change.

    >>> draws = Draws("grid/7")
    >>> [draws.between(1, 6) for _ in range(8)]
    [3, 5, 5, 5, 1, 2, 5, 2]
    """

    def __init__(self, key: str) -> None:
        self.key, self.drawn = key, 0

    def below(self, n: int) -> int:
        """0 .. n - 1, even to one part in 2^128 / n."""
        word = hashlib.sha256(f"{self.key}/{self.drawn}".encode()).digest()[:16]
        self.drawn += 1
        return int.from_bytes(word, "big") % n

    def between(self, low: int, high: int) -> int:
        """``low`` .. ``high``, both included."""
        return low + self.below(high - low + 1)

    def one_of(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Fisher and Yates."""
        found = list(items)
        for last in range(len(found) - 1, 0, -1):
            other = self.below(last + 1)
            found[last], found[other] = found[other], found[last]
        return found
