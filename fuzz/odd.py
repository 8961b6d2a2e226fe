"""Values that nobody means, where a number, a word or a table is expected."""

from __future__ import annotations

import copy
import decimal
import fractions
import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np


class Drawn:
    """A value that is another one each time."""

    def __init__(self, draw: Callable[[np.random.Generator], Any]) -> None:
        self.draw = draw


VALUES: tuple[Any, ...] = (
    0, -1, 1, 2, 3, 7, 1.5, 0.5, -0.0,
    math.nan, math.inf, -math.inf, 1e308, 5e-324, 1e-9,
    10**9, 10**12, 10**18, 2**31, 2**63 - 1, 2**64, 10**400,
    "", "nobody", "1", "nan", "auto", "x" * 9000, "a\nb",
    b"x", None, True, False, [], {}, (), set(),
    [1, 2], [[0, 1], [1, 2]], [(0, 0)], [math.nan] * 4, ["a", "b"], {0: 0.5},
    {"a": 1}, [[]], [None], [-1.0, 2.0], [10**30], [[0, 1, 2]],
    np.float64(math.nan), np.int64(3), np.array(3), np.array([1.0, 2.0]), np.ones(9),
    np.zeros((0, 0)), np.array(["a"]), np.array([object()]), np.full(4, np.inf), np.ones((3, 3)),
    1j, decimal.Decimal("0.5"), fractions.Fraction(1, 3), object(), print, int,
    range(3), nx.path_graph(1), nx.empty_graph(0), nx.empty_graph(3), nx.path_graph(2),
    nx.DiGraph([(0, 1)]), nx.Graph([(0, 0)]), nx.Graph([("a", "b")]),
    Drawn(lambda rng: float(10 ** rng.uniform(-12, 12))), Drawn(lambda rng: int(10 ** rng.uniform(0, 15))),
    Drawn(lambda rng: float(rng.uniform(0, 1))),
    Drawn(lambda rng: int(rng.integers(1, 60))), "/dev/null", ".", 10**15, "infinity",
)  # fmt: skip


def value(rng: np.random.Generator) -> Any:
    one = VALUES[int(rng.integers(len(VALUES)))]
    return one.draw(rng) if isinstance(one, Drawn) else copy.deepcopy(one)


def is_nan(thing: Any) -> bool:
    """A NaN, alone or among numbers."""
    try:
        array = np.asarray(thing)
    except (TypeError, ValueError, OverflowError):
        return False
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def shown(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) < 120 else f"{text[:100]} ... ({len(text)} characters)"


def finite(*things: Any) -> bool:
    """Whether all numbers in arrays, dicts and tuples are finite."""
    for thing in things:
        if isinstance(thing, dict):
            if not finite(*thing.values()):
                return False
        elif isinstance(thing, list | tuple):
            if not finite(*thing):
                return False
        elif isinstance(thing, int | float | np.ndarray | np.generic):
            array = np.asarray(thing)
            if array.dtype.kind in "fc" and not np.isfinite(array).all():
                return False
    return True
