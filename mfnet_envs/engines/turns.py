"""Which link next: the reference policies of the congestion scenarios.

Tables are ``(V, A, K)``: at the end of a link or at a start, node v, for destination k, the odds of each way out. They
look at the own state only and are in the paper's class. The classes of this file look at the links ahead: 1-hop
information, outside that class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.policy import Policy, TablePolicy, uniform

if TYPE_CHECKING:
    from mfnet_envs.engines.congestion import Congestion

LOGIT_SCALE = 0.25
SAME = 1e-9  # relative difference below which two ways are equally long


def random_turn(model: Congestion) -> TablePolicy:
    """Any way out from which the destination can still be reached, with equal odds."""
    return uniform(model)


def shortest_path(model: Congestion, cost: Floats, *, last: bool = False) -> TablePolicy:
    """The first link of a shortest path under ``cost (L,)``; ties: the lowest link, or the ``last``."""
    if not last:
        return by_node(model, _shortest(model, cost))
    tied = _shortest_all(model, cost)
    return by_node(model, (tied & (tied[:, ::-1].cumsum(1)[:, ::-1] == 1)).astype(float))


def equal_split(model: Congestion, cost: Floats) -> TablePolicy:
    """Equal odds for all links that begin a shortest path under ``cost (L,)`` (ECMP)."""
    return by_node(model, _shortest_all(model, cost).astype(float))


def logit(model: Congestion) -> TablePolicy:
    """Odds exp(-to_go / scale) in free-flow times, scale = a quarter of the mean time of a link."""
    ahead = _ahead(model, model.to_go)
    nearest = ahead.min(1, keepdims=True)
    excess = np.where(np.isfinite(ahead), ahead - np.where(np.isfinite(nearest), nearest, 0), np.inf)
    return by_node(model, np.exp(-excess / (LOGIT_SCALE * model.free_flow.mean())))


def splits(model: Congestion, flows: Floats) -> TablePolicy:
    """The shares of an assignment's turns ``(V, A, K)``; shortest paths in free flow where it sends nobody."""
    used = flows.sum(1, keepdims=True) > SAME * model.total
    return by_node(model, np.where(used, flows, _shortest(model, model.free_flow)))


def by_phase(model: Congestion, flows: Floats, of_patterns: Sequence[tuple[Floats, Floats]]) -> Policy:
    """:func:`splits` of ``flows``; where capacities change by the clock, of those found with the shares in force.

    Args:
        of_patterns: (shares of capacity ``(L,)``, turns ``(V, A, K)``).
    """
    from mfnet_envs.heuristics import ByTheClock

    usual = splits(model, flows)
    if model.period is None or not of_patterns:
        return usual
    known = {kept.tobytes(): splits(model, turns) for kept, turns in of_patterns}
    return ByTheClock(model, [known.get(model.at(t).capacity_share.tobytes(), usual) for t in range(model.period)])


def by_node(model: Congestion, table: Floats) -> TablePolicy:
    """The policy whose odds at the node where a place ends are ``table (V, A, K)``."""
    place, layer = np.divmod(model.team_states, model.network.layers)
    odds = np.where(model.legal[model.team_states], table[model.end[place], :, layer], 0.0)
    return TablePolicy(model, odds / odds.sum(1, keepdims=True))


def _ahead(model: Congestion, per_link: Floats) -> Floats:
    """``(V, A, K)`` of a table ``(L, K)``; inf for no link."""
    return np.where(model.roads.out[..., None] < 0, np.inf, per_link[model.roads.out])


def _shortest_all(model: Congestion, cost: Floats) -> Bools:
    """``(V, A, K)``: whether the way out begins a shortest path."""
    ahead = _ahead(model, model.roads.to_go(cost, model.trips.destinations))
    return np.asarray(np.isfinite(ahead) & (ahead <= ahead.min(1, keepdims=True) * (1 + SAME)))


def _shortest(model: Congestion, cost: Floats) -> Floats:
    best = model.roads.next_link(model.roads.to_go(cost, model.trips.destinations))
    chosen: Floats = ((model.roads.out[..., None] == best[:, None]) & (best[:, None] >= 0)).astype(float)
    return chosen


class Looking(Policy):
    """Takes the way out with the least :meth:`score`; 1-hop information."""

    def __init__(self, model: Congestion) -> None:
        super().__init__(model)
        self.congestion = model
        self.place, self.layer = np.divmod(model.team_states, model.network.layers)
        self.ahead: Ints = model.onward[self.place]  # (T, A) links
        self.legal = model.legal[model.team_states]

    def teams(self, counts: Ints, t: int) -> Floats:
        score = np.where(self.legal, self.score(counts, self.congestion.at(t)), np.inf)
        chosen: Floats = np.eye(score.shape[2])[score.argmin(2)]
        return chosen

    def score(self, counts: Ints, now: Congestion) -> Floats:
        """``(B, T, A)``, the less the better; ``now`` is the model in force."""
        raise NotImplementedError


class CurrentTime(Looking):
    """The time the next link takes now, and free flow from there."""

    def __init__(self, model: Congestion) -> None:
        super().__init__(model)
        self.onward = (model.to_go - model.free_flow[:, None])[self.ahead, self.layer[:, None]]

    def score(self, counts: Ints, now: Congestion) -> Floats:
        expected: Floats = now.delays(counts)[:, self.ahead] + self.onward
        return expected


class ShortestQueue(Looking):
    """Join the shortest queue, for its capacity, among the links that begin a path of fewest hops."""

    def __init__(self, model: Congestion) -> None:
        super().__init__(model)
        hops = model.roads.to_go(np.ones(len(model.roads.tail)), model.trips.destinations)
        hops = np.where(self.legal, hops[self.ahead, self.layer[:, None]], np.inf)
        self.detour = np.where(hops > hops.min(1, keepdims=True), np.inf, 0.0)

    def score(self, counts: Ints, now: Congestion) -> Floats:
        return now.delays(counts)[:, self.ahead] + self.detour


class Backpressure(Looking):
    """The greatest fall towards the next link of (vehicles for one's own destination + hops to go), times capacity.

    The hops are the usual bias towards short paths, without which packets wander where queues are short.
    """

    def __init__(self, model: Congestion, capacity: Floats) -> None:
        super().__init__(model)
        hops = model.roads.to_go(np.ones(len(model.roads.tail)), model.trips.destinations)
        after = np.where(self.legal, hops[self.ahead, self.layer[:, None]], 0.0) - 1
        before = np.where(self.legal, after, np.inf).min(1, keepdims=True) + 1
        self.nearer = before - after
        self.capacity = capacity[self.ahead]
        self.own = self.place * model.network.layers + self.layer
        self.next = self.ahead * model.network.layers + self.layer[:, None]

    def score(self, counts: Ints, now: Congestion) -> Floats:
        fall = counts[:, self.own, None] - counts[:, self.next]
        capacity = self.capacity * now.capacity_share[self.ahead]
        pressure: Floats = capacity * (self.congestion.weight * fall + self.nearer)
        return -pressure
