"""Compositions of n agents over a few places: all of them in order, and the place of one among them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.model import Floats
from mfnet_envs.network import Ints


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
