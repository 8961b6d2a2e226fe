"""The families: how an instance's numbers are drawn, and how a model is built from them.

``draw`` answers with whole numbers, lists and words only, which are what is hashed; ``options`` turns them into the
options of the scenario, and adds nothing. What a knob does in a family stands beside its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from mfnet_envs.instances.draws import Draws, digest

Content = dict[str, Any]
Edges = list[list[int]]
SIZE, IMBALANCE, CONGESTION = ("small", "medium", "large"), ("even", "mild", "strong"), ("light", "usual", "heavy")
HOURS = {"train": (7, 9, 17, 21), "validation": (8, 18), "test": (6, 10, 16, 19)}
WEEKDAYS = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}  # Monday to Friday
KNOBS = {"size": SIZE, "imbalance": IMBALANCE, "congestion": CONGESTION}


@dataclass(frozen=True)
class Family:
    """A kind of instance.

    Attributes:
        scenario: the id its options are for.
        draw: ``(draws, size, imbalance, congestion, hour) -> content``, knobs as places 0, 1, 2.
        options: from content to the scenario's options.
        knobs: what size, imbalance and congestion do here, one sentence.
    """

    scenario: str
    draw: Callable[[Draws, int, int, int, int], Content]
    options: Callable[[Content], dict[str, Any]]
    knobs: str


def _weights(draws: Draws, number: int, imbalance: int) -> list[int]:
    """Wants of places: within a third of each other, up to 12 : 1, or up to 1,728 : 1."""
    low, power = ((9, 1), (1, 1), (1, 3))[imbalance]
    return [draws.between(low, 12) ** power for _ in range(number)]


def _town(draws: Draws, rows: int, cols: int) -> Edges:
    """A lattice of streets, of which a quarter is missing where the town holds together without."""
    lattice = [[v, v + 1] for v in range(rows * cols) if (v + 1) % cols]
    lattice += [[v, v + cols] for v in range((rows - 1) * cols)]
    return sorted(_holding(draws, rows * cols, draws.shuffled(lattice)))


def _holding(draws: Draws, nodes: int, edges: Edges) -> Edges:
    """Of ``edges`` those that first join what was apart (Kruskal), and three of four of the others."""
    part = list(range(nodes))

    def of(v: int) -> int:
        while part[v] != v:
            v = part[v]
        return v

    kept = []
    for v, w in edges:
        a, b = of(v), of(w)
        if a != b or draws.below(4):
            kept.append([v, w])
        part[a] = b
    return kept


def _ring(draws: Draws, nodes: int, chords: int) -> Edges:
    """A ring and some chords between nodes that are no neighbours on it."""
    around = [[v, (v + 1) % nodes] for v in range(nodes)]
    possible = [[v, w] for v in range(nodes) for w in range(v + 2, nodes) if (w + 1) % nodes != v]
    return around + sorted(draws.shuffled(possible)[:chords])


# -- drivers and couriers


def _draw_grid(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    side = (4, 6, 9)[size]
    return {
        "rows": side,
        "cols": side,
        "population": 4 * side * side,
        "demand": _weights(draws, side * side, imbalance),
        "riders_per_hundred_drivers": draws.between(*((100, 120), (65, 80), (35, 50))[congestion]),
    }


def _grid(content: Content) -> dict[str, Any]:
    same = {name: content[name] for name in ("rows", "cols", "population", "demand")}
    return {**same, "total_demand": content["riders_per_hundred_drivers"] / 100}


def _draw_courier(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    rows, cols = ((4, 4), (5, 6), (7, 7))[size]
    nodes = rows * cols
    return {
        "edges": _town(draws, rows, cols),
        "depots": sorted(draws.shuffled(range(nodes))[: 1 + size]),
        "population": 8 * nodes,
        "demand": _weights(draws, nodes, imbalance),
        "capacity": draws.between(2, 4),
        "parcels_per_thousand_couriers": draws.between(*((60, 100), (120, 180), (220, 300))[congestion]),
    }


def _courier(content: Content) -> dict[str, Any]:
    same = {name: content[name] for name in ("depots", "population", "demand", "capacity")}
    edges = [(v, w) for v, w in content["edges"]]
    return {**same, "graph": edges, "total_demand": content["parcels_per_thousand_couriers"] / 1000}


# -- cities with fleets


def _draw_city(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    """Zones in a square of 10 km, 12 steps of 5 minutes.

    Before noon requests end near the centre, after it they begin there.
    """
    zones, steps = (6, 12, 20)[size], 12
    places = [[draws.between(0, 100), draws.between(0, 100)] for _ in range(zones)]  # in 100 m
    minutes = [[2 + (abs(x - a) + abs(y - b)) // 5 for a, b in places] for x, y in places]
    outlying = [abs(x - 50) + abs(y - 50) for x, y in places]  # 0 .. 100
    tide = (0, 1, 3)[imbalance]
    sign = 1 if hour < 12 else -1
    inward, outward = ([100 + tide * (50 + s * (away - 50)) for away in outlying] for s in (sign, -sign))
    leave, enter = ([share * draws.between(8, 12) for share in side] for side in (inward, outward))
    fleet = 25 * zones
    odds = [[a * b * (v != w) for w, b in enumerate(enter)] for v, a in enumerate(leave)]
    total = sum(map(sum, odds))
    drive = sum(o * m for row, times in zip(odds, minutes, strict=True) for o, m in zip(row, times, strict=True))
    wanted = draws.between(*((35, 50), (60, 80), (95, 120))[congestion])  # % of what cars serve that are never empty
    waves = [draws.between(90, 110) for _ in range(steps)]
    per_step = [fleet * 5 * wanted * wave * total // drive for wave in waves]  # in 1 / 10,000 of a request
    demand = [[[each * o // total for o in row] for row in odds] for each in per_step]
    return {
        "hour": hour,
        "places": places,
        "minutes": minutes,
        "fleet": fleet,
        "requests_per_ten_thousand": demand,
        "borders": _borders(places),
    }


def _borders(places: Sequence[Sequence[int]]) -> Edges:
    """Each zone and its two nearest, and a chain from west to east, so that no zone lies apart."""
    far = [[(abs(x - a) + abs(y - b), w) for w, (a, b) in enumerate(places)] for x, y in places]
    pairs = {tuple(sorted((v, w))) for v, row in enumerate(far) for _, w in sorted(row)[:3] if v != w}
    west = sorted(range(len(places)), key=lambda v: (places[v], v))
    pairs |= {tuple(sorted(pair)) for pair in zip(west[:-1], west[1:], strict=True)}
    return [list(pair) for pair in sorted(pairs)]


def _city(content: Content) -> dict[str, Any]:
    from mfnet_envs.io.city_data import CityData

    minutes = np.array(content["minutes"], float)
    demand = np.array(content["requests_per_ten_thousand"]) / 10_000
    city = CityData(
        name=f"generated city of {len(minutes)} zones",
        zones=tuple(f"zone {v}" for v in range(len(minutes))),
        step=5.0,
        start=60 * content["hour"],
        demand=demand,
        travel_time=np.broadcast_to(minutes, demand.shape),
        fare=np.broadcast_to(2.5 + minutes, demand.shape),
        empty_time=minutes,
        neighbours=np.array(content["borders"]),
        coordinates=np.array(content["places"], float) / 10,
        cars=content["fleet"],
        cost=0.25,
    )
    return {"city": city}


def _draw_manhattan(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    """The shipped table: an hour of a weekday, and a fleet."""
    fleet = ((10_000, 11_000), (7_500, 8_500), (5_500, 6_500))[congestion]
    return {
        "hour": hour,
        "weekday": ("monday", "tuesday", "wednesday", "thursday", "friday")[imbalance],  # a day, not a knob, here
        "fleet": 10 * draws.between(fleet[0] // 10, fleet[1] // 10),
        "population": 800,
        "table": manhattan_digest(),
    }


@cache
def manhattan_digest() -> str:
    """The sha256 of the shipped trips, zones and borders, whatever the archive around them."""
    from mfnet_envs.data import manhattan

    table = manhattan()
    return digest([table.trips.tolist(), table.zone_ids.tolist(), table.edges.tolist()])


def _manhattan(content: Content) -> dict[str, Any]:
    return {name: content[name] for name in ("hour", "weekday", "fleet", "population")}


# -- roads, backbones, epidemics


def _draw_roads(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    side = (3, 4, 5)[size]
    streets = _town(draws, side, side)
    links = [link for v, w in streets for link in ([v, w], [w, v])]
    wants = _weights(draws, side * side, imbalance)
    near = [[abs(v // side - w // side) + abs(v % side - w % side) for w in range(side**2)] for v in range(side**2)]
    return {
        "side": side,
        "links": links,
        "tenths_of_time": [draws.between(6, 14) for _ in links],
        "tenths_of_capacity": [draws.between(8, 20) for _ in links],
        "trips": [[wants[v] * wants[w] * 12 // n if n else 0 for w, n in enumerate(row)] for v, row in enumerate(near)],
        "percent_of_capacity": draws.between(*((20, 28), (38, 48), (60, 75))[congestion]),
    }


def _roads(content: Content) -> dict[str, Any]:
    """Trips in all: the percentage of all links' capacity over the mean trip's links on a lattice, 2 side / 3."""
    from mfnet_envs.io.network_data import NetworkData

    side, trips = content["side"], np.array(content["trips"], float)
    time, capacity = np.array(content["tenths_of_time"]) / 10, np.array(content["tenths_of_capacity"]) / 10
    total = content["percent_of_capacity"] / 100 * capacity.sum() / (2 * side / 3)
    tail, head = np.array(content["links"]).T
    place = np.arange(side * side)
    network = NetworkData(
        name=f"generated town of {side} x {side} crossings",
        nodes=tuple(map(str, place)),
        tail=tail,
        head=head,
        free_flow_time=time,
        capacity=capacity,
        b=np.full(len(tail), 0.15),
        power=np.full(len(tail), 4.0),
        length=np.ones(len(tail)),
        demand=total * trips / trips.sum(),
        coordinates=np.stack([place % side, -(place // side)], 1).astype(float),
    )
    return {"network": network, "population": 50 * side * side}


def _draw_backbone(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    routers = (6, 9, 12)[size]
    edges = _ring(draws, routers, routers // 3)
    wants = _weights(draws, routers, imbalance)
    return {
        "routers": routers,
        "edges": edges,
        "wants": wants,
        "utilisation_percent": draws.between(*((45, 60), (75, 85), (92, 97))[congestion]),
    }


def _backbone(content: Content) -> dict[str, Any]:
    from mfnet_envs.io.network_data import NetworkData

    routers, wants = content["routers"], np.array(content["wants"], float)
    tail, head = np.array([end for v, w in content["edges"] for end in ((v, w), (w, v))]).T
    each, angle = np.ones(len(tail)), 2 * np.pi * np.arange(routers) / routers
    demand = wants[:, None] * wants * (1 - np.eye(routers))
    network = NetworkData(
        name=f"generated backbone of {routers} routers",
        nodes=tuple(map(str, range(routers))),
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
    return {"network": network, "population": 50 * routers, "utilisation": content["utilisation_percent"] / 100}


def _draw_epidemic(draws: Draws, size: int, imbalance: int, congestion: int, hour: int) -> Content:
    places = (6, 10, 16)[size]
    low, high = ((70, 80), (40, 100), (5, 150))[imbalance]
    return {
        "edges": _ring(draws, places, places // 2),
        "benefit_percent": [draws.between(low, high) for _ in range(places)],
        "beta_percent": draws.between(*((25, 35), (50, 70), (100, 140))[congestion]),
        "ill_percent": draws.between(5, 15),
        "population": 20 * places,
    }


def _epidemic(content: Content) -> dict[str, Any]:
    return {
        "graph": [(v, w) for v, w in content["edges"]],
        "benefit": [percent / 100 for percent in content["benefit_percent"]],
        "beta": content["beta_percent"] / 100,
        "infected": content["ill_percent"] / 100,
        "population": content["population"],
    }


_WANTS = "what places want within a third, up to 12 : 1 or 1,728 : 1"
FAMILIES = {
    "grid": Family(
        "MFNet-Grid-v0", _draw_grid, _grid,
        f"4, 6 or 9 cells a side; {_WANTS}; some 1.1, .7 or .4 riders a driver",
    ),
    "courier": Family(
        "MFNet-Courier-v0", _draw_courier, _courier,
        f"towns of 16, 30 or 49 crossings with 1, 2 or 3 depots; {_WANTS}; .08, .15 or .26 parcels a courier",
    ),
    "rideshare": Family(
        "MFNet-RideShare-v0", _draw_city, _city,
        "6, 12 or 20 zones; no tide to the centre and back by the hour, a tide, a strong one; requests for 40, 70 or "
        "110 % of what the fleet could serve if it never drove empty",
    ),
    "manhattan": Family(
        "MFNet-RideShareNYC-v0", _draw_manhattan, _manhattan,
        "always 61 zones; as imbalanced as the day and hour are; some 10,500, 8,000 or 6,000 cars",
    ),
    "routing": Family(
        "MFNet-Routing-v0", _draw_roads, _roads,
        f"3, 4 or 5 crossings a side; {_WANTS}; trips for some 24, 43 or 67 % of the links' capacity",
    ),
    "packet": Family(
        "MFNet-Packet-v0", _draw_backbone, _backbone,
        f"6, 9 or 12 routers; {_WANTS}; fewest hops fill the busiest link to some 52, 80 or 95 %",
    ),
    "sis": Family(
        "MFNet-SIS-v0", _draw_epidemic, _epidemic,
        "6, 10 or 16 places; going out worth .70 .. .80, .40 .. 1.00 or .05 .. 1.50; beta some .3, .6 or 1.2",
    ),
}  # fmt: skip
