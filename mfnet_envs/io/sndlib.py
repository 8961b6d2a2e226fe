"""SNDlib's data networks, native text or XML, and folders of demand matrices through time.

Links and demands do not say whether they are directed: SNDlib keeps that in a separate model file, so it is an argument
here. Cite Orlowski, Pióro, Tomaszewski, Wessäly: SNDlib 1.0, Networks 55 (2010).
"""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.assembling import assembled
from mfnet_envs.io.files import bytes_of, demand_table, reading, text_of, xml_of
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import BPR_B, BPR_POWER, FIBRE_KM_PER_MS, Place, distances, geographical, numbered
from mfnet_envs.words import one_of, positive, shown

LICENCE = "SNDlib: free for research; cite Orlowski et al. (2010)"
NATIVE = "?SNDlib native format"
SECTIONS = {"META", "NODES", "LINKS", "DEMANDS", "ADMISSIBLE_PATHS"}
ELEMENTS = {
    "network": {"meta", "networkStructure", "demands", "admissiblePaths"},
    "networkStructure": {"nodes", "links"},
}
ELEMENTS |= {"nodes": {"node"}, "links": {"link"}, "demands": {"demand"}}
COORDINATES = ("geographical", "pixel")
UNLIMITED = "UNLIMITED"
UNKNOWN = "a part of the file is not known and not read ({where})"
TOKEN = re.compile(r"[()]|[^\s()]+")


class Node(NamedTuple):
    place: Place
    name: str
    x: str | None
    y: str | None


class Link(NamedTuple):
    """``capacities``: pre-installed, then those of the modules that may be added."""

    place: Place
    source: str
    target: str
    capacities: tuple[str, ...]


class Demand(NamedTuple):
    """``value`` is in routing units of ``unit``; ``hops`` limits a path's links, or is UNLIMITED."""

    place: Place
    source: str
    target: str
    value: str
    unit: str
    hops: str


class Parts(NamedTuple):
    """``coordinates``: "geographical" or "pixel" if the file says which."""

    nodes: list[Node]
    links: list[Link]
    demands: list[Demand]
    time: str = ""
    coordinates: str | None = None


def from_sndlib(
    path: str | os.PathLike[str],
    *,
    directed_links: bool = False,
    undirected_demand: bool | None = None,
    capacity: float | None = None,
    coordinates: str | None = None,
) -> NetworkData:
    """A data network; times in milliseconds of light in fibre, lengths in km where nodes have longitude and latitude.

    Args:
        directed_links: False: every link runs both ways.
        undirected_demand: whether a demand is meant in both directions, at its full value in each; None: it is where
            no pair of nodes is listed both ways.
        capacity: of every link; None: the pre-installed capacity, or where that is 0 the largest module.
        coordinates: "geographical" or "pixel"; None: as the file says, else geographical if all lie within 180 and 90
            degrees.

    Raises:
        ValueError: a capacity that is not positive, or unknown coordinates. NetworkFileError: the first element that is
            not as the format has it.
    """
    if capacity is not None:
        positive(capacity=capacity)
    if coordinates is not None:
        one_of("coordinates", coordinates, COORDINATES)
    with reading(path, "SNDlib network") as place:
        notes = Notes()
        parts = _read(Path(path), notes)
        place_of = numbered((node.place, node.name) for node in parts.nodes)
        ends, capacities = [], []
        for link in parts.links:
            pair = link.place.node(link.source, "source", place_of), link.place.node(link.target, "target", place_of)
            if pair[0] == pair[1]:
                link.place.fail(f"the link leads from node {shown(link.source)} to itself; remove it")
            both = [pair] if directed_links else [pair, pair[::-1]]
            ends += both
            capacities += [_capacity(link, notes) if capacity is None else capacity] * len(both)
        if not directed_links:
            notes.say("every link runs both ways; pass directed_links=True if it does not")
        where, km, units = _lengths(place, parts.nodes, ends, coordinates or parts.coordinates, notes)
        demand = _table(place, parts.demands, place_of, notes)
        return assembled(
            place,
            notes,
            list(place_of),
            [
                (*pair, length / FIBRE_KM_PER_MS, size, BPR_B, BPR_POWER, length)
                for pair, size, length in zip(ends, capacities, km.tolist(), strict=True)
            ],
            said_both_ways(demand, undirected_demand, notes),
            coordinates=where,
            name=Path(path).stem,
            units=units,
            source=Path(path).name,
            licence=LICENCE,
        )


def _lengths(
    place: Place, nodes: list[Node], ends: list[tuple[int, int]], coordinates: str | None, notes: Notes
) -> tuple[Floats | None, Floats, dict[str, str]]:
    """Coordinates if all nodes have them, ``(L,)`` lengths, and what both are measured in."""
    where = np.array([_position(node) for node in nodes]).reshape(-1, 2)
    if np.isnan(where).any():
        first = nodes[int(np.flatnonzero(np.isnan(where).any(1))[0])]
        notes.count("a node without coordinates ({where}): every link is taken as 1 km", first.place, loud=True)
        return None, np.ones(len(ends)), {"time": "ms", "length": "assumed: km"}
    on_earth = geographical(where) if coordinates is None else coordinates == "geographical"
    if on_earth and not geographical(where):
        place.fail("coordinates beyond 180 and 90 are no longitude and latitude; pass coordinates='pixel'")
    tail, head = np.array(ends, int).reshape(-1, 2).T
    km = distances(where, tail, head, on_earth)
    if still := int((km == 0).sum()):
        notes.say(f"{still:,} links have length 0: their ends stand at the same place", loud=True)
    if on_earth:
        guess = "" if coordinates else "assumed: "
        return where, km, {"time": "ms", "length": "km", "coordinates": f"{guess}lon/lat"}
    notes.say(
        "coordinates are no longitude and latitude: lengths and times are in their own unit", loud=not coordinates
    )
    return where, km, {}


def read_matrices(
    folder: str | os.PathLike[str], network: NetworkData, *, undirected_demand: bool = False
) -> tuple[tuple[str, ...], Floats]:
    """Demand through time from a folder of SNDlib matrices: T times and ``(T, V, V)`` trips, in the files' order.

    The time is that of the file's META section, or the file's name. For one slot: ``dataclasses.replace(network,
    demand=trips[t])``. Trips from a node to itself are left out, with a warning.

    Raises:
        FileNotFoundError: no matrices. NetworkFileError: a node that ``network`` does not have, or a damaged file.
    """
    with reading(folder, "folder of SNDlib matrices", folder=True) as place:
        files = sorted(file for file in Path(folder).iterdir() if file.suffix.lower() in (".xml", ".txt"))
        if not files:
            raise FileNotFoundError(f"{folder} holds no .xml or .txt matrices")
        place_of = {label: v for v, label in enumerate(network.nodes)}
        trips = demand_table(place, network.num_nodes, len(files)).reshape(len(files), *network.demand.shape)
        times, notes = [], Notes()
        for t, file in enumerate(files):
            with reading(file, "SNDlib matrix"):
                parts = _read(file, notes)
            trips[t] = both_ways(_table(Place(str(file)), parts.demands, place_of, notes), undirected_demand)
            if trips[t].trace():
                notes.count("trips within a node are left out ({where})", Place(str(file)), loud=True)
            np.fill_diagonal(trips[t], 0)
            times.append(parts.time or file.stem)
        notes.warn(place)
    return tuple(times), trips


def said_both_ways(demand: Floats, undirected: bool | None, notes: Notes) -> Floats:
    """:func:`both_ways`, with a note where that was not asked for."""
    found = both_ways(demand, undirected)
    if undirected is None and found is not demand:
        notes.say(
            "no pair of nodes has trips listed both ways: they are taken in both directions; undirected_demand=False"
        )
    return found


def both_ways(demand: Floats, undirected: bool | None) -> Floats:
    """Demand in both directions if it is ``undirected``; None: if no pair of nodes has it both ways already."""
    one_way = demand.any() and not (demand * demand.T * (1 - np.eye(len(demand)))).any()
    if not (one_way if undirected is None else undirected):
        return demand
    return np.asarray(demand + demand.T - np.diag(np.diagonal(demand)))


def _table(place: Place, demands: list[Demand], place_of: dict[str, int], notes: Notes) -> Floats:
    """``(V, V)`` demand: values times their routing units, which say how much capacity one of them takes."""
    table = demand_table(place, len(place_of))
    for row in demands:
        pair = row.place.node(row.source, "source", place_of), row.place.node(row.target, "target", place_of)
        unit = row.place.number(row.unit, "the routing unit", "positive")
        if row.hops.upper() != UNLIMITED:
            notes.count("limits to the length of paths ({where}) are not used", row.place, row.hops, loud=True)
        table[pair] += unit * row.place.number(row.value, "demand", "non-negative")
    return table


def _position(node: Node) -> tuple[float, float]:
    if node.x is None or node.y is None:
        return np.nan, np.nan
    return node.place.number(node.x, "x"), node.place.number(node.y, "y")


def _capacity(link: Link, notes: Notes) -> float:
    installed, *modules = (link.place.number(text, "capacity", "non-negative") for text in link.capacities)
    size = installed or max(modules, default=0.0)
    if size == 0:
        link.place.fail("the link has no capacity and no module; pass capacity=")
    if not installed:
        notes.count("no capacity is installed ({where}): the largest module is taken", link.place, size)
    return size


# -- the two ways to write it -----------------------------------------------------------------------------------------


def _read(path: Path, notes: Notes) -> Parts:
    place = Place(str(path))
    if bytes_of(place).lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"\xff\xfe", b"\xfe\xff")):
        return _read_xml(place, notes)
    text = text_of(place, notes)
    if not text.lstrip().startswith(NATIVE):
        place.line(1).fail(f"expected {NATIVE!r} or XML")
    return _read_native(text, place, notes)


class _Tokens:
    """Words and brackets with their lines, read one after the other."""

    def __init__(self, text: str, place: Place) -> None:
        self.file = place
        self.items = [
            (number, token)
            for number, line in enumerate(text.splitlines(), 1)
            if not line.lstrip().startswith("?")
            for token in TOKEN.findall(line.split("#")[0])
        ]
        self.at = 0

    @property
    def place(self) -> Place:
        number = self.items[min(self.at, len(self.items) - 1)][0] if self.items else 1
        return self.file.line(number)

    def peek(self) -> str:
        return self.items[self.at][1] if self.at < len(self.items) else ""

    def word(self, what: str) -> str:
        token = self.peek()
        if token in ("", "(", ")"):
            self.place.fail(f"expected {what}, not {shown(token) if token else 'the end of the file'}")
        self.at += 1
        return token

    def bracket(self, which: str) -> None:
        if self.peek() != which:
            self.place.fail(f"expected {which!r}, not {shown(self.peek()) if self.peek() else 'the end of the file'}")
        self.at += 1

    def words(self, *what: str) -> list[str]:
        """``( word word ... )``, of a known number."""
        self.bracket("(")
        found = [self.word(name) for name in what]
        self.bracket(")")
        return found

    def rest(self) -> list[str]:
        """``( ... )`` of any content."""
        self.bracket("(")
        found, depth = [], 1
        while depth:
            token = self.peek()
            if not token:
                self.place.fail("expected ')', not the end of the file")
            depth += {"(": 1, ")": -1}.get(token, 0)
            found.append(token)
            self.at += 1
        return found[:-1]


def _read_native(text: str, place: Place, notes: Notes) -> Parts:
    tokens = _Tokens(text, place)
    parts = Parts([], [], [])
    while tokens.peek():
        here, section = tokens.place, tokens.word("a section such as NODES")
        if section not in SECTIONS:
            notes.count(UNKNOWN, here, section[:40], loud=True)
        if section not in ("NODES", "LINKS", "DEMANDS"):
            content = tokens.rest()
            if section == "META" and "time" in content:
                parts = parts._replace(time=_after(content, "time"))
            continue
        tokens.bracket("(")
        while tokens.peek() != ")":
            here = tokens.place
            name = tokens.word(f"an id in {section}, or ')'")
            if section == "NODES":
                parts.nodes.append(Node(here, name, *tokens.words("x", "y")))
            elif section == "LINKS":
                parts.links.append(_native_link(tokens, here))
            else:
                source, target = tokens.words("source", "target")
                unit, value, hops = (tokens.word(w) for w in ("routing unit", "demand value", "max path length"))
                parts.demands.append(Demand(here, source, target, value, unit, hops))
        tokens.bracket(")")
    return parts


def _native_link(tokens: _Tokens, here: Place) -> Link:
    source, target = tokens.words("source", "target")
    installed, *_ = (tokens.word(what) for what in ("capacity", "capacity cost", "routing cost", "setup cost"))
    modules = tokens.rest()
    return Link(here, source, target, (installed, *modules[::2]))


def _after(words: list[str], key: str) -> str:
    """The word after ``key``, or after ``key =``."""
    following = [word for word in words[words.index(key) + 1 :] if word != "="]
    return following[0] if following else ""


def _read_xml(place: Place, notes: Notes) -> Parts:
    root = ElementTree.fromstring(xml_of(place, "XML"))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    for element in root.iter():
        for child in element:
            if child.tag not in ELEMENTS.get(element.tag, {child.tag}):
                notes.count(UNKNOWN, place, f"<{child.tag[:40]}> in <{element.tag}>", loud=True)
    if root.tag != "network":
        place.fail(f"the root element must be <network>, not <{root.tag[:60]}>")
    nodes = [
        Node(here, element.get("id", ""), element.findtext("coordinates/x"), element.findtext("coordinates/y"))
        for here, element in _elements(root, place, "networkStructure/nodes/node")
    ]
    links = [
        Link(
            here,
            _text(here, element, "source"),
            _text(here, element, "target"),
            (
                element.findtext("preInstalledModule/capacity") or "0",
                *(found.text or "" for found in element.findall("additionalModules/addModule/capacity")),
            ),
        )
        for here, element in _elements(root, place, "networkStructure/links/link")
    ]
    demands = [
        Demand(
            here,
            _text(here, element, "source"),
            _text(here, element, "target"),
            _text(here, element, "demandValue"),
            (element.findtext("routingUnit") or "1").strip(),
            (element.findtext("maxPathLength") or element.findtext("hopLimit") or UNLIMITED).strip(),
        )
        for here, element in _elements(root, place, "demands/demand")
    ]
    found = root.find("networkStructure/nodes")
    kind = None if found is None else found.get("coordinatesType")
    if kind not in (None, *COORDINATES):
        place.fail(f"coordinatesType must be {' or '.join(COORDINATES)}, not {shown(kind)}")
    return Parts(nodes, links, demands, (root.findtext("meta/time") or "").strip(), kind)


def _elements(root: ElementTree.Element, place: Place, path: str) -> Iterator[tuple[Place, ElementTree.Element]]:
    for number, element in enumerate(root.findall(path), 1):
        name = element.get("id")
        yield Place(place.file, f"{element.tag} {shown(name)}" if name else f"{element.tag} number {number}"), element


def _text(place: Place, element: ElementTree.Element, field: str) -> str:
    text = (element.findtext(field) or "").strip()
    if not text:
        place.fail(f"the element <{field}> is missing")
    return text
