"""TNTP, the text format of the Transportation Networks for Research repository.

``NAME_net.tntp`` holds links, ``NAME_trips.tntp`` the trips between zones, ``NAME_node.tntp`` coordinates and
``NAME_flow.tntp`` a known solution. Zones are the first nodes. Units and the weights of tolls and lengths in the
generalised cost stand in the README.md of each network only, and are read from there. Speeds and types are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.assembling import Tolls, assembled, check_weights, checked_units
from mfnet_envs.io.files import demand_table, reading
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import Place
from mfnet_envs.io.tntp_readme import readme_beside
from mfnet_envs.io.units import METRES, check_lengths, detour
from mfnet_envs.words import shown

Paths = str | os.PathLike[str]
LICENCE = "none stated; the files of github.com/bstabler/TransportationNetworks are for academic research only"
FIELDS = ["init_node", "term_node", "capacity", "length", "free_flow_time", "b", "power", "speed", "toll", "link_type"]
TOTAL_ERROR = 1e-6
PAIR = re.compile(r"([^\s:]{1,40})\s*:\s*([^\s;:]+)\s*(?:;|$)\s*")
ORDER = ("capacity", "length", "free", "power", "toll")  # words of the line of column names, in the format's order
UNUSED_NODES = 10_000  # a header may announce ten times the nodes that have links, and so many more
WEIGHTS = {"toll": "TOLL FACTOR", "distance": "DISTANCE FACTOR"}  # in README.md, and in a header


HEADERS = {"NUMBER OF ZONES", "NUMBER OF NODES", "NUMBER OF LINKS", "FIRST THRU NODE", "ORIGINAL HEADER"}
HEADERS |= {"TOTAL OD FLOW", *WEIGHTS.values()}


class Row(NamedTuple):
    """A line of a ``_net`` file: its end nodes; time, capacity, b, power and length; toll; what is not read."""

    place: Place
    ends: tuple[int, int]
    values: tuple[float, float, float, float, float]
    toll: float
    unread: list[str]


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

    def note_unknown(self, notes: Notes) -> None:
        for key in self.header.keys() - HEADERS:
            notes.count(
                f"<{key[:40]}> in the header ({{where}}) is not known and not used", self.header[key][1], loud=True
            )


def from_tntp(
    net: Paths,
    trips: Paths | None = None,
    node: Paths | None = None,
    *,
    name: str | None = None,
    units: Mapping[str, str] | None = None,
    toll_weight: float | None = None,
    length_weight: float | None = None,
) -> NetworkData:
    """A network from its ``_net``, ``_trips`` and ``_node`` files.

    Args:
        trips, node: left out where there are no trips or coordinates.
        name: default: the file's name up to ``_net``.
        units: such as ``{"time": "0.01 h"}``, before those in the README.md beside the net file.
        toll_weight, length_weight: time per unit of money and of length in what travellers choose by; None: the
            header's ``<TOLL FACTOR>`` and ``<DISTANCE FACTOR>``, else what README.md beside the net file states under
            "Generalized Cost Weights", else 0.

    Node labels that are not 1..NUMBER OF NODES (Munich) are taken as they are, in ascending order. Rows may lack the
    last field, link_type, if all do.

    Raises:
        ValueError: a negative weight. NetworkFileError: the first line that is not as the format has it.
    """
    check_weights(toll_weight, length_weight)
    stated = checked_units(units or {})
    with reading(net, "TNTP network"):
        return _network(read_header(net), trips, node, name, stated, (toll_weight, length_weight))


def _network(
    file: Tntp,
    trips: Paths | None,
    node: Paths | None,
    name: str | None,
    units: dict[str, str],
    given: tuple[float | None, float | None],
) -> NetworkData:
    notes, path = Notes(), Path(file.place.file)
    file.note_unknown(notes)
    rows = list(_links(file))
    declared = file.count("NUMBER OF LINKS")
    if len(rows) != declared:
        file.place.fail(f"the header announces {declared} links, the file holds {len(rows)}")
    ids = _node_ids(file, rows, notes)
    place_of = {label: v for v, label in enumerate(ids)}
    first = file.count("FIRST THRU NODE") if "FIRST THRU NODE" in file.header else 0
    if "FIRST THRU NODE" not in file.header:
        notes.say("<FIRST THRU NODE> is not stated: every node may be passed through")
    if ids and first > ids[-1]:
        file.header["FIRST THRU NODE"][1].fail(f"<FIRST THRU NODE> {first} lies beyond the last node {ids[-1]}")
    readme = readme_beside(path, notes)
    weights = [_weight(file, kind, value, readme.weights, notes) for kind, value in zip(WEIGHTS, given, strict=True)]
    tolls = Tolls(notes, *weights)
    for row in rows:
        tolls.add(row.place, row.toll)
    _note_unread(rows, notes)
    links = [(place_of[row.ends[0]], place_of[row.ends[1]], *row.values) for row in rows]
    coordinates = None if node is None else _coordinates(node, place_of)
    units = readme.units | units
    _check_length_unit(units, links, coordinates, notes)
    return assembled(
        file.place,
        notes,
        [str(label) for label in ids],
        links,
        None if trips is None else _demand(trips, place_of, file.count("NUMBER OF ZONES"), notes),
        coordinates=coordinates,
        name=name or re.sub("(?i)_net$", "", path.stem),
        first_through=sum(label < first for label in ids),
        units=units,
        source=path.name,
        licence=LICENCE,
        **tolls.fields(),
    )


def read_flow(path: Paths, network: NetworkData) -> tuple[Floats, Floats]:
    """Flow and time ``(L,)`` of every link, from a ``_flow.tntp`` file.

    Parallel links are matched in the order of both files.

    Raises:
        NetworkFileError: a row for a link that does not exist, or a link without a row.
    """
    with reading(path, "TNTP flow file") as place:
        return _flows(place, network)


def _flows(place: Place, network: NetworkData) -> tuple[Floats, Floats]:
    ends = zip(network.tail.tolist(), network.head.tolist(), strict=True)
    waiting: dict[tuple[str, str], list[int]] = {}
    for link, (tail, head) in enumerate(ends):
        waiting.setdefault((network.nodes[tail], network.nodes[head]), []).append(link)
    found = np.full((2, network.num_links), np.nan)
    for here, line in _lines(place.file):
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
        if line.startswith(("~", "<ORIGINAL")):
            _check_order(place, line)
        key = re.match(r"<([^>]*)>(.*)", line)
        if key is None and line and not line.startswith("~"):
            place.fail(f"expected a header line such as <NUMBER OF NODES> 24, not {line[:40]!r}")
        if key and key[1].strip().upper() == "END OF METADATA":
            body = []
            for here, text in lines:
                if text.startswith("~"):
                    _check_order(here, text)
                elif text:
                    body.append((here, text))
            return Tntp(Place(str(path)), header, body)
        if key and key[1].strip().upper() in header:
            place.fail(f"the header has a second <{key[1].strip()}> line; keep one")
        if key:
            header[key[1].strip().upper()] = key[2].strip(), place
    Place(str(path)).fail("the header has no <END OF METADATA> line")


def _check_order(place: Place, line: str) -> None:
    """Fields are read by their order: a line of names in another order must not pass."""
    at = [line.lower().find(word) for word in ORDER]
    if min(at) >= 0 and at != sorted(at):
        place.fail(f"the columns stand in another order than the format's: {' '.join(FIELDS)}; sort them")


def _links(file: Tntp) -> Iterator[Row]:
    width = 0
    for place, line in file.body:
        fields = line.split("~")[0].replace(";", " ").split()
        width = width or (len(FIELDS) - 1 if len(fields) == len(FIELDS) - 1 else len(FIELDS))
        if len(fields) != width:
            place.fail(f"a link has ten fields ({' '.join(FIELDS)}), this line has {len(fields)}")
        ends = place.whole(fields[0], FIELDS[0]), place.whole(fields[1], FIELDS[1])
        if ends[0] == ends[1]:
            place.fail(f"the link leads from node {ends[0]} to itself; remove it")
        capacity = place.number(fields[2], "capacity", "positive")
        length, time, b, power = (
            place.number(text, name, "non-negative") for text, name in zip(fields[3:7], FIELDS[3:7], strict=True)
        )
        toll = place.number(fields[8], "toll", "non-negative")
        yield Row(place, ends, (time, capacity, b, power, length), toll, [fields[7], *fields[9:]])


def _note_unread(rows: list[Row], notes: Notes) -> None:
    for row in rows:
        for name, text in zip(("speed", "link_type"), row.unread, strict=False):
            if text.strip("0."):
                notes.count(f"{name} ({{where}}) is not read: the time is free_flow_time", row.place, text)
        if len(row.unread) == 1:
            notes.count("rows have nine fields ({where}), read as without link_type", row.place)


def _weight(
    file: Tntp, kind: str, given: float | None, readme: Mapping[str, tuple[float, Place]], notes: Notes
) -> float | None:
    """The weight of "toll" or "distance" as given, else from the header, else from README.md; None: nobody says."""
    stated = [readme[kind]] if kind in readme else []
    if WEIGHTS[kind] in file.header:
        text, place = file.header[WEIGHTS[kind]]
        stated.insert(0, (place.number(text, f"<{WEIGHTS[kind]}>", "non-negative"), place))
    if given is not None or not stated:
        return given
    value, place = stated[0]
    if any(other != value for other, _ in stated):
        notes.say(f"the header's <{WEIGHTS[kind]}> {value:g} is used, not README.md's {stated[1][0]:g}", loud=True)
    if value:
        notes.count(f"travellers weigh {kind} by {value:g} ({{where}})", place)
    return value


def _check_length_unit(
    units: dict[str, str], links: Sequence[tuple[float, ...]], coordinates: Floats | None, notes: Notes
) -> None:
    """Hold the unit of length against longitude and latitude; where none is stated, fill in the one that fits."""
    table = np.array(links).reshape(-1, len(NetworkData.PER_LINK))
    found = detour(coordinates, table[:, 0].astype(int), table[:, 1].astype(int), table[:, -1])
    if found is None or not found.on_earth:
        return
    if "length" not in units and (unit := found.unit()):
        units["length"] = f"assumed: {unit}"
    elif units.get("length", "").lower() in METRES:
        check_lengths(notes, units["length"].lower(), found)


def _node_ids(file: Tntp, rows: list[Row], notes: Notes) -> list[int]:
    """1..NUMBER OF NODES, or the labels that the links use where most of these lie elsewhere."""
    place = file.header["NUMBER OF NODES"][1] if "NUMBER OF NODES" in file.header else file.place
    declared, zones = file.count("NUMBER OF NODES"), file.count("NUMBER OF ZONES")
    if zones > declared:
        file.header["NUMBER OF ZONES"][1].fail(f"the header announces {zones} zones among {declared} nodes; correct it")
    used = sorted({end for row in rows for end in row.ends})
    beyond = {label for label in used if not 1 <= label <= declared}
    if 2 * len(beyond) <= len(used):
        for row in rows:
            for label in beyond.intersection(row.ends):
                row.place.fail(f"node {label} lies outside 1..{declared}, the <NUMBER OF NODES>")
        if declared > 10 * len(used) + UNUSED_NODES:
            place.fail(f"the header announces {declared:,} nodes, the links use {len(used):,}; correct the header")
        if declared > len(used):
            notes.say(f"{declared - len(used):,} of {declared:,} nodes have no link")
        return list(range(1, declared + 1))
    if len(used) > declared:
        file.place.fail(f"the header announces {declared} nodes, the links use {len(used)}")
    return used


def _demand(path: Paths, place_of: dict[int, int], zones: int, notes: Notes) -> Floats:
    """``(V, V)`` trips of a ``_trips`` file, those within a zone included."""
    with reading(path, "TNTP trips file") as whole:
        file, demand = read_header(path), demand_table(whole, len(place_of))
        file.note_unknown(notes)
        if "NUMBER OF ZONES" in file.header and file.count("NUMBER OF ZONES") != zones:
            place = file.header["NUMBER OF ZONES"][1]
            place.fail(f"the trips are for {file.count('NUMBER OF ZONES')} zones, the network has {zones}")
        rows = list(_trips(file, place_of))
        table = np.array([row[1:] for row in rows], float).reshape(-1, 3)
        (origin, destination), flow = table[:, :2].T.astype(int), table[:, 2]
        np.add.at(demand, (origin, destination), flow)
        used = np.flatnonzero(flow)
        pairs = origin[used] * len(place_of) + destination[used]
        for again in np.delete(used, np.unique(pairs, return_index=True)[1]):
            notes.count("a pair of zones is given again ({where}); its trips are added up", rows[again][0], loud=True)
        if place_of.get(1) == 0:  # labels are 1, 2, ...
            for beyond in used[np.maximum(origin, destination)[used] >= zones]:
                notes.count("trips begin or end beyond the <NUMBER OF ZONES> ({where})", rows[beyond][0], loud=True)
        _check_total(file, demand)
    return demand


def _trips(file: Tntp, place_of: dict[int, int]) -> Iterator[tuple[Place, int, int, float]]:
    """Place, origin, destination and trips of every pair."""
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
            yield place, origin, _zone(place, pair[1], place_of), flow
            end = pair.end()
        if line[end:]:
            place.fail(f"expected pairs 'destination : flow;', not {shown(line[end : end + 40])}")


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
    last_digit = float(f"1e{int(exponent or 0) - len(mantissa.partition('.')[2])}")
    total = float(demand.sum())
    if abs(total - announced) > TOTAL_ERROR * announced + last_digit / 2:
        place.fail(f"the header announces {announced:,.9g} trips, the file holds {total:,.9g}; correct one of them")


def _coordinates(path: Paths, place_of: dict[int, int]) -> Floats:
    """``(V, 2)`` from a ``_node`` file: rows ``Node X Y ;`` under a line of names."""
    found = np.full((len(place_of), 2), np.nan)
    names = ["node", "x", "y"]
    with reading(path, "TNTP node file") as whole:
        for place, line in _lines(path):
            fields = _node_fields(line)
            if not fields or fields[0].startswith(("~", "<")):
                continue
            if fields[0].lower() in ("node", "node_id", "id"):
                names = [field.lower() for field in fields]
                continue
            if len(fields) != len(names):
                what = "Node X Y" if len(names) == 3 else " ".join(names)
                hint = "; write decimals with a point" if len(fields) > len(names) and "," in line else ""
                place.fail(f"a row must hold {what}, this one has {len(fields)} fields{hint}")
            label = place.whole(fields[0], "Node")
            if label not in place_of:
                place.fail(f"node {label} is not a node of the network")
            v, axes = place_of[label], [names.index(axis) if axis in names else k for k, axis in ((1, "x"), (2, "y"))]
            if not np.isnan(found[v, 0]):
                place.fail(f"node {label} is given twice")
            found[v] = [place.number(fields[k], axis) for k, axis in zip(axes, "XY", strict=True)]
        missing = [label for label, v in place_of.items() if np.isnan(found[v, 0])]
        if missing:
            whole.fail(f"node {missing[0]} has no coordinates")
    return found


def _node_fields(line: str) -> list[str]:
    """The fields between blanks or semicolons; between commas only where nothing else parts them."""
    fields = line.replace(";", " ").split()
    return fields if len(fields) > 1 else line.replace(",", " ").replace(";", " ").split()
