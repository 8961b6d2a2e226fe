"""The time-expanded linear programme of repositioning with served demand: a bound for every policy, and a policy.

Masses per node v and step t: served m, unserved u(v -> w) for w in N_v,

    max sum_t gamma^t (sum fare m - sum cost u),            mu_t(v) = m + sum_w u(v -> w),
    mu_{t+1} = D^T m + inflow of u,                          m <= phi(N mu) / N.

phi is concave, so by Jensen the means of any policy, central and history dependent included, are feasible: the
optimum bounds them all. phi is replaced by the least of some of its tangents, whose pieces are the columns of the
programme: a few first, then those around the optimum, until more of them would change it by less than 1e-5. With
phi(n) = min(n, rate) this is the fluid programme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes.pieces import Tangents, arcs, by_slot, refined
from mfnet_envs.words import NotSolvedError


@dataclass(frozen=True)
class Transport:
    """The data of the programme.

    Attributes:
        network: one layer.
        rate: ``(V,)`` places per step, in agents.
        dropoff: ``(V, V)`` law of the node where a served agent is set down, within the closed neighbourhood.
        initial: ``(V,)`` law of the first node.
        fare: ``(V,)`` earned by who is served.
        cost: ``(V, D)`` paid, by neighbour slot, by who is not.
        horizon: number of steps.
    """

    network: StateNetwork
    population: int
    rate: Floats
    dropoff: Floats
    initial: Floats
    fare: Floats
    cost: Floats
    gamma: float
    horizon: int


@dataclass(frozen=True)
class Solution:
    """The optimum.

    Attributes:
        value: the larger of primal and dual objective, per agent.
        gap: how far it lies above what the exact programme reaches, relative: see :func:`solve`.
        moves: ``(horizon, V, D)`` mean moves per agent; crowd: ``(horizon, V)`` mean agents.
    """

    value: float
    gap: float
    moves: Floats
    crowd: Floats


def solve(data: Transport, *, fluid: bool) -> Solution:
    """Solve the programme with scipy's HiGHS: finite population, or the fluid limit.

    ``gap`` is certified by a feasible point of the exact programme. Where the optimum serves more than phi of its
    crowd, those too many go, unserved, where they would have been set down: all crowds stay as they are, and only
    their fares and the cost of their moves are lost.

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    phi = None if fluid else ExpectedMin(data.rate)
    programme = _Programme(data, phi)
    return refined(programme.optimum, data.horizon, data.rate, phi)


class _Programme:
    """What is the same whatever the tangents, in shares of all agents; node v at step t has the number t V + v."""

    def __init__(self, data: Transport, phi: ExpectedMin | None) -> None:
        from scipy.sparse import csr_array, eye_array, kron

        self.data, self.phi, self.way = data, phi, arcs(data.network.neighbors)
        now, later = eye_array(data.horizon), eye_array(data.horizon, k=-1)
        self.leave, self.enter = kron(now, self.way.leaves), kron(later, self.way.enters)
        self.set_down = kron(later, csr_array(data.dropoff.T))
        self.start = np.zeros(2 * data.horizon * data.network.num_nodes)
        self.start[: data.network.num_nodes] = data.initial
        self.discount = data.gamma ** np.arange(data.horizon)
        self.cost = data.cost[self.way.origin, self.way.slot]

    def optimum(self, cuts: Tangents, below: Tangents) -> Solution:
        """With the pieces y of each crowd as columns, of which slope y are served, then the flows u along the arcs."""
        from scipy.optimize import linprog
        from scipy.sparse import block_array, csr_array

        cuts = cuts.apart()
        data, shape = self.data, (self.data.horizon, self.data.network.num_nodes)
        place, size = (cuts.owner, np.arange(len(cuts.owner))), (shape[0] * shape[1], len(cuts.owner))
        present, served = (csr_array((values, place), shape=size) for values in (np.ones(size[1]), cuts.slope))
        matrix = block_array([[present - self.set_down @ served, -self.enter], [present - served, -self.leave]])
        fares = np.multiply.outer(self.discount, data.fare)
        upper = np.append(cuts.widths() / data.population, np.full(self.leave.shape[1], np.inf))
        gain = np.append(fares.reshape(-1)[cuts.owner] * cuts.slope, -np.kron(self.discount, self.cost))
        # step by step, which is how the matrix is a band
        rows = np.argsort(np.tile(np.arange(size[0]) // shape[1], 2), kind="stable")
        steps = np.append(cuts.owner // shape[1], np.repeat(np.arange(shape[0]), len(self.cost)))
        columns = np.argsort(steps, kind="stable")
        start, most = self.start[rows], upper[columns]
        result: Any = linprog(
            -gain[columns],
            A_eq=matrix.tocsr()[rows].tocsc()[:, columns],
            b_eq=start,
            bounds=np.stack([np.zeros_like(most), most], 1),
            method="highs-ipm",
        )
        if result.status != 0:
            raise NotSolvedError(f"the linear programme did not solve: {result.message}")
        capped = np.isfinite(most)
        primal = -float(result.fun)
        dual = -float(start @ result.eqlin.marginals + most[capped] @ result.upper.marginals[capped])
        x = np.empty(len(columns))
        x[columns] = result.x
        pieces, flows = np.split(x, [size[1]])
        crowd, picked_up = (data.population * part.reshape(shape) for part in (present @ pieces, served @ pieces))
        value, reached = max(primal, dual), min(primal, dual) - self._lost(crowd, picked_up)
        moves = by_slot(np.maximum(flows.reshape(shape[0], -1), 0), self.way, (shape[0], *data.network.neighbors.shape))
        return Solution(value, (value - reached) / max(abs(value), 1e-12), moves, crowd)

    def _lost(self, crowd: Floats, served: Floats) -> float:
        """What those beyond phi would lose if they went, unserved, where they would have been set down."""
        if self.phi is None:
            return 0.0
        target = self.data.network.neighbors[self.way.origin, self.way.slot]
        moved = self.data.dropoff[self.way.origin, target] * self.cost
        each = self.data.fare + np.bincount(self.way.origin, moved, len(self.data.fare))
        return (
            float(self.discount @ np.maximum(served - self.phi(crowd), 0) @ np.maximum(each, 0)) / self.data.population
        )
