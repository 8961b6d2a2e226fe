"""Manhattan's taxi zones as a city: the counts that come with the package, in the units of MFNet-RideShareNYC-v0."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.data import BUSINESS_DAYS, manhattan
from mfnet_envs.io.city_data import CityData
from mfnet_envs.words import is_whole, one_of, shown, whole

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday")
STEP = 5.0  # minutes, in which a taxi drives one hop
FARE, HOP_COST = 1.0, 0.1
TAXIS = 8000


def read_manhattan(name: Any = "manhattan", *, weekday: str = "thursday", hour: int = 18, hours: int = 1) -> CityData:
    """Some hours of a mean business day of 2018, in steps of 5 minutes.

    The table counts trips and keeps no times and no fares. As in MFNet-RideShareNYC-v0 a taxi drives a hop to an
    adjacent zone in a step, a ride pays 1 beside what its driving costs, and a hop costs .1.

    Args:
        name: what :func:`mfnet_envs.io.load_city` was called with; there is one such table.
        weekday: "monday" .. "friday". hour: at which the first step begins; hours: how many, up to midnight.

    Raises:
        ValueError: an argument out of its range.
    """
    one_of("weekday", weekday, WEEKDAYS)
    if not (is_whole(hour) and hour < 24):
        raise ValueError(f"hour must be an integer 0 .. 23, not {shown(hour)}")
    if whole("hours", hours) > 24 - hour:
        raise ValueError(f"hours must be at most {24 - hour}, to midnight: the table has no other day behind it")
    table, each = manhattan(), round(60 / STEP)
    counted = [table.trips_per_hour(WEEKDAYS.index(weekday), hour + h) * STEP / 60 for h in range(hours)]
    demand = np.repeat(np.stack(counted), each, axis=0)
    zones = len(table.zone_ids)
    minutes = STEP * np.maximum(_hops(table.graph()), 1)
    cost = HOP_COST / STEP
    return CityData(
        name=f"Manhattan, {weekday.capitalize()}",
        zones=tuple(table.zone_ids.tolist()),
        step=STEP,
        start=60 * hour,
        demand=demand,
        travel_time=np.broadcast_to(minutes, demand.shape),
        fare=np.broadcast_to(FARE + cost * minutes, demand.shape),
        empty_time=minutes * (1 - np.eye(zones)),
        neighbours=np.asarray(table.edges, np.int64),
        coordinates=np.asarray(table.centroids),
        cars=TAXIS,
        cost=cost,
        notes=(
            f"counts of 2018 as a mean of {BUSINESS_DAYS} business days of each weekday; an hour's requests are spread "
            "evenly over its steps",
            f"the table has no times and no fares: a hop takes {STEP:g} minutes and costs {HOP_COST:g}, and a ride "
            f"pays {FARE:g} beside what its driving costs",
            f"{TAXIS:,} taxis are assumed",
        ),
    )


def _hops(graph: nx.Graph[Any]) -> Floats:
    """``(V, V)``: hops between zones, in the order of their ids."""
    place = {zone: v for v, zone in enumerate(graph.nodes)}
    hops = np.zeros((len(place), len(place)))
    for origin, reached in nx.all_pairs_shortest_path_length(graph):
        for zone, distance in reached.items():
            hops[place[origin], place[zone]] = distance
    return hops
