"""A fleet's city in steps: what is asked for in each, where it leads, and how cars on their way are states.

A car on its way is in the zone it drives to, on the layer that says in how many steps it will be idle there. So a trip
of any length is one move between adjacent nodes, and then a conveyor that nobody chooses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.io.city_data import CityData
from mfnet_envs.model import Branch
from mfnet_envs.words import fits, shown

MOST_STEPS = 10_000  # of a drive; a week of minutes


class Step(NamedTuple):
    """What requests and empty drives are in one step; money is an agent's.

    Attributes:
        rate: ``(V, K)`` mean requests of each class, in agents; pay: ``(V, K)`` earned by who serves one.
        target, duration: ``(V, K, J)`` where they lead, and in how many steps a car is idle there; odds: their chances.
        empty, late: ``(V, A)`` where actions lead, and in how many steps; cost: ``(V, A)``; legal: ``(V, A)``.
    """

    rate: Floats
    pay: Floats
    target: Ints
    duration: Ints
    odds: Floats
    empty: Ints
    late: Ints
    cost: Floats
    legal: Bools


class Drives:
    """Where cars drive, in steps and for money, in every step of a city.

    Attributes:
        targets: ``(V, A)`` where actions lead, slot 0 the zone itself, also where an action is not legal; legal.
        notes: what rounding did.
    """

    def __init__(self, city: CityData, empty: str, cost: float) -> None:
        """``cost`` of a step."""
        zones = len(city.zones)
        self.city, self.cost = city, cost
        near = np.ones((zones, zones), bool)
        if empty == "neighbours":
            near = np.zeros((zones, zones), bool)
            near[city.neighbours[:, 0], city.neighbours[:, 1]] = near[city.neighbours[:, 1], city.neighbours[:, 0]] = (
                True
            )
            if not near.any():
                raise ValueError("empty='neighbours' needs zones that share a border, and this city names none")
        near[np.arange(zones), np.arange(zones)] = False
        others = [np.flatnonzero(row) for row in near]
        actions = 1 + max(map(len, others))
        self.targets = np.tile(np.arange(zones)[:, None], (1, actions))
        self.legal = np.zeros((zones, actions), bool)
        for v, ends in enumerate(others):
            self.targets[v, 1 : 1 + len(ends)] = ends
            self.legal[v, : 1 + len(ends)] = True
        self.rides, self.drives = city.in_steps(city.travel_time), city.in_steps(city.empty_time)
        own, moves = np.arange(zones)[:, None], self.targets != self.targets[:, :1]
        self._check_lengths(near)
        self.late = np.where(moves, self._away(self.drives)[own, self.targets], 1)
        self.paid = cost * np.where(moves, self.drives[own, self.targets], 0)
        driven = city.demand * city.travel_time
        rounded = float((city.demand * self.rides).sum() * city.step / driven.sum() - 1)
        self.notes = (
            f"driving times are rounded to steps of {city.step:g} minutes, at least one, by which rides are "
            f"{abs(rounded):.1%} {'longer' if rounded >= 0 else 'shorter'} in the mean",
        )

    def _check_lengths(self, near: Bools) -> None:
        """Every step of the longest drive is a state of each zone; ``near (V, V)`` has the empty drives.

        Raises:
            ValueError: more steps than a drive can have, or more states than the memory holds.
        """
        asked = self.city.demand > 0
        longest = int(max(self.rides[asked].max(), self.drives[near].max(initial=1))) + self.city.turnaround
        if longest > MOST_STEPS:
            minutes = max(self.city.travel_time[asked].max(), self.city.empty_time[near].max(initial=0))
            raise ValueError(
                f"a drive of up to {minutes:g} minutes and a turnaround of {shown(self.city.turnaround)} are over the "
                f"limit of {MOST_STEPS:,} steps of {self.city.step:g} minutes: take longer steps, or leave them out"
            )
        zones, actions = self.targets.shape
        what = f"the {len(asked):,} steps of {zones:,} zones, with drives of up to {longest:,} steps,"
        fits(what, len(asked) + 1, zones * longest, zones + actions, itemsize=32)

    def _away(self, steps: Ints) -> Ints:
        """From leaving to being idle again."""
        away: Ints = steps + self.city.turnaround
        return away

    def step(self, t: int, weight: float, dearest_first: bool) -> Step:
        """The offers of step t: one class a zone, or one for each destination, the dearest first."""
        demand, zones = self.city.demand[t] / weight, len(self.city.zones)
        pay = self.city.fare[t] - self.cost * self.rides[t]
        away = self._away(self.rides[t])
        everywhere = np.broadcast_to(np.arange(zones), (zones, zones))
        if dearest_first:
            asked = self.city.demand.sum(0) > 0
            price = np.where(demand > 0, self.city.fare[t], -np.inf)
            order = np.argsort(-price, axis=1, kind="stable")[:, : int(asked.sum(1).max())]
            taken = [np.take_along_axis(x, order, 1) for x in (demand, pay, everywhere, away)]
            rate, earned, target, duration = taken
            earned, odds = np.where(rate > 0, earned, 0.0), np.ones((*rate.shape, 1))
            target, duration = target[..., None], np.where(rate > 0, duration, 1)[..., None]
            target = np.where(rate[..., None] > 0, target, np.arange(zones)[:, None, None])
        else:
            total = demand.sum(1, keepdims=True)
            odds = np.where(total > 0, demand / np.where(total > 0, total, 1.0), np.eye(zones))
            rate, earned = total, np.where(total > 0, (odds * pay).sum(1, keepdims=True), 0.0)
            duration = np.where(odds > 0, away, 1)
            target, duration, odds = (x[:, None] for x in (everywhere, np.where(total > 0, duration, 1), odds))
        given = rate, earned, target, duration, odds, self.targets, self.late, self.paid, self.legal
        return Step(*given)

    def longest(self, steps: list[Step]) -> int:
        """Layers: idle, and as many steps on the way as a drive may have left after its first."""
        drives = int(self.late[self.legal].max())
        return max(drives, *(int(step.duration[step.odds > 0].max()) for step in steps))

    def network(self, steps: list[Step]) -> nx.Graph[Any]:
        """Zones, joined where requests or empty cars go."""
        city, zones = self.city, np.arange(len(self.city.zones))
        joined = city.demand.sum(0) > 0
        joined[np.broadcast_to(zones[:, None], self.targets.shape)[self.legal], self.targets[self.legal]] = True
        graph: nx.Graph[Any] = nx.Graph()
        for v, label in enumerate(city.zones):
            graph.add_node(label, **({} if city.coordinates is None else {"pos": tuple(city.coordinates[v].tolist())}))
        graph.add_edges_from((city.zones[v], city.zones[w]) for v, w in np.argwhere(joined) if v != w)
        return graph


def branches_of(step: Step, layers: int) -> tuple[Branch, ...]:
    """One for each class of offers, then the drive; those on their way come one step nearer, whatever the branch."""
    zones, actions = step.empty.shape
    v, k = np.arange(zones)[:, None], np.arange(layers)
    nearer = v * layers + np.maximum(k - 1, 0)  # (V, layers)
    found = []
    for c in range(step.rate.shape[1]):
        reached = step.target[:, c] * layers + step.duration[:, c] - 1  # (V, J)
        successors = np.repeat(nearer[..., None], reached.shape[1], 2)
        odds = np.zeros(successors.shape)
        odds[..., 0] = 1.0
        successors[:, 0], odds[:, 0] = reached, step.odds[:, c]
        found.append(Branch(successors.reshape(zones * layers, 1, -1), odds.reshape(zones * layers, 1, -1)))
    drive = np.repeat(nearer[..., None], actions, 2)
    drive[:, 0] = step.empty * layers + step.late - 1
    return (*found, Branch.to(drive.reshape(-1, actions)))
