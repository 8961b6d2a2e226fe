"""User equilibrium and system optimum of a network and its demand as given.

>>> from mfnet_envs.engines import price_of_anarchy, user_equilibrium
>>> from mfnet_envs.scenarios.routing_v0 import generated_city
>>> city = generated_city(3, 3, 20.0)
>>> found = user_equilibrium(city)
>>> round(found.total_time, 3), found.gap <= 1e-9, round(price_of_anarchy(city), 4)
(26.838, True, 1.0431)

The demand is carried as it stands: nodes that only send or only receive trips are nothing special, and no node need
have any. Where a network has tolls or weighs lengths, travellers who choose for themselves weigh time + toll_weight *
toll + length_weight * length (TNTP's generalised cost), while the system optimum is one of time, unless asked
otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mfnet_envs.arrays import Bools, Floats
from mfnet_envs.engines.assignment import Assignment, assign, shortest_paths
from mfnet_envs.engines.link_laws import BPR, WithFixedCost
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.words import one_of, positive

GAP = 1e-9
Network = NetworkData | str | os.PathLike[str]


@dataclass(frozen=True)
class NetworkFlow:
    """An assignment in the terms of its network.

    Attributes:
        network: whose links and trips these are.
        flow: ``(L,)`` on each link of the network, trips per unit of time. Where several ways that take no time and
            cost nothing lead to the same end, the flow on each of them is one of many that are as good.
        time: ``(L,)`` what each link takes at that flow.
        total_time: sum of flow * time.
        total_cost: sum of flow * generalised cost; total_time where there is no toll and no weight of lengths.
        objective: what was minimised: Beckmann's sum of integrals for the user equilibrium, the total for the optimum.
        lower_bound: no flow that carries the demand has a smaller objective.
        gap: excess of the total cost over that of cheapest paths at the same costs, relative.
        notes: what was left out on the way here, after the notes of the network.
    """

    network: NetworkData
    flow: Floats
    time: Floats
    total_time: float
    total_cost: float
    objective: float
    lower_bound: float
    gap: float
    notes: tuple[str, ...]


def user_equilibrium(network: Network, *, gap: float = GAP) -> NetworkFlow:
    """The flow in which no traveller gains by another path; each weighs the generalised cost.

    Args:
        network: a NetworkData, or a file or name for ``mfnet_envs.io.load``.
        gap: relative, at which to stop.

    Raises:
        ValueError: an option out of its range, no demand, a trip without a path.
        NotSolvedError: the gap is out of reach.
    """
    data = _checked(network, gap)
    fixed = fixed_cost(data)
    return _flow(data, WithFixedCost(_law(data), fixed), (data.free_flow_time == 0) & (fixed == 0), gap)


def system_optimum(network: Network, *, of: str = "time", gap: float = GAP) -> NetworkFlow:
    """The flow with the least total time, or with ``of="cost"`` with the least total generalised cost.

    Args and errors as of :func:`user_equilibrium`.
    """
    one_of("of", of, ("time", "cost"))
    data = _checked(network, gap)
    fixed = fixed_cost(data) if of == "cost" else np.zeros(data.num_links)
    return _flow(data, WithFixedCost(_law(data).marginal(), fixed), (data.free_flow_time == 0) & (fixed == 0), gap)


def price_of_anarchy(network: Network, *, of: str = "time", gap: float = GAP) -> float:
    """Total time (or cost, as of :func:`system_optimum`) of the user equilibrium over the least."""
    data = _checked(network, gap)
    best = system_optimum(data, of=of, gap=gap)
    selfish = user_equilibrium(data, gap=gap)
    return (selfish.total_time if of == "time" else selfish.total_cost) / best.objective


def fixed_cost(network: NetworkData) -> Floats:
    """``(L,)``: what travellers weigh besides time, in units of time.

    Raises:
        ValueError: it is less than nothing somewhere.
    """
    toll = np.zeros(network.num_links) if network.toll is None else network.toll
    cost: Floats = network.toll_weight * toll + network.length_weight * network.length
    if not (bad := ~((cost >= 0) & (cost < np.inf))).any():
        return cost
    link = int(bad.argmax())
    tail, head = network.nodes[network.tail[link]], network.nodes[network.head[link]]
    raise ValueError(
        f"{network.name}: the toll and the weighed length of the link from {tail!r} to {head!r} add up to "
        f"{cost[link]:g}; that must be finite and not negative"
    )


def joined(network: NetworkData, instant: Bools) -> Roads:
    """The roads of a network, the links ``instant (L,)`` as ways that take no time."""
    tail, head = network.tail, network.head
    return Roads(tail[~instant], head[~instant], network.num_nodes, network.first_through, tail[instant], head[instant])


def _checked(network: Network, gap: float) -> NetworkData:
    positive(gap=gap)
    if not isinstance(network, NetworkData):
        from mfnet_envs import io

        network = io.load(network)
    if not network.has_demand:
        raise ValueError(f"{network.name} has no demand; give it trips with dataclasses.replace(network, demand=...)")
    return network


def _law(network: NetworkData) -> BPR:
    return BPR(network.free_flow_time, network.capacity, network.b, network.power)


def _flow(network: NetworkData, cost: WithFixedCost, instant: Bools, gap: float) -> NetworkFlow:
    roads = joined(network, instant)
    trips, notes = _lasting(network, roads)
    found = assign(roads, trips, cost.of(~instant), gap)
    flow = np.zeros(network.num_links)
    flow[~instant] = found.flow
    flow[instant] = _between(roads, found)
    time = _law(network).time(flow)
    total, fixed = float(flow @ time), float(flow @ fixed_cost(network))
    bounds = found.objective, found.lower_bound, found.gap
    return NetworkFlow(network, flow, time, total, total + fixed, *bounds, (*network.notes, *notes))


def _lasting(network: NetworkData, roads: Roads) -> tuple[Trips, list[str]]:
    """The trips that pass a link that takes time, and a sentence about the others.

    Raises:
        ValueError: a trip without a path, or none that takes any time.
    """
    trips = Trips.of(np.asarray(network.demand))
    least = roads.cheapest(np.ones(len(roads.tail)), trips).least
    ends = [
        (network.nodes[o], network.nodes[d])
        for o, d in zip(trips.origin, trips.destinations[trips.target], strict=True)
    ]
    if lost := np.flatnonzero(~np.isfinite(least)).tolist():
        more = f" (nor for {len(lost) - 1} other pairs of nodes with trips)" if len(lost) > 1 else ""
        (origin, end) = ends[lost[0]]
        raise ValueError(
            f"{network.name}: no path leads from node {origin!r} to node {end!r}{more}, but trips are wanted there; "
            "add the missing links or take these trips out of the demand"
        )
    if (least > 0).all():
        return trips, []
    at_once = np.flatnonzero(least == 0).tolist()
    if len(at_once) == len(least):
        raise ValueError(f"{network.name}: no trip passes a link that takes any time; there is nothing to assign")
    lasting = least > 0
    volume, (origin, end) = float(trips.volume[~lasting].sum()), ends[at_once[0]]
    kept = replace(trips, origin=trips.origin[lasting], target=trips.target[lasting], volume=trips.volume[lasting])
    return kept, [
        f"{volume:,.6g} trips ({volume / trips.total:.2%} of all) between {len(at_once)} pairs of nodes, such as from "
        f"{origin!r} to {end!r}, take no time and are left out of the assignment"
    ]


def _between(roads: Roads, found: Assignment) -> Floats:
    """``(Z,)``: the flow on the instant ways, by which travellers come to where their next link begins, or they end."""
    flow = np.zeros(len(roads.instant_tail))
    routes = found.routes
    came, goes = routes.stops
    moved = came != goes
    if not moved.any():
        return flow
    pairs, place = np.unique(came[moved] * roads.num_nodes + goes[moved], return_inverse=True)
    origin, end = np.divmod(pairs, roads.num_nodes)
    destinations, target = np.unique(end, return_inverse=True)
    carried = np.repeat(routes.flow, np.diff(routes.starts) + 1)
    volume: Any = np.bincount(place, carried[moved])
    ways = Roads(roads.instant_tail, roads.instant_head, roads.num_nodes, roads.first_through)
    hops = Trips(origin, target, volume, destinations)
    return shortest_paths(ways, hops, np.ones(len(flow))).link_flow
