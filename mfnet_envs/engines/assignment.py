"""Static assignment: who should take which way, and who would.

Flows h >= 0 on paths carry the demand D(o, d); a link's flow f sums the paths through it. The *user equilibrium* (UE),
where no traveller gains by another path (Wardrop 1952), minimises sum_e int_0^f t_e (Beckmann, McGuire and Winsten
1956); the *system optimum* (SO), with the least total time, minimises sum_e f t_e(f), so it is the equilibrium of the
marginal costs. Both are solved path by path: find new shortest paths, then move flow from dearer to cheaper ones with a
Newton step on their difference.

Every answer carries its proof. For convex F and any flow x, F(y) >= F(x) + grad F(x) (y - x) >= F(x) - grad F(x) x +
sum D(o, d) dist(o, d) with distances under grad F(x): one shortest path search bounds every assignment from below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.engines.link_laws import Cost
from mfnet_envs.engines.roads import Roads, Trips

ROUNDS, SWEEPS = 400, 12
GAP = 1e-10  # relative, of an assignment
BALANCED = GAP / 10  # excess of a pair's total cost, relative, that is not worth a step
UNUSED = 1e-12  # share of its demand below which a path that is not the best is dropped

Routes = list[tuple[Floats, Floats]]  # for each pair its paths (k, L) and their flows (k,)


@dataclass(frozen=True)
class Assignment:
    """A feasible flow and its proof.

    Attributes:
        flow: ``(L,)``.
        by_destination: ``(K, L)``, summing to ``flow``.
        objective: sum of the integrals of the cost, what was minimised.
        lower_bound: no assignment of these trips has a smaller objective.
        gap: excess of the total cost over that of cheapest paths at the same costs, relative.
        routes: paths and flows, to start the next assignment from.
    """

    flow: Floats
    by_destination: Floats
    objective: float
    lower_bound: float
    gap: float
    routes: Routes


def assign(roads: Roads, trips: Trips, cost: Cost, gap: float = GAP, start: Routes | None = None) -> Assignment:
    """The equilibrium of ``trips`` under ``cost``; with ``law.marginal()`` as the cost, the system optimum.

    Args:
        gap: relative, at which to stop.
        start: routes of a near assignment of the same pairs, scaled to the new volumes.

    Raises:
        ValueError: a pair without a path. RuntimeError: the gap was not reached.
    """
    free = cost.time(np.zeros(len(roads.tail)))
    routes = _scaled(start, trips) if start else shortest_paths(roads, trips, free)
    flow = link_flow(routes)
    for _ in range(ROUNDS):
        time = cost.time(flow)
        to_go = roads.to_go(time, trips.destinations)
        next_link = roads.next_link(to_go)
        cheapest = float(trips.volume @ to_go[next_link[trips.origin, trips.target], trips.target])
        spent = float(flow @ time)
        if spent - cheapest <= gap * spent:
            objective = float(cost.integral(flow).sum())
            carried = by_destination(routes, trips)
            return Assignment(flow, carried, objective, objective - spent + cheapest, 1 - cheapest / spent, routes)
        routes = _widened(routes, roads.paths(next_link, trips.origin, trips.target, trips.destinations))
        for _ in range(SWEEPS):
            flow = _equalised(routes, flow, cost)
        routes = _pruned(routes)
        flow = link_flow(routes)
    raise RuntimeError(f"the assignment stopped at a relative gap of {1 - cheapest / spent:.1e}, not {gap:.1e}")


def shortest_paths(roads: Roads, trips: Trips, cost: Floats) -> Routes:
    """Everybody on a cheapest path under ``cost (L,)``.

    Raises:
        ValueError: a pair without a path.
    """
    next_link = roads.next_link(roads.to_go(cost, trips.destinations))
    lost = np.flatnonzero(next_link[trips.origin, trips.target] < 0)
    if lost.size:
        origin, target = trips.origin[lost[0]], trips.destinations[trips.target[lost[0]]]
        raise ValueError(f"no path leads from node {origin} to node {target}, but trips are wanted there")
    paths = roads.paths(next_link, trips.origin, trips.target, trips.destinations)
    return [(path[None], np.array([volume])) for path, volume in zip(paths, trips.volume, strict=True)]


def _scaled(routes: Routes, trips: Trips) -> Routes:
    return [
        (paths, flows * (volume / flows.sum())) for (paths, flows), volume in zip(routes, trips.volume, strict=True)
    ]


def _widened(routes: Routes, paths: Floats) -> Routes:
    """Each pair's set of paths with its newest one."""
    return [
        (known, flows) if (known == path).all(1).any() else (np.concatenate([known, path[None]]), np.append(flows, 0.0))
        for (known, flows), path in zip(routes, paths, strict=True)
    ]


def _equalised(routes: Routes, flow: Floats, cost: Cost) -> Floats:
    """One sweep over the pairs, flows changed in place: every dearer path gives to the cheapest, by a Newton step."""
    flow = flow.copy()
    time, slope = cost.time(flow), cost.slope(flow)
    for paths, flows in routes:
        if len(flows) == 1:
            continue
        times = paths @ time
        best = int(times.argmin())
        gain = times - times[best]
        if gain @ flows <= BALANCED * times[best] * flows.sum():
            continue
        stiffness = abs(paths - paths[best]) @ slope
        given = np.minimum(flows, gain / np.maximum(stiffness, 1e-300))
        given[best] = 0
        total = given.sum()
        flows -= given
        flows[best] += total
        flow += total * paths[best] - given @ paths
        np.maximum(flow, 0, out=flow)  # rounding
        time, slope = cost.time(flow), cost.slope(flow)
    return flow


def _pruned(routes: Routes) -> Routes:
    kept = []
    for paths, flows in routes:
        used = flows > UNUSED * flows.sum()
        kept.append((paths[used], flows[used] * (flows.sum() / flows[used].sum())))
    return kept


def link_flow(routes: Routes) -> Floats:
    flow: Floats = np.sum([flows @ paths for paths, flows in routes], 0)
    return flow


def by_destination(routes: Routes, trips: Trips) -> Floats:
    """``(K, L)``: the flow on each link, apart for each destination."""
    table = np.zeros((len(trips.destinations), routes[0][0].shape[1]))
    for (paths, flows), target in zip(routes, trips.target, strict=True):
        table[target] += flows @ paths
    return table
