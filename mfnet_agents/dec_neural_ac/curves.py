"""Smooth curves of a crowd, learnt from samples: what share takes a branch, what an action is paid.

A curve says w(c, y): c agents of the own group at the node, y the share of all agents there that are of other groups,

    c w(c, y) = f(c) + c h(y),    f, h cubic splines.  (P-splines: Eilers and Marx, 1996)

What counts is how well *differences* c - 1, c, c + 1 are met, so f, the expected number, is what is kept smooth: it is
straight where everybody is served (f = c) and where all places are taken (f constant), and its slope is what one agent
more is worth. A curve is the mode of a Gaussian law: f'' is white noise whose size falls as 1 / sqrt(c), as it does
where places are Poisson; agents err independently, with a variance that is taken from a first fit; how stiff a curve
is, the likelihood of its samples decides. What never varied is taken for a constant share. Knots stand at 0, 1, 2, ...,
further apart where crowds are large.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.words import fits

MEMORY = 0.99  # share of the past that a fit keeps from one fragment to the next
GROWTH = 1.25  # of the distance between knots
STIFF = (1.0, 100.0)  # how much less curves may bend than below
BENDS = 0.5  # variance of a change of slope of f over sqrt(c) agents
SHARE_KNOTS = 6  # intervals of y
SHARE_BENDS = 4.0  # the same of h, over the whole of y
PRIOR = 0.02  # agents that each coefficient is given beforehand
COPIES = 4  # of the moments, while curves are fitted
LEAST = 1e-6  # variance of an agent, relative, where curves are met exactly


def count_knots(population: int) -> Floats:
    """0, 1, 2, 3, 4, 5, then each larger by ``GROWTH``, up to one agent more than there are."""
    knots = [0.0]
    while knots[-1] < population + 1:
        knots.append(max(knots[-1] + 1, knots[-1] * GROWTH))
    knots[-1] = max(population + 1.0, knots[-2] + 1)
    return np.array(knots)


class Basis:
    """Cubic splines over some breaks, and what it costs that they bend.

    Attributes:
        sites: ``(M,)`` where each coefficient is felt most; roughness: ``(M, M)``.
    """

    def __init__(self, breaks: Floats, bends: Floats) -> None:
        """``bends``: variance of f'' at the breaks, per unit."""
        self._knots = np.concatenate([[breaks[0]] * 3, breaks, [breaks[-1]] * 3])
        self.sites = (self._knots[1:-3] + self._knots[2:-2] + self._knots[3:-1]) / 3
        gaps = np.diff(self.sites)
        between = np.eye(len(self.sites))
        slope = np.diff(between, axis=0) / gaps[:, None]
        width = (gaps[1:] + gaps[:-1]) / 2
        second = np.diff(slope, axis=0) / width[:, None]
        cost = width / np.interp(self.sites[1:-1], breaks, bends)
        self.roughness: Floats = second.T @ (cost[:, None] * second)

    def at(self, x: Floats) -> Floats:
        """``(..., M)``: the splines at ``x (...)``, within the breaks."""
        from scipy.interpolate import BSpline

        values, place = np.unique(np.clip(x, self._knots[0], self._knots[-1]), return_inverse=True)
        table = BSpline.design_matrix(values, self._knots, 3).toarray()
        found: Floats = table[place.reshape(x.shape)]
        return found


class Stiffness(NamedTuple):
    """``rough (F, F)``: what bending costs; ``modes (F,)``: its eigenvalues against the prior, for determinants."""

    rough: Floats
    modes: Floats


class Features:
    """What curves are linear in: f's splines over c, and h's splines where there are other groups.

    Attributes:
        number: F; flat: ``(F,)`` the coefficients of w = 1; prior: ``(F,)`` weights of what is believed beforehand.
        stiffness: those that are tried.
    """

    def __init__(self, population: int, groups: int) -> None:
        breaks = count_knots(population)
        self._own = Basis(breaks, BENDS / np.sqrt(breaks + 1))
        even = np.linspace(0, 1, SHARE_KNOTS + 1)
        self._other = Basis(even, np.full(len(even), SHARE_BENDS)) if groups > 1 else None
        own, other = len(self._own.sites), 0 if self._other is None else len(self._other.sites)
        self.number = own + other
        self.flat, self.prior = np.zeros(self.number), np.ones(self.number)
        self.flat[:own] = self._own.sites
        self.prior[:own] = 1 / np.maximum(self._own.sites, 1 / 3) ** 2
        self.stiffness: list[Stiffness] = []
        for stiff, stiff_other in itertools.product(STIFF, STIFF if other else STIFF[:1]):
            rough = np.zeros((self.number, self.number))
            rough[:own, :own] = stiff * self._own.roughness
            if self._other is not None:
                rough[own:, own:] = stiff_other * self._other.roughness
            each = 1 / np.sqrt(PRIOR * self.prior)
            modes = np.maximum(np.linalg.eigvalsh(each[:, None] * rough * each), 0.0)
            self.stiffness.append(Stiffness(rough, modes))

    def at(self, own: Ints, everyone: Ints) -> Floats:
        """``(..., F)`` with ``own`` agents of a group and ``everyone`` at the node."""
        count = np.maximum(own, 1).astype(np.float64)
        found = self._own.at(count) / count[..., None]
        if self._other is None:
            return found
        rest = np.maximum(everyone - own, 0) / np.maximum(everyone, 1)
        return np.concatenate([found, self._other.at(rest)], axis=-1)


class Curves:
    """K curves for each of R rows and C columns, that a column shares its agents out to or pays them by.

    Attributes:
        squares ``(R, C, F, F)``, sums ``(R, C, F, K)``, marks, shares ``(R, C, K)``, agents, seen ``(R, C)``: fading
            moments of features and totals, of totals squared, totals, agents and steps; all there is to keep.
        coefficients: ``(R, C, F, K)``.
    """

    KEPT = ("squares", "sums", "marks", "shares", "agents", "seen")

    def __init__(self, features: Features, rows: int, columns: int, curves: int, guess: float) -> None:
        """``guess``: w where nothing was seen."""
        number, self.features, self.guess = features.number, features, guess
        fits(f"the moments of the curves of {rows:,} states", rows * columns, number, number, itemsize=COPIES * 8)
        self.squares, self.sums = np.zeros((rows, columns, number, number)), np.zeros((rows, columns, number, curves))
        self.marks, self.shares = np.zeros((2, rows, columns, curves))
        self.agents, self.seen = np.zeros((2, rows, columns))
        self.solve()

    def fade(self) -> None:
        """Forget a little."""
        for name in self.KEPT:
            setattr(self, name, MEMORY * getattr(self, name))

    def add(self, x: Floats, agents: Floats, totals: Floats) -> None:
        """Take in samples: of ``agents (L, R, C)`` what was taken or paid in all, ``totals (L, R, C, K)``.

        Args:
            x: ``(R, L, F)`` features of the rows.
        """
        for c in range(agents.shape[2]):
            weighted = (x * agents[:, :, c].T[..., None]).transpose(0, 2, 1)  # (R, F, L)
            self.squares[:, c] += weighted @ x
            self.sums[:, c] += x.transpose(0, 2, 1) @ totals[:, :, c].transpose(1, 0, 2)
        self.marks += (totals**2 / np.maximum(agents, 1)[..., None]).sum(0)
        self.shares += totals.sum(0)
        self.agents += agents.sum(0)
        self.seen += (agents > 0).sum(0)

    def at(self, x: Floats) -> Floats:
        """``(L, R, C, K)`` at the features ``x (R, L, F)``."""
        rows, columns, number, curves = self.coefficients.shape
        flat = self.coefficients.transpose(0, 2, 1, 3).reshape(rows, number, columns * curves)
        values: Floats = (x @ flat).transpose(1, 0, 2).reshape(-1, rows, columns, curves)
        return values

    def take(self, state: dict[str, Floats]) -> None:
        """Take back the moments."""
        for name in self.KEPT:
            setattr(self, name, state[name])
        self.solve()

    def solve(self) -> None:
        """Twice: with the raw variance of agents, then with what the first fit leaves of it."""
        many = np.maximum(self.agents, 1)[..., None]
        scale = np.maximum(self.marks / many, 1e-12).sum(2)
        left = np.maximum(self.marks - self.shares**2 / many, 0.0).sum(2)
        self.coefficients = self._fit(left, scale, self.features.stiffness[-1:])
        rest = self.marks - 2 * np.einsum("rcfk,rcfk->rck", self.sums, self.coefficients)
        rest += np.einsum("rcfk,rcfk->rck", self.squares @ self.coefficients, self.coefficients)
        self.coefficients = self._fit(np.maximum(rest, 0.0).sum(2), scale, self.features.stiffness)

    def _fit(self, left: Floats, scale: Floats, tried: list[Stiffness]) -> Floats:
        """The coefficients under the stiffness that makes the samples likeliest, for each row and column.

        Args:
            left: ``(R, C)`` squares that no curve explains; scale: ``(R, C)`` of what curves say, squared.
        """
        noise = np.maximum(left / np.maximum(self.seen, 1) / scale, LEAST)
        mean = (self.shares + self.guess) / (self.agents + 1)[..., None]
        prior = PRIOR * self.features.prior
        sums = self.sums + (prior * self.features.flat)[:, None] * mean[..., None, :]
        best, chosen = np.full(noise.shape, -np.inf), np.zeros_like(sums)
        for stiffness in tried:
            system = self.squares + noise[..., None, None] * stiffness.rough + np.diag(prior)
            found = np.asarray(np.linalg.solve(system, sums), np.float64)
            if len(tried) == 1:
                return found
            likely = np.einsum("rcfk,rcfk->rc", sums, found) / (noise * scale)
            likely += np.log1p(noise[..., None] * stiffness.modes).sum(2) - np.linalg.slogdet(system)[1]
            better = likely > best
            best, chosen = np.where(better, likely, best), np.where(better[..., None, None], found, chosen)
        return chosen
