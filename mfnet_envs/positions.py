"""Where nodes and states lie: what graph and model say of it, and nothing made up."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.network import StateNetwork


class OnNetwork(Protocol):
    """Anything with a network; its states may lie apart from their nodes by an attribute ``positions (S, 2)``."""

    @property
    def network(self) -> StateNetwork: ...


def node_positions(model: OnNetwork) -> Floats | None:
    """``(V, 2)``, x to the right and y up: None if neither the graph nor the model says.

    The nodes' ``pos``; else the middle of the model's ``positions`` of their states; else (j, -i) for labels (i, j).

    Raises:
        ValueError: ``positions`` of another shape.
    """
    network = model.network
    given = [network.graph.nodes[label].get("pos") for label in network.nodes]
    if all(pos is not None for pos in given):
        return np.asarray(given, float)
    of_states = state_positions(model)
    if of_states is not None:
        middle: Floats = of_states.reshape(network.num_nodes, network.layers, 2).mean(1)
        return middle
    if is_lattice(network):
        return np.array([(j, -i) for i, j in network.nodes], float)
    return None


def state_positions(model: OnNetwork) -> Floats | None:
    """``(S, 2)`` where the states lie apart from their nodes, such as vehicles on their way along a link; else None.

    Raises:
        ValueError: ``positions`` of another shape.
    """
    given = getattr(model, "positions", None)
    if given is None:
        return None
    places = np.asarray(given, float)
    if places.shape != (model.network.num_states, 2):
        raise ValueError(f"positions must have shape {(model.network.num_states, 2)}, not {places.shape}")
    return places


def is_lattice(network: StateNetwork) -> bool:
    """Whether the nodes are labelled by pairs (row, column)."""
    return all(isinstance(n, tuple) and len(n) == 2 and all(isinstance(x, int) for x in n) for n in network.nodes)


def edge_index(network: StateNetwork) -> Ints:
    """``(2, 2 E)``: origin and target of every edge in both directions, as indices of nodes."""
    return np.stack([np.repeat(np.arange(network.num_nodes), network.degrees), network.adjacent])
