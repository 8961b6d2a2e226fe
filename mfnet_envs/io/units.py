"""Units of length and speed, and what coordinates say about the unit of lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import distances, geographical

METRES = {"mi": 1609.344, "mile": 1609.344, "miles": 1609.344, "km": 1e3, "m": 1.0, "ft": 0.3048, "feet": 0.3048}
METRES |= {"kilometer": 1e3, "kilometers": 1e3, "kilometre": 1e3, "kilometres": 1e3}
METRES |= {"meter": 1.0, "meters": 1.0, "metre": 1.0, "metres": 1.0}
METRES_PER_HOUR = {"mph": 1609.344, "mi/h": 1609.344, "kph": 1e3, "km/h": 1e3, "kmh": 1e3, "m/s": 3600.0}
METRES_PER_HOUR |= {"ft/s": 0.3048 * 3600, "fps": 0.3048 * 3600}
SPEED_WITH = {
    "m": "km/h",
    "km": "km/h",
    "mi": "mph",
    "ft": "mph",
}  # the speed that goes with a length, if none is named

HOURS = dict.fromkeys(("h", "hr", "hour", "hours"), 1.0) | dict.fromkeys(("min", "minute", "minutes"), 1 / 60)
HOURS |= dict.fromkeys(("s", "sec", "second", "seconds"), 1 / 3600)
ODD_SPEEDS = 3.0, 250.0  # km/h; a median outside them speaks against the units

DETOUR = 1.2  # streets are longer than the straight line, by no more than this in the median
ROUNDING = 0.95  # and no shorter, but for rounded numbers and the earth's shape
ODD_DETOUR = 3.0  # beyond this lengths and coordinates contradict each other


class Detour(NamedTuple):
    """Length over straight line, link by link: the quartiles, for lengths and straight lines in metres.

    Attributes:
        on_earth: the coordinates were taken as longitude and latitude; else as metres.
    """

    low: float
    median: float
    high: float
    on_earth: bool

    def fits(self, unit: str) -> bool:
        """Whether lengths in ``unit`` go with the coordinates: none is shorter than straight, few are much longer."""
        low, median, high = (METRES[unit] * value for value in self[:3])
        return low >= 0.9 and ROUNDING <= median <= DETOUR and high <= ODD_DETOUR

    def unit(self) -> str | None:
        """The one of m, km, mi and ft that fits; bands of two units do not meet."""
        return next((unit for unit in SPEED_WITH if self.fits(unit)), None)


def detour(coordinates: Floats | None, tail: Ints, head: Ints, length: Floats) -> Detour | None:
    """How much longer than straight links are; None where no link has both a length and two different places."""
    if coordinates is None:
        return None
    on_earth = geographical(coordinates)
    straight = distances(coordinates, tail, head, on_earth) * (1e3 if on_earth else 1.0)
    use = (straight > 0) & (length > 0)
    if not use.any():
        return None
    low, median, high = np.quantile(length[use] / straight[use], [0.25, 0.5, 0.75]).tolist()
    return Detour(low, median, high, on_earth)


def check_lengths(notes: Notes, unit: str, found: Detour | None) -> None:
    """Say so where lengths in ``unit`` cannot be those between the coordinates."""
    if found is None:
        return
    ratio = METRES[unit] * found.median
    scales = (1.0,) if found.on_earth else (1.0, 0.3048)  # maps are in metres or feet
    if any(0.9 * scale <= ratio <= ODD_DETOUR * scale for scale in scales):
        return
    better = f", which fit {other}" if (other := found.unit()) else ""
    taken = "longitude and latitude" if found.on_earth else "metres"
    said = f"the median length, in {unit}, is {ratio:.3g} times the straight line between its ends{better}"
    notes.say(f"{said} (coordinates taken as {taken}); correct the unit or the coordinates", loud=True)


def check_speeds(notes: Notes, units: Mapping[str, str], length: Floats, time: Floats) -> None:
    """Say so where units of length and time make a median speed at which nobody drives; unknown ones say nothing."""
    unit, clock = (units.get(what, "").removeprefix("assumed: ").lower() for what in ("length", "time"))
    use = (length > 0) & (time > 0)
    if unit not in METRES or clock not in HOURS or not use.any():
        return
    kph = float(np.median(length[use] / time[use])) * METRES[unit] / 1e3 / HOURS[clock]
    if not ODD_SPEEDS[0] <= kph <= ODD_SPEEDS[1]:
        notes.say(
            f"the median free-flow speed is {kph:.3g} km/h, for lengths in {unit} and times in {clock}", loud=True
        )
