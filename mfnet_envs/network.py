"""The network of states: an undirected graph as padded tables.

A *node* is a vertex of the graph. Every node carries ``layers`` attributes (idle or occupied, a destination, a
load ...), so there are ``S = V * layers`` *states*, numbered ``s = v * layers + x``. Two states are neighbours iff
their nodes are equal or adjacent, so hop distances are distances on the graph whatever the number of layers.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


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
        _positive(layers=layers)
        self.graph = graph
        self.layers = int(layers)
        self.nodes: tuple[Any, ...] = tuple(graph.nodes)
        place = {label: v for v, label in enumerate(self.nodes)}
        adjacent = [sorted({place[w] for w in graph.adj[label]} - {v}) for v, label in enumerate(self.nodes)]
        self.neighbors: Ints = _padded([[v, *row] for v, row in enumerate(adjacent)])
        self.neighbors.setflags(write=False)

    @classmethod
    def grid(cls, rows: int, cols: int, layers: int = 1) -> StateNetwork:
        """The ``rows`` x ``cols`` lattice; cell (i, j) has index ``i * cols + j``."""
        _positive(rows=rows, cols=cols)
        return cls(nx.grid_2d_graph(rows, cols), layers)

    @classmethod
    def line(cls, n: int, layers: int = 1) -> StateNetwork:
        """The path 0 - 1 - ... - (n-1)."""
        _positive(n=n)
        return cls(nx.path_graph(n), layers)

    @classmethod
    def ring(cls, n: int, layers: int = 1) -> StateNetwork:
        """The cycle of ``n`` nodes."""
        _positive(n=n)
        return cls(nx.cycle_graph(n) if n > 2 else nx.path_graph(n), layers)

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
        """The largest hop distance between two nodes."""
        return int(max(self.distance(v).max() for v in range(self.num_nodes)))

    def distance(self, node: int) -> Ints:
        """``(V,)``: hops from ``node`` to every node, by breadth-first search."""
        hops = np.full(self.num_nodes, -1, np.int64)
        frontier, k = np.array([node]), 0
        while frontier.size:
            hops[frontier] = k
            reached = np.unique(self.neighbors[frontier])
            frontier, k = reached[(reached >= 0) & (hops[reached] < 0)], k + 1
        return hops

    def hops(self, k: int) -> tuple[Ints, Bools]:
        """The k-hop neighbourhoods N_v^k.

        Returns:
            ``index (V, D_k)``: nodes within ``k`` hops, by distance then by node order (slot 0 is the node itself),
            padded with 0; ``mask (V, D_k)``: False on the padding.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
            raise ValueError(f"hops must be a non-negative integer, not {k!r}")
        index = _padded([self._ball(v, int(k)) for v in range(self.num_nodes)])
        mask = index >= 0
        return np.where(mask, index, 0), mask

    def ball(self, k: int) -> Bools:
        """``(V, V)`` bool: entry (v, w) says whether w is within ``k`` hops of v."""
        index, mask = self.hops(k)
        inside = np.zeros((self.num_nodes, self.num_nodes), bool)
        rows = np.broadcast_to(np.arange(self.num_nodes)[:, None], index.shape)
        inside[rows[mask], index[mask]] = True
        return inside

    def _ball(self, node: int, k: int) -> list[int]:
        """Nodes within ``k`` hops of ``node``, nearest first: a search that stops at radius k."""
        seen, frontier, found = {node}, [node], [node]
        for _ in range(k):
            frontier = sorted({int(w) for v in frontier for w in self.neighbors[v] if w >= 0} - seen)
            seen.update(frontier)
            found += frontier
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": self.graph, "layers": self.layers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"StateNetwork(nodes={self.num_nodes}, edges={self.graph.number_of_edges()}, layers={self.layers})"


def _padded(rows: list[list[int]]) -> Ints:
    """Ragged lists as one (len(rows), longest) table, padded with -1."""
    table = np.full((len(rows), max(len(row) for row in rows)), -1, np.int64)
    for table_row, row in zip(table, rows, strict=True):
        table_row[: len(row)] = row
    return table


def _positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"{name} must be a positive integer, not {size!r}")
