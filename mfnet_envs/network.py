"""The network of states: an undirected graph as lists of neighbours, and as padded tables where these are wanted.

A *node* is a vertex of the graph. Every node carries ``layers`` attributes (idle or occupied, a destination, a
load ...), so there are ``S = V * layers`` *states*, numbered ``s = v * layers + x``. Two states are neighbours iff
their nodes are equal or adjacent, so hop distances are distances on the graph whatever the number of layers.
"""

from __future__ import annotations

import math
from functools import cached_property
from numbers import Real
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Bools, Ints
from mfnet_envs.words import fits, is_whole, shown, whole

NODE_BYTES = 1_000  # of a networkx graph with its edges, per node
SPARSE = 10**8, 10  # a padded table of more entries, of which less than a tenth are neighbours, is refused
SWEEPS = 64  # searches from as many nodes are made at once, where a few alone do not settle the diameter


class Part(NamedTuple):
    """A part of the network that is trained by itself, and its halo; all ascending node numbers.

    Attributes:
        nodes: its own; sees: within k hops of them, what their critics are shown; hears: within kappa hops, whose
            critics' advantages its policies are told.
    """

    nodes: Ints
    sees: Ints
    hears: Ints


class StateNetwork:
    """A connected undirected graph with ``layers`` states per node.

    Args:
        graph: any connected undirected networkx graph; self-loops are dropped, parallel edges merged.
        layers: number of attributes per node, at least 1.

    Attributes:
        nodes: the labels, in the graph's own order; a node's index is its place here; num_nodes: V; num_states: S.
        starts: ``(V + 1,)``, adjacent: ``(2 E,)`` ints: the neighbours of node v, ascending and without itself, are
            ``adjacent[starts[v] : starts[v + 1]]``.

    Raises:
        ValueError: an empty, directed or disconnected graph, ``layers < 1``, or more states than memory holds.

    >>> network = StateNetwork.line(3)
    >>> network.neighbors.tolist()
    [[0, 1, -1], [1, 0, 2], [2, 1, -1]]
    >>> network.distance(0).tolist()
    [0, 1, 2]
    """

    def __init__(self, graph: nx.Graph[Any], layers: int = 1) -> None:
        if not isinstance(graph, nx.Graph):
            raise TypeError(f"StateNetwork takes a networkx.Graph, not {type(graph).__name__}")
        if graph.is_directed():
            raise ValueError("the graph is directed; pass graph.to_undirected(), since N_s must be symmetric")
        if graph.number_of_nodes() == 0:
            raise ValueError("the graph is empty; it needs at least one node")
        if not nx.is_connected(graph):
            parts = nx.number_connected_components(graph)
            raise ValueError(
                f"the graph falls into {parts} parts; keep one connected component or add the missing edges"
            )
        self.layers = whole("layers", layers)
        self.graph = graph
        self.nodes: tuple[Any, ...] = tuple(graph.nodes)
        place = {label: v for v, label in enumerate(self.nodes)}
        fits(f"layers={shown(layers)} of {self.num_nodes:,} nodes", self.num_nodes, self.layers)
        ends = np.array([(place[v], place[w]) for v, w in graph.edges()], np.int64).reshape(-1, 2)
        ends = ends[ends[:, 0] != ends[:, 1]]
        self._pairs: Ints = np.unique(np.concatenate([ends, ends[:, ::-1]]) @ [self.num_nodes, 1])  # v V + w
        self.starts: Ints = np.searchsorted(self._pairs, np.arange(self.num_nodes + 1) * self.num_nodes)
        self.adjacent: Ints = self._pairs % self.num_nodes
        for table in (self._pairs, self.starts, self.adjacent):
            table.setflags(write=False)

    @classmethod
    def grid(cls, rows: int, cols: int, layers: int = 1) -> StateNetwork:
        """The ``rows`` x ``cols`` lattice; cell (i, j) has index ``i * cols + j``."""
        size = whole("rows", rows), whole("cols", cols)
        fits(f"rows={shown(rows)} times cols={shown(cols)} nodes", *size, itemsize=NODE_BYTES)
        return cls(nx.grid_2d_graph(*size), layers)

    @classmethod
    def line(cls, n: int, layers: int = 1) -> StateNetwork:
        """The path 0 - 1 - ... - (n-1)."""
        return cls(nx.path_graph(_size(n)), layers)

    @classmethod
    def ring(cls, n: int, layers: int = 1) -> StateNetwork:
        """The cycle of ``n`` nodes."""
        return cls(nx.cycle_graph(n) if _size(n) > 2 else nx.path_graph(n), layers)

    @property
    def num_nodes(self) -> int:
        return len(self.nodes)

    @property
    def num_states(self) -> int:
        return len(self.nodes) * self.layers

    @cached_property
    def neighbors(self) -> Ints:
        """``(V, D)`` ints; slot 0 is the node itself, then its neighbours in node order, padded with -1.

        Raises:
            ValueError: a table of padding almost only, for one node has far more neighbours than the others.
        """
        own = np.arange(self.num_nodes) * (self.num_nodes + 1)
        table = _table(self.num_nodes, [own, self._pairs], "neighbours", self.nodes)
        table.setflags(write=False)
        return table

    @property
    def is_lopsided(self) -> bool:
        """Whether :attr:`neighbors` would be nearly all padding, and so is refused."""
        size, (large, sparse) = self.num_nodes * (int(self.degrees.max()) + 1), SPARSE
        return size > large and size > sparse * (self.num_nodes + len(self.adjacent))

    @cached_property
    def degrees(self) -> Ints:
        """``(V,)``: how many neighbours each node has, itself left out."""
        return np.diff(self.starts)

    def ahead(self, nodes: Ints) -> tuple[Ints, Ints]:
        """The neighbours of ``nodes (K,)`` in one list, and for each of them the place in ``nodes`` it belongs to."""
        many = self.degrees[nodes]
        owner = np.arange(len(nodes)).repeat(many)
        first = self.starts[nodes] - many.cumsum() + many
        return self.adjacent[first[owner] + np.arange(len(owner))], owner

    def is_step(self, origin: Ints, target: Ints) -> Bools:
        """Whether ``target`` lies in the closed neighbourhood of ``origin``; both of one shape."""
        stays: Bools = origin == target
        return stays | _among(origin * self.num_nodes + target, self._pairs)

    @cached_property
    def node_of(self) -> Ints:
        """``(S,)``: the node of each state."""
        return np.repeat(np.arange(self.num_nodes), self.layers)

    @cached_property
    def diameter(self) -> int:
        """The largest hop distance between two nodes; searched for when first asked."""
        return int(self.within(math.inf))

    def within(self, reach: float) -> float:
        """min(diameter, reach), without going on once two nodes are found that are ``reach`` hops apart.

        Breadth-first sweeps bound the eccentricity of every node from both sides: with d hops from a swept node of
        eccentricity e it is at least max(d, e - d) and at most e + d (Takes and Kosters, 2011). Nodes that could still
        be further from another than the furthest found, at first all, are swept in turn from the outside and from the
        middle of the graph. Exact; a few sweeps on most graphs, up to V where all nodes are alike.
        """
        _check_reach(reach)
        lower, upper, furthest = np.zeros(self.num_nodes), np.full(self.num_nodes, np.inf), 0
        outside, sweeps = True, 0
        while furthest < reach and (upper > furthest).any():
            open_ = np.flatnonzero(upper > furthest)
            if sweeps >= SWEEPS:
                return self._within_of_all(open_, furthest, reach)
            node = open_[upper[open_].argmax() if outside else lower[open_].argmin()]
            hops = self.distance(int(node), reach)
            if hops.min() < 0:
                return reach
            eccentricity = int(hops.max())
            furthest, outside, sweeps = max(furthest, eccentricity), not outside, sweeps + 1
            lower = np.maximum(lower, np.maximum(hops, eccentricity - hops))
            upper = np.minimum(upper, eccentricity + hops)
        return min(furthest, reach)

    def _within_of_all(self, nodes: Ints, furthest: float, reach: float) -> float:
        """min(the furthest that anything is from one of ``nodes``, reach), where bounds settle too few of them."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        v = self.num_nodes
        graph = csr_array((np.ones(len(self.adjacent)), self.adjacent, self.starts), (v, v))
        for some in np.array_split(nodes, -(-len(nodes) // SWEEPS)):
            furthest = max(furthest, float(dijkstra(graph, indices=some, unweighted=True).max()))
            if furthest >= reach:
                break
        return min(furthest, reach)

    def spans(self, reach: float) -> bool:
        """Whether all nodes lie within ``reach`` hops of each other; searches only where that is not plain."""
        _check_reach(reach)
        if reach >= self.num_nodes - 1:
            return True
        return 2 * int(self.distance(0).max()) <= reach or self.within(reach + 1) <= reach

    def distance(self, node: int, reach: float = math.inf) -> Ints:
        """``(V,)``: hops from ``node`` to every node, by breadth-first search; -1 beyond ``reach``."""
        if not is_whole(node) or node >= self.num_nodes:
            raise ValueError(f"node must be the place of a node, 0 .. {self.num_nodes - 1}, not {shown(node)}")
        hops = np.full(self.num_nodes, -1, np.int64)
        frontier, k = np.array([node]), 0
        while frontier.size and k <= reach:
            hops[frontier] = k
            reached = self.ahead(frontier)[0]
            frontier, k = np.unique(reached[hops[reached] < 0]), k + 1
        return hops

    def hops(self, k: int) -> tuple[Ints, Bools]:
        """The k-hop neighbourhoods N_v^k, searched for from all nodes at once.

        Returns:
            ``index (V, D_k)``: nodes within ``k`` hops, by distance then by node order (slot 0 is the node itself),
            padded with 0; ``mask (V, D_k)``: False on the padding.
        """
        v = self.num_nodes
        shells = [np.arange(v) * (v + 1)]  # the pair (v, w) is the number v V + w
        behind = shells[0][:0]
        for _ in range(whole("hops", k, 0)):
            origin, node = np.divmod(shells[-1], v)
            more = int(self.degrees[node].sum())
            fits(f"{more:,} pairs of nodes within {shown(k)} hops of each other", more, itemsize=40)
            ahead, owner = self.ahead(node)
            reached = np.unique(origin[owner] * v + ahead)
            reached = reached[~_among(reached, shells[-1]) & ~_among(reached, behind)]  # a step leads one shell away
            if not reached.size:
                break
            behind = shells[-1]
            shells.append(reached)
        table = _table(v, shells, f"nodes within {shown(k)} hops", self.nodes)
        mask = table >= 0
        return np.where(mask, table, 0), mask

    def ball(self, k: int) -> Bools:
        """``(V, V)`` bool: entry (v, w) says whether w is within ``k`` hops of v. For small graphs."""
        fits(f"balls as a table of {self.num_nodes:,} x {self.num_nodes:,} nodes", *[self.num_nodes] * 2, itemsize=1)
        index, mask = self.hops(k)
        inside = np.zeros((self.num_nodes, self.num_nodes), bool)
        rows = np.broadcast_to(np.arange(self.num_nodes)[:, None], index.shape)
        inside[rows[mask], index[mask]] = True
        return inside

    def parts(self, m: int, hops: int, credit_hops: int) -> list[Part]:
        """Cut the nodes into ``m`` runs of consecutive numbers, as equal as can be, and find what each needs of others.

        Halos are small where neighbours have near numbers, as in a grid numbered row by row.
        """
        if whole("m", m) > self.num_nodes:
            raise ValueError(f"m must be at most the number of nodes, {self.num_nodes}, not {shown(m)}")
        runs = np.array_split(np.arange(self.num_nodes), m)
        return [Part(*sets) for sets in zip(runs, *(self._around(runs, k) for k in (hops, credit_hops)), strict=True)]

    def _around(self, runs: list[Ints], k: int) -> list[Ints]:
        """The nodes within ``k`` hops of each of the ``runs``."""
        if len(runs) == 1 or self.spans(k):
            return [np.arange(self.num_nodes)] * len(runs)
        index, mask = self.hops(k)
        return [np.unique(index[run][mask[run]]) for run in runs]

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": self.graph, "layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"StateNetwork(nodes={self.num_nodes}, edges={self.graph.number_of_edges()}, layers={self.layers})"


def _check_reach(reach: Any) -> None:
    is_real = isinstance(reach, Real)
    if not (is_real and reach >= 0):
        raise ValueError(f"reach must be a number of hops, at least 0, not {shown(reach)}")


def _size(n: Any) -> int:
    """``n`` nodes, if they fit."""
    size = whole("n", n)
    fits(f"n={shown(n)} nodes", size, itemsize=NODE_BYTES)
    return size


def _table(v: int, shells: list[Ints], what: str, labels: tuple[Any, ...]) -> Ints:
    """Ascending pairs (row V + entry), list after list, as one table of ``v`` rows, padded with -1.

    Raises:
        ValueError: it would be padding almost only, or larger than memory; names the widest row.
    """
    pairs = np.concatenate(shells)
    pairs = pairs[np.argsort(pairs // v, kind="stable")]
    rows, entries = np.divmod(pairs, v)
    lengths = np.bincount(rows, minlength=v)
    widest = int(lengths.argmax())
    size, (large, sparse) = v * int(lengths[widest]), SPARSE
    hub = f"{lengths[widest] - 1:,} {what} of node {shown(labels[widest])} as a row for each of {v:,} nodes"
    if size > large and size > sparse * len(pairs):
        raise ValueError(
            f"{hub} would be a table of {size:,} places, nearly all empty: split that node, or join others"
        )
    fits(hub, size, itemsize=16)
    table = np.full((v, lengths[widest]), -1, np.int64)
    table[rows, np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)] = entries
    return table


def _among(values: Ints, sorted_: Ints) -> Bools:
    """Which of ``values`` are in the ascending list ``sorted_``."""
    if not sorted_.size:
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(sorted_, values), len(sorted_) - 1)
    found: Bools = sorted_[place] == values
    return found
