"""The stationary linear programme of a fleet: a bound on every policy, and a policy.

Long-run means per step, in agents: n_v idle in zone v, m_v of them served, u_vw sent empty from v to w (u_vv stay).
Served agents come back idle at their destination after the trip. Whatever the policy, those means satisfy

    n_v = m_v + sum_w u_vw = sum_w u_wv + sum_s m_s q(v|s)      what leaves a zone's idle pool is what enters it
    sum_v n_v + sum_v m_v (tau_v - 1) = N                       every agent is somewhere
    m_v <= phi_v(k) + (phi_v(k+1) - phi_v(k)) (n_v - k)         for every integer k: Jensen for phi(n) = E min(n, D)

so the largest value of sum_v fare_v m_v - sum_vw cost_vw u_vw bounds them all, and the best u is a way to send them.
Of the last line a few rows stand in the programme at first, then those around the optimum.
The optimal m is one, the optimal u one of many: between two zones several ways are equally short.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.programmes.pieces import Tangents, arcs, by_slot, refined, shares
from mfnet_envs.words import NotSolvedError


@dataclass(frozen=True)
class Fleet:
    """What the programme needs to know; all rates per step, in agents.

    Attributes:
        population: N.
        rate: ``(V,)`` mean demand.
        destination: ``(V, V)`` q(w|v), where a trip from v ends; rows sum to 1.
        duration: ``(V,)`` tau, mean steps of a trip from v, at least 1.
        neighbors: ``(V, D)`` slots, padded with -1; slot 0 stays.
        fare: ``(V,)`` earned by a pick-up in each zone.
        cost: ``(V, D)`` paid, by slot, by an agent who is not served.
    """

    population: int
    rate: Floats
    destination: Floats
    duration: Floats
    neighbors: Ints
    fare: Floats
    cost: Floats


@dataclass(frozen=True)
class Flows:
    """Optimal means per step.

    Attributes:
        value: reward of all agents, the larger of primal and dual objective.
        served: ``(V,)``; sent: ``(V, D)`` by neighbour slot.
        gap: how far the value lies above what the exact programme reaches, relative: see :func:`solve`.
        crowd: ``(1, V)`` idle agents.
    """

    value: float
    served: Floats
    sent: Floats
    gap: float
    crowd: Floats = field(repr=False)

    def policy(self) -> Floats:
        """``(V, D)`` shares of the unserved by slot: pi = u / sum u, *stay* where the programme sends nobody."""
        return shares(self.sent)


def solve(fleet: Fleet, phi: ExpectedMin | None) -> Flows:
    """The optimum, by scipy's HiGHS.

    ``gap`` is certified by a second programme, with chords of phi in place of its tangents.

    Args:
        fleet: the instance.
        phi: law of the matching at a finite population; None for the fluid limit, where m_v <= min(n_v, rate_v).

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    return refined(partial(_bracketed, fleet), 1, fleet.rate, phi)


def _bracketed(fleet: Fleet, above: Tangents, below: Tangents) -> Flows:
    """The optimum with the lines ``above`` phi, and how far it is from that with those ``below``."""
    flows = _optimum(fleet, above)
    reached = flows.value if below is above else _optimum(fleet, below).value
    return replace(flows, gap=max(flows.gap, (flows.value - reached) / max(abs(flows.value), 1e-12)))


def _optimum(fleet: Fleet, cuts: Tangents) -> Flows:
    from scipy.optimize import linprog
    from scipy.sparse import block_array, csr_array, eye_array

    nodes, way = len(fleet.rate), arcs(fleet.neighbors)
    each, num_arcs = eye_array(nodes), len(way.origin)
    # the flat lines, m_v <= rate_v, stand among the bounds of the variables
    most = cuts.height[np.append(np.diff(cuts.owner) > 0, True)]
    node, slope, height = (part[cuts.slope > 0] for part in cuts)
    cut, shape = (np.arange(len(node)), node), (len(node), nodes)
    # columns: idle n, served m, sent u; an agent that is served is idle at the pick-up, so it is away for tau - 1 more
    equalities = [[each, -each, -way.leaves], [each, -fleet.destination.T, -way.enters]]
    everywhere = [[np.ones((1, nodes)), fleet.duration[None] - 1, np.zeros((1, num_arcs))]]
    rows = [csr_array((-slope, cut), shape=shape), csr_array((np.ones(len(node)), cut), shape=shape)]
    found: Any = linprog(
        np.concatenate([np.zeros(nodes), -fleet.fare, fleet.cost[way.origin, way.slot]]),
        A_ub=block_array([[*rows, csr_array((len(height), num_arcs))]]),
        b_ub=height,
        A_eq=block_array(equalities + everywhere),
        b_eq=np.append(np.zeros(2 * nodes), fleet.population),
        bounds=[(0, None)] * nodes + [(0, limit) for limit in most] + [(0, None)] * num_arcs,
        method="highs",
    )
    if not found.success:
        raise NotSolvedError(f"the stationary programme has no optimum: {found.message}")
    crowd, served, sent = np.split(found.x, [nodes, 2 * nodes])
    primal, limits = -float(found.fun), found.upper.marginals[nodes : 2 * nodes]
    dual = -float(height @ found.ineqlin.marginals + fleet.population * found.eqlin.marginals[-1] + most @ limits)
    value = max(primal, dual)
    return Flows(
        value=value,
        served=served,
        sent=by_slot(sent, way, fleet.neighbors.shape),
        gap=abs(primal - dual) / max(abs(value), 1e-12),
        crowd=crowd[None],
    )
