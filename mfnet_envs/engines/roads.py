"""Directed networks, the trips wanted on them, and shortest paths.

Letters of this package: L links, Z instant ways, V nodes, A the most links that can be next at one node, P pairs of
origin and destination (or paths), K destinations.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints

NONE = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Roads:
    """Directed links between nodes 0 .. V - 1, and ways between nodes that take neither time nor room.

    Attributes:
        tail, head: ``(L,)`` of the links that take time.
        num_nodes: V.
        first_through: nodes below may start and end a path, but no path passes through them.
        instant_tail, instant_head: ``(Z,)`` of the ways that are passed at once. They are no places: who comes to a
            node is at the same moment wherever they lead.
    """

    tail: Ints
    head: Ints
    num_nodes: int
    first_through: int = 0
    instant_tail: Ints = field(default_factory=NONE.copy)
    instant_head: Ints = field(default_factory=NONE.copy)

    @cached_property
    def out(self) -> Ints:
        """``(V, A)``: the links that can be next at each node, ascending, padded with -1.

        They leave the node itself, or one that it leads to over instant ways.
        """
        node, link = self.tail, np.arange(len(self.tail))
        if len(self.instant_tail):
            start, end = self._leads.nonzero()
            through = (start == end) | (end >= self.first_through)
            leaving = _table(self.tail, link, (self.num_nodes, len(link)))
            node, link = (_table(start[through], end[through], (self.num_nodes,) * 2) @ leaving).nonzero()
        order = np.lexsort((link, node))
        degree = np.bincount(node, minlength=self.num_nodes)
        place = np.arange(len(order)) - np.repeat(np.cumsum(degree) - degree, degree)
        table = np.full((self.num_nodes, max(1, int(degree.max(initial=0)))), -1, np.int64)
        table[node[order], place] = link[order]
        return table

    def arrives(self, destinations: Ints) -> Bools:
        """``(V, K)``: whether who starts at node v is at destination k at once: it is v, or instant ways lead there.

        Nobody passes a node below ``first_through``, so whoever reaches one over a link has arrived there only.
        """
        if not len(self.instant_tail):
            return np.asarray(np.arange(self.num_nodes)[:, None] == destinations)
        return np.asarray(self._leads[:, destinations].toarray() > 0)

    @cached_property
    def _leads(self) -> Any:
        """``(V, V)`` sparse: from v to w over any number of instant ways, none inside below ``first_through``."""
        from scipy.sparse import eye_array

        size, onward = (self.num_nodes,) * 2, self.instant_tail >= self.first_through
        every: Any = eye_array(self.num_nodes, format="csr")
        reach = (every + _table(self.instant_tail[onward], self.instant_head[onward], size)).sign()
        known = -1
        while known != reach.nnz:
            known = reach.nnz
            reach = (reach @ reach).sign()
        return (every + _table(self.instant_tail, self.instant_head, size) @ reach).sign()

    def to_go(self, cost: Floats, destinations: Ints) -> Floats:
        """``(L, K)``: the least cost from the start of link e to destination k; inf where no way leads on.

        Args:
            cost: ``(L,)`` positive.
            destinations: ``(K,)`` nodes.
        """
        from scipy.sparse.csgraph import dijkstra

        distance: Any = dijkstra(self._backwards(cost, NONE)[0], indices=destinations)
        onward: Floats = cost[:, None] + distance[:, self.head].T
        return onward

    def next_link(self, to_go: Floats) -> Ints:
        """``(V, K)``: the first link of a cheapest path, -1 where there is none; ties: the lowest link."""
        best = np.where(self.out[..., None] < 0, np.inf, to_go[self.out])
        slot = best.argmin(1)
        reached = np.isfinite(best.min(1))
        return np.where(reached, np.take_along_axis(self.out, slot, 1), -1)

    def cheapest(self, cost: Floats, trips: Trips) -> Cheapest:
        """Cheapest paths of all trips under ``cost (L,)`` > 0: one search from every destination; ties: lowest link."""
        from scipy.sparse.csgraph import dijkstra

        # Who starts where nobody may pass, or ends where they start, starts at a copy of the node that no way enters.
        copied = (trips.origin < self.first_through) | trips.round_trip
        starts = np.unique(trips.origin[copied])
        start = np.where(copied, self.num_nodes + np.searchsorted(starts, trips.origin), trips.origin)
        graph, ways = self._backwards(cost, starts)
        distance, ahead = dijkstra(graph, indices=trips.destinations, return_predecessors=True)
        # The tree is one of many where paths tie. Lower links may replace it where they lead strictly nearer, so that
        # no path runs in circles over links that take next to nothing.
        order = np.argsort(-ways)
        end = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))[order]
        begin, price = graph.indices[order], graph.data[order]
        tight = (distance[:, end] + price == distance[:, begin]) & (distance[:, end] < distance[:, begin])
        target, entry = tight.nonzero()
        ahead[target, begin[entry]] = end[entry]  # of several the last, the lowest
        return Cheapest(self, trips, start, graph, ways, distance, ahead)

    def _backwards(self, cost: Floats, starts: Ints) -> tuple[Any, Ints]:
        """The network against its direction, the cheapest of parallel ways only (the matrix would add them up).

        Args:
            starts: ``(S,)`` nodes, ascending, with a copy V .. V + S - 1 each that only begins ways.

        Returns:
            ``(V + S, V + S)`` sparse costs, and the number of each entry's way: a link, or L + an instant way.
        """
        from scipy.sparse import csr_array

        tail, head = np.append(self.tail, self.instant_tail), np.append(self.head, self.instant_head)
        price = np.append(cost, np.zeros(len(self.instant_tail)))
        passed, begun = np.flatnonzero(tail >= self.first_through), np.flatnonzero(np.isin(tail, starts))
        way = np.append(passed, begun)
        before = np.append(tail[passed], self.num_nodes + np.searchsorted(starts, tail[begun]))
        size = self.num_nodes + len(starts)
        order = np.lexsort((price[way], before, head[way]))
        entries = order[np.unique((head[way] * size + before)[order], return_index=True)[1]]
        way, before = way[entries], before[entries]
        indptr = np.searchsorted(head[way], np.arange(size + 1))
        return csr_array((price[way], before, indptr), (size, size)), way


@dataclass(frozen=True)
class Cheapest:
    """Trees of cheapest paths to every destination.

    Attributes:
        start: ``(P,)`` where each trip begins in the graph.
        graph, ways: as :meth:`Roads._backwards` gives them; G nodes.
        distance: ``(K, G)``, inf where no way leads.
        ahead: ``(K, G)`` the next node.
    """

    roads: Roads
    trips: Trips
    start: Ints
    graph: Any
    ways: Ints
    distance: Floats
    ahead: Ints

    @cached_property
    def least(self) -> Floats:
        """``(P,)``: the cost of the cheapest path of each pair; inf: there is none, 0: instant ways lead there."""
        return self.distance[self.trips.target, self.start]

    def paths(self, pairs: Ints) -> tuple[Ints, Ints]:
        """Links of the cheapest paths of ``pairs (R,)`` in the order of travel, one path after the other.

        Returns:
            ``(M,)`` links, and their number on each path, ``(R,)``.
        """
        rows, size = np.repeat(np.arange(self.graph.shape[0]), np.diff(self.graph.indptr)), self.graph.shape[0]
        entry = rows * size + self.graph.indices
        target, at, going = self.trips.target[pairs], self.start[pairs], np.arange(len(pairs))
        owners, links = [going[:0]], [going[:0]]
        while going.size:
            ahead = self.ahead[target[going], at].astype(np.int64)
            way = self.ways[np.searchsorted(entry, ahead * size + at)]
            takes_time = way < len(self.roads.tail)
            owners.append(going[takes_time])
            links.append(way[takes_time])
            still = ahead != self.trips.destinations[target[going]]
            going, at = going[still], ahead[still]
        owner = np.concatenate(owners)
        return np.concatenate(links)[np.argsort(owner, kind="stable")], np.bincount(owner, minlength=len(pairs))


@dataclass(frozen=True)
class Trips:
    """Demand as a list of P pairs with a way between them.

    Attributes:
        origin: ``(P,)`` nodes.
        target: ``(P,)`` places in ``destinations (K,)``.
        volume: ``(P,)`` trips per unit of time.
    """

    origin: Ints
    target: Ints
    volume: Floats
    destinations: Ints

    @classmethod
    def of(cls, demand: Floats) -> Trips:
        """From a table ``(V, V)``; an entry on the diagonal is a round trip."""
        destinations = np.flatnonzero(demand.sum(0) > 0)
        origin, target = np.nonzero(demand[:, destinations])
        return cls(origin, target, demand[origin, destinations[target]], destinations)

    def scaled(self, theta: float) -> Trips:
        """The same trips, theta times as many."""
        return replace(self, volume=theta * self.volume)

    @property
    def total(self) -> float:
        """All of them, per unit of time."""
        return float(self.volume.sum())

    @property
    def round_trip(self) -> Bools:
        """``(P,)``: whether it ends where it starts."""
        return np.asarray(self.origin == self.destinations[self.target])


def adjacency(
    roads: Roads, starts: Ints, onward: Ints, follow: tuple[Ints, Ints], coordinates: Floats | None
) -> nx.Graph[Any]:
    """Links, then the nodes ``starts`` where trips begin, as places; adjacent are those one leads on to another.

    Args:
        onward: ``(P, A)`` the links that a place leads on to, padded with -1; follow: ``(M,)`` places where trips end,
            and ``(M, J)`` those where the next begins.
        coordinates: ``(V, 2)`` of nodes.
    """
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_nodes_from(range(len(onward)))
    place, slot = np.nonzero(onward >= 0)
    graph.add_edges_from(zip(place.tolist(), onward[place, slot].tolist(), strict=True))
    ends, begins = (table.tolist() for table in follow)
    graph.add_edges_from({(e, start) for e, starts in zip(ends, begins, strict=True) for start in starts})
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))  # a link that leads back to itself is its own place
    if coordinates is not None:
        a, b = coordinates[roads.tail], coordinates[roads.head]
        aside = 0.06 * np.stack([b[:, 1] - a[:, 1], a[:, 0] - b[:, 0]], 1)  # the two directions side by side
        spots = np.concatenate([(a + b) / 2 + aside, coordinates[starts]])
        nx.set_node_attributes(graph, {v: tuple(spot) for v, spot in enumerate(spots.tolist())}, "pos")
    return graph


def _table(row: Ints, column: Ints, shape: tuple[int, int]) -> Any:
    """Sparse, 1 (or more, where repeated) at each row and column."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(row)), (row, column)), shape)
