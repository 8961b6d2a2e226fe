"""Static assignment: who should take which way, and who would.

Flows h >= 0 on paths carry the demand D(o, d); a link's flow f sums the paths through it. The *user equilibrium* (UE),
where no traveller gains by another path (Wardrop 1952), minimises sum_e int_0^f t_e (Beckmann, McGuire and Winsten
1956); the *system optimum* (SO), with the least total time, minimises sum_e f t_e(f), so it is the equilibrium of the
marginal costs. Both are solved by adding paths as they become cheapest (column generation), between which all flows
move at once, by Newton steps that conjugate gradients find and a line search keeps descending.

Every answer carries its proof. For convex F and any flow x, F(y) >= F(x) + grad F(x) (y - x) >= F(x) - grad F(x) x +
sum D(o, d) dist(o, d) with distances under grad F(x): one shortest path search bounds every assignment from below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.engines.link_laws import Cost
from mfnet_envs.engines.roads import Cheapest, Roads, Trips
from mfnet_envs.words import NotSolvedError

GAP = 1e-10  # relative, of an assignment
NEWER = 1e-14  # by how much, relative, a path must be cheaper than the known ones to be none of them
ROUNDS, PATIENCE = 400, 100  # searches for new paths: at most, and without a better gap
STEPS, ENOUGH = 8, 0.3  # steps of a round: at most, and the share of its first excess at which it ends
TRIALS, LONG = 3, 0.2  # Newton steps that are tried, and the part of one that must lead down
TIGHTENINGS = 3  # times that a Newton step is sought again because it overdraws paths
LEAST_DAMPING, MOST_DAMPING = 1e-7, 10.0  # of a Newton step, in its diagonal
MORE_DAMPING, LESS_DAMPING = 30.0, 0.1  # after a step that was too long, or long enough
FLATTEST = 1e-12  # of the stiffest change: how little a change may bend, so that no step is without bounds
CG_ERROR, CG_STEPS = 0.1, 30  # of conjugate gradients: far from the end little is gained by more


@dataclass(frozen=True)
class Routes:
    """Paths of a demand and the flow on each; R paths, those of a pair side by side, every pair has one.

    Attributes:
        roads, trips: what they are paths of.
        pair: ``(R,)`` ascending.
        links: ``(M,)`` of all paths in the order of travel, one path after the other.
        starts: ``(R + 1,)`` where each path begins in ``links``.
        flow: ``(R,)``.
    """

    roads: Roads
    trips: Trips
    pair: Ints
    links: Ints
    starts: Ints
    flow: Floats

    @cached_property
    def incidence(self) -> Any:
        """``(R, L)`` sparse."""
        from scipy.sparse import csr_array

        size = (len(self.pair), len(self.roads.tail))
        return csr_array((np.ones(len(self.links)), self.links.copy(), self.starts.copy()), size)

    @cached_property
    def first(self) -> Ints:
        """``(P,)``: the first path of each pair."""
        first: Ints = np.searchsorted(self.pair, np.arange(len(self.trips.volume)))
        return first

    @cached_property
    def link_flow(self) -> Floats:
        """``(L,)``."""
        return np.asarray(self.incidence.T @ self.flow)

    @cached_property
    def by_destination(self) -> Floats:
        """``(K, L)``: the flow on each link, apart for each destination."""
        shape = (len(self.trips.destinations), len(self.roads.tail))
        return self._sums(self.trips.target[self._pair_of_stop] * shape[1] + self.links, shape)

    @cached_property
    def turns(self) -> Floats:
        """``(V, A, K)``: the flow from node v, where trips start or a link ends, to link ``roads.out[v, a]``."""
        roads, pair = self.roads, self._pair_of_stop
        node = roads.head[np.append(0, self.links[:-1])]
        node[self.starts[:-1]] = self.trips.origin[self.pair]
        slot = (roads.out[node] == self.links[:, None]).argmax(1)
        shape = (*roads.out.shape, len(self.trips.destinations))
        return self._sums((node * shape[1] + slot) * shape[2] + self.trips.target[pair], shape)

    @property
    def stops(self) -> tuple[Ints, Ints]:
        """``(M + R,)`` nodes along all paths, one path after the other: where one comes to, and where the next link
        begins, which is the same node or one that instant ways lead to. First the origin, last the destination.
        """
        origin, end = self.trips.origin[self.pair], self.trips.destinations[self.trips.target[self.pair]]
        came = np.insert(self.roads.head[self.links], self.starts[:-1], origin)
        return came, np.insert(self.roads.tail[self.links], self.starts[1:], end)

    def scaled(self, trips: Trips) -> Routes:
        """The same paths and shares for the volumes of ``trips``, which has the same pairs."""
        factor = trips.volume / np.add.reduceat(self.flow, self.first)
        return replace(self, trips=trips, flow=self.flow * factor[self.pair])

    def kept(self, which: Bools) -> Routes:
        """Those of ``which (R,)`` only."""
        lengths = np.diff(self.starts)
        starts = np.append(0, np.cumsum(lengths[which]))
        links = self.links[np.repeat(which, lengths)]
        return replace(self, pair=self.pair[which], links=links, starts=starts, flow=self.flow[which])

    def widened(self, ways: Cheapest, pairs: Ints) -> Routes:
        """With the cheapest paths of ``pairs``, empty as yet."""
        links, lengths = ways.paths(pairs)
        pair, all_links = np.append(self.pair, pairs), np.append(self.links, links)
        lengths = np.append(np.diff(self.starts), lengths)
        order = np.argsort(pair, kind="stable")
        moved = np.argsort(np.repeat(pair, lengths), kind="stable")
        starts = np.append(0, np.cumsum(lengths[order]))
        flow = np.append(self.flow, np.zeros(len(pairs)))[order]
        return replace(self, pair=pair[order], links=all_links[moved], starts=starts, flow=flow)

    @property
    def _pair_of_stop(self) -> Ints:
        """``(M,)``: the pair of each entry of ``links``."""
        return np.repeat(self.pair, np.diff(self.starts))

    def _sums(self, where: Ints, shape: tuple[int, ...]) -> Floats:
        """The flow of each entry of ``links``, summed into a table of ``shape`` at the flat places ``where (M,)``."""
        flow = np.repeat(self.flow, np.diff(self.starts))
        table: Any = np.bincount(where, flow, int(np.prod(shape))).reshape(shape)
        return np.asarray(table)


@dataclass(frozen=True)
class Assignment:
    """A feasible flow and its proof.

    Attributes:
        flow: ``(L,)``.
        objective: sum of the integrals of the cost, what was minimised.
        lower_bound: no assignment of these trips has a smaller objective.
        gap: excess of the total cost over that of cheapest paths at the same costs, relative.
        routes: paths and flows, to start the next assignment from.
    """

    flow: Floats
    objective: float
    lower_bound: float
    gap: float
    routes: Routes

    @property
    def by_destination(self) -> Floats:
        """``(K, L)``, summing to ``flow``."""
        return self.routes.by_destination

    @property
    def turns(self) -> Floats:
        """``(V, A, K)``: the flow from each node to each link that can be next, apart for each destination."""
        return self.routes.turns


@np.errstate(over="ignore", invalid="ignore")  # costs beyond all numbers are looked for
def assign(roads: Roads, trips: Trips, cost: Cost, gap: float = GAP, start: Routes | None = None) -> Assignment:
    """The equilibrium of ``trips`` under ``cost``; with ``law.marginal()`` as the cost, the system optimum.

    Args:
        gap: relative, at which to stop.
        start: routes of a near assignment of the same pairs, scaled to the new volumes.

    Raises:
        ValueError: a pair without a path, or that needs no link. NotSolvedError: the gap was not reached.
    """
    free = cost.time(np.zeros(len(roads.tail)))
    routes = start.scaled(trips) if start else shortest_paths(roads, trips, free)
    damping, best, since = LEAST_DAMPING, np.inf, 0
    for _ in range(ROUNDS):
        flow = routes.link_flow
        time = cost.time(flow)
        ways = roads.cheapest(time, trips)
        cheapest, spent = float(trips.volume @ ways.least), float(flow @ time)
        if not np.isfinite(spent):
            said = "smaller powers, larger capacities or fewer trips keep it within"
            raise NotSolvedError(f"the assignment stopped where the cost of a link is beyond all numbers; {said}")
        excess = max(spent - cheapest, 0.0)  # rounding
        if excess <= gap * spent:
            objective = float(cost.integral(flow).sum())
            return Assignment(flow, objective, objective - excess, excess / spent if spent else 0.0, routes)
        known = np.minimum.reduceat(routes.incidence @ time, routes.first)
        wider = routes.widened(ways, np.flatnonzero(ways.least < known * (1 - NEWER)))
        routes, moved, damping = _equalised(wider, cost, gap, damping)
        best, since = (excess / spent, 0) if excess / spent < best else (best, since + 1)
        if not moved or since == PATIENCE:
            break
    raise NotSolvedError(f"the assignment stopped at a relative gap of {min(best, excess / spent):.1e}, not {gap:.1e}")


def shortest_paths(roads: Roads, trips: Trips, cost: Floats) -> Routes:
    """Everybody on a cheapest path under ``cost (L,)``.

    Raises:
        ValueError: a pair without a path, or that needs no link.
    """
    ways = roads.cheapest(cost, trips)
    for wrong, what in (
        (~np.isfinite(ways.least), "no path leads from node {} to node {}, but trips are wanted there"),
        (ways.least == 0, "trips from node {} to node {} pass no link that takes time; leave them out"),
    ):
        if wrong.any():
            pair = int(wrong.argmax())
            raise ValueError(what.format(trips.origin[pair], trips.destinations[trips.target[pair]]))
    pairs = np.arange(len(trips.volume))
    links, lengths = ways.paths(pairs)
    return Routes(roads, trips, pairs, links, np.append(0, np.cumsum(lengths)), trips.volume)


def _equalised(routes: Routes, cost: Cost, gap: float, damping: float) -> tuple[Routes, bool, float]:
    """The routes after some steps, without those left empty, and whether any step led down."""
    moved, wanted = False, 0.0
    for step in range(STEPS):
        time = cost.time(routes.link_flow)
        price = routes.incidence @ time
        least = np.minimum.reduceat(price, routes.first)
        excess = float(routes.flow @ (price - least[routes.pair]))
        wanted = wanted if step else max(excess * ENOUGH, gap / 10 * float(routes.flow @ price))
        if excess <= wanted:
            break
        change, length, damping = _step_down(routes, cost, damping)
        if not length:
            break
        moved = True
        flow = np.maximum(routes.flow + length * change, 0)  # rounding
        routes = replace(routes, flow=flow * (routes.trips.volume / np.add.reduceat(flow, routes.first))[routes.pair])
    return routes.kept(routes.flow > 0), moved, damping


def _step_down(routes: Routes, cost: Cost, damping: float) -> tuple[Floats, float, float]:
    """A change ``(R,)`` of all flows, how much of it to make (0 if nothing leads down), and the damping from here."""
    load = routes.link_flow
    time, slope = cost.time(load), cost.slope(load)
    for _ in range(TRIALS):
        change = _newton(routes, time, slope, damping)
        length = _line_search(load, routes.incidence.T @ change, cost)
        if length >= LONG:
            return change, length, max(LESS_DAMPING * damping, LEAST_DAMPING)
        damping = min(MORE_DAMPING * damping, MOST_DAMPING)
    change = _shift(routes, time, slope)
    return change, _line_search(load, routes.incidence.T @ change, cost), damping


def _newton(routes: Routes, time: Floats, slope: Floats, damping: float) -> Floats:
    """``(R,)``: the change of all flows by a Newton step at ``time (L,)`` and its ``slope (L,)``; none falls below 0.

    The unknowns are the flows of all paths but one of each pair, the fullest, which gives and takes the difference.
    Paths that the step would overdraw are emptied instead, and the step is sought again for the others.
    """
    flow, volume = routes.flow, routes.trips.volume
    base = _one_of_each(routes, flow == np.maximum.reduceat(flow, routes.first)[routes.pair])
    swap = _swaps(routes, base)
    excess = swap @ time
    emptied = (excess > 0) & (flow * (abs(swap) @ slope) <= excess)
    step = np.where(emptied, -flow, 0.0)
    for _ in range(TIGHTENINGS):
        free = ~emptied
        free[base] = False
        step[free] = _solved(
            swap[free],
            slope,
            swap[free] @ (time + slope * (swap[emptied].T @ step[emptied])),
            volume[routes.pair[free]],
            damping,
        )
        step[base] = 0
        step[base] = -np.add.reduceat(step, routes.first)
        below = ~emptied & (flow + step < 0)
        if not below.any():
            break
        emptied |= below
        step[below] = -flow[below]
        if below[base].any():
            left = np.where(emptied, -1.0, flow + step)
            fuller = _one_of_each(routes, left == np.maximum.reduceat(left, routes.first)[routes.pair])
            base = np.where(below[base], fuller, base)
            swap = _swaps(routes, base)
    after = np.maximum(flow + step, 0)
    after[base] = 0
    given = np.add.reduceat(after, routes.first)
    after *= np.minimum(1, volume / np.maximum(given, 1e-300))[routes.pair]
    after[base] = volume - np.add.reduceat(after, routes.first)
    return np.asarray(after - flow)


def _swaps(routes: Routes, base: Ints) -> Any:
    """``(R, L)`` sparse: 1 for a link that a path has and the ``base (P,)`` of its pair has not, -1 the other way."""
    swaps = routes.incidence - routes.incidence[base[routes.pair]]
    swaps.eliminate_zeros()
    return swaps


def _solved(swap: Any, slope: Floats, pushed: Floats, volume: Floats, damping: float) -> Floats:
    """``(F,)``: x with swap diag(slope) swap' x = -pushed, nearly, by conjugate gradients; a little damped."""
    from scipy.sparse.linalg import LinearOperator, cg

    size, back = (len(pushed), len(pushed)), swap.T.tocsr()
    stiffness = abs(swap) @ slope + abs(pushed) / volume
    stiffness = np.maximum(stiffness, FLATTEST * stiffness.max(initial=1e-200))
    bend = LinearOperator(size, lambda x: swap @ (slope * (back @ x)) + damping * stiffness * x, dtype=float)
    scaled = LinearOperator(size, lambda x: x / stiffness, dtype=float)
    return np.asarray(cg(bend, -pushed, rtol=CG_ERROR, maxiter=CG_STEPS, M=scaled)[0])


def _shift(routes: Routes, time: Floats, slope: Floats) -> Floats:
    """``(R,)``: every dearer path gives to the cheapest of its pair, by a Newton step on their difference."""
    price = routes.incidence @ time
    base = _one_of_each(routes, price == np.minimum.reduceat(price, routes.first)[routes.pair])
    gain = price - price[base][routes.pair]
    swap = abs(routes.incidence - routes.incidence[base[routes.pair]])
    given = np.minimum(routes.flow, gain / np.maximum(swap @ slope, 1e-300))
    given[base] = 0
    change: Floats = -given
    change[base] = np.add.reduceat(given, routes.first)
    return change


def _one_of_each(routes: Routes, which: Bools) -> Ints:
    """``(P,)``: the first path of each pair among ``which (R,)``."""
    found: Ints = np.flatnonzero(which)
    return np.asarray(found[np.append(True, np.diff(routes.pair[found]) > 0)])


def _line_search(flow: Floats, change: Floats, cost: Cost) -> float:
    """The best part of ``change (L,)``, at most 1; 0 if it leads up."""
    from scipy.optimize import brentq

    def steepness(part: float) -> float:
        return float(change @ cost.time(np.maximum(flow + part * change, 0)))

    if not steepness(0.0) < 0:
        return 0.0
    if steepness(1.0) <= 0:
        return 1.0
    best: float = brentq(steepness, 0.0, 1.0, xtol=1e-12, rtol=1e-3)
    return best
