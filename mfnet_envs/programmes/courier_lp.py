"""The stationary linear programme of couriers: a bound on every policy, and a policy.

Long-run means per step, in couriers: m_s deliver in state s = (v, c), u_sa take action a instead. A delivery leads to
(v, c - 1), action a to the state a(s). Whatever the policy, those means satisfy

    n_s = m_s + sum_a u_sa,      n_s' = sum_{s: delivered(s) = s'} m_s + sum_{(s, a): a(s) = s'} u_sa
    sum_s n_s = N
    sum_c m_vc <= phi_v(k) + (phi_v(k+1) - phi_v(k)) (sum_{c >= 1} n_vc - k)      for every integer k

(the last by Jensen, phi(n) = E min(n, D) is concave), so the largest value of sum fare_s m_s - sum cost_sa u_sa
bounds them all, and the best u is a way to send them. Fluid couriers, a continuum, have
sum_c m_vc <= min(sum_c n_vc, rate_v).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.programmes.pieces import tangents
from mfnet_envs.words import NotSolvedError


@dataclass(frozen=True)
class Couriers:
    """What the programme needs to know.

    Attributes:
        population: N.
        rate: ``(V,)`` parcels wanted per step.
        node_of: ``(S,)`` node of each state.
        loaded: ``(S,)`` bool, whether a courier in the state has a parcel to deliver.
        delivered: ``(S,)`` the state after a delivery; read where ``loaded``.
        targets: ``(S, A)`` the state after each action.
        legal: ``(S, A)`` bool.
        fare: ``(S,)`` earned by a delivery; read where ``loaded``.
        cost: ``(S, A)`` of each action when nothing is delivered.
    """

    population: int
    rate: Floats
    node_of: Ints
    loaded: Bools
    delivered: Ints
    targets: Ints
    legal: Bools
    fare: Floats
    cost: Floats


@dataclass(frozen=True)
class Flows:
    """Optimal means per step: ``value`` (reward of all couriers; the larger of primal and dual objective), the relative
    ``gap`` of the two, ``sent (S, A)``."""

    value: float
    gap: float
    sent: Floats


def solve(data: Couriers, phi: ExpectedMin | None) -> Flows:
    """The optimum, by scipy's HiGHS.

    Args:
        data: the instance.
        phi: law of the matching at a finite population; None for the fluid limit.

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, csr_array, hstack, vstack

    s, nodes = len(data.loaded), len(data.rate)
    giver = np.flatnonzero(data.loaded)
    state, action = np.nonzero(data.legal)
    columns = len(giver) + len(state)
    # columns: deliveries m of the loaded states, then flows u of the legal pairs; n_s is the sum of its columns
    place, one = np.arange(columns), np.ones(columns)
    origin = np.concatenate([giver, state])
    target = np.concatenate([data.delivered[giver], data.targets[state, action]])
    leaves, enters = (coo_array((one, (rows, place)), (s, columns)) for rows in (origin, target))
    node = data.node_of[origin]
    present = coo_array((one * data.loaded[origin], (node, place)), (nodes, columns))
    given = coo_array((one[: len(giver)], (node[: len(giver)], place[: len(giver)])), (nodes, columns))
    owner, slope, height = tangents(data.rate, phi)
    found: Any = linprog(
        np.concatenate([-data.fare[giver], data.cost[state, action]]),
        A_ub=csr_array(given)[owner] - csr_array(present)[owner] * slope[:, None],
        b_ub=height,
        A_eq=vstack([leaves - enters, hstack([csr_array(one[None])])]),
        b_eq=np.append(np.zeros(s), data.population),
        method="highs",
    )
    if not found.success:
        raise NotSolvedError(f"the couriers' programme has no optimum: {found.message}")
    sent = np.zeros(data.legal.shape)
    sent[state, action] = found.x[len(giver) :]
    primal = -float(found.fun)
    dual = -float(height @ found.ineqlin.marginals + data.population * found.eqlin.marginals[-1])
    return Flows(max(primal, dual), abs(primal - dual) / max(abs(dual), 1e-12), sent)
