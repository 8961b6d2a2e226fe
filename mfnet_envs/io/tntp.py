"""TNTP, the text format of the Transportation Networks for Research repository.

``NAME_net.tntp`` holds links, ``NAME_trips.tntp`` the trips between zones, ``NAME_node.tntp`` coordinates and
``NAME_flow.tntp`` a known solution. Zones are the first nodes. Units stand in the README of each network only, and so
do the weights of tolls and lengths in its generalised cost: tolls, speeds and link types are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.network_data import NetworkData, assembled
from mfnet_envs.io.reading import Place

Paths = str | os.PathLike[str]
LICENCE = "none stated; the files of github.com/bstabler/TransportationNetworks are for academic research only"
FIELDS = ["init_node", "term_node", "capacity", "length", "free_flow_time", "b", "power", "speed", "toll", "link_type"]
TOTAL_ERROR = 1e-6
PAIR = re.compile(r"(\S+?)\s*:\s*([^\s;:]+)\s*(?:;|$)\s*")


class Row(NamedTuple):
    """A line of a ``_net`` file: its end nodes, and time, capacity, b, power and length."""

    place: Place
    ends: tuple[int, int]
    values: tuple[float, float, float, float, float]


class Tntp(NamedTuple):
    """A file after its header: where it is, what the header says, and the lines with their places."""

    place: Place
    header: dict[str, tuple[str, Place]]
    body: list[tuple[Place, str]]

    def count(self, key: str) -> int:
        if key not in self.header:
            self.place.fail(f"the header has no <{key}> line before <END OF METADATA>")
        text, place = self.header[key]
        return place.whole(text, f"<{key}>")


def from_tntp(
    net: Paths,
    trips: Paths | None = None,
    node: Paths | None = None,
    *,
    name: str | None = None,
    units: Mapping[str, str] | None = None,
) -> NetworkData:
    """A network from its ``_net``, ``_trips`` and ``_node`` files.

    Args:
        trips, node: left out where there are no trips or coordinates.
        name: default: the file's name up to ``_net``.
        units: from the network's README, such as ``{"time": "0.01 h"}``.

    Node labels that are not 1..NUMBER OF NODES (Munich) are taken as they are, in ascending order.

    Raises:
        NetworkFileError: the first line that is not as the format has it.
    """
    file = read_header(net)
    rows = list(_links(file))
    declared = file.count("NUMBER OF LINKS")
    if len(rows) != declared:
        file.place.fail(f"the header announces {declared} links, the file holds {len(rows)}")
    ids = _node_ids(file, rows)
    place_of = {label: v for v, label in enumerate(ids)}
    first = file.count("FIRST THRU NODE") if "FIRST THRU NODE" in file.header else 0
    if ids and first > ids[-1]:
        file.header["FIRST THRU NODE"][1].fail(f"<FIRST THRU NODE> {first} lies beyond the last node {ids[-1]}")
    links = [(place_of[row.ends[0]], place_of[row.ends[1]], *row.values) for row in rows]
    return assembled(
        file.place,
        [str(label) for label in ids],
        links,
        None if trips is None else _demand(read_header(trips), place_of, file.count("NUMBER OF ZONES")),
        coordinates=None if node is None else _coordinates(node, place_of),
        name=name or re.sub("_net$", "", Path(net).stem),
        first_through=sum(label < first for label in ids),
        units=units or {},
        source=Path(net).name,
        licence=LICENCE,
    )


def read_flow(path: Paths, network: NetworkData) -> tuple[Floats, Floats]:
    """Flow and time ``(L,)`` of every link, from a ``_flow.tntp`` file.

    Parallel links are matched in the order of both files.

    Raises:
        NetworkFileError: a row for a link that does not exist, or a link without a row.
    """
    place = Place(str(path))
    ends = zip(network.tail.tolist(), network.head.tolist(), strict=True)
    waiting: dict[tuple[str, str], list[int]] = {}
    for link, (tail, head) in enumerate(ends):
        waiting.setdefault((network.nodes[tail], network.nodes[head]), []).append(link)
    found = np.full((2, network.num_links), np.nan)
    for here, line in _lines(path):
        fields = line.replace(":", " ").strip("; ").split()
        if not fields or fields[0].startswith(("~", "<")) or fields[0].lower() in ("from", "tail", "init_node"):
            continue
        if len(fields) != 4:
            here.fail(f"a row must hold From To Volume Cost, this one has {len(fields)} fields")
        links = waiting.get((fields[0], fields[1]))
        if not links:
            here.fail(f"the network has no link, or no further link, from {fields[0]!r} to {fields[1]!r}")
        found[:, links.pop(0)] = here.number(fields[2], "Volume", "non-negative"), here.number(fields[3], "Cost")
    if np.isnan(found).any():
        link = int(np.flatnonzero(np.isnan(found[0]))[0])
        tail, head = network.nodes[network.tail[link]], network.nodes[network.head[link]]
        place.fail(f"the link from {tail!r} to {head!r} has no row")
    return found[0], found[1]


# -- parts ------------------------------------------------------------------------------------------------------------


def _lines(path: Paths) -> Iterator[tuple[Place, str]]:
    with open(path, encoding="latin-1") as file:  # every byte has a meaning there, and the format is ASCII
        for number, line in enumerate(file, 1):
            yield Place(str(path)).line(number), line.removeprefix("ï»¿").strip()


def read_header(path: Paths) -> Tntp:
    """A file cut at ``<END OF METADATA>``; empty lines and comments (``~``) are left out of its body."""
    header: dict[str, tuple[str, Place]] = {}
    lines = _lines(path)
    for place, line in lines:
        key = re.match(r"<([^>]*)>(.*)", line)
        if key is None and line and not line.startswith("~"):
            place.fail(f"expected a header line such as <NUMBER OF NODES> 24, not {line[:40]!r}")
        if key and key[1].strip().upper() == "END OF METADATA":
            body = [(place, line) for place, line in lines if line and not line.startswith("~")]
            return Tntp(Place(str(path)), header, body)
        if key:
            header[key[1].strip().upper()] = key[2].strip(), place
    Place(str(path)).fail("the header has no <END OF METADATA> line")


def _links(file: Tntp) -> Iterator[Row]:
    for place, line in file.body:
        fields = line.split("~")[0].replace(";", " ").split()
        if len(fields) != len(FIELDS):
            place.fail(f"a link has ten fields ({' '.join(FIELDS)}), this line has {len(fields)}")
        ends = place.whole(fields[0], FIELDS[0]), place.whole(fields[1], FIELDS[1])
        if ends[0] == ends[1]:
            place.fail(f"the link leads from node {ends[0]} to itself; remove it")
        capacity = place.number(fields[2], "capacity", "positive")
        length, time, b, power = (
            place.number(text, name, "non-negative") for text, name in zip(fields[3:7], FIELDS[3:7], strict=True)
        )
        yield Row(place, ends, (time, capacity, b, power, length))


def _node_ids(file: Tntp, rows: list[Row]) -> list[int]:
    """1..NUMBER OF NODES, or the labels that the links use where most of these lie elsewhere."""
    declared = file.count("NUMBER OF NODES")
    used = sorted({end for row in rows for end in row.ends})
    beyond = [label for label in used if not 1 <= label <= declared]
    if 2 * len(beyond) <= len(used):
        for row in rows:
            for label in set(row.ends) & set(beyond):
                row.place.fail(f"node {label} lies outside 1..{declared}, the <NUMBER OF NODES>")
        return list(range(1, declared + 1))
    if len(used) > declared:
        file.place.fail(f"the header announces {declared} nodes, the links use {len(used)}")
    return used


def _demand(file: Tntp, place_of: dict[int, int], zones: int) -> Floats:
    """``(V, V)`` trips of a ``_trips`` file, those within a zone included."""
    if "NUMBER OF ZONES" in file.header and file.count("NUMBER OF ZONES") != zones:
        place = file.header["NUMBER OF ZONES"][1]
        place.fail(f"the trips are for {file.count('NUMBER OF ZONES')} zones, the network has {zones}")
    demand = np.zeros((len(place_of), len(place_of)))
    origin: int | None = None
    for place, line in file.body:
        if start := re.match(r"(?i)origin\s+(\S+)\s*(.*)", line):
            origin, line = _zone(place, start[1], place_of), start[2]
        end = 0
        for pair in PAIR.finditer(line):
            if pair.start() != end:
                break
            if origin is None:
                place.fail("trips stand before the first 'Origin' line")
            flow = place.number(pair[2], "a flow", "non-negative")
            demand[origin, _zone(place, pair[1], place_of)] += flow
            end = pair.end()
        if line[end:]:
            place.fail(f"expected pairs 'destination : flow;', not {line[end : end + 40]!r}")
    _check_total(file, demand)
    return demand


def _zone(place: Place, text: str, place_of: dict[int, int]) -> int:
    label = place.whole(text, "a zone")
    if label not in place_of:
        place.fail(f"zone {label} is not a node of the network")
    return place_of[label]


def _check_total(file: Tntp, demand: Floats) -> None:
    """The trips must add up to the header's total, to 1e-6 of it and half a unit of its last printed digit."""
    if "TOTAL OD FLOW" not in file.header:
        return
    text, place = file.header["TOTAL OD FLOW"]
    announced = place.number(text, "<TOTAL OD FLOW>", "non-negative")
    mantissa, _, exponent = text.lower().partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    total = float(demand.sum())
    if abs(total - announced) > TOTAL_ERROR * announced + last_digit / 2:
        place.fail(f"the header announces {announced:,.9g} trips, the file holds {total:,.9g}; correct one of them")


def _coordinates(path: Paths, place_of: dict[int, int]) -> Floats:
    """``(V, 2)`` from a ``_node`` file: rows ``Node X Y ;`` under a line of names."""
    found = np.full((len(place_of), 2), np.nan)
    for place, line in _lines(path):
        fields = line.replace(";", " ").replace(",", " ").split()
        if not fields or fields[0].startswith(("~", "<")) or fields[0].lower() in ("node", "node_id", "id"):
            continue
        if len(fields) < 3:
            place.fail(f"a row must hold Node X Y, this one has {len(fields)} fields")
        label = place.whole(fields[0], "Node")
        if label not in place_of:
            place.fail(f"node {label} is not a node of the network")
        found[place_of[label]] = place.number(fields[1], "X"), place.number(fields[2], "Y")
    missing = [label for label, v in place_of.items() if np.isnan(found[v, 0])]
    if missing:
        Place(str(path)).fail(f"node {missing[0]} has no coordinates")
    return found
