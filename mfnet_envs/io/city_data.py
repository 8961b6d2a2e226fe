"""A city with its requests for rides, whatever file it came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints, array_of
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.words import HUGE, is_number, is_whole, shown

MOST_STEPS = 10_080  # a week by the minute; each step has a table of its own in the programme


@dataclass(frozen=True, eq=False, repr=False)
class CityData:
    """Zones, and who asks for a ride between them at which step. All arrays are read-only.

    Attributes:
        name: of the city.
        zones: V labels as in the file; a zone's index is its place here.
        step: minutes of a step; start: minute of the day at which the first of T steps begins.
        demand: ``(T, V, V)`` mean requests from zone to zone in each step; those within a zone are the diagonal.
        travel_time: ``(T, V, V)`` minutes of a ride; fare: ``(T, V, V)``. Only read where there is demand.
        empty_time: ``(V, V)`` minutes of an empty car from zone to zone.
        neighbours: ``(E, 2)`` indices of zones that share a border, each pair once.
        coordinates: ``(V, 2)``, or None.
        cars: of the fleet, None where the file does not say.
        cost: of a minute's driving, loaded or empty.
        turnaround: whole steps after its arrival in which a car takes no rider.
        notes: what was guessed, filled in, rescaled or dropped, one sentence each.

    Raises:
        NetworkFileError: shapes that do not fit, and numbers that mean nothing.
    """

    name: str
    zones: tuple[Any, ...]
    step: float
    start: int
    demand: Floats
    travel_time: Floats
    fare: Floats
    empty_time: Floats
    neighbours: Ints
    coordinates: Floats | None = None
    cars: int | None = None
    cost: float = 0.0
    turnaround: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        zones = len(self.zones)
        if zones < 2 or len(set(self.zones)) < zones:
            self._fail(f"a city needs two zones at least, each with a name of its own, not {shown(self.zones)}")
        if not (is_number(self.step) and 1e-3 <= self.step <= HUGE):
            self._fail(f"a step must last a positive number of minutes, not {shown(self.step)}")
        if not is_whole(self.start):
            self._fail(f"start must be a whole minute of the day, not {shown(self.start)}")
        steps = len(np.atleast_1d(self.demand))
        for name in ("demand", "travel_time", "fare"):
            self._set(name, "iuf", (steps, zones, zones))
        self._set("empty_time", "iuf", (zones, zones))
        pairs = np.asarray(self.neighbours)
        self._set("neighbours", "iu", (len(pairs), 2))
        if len(pairs) and not (0 <= self.neighbours.min() and self.neighbours.max() < zones):
            self._fail(f"neighbours must be pairs of zones' places, 0 .. {zones - 1}")
        if self.coordinates is not None:
            self._set("coordinates", "iuf", (zones, 2))
        if not self.demand.sum() > 0:
            self._fail("nobody asks for a ride in these steps")
        if not ((self.travel_time > 0) | (self.demand == 0)).all():
            self._fail("a ride that is asked for must take some time")
        if not (self.empty_time[~np.eye(zones, dtype=bool)] > 0).all():
            self._fail("an empty car must need some time from each zone to each other")
        if not (self.cars is None or is_whole(self.cars, 1)):
            self._fail(f"cars must be a positive whole number, not {shown(self.cars)}")
        if not (is_number(self.cost) and self.cost >= 0):
            self._fail(f"the cost of a minute must be a non-negative number, not {shown(self.cost)}")
        if not is_whole(self.turnaround):
            self._fail(f"turnaround must be a whole number of steps, not {shown(self.turnaround)}")
        if not all(isinstance(note, str) for note in self.notes):
            self._fail("notes must be sentences")

    def _set(self, name: str, kinds: str, shape: tuple[int, ...]) -> None:
        """A read-only table of finite numbers, none of them negative where they mean requests, minutes or money."""
        table = array_of(name, getattr(self, name), kinds).astype(np.int64 if kinds == "iu" else np.float64)
        if table.shape != shape or not steps_and_zones(shape):
            self._fail(f"{name} must have shape {shape}, not {table.shape}")
        signed = name == "coordinates"
        if not (np.isfinite(table) & (signed | (table >= 0)) & (np.abs(table) <= HUGE)).all():
            self._fail(f"{name} must hold finite{'' if signed else ' non-negative'} numbers")
        table.setflags(write=False)
        object.__setattr__(self, name, table)

    def _fail(self, sentence: str) -> None:
        raise NetworkFileError(f"{self.name}: {sentence}")

    def in_steps(self, minutes: Floats) -> Ints:
        """Driving times in whole steps, at least one."""
        steps: Ints = np.maximum(1, np.rint(np.minimum(minutes / self.step, 2**31))).astype(np.int64)
        return steps

    def __repr__(self) -> str:
        cars = "" if self.cars is None else f", {self.cars:,} cars"
        steps = f"{len(self.demand)} steps of {self.step:g} min from {self.start // 60}:{self.start % 60:02}"
        return f"CityData({self.name}: {len(self.zones)} zones, {steps}, {self.demand.sum():,.0f} requests{cars})"


def steps_and_zones(shape: tuple[int, ...]) -> bool:
    """Whether a table has entries at all, but for a list of pairs."""
    return shape[0] > 0 or shape[1:] == (2,)


def filled_in(times: Floats, place: Place, zones: Sequence[Any]) -> tuple[Floats, int]:
    """``(V, V)`` driving times, NaN where unknown: these by the shortest way over known ones, and how many they were.

    Raises:
        NetworkFileError: a zone that no known times lead to.
    """
    found = np.where(np.isnan(times), np.inf, times)
    np.fill_diagonal(found, 0.0)
    for v in range(len(found)):  # Floyd and Warshall
        found = np.minimum(found, found[:, v, None] + found[v])
    unknown = np.isnan(times) & ~np.eye(len(times), dtype=bool)
    if np.isinf(found).any():
        origin, target = np.argwhere(np.isinf(found))[0]
        ends = f"from zone {shown(zones[origin])} to zone {shown(zones[target])}"
        place.fail(f"no driving times lead {ends}, not over others either; add trips or drop it")
    return np.where(unknown, found, np.where(np.isnan(times), 0.0, times)), int(unknown.sum())
