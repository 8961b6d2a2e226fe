"""Compositions of n agents over a few parts: all of them in order, the place of one among them, uniform draws.

A composition is what a team does, h(s) = composition / n; there are C(n + A - 1, A - 1) of them over A actions.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints


def compositions(n: int, parts: int) -> Ints:
    """All ways to write n as an ordered sum of ``parts`` non-negative integers, ``(C(n+parts-1, parts-1), parts)``.

    Lexicographic: the first part grows slowest, from 0.

    >>> compositions(2, 2).tolist()
    [[0, 2], [1, 1], [2, 0]]
    """
    rows = np.zeros((1, 0), np.int64)
    for _ in range(parts - 1):
        left = n - rows.sum(1)
        repeated = np.repeat(rows, left + 1, axis=0)
        first = np.repeat(np.cumsum(left + 1) - left - 1, left + 1)
        rows = np.column_stack([repeated, np.arange(len(repeated)) - first])
    return np.column_stack([rows, n - rows.sum(1)])


def rank(counts: NDArray[np.integer]) -> Ints:
    """The place of ``counts (..., parts)`` among the compositions of its sum: ``(...)``."""
    parts = counts.shape[-1]
    left = np.flip(np.cumsum(np.flip(counts, -1), -1), -1)  # agents in this part and the later ones
    place = np.zeros(counts.shape[:-1], np.int64)
    for part in range(parts - 1):
        table = _binomial_column(int(left.max(initial=0)), parts - 1 - part)
        place += table[left[..., part]] - table[left[..., part + 1]]
    return place


def how_many(n: int, parts: int) -> int:
    """C(n + parts - 1, parts - 1), the number of compositions."""
    return math.comb(n + parts - 1, parts - 1)


def multinomial_pmf(counts: Ints, chance: Floats) -> Floats:
    """P(counts) of multinomials with cell probabilities ``chance``, over the last axis."""
    factorial = np.array([float(math.factorial(n)) for n in range(int(counts.sum(-1).max(initial=0)) + 1)])
    ways = factorial[counts.sum(-1)] / np.prod(factorial[counts], -1)
    pmf: Floats = ways * np.prod(np.power(chance, counts), -1)
    return pmf


def expand(counts: Ints) -> Ints:
    """``(K, C)`` counts, each row summing to N, as lists of N cells in ascending order: ``(K, N)``."""
    cells = np.tile(np.arange(counts.shape[1]), len(counts))
    return np.repeat(cells, counts.reshape(-1)).reshape(len(counts), -1)


def _binomial_column(largest: int, parts: int) -> Ints:
    """C(r + parts, parts) for r = 0..largest."""
    return np.array([math.comb(r + parts, parts) for r in range(largest + 1)], np.int64)


compositions_of = lru_cache(maxsize=4096)(compositions)


@lru_cache(maxsize=8)
def all_compositions(largest: int, parts: int) -> Ints:
    """The compositions of 0, 1, ..., ``largest`` one after the other: ``(C(largest + parts, parts), parts)``."""
    return np.concatenate([compositions(n, parts) for n in range(largest + 1)])


def first_row(n: Ints | int, parts: int) -> Ints:
    """Where size n starts in :func:`all_compositions`: C(n - 1 + parts, parts)."""
    return _binomial(np.asarray(n) - 1 + parts, parts)


def row_of(h: Ints) -> Ints:
    """The row of each composition ``h (..., A)`` in :func:`all_compositions`."""
    return first_row(h.sum(-1), h.shape[-1]) + rank(h)


def uniform_compositions(n: Ints, parts: int, u: Floats) -> Ints:
    """Compositions of ``n (Q,)``, each with the same probability: ``(Q, K, parts)``.

    ``parts - 1`` bars among ``n + parts - 1`` places, drawn without replacement: the agents between two bars are a
    part. Bar j is one of the places still free, counted from the left.

    Args:
        u: ``(Q, K, parts - 1)``, uniform on [0, 1): where the bars go.
    """
    places = np.broadcast_to((n + parts - 1)[:, None], u.shape[:2])
    bars = np.empty((*u.shape[:2], 0), np.int64)
    for j in range(parts - 1):
        bar = (u[..., j] * (places - j)).astype(np.int64)
        for taken in np.moveaxis(bars, 2, 0):  # in ascending order
            bar += bar >= taken
        bars = np.sort(np.concatenate([bars, bar[..., None]], 2), 2)
    ends = np.concatenate([np.full_like(places, -1)[..., None], bars, places[..., None]], 2)
    rows: Ints = np.diff(ends, axis=2) - 1
    return rows


def _binomial(n: NDArray[np.int64], k: int) -> Ints:
    """C(n, k) for arrays n >= k - 1 >= 0, exact."""
    value = np.ones_like(n)
    for i in range(k):
        value = value * (n - i) // (i + 1)
    return value
