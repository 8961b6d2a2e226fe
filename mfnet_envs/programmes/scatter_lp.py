"""The programme of repositioning when who is set down scatters: a smaller bound than :mod:`transport_lp`'s.

Agents set down at random fill nodes unevenly, and nobody knows where before it has happened. At node v and step t + 1
the crowd is n = K + sum_w Bin(S_w, d_w): the K who moved to v unserved, and of the S_w who were served at w each with
chance d_w = dropoff[w, v], drawn by itself, after all that a policy knew. So of n agents, in the mean,

    E phi(K + sum_w Bin(S_w, d_w) | K, S) <= chi(K, b),     b = sum_w d_w S_w,
    chi(K, M d) = E phi(K + Bin(M, d)),                     d = max_w d_w, linear in b between whole M

are served: of a concave function of a sum of independent Bernoulli variables the mean is the larger the fewer and the
larger the probabilities are that make up its mean (it is Schur-convex in them; Hoeffding 1956; Marshall and Olkin,
chapter 12), and M times d with a remainder are the fewest. Let a K + beta b + c >= chi at all whole K and M of at most
N agents together. Then with means on both sides, for every policy, central and history dependent included,

    m_{t+1}(v) <= a E K + beta E b + c,                     E K = inflow of u_t,  E b = dropoff^T m_t.

These planes are the facets of the least concave function above chi; where nothing scatters (d = 1) they are phi's
tangents. At the first step, m_0(v) <= E phi(Bin(N, initial_v)): agents are placed one by one. The rest, balance and
objective, is as in :mod:`transport_lp`. Both matchings serve phi(n) in the mean and set down independently.

Means of later steps are added up with their discount, X = sum_{t >= h} gamma^(t - h) x_t: rows that hold at each step
hold for the sum, whose inflow is that of x_{h-1} and gamma X, less what would arrive after the end, gamma^(T - h) of
the agents, wherever they are. That is a relaxation; it costs little, since plans settle soon. Of more agents than
:func:`fits` this is a bound by mean crowds alone, with tangents of phi as planes: for networks too large for
:mod:`transport_lp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.programmes.pieces import arcs, touching
from mfnet_envs.programmes.transport_lp import Transport
from mfnet_envs.words import NotSolvedError

CROWD, POINTS = 500, 3_500_000  # agents, and points of chi of all nodes, whose hulls take seconds
HEAD, SHORT = 15, 60  # steps that stand for themselves where there are more than SHORT; else all do
FIRST, MORE, ROUNDS = 12, 3, 20  # facets of a crowd to begin with, and those added to it, at most so often
CLOSE = 1e-5  # relative
TOUCHED = np.linspace(-6, 6, 481)  # standard deviations of demand: where tangents touch that stand for phi
ROUNDING = 1e-9


@dataclass(frozen=True)
class Solution:
    """``value``, the larger of primal and dual objective, per agent; ``gap``: at most so far above the optimum with all
    facets, relative."""

    value: float
    gap: float


class Facets(NamedTuple):
    """Planes ``move`` K + ``drop`` b + ``height``, none of them anywhere below chi; all ``(F,)``."""

    move: Floats
    drop: Floats
    height: Floats


def fits(data: Transport) -> bool:
    """Whether there are so few nodes and agents that the hulls take seconds."""
    return data.population <= CROWD and len(data.rate) * (data.population + 1) * (data.population + 2) / 2 <= POINTS


def spread(phi: Floats, chance: float) -> Floats:
    """``(points, 3)``: (K, b, chi(K, b)) for whole K + M <= N, from ``phi (N + 1,)`` at 0 .. N."""
    points, row = [], phi
    for drawn in range(
        len(phi)
    ):  # E phi(K + Bin(M + 1, d)) = (1 - d) E phi(K + Bin(M, d)) + d E phi(K + 1 + Bin(M, d))
        points.append(np.stack([np.arange(len(row)), np.full(len(row), chance * drawn), row], 1))
        row = (1 - chance) * row[:-1] + chance * row[1:]
    return np.concatenate(points)


def facets(phi: Floats, chance: float) -> Facets:
    """The facets of the least concave function above the points of :func:`spread`; each height is the least that is
    nowhere below them, whatever the rounding of the hull."""
    from scipy.spatial import ConvexHull

    points = spread(phi, chance)
    low = np.zeros((3, 3))  # a floor, so that points of a plane have a hull, too
    low[1, 0], low[2, 1], low[:, 2] = points[:, 0].max() or 1.0, points[:, 1].max() or 1.0, -1.0
    normals = ConvexHull(np.concatenate([points, low])).equations[:, :3]
    upper = normals[normals[:, 2] > ROUNDING]
    slopes = np.unique(np.round(np.maximum(-upper[:, :2] / upper[:, 2:], 0), 9), axis=0)
    heights = np.array([(points[:, 2] - points[:, :2] @ slope).max() for slope in slopes])
    return Facets(slopes[:, 0], slopes[:, 1], heights)


def solve(data: Transport) -> Solution:
    """The programme's value at a finite population by scipy's HiGHS, facet by facet: some are a bound, and those that
    its optimum passes are added.

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    every, node, placed = _scattered(data) if fits(data) else _means(data)
    programme, first = _Programme(data, placed), np.searchsorted(node, np.arange(len(data.rate) + 1))
    taken = np.zeros((programme.blocks, len(every.height)), bool)  # at the first step it is known who stands where
    for v in range(len(data.rate)):
        taken[1:, np.linspace(first[v], first[v + 1] - 1, FIRST).astype(int)] = True
    for _ in range(ROUNDS):
        value, step = programme.optimum(every, node, taken)
        ceiling = step.moved[:, node] * every.move + step.dropped[:, node] * every.drop + every.height
        lost = 0.0
        for v in range(len(data.rate)):
            here = ceiling[1:, first[v] : first[v + 1]]
            excess = step.served[1:, v] - here.min(1)
            lost += float(programme.worth[1:] @ np.maximum(excess, 0)) * abs(data.fare[v]) / data.population
            block, rank = np.nonzero(
                np.broadcast_to((excess > ROUNDING * data.population)[:, None], (len(excess), MORE))
            )
            lowest = first[v] + here.argsort(1)[:, :MORE]
            taken[1 + block, lowest[block, np.minimum(rank, lowest.shape[1] - 1)]] = True
        if lost <= CLOSE * abs(value):
            break
    return Solution(value, float(lost / max(abs(value), 1e-12)))


def _scattered(data: Transport) -> tuple[Facets, Ints, Floats]:
    """All nodes' facets, the node of each, and ``(V,)`` how many are served at the first step."""
    phi, crowds = ExpectedMin(data.rate), np.arange(data.population + 1.0)
    tables = phi(np.broadcast_to(crowds[:, None], (len(crowds), len(data.rate))))
    chance = data.dropoff.max(0)
    parts = [facets(*at) for at in zip(tables.T, np.where(chance > 0, chance, 1.0), strict=True)]
    node = np.repeat(np.arange(len(parts)), [len(part.height) for part in parts])
    return Facets(*(np.concatenate(columns) for columns in zip(*parts, strict=True))), node, _placed(data, tables)


def _means(data: Transport) -> tuple[Facets, Ints, Floats]:
    """The same by Jensen's inequality alone, with close tangents of phi."""
    phi, spread = ExpectedMin(data.rate), np.sqrt(data.rate)[:, None]
    at = np.maximum(np.floor(data.rate[:, None] + spread * TOUCHED), 0)
    lines = touching(np.append(0 * spread, at, 1)[None], data.rate, phi)
    return Facets(lines.slope, lines.slope, lines.height), lines.owner, phi(data.population * data.initial)


def _placed(data: Transport, tables: Floats) -> Floats:
    """``(V,)``: E phi(Bin(N, initial_v)), the mean number served at the first step."""
    from scipy.special import gammaln, xlog1py, xlogy

    n, total = np.arange(data.population + 1)[:, None], data.population
    ways = gammaln(total + 1) - gammaln(n + 1) - gammaln(total - n + 1)
    chance: Floats = np.exp(ways + xlogy(n, data.initial) + xlog1py(total - n, -data.initial))
    return np.asarray((chance * tables).sum(0) / chance.sum(0))


class _Means(NamedTuple):
    """Mean agents per step, ``(blocks, V)``: who moved here, was set down here, is served here."""

    moved: Floats
    dropped: Floats
    served: Floats


class _Programme:
    """The programme in shares of all agents. Blocks are the first steps, one each, and the sum of the later ones.

    Attributes:
        steps: ``(blocks,)`` discounted steps of a block; worth: ``(blocks,)`` of them at the beginning.
    """

    def __init__(self, data: Transport, placed: Floats) -> None:
        from scipy.sparse import block_array, csr_array, eye_array, kron

        horizon, gamma, nodes = data.horizon, data.gamma, len(data.rate)
        head = horizon if horizon <= SHORT else HEAD
        self.data, self.blocks, self.way = data, head + (head < horizon), arcs(data.network.neighbors)
        self.steps, self.worth = np.ones(self.blocks), gamma ** np.arange(self.blocks)
        before, ending = np.eye(self.blocks, k=-1), 0.0
        if head < horizon:
            self.steps[-1], ending = (gamma ** np.arange(horizon - head)).sum(), gamma ** (horizon - head)
            before[-1, -1] = gamma
        self.worth = self.worth * self.steps
        each, discount = eye_array(self.blocks * nodes), self.worth / self.steps
        after = csr_array(np.eye(self.blocks)[:, -1:])  # what arrives after the end is taken out of the last block
        enter, down = kron(before, self.way.enters), kron(before, csr_array(data.dropoff.T))
        leave, late = kron(eye_array(self.blocks), self.way.leaves), kron(after, eye_array(nodes))
        one = csr_array(np.ones((1, nodes)))
        # columns: moved K, set down b, served m, moves u; K and b that arrive after the end
        self.balance: Any = block_array(
            [
                [each, None, None, -enter, late, None],
                [None, each, -down, None, None, late],
                [-each, -each, each, leave, None, None],
                [None, None, None, None, one, one],
            ],
            format="csc",
        )
        self.start = np.zeros(self.balance.shape[0])
        self.start[:nodes], self.start[-1] = data.initial, ending
        nothing, cost = np.zeros(2 * self.blocks * nodes), data.cost[self.way.origin, self.way.slot]
        self.gain = np.concatenate(
            [nothing, np.kron(discount, data.fare), -np.kron(discount, cost), np.zeros(2 * nodes)]
        )
        most = np.outer(self.steps, data.rate)
        most[0] = placed
        self.most = np.full(len(self.gain), np.inf)
        self.most[len(nothing) :][: most.size] = most.reshape(-1) / data.population

    def optimum(self, every: Facets, node: Ints, taken: Bools) -> tuple[float, _Means]:
        """The value with the ``taken (blocks, F)`` of all facets, which belong to ``node (F,)``, and its means."""
        from scipy.optimize import linprog
        from scipy.sparse import csr_array

        block, facet = np.nonzero(taken)
        cells = self.blocks * len(self.data.rate)
        place, row = block * len(self.data.rate) + node[facet], np.arange(len(block))
        entries = np.concatenate([-every.move[facet], -every.drop[facet], np.ones(len(row))])
        columns = np.concatenate([place, cells + place, 2 * cells + place])
        limits = csr_array((entries, (np.tile(row, 3), columns)), shape=(len(row), len(self.gain)))
        height = every.height[facet] * self.steps[block] / self.data.population
        found: Any = linprog(
            -self.gain,
            A_ub=limits,
            b_ub=height,
            A_eq=self.balance,
            b_eq=self.start,
            bounds=np.stack([np.zeros_like(self.most), self.most], 1),
            method="highs-ipm",
        )
        if found.status != 0:
            raise NotSolvedError(f"the programme of scattered agents did not solve: {found.message}")
        capped = np.isfinite(self.most)
        dual = height @ found.ineqlin.marginals + self.start @ found.eqlin.marginals
        dual += self.most[capped] @ found.upper.marginals[capped]
        means = found.x[: 3 * cells].reshape(3, self.blocks, -1) * (self.data.population / self.steps[:, None])
        return max(-float(found.fun), -float(dual)), _Means(*means)
