"""The Internet Topology Zoo, GML or GraphML. Cite Knight, Nguyen, Falkner, Bowden, Roughan, IEEE JSAC 29 (2011)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.assembling import assembled
from mfnet_envs.io.files import reading, text_of
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.networkx import links_of
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.osmnx_graphml import read_graphml
from mfnet_envs.io.reading import BPR_B, BPR_POWER, DECIMAL, FIBRE_KM_PER_MS, Place, distances, geographical
from mfnet_envs.words import brief, positive, shown

LICENCE = "Internet Topology Zoo: cite Knight et al. (2011)"
USUAL_SPEED = 1e9  # bit/s, where no link states its speed
GML_WORD = re.compile(r'"[^"]*"|#.*$|[^\s\[\]"#]+', re.MULTILINE)  # a string, a comment, or any other word


def from_topology_zoo(path: str | os.PathLike[str], *, capacity: float | None = None) -> NetworkData:
    """A backbone without trips; every edge runs both ways, times in ms of light in fibre, capacities in bit/s.

    Args:
        path: ``.gml`` or ``.graphml``.
        capacity: of links without ``LinkSpeedRaw``; None: the median of the others, or 1e9 bit/s where there are none.

    Parallel edges stay, loops are left out. A link between nodes without Longitude and Latitude gets the median length
    of the others (1 km where there are none), and the network then has no coordinates. Nodes are labelled by ``label``,
    by ``id`` where two share one. Many of these networks are in several pieces: see ``NetworkData.trimmed``.

    Raises:
        ValueError: a capacity that is not positive. NetworkFileError: no such format, or a number that is none.
    """
    if capacity is not None:
        positive(capacity=capacity)
    with reading(path, "Topology Zoo graph"):
        notes = Notes()
        graph = read_gml(path, notes) if Path(path).suffix.lower() == ".gml" else read_graphml(path)
        return from_graph(graph, Path(path), capacity, notes)


def read_gml(path: str | os.PathLike[str], notes: Notes) -> nx.Graph[Any]:
    """The graph in a GML file, parallel edges kept even where the file does not announce them.

    Raises:
        NetworkFileError: it is no GML.
    """
    with reading(path, "GML") as place:
        text = text_of(place, notes)
        text = GML_WORD.sub(lambda word: _number_spelt_out(place, word[0]), text)
        if "multigraph" not in text.split("node", 1)[0]:
            text = text.replace("[", "[ multigraph 1 ", 1)
        try:
            graph: nx.Graph[Any] = nx.parse_gml(text, label="id")
        except Exception as error:  # networkx raises many kinds
            place.fail(f"this is no GML ({brief(error)})")
    return graph


def _number_spelt_out(place: Place, word: str) -> str:
    """A number with the point that GML's grammar asks for: networkx reads 1e-06 as 1, then something named e.

    Raises:
        NetworkFileError: a word that begins as a number does, and is none.
    """
    if word[0] not in "+-.0123456789" or word.lstrip("+-") in ("INF", "NAN"):
        return word
    if not DECIMAL.fullmatch(word):
        place.fail(f"this is no GML ({shown(word)} is no number)")
    return re.sub("^([+-]?[0-9]+)(?=[eE])", r"\1.0", word)


def from_graph(graph: nx.Graph[Any], path: Path, capacity: float | None, notes: Notes) -> NetworkData:
    file = str(path)
    where = np.array([_position(Place(file, f"node {shown(node)}"), data) for node, data in graph.nodes(data=True)])
    rows = links_of(file, graph, lambda place, edge: (_speed(place, edge),), notes, loops=False)
    if not rows:
        Place(file).fail("there are no links")
    tail, head, speed = (np.array(column) for column in zip(*rows, strict=True))
    km = _filled(distances(where, tail, head, on_earth=True), 1.0, "km of length", "coordinates", notes)
    if capacity is None:
        size = _filled(speed, USUAL_SPEED, "bit/s", "LinkSpeedRaw", notes)
    else:
        size = np.where(np.isnan(speed), capacity, speed)
    links = [
        (*ends, length / FIBRE_KM_PER_MS, bits, BPR_B, BPR_POWER, length)
        for *ends, length, bits in zip(tail, head, km, size, strict=True)
    ]
    names = [str(data.get("label") or node) for node, data in graph.nodes(data=True)]
    return assembled(
        Place(file),
        notes,
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
    where = place.number(data["Longitude"], "Longitude"), place.number(data["Latitude"], "Latitude")
    if not geographical(np.array([where])):
        place.fail(f"Longitude and Latitude must lie within 180 and 90 degrees, not {where}")
    return where


def _speed(place: Place, edge: dict[str, Any]) -> float:
    return place.number(edge["LinkSpeedRaw"], "LinkSpeedRaw", "positive") if "LinkSpeedRaw" in edge else np.nan


def _filled(values: Floats, otherwise: float, unit: str, source: str, notes: Notes) -> Floats:
    """Gaps (NaN) filled with the median of the rest, or with ``otherwise``."""
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    filling = otherwise if gaps.all() else float(np.median(values[~gaps]))
    rule = "a usual value" if gaps.all() else "the median of the others"
    notes.say(f"{gaps.sum():,} of {len(values):,} links are without {source}: {filling:.6g} {unit} is taken, {rule}")
    return np.where(gaps, filling, values)
