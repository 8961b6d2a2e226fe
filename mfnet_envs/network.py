"""The network of states: an undirected graph as padded tables.

A *node* is a vertex of the graph. Every node carries ``layers`` attributes (idle or occupied, a destination, a
load ...), so there are ``S = V * layers`` *states*, numbered ``s = v * layers + x``. Two states are neighbours iff
their nodes are equal or adjacent, so hop distances are distances on the graph whatever the number of layers.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Bools, Ints
from mfnet_envs.words import whole


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
        nodes: the labels, in the graph's own order; a node's index is its place here.
        neighbors: ``(V, D)`` ints; slot 0 is the node itself, then its neighbours in node order, padded with -1.

    Raises:
        ValueError: an empty, directed or disconnected graph, or ``layers < 1``.

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
        ends = np.array([(place[v], place[w]) for v, w in graph.edges()], np.int64).reshape(-1, 2)
        ends = ends[ends[:, 0] != ends[:, 1]]
        adjacent = np.unique(np.concatenate([ends, ends[:, ::-1]]) @ [self.num_nodes, 1])
        self.neighbors: Ints = _table(self.num_nodes, [np.arange(self.num_nodes) * (self.num_nodes + 1), adjacent])
        self.neighbors.setflags(write=False)

    @classmethod
    def grid(cls, rows: int, cols: int, layers: int = 1) -> StateNetwork:
        """The ``rows`` x ``cols`` lattice; cell (i, j) has index ``i * cols + j``."""
        return cls(nx.grid_2d_graph(whole("rows", rows), whole("cols", cols)), layers)

    @classmethod
    def line(cls, n: int, layers: int = 1) -> StateNetwork:
        """The path 0 - 1 - ... - (n-1)."""
        return cls(nx.path_graph(whole("n", n)), layers)

    @classmethod
    def ring(cls, n: int, layers: int = 1) -> StateNetwork:
        """The cycle of ``n`` nodes."""
        return cls(nx.cycle_graph(n) if whole("n", n) > 2 else nx.path_graph(n), layers)

    @property
    def num_nodes(self) -> int:
        return len(self.nodes)

    @property
    def num_states(self) -> int:
        return len(self.nodes) * self.layers

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
        lower, upper, furthest = np.zeros(self.num_nodes), np.full(self.num_nodes, np.inf), 0
        outside = True
        while furthest < reach and (upper > furthest).any():
            open_ = np.flatnonzero(upper > furthest)
            node = open_[upper[open_].argmax() if outside else lower[open_].argmin()]
            hops = self.distance(int(node), reach)
            if hops.min() < 0:
                return reach
            eccentricity = int(hops.max())
            furthest, outside = max(furthest, eccentricity), not outside
            lower = np.maximum(lower, np.maximum(hops, eccentricity - hops))
            upper = np.minimum(upper, eccentricity + hops)
        return min(furthest, reach)

    def distance(self, node: int, reach: float = math.inf) -> Ints:
        """``(V,)``: hops from ``node`` to every node, by breadth-first search; -1 beyond ``reach``."""
        hops = np.full(self.num_nodes, -1, np.int64)
        frontier, k = np.array([node]), 0
        while frontier.size and k <= reach:
            hops[frontier] = k
            reached = np.unique(self.neighbors[frontier])
            frontier, k = reached[(reached >= 0) & (hops[reached] < 0)], k + 1
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
            ahead = self.neighbors[node, 1:]
            reached = np.unique((origin[:, None] * v + ahead)[ahead >= 0])
            reached = reached[~_among(reached, shells[-1]) & ~_among(reached, behind)]  # a step leads one shell away
            if not reached.size:
                break
            behind = shells[-1]
            shells.append(reached)
        table = _table(v, shells)
        mask = table >= 0
        return np.where(mask, table, 0), mask

    def ball(self, k: int) -> Bools:
        """``(V, V)`` bool: entry (v, w) says whether w is within ``k`` hops of v. For small graphs."""
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
            raise ValueError(f"m must be at most the number of nodes, {self.num_nodes}, not {m}")
        runs = np.array_split(np.arange(self.num_nodes), m)
        return [Part(*sets) for sets in zip(runs, *(self._around(runs, k) for k in (hops, credit_hops)), strict=True)]

    def _around(self, runs: list[Ints], k: int) -> list[Ints]:
        """The nodes within ``k`` hops of each of the ``runs``."""
        if len(runs) == 1 or self.within(k + 1) <= k:
            return [np.arange(self.num_nodes)] * len(runs)
        index, mask = self.hops(k)
        return [np.unique(index[run][mask[run]]) for run in runs]

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": self.graph, "layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"StateNetwork(nodes={self.num_nodes}, edges={self.graph.number_of_edges()}, layers={self.layers})"


def _table(v: int, shells: list[Ints]) -> Ints:
    """Ascending pairs (row V + entry), list after list, as one table of ``v`` rows, padded with -1."""
    pairs = np.concatenate(shells)
    pairs = pairs[np.argsort(pairs // v, kind="stable")]
    rows, entries = np.divmod(pairs, v)
    lengths = np.bincount(rows, minlength=v)
    table = np.full((v, lengths.max()), -1, np.int64)
    table[rows, np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)] = entries
    return table


def _among(values: Ints, sorted_: Ints) -> Bools:
    """Which of ``values`` are in the ascending list ``sorted_``."""
    if not sorted_.size:
        return np.zeros(len(values), bool)
    place = np.minimum(np.searchsorted(sorted_, values), len(sorted_) - 1)
    found: Bools = sorted_[place] == values
    return found
