"""What a file says, by readers of their own: tables of texts in, numbers by label out. They share nothing with mfnet.

A table that cannot be read, or that leaves a number out, raises :class:`Unreadable`: the product must then refuse, or
say what it put in its place. :class:`Unsure` means that the format does not decide.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from fuzz.mutations import Row, Tables

Value = float | frozenset[float]  # one number, or several of which any will do
Link = tuple[str, str, tuple[Value, ...]]  # tail, head; time, capacity, b, power, length
ZERO_TIME = frozenset({0.0, 1e-7})  # a time of zero may be floored
BPR = 0.15, 4.0


class Unreadable(Exception):
    pass


class Unsure(Exception):
    pass


@dataclass
class Truth:
    """``trips`` between different nodes; ``xy`` where the file has coordinates; ``tolls`` beside the links."""

    links: list[Link]
    trips: dict[tuple[str, str], float] = field(default_factory=dict)
    xy: dict[str, tuple[float, float]] | None = None
    first_through: int = 0
    tolls: list[float] | None = None


def number(text: str, low: float | None = None, above: float | None = None) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Unreadable(text) from None
    if not math.isfinite(value) or (low is not None and value < low) or (above is not None and value <= above):
        raise Unreadable(text)
    return value


def count(text: str) -> int:
    value = number(text, 0)
    if value != int(value):
        raise Unreadable(text)
    return int(value)


def finite(value: float) -> float:
    if not math.isfinite(value):
        raise Unreadable("overflow")
    return value


def _time(value: float) -> Value:
    return ZERO_TIME if value == 0 else finite(value)


def _distinct(labels: list[str]) -> set[str]:
    if len(set(labels)) < len(labels) or "" in labels:
        raise Unreadable("labels")
    return set(labels)


def _once(rows: list[Row]) -> list[Row]:
    """Without rows that are the same in every word: XML and GML readers merge these, and no number changes."""
    return [row for i, row in enumerate(rows) if row not in rows[:i]]


def _add(trips: Counter[tuple[str, str]], ends: tuple[str, str], value: float) -> None:
    trips[ends] = finite(trips[ends] + value)  # type: ignore[assignment]


def _settled(trips: Counter[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Trips within a node must be said to be dropped."""
    if any(a == b and value > 0 for (a, b), value in trips.items()):
        raise Unreadable("trips within a node")
    finite(sum(trips.values()))
    return {ends: value for ends, value in trips.items() if value > 0}


# -- TNTP -------------------------------------------------------------------------------------------------------------


def tntp(doc: Tables) -> Truth:
    for rows in doc.values():
        for row in rows:
            for text in row.values():
                if any(c in text for c in " \t;~:<>,\x00\x1c\x85") or len(text.splitlines()) > 1:
                    raise Unsure(text)
    head = doc["head"][0] if doc["head"] else {}
    if not head:
        raise Unsure("no header")
    if count(head["links"]) != len(doc["links"]):
        raise Unreadable("number of links")
    nodes, zones, first = count(head["nodes"]), count(head["zones"]), count(head["first"])
    links: list[Link] = []
    tolls = []
    for row in doc["links"]:
        a, b = count(row["a"]), count(row["b"])
        if a == b or not (1 <= a <= nodes and 1 <= b <= nodes):
            raise Unreadable("ends")
        values = [number(row[name], 0) for name in ("time", "bpr", "power", "length")]
        law = _time(values[0]), number(row["capacity"], above=0), values[1], values[2], values[3]
        links.append((str(a), str(b), law))
        tolls.append(number(row["toll"]) if row["toll"] else 0.0)
        if not all(row.values()):
            raise Unreadable("fields")
    trips: Counter[tuple[str, str]] = Counter()
    if not doc["trips"] or not doc["total"]:
        raise Unsure("no trips")
    for row in doc["trips"]:
        ends = str(count(row["from"])), str(count(row["to"]))
        if not all(1 <= int(label) <= nodes for label in ends):
            raise Unreadable("zone")
        _add(trips, ends, number(row["trips"], 0))
    total = doc["total"][0]
    if count(total["zones"]) != zones or zones > nodes or any(max(int(a), int(b)) > zones for a, b in trips):
        raise Unreadable("zones")
    announced, held = number(total["flow"], 0), sum(trips.values())
    if abs(announced - held) > 1e-6 * announced + 0.5:
        raise Unreadable("total")
    if not 0 <= first <= nodes:
        raise Unreadable("first through node")
    xy = {str(count(row["id"])): (number(row["x"]), number(row["y"])) for row in doc["nodes"]}
    if not len(doc["nodes"]) == len(xy) == nodes or any(not 1 <= int(label) <= nodes for label in xy):
        raise Unreadable("coordinates")
    return Truth(links, _settled(trips), xy, max(first - 1, 0), tolls)


# -- GMNS -------------------------------------------------------------------------------------------------------------

LENGTHS = {"mi": 1609.344, "mile": 1609.344, "miles": 1609.344, "km": 1000.0, "m": 1.0, "ft": 0.3048, "feet": 0.3048}
SPEEDS = {"mph": 1609.344, "mi/h": 1609.344, "kph": 1000.0, "km/h": 1000.0, "kmh": 1000.0, "m/s": 3600.0}
SPEEDS |= {"ft/s": 1097.28, "fps": 1097.28}


def gmns(doc: Tables) -> Truth:
    for rows in doc.values():
        for row in rows:
            for text in row.values():
                if text != text.strip() or "\x00" in text:
                    raise Unsure(text)
    timed = all("VDF_fftt1" in row for row in doc["links"])
    if not doc["links"]:
        raise Unreadable("no links")
    if not doc["config"] or any(text.lower() in ("", "nan") for text in doc["config"][0].values()):
        raise Unsure("units that nothing depends on") if timed else Unreadable("no units")
    labels = [row["node_id"] for row in doc["nodes"]]
    known = _distinct(labels)
    config = doc["config"][0]
    length_unit, speed_unit = config["long_length"].lower(), config["speed"].lower()
    if length_unit not in LENGTHS or speed_unit not in SPEEDS:
        raise Unreadable("units")
    if "crs" in config and config["crs"].lower() in ("", "nan"):
        raise Unsure("crs")
    links: list[Link] = []
    for row in doc["links"]:
        a, b = row["from_node_id"], row["to_node_id"]
        if a == b or a not in known or b not in known or not row["link_id"]:
            raise Unreadable("ends")
        length = number(row["length"], 0)
        if "VDF_fftt1" in row:
            hours = number(row["VDF_fftt1"], 0) / 60
        else:
            hours = length * LENGTHS[length_unit] / SPEEDS[speed_unit] / number(row["free_speed"], above=0)
        capacity = finite(number(row["capacity"], above=0) * number(row["lanes"], above=0))
        law = _time(hours), capacity, number(row["VDF_alpha1"], 0), number(row["VDF_beta1"], 0), length
        if row["allowed_uses"].lower() not in ("auto", "all"):
            raise Unreadable("uses")
        links.append((a, b, law))
        directed = row["directed"].lower()
        if directed not in ("true", "false", "1", "0", "t", "f", "yes", "no", "y", "n"):
            raise Unreadable("directed")
        if directed in ("false", "0", "f", "no", "n"):
            links.append((b, a, law))
    zones: dict[str, list[str]] = {}
    for row in doc["nodes"]:
        if row["zone_id"].lower() not in ("", "nan"):
            zones.setdefault(row["zone_id"], []).append(row["node_id"])
    trips: Counter[tuple[str, str]] = Counter()
    for row in doc["demand"]:
        if row["o_zone_id"] not in zones or row["d_zone_id"] not in zones:
            raise Unreadable("zone")
        origins, destinations = zones[row["o_zone_id"]], zones[row["d_zone_id"]]
        each = number(row["volume"], 0) / (len(origins) * len(destinations))
        for origin in origins:
            for destination in destinations:
                _add(trips, (origin, destination), each)
    xy = {row["node_id"]: (number(row["x_coord"]), number(row["y_coord"])) for row in doc["nodes"]}
    return Truth(links, _settled(trips), xy)


# -- on earth ---------------------------------------------------------------------------------------------------------


def kilometres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The great circle between (lon, lat), by the arc tangent (Vincenty's special case), radius 6371 km."""
    (x, p), (y, q) = ((math.radians(lon), math.radians(lat)) for lon, lat in (a, b))
    d = y - x
    top = math.hypot(math.cos(q) * math.sin(d), math.cos(p) * math.sin(q) - math.sin(p) * math.cos(q) * math.cos(d))
    return 6371.0 * math.atan2(top, math.sin(p) * math.sin(q) + math.cos(p) * math.cos(q) * math.cos(d))


def _position(x: str, y: str) -> tuple[float, float]:
    lon, lat = number(x), number(y)
    if abs(lon) > 180 or abs(lat) > 90:  # nowhere on earth; a reader may take it for pixels, and then says so
        raise Unreadable("position")
    return lon, lat


def _by_fibre(ends: tuple[str, str], where: dict[str, tuple[float, float]], capacity: Value) -> Link:
    km = kilometres(where[ends[0]], where[ends[1]])
    return (*ends, (ZERO_TIME if km < 1e-9 else km / 200.0, capacity, *BPR, km))


def zoo(doc: Tables) -> Truth:
    """The Topology Zoo, GML or GraphML: labels are the nodes' names, all distinct here."""
    nodes = _once(doc["nodes"])
    doc = {**doc, "nodes": nodes}
    where = {row["id"]: _position(row["Longitude"], row["Latitude"]) for row in nodes}
    _distinct([row["id"] for row in nodes])
    if not all(row["id"].isdecimal() for row in nodes):  # -0 and 0.0 are 0 in GML, and other words in GraphML
        raise Unsure("an id that is no plain number")
    name = {row["id"]: row["label"] for row in doc["nodes"]}
    if any(text != text.strip() or not text.isprintable() or '"' in text for text in name.values()):
        raise Unsure("label")
    if len(set(name.values())) < len(name) or "" in name.values():
        raise Unsure("labels")
    links: list[Link] = []
    for row in doc["edges"]:
        a, b = row["source"], row["target"]
        if any(end not in where and end.replace(".", "").isdigit() and "." in end for end in (a, b)):
            raise Unsure("GML's numbers 1 and 1.0 name one node, GraphML's words do not")
        if any(end not in where and end[:1] in "+-" and end[1:].isdigit() for end in (a, b)):
            raise Unsure("GML's numbers +1 and 1 name one node, and so do -0 and 0")
        if a not in where or b not in where or a == b:
            raise Unreadable("ends")
        speed = number(row["LinkSpeedRaw"], above=0)
        for ends in ((a, b), (b, a)):
            tail, head, law = _by_fibre(ends, where, speed)
            links.append((name[tail], name[head], law))
    if not links:
        raise Unreadable("no links")
    return Truth(links, {}, {name[v]: xy for v, xy in where.items()})


def sndlib(doc: Tables, both_ways: bool = True) -> Truth:
    for rows in doc.values():
        for row in rows:
            for text in row.values():
                if any(c in text for c in " \t()#\x00?\x1c\x85") or not text or len(text.splitlines()) > 1:
                    raise Unsure(text)
    known = _distinct([row["id"] for row in doc["nodes"]])
    where = {row["id"]: _position(row["x"], row["y"]) for row in doc["nodes"]}
    links: list[Link] = []
    for row in doc["links"]:
        a, b = row["source"], row["target"]
        if a not in known or b not in known or a == b:
            raise Unreadable("ends")
        installed, module = number(row["installed"], 0), number(row["module"], 0)
        size = installed or module
        if size == 0:
            raise Unreadable("capacity")
        links += [_by_fibre(ends, where, size) for ends in ((a, b), (b, a))]
    trips: Counter[tuple[str, str]] = Counter()
    for row in doc["demands"]:
        if row["source"] not in known or row["target"] not in known:
            raise Unreadable("demand")
        _add(trips, (row["source"], row["target"]), finite(number(row["value"], 0) * number(row["unit"], above=0)))
    if not links:
        raise Unreadable("no links")
    pairs = _settled(trips)
    if both_ways and not any((b, a) in pairs for a, b in pairs):
        pairs |= {(b, a): value for (a, b), value in pairs.items()}
    return Truth(links, pairs, where)


# -- OSMnx ------------------------------------------------------------------------------------------------------------

CLASSES = {"motorway": (100.0, 1800.0), "primary": (60.0, 1200.0), "residential": (30.0, 600.0)}


def _speeds(text: str) -> frozenset[float]:
    """What a maxspeed may be read as, in km/h: of several values each and their mean."""
    values = []
    if text.startswith("["):  # a list of one is a number to some
        raise Unsure(text)
    for part in text.replace("|", ";").split(";"):
        words = part.strip().lower()
        factor = 1.609344 if words.endswith("mph") else 1.0
        for unit in ("mph", "km/h", "kph"):
            words = words.removesuffix(unit).strip()
        values.append(factor * number(words, above=0))
    return frozenset({*values, sum(values) / len(values)})


def osmnx(doc: Tables) -> Truth:
    nodes = _once(doc["nodes"])
    _distinct([row["id"] for row in nodes])
    where = {row["id"]: (number(row["x"]), number(row["y"])) for row in nodes}
    links: list[Link] = []
    for row in doc["edges"]:
        a, b = row["source"], row["target"]
        if a not in where or b not in where or a == b:
            raise Unreadable("ends")
        if row["highway"] not in CLASSES or any(text != text.strip() for text in row.values()):
            raise Unsure("class")
        km = number(row["length"], 0) / 1000
        if row["lanes"].startswith("["):  # a list of one is a number to some
            raise Unsure(row["lanes"])
        if row["oneway"].lower() in ("0", "1", "-1", "yes", "no"):  # OpenStreetMap's own words
            raise Unsure(row["oneway"])
        lanes = number(row["lanes"], above=0) if row["lanes"].isascii() else 0.0
        if lanes != int(lanes):
            raise Unsure("a part of a lane")
        if lanes < 1 or lanes > 1e6 or row["oneway"].lower() not in ("true", "false"):
            raise Unreadable("lanes, or whether one-way")
        if row["oneway"].lower() == "false":
            lanes = max(lanes / 2, 1.0)
        times = frozenset(finite(km / speed) for speed in _speeds(row["maxspeed"]))
        time: Value = ZERO_TIME if km == 0 else times
        links.append((a, b, (time, lanes * CLASSES[row["highway"]][1], *BPR, km)))
    if not links:
        raise Unreadable("no links")
    return Truth(links, {}, where)


# -- cities -----------------------------------------------------------------------------------------------------------

A_DAY = 1440


@dataclass
class City:
    """``rides``: (minute at which its step begins, origin, destination) -> requests, minutes and fare of a ride."""

    zones: list[str]
    start: int
    step: float
    rides: dict[tuple[float, str, str], tuple[float, float, float]]
    empty: dict[tuple[str, str], float]
    borders: set[frozenset[str]]
    cars: int | None
    cost: float
    turnaround: int
    xy: dict[str, tuple[float, float]] | None


def _means(rows: list[tuple[float, str, str, float, float, float]]) -> dict[tuple[float, str, str], Any]:
    """Requests add up; minutes and fares are what a request has in the mean."""
    sums: dict[tuple[float, str, str], list[float]] = {}
    for time, a, b, asked, minutes, fare in rows:
        each = sums.setdefault((time, a, b), [0.0, 0.0, 0.0])
        for i, value in enumerate((asked, asked * minutes, asked * fare)):
            each[i] = finite(each[i] + value)
    if not any(asked > 0 for asked, _, _ in sums.values()):
        raise Unreadable("nobody rides")
    return {key: (n, t / n, fare / n) for key, (n, t, fare) in sums.items() if n > 0}


def _over_others(known: dict[tuple[str, str], float], zones: list[str]) -> dict[tuple[str, str], float]:
    """Minutes between all zones: as known, else by the shortest way."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(zones)
    graph.add_weighted_edges_from((a, b, minutes) for (a, b), minutes in known.items() if a != b)
    found = {}
    for a, reached in nx.all_pairs_dijkstra_path_length(graph):
        for b in zones:
            if b not in reached:
                raise Unreadable("no way")
            if a != b:
                found[a, b] = known.get((a, b), reached[b])
    return found


def _pair(a: str, b: str, zones: Iterable[str]) -> tuple[str, str]:
    if a not in zones or b not in zones:
        raise Unreadable("zone")
    return a, b


def _minute(text: str) -> int:
    clock = re.fullmatch(r"([0-9]{1,2}):([0-5][0-9])", text)
    minute = 60 * int(clock[1]) + int(clock[2]) if clock else count(text)
    if minute >= 2 * A_DAY:  # after midnight may be the next day, no more
        raise Unreadable("no minute of a day")
    return minute


def city_csv(doc: Tables) -> City:
    for rows in doc.values():
        for row in rows:
            for text in row.values():
                if text != text.strip() or "\x00" in text or text.lower() == "nan":
                    raise Unsure(text)
    zones = [row["zone"] for row in doc["zones"]]
    _distinct(zones)
    if len(zones) < 2 or not doc["trips"]:
        raise Unreadable("no city")
    borders = {frozenset(_pair(row["zone"], w, zones)) for row in doc["zones"] for w in row["neighbours"].split()}
    if any(len(pair) < 2 for pair in borders):
        raise Unreadable("a neighbour of itself")
    if not all(row["x"] and row["y"] for row in doc["zones"]):
        raise Unreadable("coordinates")
    xy = {row["zone"]: (number(row["x"]), number(row["y"])) for row in doc["zones"]}
    times = sorted({_minute(row["time"]) for row in doc["trips"]})
    step = min((b - a for a, b in zip(times, times[1:], strict=False)), default=60)
    if any((time - times[0]) % step for time in times):
        raise Unreadable("a slot that begins within a step")
    rows_: list[tuple[float, str, str, float, float, float]] = []
    for row in doc["trips"]:
        ends = _pair(row["origin"], row["destination"], zones)
        values = number(row["demand"], 0), number(row["travel_time"], above=0), number(row["fare"], 0)
        rows_.append((float(_minute(row["time"])), *ends, *values))
    rides = _means(rows_)
    empty = {(a, b): minutes for (_, a, b), (_, minutes, _) in _means([(0.0, *row[1:]) for row in rows_]).items()}
    return City(zones, times[0], step, rides, _over_others(empty, zones), borders, None, 0.0, 0, xy)


def json_value(text: str) -> object:
    """A text as JSON has it: a number where it spells one there, else a string."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def rl4amod(doc: Tables) -> City:
    if not all(doc.values()):
        raise Unreadable("a table is missing")  # calibrated parameters may be, and then defaults are said
    for rows in doc.values():
        for row in rows:
            for text in row.values():
                if text != text.strip():
                    raise Unsure(text)
    n = count(doc["head"][0]["nlat"]) * count(doc["head"][0]["nlon"])
    if not 2 <= n <= 1000:
        raise Unreadable("regions")
    zones = [str(v) for v in range(n)]
    known = doc["parameters"][0]
    hour, step = count(known["json_hr"]), number(known["test_tstep"], above=0)
    ratio, cost = number(known["demand_ratio"], above=0), number(known["beta"], 0)
    if hour > 23:
        raise Unreadable("hour")
    rows_: list[tuple[float, str, str, float, float, float]] = []
    for row in doc["demand"]:
        t = (count(row["time_stamp"]) - 60 * hour) // step
        if not 0 <= t < 20:
            raise Unreadable("outside the steps")
        ends = _pair(str(count(row["origin"])), str(count(row["destination"])), zones)
        values = number(row["demand"], 0), number(row["travel_time"], above=0), number(row["price"], 0)
        rows_.append((60 * hour + t * step, *ends, *values))
    rides = {key: (finite(ratio * asked), *rest) for key, (asked, *rest) in _means(rows_).items()}
    drives: dict[int, dict[tuple[str, str], float]] = {}
    for row in doc["rebTime"]:
        ends = _pair(str(count(row["origin"])), str(count(row["destination"])), zones)
        table, minutes = drives.setdefault(count(row["time_stamp"]), {}), number(row["reb_time"], 0)
        if table.setdefault(ends, minutes) != minutes:
            raise Unreadable("two driving times")
    nearest = drives[min(drives, key=lambda at: (abs(at - hour), at))]
    if any(nearest.get((a, b), 0.0) == 0 for a in zones for b in zones if a != b):
        raise Unreadable("a driving time that is not given")
    fleets: dict[int, float] = {}
    for row in doc["totalAcc"]:
        if fleets.setdefault(count(row["hour"]), number(row["acc"], above=0)) != number(row["acc"]):
            raise Unreadable("two fleets")
    cars = fleets.get(hour + round(finite(10 * step) / 60))
    if cars is None or cars % n:
        raise Unreadable("a fleet for every region")
    borders = set()
    for row in doc["topology_graph"]:
        a, b = _pair(str(count(row["i"])), str(count(row["j"])), zones)
        borders |= {frozenset((a, b))} if a != b else set()
    empty = {ends: minutes for ends, minutes in nearest.items() if ends[0] != ends[1]}
    return City(zones, 60 * hour, step, rides, empty, borders, int(cars), cost, 1, None)


def city_difference(found: City, wanted: City) -> str:
    """The first thing that differs, or nothing."""
    for name in ("start", "zones", "borders", "cars", "turnaround"):
        one, other = getattr(found, name), getattr(wanted, name)
        if (sorted(one) != sorted(other)) if name == "zones" else one != other:
            return f"{name}: {one}, the file says {other}"
    for name in ("step", "cost"):
        if not near(getattr(found, name), getattr(wanted, name)):
            return f"{name} is {getattr(found, name)}, the file says {getattr(wanted, name)}"
    for name in ("rides", "empty", "xy"):
        here, there = getattr(found, name) or {}, getattr(wanted, name) or {}
        for key in {*here, *there}:
            one, other = (value if isinstance(value := x.get(key, 0.0), tuple) else (value,) for x in (here, there))
            if len(one) != len(other) or not all(map(near, one, other)):
                return f"{name} {key}: {here.get(key)}, the file says {there.get(key)}"
    return ""


# -- comparing --------------------------------------------------------------------------------------------------------


def near(found: float, wanted: Value) -> bool:
    if isinstance(wanted, frozenset):
        return any(near(found, one) for one in wanted)
    return math.isclose(found, wanted, rel_tol=1e-7, abs_tol=1e-300)


def difference(found: Truth, wanted: Truth) -> str:
    """The first number that differs, or nothing."""
    left: dict[tuple[str, str], list[tuple[tuple[Value, ...], float | None]]] = {}
    tolls: Iterable[float | None] = wanted.tolls or [None] * len(wanted.links)
    for (a, b, law), toll in zip(wanted.links, tolls, strict=True):
        left.setdefault((a, b), []).append((law, toll))
    for i, (a, b, law) in enumerate(found.links):
        toll = found.tolls[i] if found.tolls is not None else 0.0
        for candidate in left.get((a, b), []):
            wanted_law, wanted_toll = candidate
            fits = all(near(x, y) for x, y in zip(law, wanted_law, strict=True))  # type: ignore[arg-type]
            if fits and (wanted_toll is None or near(toll, wanted_toll)):
                left[a, b].remove(candidate)
                break
        else:
            return f"the link {a!r} to {b!r} is {law}, toll {toll}; the file says {left.get((a, b))}"
    if missing := [ends for ends, rows in left.items() if rows]:
        return f"the link {missing[0]} is missing"
    for ends in {*found.trips, *wanted.trips}:
        if not near(found.trips.get(ends, 0.0), wanted.trips.get(ends, 0.0)):
            return f"trips {ends} are {found.trips.get(ends, 0.0)}, the file says {wanted.trips.get(ends, 0.0)}"
    if wanted.xy is not None:
        for label, (x, y) in wanted.xy.items():
            here = (found.xy or {}).get(label)
            if here is None and not any(label in (a, b) for a, b, _ in wanted.links):
                continue  # a node that nothing uses may go
            if here is None or not (near(here[0], x) and near(here[1], y)):
                return f"node {label!r} lies at {here}, the file says {(x, y)}"
    if found.first_through != wanted.first_through:
        return f"first_through is {found.first_through}, the file says {wanted.first_through}"
    return ""
