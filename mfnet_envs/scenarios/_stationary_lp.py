"""The stationary linear programme of a fleet: a bound on every policy, and a policy.

Long-run means per step, in agents: n_v idle in zone v, m_v of them served, u_vw sent empty from v to w (u_vv stay).
Served agents come back idle at their destination after the trip. Whatever the policy, those means satisfy

    n_v = m_v + sum_w u_vw = sum_w u_wv + sum_s m_s q(v|s)      what leaves a zone's idle pool is what enters it
    sum_v n_v + sum_v m_v (tau_v - 1) = N                       every agent is somewhere
    m_v <= phi_v(k) + (phi_v(k+1) - phi_v(k)) (n_v - k)         for every integer k: Jensen for phi(n) = E min(n, D)

so the largest value of sum_v fare m_v - cost sum_{v != w} u_vw bounds them all, and the best u is a way to send them.
The optimal m is one, the optimal u one of many: between two zones several ways are equally short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.matching import ExpectedMin
from mfnet_envs.network import Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fleet:
    """What the programme needs to know; all rates per step, in agents.

    Attributes:
        population: N.
        rate: ``(V,)`` mean demand.
        destination: ``(V, V)`` q(w|v), where a trip from v ends; rows sum to 1.
        duration: ``(V,)`` tau, mean steps of a trip from v, at least 1.
        neighbors: ``(V, D)`` slots, padded with -1; slot 0 stays.
        fare: per pick-up.
        move_cost: per empty move.
    """

    population: int
    rate: Floats
    destination: Floats
    duration: Floats
    neighbors: Ints
    fare: float
    move_cost: float


@dataclass(frozen=True)
class Flows:
    """Optimal means per step: ``value`` (reward of all agents), ``served (V,)``, ``sent (V, D)`` by neighbour slot."""

    value: float
    served: Floats
    sent: Floats

    def policy(self) -> Floats:
        """``(V, D)`` shares of the unserved by slot: pi = u / sum u, *stay* where the programme sends nobody."""
        total = self.sent.sum(1, keepdims=True)
        stay = np.eye(1, self.sent.shape[1])
        return np.where(total > 1e-9, self.sent / np.maximum(total, 1e-9), stay)


def solve(fleet: Fleet, phi: ExpectedMin | None) -> Flows:
    """The optimum, by scipy's HiGHS.

    Args:
        fleet: the instance.
        phi: law of the matching at a finite population; None for the fluid limit, where m_v <= min(n_v, rate_v).

    Raises:
        RuntimeError: the solver stopped without an optimum.
    """
    from scipy.optimize import linprog
    from scipy.sparse import block_array, csr_array, eye_array

    nodes = len(fleet.rate)
    origin, slot = np.nonzero(fleet.neighbors >= 0)
    arcs, one = np.arange(len(origin)), np.ones(len(origin))
    leaves = csr_array((one, (origin, arcs)), shape=(nodes, len(arcs)))
    enters = csr_array((one, (fleet.neighbors[origin, slot], arcs)), shape=(nodes, len(arcs)))
    each = eye_array(nodes)
    # columns: idle n, served m, sent u; an agent that is served is idle at the pick-up, so it is away for tau - 1 more
    equalities = [[each, -each, -leaves], [each, -fleet.destination.T, -enters]]
    everywhere = [[np.ones((1, nodes)), fleet.duration[None] - 1, np.zeros((1, len(arcs)))]]
    rows, height = _tangents(fleet, phi)
    found = linprog(
        np.concatenate([np.zeros(nodes), np.full(nodes, -fleet.fare), fleet.move_cost * (slot > 0)]),
        A_ub=block_array([[*rows, csr_array((len(height), len(arcs)))]]),
        b_ub=height,
        A_eq=block_array(equalities + everywhere),
        b_eq=np.append(np.zeros(2 * nodes), fleet.population),
        bounds=[(0, None)] * nodes + [(0, rate) for rate in fleet.rate] + [(0, None)] * len(arcs),
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"the stationary programme has no optimum: {found.message}")
    sent = np.zeros(fleet.neighbors.shape)
    sent[origin, slot] = found.x[2 * nodes :]
    return Flows(-float(found.fun), found.x[nodes : 2 * nodes], sent)


def _tangents(fleet: Fleet, phi: ExpectedMin | None) -> tuple[tuple[Any, Any], Floats]:
    """Rows ``-slope n_v + m_v <= height`` as their blocks over n and over m, and the heights.

    With ``phi`` one for every v and every integer k where the slope phi_v(k+1) - phi_v(k) is not zero; without it
    m_v <= n_v. That m_v <= rate_v stands among the bounds of the variables.
    """
    from scipy.sparse import csr_array

    nodes = len(fleet.rate)
    slopes = [np.ones(1) if phi is None else phi.slopes(v) for v in range(nodes)]
    node = np.repeat(np.arange(nodes), [len(part) for part in slopes])
    slope = np.concatenate(slopes)
    height = np.concatenate([np.cumsum(part) - part * np.arange(1, len(part) + 1) for part in slopes])
    place = (np.arange(len(node)), node)
    shape = (len(node), nodes)
    return (csr_array((-slope, place), shape=shape), csr_array((np.ones(len(node)), place), shape=shape)), height
