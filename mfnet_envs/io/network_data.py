"""A network with its demand, whatever file it came from."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.io.files import arrays_of, demand_table, reading
from mfnet_envs.io.reach import Reach, adjacency, components, largest
from mfnet_envs.io.reading import NetworkFileError
from mfnet_envs.words import brief, did_you_mean, is_number, is_whole, shown
from mfnet_envs.writing import written

BALANCE_ROUNDS = 10_000
BALANCE_ERROR = 1e-10  # of the total demand
WEIGHTS = ("toll_weight", "length_weight")
NAMED = 3  # nodes named in a sentence; the rest are counted


@dataclass(frozen=True, eq=False, repr=False)
class NetworkData:
    """Directed links with delay functions, and the trips between nodes. All arrays are read-only.

    The time on a link with flow x is ``free_flow_time * (1 + b * (x / capacity) ** power)`` (BPR).

    Attributes:
        name: of the network.
        nodes: V labels as in the file; a node's index is its place here.
        tail, head: ``(L,)`` node indices; parallel links are allowed, loops are not; num_nodes: V; num_links: L.
        free_flow_time: ``(L,)`` non-negative. Links that take no time, as some files give their connectors, stay so:
            MFNet-Routing-v0 and ``mfnet_envs.engines`` join their ends.
        capacity: ``(L,)`` positive.
        b, power: ``(L,)`` of the BPR law, non-negative.
        length: ``(L,)`` non-negative.
        demand: ``(V, V)`` trips per unit of time from node to node, zeros on the diagonal; all zeros if there is none
            (:func:`no_demand` takes no memory); has_demand: whether there is any.
        coordinates: ``(V, 2)`` x and y, or None.
        first_through: nodes below this index may begin or end a trip, not be passed through (TNTP's centroids).
        units: what "time", "length", "capacity", "demand" and "coordinates" are measured in, as far as the file says.
        source, licence: where it came from and what may be done with it.
        toll: ``(L,)`` money per passage, or None where there is none.
        toll_weight, length_weight: time per unit of money and of length. Travellers who choose for themselves weigh
            time + toll_weight * toll + length_weight * length (TNTP's generalised cost).
        notes: sentences about what was ignored, guessed, filled in, rescaled or dropped on the way here.

    Raises:
        NetworkFileError: an entry that breaks the above.
    """

    name: str
    nodes: tuple[str, ...]
    tail: Ints
    head: Ints
    free_flow_time: Floats
    capacity: Floats
    b: Floats
    power: Floats
    length: Floats
    demand: Floats
    coordinates: Floats | None = None
    first_through: int = 0
    units: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    licence: str = ""
    toll: Floats | None = None
    toll_weight: float = 0.0
    length_weight: float = 0.0
    notes: tuple[str, ...] = ()

    PER_LINK: ClassVar[tuple[str, ...]] = ("tail", "head", "free_flow_time", "capacity", "b", "power", "length")
    WORDS: ClassVar[tuple[str, ...]] = (
        "name", "nodes", "first_through", "units", "source", "licence", "toll_weight", "length_weight", "notes",
    )  # fmt: skip

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        if wrong := _wrong_word(self):
            raise NetworkFileError(f"{self.name}: {wrong}")
        plain = {"nodes": tuple, "notes": tuple, "units": dict, "first_through": int, **dict.fromkeys(WEIGHTS, float)}
        for name, kind in plain.items():
            set_field(self, name, kind(getattr(self, name)))
        for name in (*self.PER_LINK, "demand", "coordinates", "toll"):
            if getattr(self, name) is not None:
                whole = name in ("tail", "head")
                set_field(self, name, _frozen(name, getattr(self, name), np.int64 if whole else np.float64))
        if wrong := _wrong_number(self):
            raise NetworkFileError(f"{self.name}: {wrong}")

    def __repr__(self) -> str:
        trips = f"{self.demand.sum():,.6g} trips" if self.has_demand else "no trips"
        return f"<NetworkData {self.name}: {self.num_nodes} nodes, {self.num_links} links, {trips}>"

    @property
    def num_nodes(self) -> int:
        return len(self.nodes)

    @property
    def num_links(self) -> int:
        return len(self.tail)

    @cached_property
    def has_demand(self) -> bool:
        return bool(_entries(self.demand).max() > 0)

    def noted(self, *sentences: str, **changes: Any) -> NetworkData:
        """The network with ``changes`` and further notes; a sentence that stands there already is not repeated."""
        new = tuple(sentence for sentence in sentences if sentence not in self.notes)
        return dataclasses.replace(self, notes=(*self.notes, *new), **changes)

    # -- demand -----------------------------------------------------------------------------------------------------

    def balanced(self) -> tuple[NetworkData, float]:
        """The network with as many trips from every node as to it, and the share of trips that had to move.

        Iterative proportional fitting to ``row sum = column sum = their mean``, so the total stays. What one pair loses
        another gains: the share is ``sum |after - before| / 2 / sum before``.

        Raises:
            NetworkFileError: no scaling of the trips that exist balances them (a node that only sends, say).
        """
        demand = np.array(self.demand)
        total = demand.sum()
        if total == 0:
            return self, 0.0
        target = (demand.sum(1) + demand.sum(0)) / 2
        one_way = np.flatnonzero((target > 0) & ((demand.sum(1) == 0) | (demand.sum(0) == 0)))
        if len(one_way):
            what = f"{_some(self.nodes, one_way)} only send or only receive trips"
            raise NetworkFileError(f"{self.name}: {what}, which no scaling balances; add return trips")
        for _ in range(BALANCE_ROUNDS):
            demand *= (target / np.where(target > 0, demand.sum(1), 1))[:, None]
            demand *= target / np.where(target > 0, demand.sum(0), 1)
            if np.abs(demand.sum(1) - target).sum() <= BALANCE_ERROR * total:
                changed = float(np.abs(demand - self.demand).sum() / 2 / total)
                said = [f"the demand was balanced: {changed:.1%} of the trips moved"] if changed > BALANCE_ERROR else []
                return self.noted(*said, demand=demand), changed
        more = "add trips between more pairs of nodes"
        raise NetworkFileError(f"{self.name}: no scaling of the trips balances them; {more}")

    # -- connectivity -----------------------------------------------------------------------------------------------

    def check_connected(self) -> None:
        """Every trip has a path; where there are no trips, every node can be reached from every other.

        Paths pass no node below ``first_through``. Nodes that no trip uses may lie apart.

        Raises:
            NetworkFileError: names a trip without a path, or nodes that are cut off, and says how to go on.
        """
        if self.has_demand:
            if ends := self._missing_path():
                way_out = "add the missing links, or drop such trips with .trimmed() or load(..., trim=True)"
                raise NetworkFileError(f"{self.name}: no path leads {ends}, but trips are wanted there; {way_out}")
            return
        way_out = "; add the missing links, or keep the largest part with .trimmed() or load(..., trim=True)"
        pieces = components(self.tail, self.head, self.num_nodes, "weak")
        if pieces.max() > 0:
            outside = _some(self.nodes, np.flatnonzero(pieces != largest(pieces)))
            apart = f"it is in {pieces.max() + 1} pieces, outside the largest: {outside}"
            raise NetworkFileError(f"{self.name}: {apart}{way_out}")
        inside = self._reach.strong_part()
        if not inside.all():
            outside = _some(self.nodes, np.flatnonzero(~inside))
            raise NetworkFileError(f"{self.name}: one-way links cut off {outside} from the rest{way_out}")

    def trimmed(self) -> NetworkData:
        """What trips can use: trips without a path are dropped with a warning, then the nodes and links nobody needs.

        Without trips: the largest part where every node reaches every other; nodes that may not be passed are kept if
        they have links both to and from that part. What was dropped is counted in the notes.
        """
        if not self.has_demand:
            keep = self._reach.strong_part()
            if keep.all():
                return self
            links = keep[self.tail] & keep[self.head]
            dropped = f"{_counted(~keep, ~links)} outside the largest part left out"
            return self._part(keep, links, no_demand(int(keep.sum())), dropped)
        demand, pairs = np.array(self.demand), 0
        for origin, missed in self._reach.without_path(self.demand):
            demand[origin, missed], pairs = 0, pairs + len(missed)
        if not pairs:
            return self.useful()
        lost, total = self.demand.sum() - demand.sum(), self.demand.sum()
        if not demand.any():
            raise NetworkFileError(f"{self.name}: none of the trips has a path")
        said = f"{lost:,.6g} trips ({lost / total:.2%}) between {pairs} pairs of nodes without a path were dropped"
        warnings.warn(f"{self.name}: {said}", stacklevel=2)
        return self.noted(said, demand=demand).useful()

    def useful(self) -> NetworkData:
        """Without the links that lead from no origin or to no destination, and the nodes on no other link."""
        links, nodes = self._reach.useful(self.demand), np.logical_or(self.demand.any(0), self.demand.any(1))
        nodes[self.tail[links]] = nodes[self.head[links]] = True
        if nodes.all() and links.all():
            return self
        said = f"{_counted(~nodes, ~links)} that no trip can use left out"
        return self._part(nodes, links, self.demand[np.ix_(nodes, nodes)], said)

    def closed(self, close: Sequence[Any]) -> NetworkData:
        """Without the link ``close``, a pair of labels (from, to), or without each of a list of such pairs.

        Raises:
            ValueError: no such link. NetworkFileError: a trip has no path any more.
        """
        if not isinstance(close, list | tuple) or not close:
            raise ValueError(f"close must be a link, two labels (from, to), or a list of links, not {shown(close)}")
        pairs = [close] if len(close) == 2 and not any(isinstance(end, list | tuple) for end in close) else close
        labels = [(self.nodes[u], self.nodes[v]) for u, v in zip(self.tail, self.head, strict=True)]
        shut = np.zeros(self.num_links, bool)
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError(f"close must be a link, two labels (from, to), or a list of links, not {shown(close)}")
            wanted = (str(pair[0]), str(pair[1]))
            if wanted not in labels:
                near = did_you_mean(" to ".join(wanted), map(" to ".join, labels))
                raise ValueError(f"close: {self.name} has no link from {shown(wanted[0])} to {shown(wanted[1])}{near}")
            shut |= np.array([ends == wanted for ends in labels])
        named = [" to ".join(map(repr, labels[link])) for link in np.flatnonzero(shut)]
        said = ", ".join(named[:NAMED]) + (f" and {len(named) - NAMED} more" if len(named) > NAMED else "")
        if shut.all():
            raise NetworkFileError(f"{self.name}: with {said} closed, there are no links")
        part = self._part(np.ones(self.num_nodes, bool), ~shut, self.demand, f"closed: {said}")
        if ends := part._missing_path():
            raise NetworkFileError(f"{self.name}: with {said} closed, no path leads {ends}, but trips are wanted there")
        return part

    @property
    def _reach(self) -> Reach:
        return Reach(self.tail, self.head, self.num_nodes, self.first_through)

    def _missing_path(self) -> str:
        """The first trip without a path in words, or nothing."""
        for origin, missed in self._reach.without_path(self.demand):
            return f"from node {shown(self.nodes[origin])} to node {shown(self.nodes[missed[0]])}"
        return ""

    def _part(self, nodes: Bools, links: Bools, demand: Floats, said: str) -> NetworkData:
        """The nodes and links marked, with a note."""
        place = np.cumsum(nodes) - 1
        return self.noted(
            said,
            nodes=tuple(label for label, kept in zip(self.nodes, nodes, strict=True) if kept),
            demand=demand,
            coordinates=None if self.coordinates is None else self.coordinates[nodes],
            toll=None if self.toll is None else self.toll[links],
            first_through=int(nodes[: self.first_through].sum()),
            **{name: getattr(self, name)[links] for name in self.PER_LINK[2:]},
            **{name: place[getattr(self, name)[links]] for name in self.PER_LINK[:2]},
        )

    # -- files ------------------------------------------------------------------------------------------------------

    def to_npz(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to ``path``; the file appears complete or not at all, and holds no pickle."""
        path = Path(path)
        words = {name: getattr(self, name) for name in self.WORDS}
        origin, destination = np.nonzero(self.demand) if self.has_demand else (np.zeros(0, int), np.zeros(0, int))
        arrays = {name: getattr(self, name) for name in self.PER_LINK}
        arrays |= {"origin": origin, "destination": destination, "trips": self.demand[origin, destination]}
        arrays |= {name: table for name in ("coordinates", "toll") if (table := getattr(self, name)) is not None}
        text = np.frombuffer(json.dumps({"format": 1, **words}).encode(), np.uint8)
        with written(path) as file:
            np.savez_compressed(file, words=text, **arrays)
        return path

    @classmethod
    def from_npz(cls, path: str | os.PathLike[str]) -> NetworkData:
        """What :meth:`to_npz` wrote.

        Raises:
            FileNotFoundError: no such file. NetworkFileError: not such a file, or damaged.
        """
        with reading(path, "network written by to_npz") as place:
            try:
                arrays: dict[str, Any] = arrays_of(place)
                words: dict[str, Any] = json.loads(arrays.pop("words").tobytes())
                pairs = tuple(_frozen(end, arrays.pop(end), np.int64) for end in ("origin", "destination"))
                trips = _frozen("trips", arrays.pop("trips"))
                if words.pop("format") != 1 or not words.keys() <= set(cls.WORDS):
                    raise ValueError("it has another format")
                if pairs[0].shape != trips.shape or pairs[1].shape != trips.shape or trips.ndim != 1:
                    raise ValueError("trips, their origins and their destinations are not as many")
                v = len(words["nodes"])
                demand = demand_table(place, v) if len(trips) else no_demand(v)
                if len(trips):
                    if min(ends.min() for ends in pairs) < 0:
                        raise ValueError("a trip begins or ends at a negative node")
                    demand[pairs] = trips
                    if np.count_nonzero(demand) < len(trips):
                        raise ValueError("trips of a pair stand there twice, or are none")
                return cls(**words, demand=demand, **arrays)
            except NetworkFileError as error:
                place.fail(str(error).removeprefix(f"{place}: "))
            except MemoryError:
                raise
            except Exception as error:  # whatever damage makes the parsers raise
                place.fail(f"this is no network written by to_npz, or it is damaged ({brief(error)})")


def no_demand(num_nodes: int) -> Floats:
    """``(V, V)`` zeros that take no memory: a city of 10^5 nodes without trips fits."""
    return np.broadcast_to(np.float64(0), (num_nodes, num_nodes))


def with_uniform_capacity(network: NetworkData, utilisation: float = 0.9) -> NetworkData:
    """The same capacity on every link, such that shortest paths in hops fill the busiest one to ``utilisation``.

    Used for networks that come without capacities.

    Raises:
        ValueError: no demand, or ``utilisation`` not positive.
    """
    if utilisation <= 0 or not network.has_demand:
        raise ValueError("a capacity by rule needs a positive utilisation and a network with demand")
    capacity = hop_loads(network).max() / utilisation
    rule = f"by rule: fewest hops fill the busiest to {utilisation:.0%}"
    return with_capacity(network, capacity, f"every link has the capacity {capacity:.6g}, {rule}")


def with_capacity(network: NetworkData, capacity: float, said: str) -> NetworkData:
    """The same capacity on every link; the note ``said`` takes the place of an earlier one about the same."""
    notes = tuple(note for note in network.notes if not note.startswith(said.partition(" capacity ")[0]))
    return dataclasses.replace(network, notes=notes).noted(said, capacity=np.full(network.num_links, capacity))


def hop_loads(network: NetworkData) -> Floats:
    """``(L,)`` flow when every trip takes a path of fewest hops, at each node by the last link that begins one.

    The choice of ``shortest_path`` in MFNet-Packet-v0. Trips without a path are left out.
    """
    from scipy.sparse.csgraph import shortest_path

    tail, head, v = network.tail, network.head, network.num_nodes
    passable = tail >= network.first_through
    hops = shortest_path(adjacency(tail[passable], head[passable], v), unweighted=True)
    left = np.where(np.eye(v, dtype=bool), 0, np.inf)  # by node and destination: hops to go
    np.minimum.at(left, tail, 1 + hops[head])
    np.fill_diagonal(left, 0)
    next_link = np.full((v, v), -1)
    for e in range(len(tail)):  # the last one stays
        next_link[tail[e], 1 + hops[head[e]] == left[tail[e]]] = e
    loads, at = np.zeros(network.num_links), np.array(network.demand)
    for distance in range(int(left[np.isfinite(left)].max()), 0, -1):
        node, destination = np.nonzero((left == distance) & (at > 0))
        link, flow = next_link[node, destination], at[node, destination]
        loads += np.bincount(link, flow, network.num_links)
        np.add.at(at, (head[link], destination), flow)
    return loads


# -- checks and graphs ------------------------------------------------------------------------------------------------


def _frozen(name: str, values: ArrayLike, dtype: type[Any] = np.float64) -> NDArray[Any]:
    """A read-only array; one that is read-only already is taken as it is (:func:`no_demand` must not be filled in)."""
    array = np.asarray(values)
    if array.dtype == object and all(map(is_number, array.flat)):
        array = array.astype(np.float64)  # integers of many digits
    if array.size and array.dtype.kind not in ("iu" if dtype is np.int64 else "iuf"):
        kind = "whole numbers" if dtype is np.int64 else "numbers"
        raise NetworkFileError(f"{name} must hold {kind}, not {array.dtype}")
    if array.dtype != dtype or array.flags.writeable:
        array = np.array(array, dtype=dtype)
        array.setflags(write=False)
    return array


def _wrong_word(network: NetworkData) -> str:
    """What is wrong with a field that is no array, or nothing."""
    for name in ("name", "source", "licence"):
        if not isinstance(getattr(network, name), str):
            return f"{name} must be a string, not {shown(getattr(network, name))}"
    for name in ("nodes", "notes"):
        listed = getattr(network, name)
        if not isinstance(listed, list | tuple) or not all(isinstance(x, str) and x for x in listed):
            return f"{name} must be a list of strings that are not empty, not {shown(listed)}"
    if len(set(network.nodes)) < len(network.nodes):
        return "two nodes have the same label"
    units = network.units
    if not isinstance(units, Mapping) or not all(isinstance(x, str) for pair in units.items() for x in pair):
        return f"units must map strings to strings, not be {shown(units)}"
    for name in WEIGHTS:
        if not (is_number(weight := getattr(network, name)) and weight >= 0):
            return f"{name} must be a non-negative number, not {shown(weight)}"
    if not is_whole(network.first_through) or network.first_through > network.num_nodes:
        return f"first_through must lie in 0..{network.num_nodes}, not {shown(network.first_through)}"
    return ""


def _wrong_number(network: NetworkData) -> str:
    """What is wrong with an array, or nothing."""
    v, links = network.num_nodes, network.num_links
    if v == 0 or links == 0:
        return "a network needs nodes and links"
    per_link = {name: getattr(network, name) for name in network.PER_LINK}
    if network.toll is not None:
        per_link["toll"] = network.toll
    for name, values in per_link.items():
        if values.shape != (links,):
            return f"{name} must have shape ({links},), not {values.shape}"
        if not (np.isfinite(values).all() and values.min() >= 0):
            return f"{name} must be finite and not negative"
    if network.capacity.min() <= 0:
        return "capacity must be positive"
    if max(network.tail.max(), network.head.max()) >= v:
        return "a link ends at a node that does not exist"
    if (loops := np.flatnonzero(network.tail == network.head)).size:
        return f"a link leads from node {shown(network.nodes[network.tail[loops[0]]])} to itself; remove it"
    if network.demand.shape != (v, v):
        return f"demand must have shape {(v, v)}, not {network.demand.shape}"
    trips = _entries(network.demand)
    if not (0 <= trips.min() and trips.max() < np.inf) or np.diagonal(network.demand).any():
        return "demand must be finite, not negative, and zero on the diagonal"
    xy = network.coordinates
    if xy is not None and (xy.shape != (v, 2) or not np.isfinite(xy).all()):
        return f"coordinates must be finite, of shape ({v}, 2)"
    return ""


def _entries(demand: Floats) -> Floats:
    """The entries to look at: of :func:`no_demand` one stands for all."""
    return demand[:1, :1] if demand.strides == (0, 0) else demand


def _counted(nodes: Bools, links: Bools) -> str:
    """``1 node and 5 links``; what there is none of is not named."""
    sizes = {"node": int(nodes.sum()), "link": int(links.sum())}
    return " and ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for what, n in sizes.items() if n)


def _some(nodes: tuple[str, ...], indices: Ints) -> str:
    """``nodes 'a', 'b', 'c' and 5 more``."""
    names = ", ".join(shown(nodes[v]) for v in indices[:NAMED])
    more = f" and {len(indices) - NAMED} more" if len(indices) > NAMED else ""
    return f"node{'s' if len(indices) > 1 else ''} {names}{more}"
