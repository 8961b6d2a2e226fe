"""The programme of a fleet's day: a bound on every policy when demand changes with the hour, and a policy by the hour.

A day has H hours of T steps. Long-run means per day, in agents, whatever the policy: n_vh is the sum over the steps of
hour h of the idle agents in zone v, m_vh of those served, u_vwh of those sent empty from v to w (u_vv stay), l_ch of
the loaded agents of class c (what decides a loaded agent's next step: its place, or its destination and how far it is).
b_vh and k_ch are the idle and the loaded at the first step of hour h; hour H is hour 0 of the next day. Every step
satisfies the balance of what leaves and what enters; summed over the steps of an hour that is

    n_vh = m_vh + sum_w u_vwh
    n_vh - b_vh + b_v,h+1 = sum_w u_wvh + sum_s m_sh P_h(v|s) + sum_c l_ch Q_h(v|c)
    l_ch - k_ch + k_c,h+1 =               sum_s m_sh P_h(c|s) + sum_c' l_c'h Q_h(c|c')
    sum_v n_vh + sum_c l_ch = T N,        sum_v b_vh + sum_c k_ch = N,        k_ch <= l_ch
    n_vh >= T b_vh - (T - 1) (n_vh - stay_vh)
    n_vh <= T b_vh + (T - 1) (n_vh - b_vh + b_v,h+1 - stay_vh),       stay_vh = u_vvh + m_vh P_h(v|v)
    m_vh <= slope n_vh + T height         for every tangent of phi_vh

with P_h where a pick-up leads and Q_h where a loaded agent's next step leads, in hour h. At any step of the hour the
idle of a zone are at least the first step's less those who have left, at most those and all who have come: summed, the
two lines with stay. The last line is Jensen's inequality: phi_vh is concave, so m_vh / T <= phi_vh(n_vh / T). Nothing
else says when within the hour an agent is where: the optimum bounds every policy, and lies above that of the programme
with one variable per step (larger, not solved here). The u of an hour, as shares, are a policy that looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.engines.trips import Rides, hop_distances
from mfnet_envs.matching import ExpectedMin
from mfnet_envs.model import Branch
from mfnet_envs.network import StateNetwork
from mfnet_envs.programmes.pieces import arcs, by_slot, shares, tangents
from mfnet_envs.words import NotSolvedError


@dataclass(frozen=True)
class Hour:
    """What differs from hour to hour.

    Attributes:
        rate: ``(V,)`` mean demand per step, in agents.
        phi: law of the matching at a finite population; None for the fluid limit.
        first: ``(V, V + C)`` P_h, where a pick-up in a zone leads: idle in a zone, or loaded of a class.
        later: ``(C, V + C)`` Q_h, the next step of the loaded.
        fare: ``(V,)`` earned by a pick-up in each zone.
        cost: ``(V, D)`` paid, by slot, by an idle agent who is not served.
    """

    rate: Floats
    phi: ExpectedMin | None
    first: Floats
    later: Floats
    fare: Floats
    cost: Floats


@dataclass(frozen=True)
class Day:
    """What stays: ``population`` N, ``neighbors (V, D)`` (slot 0 stays), ``steps`` T an hour."""

    population: int
    neighbors: Ints
    steps: int


@dataclass(frozen=True)
class Flows:
    """Optimal means: ``value`` (reward of all agents per step; the larger of primal and dual objective), the relative
    ``gap`` of the two, ``sent (H, V, D)`` per hour by neighbour slot."""

    value: float
    gap: float
    sent: Floats

    def policy(self) -> Floats:
        """``(H, V, D)`` shares of the unserved by hour and slot: pi = u / sum u, *stay* where nobody is sent."""
        return shares(self.sent)


def solve(day: Day, hours: list[Hour]) -> Flows:
    """The optimum, by scipy's HiGHS.

    Raises:
        NotSolvedError: the solver stopped without an optimum.
    """
    from scipy.optimize import linprog

    nodes, classes, way = len(day.neighbors), len(hours[0].later), arcs(day.neighbors)
    rows = [_rows(day, hour) for hour in hours]
    height = np.concatenate([row.height for row in rows])
    fixed = np.append(np.zeros(2 * nodes + classes), [day.steps * day.population, day.population])
    paid = [
        [np.zeros(nodes), -hour.fare, hour.cost[way.origin, way.slot], np.zeros(nodes + 2 * classes)] for hour in hours
    ]
    found: Any = linprog(
        np.concatenate([part for parts in paid for part in parts]),
        A_ub=_around([(row.limits, row.limits_ahead) for row in rows]),
        b_ub=height,
        A_eq=_around([(row.balance, row.balance_ahead) for row in rows]),
        b_eq=np.tile(fixed, len(hours)),
        method="highs-ipm",  # up to three times faster here than the simplex, with the same vertex at the end
    )
    if not found.success:
        raise NotSolvedError(f"the programme of the day has no optimum: {found.message}")
    primal = -float(found.fun)
    dual = -float(height @ found.ineqlin.marginals + np.tile(fixed, len(hours)) @ found.eqlin.marginals)
    flows = found.x.reshape(len(hours), -1)[:, 2 * nodes : 2 * nodes + len(way.origin)]
    sent = by_slot(flows, way, (len(hours), *day.neighbors.shape))
    per_step = 1 / (len(hours) * day.steps)
    return Flows(max(primal, dual) * per_step, abs(primal - dual) / max(abs(dual), 1e-12), sent)


def hour_of(
    network: StateNetwork, trips: Rides, rate: Floats, phi: ExpectedMin | None, fare: Floats, cost: Floats
) -> Hour:
    """One hour from the tables of its model; ``network`` has the layers of ``trips``."""
    nodes, states = network.num_nodes, np.arange(network.num_states)
    class_of = _classes(network, trips)
    loaded, representative = np.unique(class_of, return_index=True)
    width = len(loaded)
    first = _law(trips.pick_up, states[:: trips.layers], class_of, width)
    return Hour(rate, phi, first, _law(trips.drive, representative[nodes:], class_of, width), fare, cost)


def _classes(network: StateNetwork, trips: Rides) -> Ints:
    """``(S,)``: the idle by zone, 0..V-1; the loaded by what decides their next step, from V on."""
    nodes, layers = network.num_nodes, trips.layers
    class_of = np.zeros((nodes, layers), np.int64)
    class_of[:, 0] = np.arange(nodes)
    if trips.transit.any():  # bound for d, so many hops away (those standing in d: one step)
        away = np.maximum(1, hop_distances(network))
        class_of[:, 1:] = away * nodes + np.arange(nodes)
    else:
        class_of[:, 1] = nodes + np.arange(nodes)
    return np.unique(class_of, return_inverse=True)[1].reshape(-1)


def _law(branch: Branch, states: Ints, class_of: Ints, classes: int) -> Floats:
    """``(len(states), classes)``: where action 0 of a branch leads."""
    law = np.zeros((len(states), classes))
    rows = np.broadcast_to(np.arange(len(states))[:, None], branch.successors[states, 0].shape)
    np.add.at(law, (rows, class_of[branch.successors[states, 0]]), branch.probabilities[states, 0])
    return law


def _around(rows: list[tuple[Any, Any]]) -> Any:
    """The day's matrix from pairs (what an hour's rows say of it, what they say of the next hour)."""
    from scipy.sparse import block_array

    if len(rows) == 1:
        return rows[0][0] + rows[0][1]
    blocks: list[list[Any]] = [[None] * len(rows) for _ in rows]
    for h, (here, ahead) in enumerate(rows):
        blocks[h][h], blocks[h][(h + 1) % len(rows)] = here, ahead
    return block_array(blocks, format="csr")


class _Rows(NamedTuple):
    """Rows of one hour: ``balance x + balance_ahead x' = ..`` and ``limits x + limits_ahead x' <= height``.

    The columns of x are idle n, served m, sent u, idle at the start b, loaded l, loaded at the start k; x' is of the
    next hour.
    """

    balance: Any
    balance_ahead: Any
    limits: Any
    limits_ahead: Any
    height: Floats


def _rows(day: Day, hour: Hour) -> _Rows:
    from scipy.sparse import block_array, csr_array, diags_array, eye_array, hstack, vstack

    nodes, classes, t = len(day.neighbors), len(hour.later), day.steps
    way = arcs(day.neighbors)
    num_arcs = len(way.origin)
    idle, loaded = eye_array(nodes), eye_array(classes)
    pick_up, ride = csr_array(hour.first), csr_array(hour.later)
    every_zone, every_class = np.ones((1, nodes)), np.ones((1, classes))
    balance = block_array(
        [
            [idle, -idle, -way.leaves, None, None, None],
            [idle, -pick_up[:, :nodes].T, -way.enters, -idle, -ride[:, :nodes].T, None],
            [None, -pick_up[:, nodes:].T, None, None, loaded - ride[:, nodes:].T, -loaded],
            [every_zone, None, None, None, every_class, None],
            [None, None, None, every_zone, None, every_class],
        ],
        format="csr",
    )
    no_arcs, no_classes = csr_array((nodes, num_arcs)), csr_array((nodes, classes))
    next_idle = hstack([csr_array((nodes, 2 * nodes)), no_arcs, idle, no_classes, no_classes])
    next_loaded = hstack([csr_array((classes, balance.shape[1] - classes)), loaded])
    node, slope, height = tangents(hour.rate, hour.phi)
    stay = csr_array(way.leaves * (way.slot == 0))
    again = diags_array(np.diagonal(hour.first[:, :nodes]))  # served, and at once idle in the same zone
    cut = np.arange(len(node)), node
    sloped, served = (csr_array((values, cut), shape=(len(node), nodes)) for values in (-slope, np.ones(len(node))))
    limits = block_array(
        [
            [sloped, served, csr_array((len(node), num_arcs)), None, None, None],
            [-t * idle, (t - 1) * again, (t - 1) * stay, t * idle, None, None],
            [(2 - t) * idle, (t - 1) * again, (t - 1) * stay, -idle, None, None],
            [None, None, None, None, -loaded, loaded],
        ],
        format="csr",
    )

    def nothing(rows: int) -> Any:
        return csr_array((rows, balance.shape[1]))

    return _Rows(
        balance=balance,
        balance_ahead=vstack([nothing(nodes), next_idle, next_loaded, nothing(2)]),
        limits=limits,
        limits_ahead=vstack([nothing(len(node) + nodes), (1 - t) * next_idle, nothing(classes)]),
        height=np.concatenate([t * height, np.zeros(2 * nodes + classes)]),
    )
