"""A network with its demand, whatever file it came from."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io.reading import NetworkFileError, Place, numbered

BALANCE_ROUNDS = 10_000
BALANCE_ERROR = 1e-10  # of the total demand
SHORTEST_TIME = 1e-7
NAMED = 3  # nodes named in a sentence; the rest are counted


@dataclass(frozen=True, eq=False, repr=False)
class NetworkData:
    """Directed links with delay functions, and the trips between nodes. All arrays are read-only.

    The time on a link with flow x is ``free_flow_time * (1 + b * (x / capacity) ** power)`` (BPR).

    Attributes:
        name: of the network.
        nodes: V labels as in the file; a node's index is its place here.
        tail, head: ``(L,)`` node indices; parallel links are allowed, loops are not.
        free_flow_time: ``(L,)`` positive. Zero, as some files give their connectors, becomes 1e-7: shortest-path trees
            need an order, and no sum of trip times notices. Positive values stay, however small (Braess has 1e-8).
        capacity: ``(L,)`` positive.
        b, power: ``(L,)`` of the BPR law, non-negative.
        length: ``(L,)`` non-negative.
        demand: ``(V, V)`` trips per unit of time from node to node, zeros on the diagonal; all zeros if there is none
            (:func:`no_demand` takes no memory).
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

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "nodes", tuple(self.nodes))
        set_field(self, "units", dict(self.units))
        for ends in ("tail", "head"):
            set_field(self, ends, _frozen(getattr(self, ends), np.int64))
        for values in (*self.PER_LINK[2:], "demand"):
            set_field(self, values, _frozen(getattr(self, values), np.float64))
        if self.coordinates is not None:
            set_field(self, "coordinates", _frozen(self.coordinates, np.float64))
        _check(self)
        time = self.free_flow_time
        set_field(self, "free_flow_time", _frozen(np.where(time == 0, SHORTEST_TIME, time)))

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
                return dataclasses.replace(self, demand=demand), changed
        more = "add trips between more pairs of nodes"
        raise NetworkFileError(f"{self.name}: no scaling of the trips balances them; {more}")

    # -- connectivity -----------------------------------------------------------------------------------------------

    def check_connected(self) -> None:
        """Every trip has a path; where there are no trips, every node can be reached from every other.

        Paths pass no node below ``first_through``.

        Raises:
            NetworkFileError: names nodes that are cut off and says how to go on.
        """
        way_out = "; add the missing links, or keep the largest part with .trimmed() or load(..., trim=True)"
        pieces = _components(self.tail, self.head, self.num_nodes, "weak")
        if pieces.max() > 0:
            outside = _some(self.nodes, np.flatnonzero(pieces != _largest(pieces)))
            apart = f"it is in {pieces.max() + 1} pieces, outside the largest: {outside}"
            raise NetworkFileError(f"{self.name}: {apart}{way_out}")
        if not self.has_demand:
            inside = self._strong_part()
            if not inside.all():
                outside = _some(self.nodes, np.flatnonzero(~inside))
                raise NetworkFileError(f"{self.name}: one-way links cut off {outside} from the rest{way_out}")
            return
        stranded = self._trip_without_path()
        if stranded is not None:
            origin, destination = (self.nodes[v] for v in stranded)
            raise NetworkFileError(f"{self.name}: no path leads from node {origin!r} to node {destination!r}{way_out}")

    def trimmed(self) -> NetworkData:
        """The largest part where every node reaches every other; trips outside are dropped with a warning.

        Nodes that may not be passed through are kept if they have links both to and from that part.
        """
        keep = self._strong_part()
        links = keep[self.tail] & keep[self.head]
        place = np.cumsum(keep) - 1
        demand = self.demand[np.ix_(keep, keep)] if self.has_demand else no_demand(int(keep.sum()))
        lost = self.demand.sum() - demand.sum() if self.has_demand else 0.0
        if lost > 0:
            warnings.warn(f"{self.name}: {lost:,.6g} trips begin or end outside the part that is kept", stacklevel=2)
        return dataclasses.replace(
            self,
            nodes=tuple(label for label, kept in zip(self.nodes, keep, strict=True) if kept),
            demand=demand,
            coordinates=None if self.coordinates is None else self.coordinates[keep],
            first_through=int(keep[: self.first_through].sum()),
            **{name: getattr(self, name)[links] for name in self.PER_LINK[2:]},
            **{name: place[getattr(self, name)[links]] for name in self.PER_LINK[:2]},
        )

    def _strong_part(self) -> NDArray[np.bool_]:
        """``(V,)``: the largest strongly connected part of the nodes that may be passed, and the centroids on it."""
        through = np.arange(self.num_nodes) >= self.first_through
        inner = through[self.tail] & through[self.head]
        parts = _components(self.tail[inner], self.head[inner], self.num_nodes, "strong")
        core = through & (parts == _largest(parts[through]))
        reached, reaching = np.zeros(self.num_nodes, bool), np.zeros(self.num_nodes, bool)
        reached[self.head[core[self.tail]]] = True
        reaching[self.tail[core[self.head]]] = True
        return np.asarray(core | (~through & reached & reaching))

    def _trip_without_path(self) -> tuple[int, int] | None:
        """The first origin and destination with trips and without a path, or None."""
        from scipy.sparse.csgraph import breadth_first_order

        v = self.num_nodes
        # A centroid is a source with its links out and, as node v + i, a sink with its links in.
        head = np.where(self.head < self.first_through, v + self.head, self.head)
        graph = _adjacency(self.tail, head, v + self.first_through)
        sink = np.arange(v) + np.where(np.arange(v) < self.first_through, v, 0)
        for origin in np.flatnonzero(self.demand.any(1)):
            reached = np.zeros(v + self.first_through, bool)
            reached[breadth_first_order(graph, origin, return_predecessors=False)] = True
            missed = np.flatnonzero((self.demand[origin] > 0) & ~reached[sink])
            if len(missed):
                return int(origin), int(missed[0])
        return None

    # -- files ------------------------------------------------------------------------------------------------------

    def to_npz(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to ``path``; the file appears complete or not at all, and holds no pickle."""
        path = Path(path)
        words = {name: getattr(self, name) for name in ("name", "nodes", "first_through", "units", "source", "licence")}
        origin, destination = np.nonzero(self.demand) if self.has_demand else (np.zeros(0, int), np.zeros(0, int))
        arrays = {name: getattr(self, name) for name in self.PER_LINK}
        arrays |= {"origin": origin, "destination": destination, "trips": self.demand[origin, destination]}
        if self.coordinates is not None:
            arrays["coordinates"] = self.coordinates
        text = np.frombuffer(json.dumps({"format": 1, **words}).encode(), np.uint8)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".draft")
        try:
            with open(handle, "wb") as file:
                np.savez_compressed(file, words=text, **arrays)
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return path

    @classmethod
    def from_npz(cls, path: str | os.PathLike[str]) -> NetworkData:
        """What :meth:`to_npz` wrote.

        Raises:
            FileNotFoundError: no such file. NetworkFileError: not such a file, or damaged.
        """
        with open(path, "rb") as file:
            try:
                with np.load(file, allow_pickle=False) as archive:
                    arrays = dict(archive)
                words: dict[str, Any] = json.loads(arrays.pop("words").tobytes())
                pairs, trips = (arrays.pop("origin"), arrays.pop("destination")), arrays.pop("trips")
                v = len(words["nodes"])
                if words.pop("format") != 1:
                    raise ValueError("it has another format")
                demand = np.zeros((v, v)) if len(trips) else no_demand(v)
                if len(trips):
                    demand[pairs] = trips
                return cls(**{**words, "nodes": tuple(words["nodes"])}, demand=demand, **arrays)
            except NetworkFileError:
                raise
            except Exception as error:  # whatever damage makes the parsers raise
                Place(str(path)).fail(f"this is no network written by to_npz, or it is damaged ({error})")


def no_demand(num_nodes: int) -> Floats:
    """``(V, V)`` zeros that take no memory: a city of 10^5 nodes without trips fits."""
    return np.broadcast_to(np.float64(0), (num_nodes, num_nodes))


def assembled(
    place: Place, nodes: list[str], links: list[tuple[Any, ...]], demand: Floats | None, **rest: Any
) -> NetworkData:
    """A network from ``links`` = rows of PER_LINK; trips from a node to itself are dropped, with a warning.

    Raises:
        NetworkFileError: a node without a label, two that share one, no links.
    """
    numbered((place, label) for label in nodes)
    if not links:
        place.fail("there are no links")
    columns: dict[str, Any] = dict(zip(NetworkData.PER_LINK, map(np.array, zip(*links, strict=True)), strict=True))
    if demand is None:
        demand = no_demand(len(nodes))
    elif (own := float(np.trace(demand))) > 0:
        share = own / demand.sum()
        warnings.warn(f"{place}: {own:,.6g} trips within a node ({share:.1%} of all) are dropped", stacklevel=3)
        demand = demand * (1 - np.eye(len(nodes)))
    try:
        return NetworkData(nodes=tuple(nodes), demand=demand, **columns, **rest)
    except NetworkFileError as error:
        raise NetworkFileError(f"{place}: {error}") from None


def with_uniform_capacity(network: NetworkData, utilisation: float = 0.9) -> NetworkData:
    """The same capacity on every link, such that shortest paths in hops fill the busiest one to ``utilisation``.

    Used for networks that come without capacities.

    Raises:
        ValueError: no demand, or ``utilisation`` not positive.
    """
    if utilisation <= 0 or not network.has_demand:
        raise ValueError("a capacity by rule needs a positive utilisation and a network with demand")
    capacity = hop_loads(network).max() / utilisation
    return dataclasses.replace(network, capacity=np.full(network.num_links, capacity))


def hop_loads(network: NetworkData) -> Floats:
    """``(L,)`` flow when every trip takes a path of fewest hops; every node may be passed.

    Of several such paths it is the one whose nodes, read from the destination back, come last in node order.
    """
    from scipy.sparse.csgraph import shortest_path

    tail, head, v = network.tail, network.head, network.num_nodes
    hops = shortest_path(_adjacency(tail, head, v), unweighted=True)
    last_link = np.full((v, v), -1)  # by origin and node
    for link in np.argsort(tail, kind="stable"):
        last_link[hops[:, tail[link]] + 1 == hops[:, head[link]], head[link]] = link
    loads, arriving = np.zeros(network.num_links), np.array(network.demand)  # by origin and node
    for distance in range(int(hops[np.isfinite(hops)].max()), 0, -1):
        origin, node = np.nonzero((hops == distance) & (arriving > 0))
        link, flow = last_link[origin, node], arriving[origin, node]
        loads += np.bincount(link, flow, network.num_links)
        np.add.at(arriving, (origin, tail[link]), flow)
    return loads


# -- checks and graphs ------------------------------------------------------------------------------------------------


def _frozen(values: ArrayLike, dtype: type[Any] = np.float64) -> NDArray[Any]:
    """A read-only array; one that is read-only already is taken as it is (:func:`no_demand` must not be filled in)."""
    array = np.asarray(values)
    if array.dtype != dtype or array.flags.writeable:
        array = np.array(array, dtype=dtype)
        array.setflags(write=False)
    return array


def _check(network: NetworkData) -> None:
    v, links = network.num_nodes, network.num_links
    if v == 0 or links == 0:
        raise NetworkFileError(f"{network.name}: a network needs nodes and links")
    for name in network.PER_LINK:
        values = getattr(network, name)
        if values.shape != (links,):
            raise NetworkFileError(f"{network.name}: {name} must have shape ({links},), not {values.shape}")
        if not (np.isfinite(values).all() and values.min() >= 0):
            raise NetworkFileError(f"{network.name}: {name} must be finite and not negative")
    if network.capacity.min() <= 0:
        raise NetworkFileError(f"{network.name}: capacity must be positive")
    if max(network.tail.max(), network.head.max()) >= v:
        raise NetworkFileError(f"{network.name}: a link ends at a node that does not exist")
    if (loops := np.flatnonzero(network.tail == network.head)).size:
        label = network.nodes[network.tail[loops[0]]]
        raise NetworkFileError(f"{network.name}: a link leads from node {label!r} to itself; remove it")
    if network.demand.shape != (v, v):
        raise NetworkFileError(f"{network.name}: demand must have shape {(v, v)}, not {network.demand.shape}")
    trips = _entries(network.demand)
    if not (0 <= trips.min() and trips.max() < np.inf) or np.diagonal(network.demand).any():
        raise NetworkFileError(f"{network.name}: demand must be finite, not negative, and zero on the diagonal")
    if network.coordinates is not None and (
        network.coordinates.shape != (v, 2) or not np.isfinite(network.coordinates).all()
    ):
        raise NetworkFileError(f"{network.name}: coordinates must be finite, of shape ({v}, 2)")
    if not 0 <= network.first_through < v:
        raise NetworkFileError(f"{network.name}: first_through must lie in 0..{v - 1}, not {network.first_through}")


def _entries(demand: Floats) -> Floats:
    """The entries to look at: of :func:`no_demand` one stands for all."""
    return demand[:1, :1] if demand.strides == (0, 0) else demand


def _adjacency(tail: Ints, head: Ints, num_nodes: int) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(tail)), (tail, head)), shape=(num_nodes, num_nodes))


def _components(tail: Ints, head: Ints, num_nodes: int, connection: str) -> Ints:
    """``(V,)``: the number of the part each node lies in."""
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(_adjacency(tail, head, num_nodes), connection=connection)[1], np.int64)


def _largest(parts: Ints) -> int:
    """The part with most nodes; of equals, the one that holds the first node."""
    sizes = np.bincount(parts)
    return int(parts[np.argmax(sizes[parts])])


def _some(nodes: tuple[str, ...], indices: Ints) -> str:
    """``nodes 'a', 'b', 'c' and 5 more``."""
    names = ", ".join(repr(nodes[v]) for v in indices[:NAMED])
    more = f" and {len(indices) - NAMED} more" if len(indices) > NAMED else ""
    return f"node{'s' if len(indices) > 1 else ''} {names}{more}"
