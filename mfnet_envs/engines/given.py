"""A network and its trips as the agents' model starts from them: in one unit of time, links that take none apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.engines.assignment import assign, shortest_paths
from mfnet_envs.engines.link_laws import BPR
from mfnet_envs.engines.networks import fixed_cost, joined
from mfnet_envs.engines.roads import Roads, Trips

if TYPE_CHECKING:
    from mfnet_envs.io.network_data import NetworkData

SHORTEST = 1e-9  # of the shortest time: what stands for 0 on links that take no time and cost something


@dataclass(frozen=True)
class Given:
    """A network's links that take time, its trips that do, and what was left out.

    Attributes:
        roads: links that take no time and cost nothing are instant ways.
        links: ``(L,)`` which of the network's links the roads' are.
        law: in the demand's unit of time.
        fixed: ``(L,)`` what tolls and lengths add to the time for those who choose for themselves, or None.
        demand: ``(V, V)``.
        trips: those that take time.
        length: ``(L,)``.
        notes: sentences about the above.
    """

    roads: Roads
    links: Ints
    law: BPR
    fixed: Floats | None
    demand: Floats
    trips: Trips
    length: Floats
    notes: tuple[str, ...]

    @classmethod
    def of(cls, network: NetworkData, time_unit: float = 1.0) -> Given:
        """From a network, whose times are measured in ``time_unit`` of the demand's unit of time.

        Raises:
            ValueError: no trip takes any time.
        """
        time, notes = network.free_flow_time * float(time_unit), []
        fixed = fixed_cost(network) * float(time_unit)
        takes, shortest = (time > 0) | (fixed > 0), time[time > 0].min(initial=np.inf)
        if not takes.any():
            raise ValueError(f"{network.name}: no link takes any time; give free_flow_time")
        roads, links = joined(network, ~takes), np.flatnonzero(takes)
        if zero := len(takes) - len(links):
            notes.append(f"{zero:,} of {len(takes):,} links take no time and are passed at once")
        if fixed.any():
            notes.append("user equilibria are of time plus weighted tolls and lengths, optimum and bound of time alone")
        trips, every = moving(roads, network.demand), float(network.demand.sum())
        if not trips.volume.size:
            raise ValueError(f"{network.name}: no trip takes any time; give free_flow_time to the links")
        if (rest := every - trips.total) > SHORTEST * every:
            notes.append(f"{rest:,.6g} trips ({rest / every:.2%}) take no time: links that take none join their ends")
        floor = SHORTEST * (shortest if np.isfinite(shortest) else float(fixed.max()))
        law = BPR(np.maximum(time[links], floor), network.capacity[links], network.b[links], network.power[links])
        weights = fixed[links] if fixed.any() else None
        demand = np.asarray(network.demand)
        return cls(roads, links, law, weights, demand, trips, network.length[links], tuple(notes))

    def free_flow(self) -> Floats:
        """``(L,)``: the flow where everybody takes a shortest path of an empty network."""
        return shortest_paths(self.roads, self.trips, self.law.free_flow_time).link_flow

    def busy(self) -> float:
        """The total time of the system optimum."""
        return assign(self.roads, self.trips, self.law.marginal()).objective


def moving(roads: Roads, demand: Floats) -> Trips:
    """The trips of ``demand (V, V)`` that take time; ``destinations`` are those of all."""
    trips = Trips.of(demand)
    at_once = roads.arrives(trips.destinations)[trips.origin, trips.target] & ~trips.round_trip
    if not at_once.any():
        return trips
    rest = {name: getattr(trips, name)[~at_once] for name in ("origin", "target", "volume")}
    return replace(trips, **rest)
