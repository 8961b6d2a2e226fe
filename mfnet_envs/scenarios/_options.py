"""Options that scenarios share: a graph, numbers per node, and the sentences that refuse the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike

from mfnet_envs.model import Floats
from mfnet_envs.network import Bools, Ints, StateNetwork


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


def non_negative(**numbers: float) -> None:
    """Refuse what is not a finite number >= 0."""
    for name, number in numbers.items():
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"{name} must be a non-negative number, not {number!r}")


def share(**numbers: float) -> None:
    """Refuse what does not lie in [0, 1]."""
    for name, number in numbers.items():
        if not 0 <= number <= 1:
            raise ValueError(f"{name} must lie between 0 and 1, not {number!r}")


def whole(lowest: int, **numbers: int) -> None:
    """Refuse what is not an integer of at least ``lowest``."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < lowest:
            raise ValueError(f"{name} must be an integer of at least {lowest}, not {number!r}")


def steps(horizon: int, warmup: int) -> tuple[int, int]:
    """The evaluation steps, of which the first ``warmup`` do not count."""
    whole(1, horizon=horizon)
    if isinstance(warmup, bool) or not isinstance(warmup, int | np.integer) or not 0 <= warmup < horizon:
        raise ValueError(f"warmup must be an integer 0 .. {horizon - 1}, shorter than the horizon, not {warmup!r}")
    return int(horizon), int(warmup)


def one_of(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse what is not among the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")
