"""Where the next trip begins, so that trips are made in the proportions of the demand as given, whatever the policy.

D(o, d) >= 0 are the trips wanted per unit of time, E(v) those that end at v, B(w) those that begin at w. Where a trip
ends the vehicle begins the next one, if as many begin there as end. The surplus leaves the network, and as many enter
in the same moment where more begin than end: a plan R(v, w) >= 0 with row sums E and column sums B. A trip that ends at
v is followed by one from w with odds R(v, w) / E(v), to d with odds D(w, d) / B(w).

The theorem. Let x(o, d) be the trips made per unit of time in the long run, under any policy. Trips that begin are
trips that ended, up to the finitely many on the way, so

    x(o, d) = sum_v X(v) R(v, o) / E(v) * D(o, d) / B(o),    X(v) = sum_u x(u, v) those that end at v.

x = theta D solves this. It is the only solution if the chain over ends v -> begin w (by R) -> end d (by D) is
irreducible. R and D are a circulation on these two copies of the nodes: as much flows into each as out of it. Hence
each of its connected parts is strongly connected; and if there are several, they exchange a little through R in a
circle, which keeps all sums. So x = theta D: mean flows on links carry theta times the demand as given, for one theta.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.engines.roads import Roads

UNBALANCED = 1e-9  # of the total demand


class Plan(NamedTuple):
    """The entries of R: trips per unit of time that end at ``end (M,)`` and are followed by one from ``begin (M,)``."""

    end: Ints
    begin: Ints
    rate: Floats
    joined: int = 0

    @property
    def relocated(self) -> float:
        """The share of trips after which the vehicle goes on elsewhere."""
        return float(self.rate[self.end != self.begin].sum() / self.rate.sum())

    @property
    def said(self) -> tuple[str, ...]:
        """Notes: how many vehicles go on elsewhere, and whether parts had to be joined."""
        notes = []
        if self.relocated:
            share = f"{self.relocated:.1%}"
            notes.append(f"more trips end than begin at some nodes: after {share} of all the vehicle goes on elsewhere")
        if self.joined:
            notes.append(f"the trips fall into {self.joined} parts that no trip joins; they exchange vehicles")
        return tuple(notes)


def respawn_plan(demand: Floats, apart: Callable[[Ints, Ints], Floats]) -> Plan:
    """R, nearest first: whoever can begins the next trip where the last one ended.

    Args:
        demand: ``(V, V)``; an entry on the diagonal is a round trip.
        apart: how far ``(m, n)`` it is from some nodes ``(m,)`` to others ``(n,)``; asked where the demand is uneven.

    Raises:
        ValueError: no demand, or not a square table of finite, non-negative numbers.
    """
    square = demand.ndim == 2 and demand.shape[0] == demand.shape[1]
    if not (square and np.isfinite(demand).all() and (demand >= 0).all()):
        raise ValueError("demand must be a square table of non-negative numbers, trips from node to node")
    begins, ends, total = demand.sum(1), demand.sum(0), demand.sum()
    if total == 0:
        raise ValueError("demand must be positive somewhere")
    even = abs(begins - ends).sum() <= UNBALANCED * total and ((begins > 0) == (ends > 0)).all()
    stay = begins if even else np.minimum(begins, ends)
    own, surplus = np.flatnonzero(stay > 0), ends - begins
    surplus[abs(surplus) <= UNBALANCED * stay] = 0
    if even:
        surplus[:] = 0
    end, begin, rate = _nearest_first(np.maximum(surplus, 0), np.maximum(-surplus, 0), apart)
    return _joined(Plan(np.append(own, end), np.append(own, begin), np.append(stay[own], rate)), demand)


def _nearest_first(
    leaving: Floats, entering: Floats, apart: Callable[[Ints, Ints], Floats]
) -> tuple[Ints, Ints, Floats]:
    """Entries from where vehicles leave to where they enter, ``(V,)`` each: the nearest pair takes all it can, and so
    on; at most as many as there are such nodes."""
    sources, sinks = np.flatnonzero(leaving), np.flatnonzero(entering)
    entries: list[tuple[int, int, float]] = []
    if sources.size and sinks.size:
        left = leaving.tolist()
        wanted = (entering * (leaving.sum() / entering.sum())).tolist()
        order = np.argsort(apart(sources, sinks), axis=None, kind="stable")
        nearest_first = list(
            zip(sources[order // len(sinks)].tolist(), sinks[order % len(sinks)].tolist(), strict=True)
        )
        for v, w in nearest_first:
            if (rate := min(left[v], wanted[w])) > 0:
                entries.append((v, w, rate))
                left[v], wanted[w] = left[v] - rate, wanted[w] - rate
        nearest = dict(reversed(nearest_first))
        entries += [(v, nearest[v], left[v]) for v in nearest if left[v] == leaving[v]]  # rounding took its place
    ends, begins, rates = np.array(entries, np.float64).reshape(-1, 3).T
    return ends.astype(np.int64), begins.astype(np.int64), rates


def _joined(plan: Plan, demand: Floats) -> Plan:
    """One chain: from the largest entry of each part half of the least of them goes on to the next part instead."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    v = len(demand)
    origin, destination = np.nonzero(demand)
    tail, head = np.append(v + origin, plan.end), np.append(destination, v + plan.begin)  # begin w is node V + w
    graph = csr_array((np.ones(len(tail)), (tail, head)), shape=(2 * v, 2 * v))
    part = connected_components(graph, directed=False)[1][plan.end]
    order = np.lexsort((-plan.rate, part))
    largest = order[np.append(True, np.diff(part[order]) > 0)]
    if len(largest) == 1:
        return plan
    exchanged = plan.rate[largest].min() / 2
    rate = plan.rate.copy()
    rate[largest] -= exchanged
    return Plan(
        np.append(plan.end, plan.end[largest]),
        np.append(plan.begin, np.roll(plan.begin[largest], -1)),
        np.append(rate, np.full(len(largest), exchanged)),
        len(largest),
    )


def next_starts(plan: Plan, rows: Floats, destinations: Ints, starts: Ints) -> tuple[Ints, Floats]:
    """``(K, J)``: where and for what the next trip begins after one to each destination, and the odds.

    Args:
        rows: ``(V, V)`` the odds of where a trip from each node goes.
        destinations: ``(K,)``; starts: ``(B,)`` nodes. A trip from the i-th of them to the k-th is number i K + k.
    """
    shares, k = rows[:, destinations], len(destinations)
    entry, target = np.nonzero(shares[plan.begin] > 0)
    begin, row = plan.begin[entry], np.searchsorted(destinations, plan.end[entry])
    ending = np.bincount(plan.end, plan.rate)[plan.end]
    odds = (plan.rate / ending)[entry] * shares[begin, target]
    order = np.argsort(row, kind="stable")
    sizes = np.bincount(row, minlength=k)
    column = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    trips, table = np.zeros((k, sizes.max()), np.int64), np.zeros((k, sizes.max()))
    trips[row[order], column] = (np.searchsorted(starts, begin) * k + target)[order]
    table[row[order], column] = odds[order]
    return np.where(table > 0, trips, trips[:, :1]), table


def apart(roads: Roads, time: Floats) -> Callable[[Ints, Ints], Floats]:
    """How long it takes from node to node at ``time (L,)``, in either direction of every link: nobody drives there."""

    def table(start: Ints, end: Ints) -> Floats:
        tail, head = np.append(roads.tail, roads.head), np.append(roads.head, roads.tail)
        instant = roads.instant_tail, roads.instant_head
        both = Roads(tail, head, roads.num_nodes, 0, np.append(*instant), np.append(*instant[::-1]))
        ahead = both.out[start]
        to_go = np.where(ahead[..., None] < 0, np.inf, both.to_go(np.tile(time, 2), end)[ahead]).min(1)
        return np.where(both.arrives(end)[start], 0.0, to_go)

    return table
