"""Options that scenarios share: a graph, numbers per node, the steps of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.network import StateNetwork
from mfnet_envs.words import is_whole, whole


def network_of(
    rows: int, cols: int, graph: nx.Graph[Any] | Sequence[tuple[int, int]] | None, layers: int = 1
) -> StateNetwork:
    """The ``rows`` x ``cols`` grid, or instead of it a networkx graph or a list of edges between 0 .. V - 1."""
    return StateNetwork.grid(rows, cols, layers) if graph is None else StateNetwork(as_graph(graph), layers)


def as_graph(graph: nx.Graph[Any] | Sequence[tuple[int, int]]) -> nx.Graph[Any]:
    """A list of edges as a graph whose nodes stand in ascending order; a graph as it is."""
    if isinstance(graph, nx.Graph):
        return graph
    edges = list(graph)
    if not all(len(edge) == 2 for edge in edges):
        raise ValueError("graph must be a networkx graph or a list of edges such as [[0, 1], [1, 2]]")
    ordered: nx.Graph[Any] = nx.Graph()
    ordered.add_nodes_from(sorted({node for edge in edges for node in edge}))
    ordered.add_edges_from((a, b) for a, b in edges)
    return ordered


def moves(network: StateNetwork) -> tuple[Ints, Bools]:
    """Action j goes to neighbour slot j: the node it leads to ``(V, D)``, and whether it is legal (padding is not)."""
    legal = network.neighbors >= 0
    return np.where(legal, network.neighbors, network.neighbors[:, :1]), legal


def per_node(name: str, values: ArrayLike, network: StateNetwork) -> Floats:
    """``values`` as ``(V,)`` finite non-negative numbers; a single number stands for all nodes."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape not in ((), (network.num_nodes,)) or not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        raise ValueError(f"{name} must be {network.num_nodes} non-negative numbers, one per node")
    return np.broadcast_to(numbers, network.num_nodes).copy()


def evaluation(horizon: int, warmup: int) -> tuple[int, int]:
    """The evaluation steps, of which the first ``warmup`` do not count."""
    steps = whole("horizon", horizon)
    if not is_whole(warmup) or warmup >= steps:
        raise ValueError(f"warmup must be an integer 0 .. {steps - 1}, shorter than the horizon, not {warmup!r}")
    return steps, int(warmup)
