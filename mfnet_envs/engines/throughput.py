"""How many trips a fixed number of vehicles can make, at best and where everybody is selfish.

By Little's law the vehicles on the way are the total travel time, so the question is how large a multiple theta of the
demand an assignment can carry whose total time, plus what waits at the nodes, does not exceed the vehicles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.engines.assignment import ROUNDS, Assignment, assign, shortest_paths
from mfnet_envs.engines.link_laws import BPR, EDGE, MM1, Cost, PointQueue
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.words import NotSolvedError

SCALE_GAP = 1e-9  # relative, of the largest scale


@dataclass(frozen=True)
class Scale:
    """The largest theta such that theta times the demand can be carried.

    Attributes:
        theta: reached by ``by_destination (K, L)`` and ``turns (V, A, K)``, as of an
            :class:`~mfnet_envs.engines.assignment.Assignment`.
        upper: no assignment reaches more; ``gap`` is their relative difference.
    """

    theta: float
    upper: float
    by_destination: Floats
    turns: Floats

    @property
    def gap(self) -> float:
        """By how much the proven bound exceeds the share found, relative to it."""
        return self.upper / self.theta - 1


@dataclass(frozen=True)
class Equilibrium:
    """What travellers do who each choose their own best way, with the same vehicles.

    Attributes:
        throughput: trips per unit of time.
        share: of the bound.
        total_time: of UE when the whole demand is carried, on the network as given, without steps.
        least_time: of SO likewise.
    """

    throughput: float
    share: float
    total_time: float
    least_time: float

    @property
    def price_of_anarchy(self) -> float:
        """Total time of UE over that of SO."""
        return self.total_time / self.least_time


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
    theta = _stretch(routes.link_flow, marginal, vehicles, waiting)
    for _ in range(ROUNDS):
        found = assign(roads, trips.scaled(theta), marginal, start=routes)
        stretch = _stretch(found.flow, marginal, vehicles, theta * waiting)
        theta, flow, routes = theta * stretch, stretch * found.flow, found.routes
        cost = marginal.time(flow)
        cheapest = float(trips.volume @ roads.cheapest(cost, trips).least)
        upper = (vehicles - float(marginal.integral(flow).sum() - flow @ cost)) / (cheapest + waiting)
        if upper <= theta * (1 + SCALE_GAP):
            return Scale(theta, max(upper, theta), stretch * found.by_destination, stretch * found.turns)
    raise NotSolvedError(f"theta lies between {theta:.9g} and {upper:.9g}; the search came no nearer")


@np.errstate(over="ignore", invalid="ignore")  # what is beyond all numbers is said below
def _stretch(flow: Floats, marginal: Cost, vehicles: float, waiting: float) -> float:
    """s with G(s x) + s waiting = vehicles."""
    from scipy.optimize import brentq

    def spare(s: float) -> float:
        return float(marginal.integral(s * flow).sum()) + s * waiting - vehicles

    high = 1.0
    while spare(high) < 0:
        high *= 2
    if not np.isfinite(spare(high)):
        raise NotSolvedError("no share of the demand uses all vehicles: give links a larger time or fewer vehicles")
    root: float = brentq(spare, 0.0, high, xtol=1e-15, rtol=1e-14)
    return root


def equilibrium_scale(
    roads: Roads,
    trips: Trips,
    law: Cost,
    vehicles: float,
    waiting: float,
    highest: float,
    cost: Cost | None = None,
) -> tuple[float, Assignment]:
    """(theta, assignment) of the user equilibrium with all vehicles busy: sum_e f t_e(f) + theta waiting = vehicles.

    Args:
        highest: the system optimum's theta, which no equilibrium exceeds.
        cost: what travellers weigh; default: the time of ``law``.
    """
    from scipy.optimize import brentq

    last: dict[str, Any] = {"routes": None}

    def spare(theta: float) -> float:
        found = assign(roads, trips.scaled(theta), cost or law, start=last["routes"])
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
    """:func:`largest_scale` for constant times and hard capacities, x <= capacity: one linear programme (HiGHS).

    Raises:
        ValueError: there are instant ways, which this programme does not know.
    """
    if len(roads.instant_tail):
        raise ValueError(
            "with hard capacities every link must take some time; give a time above 0 to those that take none"
        )
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
        raise NotSolvedError(f"the linear programme did not solve: {result.message}")
    theta, dual = -float(result.fun), -float(limits @ result.ineqlin.marginals)
    flows: Floats = result.x[:-1].reshape(kinds, links)
    turns = np.where(roads.out[..., None] < 0, 0.0, flows.T[roads.out])
    return Scale(theta, max(theta, dual), flows, turns)


def enough_vehicles(roads: Roads, trips: Trips, law: BPR | MM1 | PointQueue, waiting: float) -> float:
    """The vehicles on the way, and ``waiting`` a step, when the best assignment carries all trips; see Congestion."""
    if isinstance(law, PointQueue):
        routes = shortest_paths(roads, trips, law.free_flow_time)
        return float(routes.link_flow @ law.free_flow_time) + waiting
    return whole_demand(roads, trips, law, law.marginal()).objective + waiting


def whole_demand(roads: Roads, trips: Trips, law: BPR | MM1, cost: Cost) -> Assignment:
    """All trips assigned under ``cost``.

    Raises:
        ValueError: queues that cannot carry them.
    """
    if isinstance(law, MM1):
        time, capacity = 1 / law.capacity, law.capacity
        room = largest_scale_with_capacities(roads, trips, time, capacity, float(time @ capacity), 0.0)
        if room.theta * EDGE <= 1:
            raise ValueError(
                "the links cannot carry the whole demand; say how many vehicles there are, or a smaller demand_scale"
            )
    return assign(roads, trips, cost)
