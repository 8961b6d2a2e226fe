"""MFNet-Packet-v0: packets find their way through a backbone of queues.

N agents stand for the packets in a network of directed links. A packet waits in the queue of its link, then chooses the
next link towards its destination; where it is delivered the next packet starts, or, where more packets end than start,
at the nearest router where it is the other way round: packets are sent in the proportions of the demand as given, under
every policy (``mfnet_envs.engines.respawn``). By default links are M/M/1 queues: with n packets on a link of capacity c
its flow is c n / (1 + n), and each packet leaves in a step with probability dt c / (1 + n).

========== =========================================================================================================
states     (link, destination), and (node, destination) for one step where a packet starts; destinations are the layers
actions    j = the j-th link that leaves the node ahead (links in the network's order); links from which the
           destination cannot be reached are illegal
reward     g_e / max g on links that end at the packet's destination, g_e the chance to leave the link in this step;
           0 elsewhere; in [0, 1]; full_scale turns its mean into packets per unit of time
kernel     leave with probability g_e for the chosen link, or for the next packet's start; reads the own link's load.
           With ``blocking=B`` a link that holds n packets admits with probability max(0, 1 - n / B), and one that is
           refused stays where it is: reads the links ahead, too
law        "mm1", or "point_queue": a fixed time 1 / c up to the capacity, then a queue
criterion  throughput: reward per step times full_scale, 1,200 steps of which 700 warm-up, or 60 mean trips of which 35
           where these take longer; gamma .99
start      the steady state of shortest paths on links that never fill
clock      none; with ``profile`` the demand's: so many packets may start in each phase, the others wait; with
           ``failures`` the links': of their capacity a share is left for a while
bound      optimal routing in the sense of Bertsekas and Gallager, a convex programme (a linear one for point queues):
           theta* times the demand, for every policy and every population, with blocking or without; with ``profile``
           or ``failures`` less (:mod:`mfnet_envs.engines.day`, :mod:`mfnet_envs.engines.failures`; for point queues the
           smaller of theta*, with the mean capacities, and the mean multiple)
========== =========================================================================================================

Heuristics: ``random`` (any link from which the destination can be reached); ``shortest_path`` (hops; of several such
links the last); ``inverse_capacity`` (likewise, with weights 1 / c); ``ecmp`` (equal odds for all links on a path of
fewest hops); ``join_shortest_queue`` (of these, the link with the shortest delay now: 1-hop information);
``backpressure`` (the greatest fall of packets for the same destination plus hops to go, times capacity: 1-hop
information); ``ue`` (mm1 only) and ``so``, the splits of the user equilibrium and of the system optimum.

The default backbone is made here: a ring of 8 routers with two chords and gravity demand. ``network`` takes a file or
name that ``mfnet_envs.io.load`` reads, such as "topohub:sndlib/abilene" with the package topohub installed, or a
``NetworkData``. Known values, total demand 1, N infinite (capacity, packets on the way at the optimum, share of the
demand that the equilibrium and fewest hops carry with as many, held by ``tests/test_congestion.py``):

========= ======== =========== ======== ====== =====
network   balance  capacity    packets  ue     hops
========= ======== =========== ======== ====== =====
abilene   False    0.34032     15.188   0.985  0.844
abilene   True     0.30019     18.593   0.985  0.844
geant     False    0.19715     15.999   0.991  0.888
geant     True     0.10218     34.488   0.986  0.912
========= ======== =========== ======== ====== =====

Parameters: see :class:`Packet`; trips pay as in ``Congestion.branch_rewards``. Versions: v0, first release.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mfnet_envs import registration
from mfnet_envs.engines import turns
from mfnet_envs.engines.assignment import shortest_paths
from mfnet_envs.engines.clock import STEPS, WARM_STEPS, Pace
from mfnet_envs.engines.congestion import LABELS, LEARNER_NEEDS, NEEDS, Congestion
from mfnet_envs.engines.day import Day
from mfnet_envs.engines.failures import failing
from mfnet_envs.engines.link_laws import MM1, PointQueue
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.engines.throughput import enough_vehicles
from mfnet_envs.io.network_data import NetworkData, with_capacity, with_uniform_capacity
from mfnet_envs.scenarios._options import call_places, ends_of, links_of, times
from mfnet_envs.scenarios.routing_v0 import loaded, one_scale
from mfnet_envs.wording import Wording
from mfnet_envs.words import checked_population, is_number, one_of, positive, shown

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

LAWS = ("mm1", "point_queue")
LARGEST_CAPACITY = 1e12  # of the whole demand: programmes tell larger ones from none no more
ROUTERS, CHORDS = 8, ((0, 4), (2, 6))


def generated_backbone() -> NetworkData:
    """A ring of routers with two chords, links of capacity 1; demand falls with the routers' numbers, total 1."""
    around = np.arange(ROUTERS)
    pairs = [(v, (v + 1) % ROUTERS) for v in range(ROUTERS)] + list(CHORDS)
    tail, head = np.array([ends for a, b in pairs for ends in ((a, b), (b, a))]).T
    size = 1 / (1 + around)
    demand = size[:, None] * size * (1 - np.eye(ROUTERS))
    angle = 2 * np.pi * around / ROUTERS
    each = np.ones(len(tail))
    return NetworkData(
        name="generated backbone",
        nodes=tuple(map(str, around)),
        tail=tail,
        head=head,
        free_flow_time=each,
        capacity=each,
        b=0 * each,
        power=each,
        length=each,
        demand=demand / demand.sum(),
        coordinates=np.stack([np.cos(angle), np.sin(angle)], 1),
    )


class Packet(Congestion):
    """The model of this page: the congestion engine with heuristics of its own.

    Args:
        population: N, the number of agents; they stand for ``vehicles`` packets.
        network: a file or name for ``mfnet_envs.io.load``, a NetworkData, or None for the generated backbone.
        law: of links: "mm1", queues with random service, or "point_queue", a fixed time up to the capacity.
        utilisation: the demand is scaled to total 1 and all links get the capacity at which ``shortest_path`` fills the
            busiest one to this share; None: demand and capacities of the network, in one unit.
        capacity: of every link, instead of the above; the demand is scaled all the same.
        vehicles: packets in the network; default: as many as the best routing of the whole demand needs (point queues:
            as shortest paths on an empty network need).
        blocking: None, or the number B of packets that fill a link.
        dt: length of a step; default: half the shortest time 1 / c, or longer where links are so unlike that a trip
            would take needlessly many steps (see ``model.notes``).
        balance: change the demand, as little as iterative fitting does, so that as many packets start at each node as
            end there (``model.balancing`` is the share changed); if False, the demand as given counts.
        close: a link to close, by the labels where it begins and ends such as ``("a", "b")`` or "a to b", or a list of
            links; the way back is another link. What is set by rule (capacities, demand, ``vehicles`` and ``dt``) is
            set on the open network.
        demand_scale: times the demand, on the capacities and with the ``dt`` of the demand as it was; sets
            ``vehicles``.
        profile: multiples of the demand, one for each phase of a turn of the clock: so many packets may start, and
            those without a trip wait (:mod:`mfnet_envs.engines.day`). ``vehicles`` by rule are those of multiple 1.
            Default: no clock, and whoever is delivered starts again.
        failures: ``(link, from, until, share)`` each, such as ``("a to b", 7, 9, 0.5)``: between these times of every
            turn of ``profile_time`` the link, named as for ``close``, keeps that share of its capacity; with 0 nobody
            leaves it (:mod:`mfnet_envs.engines.failures`). Default: none.
        profile_time: length of a turn, in the demand's unit of time.
        gamma: discount factor per step.

    Raises:
        ValueError: for an option out of its range, in one sentence.
    """

    wording = Wording(
        agents="packets",
        place="a backbone of queues",
        labels={"ecmp": "equal-cost multipath", "ue": LABELS["ue"], "so": LABELS["so"]},
        needs={
            "random": NEEDS["random"],
            "shortest_path": "the network",
            "inverse_capacity": "the network and its capacities",
            "ecmp": "the network",
            "join_shortest_queue": "the network, and how full the links ahead are",
            "backpressure": "the network, and the queues ahead, apart for each destination",
            "ue": NEEDS["ue"],
            "so": NEEDS["so"],
        },
        learner_needs=LEARNER_NEEDS,
    )

    def __init__(
        self,
        population: int = 500,
        network: str | os.PathLike[str] | NetworkData | None = None,
        law: Literal["mm1", "point_queue"] = "mm1",
        utilisation: float | None = 0.9,
        capacity: float | None = None,
        vehicles: float | None = None,
        blocking: float | None = None,
        dt: float | None = None,
        balance: bool = False,
        close: str | Sequence[Any] | None = None,
        demand_scale: float = 1.0,
        profile: Sequence[float] | None = None,
        failures: Sequence[Any] | None = None,
        profile_time: float = 24.0,
        gamma: float = 0.99,
    ) -> None:
        one_of("law", law, LAWS)
        if utilisation is not None and not (is_number(utilisation) and 1e-12 <= utilisation < 1):
            raise ValueError(f"utilisation must lie between 0 and 1, or be None, not {shown(utilisation)}")
        checked_population(population)
        options = {"capacity": capacity, "vehicles": vehicles, "blocking": blocking, "dt": dt}
        positive(profile_time=profile_time, **{name: number for name, number in options.items() if number is not None})
        one_scale(demand_scale, vehicles, profile)
        data = generated_backbone() if network is None else loaded(network)
        data, change = data.balanced() if balance else (data, 0.0)
        data = data.useful()
        changed = bool(data.notes) or close is not None or demand_scale != 1
        data = scaled(data, utilisation, capacity)
        each = 1 / data.capacity
        roads, total, chosen = roads_of(data), float(data.demand.sum()), vehicles
        flow = shortest_paths(roads, Trips.of(data.demand), each).link_flow
        pace = Pace.of(each, flow, 0 * each, total, dt, lambda: float(flow @ each) / total)
        notes, caveats = pace.questioned(dt, asks_unit=False)
        data, day = times(data, demand_scale), None if profile is None else Day.of(profile, profile_time, pace.dt)
        if close is not None:
            if vehicles is None:
                waiting = pace.dt * total * demand_scale
                vehicles = enough_vehicles(roads, Trips.of(data.demand), queues(data, law), waiting)
            data = data.closed(ends_of(data, close, "close")).useful()
            notes.append("capacities, demand, packets and dt, where set by rule, are those of the open network")
        day = failing(day, failures, profile_time, pace.dt, partial(links_of, data, roads_of(data)), queues(data, law))
        super().__init__(
            roads_of(data),
            queues(data, law),
            np.asarray(data.demand),
            population,
            vehicles=vehicles,
            dt=pace.dt,
            blocking=blocking,
            coordinates=data.coordinates,
            gamma=gamma,
            evaluation=(STEPS, WARM_STEPS),
            day=day,
        )
        call_places(self, data)
        self.balancing = change
        self.evaluation = self.lasting(pace.trip, chosen is not None)
        self.notes = (
            *self.notes,
            *data.notes,
            *notes,
            pace.said(self.evaluation[0], {"time": "", "length": ""}),
            *(() if day is None else day.said()),
            *self.plan.said,
        )
        self.caveats = (self.of_demand(changed), *(f"{caveat}, which it does not count" for caveat in caveats))

    def heuristics(self) -> dict[str, Policy]:
        """Simplest first; the last ones solve an assignment."""
        assert isinstance(self.law, MM1 | PointQueue)
        known = super().heuristics()
        return {
            "random": known["random"],
            "shortest_path": turns.shortest_path(self, np.ones(len(self.roads.tail)), last=True),
            "inverse_capacity": turns.shortest_path(self, 1 / self.law.capacity, last=True),
            "ecmp": turns.equal_split(self, np.ones(len(self.roads.tail))),
            "join_shortest_queue": turns.ShortestQueue(self),
            "backpressure": turns.Backpressure(self, self.law.capacity),
            **{name: known[name] for name in ("ue", "so") if name in known},
        }


build = Packet
Packets = Packet  # as it was called first


def scaled(data: NetworkData, utilisation: float | None, capacity: float | None) -> NetworkData:
    """The network with demand and capacities as the options ``utilisation`` and ``capacity`` of Packet say."""
    total = float(data.demand.sum())
    if utilisation is not None:
        said = [f"the demand is scaled from {total:,.6g} to 1"] if abs(total - 1) > 1e-9 else []
        data = data.noted(*said, demand=data.demand / total)
    if capacity is not None:
        if capacity > LARGEST_CAPACITY * (total := float(data.demand.sum())):
            raise ValueError(
                f"capacity must be at most {LARGEST_CAPACITY:g} times the demand of {total:.6g}, not {shown(capacity)}"
            )
        return with_capacity(data, capacity, f"every link has the capacity {capacity:.6g}, as chosen")
    return data if utilisation is None else with_uniform_capacity(data, utilisation)


def roads_of(data: NetworkData) -> Roads:
    """All links; a queue takes time by its capacity, whatever the network says of times."""
    return Roads(data.tail, data.head, data.num_nodes, data.first_through)


def queues(data: NetworkData, law: str) -> MM1 | PointQueue:
    """The law of the links."""
    capacity = np.array(data.capacity)
    return MM1(capacity) if law == "mm1" else PointQueue(1 / capacity, capacity)


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Packet-v0")
env = partial(registration.env, "MFNet-Packet-v0")
