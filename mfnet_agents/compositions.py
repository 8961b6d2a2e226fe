"""Compositions of n agents over A actions: tables of all of them, and uniform draws.

A composition is what a team does, h(s) = composition / n; there are C(n + A - 1, A - 1) of them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.exact import compositions, rank
from mfnet_envs.model import Floats
from mfnet_envs.network import Ints

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
