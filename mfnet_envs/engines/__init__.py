"""Engines: what several scenarios are made of, and what an operator can use without any agent.

============== ======================================================================================================
roads          directed networks, trips between their nodes, shortest paths
link_laws      how crowding slows a link down: BPR, M/M/1, point queues
assignment     user equilibrium and system optimum of a demand, each with its proof
given          what the agents' model takes from such a network
networks       both of a network read from a file, and its demand as given
throughput     how many trips a number of vehicles can make, at best and selfishly
clock          how long a step is, and how many an evaluation takes
day            demand by the clock, and its bound
failures       capacity by the clock, and its bound
respawn        where the next trip begins, so that trips are made as the demand has them
congestion     all that as a model that agents act in, one link a step
turns          reference policies: which link next
fleet          a city's drives in steps, and cars on their way as states
batteries      charge as layers of a city's zones, and chargers with places
trips          a fleet's rides along shortest paths on an undirected graph, and their average step
============== ======================================================================================================

Braess's paradox, 6 trips from 0 to 3 over two roads and a bridge: the total time of selfish drivers, and the least.

>>> import numpy as np
>>> from mfnet_envs.engines import BPR, Roads, Trips, assign
>>> roads = Roads(tail=np.array([0, 0, 1, 2, 1]), head=np.array([1, 2, 3, 3, 2]), num_nodes=4)
>>> law = BPR.linear(fixed=[1e-8, 50, 50, 1e-8, 10], per_vehicle=[10, 1, 1, 10, 1])
>>> demand = np.zeros((4, 4))
>>> demand[0, 3] = 6
>>> selfish, best = (assign(roads, Trips.of(demand), cost).flow for cost in (law, law.marginal()))
>>> [round(float(flow @ law.time(flow)), 3) for flow in (selfish, best)]
[552.0, 498.0]
>>> best.round(3).tolist()  # nobody takes the bridge
[3.0, 3.0, 3.0, 3.0, 0.0]
"""

from mfnet_envs.engines.assignment import Assignment, assign, shortest_paths
from mfnet_envs.engines.congestion import Congestion
from mfnet_envs.engines.link_laws import BPR, MM1, Cost, LinkLaw, PointQueue, WithFixedCost
from mfnet_envs.engines.networks import NetworkFlow, price_of_anarchy, system_optimum, user_equilibrium
from mfnet_envs.engines.roads import Roads, Trips
from mfnet_envs.engines.throughput import (
    Equilibrium,
    Scale,
    equilibrium_scale,
    largest_scale,
    largest_scale_with_capacities,
)
from mfnet_envs.engines.trips import Rides, calibrated_trips, exact_trips

__all__ = [
    "BPR", "MM1", "Assignment", "Congestion", "Cost", "Equilibrium", "LinkLaw", "NetworkFlow", "PointQueue", "Rides",
    "Roads", "Scale", "Trips", "WithFixedCost", "assign", "calibrated_trips", "equilibrium_scale", "exact_trips",
    "largest_scale", "largest_scale_with_capacities", "price_of_anarchy", "shortest_paths", "system_optimum",
    "user_equilibrium",
]  # fmt: skip
