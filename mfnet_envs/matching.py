"""Riders and drivers: phi(n) = E min(n, D), D ~ Poisson(rate), the mean number of served agents out of n.

phi is concave and increasing with phi(n) <= min(n, rate): the two facts behind every LP bound of the suite.
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Floats, like, namespace

SPREAD = 12.0  # beyond 12 standard deviations of the Poisson law phi equals min(n, rate) to double precision
TINY = 1e-9  # agents: far below one, far above rounding


class ExpectedMin:
    """phi(n) for a vector of rates: exact at integers, linear between (so still concave), on numpy and torch.

    Args:
        rate: ``(K,)`` mean number of places opening in a step, >= 0.

    phi(n) = sum_{k < n} P(D > k). Below ``rate - 12 sd`` it equals n, above ``rate + 12 sd`` it equals the rate, so
    only the window between is tabulated: memory grows with sqrt(rate), not with the population.
    """

    def __init__(self, rate: ArrayLike) -> None:
        self.rate: Floats = np.atleast_1d(np.asarray(rate, np.float64))
        if not (np.isfinite(self.rate).all() and (self.rate >= 0).all()):
            raise ValueError("rates must be finite and non-negative")
        spread = SPREAD * np.sqrt(self.rate) + SPREAD
        self.first: Floats = np.maximum(np.floor(self.rate - spread), 0.0)
        width = int(np.max(self.rate + spread - self.first)) + 2
        n = self.first[:, None] + np.arange(width)
        beyond = np.stack([_poisson_tail(rate, row) for rate, row in zip(self.rate, n, strict=True)])
        table = np.concatenate([np.zeros((len(n), 1)), np.cumsum(beyond[:, :-1], 1)], 1) + self.first[:, None]
        self.table: Floats = np.minimum(table, self.rate[:, None])  # rounding must not lift phi above its limit
        self.slope: Floats = np.diff(self.table, append=self.table[:, -1:])
        self._converted: dict[tuple[str, str], tuple[Any, ...]] = {}

    def __call__(self, n: Any) -> Any:
        """phi at ``n (..., K)``, real numbers >= 0: same shape, same array library."""
        xp = namespace(n)
        first, last, start, table, slope, zero = self._tables(xp, array_api_compat.device(n))
        place = xp.minimum(xp.maximum(n - first, zero), last)
        whole = xp.floor(place)
        at = xp.reshape(xp.astype(whole, xp.int64) + start, (-1,))
        height, rise = xp.reshape(xp.take(table, at), n.shape), xp.reshape(xp.take(slope, at), n.shape)
        return xp.where(n < first, n, height + rise * (place - whole))

    def _tables(self, xp: Any, device: Any) -> tuple[Any, ...]:
        """The tables in one array library, converted once."""
        key = (xp.__name__, str(device))
        if key not in self._converted:
            width = self.table.shape[1]
            last, start = np.full(self.rate.shape, width - 1.0), width * np.arange(len(self.rate))
            tables = (self.first, last, start, self.table.reshape(-1), self.slope.reshape(-1), np.zeros(()))
            self._converted[key] = tuple(xp.asarray(table, device=device) for table in tables)
        return self._converted[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_converted": {}}

    def slopes(self, k: int, tolerance: float = 1e-12) -> Floats:
        """phi(n + 1) - phi(n) of rate ``k`` for n = 0, 1, ...: the pieces of phi, cut where below tolerance."""
        slope = np.concatenate([np.ones(int(self.first[k])), self.slope[k]])
        return slope[: int(np.searchsorted(-slope, -tolerance))]


def expected_min(n: Any, rate: ArrayLike) -> Any:
    """E min(n, Poisson(rate)) for ``n (..., K)`` and ``rate (K,)``; build an :class:`ExpectedMin` to use it often."""
    return ExpectedMin(rate)(n)


def served_share(phi: ExpectedMin | None, n: Any, rate: Any) -> Any:
    """q(n) = phi(n) / n, the chance that one of n agents is served; its limit P(D > 0) where n = 0.

    Args:
        phi: finite population; None for the fluid limit min(n, rate) / n.
        n: ``(..., K)`` agents, real.
        rate: ``(K,)``.
    """
    xp = namespace(n)
    n = n + TINY * (n < TINY)  # phi is linear on [0, 1], so q is constant there: no special case
    if phi is not None:
        return phi(n) / n
    return xp.minimum(n, like(n, np.asarray(rate))) / n


def _poisson_tail(rate: float, n: Floats) -> Floats:
    """P(D > n) for consecutive integers n, from the log-pmf by recursion."""
    if rate == 0:
        return np.zeros(len(n))
    start = -rate + n[0] * math.log(rate) - math.lgamma(n[0] + 1)
    pmf = np.exp(start + np.concatenate([[0.0], np.cumsum(math.log(rate) - np.log(n[1:]))]))
    from_here = np.cumsum(pmf[::-1])[::-1]
    tail: Floats = np.minimum(np.append(from_here[1:], 0.0), 1.0)
    return tail
