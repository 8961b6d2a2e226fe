"""MFNet-Packet-v0: packets find their way through a backbone of queues.

N agents stand for the packets in a network of directed links. A packet waits in the queue of its link, then chooses the
next link towards its destination; where it is delivered the next packet starts. By default links are M/M/1 queues:
with n packets on a link of capacity c its flow is c n / (1 + n), and each packet leaves in a step with probability
dt c / (1 + n).

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
criterion  throughput: reward per step times full_scale, 1,200 steps of which 700 warm-up; gamma .99
start      the steady state of shortest paths on links that never fill
bound      optimal routing in the sense of Bertsekas and Gallager, a convex programme (a linear one for point queues):
           theta* times the demand, for every policy and every population, with blocking or without
========== =========================================================================================================

Heuristics: ``random`` (any link from which the destination can be reached); ``shortest_path`` (hops);
``inverse_capacity`` (shortest paths with weights 1 / c); ``ecmp`` (equal odds for all links on a path of fewest hops);
``join_shortest_queue`` (of these, the link with the shortest delay now: 1-hop information); ``backpressure`` (the
greatest fall of packets for the same destination plus hops to go, times capacity: 1-hop information); ``ue`` (mm1 only)
and ``so``, the splits of the user equilibrium and of the system optimum.

The default backbone is made here: a ring of 8 routers with two chords and gravity demand. ``network`` takes a file or
name that ``mfnet_envs.io.load`` reads, such as "topohub:sndlib/abilene" with the package topohub installed, or a
``NetworkData``. Known values, total demand 1: Abilene, c = .29066, 19.853 packets on the way at the optimum, with as
many the equilibrium carries .986 of the demand and fewest hops .834; GEANT, c = .12282, 24.772, .990 and .912.

Parameters: see :class:`Packet`; trips pay as in ``Congestion.branch_rewards``. Versions: v0, first release.
"""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from mfnet_envs import registration
from mfnet_envs.engines import turns
from mfnet_envs.engines.congestion import LABELS, LEARNER_NEEDS, NEEDS, Congestion
from mfnet_envs.engines.link_laws import MM1, PointQueue
from mfnet_envs.engines.roads import Roads
from mfnet_envs.io.network_data import NetworkData, with_uniform_capacity
from mfnet_envs.scenarios.routing_v0 import loaded
from mfnet_envs.wording import Wording
from mfnet_envs.words import is_number, one_of

if TYPE_CHECKING:
    from mfnet_envs.policy import Policy

LAWS = ("mm1", "point_queue")
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
        law: "mm1" or "point_queue".
        utilisation: the demand is scaled to total 1 and all links get the capacity at which shortest paths in hops fill
            the busiest one to this share; None: demand and capacities of the network, in one unit.
        vehicles: packets in the network; default: as many as the best routing of the whole demand needs (point queues:
            as shortest paths on an empty network need).
        blocking: None, or the number B of packets that fill a link.
        dt: length of a step; default: half the shortest time 1 / c.
        balance: change the demand, as little as iterative fitting does, so that as many packets start at each node as
            end there (``model.balancing`` is the share changed); if False, the trips that the rows make in the long
            run count.
        gamma: of the discounted return.

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
        vehicles: float | None = None,
        blocking: float | None = None,
        dt: float | None = None,
        balance: bool = True,
        gamma: float = 0.99,
    ) -> None:
        one_of("law", law, LAWS)
        if utilisation is not None and not (is_number(utilisation) and 0 < utilisation < 1):
            raise ValueError(f"utilisation must lie between 0 and 1, or be None, not {utilisation!r}")
        data = generated_backbone() if network is None else loaded(network)
        data, change = data.balanced() if balance else (data, 0.0)
        if utilisation is not None:
            data = with_uniform_capacity(dataclasses.replace(data, demand=data.demand / data.demand.sum()), utilisation)
        capacity = np.array(data.capacity)
        super().__init__(
            Roads(data.tail, data.head, data.num_nodes, data.first_through),
            MM1(capacity) if law == "mm1" else PointQueue(1 / capacity, capacity),
            np.asarray(data.demand),
            population,
            vehicles=vehicles,
            dt=0.5 / float(capacity.max()) if dt is None else dt,
            blocking=blocking,
            coordinates=data.coordinates,
            gamma=gamma,
            evaluation=(1200, 700),
        )
        self.balancing = change

    def heuristics(self) -> dict[str, Policy]:
        """Simplest first; the last ones solve an assignment."""
        assert isinstance(self.law, MM1 | PointQueue)
        known = super().heuristics()
        return {
            "random": known["random"],
            "shortest_path": turns.shortest_path(self, np.ones(len(self.roads.tail))),
            "inverse_capacity": turns.shortest_path(self, 1 / self.law.capacity),
            "ecmp": turns.equal_split(self, np.ones(len(self.roads.tail))),
            "join_shortest_queue": turns.ShortestQueue(self),
            "backpressure": turns.Backpressure(self, self.law.capacity),
            **{name: known[name] for name in ("ue", "so") if name in known},
        }


build = Packet
Packets = Packet  # as it was called first


# PettingZoo's module form; options as in `build` and the views
parallel_env = partial(registration.parallel_env, "MFNet-Packet-v0")
env = partial(registration.env, "MFNet-Packet-v0")
