"""What a node can know that sees its ball only: situations that look the same, and the best values on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.network import StateNetwork


def looks(network: StateNetwork, situations: Ints, node: int, hops: int) -> Ints:
    """``(L,)``: a number for each of ``situations (L, S, ...)``, equal where they agree on N_node^k."""
    index, mask = network.hops(hops)
    nodes = index[node, mask[node]]
    states = (nodes[:, None] * network.layers + np.arange(network.layers)).reshape(-1)
    seen = situations[:, states].reshape(len(situations), -1)
    _, number = np.unique(seen, axis=0, return_inverse=True)
    return number.reshape(-1)


def by_node(network: StateNetwork, values: Floats) -> Floats:
    """Values ``(L, S)`` of states summed over the layers of each node, or ``(L, V)`` as they are: ``(L, V)``."""
    nodes: Floats = values.reshape(len(values), network.num_nodes, -1).sum(2)
    return nodes


def spread_within(network: StateNetwork, situations: Ints, values: NDArray[np.floating], hops: int) -> Floats:
    """Largest difference of each node's values between situations that agree on its ball: ``(V,)``."""
    nodes = by_node(network, np.asarray(values, np.float64))
    found = np.zeros(network.num_nodes)
    for node, value in enumerate(nodes.T):
        look = looks(network, situations, node, hops)
        highest, lowest = np.full(look.max() + 1, -np.inf), np.full(look.max() + 1, np.inf)
        np.maximum.at(highest, look, value)
        np.minimum.at(lowest, look, value)
        found[node] = (highest - lowest).max()
    return found


def conditional_mean(network: StateNetwork, situations: Ints, values: Floats, weights: Floats, hops: int) -> Floats:
    """E[value of y | what y sees within ``hops``], for all nodes at once: ``(L, V)``.

    Args:
        values: ``(L, V)``; weights: ``(L,)`` the law of the situations. Where a look never happens, the plain mean.
    """
    best = np.empty_like(values)
    for node, value in enumerate(values.T):
        look = looks(network, situations, node, hops)
        total, size = np.bincount(look, weights), np.bincount(look)
        plain = np.bincount(look, value) / size
        mean = np.bincount(look, weights * value)
        best[:, node] = np.divide(mean, total, out=plain, where=total > 0)[look]
    return best


def td_lambda_values(
    network: StateNetwork, counts: Ints, rewards: Floats, law: Floats, weights: Floats, gamma: float, decay: float,
    hops: int,
) -> Floats:  # fmt: skip
    """The fixed point of TD(lambda) for critics that see mu on N_y^k: ``(M, V)``.

    v_y is constant on looks and its lambda-advantage has mean 0 on each, under ``weights``:
    E[sum_n decay^n delta_{t+n} | look] = 0 with delta = r_y + gamma v_y(mu') - v_y(mu).

    Args:
        rewards: ``(M, V)`` mean rewards; law: ``(M, M)``; weights: ``(M,)`` law of the samples; decay: gamma lambda.
    """
    m = len(counts)
    ahead = np.linalg.inv(np.eye(m) - decay * law)  # sum_n decay^n P^n
    by_reward, by_value = ahead @ rewards, ahead @ (np.eye(m) - gamma * law)
    values = np.empty((m, network.num_nodes))
    for node in range(network.num_nodes):
        look = looks(network, counts[:, :, None], node, hops)
        looked = np.eye(look.max() + 1)[look]
        weighted = looked.T * weights
        solved = np.linalg.lstsq(weighted @ by_value @ looked, weighted @ by_reward[:, node], rcond=None)[0]
        values[:, node] = solved[look]
    return values
