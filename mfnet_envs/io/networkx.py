"""Networks from networkx graphs, and what the readers of graph files share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Floats
from mfnet_envs.io.assembling import Tolls, assembled, check_weights, checked_units
from mfnet_envs.io.files import demand_table
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import BPR_B, BPR_POWER, Place
from mfnet_envs.words import shown

Attribute = str | float
Trips = ArrayLike | Mapping[Any, Any]


def from_networkx(
    graph: nx.Graph[Any],
    *,
    free_flow_time: Attribute = "free_flow_time",
    capacity: Attribute = "capacity",
    b: Attribute = BPR_B,
    power: Attribute = BPR_POWER,
    length: Attribute = 0.0,
    toll: Attribute = 0.0,
    demand: Trips | None = None,
    coordinates: str | None = None,
    toll_weight: float | None = None,
    length_weight: float | None = None,
    name: str | None = None,
    units: Mapping[str, str] | None = None,
    source: str = "",
    licence: str = "",
) -> NetworkData:
    """A network from a graph, nodes in the graph's order and labelled ``str(node)``.

    Args:
        graph: directed or not, with or without parallel edges; an undirected edge becomes two links.
        free_flow_time, capacity, b, power, length, toll: the name of an edge attribute, or one number for all.
        demand: ``(V, V)`` in the graph's own order of nodes, or trips by nodes as ``{u: {v: trips}}`` or
            ``{(u, v): trips}``.
        coordinates: the node attribute that holds (x, y).
        toll_weight, length_weight: time per unit of money and of length in what travellers choose by.

    Raises:
        TypeError: no graph. NetworkFileError: an attribute is missing or not a number, an unknown node, a loop.

    >>> import networkx as nx
    >>> from_networkx(nx.path_graph(3), free_flow_time=1.0, capacity=10.0, demand={0: {2: 5}})
    <NetworkData graph: 3 nodes, 4 links, 5 trips>
    """
    if not isinstance(graph, nx.Graph):
        raise TypeError(f"from_networkx takes a networkx graph, not {shown(graph)}")
    check_weights(toll_weight, length_weight)
    title = str(name or "") or str(graph.graph.get("name") or "graph")
    notes = Notes()
    tolls = Tolls(notes, toll_weight, length_weight)

    def law(place: Place, edge: dict[str, Any]) -> tuple[float, ...]:
        for _ in range(1 if graph.is_directed() else 2):  # an undirected edge becomes two links
            tolls.add(place, _value(place, edge, "toll", toll))
        return (
            _value(place, edge, "free_flow_time", free_flow_time),
            _value(place, edge, "capacity", capacity, "positive"),
            _value(place, edge, "b", b),
            _value(place, edge, "power", power),
            _value(place, edge, "length", length),
        )

    links = links_of(title, graph, law, notes)
    return assembled(
        Place(title),
        notes,
        [str(node) for node in graph],
        links,
        trips_between(Place(title), list(graph), demand),
        coordinates=None if coordinates is None else _positions(title, graph, coordinates),
        name=title,
        units=checked_units(units or {}),
        source=source,
        licence=licence,
        **tolls.fields(),
    )


def links_of(
    file: str,
    graph: nx.Graph[Any],
    law: Callable[[Place, dict[str, Any]], tuple[float, ...]],
    notes: Notes,
    loops: bool = True,
) -> list[tuple[Any, ...]]:
    """Rows of ``NetworkData.PER_LINK``: tail, head and what ``law`` makes of the edge's attributes.

    Args:
        loops: whether an edge from a node to itself is an error; else it is left out.
    """
    place_of = {node: v for v, node in enumerate(graph)}
    links: list[tuple[Any, ...]] = []
    for tail, head, edge in graph.edges(data=True):
        place = Place(file, f"edge {shown(tail)} to {shown(head)}")
        if tail == head:
            if loops:
                place.fail("the link leads from a node to itself; remove it")
            notes.count("links from a node to itself ({where}) are left out", place)
            continue
        ends, values = (place_of[tail], place_of[head]), law(place, edge)
        links.append((*ends, *values))
        if not graph.is_directed():
            links.append((*reversed(ends), *values))
    return links


def trips_between(place: Place, nodes: list[Hashable], demand: Trips | None) -> Floats | None:
    """``(V, V)`` trips from a table, a mapping of mappings, or a mapping of pairs."""
    if demand is None:
        return None
    if not isinstance(demand, Mapping):
        return _table(place, demand)
    place_of = {node: v for v, node in enumerate(nodes)}
    table = demand_table(place, len(nodes))
    for origin, destination, trips in _pairs(place, demand):
        for node in (origin, destination):
            if node not in place_of:
                place.fail(f"the trips name node {node!r}, which the graph does not have")
        pair = place_of[origin], place_of[destination]
        table[pair] += place.number(trips, f"trips from {origin!r} to {destination!r}", "non-negative")
    return table


def _table(place: Place, demand: ArrayLike) -> Floats:
    try:
        return np.array(demand, float)
    except (TypeError, ValueError):
        place.fail(f"demand must be a (V, V) table of numbers or a mapping by nodes, not {shown(demand)}")


def _pairs(place: Place, demand: Mapping[Any, Any]) -> Iterator[tuple[Hashable, Hashable, Any]]:
    """Origin, destination and trips, from either form of mapping."""
    for key, value in demand.items():
        if isinstance(value, Mapping):
            yield from ((key, destination, trips) for destination, trips in value.items())
        elif isinstance(key, tuple) and len(key) == 2:
            yield *key, value
        else:
            place.fail(f"trips must be given as {{u: {{v: trips}}}} or {{(u, v): trips}}, not {shown({key: value})}")


def _value(place: Place, edge: dict[str, Any], field: str, attribute: Attribute, kind: str = "non-negative") -> float:
    if not isinstance(attribute, str):
        return place.number(attribute, field, kind)
    if attribute not in edge:
        place.fail(f"the edge has no attribute {attribute!r}; add it, or pass {field}= another attribute or a number")
    return place.number(edge[attribute], attribute, kind)


def _positions(title: str, graph: nx.Graph[Any], attribute: str) -> Floats:
    found = np.zeros((len(graph), 2))
    for v, (node, data) in enumerate(graph.nodes(data=True)):
        place = Place(title, f"node {shown(node)}")
        if attribute not in data:
            place.fail(f"it has no attribute {attribute!r}")
        try:
            x, y = data[attribute]
        except (TypeError, ValueError):
            place.fail(f"{attribute} must be a pair (x, y), not {shown(data[attribute])}")
        found[v] = place.number(x, "x"), place.number(y, "y")
    return found
