"""Electric fleets: what charge a car has left is a layer of its zone, and chargers have places.

A full battery has b levels and lasts ``range_steps`` steps of driving. A drive of d steps uses d b / range_steps
levels: the whole number below or above, with the odds that make the mean right. It is begun only by a car that has the
whole number above, **and** from its end what the way on to the nearest charger takes at most. So no car is ever
stranded: a car's charge is never below what its zone is from a charger.

Layers of a zone: idle with 0 .. b levels; plugged in with 0 .. b - 1; to be idle in k = 1, 2, .. steps with 0 .. b. The
last action is the switch, *plug in* of the idle and *unplug* of the plugged; plugging in takes its step.

**Requests.** D ~ Poisson(rate) requests of a zone call its idle cars one after the other, each car once, **the fullest
first**. E min(n_l, D) of the n_l cars with at least l levels are called in the mean, so a car with l levels is called
with chance

    (E min(n_l, D) - E min(n_{l+1}, D)) / (n_l - n_{l+1}),

and then takes the request, whose destination has the odds of the demand, if it has charge for it. If it has not, no car
called later has; the request is lost, and the car does what it was about to do.

**Chargers.** Of n cars plugged in at c places each finds one with chance min(1, c / n) and gains ``charge_rate``
levels, up to b; the others wait plugged in, and lose the step. Who is full, or has asked to be unplugged, is idle in
the next step, charged or not. Nothing here depends on the action but where it leads, so min(n, c) are charged in the
mean, whatever the policy.

Each car draws for itself: a mixture of three branches, *ride*, *charge*, and *the rest*.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints, like
from mfnet_envs.engines.fleet import Drives, Step
from mfnet_envs.heuristics import ThresholdPolicy
from mfnet_envs.matching import TINY, ExpectedMin
from mfnet_envs.model import Branch, LocalModel
from mfnet_envs.policy import TablePolicy
from mfnet_envs.words import fits, positive, shown, whole

RIDE, CHARGE, REST = range(3)  # the branches
EXACT = 6  # decimals of a level, below which nothing is used
HALF = 0.5  # of the requests that a full battery can take: who can take fewer plugs in, by the simple rules


def check_electric(batteries: int | None, matching: str | None, dearest_first: bool, *others: Any) -> None:
    """Refuse what goes with no battery, and what goes with batteries has no exact law.

    Raises:
        ValueError: with what to leave out, or to add.
    """
    if batteries is None:
        if any(given is not None for given in others):
            raise ValueError("range_steps, chargers and charge_rate are of electric fleets: say batteries=, the levels")
    elif dearest_first or matching == "physical":
        given = "dearest_first=True" if dearest_first else "matching='physical'"
        raise ValueError(
            f"{given} has no exact law of crowds with batteries, whose fullest cars go first: leave it out"
        )


class Use(NamedTuple):
    """Levels that drives use: ``least``, and one more, ``most``, with odds ``chance``."""

    least: Ints
    most: Ints
    chance: Floats


class Rides(NamedTuple):
    """What idle cars make of the requests of a step, by zone and level.

    Attributes:
        rate: ``(V,)`` requests; taken: ``(V, b + 1)`` the part that a car has charge for; pay: its mean pay.
        branch: where they lead.
    """

    rate: Floats
    taken: Floats
    pay: Floats
    branch: Branch


class Batteries:
    """Charge as layers of a city's zones.

    Args:
        drives: of the city; longest: steps that a car may be away for.
        levels: b; range_steps: of driving on a full battery, None for b of the longest drives; charge_rate: levels in a
            step at a place, None for 1; places: ``(V,)`` agents that can be charged at once.

    Attributes:
        layers: of a zone; rows: of them those with a choice, idle first; full: b.
        reserve: ``(V,)`` levels that the way to the nearest charger takes at most.

    Raises:
        ValueError: an argument out of its range, no place anywhere, or a zone too far from one for a full battery.
    """

    def __init__(
        self,
        drives: Drives,
        longest: int,
        levels: int,
        range_steps: float | None,
        charge_rate: float | None,
        places: Floats,
    ) -> None:
        self.drives, self.full = drives, whole("batteries", levels, 2)
        away = longest - drives.city.turnaround
        self.zones, self.drive_actions = drives.targets.shape
        self.actions, self.rows = self.drive_actions + 1, 2 * self.full + 1
        self.layers = self.rows + (longest - 1) * (self.full + 1)
        what = f"batteries={shown(levels)} levels of {self.zones:,} zones, with drives of up to {longest:,} steps,"
        ways = 4 * self.actions + 2 * self.zones * len(drives.city.demand)
        fits(what, self.zones * self.layers, ways, itemsize=16)
        if range_steps is not None:
            positive(range_steps=range_steps)
        self.range = float(self.full * away if range_steps is None else range_steps)
        if charge_rate is not None:
            positive(charge_rate=charge_rate)
        self.rate = 1.0 if charge_rate is None else float(charge_rate)
        layer = np.arange(self.layers)
        self.groups: Ints = np.where(layer <= self.full, layer, self.full + 1 + (layer >= self.rows))
        self.transit: Bools = layer >= self.rows
        self.left = np.arange(self.full + 1)  # levels
        own = np.arange(self.zones)[:, None]
        self.empty = self.used(np.where(drives.targets == own, 0, drives.drives[own, drives.targets]))
        self.places = places
        if not places.any():
            raise ValueError("chargers leave no place to charge anywhere: give one zone a place at least")
        self.reserve = self._reserve()
        self.legal = self._legal()
        self.initial = self.by_state(np.eye(self.full + 1)[self.full] / self.zones)
        self.moves = self._charging(), self._driving()

    def _reserve(self) -> Ints:
        """The least levels that suffice to a charger, drive after drive."""
        away, reserve = self.drives.legal.copy(), np.where(self.places > 0, 0.0, np.inf)
        away[:, 0] = False
        for _ in range(self.zones):
            onward = np.where(away, self.empty.most + reserve[self.drives.targets], np.inf)
            reserve = np.minimum(reserve, onward.min(1))
        far = int(reserve.argmax())
        if reserve[far] > self.full:
            raise ValueError(
                f"zone {shown(self.drives.city.zones[far])} is farther from the nearest charger than a full battery "
                f"of {self.range:g} steps takes a car: raise range_steps, or add chargers"
            )
        return reserve.astype(np.int64)

    def used(self, steps: Ints) -> Use:
        """Levels for so many steps of driving."""
        mean = np.round(np.minimum(steps.astype(np.float64) * self.full / self.range, 2.0**31), EXACT)
        least = np.floor(mean).astype(np.int64)
        chance: Floats = np.asarray(mean - least, np.float64)
        return Use(least, np.ceil(mean).astype(np.int64), chance)

    def state(self, zone: Any, level: Any, steps: Any = 1, plugged: bool = False) -> Any:
        """Of a car that is idle, or plugged in, after ``steps``."""
        later = self.rows + (steps - 2) * (self.full + 1) + level
        return zone * self.layers + np.where(steps > 1, later, level + plugged * (self.full + 1))

    def by_state(self, idle: Floats, plugged: Any = 0.0) -> Floats:
        """``(V, b + 1)`` and ``(V, b)`` values as ``(S,)``, 0 on the way."""
        table = np.zeros((self.zones, self.layers))
        table[:, : self.full + 1] = idle
        table[:, self.full + 1 : self.rows] = plugged
        return table.reshape(-1)

    def usual(self, rate: Floats, population: int) -> Floats:
        """``(S,)``: the requests of a zone, shared by its levels; of those plugged in an even share of the fleet."""
        even = population / self.zones / self.rows
        return self.by_state(np.repeat(rate[:, None] / (self.full + 1), self.full + 1, 1), even)

    # -- tables

    def _legal(self) -> Bools:
        legal = np.zeros((self.zones, self.layers, self.actions), bool)
        legal[:, self.rows :, 0] = True
        enough = self.left[:, None] >= (self.empty.most + self.reserve[self.drives.targets])[:, None]
        legal[:, : self.full + 1, :-1] = self.drives.legal[:, None] & enough
        legal[:, : self.full + 1, 0] = True
        charger = self.places > 0
        legal[:, : self.rows, -1] = charger[:, None]
        legal[:, self.full, -1] = False
        legal[:, self.full + 1 : self.rows, 0] = charger[:, None]
        legal[:, self.full + 1 : self.rows, -1] = True
        return legal.reshape(-1, self.actions)

    def _unmoved(self, columns: int, ways: int) -> tuple[Ints, Floats]:
        """``(V, layers, columns, ways)``: all stay as they are, but that those on the way come one step nearer."""
        layer = np.arange(self.layers)
        next_step = layer < self.rows + self.full + 1
        nearer = np.where(self.transit, layer - np.where(next_step, self.rows, self.full + 1), layer)
        states = np.arange(self.zones)[:, None] * self.layers + nearer
        successors = np.tile(states[..., None, None], (1, 1, columns, ways))
        odds = np.zeros(successors.shape)
        odds[..., 0] = 1.0
        return successors, odds

    def _table(self, successors: Ints, odds: Floats) -> Branch:
        shape = self.zones * self.layers, *successors.shape[2:]
        used = odds.reshape(-1, odds.shape[-1]).any(0)
        return Branch(successors.reshape(shape)[..., used], odds.reshape(shape)[..., used])

    def _charging(self) -> Branch:
        """Some levels more: plugged in still, or idle if full or unplugged."""
        successors, odds = self._unmoved(self.actions, 2)
        zone, level = np.arange(self.zones)[:, None], self.left[:-1]
        least, chance = int(self.rate), self.rate - int(self.rate)
        for i, (gained, share) in enumerate(((least, 1 - chance), (least + 1, chance))):
            after = np.minimum(level + min(gained, self.full), self.full)
            idle, still = self.state(zone, after), self.state(zone, np.minimum(after, self.full - 1), plugged=True)
            successors[:, self.full + 1 : self.rows, 0, i] = np.where(after < self.full, still, idle)
            successors[:, self.full + 1 : self.rows, -1, i] = idle
            odds[:, self.full + 1 : self.rows, [0, -1], i] = share
        return self._table(successors, odds)

    def _driving(self) -> Branch:
        """Empty drives, and the switch."""
        successors, odds = self._unmoved(self.actions, 2)
        targets, late, zone = self.drives.targets[:, None], self.drives.late[:, None], np.arange(self.zones)[:, None]
        use = (self.empty.least, 1 - self.empty.chance), (self.empty.most, self.empty.chance)
        legal = self.legal.reshape(self.zones, self.layers, -1)[:, : self.full + 1, :-1]
        for i, (levels, share) in enumerate(use):
            left = np.maximum(self.left[:, None] - levels[:, None], 0)
            idle = successors[:, : self.full + 1, :-1, i], odds[:, : self.full + 1, :-1, i]
            idle[0][:] = np.where(legal, self.state(targets, left, late), idle[0])
            idle[1][:] = np.where(legal, share[:, None], idle[1])
        successors[:, : self.full, -1] = self.state(zone, self.left[:-1], plugged=True)[..., None]
        successors[:, self.full + 1 : self.rows, -1] = self.state(zone, self.left[:-1])[..., None]
        return self._table(successors, odds)

    def rides(self, step: Step) -> Rides:
        """Of a step with a class of offers for each destination."""
        target, away, rate = step.target[..., 0], step.duration[..., 0], step.rate.sum(1)
        use = self.used(np.maximum(away - self.drives.city.turnaround, 0))
        enough = (use.most + self.reserve[target])[:, None] <= self.left[:, None]
        share = np.where(enough, (step.rate / np.where(rate > 0, rate, 1.0)[:, None])[:, None], 0.0)  # (V, b + 1, K)
        taken = share.sum(2)
        share /= np.where(taken > 0, taken, 1.0)[..., None]
        successors, odds = self._unmoved(1, 2 * target.shape[1])
        ways, any_ = [], (taken > 0)[..., None]
        for levels, chance in ((use.least, 1 - use.chance), (use.most, use.chance)):
            left = np.maximum(self.left[:, None] - levels[:, None], 0)
            ways.append((self.state(target[:, None], left, away[:, None]), share * chance[:, None]))
        reached, shares = (np.concatenate(part, 2) for part in zip(*ways, strict=True))
        idle = slice(0, self.full + 1)
        successors[:, idle, 0] = np.where(any_ & (shares > 0), reached, successors[:, idle, 0])
        odds[:, idle, 0] = np.where(any_, shares, odds[:, idle, 0])
        return Rides(rate, taken, (share * step.pay[:, None]).sum(2), self._table(successors, odds))

    def branches(self, rides: Rides) -> tuple[Branch, ...]:
        """Ride, charge, the rest."""
        return rides.branch, *self.moves

    # -- law

    def weights(self, crowd: Any, rides: Rides, phi: ExpectedMin | None) -> Any:
        """Of the branches, ``(B, R, 1, 3)``, at ``crowd (B, V, G)`` agents; ``phi``: None for the limit."""
        xp = array_api_compat.array_namespace(crowd)
        above, zero = 0 * crowd[..., 0], 0 * crowd[..., 0]
        parts: list[Any] = []
        for level in reversed(range(self.full + 1)):
            n = crowd[..., level]
            some = xp.where(n < TINY, 1.0 + zero, n)
            called = (_met(phi, above + some, rides.rate) - _met(phi, above, rides.rate)) / some
            called = xp.where(called > 0, xp.where(called < 1, called, 1.0 + zero), zero)  # rounding
            ride = like(crowd, rides.taken[:, level]) * called
            parts.insert(0, xp.stack([ride, zero, 1 - ride], axis=-1))
            above = above + n
        n, places = crowd[..., self.full + 1], like(crowd, self.places)
        charged = xp.where(places >= n, (places > 0) + zero, places / (n + TINY * (n < TINY)))
        parts += [xp.stack([zero, charged, 1 - charged], axis=-1)] * self.full
        weights = xp.stack(parts, axis=2)
        return xp.reshape(weights, (len(crowd), -1, 1, 3))

    def rewards(self, step: Step, rides: Rides) -> Floats:
        """``(R, A, 3)``: the mean pay of a request that is taken, the cost of driving on empty."""
        rho = np.zeros((self.zones, self.rows, self.actions, 3))
        rho[:, : self.full + 1, :, RIDE] = rides.pay[..., None]
        rho[:, : self.full + 1, :-1, REST] = -step.cost[:, None]
        return rho.reshape(-1, self.actions, 3)

    # -- what is said

    @property
    def names(self) -> list[str]:
        """Of the layers, for policies as files: "charge 2/3"."""
        charge = [f"charge {level}/{self.full}" for level in self.left]
        late = range(1, (self.layers - self.rows) // len(charge) + 1)
        return [
            *charge,
            *(f"plugged in, {c}" for c in charge[:-1]),
            *(f"in {k} steps, {c}" for k in late for c in charge),
        ]

    def notes(self, steps: list[Rides]) -> tuple[str, ...]:
        """What is rounded, and what is too far."""
        city, level = self.drives.city, self.range / self.full
        said: tuple[str, ...] = (
            f"a level of charge is {level:.4g} steps of {city.step:g} minutes' driving; a drive uses whole levels, "
            "rounded up or down at random so that the mean is right, and is begun with charge for the higher number "
            "and for the way from its end to a charger",
        )
        asked = sum(step.rate.sum() for step in steps)
        far = float(sum((step.rate * (1 - step.taken[:, -1])).sum() for step in steps) / asked)
        if far > 1e-9:
            said += (f"{100 * far:.2g}% of the requests are farther than a full battery goes, and are never served",)
        return said

    # -- rules

    def rule(self, steps: list[Rides]) -> tuple[Bools, Floats]:
        """What the simple rules do about charge: ``(R,)`` whom they tell what to do, ``(R, A)`` what.

        Who has charge for less than half of the requests of the turn that a full battery could take, or no more than
        the way to a charger takes, plugs in, or drives there first; who is plugged in stays until the battery is full.
        """
        asked = np.sum([step.rate[:, None] * step.taken for step in steps], 0)
        low = (asked < HALF * asked[:, -1:]) | (self.left <= self.reserve[:, None])
        low[:, -1] &= self.reserve == self.full
        away = np.where(self.drives.legal, self.empty.most + self.reserve[self.drives.targets], self.full + 1)
        away[:, 0] = self.full + 1
        goes = np.where(self.places > 0, self.actions - 1, away.argmin(1))
        told = np.ones((self.zones, self.rows), bool)
        told[:, : self.full + 1] = low
        action = np.zeros((self.zones, self.rows), int)
        action[:, : self.full + 1] = goes[:, None]
        return told.reshape(-1), np.eye(self.actions)[action.reshape(-1)]

    def threshold(self, model: LocalModel, table: Floats, places: Floats) -> ByZone:
        """Who is told what to do has no ``places (T,)`` to be held back for."""
        zone = model.team_states // self.layers
        return ByZone(model, table, places, zone[:, None] * self.layers + self.left)


class ByZone(ThresholdPolicy):
    """A threshold policy of idle cars that looks at all of its zone, whatever their charge.

    Args:
        table: ``(T, A)`` by which cars leave; places: ``(T,)`` how many to hold back, 0 for those who do as the table
            says; idle: ``(T, b + 1)`` the states of the zone's idle cars.
    """

    def __init__(self, model: LocalModel, table: Floats, places: Floats, idle: Ints) -> None:
        super().__init__(model, table, keep=1.0)
        self.places, self.idle = places, idle

    def teams(self, counts: Ints, t: int) -> Floats:
        return self._at(counts[:, self.idle].sum(2), TablePolicy.teams(self, counts, t))


def _met(phi: ExpectedMin | None, n: Any, rate: Floats) -> Any:
    """E min(n, D), or min(n, rate), ``(..., V)``."""
    return phi(n) if phi is not None else array_api_compat.array_namespace(n).minimum(n, like(n, rate) + 0 * n)
