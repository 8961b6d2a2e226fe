"""The Internet Topology Zoo, GML or GraphML. Cite Knight, Nguyen, Falkner, Bowden, Roughan, IEEE JSAC 29 (2011)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.network_data import NetworkData, assembled
from mfnet_envs.io.networkx import links_of
from mfnet_envs.io.osmnx_graphml import read_graphml
from mfnet_envs.io.reading import BPR_B, BPR_POWER, FIBRE_KM_PER_MS, Place, distances

LICENCE = "Internet Topology Zoo: cite Knight et al. (2011)"
USUAL_SPEED = 1e9  # bit/s, where no link states its speed


def from_topology_zoo(path: str | os.PathLike[str], *, capacity: float | None = None) -> NetworkData:
    """A backbone without trips; every edge runs both ways, times in ms of light in fibre, capacities in bit/s.

    Args:
        path: ``.gml`` or ``.graphml``.
        capacity: of links without ``LinkSpeedRaw``; None: the median of the others, or 1e9 bit/s where there are none.

    Parallel edges stay, loops are left out. A link between nodes without Longitude and Latitude gets the median length
    of the others (1 km where there are none), and the network then has no coordinates. Nodes are labelled by ``label``,
    by ``id`` where two share one. Many of these networks are in several pieces: see ``NetworkData.trimmed``.

    Raises:
        NetworkFileError: no such format, or a number that is none.
    """
    return from_graph(read_gml(path) if Path(path).suffix == ".gml" else read_graphml(path), Path(path), capacity)


def read_gml(path: str | os.PathLike[str]) -> nx.Graph[Any]:
    """The graph in a GML file, parallel edges kept even where the file does not announce them.

    Raises:
        NetworkFileError: it is no GML.
    """
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if "multigraph" not in text.split("node", 1)[0]:
        text = text.replace("[", "[\n  multigraph 1", 1)
    try:
        graph: nx.Graph[Any] = nx.parse_gml(text, label="id")
    except Exception as error:  # networkx raises many kinds
        Place(str(path)).fail(f"this is no GML ({error})")
    return graph


def from_graph(graph: nx.Graph[Any], path: Path, capacity: float | None) -> NetworkData:
    file = str(path)
    where = np.array([_position(Place(file, f"node {node!r}"), data) for node, data in graph.nodes(data=True)])
    rows = links_of(file, graph, lambda place, edge: (_speed(place, edge),), loops=False)
    if not rows:
        Place(file).fail("there are no links")
    tail, head, speed = (np.array(column) for column in zip(*rows, strict=True))
    km = _filled(distances(where, tail, head, on_earth=True), 1.0)
    size = _filled(speed, USUAL_SPEED) if capacity is None else np.where(np.isnan(speed), capacity, speed)
    links = [
        (*ends, length / FIBRE_KM_PER_MS, bits, BPR_B, BPR_POWER, length)
        for *ends, length, bits in zip(tail, head, km, size, strict=True)
    ]
    names = [str(data.get("label") or node) for node, data in graph.nodes(data=True)]
    return assembled(
        Place(file),
        names if len(set(names)) == len(names) else [str(node) for node in graph],
        links,
        None,
        coordinates=None if np.isnan(where).any() else where,
        name=path.stem,
        units={"time": "ms", "length": "km", "capacity": "bit/s", "coordinates": "lon/lat"},
        source=path.name,
        licence=LICENCE,
    )


def _position(place: Place, data: dict[str, Any]) -> tuple[float, float]:
    if "Longitude" not in data or "Latitude" not in data:
        return np.nan, np.nan
    return place.number(data["Longitude"], "Longitude"), place.number(data["Latitude"], "Latitude")


def _speed(place: Place, edge: dict[str, Any]) -> float:
    return place.number(edge["LinkSpeedRaw"], "LinkSpeedRaw", "positive") if "LinkSpeedRaw" in edge else np.nan


def _filled(values: Floats, otherwise: float) -> Floats:
    """Gaps (NaN) filled with the median of the rest, or with ``otherwise``."""
    gaps = np.isnan(values)
    return np.where(gaps, otherwise if gaps.all() else np.median(values[~gaps]), values)
