"""The time-expanded linear programme of repositioning with served demand: a bound for every policy, and a policy.

Masses per node v and step t: served m, unserved u(v -> w) for w in N_v,

    max sum_t gamma^t (sum fare m - sum cost u),            mu_t(v) = m + sum_w u(v -> w),
    mu_{t+1} = D^T m + inflow of u,                          m <= phi(N mu) / N.

phi is concave, so by Jensen the means of any policy, central and history dependent included, are feasible: the
optimum bounds them all. phi is linear between integers; its pieces are the columns of the programme (the same as a
tangent at every integer). With phi(n) = min(n, rate) this is the fluid programme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes.pieces import fewer, slopes
from mfnet_envs.words import NotSolvedError

COLUMNS = 400_000  # pieces of phi times steps that a solver manages in a minute or two; beyond, a quarter of them


@dataclass(frozen=True)
class Transport:
    """The data of the programme.

    Attributes:
        network: one layer.
        rate: ``(V,)`` places per step, in agents.
        dropoff: ``(V, V)`` law of the node where a served agent is set down.
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
    """``value`` (the larger of primal and dual objective), their relative ``gap``, mean ``moves (horizon, V, D)``."""

    value: float
    gap: float
    moves: Floats


def solve(data: Transport, *, fluid: bool) -> Solution:
    """Solve the programme with scipy's HiGHS: finite population, or the fluid limit."""
    from scipy.optimize import linprog
    from scipy.sparse import bmat, eye_array, kron

    owner, slope, width = _pieces(data, None if fluid else ExpectedMin(data.rate))
    origin, slot = np.nonzero(data.network.neighbors >= 0)
    target = data.network.neighbors[origin, slot]
    nodes, steps = data.network.num_nodes, data.horizon
    present, served = _incidence(owner, nodes), _incidence(owner, nodes, slope)
    leave, arrive = _incidence(origin, nodes), _incidence(target, nodes)
    # columns of one step: the pieces y of each node's mass (served: slope * y), then the flows u along the edges
    here = bmat([[present, 0 * leave], [present - served, -leave]])
    carried = bmat([[data.dropoff.T @ served, arrive], [0 * present, 0 * leave]])
    balance = kron(eye_array(steps), here) - kron(eye_array(steps, k=-1), carried)
    start = np.zeros(2 * nodes * steps)
    start[:nodes] = data.initial
    gain = np.concatenate([data.fare[owner] * slope, -data.cost[origin, slot]])
    upper = np.tile(np.concatenate([width / data.population, np.full(len(origin), np.inf)]), steps)
    result: Any = linprog(
        -np.kron(data.gamma ** np.arange(steps), gain),
        A_eq=balance.tocsc(),
        b_eq=start,
        bounds=np.stack([np.zeros_like(upper), upper], 1),
        method="highs-ipm",
    )
    if result.status != 0:
        raise NotSolvedError(f"the linear programme did not solve: {result.message}")
    capped = np.isfinite(upper)
    dual = -float(start @ result.eqlin.marginals + upper[capped] @ result.upper.marginals[capped])
    moves = np.zeros((steps, *data.network.neighbors.shape))
    moves[:, origin, slot] = np.maximum(result.x.reshape(steps, -1)[:, len(owner) :], 0)
    value = max(-float(result.fun), dual)
    return Solution(value, abs(dual + float(result.fun)) / max(abs(value), 1e-12), moves)


def _incidence(rows: Ints, count: int, values: Floats | None = None) -> Any:
    from scipy.sparse import coo_array

    entries = np.ones(len(rows)) if values is None else values
    return coo_array((entries, (rows, np.arange(len(rows)))), (count, len(rows)))


def _pieces(data: Transport, phi: ExpectedMin | None) -> tuple[Ints, Floats, Floats]:
    """phi's linear pieces, (owner node, slope, width in agents): one per integer, the last one flat and open.

    Without ``phi`` those of min(n, rate): one of the rate's width, and the flat one. Where there would be more than
    ``COLUMNS`` in all, phi is bounded from above by some of its tangents.
    """
    parts = slopes(data.rate, phi)
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    slope = np.concatenate(parts)
    if len(slope) * data.horizon <= COLUMNS:
        return owner, slope, np.where(slope > 0, data.rate[owner] if phi is None else 1.0, np.inf)
    few = [fewer(part, max(8, COLUMNS // (4 * data.horizon * len(parts)))) for part in parts]
    owner = np.repeat(np.arange(len(few)), [len(slope) for slope, _ in few])
    return owner, np.concatenate([slope for slope, _ in few]), np.concatenate([width for _, width in few])
