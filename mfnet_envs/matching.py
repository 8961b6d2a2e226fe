"""Riders and drivers: phi(n) = E min(n, D), D ~ Poisson(rate), the mean number of served agents out of n.

phi is concave and increasing with phi(n) <= min(n, rate): the two facts behind every LP bound of the suite.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Bools, Floats, like, namespace

SPREAD = 12.0  # beyond 12 standard deviations of the Poisson law phi equals min(n, rate) to double precision
TINY = 1e-9  # agents: far below one, far above rounding
WIDE = 1e5  # rates above are not tabulated but evaluated, by an expansion whose error there is below rounding
UNIFORM = ((-1 / 3, 1 / 12, -2 / 135, 1 / 864), (-1 / 540, -1 / 288))  # coefficients of Temme's c_0 and c_1, in eta


class ExpectedMin:
    """phi(n) for a vector of rates: exact at integers, concave, on numpy and torch.

    Args:
        rate: ``(K,)`` mean number of places opening in a step, >= 0.

    phi(n) = sum_{k < n} P(D > k). Below ``rate - 12 sd`` it equals n, above ``rate + 12 sd`` it equals the rate, so
    only the window between is tabulated, linear between integers: memory grows with sqrt(rate), not with the
    population, and not beyond ``WIDE``, where phi is evaluated when asked for (:func:`_of_large`).
    """

    def __init__(self, rate: ArrayLike) -> None:
        self.rate: Floats = np.atleast_1d(np.asarray(rate, np.float64))
        if not (np.isfinite(self.rate).all() and (self.rate >= 0).all()):
            raise ValueError("rates must be finite and non-negative")
        self.wide: Bools = self.rate > WIDE
        self.is_wide = bool(self.wide.any())
        tabled = np.where(self.wide, 0.0, self.rate)
        spread = SPREAD * np.sqrt(tabled) + SPREAD
        self.first: Floats = np.maximum(np.floor(tabled - spread), 0.0)
        width = int(np.max(tabled + spread - self.first)) + 2
        n = self.first[:, None] + np.arange(width)
        beyond = np.stack([_poisson_tail(rate, row) for rate, row in zip(tabled, n, strict=True)])
        table = np.concatenate([np.zeros((len(n), 1)), np.cumsum(beyond[:, :-1], 1)], 1) + self.first[:, None]
        self.table: Floats = np.minimum(table, tabled[:, None])  # rounding must not lift phi above its limit
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
        tabled = xp.where(n < first, n, height + rise * (place - whole))
        if not self.is_wide:
            return tabled
        wide, large = (like(n, x, own_precision=True) for x in (self.wide, np.maximum(self.rate, WIDE)))
        return xp.where(wide, _of_large(n, large), tabled)

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
        """phi(n + 1) - phi(n) of rate ``k`` for n = 0, 1, ...: the pieces of phi, cut where below tolerance.

        Raises:
            ValueError: a rate so large that the pieces cannot be listed.
        """
        if self.wide[k]:
            raise ValueError(
                f"phi has a piece for each of {self.rate[k]:,.0f} agents, too many for a linear programme: ask for the "
                "fluid limit, bound(fluid=True), which holds at every population"
            )
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


def _of_large(n: Any, rate: Any) -> Any:
    """phi(n) = n - E max(n - D, 0) at rates above ``WIDE``, by the uniform expansion of the incomplete gamma function.

    E max(n - D, 0) = (n - rate) P(D < n) + n P(D = n), and P(D < n) = Q(n, rate) = erfc(-z) / 2 + R with z^2 the
    deviance and R by Temme's coefficients (DLMF 8.12.3, 8.12.10). Smooth between integers, where the chord is lower by
    less than P(D = n) / 8.
    """
    xp = namespace(n)
    reach = SPREAD * rate**0.5
    near = xp.minimum(xp.maximum(n, rate - reach), rate + reach)
    u = (near - rate) / rate
    half = 0.5 + 0 * u  # the deviance is rate u^2 half(u): (1 + u) log(1 + u) - u by its series, which does not cancel
    power = 1 + 0 * u
    for k in range(1, 14):
        power = -u * power
        half = half + power / ((k + 1) * (k + 2))
    z = u * (rate * half) ** 0.5
    eta = -u * (2 * half * rate / near) ** 0.5
    point = xp.exp(-z * z - 1 / (12 * near)) / (2 * math.pi * near) ** 0.5
    c = [sum(number * eta**i for i, number in enumerate(row)) for row in UNIFORM]
    below = _erfc(-z) / 2 + xp.exp(-z * z) / (2 * math.pi * near) ** 0.5 * (c[0] + c[1] / near)
    missed = (near - rate) * below + near * point
    phi = xp.where(n < rate - reach, n, xp.where(n > rate + reach, rate, near - missed))
    return xp.minimum(xp.minimum(phi, n), rate)


def _erfc(x: Any) -> Any:
    """1 - erf(x), in the library of ``x``."""
    if type(x) is np.ndarray:
        from scipy.special import erfc

        return erfc(x)
    return sys.modules["torch"].special.erfc(x)  # whoever holds a tensor has imported it


def _poisson_tail(rate: float, n: Floats) -> Floats:
    """P(D > n) for consecutive integers n, from the log-pmf by recursion."""
    if rate == 0:
        return np.zeros(len(n))
    start = -rate + n[0] * math.log(rate) - math.lgamma(n[0] + 1)
    pmf = np.exp(start + np.concatenate([[0.0], np.cumsum(math.log(rate) - np.log(n[1:]))]))
    from_here = np.cumsum(pmf[::-1])[::-1]
    tail: Floats = np.minimum(np.append(from_here[1:], 0.0), 1.0)
    return tail
