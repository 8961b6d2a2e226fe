"""Street networks as OSMnx saves them: GraphML in which every attribute is a string.

Lengths are metres, ``travel_time`` seconds, ``speed_kph`` km/h; attributes that OSMnx merged from several streets are
lists spelt out, ``"['2', '3']"``. OpenStreetMap knows no capacities and few speeds, so both have a table by type.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.network_data import NetworkData, assembled
from mfnet_envs.io.networkx import links_of
from mfnet_envs.io.reading import BPR_B, BPR_POWER, Place, geographical

LICENCE = "ODbL 1.0, OpenStreetMap contributors"
KPH_PER_MPH = 1.609344

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
    (30 km/h for other types). Capacity is lanes times ``lane_capacity`` of ``highway`` (600 for other types). Where
    streets were merged, the fewest lanes and the mean speed count; the lanes of a two-way street are halved. Loops are
    left out. An undirected graph gets its one-way streets back.

    Raises:
        NetworkFileError: no GraphML, a node without x and y, an edge without length, a negative number.
    """
    return from_graph(read_graphml(path), Path(path), speeds, lane_capacity)


def read_graphml(path: str | os.PathLike[str]) -> nx.Graph[Any]:
    """The graph in a GraphML file, nodes labelled by strings.

    Raises:
        NetworkFileError: it is no GraphML.
    """
    try:
        graph: nx.Graph[Any] = nx.read_graphml(path, node_type=str, force_multigraph=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # networkx and its XML parser raise many kinds
        Place(str(path)).fail(f"this is no GraphML ({error})")
    return graph


def from_graph(
    graph: nx.Graph[Any], path: Path, speeds: Mapping[str, float], lane_capacity: Mapping[str, float]
) -> NetworkData:
    def law(place: Place, edge: dict[str, Any]) -> tuple[float, ...]:
        if "length" not in edge:
            place.fail("the edge has no attribute 'length' (metres)")
        km = place.number(edge["length"], "length", "non-negative") / 1000
        return _hours(place, edge, km, speeds), _capacity(edge, lane_capacity), BPR_B, BPR_POWER, km

    graph = _directed(graph)
    coordinates = _coordinates(graph, str(path))
    crs = str(graph.graph.get("crs", "lon/lat" if geographical(coordinates) else "unknown"))
    return assembled(
        Place(str(path)),
        [str(node) for node in graph],
        links_of(str(path), graph, law, loops=False),
        None,
        coordinates=coordinates,
        name=path.stem,
        units={"time": "h", "length": "km", "capacity": "vehicles/h", "coordinates": crs},
        source=path.name,
        licence=LICENCE,
    )


def _directed(graph: nx.Graph[Any]) -> nx.Graph[Any]:
    """A graph that OSMnx made undirected, with its streets as links again: one-way ones lead ``from`` ``to``."""
    if graph.is_directed():
        return graph
    directed: nx.MultiDiGraph[Any] = nx.MultiDiGraph(**graph.graph)
    directed.add_nodes_from(graph.nodes(data=True))
    for u, v, edge in graph.edges(data=True):
        backwards = str(edge.get("from", u)) == str(v)
        tail, head = (v, u) if backwards else (u, v)
        directed.add_edge(tail, head, **edge)
        if str(edge.get("oneway")).lower() != "true":
            directed.add_edge(head, tail, **edge)
    return directed


def _coordinates(graph: nx.Graph[Any], file: str) -> Floats:
    found = np.zeros((len(graph), 2))
    for v, (node, data) in enumerate(graph.nodes(data=True)):
        place = Place(file, f"node {node!r}")
        found[v] = [place.number(data.get(axis), axis) for axis in "xy"]
    return found


def _hours(place: Place, edge: dict[str, Any], km: float, speeds: Mapping[str, float]) -> float:
    if "travel_time" in edge:
        return place.number(edge["travel_time"], "travel_time", "non-negative") / 3600
    if "speed_kph" in edge:
        return km / place.number(edge["speed_kph"], "speed_kph", "positive")
    posted = [speed for text in _texts(edge.get("maxspeed")) if (speed := _posted(text)) > 0]
    return km / (float(np.mean(posted)) if posted else _by_type(edge, speeds, OTHER_SPEED))


def _capacity(edge: dict[str, Any], lane_capacity: Mapping[str, float]) -> float:
    numbers = [float(text) for text in _texts(edge.get("lanes")) if re.fullmatch(r"\d+(\.\d+)?", text)]
    lanes = min((n for n in numbers if n > 0), default=0.0)
    if lanes and str(edge.get("oneway")).lower() == "false":
        lanes /= 2
    return max(lanes, 1.0) * _by_type(edge, lane_capacity, OTHER_LANE_CAPACITY)


def _texts(value: Any) -> list[str]:
    """The values of an attribute: none, one, or those of a list spelt out."""
    if value is None:
        return []
    if str(value).startswith("["):
        try:
            return [str(item) for item in ast.literal_eval(str(value))]
        except (ValueError, SyntaxError):
            return []
    return [str(value)]


def _posted(text: str) -> float:
    """km/h of a ``maxspeed``; 0 for "none", "signals", "RO:urban" and whatever else is no number."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(mph|km/h|kph)?\s*", text)
    return 0.0 if match is None else float(match[1]) * (KPH_PER_MPH if match[2] == "mph" else 1.0)


def _by_type(edge: dict[str, Any], table: Mapping[str, float], other: float) -> float:
    kinds = _texts(edge.get("highway"))
    return table.get(kinds[0].removesuffix("_link"), other) if kinds else other
