"""What can be reached on directed links, where nodes below ``first_through`` begin or end paths but lie within none.

Such a centroid i is split: as i it is a source with its links out, as V + i a sink with its links in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Bools, Floats, Ints


@dataclass(frozen=True)
class Reach:
    """Links ``tail, head (L,)`` between V nodes."""

    tail: Ints
    head: Ints
    num_nodes: int
    first_through: int

    def strong_part(self) -> Bools:
        """``(V,)``: the largest strongly connected part of the nodes that may be passed, and the centroids on it."""
        through = np.arange(self.num_nodes) >= self.first_through
        inner = through[self.tail] & through[self.head]
        parts = components(self.tail[inner], self.head[inner], self.num_nodes, "strong")
        core = through & (parts == largest(parts[through]))
        reached, reaching = np.zeros(self.num_nodes, bool), np.zeros(self.num_nodes, bool)
        reached[self.head[core[self.tail]]] = True
        reaching[self.tail[core[self.head]]] = True
        return np.asarray(core | (~through & reached & reaching))

    def without_path(self, demand: Floats) -> Iterator[tuple[int, Ints]]:
        """Origins, each with the destinations that have trips from it, ``demand (V, V)``, and no path."""
        sink = self._sinks()
        for origin in np.flatnonzero(demand.any(1)).tolist():
            reached = _reached(self.tail, sink[self.head], self.num_nodes + self.first_through, origin)
            missed = np.flatnonzero((demand[origin] > 0) & ~reached[sink])
            if len(missed):
                yield origin, missed

    def useful(self, demand: Floats) -> Bools:
        """``(L,)``: the links that some origin of ``demand (V, V)`` leads to and that lead to some destination."""
        sink = self._sinks()
        head, begins, ends = sink[self.head], np.flatnonzero(demand.any(1)), np.flatnonzero(demand.any(0))
        extra = self.num_nodes + self.first_through  # leads to all origins, and all destinations to it
        from_origins = np.append(self.tail, 0 * begins + extra), np.append(head, begins)
        to_destinations = np.append(head, 0 * ends + extra), np.append(self.tail, sink[ends])
        reached, leading = (_reached(*arcs, extra + 1, extra) for arcs in (from_origins, to_destinations))
        return np.asarray(reached[self.tail] & leading[head])

    def _sinks(self) -> Ints:
        """``(V,)``: where a path to each node ends."""
        nodes = np.arange(self.num_nodes)
        return nodes + np.where(nodes < self.first_through, self.num_nodes, 0)


def components(tail: Ints, head: Ints, num_nodes: int, connection: str) -> Ints:
    """``(V,)``: the number of the part each node lies in."""
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(adjacency(tail, head, num_nodes), connection=connection)[1], np.int64)


def largest(parts: Ints) -> int:
    """The part with most nodes; of equals, the one that holds the first node."""
    sizes = np.bincount(parts)
    return int(parts[np.argmax(sizes[parts])])


def adjacency(tail: Ints, head: Ints, num_nodes: int) -> Any:
    """``(V, V)`` sparse, the number of links from node to node."""
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(tail)), (tail, head)), shape=(num_nodes, num_nodes))


def _reached(tail: Ints, head: Ints, num_nodes: int, start: int) -> NDArray[np.bool_]:
    """``(V,)``: the nodes that ``start`` leads to, itself included."""
    from scipy.sparse.csgraph import breadth_first_order

    reached = np.zeros(num_nodes, bool)
    reached[breadth_first_order(adjacency(tail, head, num_nodes), start, return_predecessors=False)] = True
    return reached
