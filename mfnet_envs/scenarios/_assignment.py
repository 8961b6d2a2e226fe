"""Static assignment: who should take which way, who would, and how many trips a number of vehicles can make.

Flows h >= 0 on paths carry the demand D(o, d); a link's flow f sums the paths through it. The *user equilibrium* (UE),
where no traveller gains by another path, minimises sum_e int_0^f t_e; the *system optimum* (SO), with the least
total time, minimises sum_e f t_e(f), so it is the equilibrium of the marginal costs. Both are solved path by path:
find new shortest paths, then move flow from dearer to cheaper ones with a Newton step on their difference.

Every answer carries its proof. For convex F and any flow x, F(y) >= F(x) + grad F(x) (y - x) >= F(x) - grad F(x) x +
sum D(o, d) dist(o, d) with distances under grad F(x): one shortest path search bounds every assignment from below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mfnet_envs.model import Floats
from mfnet_envs.network import Ints
from mfnet_envs.scenarios._link_laws import Cost

ROUNDS, SWEEPS = 400, 12
GAP = 1e-10  # relative, of an assignment
SCALE_GAP = 1e-9  # relative, of the largest scale
BALANCED = GAP / 10  # excess of a pair's total cost, relative, that is not worth a step
UNUSED = 1e-12  # share of its demand below which a path that is not the best is dropped


@dataclass(frozen=True)
class Roads:
    """Directed links between nodes 0 .. V - 1.

    Attributes:
        tail, head: ``(L,)``.
        num_nodes: V.
        first_through: nodes below may start and end a path, but no path passes through them.
    """

    tail: Ints
    head: Ints
    num_nodes: int
    first_through: int = 0

    @cached_property
    def out(self) -> Ints:
        """``(V, A)``: the links that leave each node, ascending, padded with -1."""
        order = np.argsort(self.tail, kind="stable")
        degree = np.bincount(self.tail, minlength=self.num_nodes)
        place = np.arange(len(order)) - np.repeat(np.cumsum(degree) - degree, degree)
        table = np.full((self.num_nodes, max(1, int(degree.max(initial=0)))), -1, np.int64)
        table[self.tail[order], place] = order
        return table

    def to_go(self, cost: Floats, destinations: Ints) -> Floats:
        """``(L, K)``: the least cost from the start of link e to destination k; inf where no way leads on.

        Args:
            cost: ``(L,)`` positive.
            destinations: ``(K,)`` nodes.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        passable = np.flatnonzero(self.tail >= self.first_through)
        # the cheapest of parallel links: the matrix would add them up
        passable = passable[np.lexsort((cost[passable], self.tail[passable], self.head[passable]))]
        ends = self.head[passable] * self.num_nodes + self.tail[passable]
        cheapest = passable[np.unique(ends, return_index=True)[1]]
        backwards = csr_array((cost[cheapest], (self.head[cheapest], self.tail[cheapest])), (self.num_nodes,) * 2)
        distance: Any = dijkstra(backwards, indices=destinations)
        onward: Floats = cost[:, None] + distance[:, self.head].T
        return onward

    def next_link(self, to_go: Floats) -> Ints:
        """``(V, K)``: the first link of a cheapest path, -1 where there is none; ties: the lowest link."""
        best = np.where(self.out[..., None] < 0, np.inf, to_go[self.out])
        slot = best.argmin(1)
        reached = np.isfinite(best.min(1))
        return np.where(reached, np.take_along_axis(self.out, slot, 1), -1)

    def paths(self, next_link: Ints, origin: Ints, target: Ints, destinations: Ints) -> Floats:
        """``(P, L)`` incidence of the paths from ``origin (P,)`` to ``destinations[target]``, ``target (P,)``."""
        incidence = np.zeros((len(origin), len(self.tail)))
        going, at = np.arange(len(origin)), origin
        while going.size:
            link = next_link[at, target[going]]
            incidence[going, link] = 1
            still = self.head[link] != destinations[target[going]]
            going, at = going[still], self.head[link][still]
        return incidence


@dataclass(frozen=True)
class Trips:
    """Demand as a list of P pairs with a way between them.

    Attributes:
        origin: ``(P,)`` nodes.
        target: ``(P,)`` places in ``destinations (K,)``.
        volume: ``(P,)`` trips per unit of time.
    """

    origin: Ints
    target: Ints
    volume: Floats
    destinations: Ints

    @classmethod
    def of(cls, demand: Floats) -> Trips:
        """From a table ``(V, V)``; an entry on the diagonal is a round trip."""
        destinations = np.flatnonzero(demand.sum(0) > 0)
        origin, target = np.nonzero(demand[:, destinations])
        return cls(origin, target, demand[origin, destinations[target]], destinations)

    def scaled(self, theta: float) -> Trips:
        return replace(self, volume=theta * self.volume)

    @property
    def total(self) -> float:
        return float(self.volume.sum())


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
    flow = _link_flow(routes)
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
        flow = _link_flow(routes)
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


def _link_flow(routes: Routes) -> Floats:
    flow: Floats = np.sum([flows @ paths for paths, flows in routes], 0)
    return flow


def by_destination(routes: Routes, trips: Trips) -> Floats:
    """``(K, L)``: the flow on each link, apart for each destination."""
    table = np.zeros((len(trips.destinations), routes[0][0].shape[1]))
    for (paths, flows), target in zip(routes, trips.target, strict=True):
        table[target] += flows @ paths
    return table


# -- a fixed number of vehicles ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """The largest theta such that theta times the demand can be carried.

    Attributes:
        theta: reached by ``by_destination (K, L)``.
        upper: no assignment reaches more; ``gap`` is their relative difference.
    """

    theta: float
    upper: float
    by_destination: Floats

    @property
    def gap(self) -> float:
        return self.upper / self.theta - 1


def largest_scale(roads: Roads, trips: Trips, marginal: Cost, vehicles: float, waiting: float) -> Scale:
    """theta* = max {theta: G(x) + theta * waiting <= vehicles, x carries theta * trips}, G(x) = sum_e x t_e(x).

    Take shortest paths, shrink or stretch their flow x until it uses all vehicles, solve SO for that demand, stretch
    again, and so on: theta rises, and every demand on the way can be carried. The bound: G is convex, so G(y) >= G(x) -
    grad G(x) x + theta sum D dist, hence for every theta that can be carried

        theta <= (vehicles - G(x) + grad G(x) x) / (sum D dist + waiting).

    Args:
        marginal: the law's ``marginal()``, whose integral is G.
        waiting: vehicles that wait at nodes when theta = 1.
    """
    routes = shortest_paths(roads, trips, marginal.time(np.zeros(len(roads.tail))))
    theta = _stretch(_link_flow(routes), marginal, vehicles, waiting)
    for _ in range(ROUNDS):
        found = assign(roads, trips.scaled(theta), marginal, start=routes)
        stretch = _stretch(found.flow, marginal, vehicles, theta * waiting)
        theta, flow, routes = theta * stretch, stretch * found.flow, found.routes
        cost = marginal.time(flow)
        to_go = roads.to_go(cost, trips.destinations)
        cheapest = float(trips.volume @ to_go[roads.next_link(to_go)[trips.origin, trips.target], trips.target])
        upper = (vehicles - float(marginal.integral(flow).sum() - flow @ cost)) / (cheapest + waiting)
        if upper <= theta * (1 + SCALE_GAP):
            return Scale(theta, max(upper, theta), stretch * found.by_destination)
    raise RuntimeError(f"theta lies between {theta:.9g} and {upper:.9g}; the search came no nearer")


def _stretch(flow: Floats, marginal: Cost, vehicles: float, waiting: float) -> float:
    """s with G(s x) + s waiting = vehicles."""
    from scipy.optimize import brentq

    def spare(s: float) -> float:
        return float(marginal.integral(s * flow).sum()) + s * waiting - vehicles

    high = 1.0
    while spare(high) < 0:
        high *= 2
    root: float = brentq(spare, 0.0, high, xtol=1e-15, rtol=1e-14)
    return root


def equilibrium_scale(
    roads: Roads, trips: Trips, law: Cost, vehicles: float, waiting: float, highest: float
) -> tuple[float, Assignment]:
    """(theta, assignment) of the user equilibrium with all vehicles busy: sum_e f t_e(f) + theta waiting = vehicles.

    Args:
        highest: the system optimum's theta, which no equilibrium exceeds.
    """
    from scipy.optimize import brentq

    last: dict[str, Any] = {"routes": None}

    def spare(theta: float) -> float:
        found = assign(roads, trips.scaled(theta), law, start=last["routes"])
        last.update(routes=found.routes, assignment=found)
        return float(found.flow @ law.time(found.flow)) + theta * waiting - vehicles

    lowest = highest / 2
    while spare(lowest) > 0:
        highest, lowest = lowest, lowest / 2
    at_highest = spare(highest)
    theta: float = highest if at_highest <= 0 else brentq(spare, lowest, highest, xtol=1e-15, rtol=1e-10)
    spare(theta)
    return theta, last["assignment"]


def largest_scale_with_capacities(
    roads: Roads, trips: Trips, time: Floats, capacity: Floats, vehicles: float, waiting: float
) -> Scale:
    """:func:`largest_scale` for constant times and hard capacities, x <= capacity: one linear programme (HiGHS)."""
    from scipy.optimize import linprog
    from scipy.sparse import block_array, block_diag, csr_array, eye_array

    links, kinds = len(time), len(trips.destinations)
    everywhere = np.arange(links)
    leaves = csr_array((np.ones(links), (roads.tail, everywhere)), (roads.num_nodes, links))
    enters = csr_array((np.ones(links), (roads.head, everywhere)), (roads.num_nodes, links))
    stays = [eye_array(roads.num_nodes, format="csr") for _ in range(kinds)]
    for k, d in enumerate(trips.destinations):
        stays[k].data[d] = 0  # what enters its destination has arrived
    wanted = np.zeros((kinds, roads.num_nodes))
    wanted[trips.target, trips.origin] = trips.volume
    balance = block_diag([leaves - stay @ enters for stay in stays])
    total = block_array([[eye_array(links)] * kinds])
    used = np.append(np.tile(time, kinds), waiting)[None]
    leads_on = np.isfinite(roads.to_go(time, trips.destinations)).T.reshape(-1)
    upper = np.append(np.where(leads_on, np.inf, 0.0), np.inf)
    limits = np.append(capacity, vehicles)
    result: Any = linprog(
        np.append(np.zeros(links * kinds), -1.0),
        A_ub=block_array([[total, csr_array((links, 1))], [csr_array(used[:, :-1]), csr_array(used[:, -1:])]]),
        b_ub=limits,
        A_eq=block_array([[balance, csr_array(-wanted.reshape(-1, 1))]]),
        b_eq=np.zeros(balance.shape[0]),
        bounds=np.stack([np.zeros_like(upper), upper], 1),
        method="highs",
    )
    if result.status != 0:
        raise RuntimeError(f"the linear programme did not solve: {result.message}")
    theta, dual = -float(result.fun), -float(limits @ result.ineqlin.marginals)
    return Scale(theta, max(theta, dual), result.x[:-1].reshape(kinds, links))
