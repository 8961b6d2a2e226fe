"""Street networks as OSMnx saves them: GraphML in which every attribute is a string.

Lengths are metres, ``travel_time`` seconds, ``speed_kph`` km/h; attributes that OSMnx merged from several streets are
lists spelt out, ``"['2', '3']"``. OpenStreetMap knows no capacities and few speeds, so both have a table by type.
Its speeds and lanes are written by hand: "30 mph", "70|100" (lane by lane), "50;30", "walk", "none", "signals".
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.assembling import assembled
from mfnet_envs.io.files import reading, xml_of
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.networkx import links_of
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import BPR_B, BPR_POWER, Place, geographical
from mfnet_envs.io.units import check_lengths, detour
from mfnet_envs.words import brief, positive, shown

LICENCE = "ODbL 1.0, OpenStreetMap contributors"
KPH = {None: 1.0, "km/h": 1.0, "kmh": 1.0, "kph": 1.0, "mph": 1.609344, "knots": 1.852}
WALK = 6.0  # km/h, for maxspeed=walk
POSTED = re.compile(r"(\d+(?:\.\d+)?)\s*(mph|km/h|kmh|kph|knots)?", re.ASCII)
LANES = re.compile(r"\d{1,3}(?:\.\d+)?", re.ASCII)  # no street has thousands
UNPOSTED = {"none", "signals", "variable"}  # they say that there is no number
LONGEST_LIST = 10_000  # characters of a list spelt out
ONE_WAY = dict.fromkeys(("true", "yes", "1"), True) | dict.fromkeys(("false", "no", "0"), False)

# km/h without congestion, and vehicles per hour and lane, by the tag `highway`; links of a class (ramps) follow it.
SPEEDS = dict(motorway=100.0, trunk=80.0, primary=60.0, secondary=50.0, tertiary=40.0, unclassified=40.0)
SPEEDS |= dict(residential=30.0, living_street=10.0, service=20.0)
LANE_CAPACITY = dict(motorway=1800.0, trunk=1600.0, primary=1200.0, secondary=1000.0, tertiary=800.0)
OTHER_SPEED, OTHER_LANE_CAPACITY = 30.0, 600.0


def from_osmnx_graphml(
    path: str | os.PathLike[str],
    *,
    speeds: Mapping[str, float] = SPEEDS,
    lane_capacity: Mapping[str, float] = LANE_CAPACITY,
) -> NetworkData:
    """A street network without trips; times in hours, lengths in km, capacities in vehicles per hour.

    Time is ``travel_time``, else length over ``speed_kph``, else over ``maxspeed``, else over ``speeds`` of ``highway``
    (30 km/h for other types). Capacity is lanes times ``lane_capacity`` of ``highway`` (600 for other types). Where an
    attribute has several values, of merged streets or of lanes, the mean speed and the fewest lanes count; "walk" is 6
    km/h, "none" the speed of the type. The lanes of a two-way street are halved. Loops are left out. An undirected
    graph gets its one-way streets back.

    Raises:
        ValueError: a speed or capacity that is not positive. NetworkFileError: no GraphML, a node without x and y, an
            edge without length, a negative number.
    """
    for name, table in (("speeds", speeds), ("lane_capacity", lane_capacity)):
        if not isinstance(table, Mapping):
            raise TypeError(f"{name} must be a mapping from types of street to numbers, not {shown(table)}")
        positive(**{f"{name}[{kind!r}]": value for kind, value in table.items()})
    with reading(path, "OSMnx GraphML"):
        return from_graph(read_graphml(path), Path(path), speeds, lane_capacity)


def read_graphml(path: str | os.PathLike[str]) -> nx.Graph[Any]:
    """The graph in a GraphML file, nodes labelled by strings.

    Raises:
        NetworkFileError: it is no GraphML.
    """
    with reading(path, "GraphML") as place:
        raw = xml_of(place, "GraphML")
        if (graphs := len(re.findall(rb"<(?:\w+:)?graph[\s>]", raw))) > 1:
            place.fail(f"it holds {graphs} graphs; keep one")
        try:
            graph: nx.Graph[Any] = nx.read_graphml(BytesIO(raw), node_type=str, force_multigraph=True)
        except Exception as error:  # networkx and its XML parser raise many kinds
            place.fail(f"this is no GraphML ({brief(error)})")
    return graph


def from_graph(
    graph: nx.Graph[Any], path: Path, speeds: Mapping[str, float], lane_capacity: Mapping[str, float]
) -> NetworkData:
    notes = Notes()

    def law(place: Place, edge: dict[str, Any]) -> tuple[float, ...]:
        if "length" not in edge:
            place.fail("the edge has no attribute 'length' (metres)")
        km = place.number(edge["length"], "length", "non-negative") / 1000
        hours, capacity = _hours(place, edge, km, speeds, notes), _capacity(place, edge, lane_capacity, notes)
        return hours, capacity, BPR_B, BPR_POWER, km

    graph = _directed(graph, str(path))
    coordinates = _coordinates(graph, str(path))
    links = links_of(str(path), graph, law, notes, loops=False)
    if links:
        tail, head, *_, km = (np.array(column) for column in zip(*links, strict=True))
        check_lengths(notes, "m", detour(coordinates, tail, head, 1000 * km))
    crs = str(graph.graph.get("crs", "assumed: lon/lat" if geographical(coordinates) else "unknown"))
    notes.say("capacities are lanes times a usual capacity of the type of street: OpenStreetMap knows none")
    return assembled(
        Place(str(path)),
        notes,
        [str(node) for node in graph],
        links,
        None,
        coordinates=coordinates,
        name=path.stem,
        units={"time": "h", "length": "km", "capacity": "vehicles/h", "coordinates": crs},
        source=path.name,
        licence=LICENCE,
    )


def _directed(graph: nx.Graph[Any], file: str) -> nx.Graph[Any]:
    """A graph that OSMnx made undirected, with its streets as links again: one-way ones lead ``from`` ``to``."""
    if graph.is_directed():
        return graph
    directed: nx.MultiDiGraph[Any] = nx.MultiDiGraph(**graph.graph)
    directed.add_nodes_from(graph.nodes(data=True))
    for u, v, edge in graph.edges(data=True):
        backwards = str(edge.get("from", u)) == str(v)
        tail, head = (v, u) if backwards else (u, v)
        directed.add_edge(tail, head, **edge)
        if not _one_way(Place(file), edge, Notes()):  # noted link by link, later
            directed.add_edge(head, tail, **edge)
    return directed


def _coordinates(graph: nx.Graph[Any], file: str) -> Floats:
    found = np.zeros((len(graph), 2))
    for v, (node, data) in enumerate(graph.nodes(data=True)):
        place = Place(file, f"node {shown(node)}")
        found[v] = [place.number(data.get(axis), axis) for axis in "xy"]
    return found


def _one_way(place: Place, edge: dict[str, Any], notes: Notes) -> bool | None:
    """Whether a street leads one way only; None where it does not say, or not in words that are known."""
    found = ONE_WAY.get(str(edge.get("oneway")).lower())
    if found is None and "oneway" in edge:
        notes.count("oneway could not be read ({where}): taken as not stated", place, edge["oneway"], loud=True)
    return found


def _hours(place: Place, edge: dict[str, Any], km: float, speeds: Mapping[str, float], notes: Notes) -> float:
    if "travel_time" in edge:
        return place.number(edge["travel_time"], "travel_time", "non-negative") / 3600
    if "speed_kph" in edge:
        return km / place.number(edge["speed_kph"], "speed_kph", "positive")
    posted = []
    for text in _texts(edge.get("maxspeed")):
        speed = _posted(text)
        if text.strip().lower() == "walk":
            notes.count(f"maxspeed is walk ({{where}}): {WALK:g} km/h is taken", place)
        if speed > 0:
            posted.append(speed)
        elif text.strip().lower() in UNPOSTED:
            notes.count("maxspeed is no number ({where}): the speed of the type of street is taken", place, text)
        else:
            unread = (
                "maxspeed could not be read ({where}): the other values, or the speed of the type of street, are taken"
            )
            notes.count(unread, place, text, loud=True)
    if len(set(posted)) > 1:
        notes.count("several maxspeeds ({where}): their mean is taken", place, edge["maxspeed"])
    if posted:
        return km / float(np.mean(posted))
    if not any(text.strip() for text in _texts(edge.get("maxspeed"))):
        notes.count("maxspeed is not stated ({where}): the speed of the type of street is taken", place)
    return km / _by_type(place, edge, speeds, OTHER_SPEED, notes)


def _capacity(place: Place, edge: dict[str, Any], lane_capacity: Mapping[str, float], notes: Notes) -> float:
    texts = _texts(edge.get("lanes"))
    numbers = [float(text) for text in texts if LANES.fullmatch(text) and float(text) > 0]
    if len(numbers) < len(texts):
        unread = "lanes could not be read ({where}): the other values, or one lane, are taken"
        notes.count(unread, place, edge["lanes"], loud=True)
    elif not texts:
        notes.count("lanes are not stated ({where}): one is taken", place)
    if len(set(numbers)) > 1:
        notes.count("several numbers of lanes ({where}): the fewest count", place, edge["lanes"])
    if len(set(_texts(edge.get("highway")))) > 1:
        notes.count("several types of street ({where}): the first counts", place, edge["highway"])
    lanes = min(numbers, default=0.0)
    if _one_way(place, edge, notes) is False:
        lanes /= 2
    return max(lanes, 1.0) * _by_type(place, edge, lane_capacity, OTHER_LANE_CAPACITY, notes)


def _texts(value: Any) -> list[str]:
    """The values of an attribute: none, one, or those of a list spelt out or parted by ``;`` or ``|``."""
    if value is None:
        return []
    texts = [str(value)]
    if texts[0].startswith("[") and len(texts[0]) <= LONGEST_LIST:
        try:
            texts = [str(item) for item in ast.literal_eval(texts[0])]
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            return texts
    return [part.strip() for text in texts for part in re.split(r"[;|]", text) if part.strip()]


def _posted(text: str) -> float:
    """km/h of a ``maxspeed``; 0 for "none", "signals", "RO:urban" and whatever else is no number."""
    lower = text.strip().lower()
    if lower == "walk":
        return WALK
    match = POSTED.fullmatch(lower)
    return 0.0 if match is None else float(match[1]) * KPH[match[2]]


def _by_type(place: Place, edge: dict[str, Any], table: Mapping[str, float], other: float, notes: Notes) -> float:
    kinds = _texts(edge.get("highway"))
    kind = kinds[0].removesuffix("_link") if kinds else ""
    if kind not in table:
        known = "a type of street without a speed or a lane capacity ({where}) is taken as any other"
        notes.count(known, place, edge.get("highway"))
    return table.get(kind, other)
