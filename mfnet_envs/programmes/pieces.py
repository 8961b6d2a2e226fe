"""Pieces that the linear programmes share: tangents of phi, the arcs of a network, flows as a policy.

Every programme bounds the mean number served by Jensen's inequality, E phi(n) <= phi(E n): phi(n) = E min(n, D) is
concave and linear between integers, so it is the least of its tangents there. In the fluid limit phi(n) = min(n, rate).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.matching import ExpectedMin

APART = 1e-6  # slopes
NOBODY = 1e-9  # agents: a flow below is none


def slopes(rate: Floats, phi: ExpectedMin | None) -> list[Floats]:
    """For each of ``rate (V,)`` the slopes of phi(n) for n = 0, 1, ..., falling, the last one 0.

    Args:
        phi: law of the matching at a finite population; None for the fluid limit, with slopes 1 and 0.

    >>> [part.tolist() for part in slopes(np.array([2.0]), None)]
    [[1.0, 0.0]]
    """
    return [np.append(np.ones(1) if phi is None else phi.slopes(v), 0.0) for v in range(len(rate))]


def fewer(slope: Floats, most: int) -> tuple[Floats, Floats]:
    """At most ``most`` tangents of the function with these falling slopes of unit width, the last one flat.

    Returns:
        slopes and widths of the least of these tangents, which is nowhere below the function.
    """
    height = np.cumsum(slope) - slope * np.arange(1, len(slope) + 1)  # of each tangent at 0
    begin = int(np.searchsorted(-slope, -1 + 1e-12))  # before, all of them are the same
    kept = np.unique([0, *np.linspace(begin, len(slope) - 1, most - 1).round().astype(int)])
    apart = [0]  # slopes that differ by rounding alone cross anywhere
    for k in kept[1:-1].tolist():
        if slope[k] < slope[apart[-1]] - APART and slope[k] > APART:
            apart.append(k)
    kept = np.array([*apart, len(slope) - 1])
    crossing = np.diff(height[kept]) / -np.diff(slope[kept])
    return slope[kept], np.append(np.diff(crossing, prepend=0.0), np.inf)


class Tangents(NamedTuple):
    """Rows m <= ``slope`` n + ``height`` at ``node``, all ``(rows,)``; each node's last one is flat, m <= rate."""

    node: Ints
    slope: Floats
    height: Floats


def tangents(rate: Floats, phi: ExpectedMin | None) -> Tangents:
    """The tangents of phi at every integer, node by node; of min(n, rate) without ``phi``.

    >>> tangents(np.array([2.0]), None).height.tolist()
    [0.0, 2.0]
    """
    parts = slopes(rate, phi)
    heights = [np.cumsum(part) - part * np.arange(1, len(part) + 1) for part in parts]
    for v, height in enumerate(heights):
        height[-1] = rate[v]
    node = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Tangents(node, np.concatenate(parts), np.concatenate(heights))


class Arcs(NamedTuple):
    """Ways from a node to its neighbours, itself among them: from ``origin (E,)``, by neighbour slot ``slot (E,)``.

    ``leaves`` and ``enters`` are sparse ``(V, E)``: 1 where an arc begins and where it ends.
    """

    origin: Ints
    slot: Ints
    leaves: Any
    enters: Any


def arcs(neighbors: Ints) -> Arcs:
    """The arcs of ``neighbors (V, D)``, padded with -1, in the order of nodes and slots."""
    from scipy.sparse import csr_array

    origin, slot = np.nonzero(neighbors >= 0)
    place, one, shape = np.arange(len(origin)), np.ones(len(origin)), (len(neighbors), len(origin))
    leaves = csr_array((one, (origin, place)), shape=shape)
    return Arcs(origin, slot, leaves, csr_array((one, (neighbors[origin, slot], place)), shape=shape))


def by_slot(values: Floats, way: Arcs, shape: tuple[int, ...]) -> Floats:
    """``values (..., E)`` of arcs as a table ``(..., V, D)``, 0 where there is no neighbour."""
    table = np.zeros(shape)
    table[..., way.origin, way.slot] = values
    return table


def shares(sent: Floats) -> Floats:
    """The policy of flows ``(..., V, D)``: pi = u / sum u, *stay* (slot 0) where nobody is sent.

    >>> shares(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [1.0, 0.0]]
    """
    total = sent.sum(-1, keepdims=True)
    stay = np.eye(1, sent.shape[-1])
    return np.where(total > NOBODY, sent / np.maximum(total, NOBODY), stay)
