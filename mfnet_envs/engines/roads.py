"""Directed networks, the trips wanted on them, and shortest paths.

Letters of this package: L links, V nodes, A the most links that leave one node, P pairs of origin and destination (or
paths), K destinations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints


@dataclass(frozen=True)
class Roads:
    """Directed links between nodes 0 .. V - 1.

    Attributes:
        tail, head: ``(L,)``.
        num_nodes: V.
        first_through: nodes below may start and end a path, but no path passes through them.
    """

    tail: Ints
    head: Ints
    num_nodes: int
    first_through: int = 0

    @cached_property
    def out(self) -> Ints:
        """``(V, A)``: the links that leave each node, ascending, padded with -1."""
        order = np.argsort(self.tail, kind="stable")
        degree = np.bincount(self.tail, minlength=self.num_nodes)
        place = np.arange(len(order)) - np.repeat(np.cumsum(degree) - degree, degree)
        table = np.full((self.num_nodes, max(1, int(degree.max(initial=0)))), -1, np.int64)
        table[self.tail[order], place] = order
        return table

    def to_go(self, cost: Floats, destinations: Ints) -> Floats:
        """``(L, K)``: the least cost from the start of link e to destination k; inf where no way leads on.

        Args:
            cost: ``(L,)`` positive.
            destinations: ``(K,)`` nodes.
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        passable = np.flatnonzero(self.tail >= self.first_through)
        # the cheapest of parallel links: the matrix would add them up
        passable = passable[np.lexsort((cost[passable], self.tail[passable], self.head[passable]))]
        ends = self.head[passable] * self.num_nodes + self.tail[passable]
        cheapest = passable[np.unique(ends, return_index=True)[1]]
        backwards = csr_array((cost[cheapest], (self.head[cheapest], self.tail[cheapest])), (self.num_nodes,) * 2)
        distance: Any = dijkstra(backwards, indices=destinations)
        onward: Floats = cost[:, None] + distance[:, self.head].T
        return onward

    def next_link(self, to_go: Floats) -> Ints:
        """``(V, K)``: the first link of a cheapest path, -1 where there is none; ties: the lowest link."""
        best = np.where(self.out[..., None] < 0, np.inf, to_go[self.out])
        slot = best.argmin(1)
        reached = np.isfinite(best.min(1))
        return np.where(reached, np.take_along_axis(self.out, slot, 1), -1)

    def paths(self, next_link: Ints, origin: Ints, target: Ints, destinations: Ints) -> Floats:
        """``(P, L)`` incidence of the paths from ``origin (P,)`` to ``destinations[target]``, ``target (P,)``."""
        incidence = np.zeros((len(origin), len(self.tail)))
        going, at = np.arange(len(origin)), origin
        while going.size:
            link = next_link[at, target[going]]
            incidence[going, link] = 1
            still = self.head[link] != destinations[target[going]]
            going, at = going[still], self.head[link][still]
        return incidence


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
        return replace(self, volume=theta * self.volume)

    @property
    def total(self) -> float:
        return float(self.volume.sum())
