"""Networks from networkx graphs, and what the readers of graph files share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats
from mfnet_envs.io.network_data import NetworkData, assembled
from mfnet_envs.io.reading import BPR_B, BPR_POWER, Place

Attribute = str | float


def from_networkx(
    graph: nx.Graph[Any],
    *,
    free_flow_time: Attribute = "free_flow_time",
    capacity: Attribute = "capacity",
    b: Attribute = BPR_B,
    power: Attribute = BPR_POWER,
    length: Attribute = 0.0,
    demand: NDArray[Any] | Mapping[Any, Mapping[Any, float]] | None = None,
    coordinates: str | None = None,
    name: str | None = None,
    units: Mapping[str, str] | None = None,
    source: str = "",
    licence: str = "",
) -> NetworkData:
    """A network from a graph, nodes in the graph's order and labelled ``str(node)``.

    Args:
        graph: directed or not, with or without parallel edges; an undirected edge becomes two links.
        free_flow_time, capacity, b, power, length: the name of an edge attribute, or one number for all.
        demand: ``(V, V)``, or trips by origin and destination as ``{u: {v: trips}}``.
        coordinates: the node attribute that holds (x, y).

    Raises:
        NetworkFileError: an attribute is missing or not a number, an unknown node, a loop.

    >>> import networkx as nx
    >>> from_networkx(nx.path_graph(3), free_flow_time=1.0, capacity=10.0, demand={0: {2: 5}})
    <NetworkData graph: 3 nodes, 4 links, 5 trips>
    """
    title = name or str(graph.graph.get("name") or "graph")

    def law(place: Place, edge: dict[str, Any]) -> tuple[float, ...]:
        return (
            _value(place, edge, "free_flow_time", free_flow_time),
            _value(place, edge, "capacity", capacity, "positive"),
            _value(place, edge, "b", b),
            _value(place, edge, "power", power),
            _value(place, edge, "length", length),
        )

    return assembled(
        Place(title),
        [str(node) for node in graph],
        links_of(title, graph, law),
        trips_between(Place(title), list(graph), demand),
        coordinates=None if coordinates is None else _positions(title, graph, coordinates),
        name=title,
        units=units or {},
        source=source,
        licence=licence,
    )


def links_of(
    file: str, graph: nx.Graph[Any], law: Callable[[Place, dict[str, Any]], tuple[float, ...]], loops: bool = True
) -> list[tuple[Any, ...]]:
    """Rows of ``NetworkData.PER_LINK``: tail, head and what ``law`` makes of the edge's attributes.

    Args:
        loops: whether an edge from a node to itself is an error; else it is left out.
    """
    place_of = {node: v for v, node in enumerate(graph)}
    links: list[tuple[Any, ...]] = []
    for tail, head, edge in graph.edges(data=True):
        place = Place(file, f"edge {tail!r} to {head!r}")
        if tail == head:
            if loops:
                place.fail("the link leads from a node to itself; remove it")
            continue
        ends, values = (place_of[tail], place_of[head]), law(place, edge)
        links.append((*ends, *values))
        if not graph.is_directed():
            links.append((*reversed(ends), *values))
    return links


def trips_between(
    place: Place, nodes: list[Hashable], demand: NDArray[Any] | Mapping[Any, Mapping[Any, float]] | None
) -> Floats | None:
    """``(V, V)`` trips from a table or a mapping of mappings."""
    if demand is None or not isinstance(demand, Mapping):
        return None if demand is None else np.array(demand, float)
    place_of = {node: v for v, node in enumerate(nodes)}
    table = np.zeros((len(nodes), len(nodes)))
    for origin, row in demand.items():
        for destination, trips in row.items():
            for node in (origin, destination):
                if node not in place_of:
                    place.fail(f"the trips name node {node!r}, which the graph does not have")
            pair = place_of[origin], place_of[destination]
            table[pair] += place.number(trips, f"trips from {origin!r} to {destination!r}", "non-negative")
    return table


def _value(place: Place, edge: dict[str, Any], field: str, attribute: Attribute, kind: str = "non-negative") -> float:
    if not isinstance(attribute, str):
        return place.number(attribute, field, kind)
    if attribute not in edge:
        place.fail(f"the edge has no attribute {attribute!r}; add it, or pass {field}= another attribute or a number")
    return place.number(edge[attribute], attribute, kind)


def _positions(title: str, graph: nx.Graph[Any], attribute: str) -> Floats:
    found = np.zeros((len(graph), 2))
    for v, (node, data) in enumerate(graph.nodes(data=True)):
        place = Place(title, f"node {node!r}")
        if attribute not in data:
            place.fail(f"it has no attribute {attribute!r}")
        x, y = data[attribute]
        found[v] = place.number(x, "x"), place.number(y, "y")
    return found
