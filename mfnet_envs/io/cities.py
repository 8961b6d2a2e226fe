"""One door for files of cities; a plain pair of CSV files, and counts of trips, for whoever has no other.

``zones.csv`` has a column ``zone`` and, where they are known, ``x``, ``y`` and ``neighbours`` (the zones that share a
border, separated by blanks; one of the two needs to name the other). ``trips.csv`` has ``time`` (when a slot begins, in
minutes of the day or as ``7:30``), ``origin``, ``destination``, ``demand`` (mean requests in that slot),
``travel_time`` (minutes) and ``fare``. A slot without rows has no requests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io.city_data import MOST_STEPS, CityData, filled_in
from mfnet_envs.io.csv_rows import Row, rows
from mfnet_envs.io.files import demand_table, reading
from mfnet_envs.io.manhattan import read_manhattan
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.polygons import read_zones
from mfnet_envs.io.reading import Place, numbered
from mfnet_envs.io.rl4amod import mean, read_rl4amod
from mfnet_envs.io.tlc import LAST_ZONE, TripTable, read_tlc
from mfnet_envs.words import did_you_mean, is_whole, non_negative, positive, shown, whole

ZONES, TRIPS = "zones.csv", "trips.csv"
BUILT_IN = "manhattan"
TIME = re.compile(r"(\d{1,2}):([0-5]\d)", re.ASCII)
A_DAY = 1440
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OF_TRIPS = ("time", "origin", "destination", "demand", "travel_time", "fare")


def load_city(path: str | os.PathLike[str], **options: Any) -> CityData:
    """A city from a folder with ``zones.csv`` and ``trips.csv``, RL4AMOD's ``scenario_<city>.json``, the TLC's trips in
    a parquet file with a map of zones beside it, or "manhattan", which comes with the package (a folder of that name is
    ``./manhattan``).

    Args:
        options: of :func:`read_city_csv`, :func:`mfnet_envs.io.read_rl4amod`, :func:`read_tlc_city` or
            :func:`mfnet_envs.io.read_manhattan`.

    Raises:
        TypeError: no path, or an option that the reader does not have. FileNotFoundError: there is no such file.
        NetworkFileError: a bad file.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(f"a city is named by the path of a file or folder, not {shown(path)}")
    reader: Callable[..., CityData] = read_rl4amod if Path(path).suffix.lower() == ".json" else read_city_csv
    reader = read_manhattan if path == BUILT_IN else read_tlc_city if is_trips(path) else reader
    known = [name for name, of in signature(reader).parameters.items() if of.kind is of.KEYWORD_ONLY]
    for option in options:
        if option not in known:
            meant = did_you_mean(option, known).rstrip(".")
            raise TypeError(f"{reader.__name__} has no option {option!r}: it has {', '.join(known)}{meant}")
    return reader(path, **options)


def read_city_csv(
    folder: str | os.PathLike[str],
    *,
    step: float | None = None,
    cars: int | None = None,
    cost: float = 0.0,
    turnaround: int = 0,
) -> CityData:
    """A city from ``zones.csv`` and ``trips.csv``.

    Empty cars need between two zones what rides need in the mean, and where there are none they go over other zones.

    Args:
        step: minutes; default: the least time between two slots. cars, cost, turnaround: as in :class:`CityData`.

    Raises:
        ValueError: an argument out of its range. FileNotFoundError: no such folder. NetworkFileError: the first field
        that is not as the format has it.
    """
    if step is not None:
        positive(step=step)
    non_negative(cost=cost)
    whole("turnaround", turnaround, 0)
    if cars is not None:
        whole("cars", cars)
    notes = Notes()
    with reading(folder, "folder of a city", folder=True) as place:
        zones = _read(Path(folder) / ZONES, ("zone",), ("x", "y", "neighbours"), notes)
        place_of = numbered((row.place, row.text("zone")) for row in zones)
        trips = _read(Path(folder) / TRIPS, OF_TRIPS, (), notes)
        minutes = np.array([_minute(row) for row in trips], np.int64)
        slots = np.unique(minutes)
        if step is None:
            step = float(np.diff(slots).min()) if len(slots) > 1 else 60.0
            notes.say(
                f"a step lasts {step:g} minutes, "
                + ("the least time between two slots" if len(slots) > 1 else "since there is one slot only")
            )
        at = ((minutes - slots[0]) // step).astype(np.int64)
        if at.max() >= MOST_STEPS:
            at_most = f"it lasts {at.max() + 1:,} steps of {step:g} minutes, and {MOST_STEPS:,} are the most"
            place.fail(f"{at_most}; correct the times in {TRIPS}, or take longer steps with step=")
        tables = [demand_table(place, len(place_of), int(at.max()) + 1) for _ in range(3)]
        requests, spent, fares = (table.reshape(-1, len(place_of), len(place_of)) for table in tables)
        if len(np.unique(at)) < len(slots):
            notes.say("slots that begin in the same step are added up")
        if len(slots) > 1 and step < (least := np.diff(slots).min()):
            notes.say(
                f"slots are {least:g} minutes apart, and steps {step:g}: a slot's requests are all in its first step"
            )
        elif ((slots - slots[0]) % step).any():
            notes.say(f"slots that do not begin with a step of {step:g} minutes are moved to the beginning of theirs")
        seen = set()
        for t, minute, row in zip(at, minutes, trips, strict=True):
            ends = t, *(row.place.node(row.text(end), end, place_of) for end in ("origin", "destination"))
            if (row_of := (minute, *ends[1:])) in seen:
                notes.count("pairs with several rows in one slot: their requests are added up ({where})", row.place)
            seen.add(row_of)
            asked = row.place.number(row.text("demand"), "demand", "non-negative")
            requests[ends] += asked
            spent[ends] += asked * row.place.number(row.text("travel_time"), "travel_time", "positive")
            fares[ends] += asked * row.place.number(row.text("fare"), "fare", "non-negative")
        if not requests.any():
            Place(str(Path(folder) / TRIPS)).fail("nobody asks for a ride: demand is 0 in every row")
        empty, filled = filled_in(mean(spent.sum(0), requests.sum(0)), place, tuple(place_of))
        notes.say("empty cars need between two zones what rides need in the mean over the day")
        if filled:
            notes.say(f"no rides are listed between {filled} pairs of zones: empty cars drive there over other zones")
        return CityData(
            name=Path(folder).resolve().name,
            zones=tuple(place_of),
            step=float(step),
            start=int(slots[0]),
            demand=requests,
            travel_time=np.nan_to_num(mean(spent, requests)),
            fare=np.nan_to_num(mean(fares, requests)),
            empty_time=empty,
            neighbours=_borders(zones, place_of),
            coordinates=_coordinates(zones, notes),
            cars=cars,
            cost=float(cost),
            turnaround=turnaround,
            notes=notes.sentences(),
        )


def city_of_trips(
    table: TripTable,
    *,
    weekday: int,
    hour: int,
    hours: int = 1,
    step: float = 5.0,
    fare: float = 2.5,
    fare_per_minute: float = 1.0,
    neighbours: Iterable[tuple[int, int]] = (),
    cars: int | None = None,
    cost: float = 0.0,
    name: str = "a city of the TLC's records",
) -> CityData:
    """A city from counted trips: some hours of a mean day, each slot's requests spread evenly over its steps.

    The records keep no fares in a table, so a ride pays ``fare + fare_per_minute`` times its minutes.

    Args:
        weekday: 0 = Monday; hour: of the day at which the first step begins; hours: how many.
        neighbours: pairs of LocationIDs that share a border, where empty cars shall go to such zones only.

    Raises:
        ValueError: an argument out of its range. NetworkFileError: nobody rides then.
    """
    for what, value, end in (("weekday", weekday, 7), ("hour", hour, 24)):
        if not (is_whole(value) and value < end):
            raise ValueError(f"{what} must be an integer 0 .. {end - 1}, not {shown(value)}")
    whole("hours", hours)
    positive(step=step)
    non_negative(fare=fare, fare_per_minute=fare_per_minute, cost=cost)
    minute = 60 * hour + step * np.arange(max(1, int(60 * hours // step)))
    slot = (minute * table.trips.shape[1] // A_DAY).astype(np.int64)
    days = (weekday + slot // table.trips.shape[1]) % 7
    each = [table.trips_per_hour(int(d), int(s)) for d, s in zip(days, slot % table.trips.shape[1], strict=True)]
    demand = np.stack(each) * (step / 60)
    minutes, filled = filled_in(table.minutes, Place(name), tuple(table.zones.tolist()))
    within = np.diagonal(table.minutes)
    np.fill_diagonal(minutes, np.where(np.isnan(within), step, within))
    notes = Notes()
    notes.say(f"a ride pays {fare:g} and {fare_per_minute:g} a minute: the table has no fares")
    notes.say("rides and empty cars need at all hours what rides need in the mean")
    if filled:
        notes.say(f"no rides are counted between {filled} pairs of zones: cars drive there over other zones")
    place = {int(zone): v for v, zone in enumerate(table.zones)}
    pairs = np.array(
        sorted({(min(v, w), max(v, w)) for v, w in _known_pairs(neighbours, place, notes)}), np.int64
    ).reshape(-1, 2)
    return CityData(
        name=name,
        zones=tuple(place),
        step=float(step),
        start=60 * hour,
        demand=demand,
        travel_time=np.broadcast_to(minutes, demand.shape),
        fare=np.broadcast_to(fare + fare_per_minute * minutes, demand.shape),
        empty_time=minutes * (1 - np.eye(len(place))),
        neighbours=pairs,
        cars=cars,
        cost=float(cost),
        notes=notes.sentences(),
    )


def is_trips(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a parquet file."""
    return Path(path).suffix.lower() == ".parquet"


def read_tlc_city(
    path: str | os.PathLike[str],
    *,
    zones: str | os.PathLike[str] | None = None,
    zone: str | None = None,
    tolerance: float | None = None,
    weekday: int | None = None,
    hour: int | None = None,
    hours: int = 1,
    step: float = 5.0,
    fare: float = 2.5,
    fare_per_minute: float = 1.0,
    cars: int | None = None,
    cost: float = 0.0,
) -> CityData:
    """A city from a parquet file of the TLC and polygons of its zones, whose common borders say who are neighbours.

    Args:
        zones: the GeoJSON file; default: the only one beside the trips. zone, tolerance: as :func:`read_zones` takes
            them. weekday, hour: default: of the hour with the most trips. The others: of :func:`city_of_trips`.

    Raises:
        ValueError: an argument out of its range. FileNotFoundError: no such file. NetworkFileError: a bad file.
    """
    if zones is None:
        beside = sorted(Path(path).parent.glob("*.geojson"))
        if len(beside) != 1:
            many = f"there are {len(beside)} GeoJSON files" if beside else "there is no GeoJSON file"
            Place(os.fspath(path)).fail(f"{many} beside it: say zones=, the map of its zones")
        zones = beside[0]
    plan = read_zones(zones, zone=zone, tolerance=tolerance)
    there = [number for number in plan.centres if 1 <= number <= LAST_ZONE]
    if not there:
        Place(os.fspath(zones)).fail(
            f"no zone has an id from 1 to {LAST_ZONE}; name the property of the ids with zone="
        )
    table = read_tlc(path, zones=there)
    used = table.trips.any((0, 1, 3)) | table.trips.any((0, 1, 2))
    if used.sum() < 2:
        Place(os.fspath(path)).fail(f"its trips are between fewer than two of the {len(there)} zones of the map")
    table = replace(
        table, zones=table.zones[used], trips=table.trips[:, :, used][..., used], minutes=table.minutes[used][:, used]
    )
    notes = Notes()
    if not used.all():
        notes.say(f"{int((~used).sum())} zones of the map have no trips and are left out")
    if weekday is None or hour is None:
        busy = table.trips.sum((2, 3)) / np.maximum(1, table.days)[:, None]
        rows = slice(None) if weekday is None else [weekday]
        columns = slice(None) if hour is None else [hour]
        for name, value, most in (("weekday", weekday, 6), ("hour", hour, 23)):
            if value is not None and not (is_whole(value) and value <= most):
                raise ValueError(f"{name} must be an integer 0 .. {most}, not {shown(value)}")
        chosen = np.full(busy.shape, -1.0)
        chosen[rows, columns] = busy[rows, columns]
        weekday, hour = (int(x) for x in np.unravel_index(chosen.argmax(), chosen.shape))
        notes.say(f"{DAYS[weekday]}, {hour}:00 is taken, the hour with the most trips; say weekday= and hour=")
    city = city_of_trips(
        table,
        weekday=weekday,
        hour=hour,
        hours=hours,
        step=step,
        fare=fare,
        fare_per_minute=fare_per_minute,
        neighbours=plan.borders,
        cars=cars,
        cost=cost,
        name=Path(path).stem,
    )
    coordinates = np.array([plan.centres[number] for number in city.zones])
    return replace(city, coordinates=coordinates, notes=(*plan.notes, *notes.sentences(), *city.notes))


def _known_pairs(
    neighbours: Iterable[tuple[int, int]], place: dict[int, int], notes: Notes
) -> Iterable[tuple[int, int]]:
    """Pairs of places; those with a zone that is not in the table are counted and left out."""
    pairs = [(int(v), int(w)) for v, w in neighbours if v != w]
    known = [(place[v], place[w]) for v, w in pairs if v in place and w in place]
    if len(known) < len(pairs):
        notes.say(f"{len(pairs) - len(known)} borders of zones without trips are left out")
    return known


def _read(path: Path, needed: tuple[str, ...], optional: tuple[str, ...], notes: Notes) -> list[Row]:
    """The rows of a file, one at least; columns of other names are said to be ignored."""
    found = list(rows(path, *needed))
    if not found:
        Place(str(path)).fail(f"it lists no {path.stem}")
    for name in sorted({name for row in found for name in row.fields} - {*needed, *optional}):
        meant = did_you_mean(name, [*needed, *optional]).rstrip(".")
        notes.say(f"column {shown(name)} of {path.name} is ignored{meant}")
    return found


def _minute(row: Row) -> int:
    """The minute of the day at which a slot begins; of the next day after midnight."""
    text = row.text("time")
    clock = TIME.fullmatch(text)
    minute = 60 * int(clock[1]) + int(clock[2]) if clock else row.place.whole(text, "time")
    if minute >= 2 * A_DAY:
        row.place.fail(f"time must be a minute of the day (0 .. {A_DAY - 1}, more after midnight), not {shown(text)}")
    return minute


def _borders(zones: list[Row], place_of: dict[str, int]) -> Ints:
    """``(E, 2)`` pairs of zones, each once."""
    pairs = set()
    for v, row in enumerate(zones):
        for name in row.fields.get("neighbours", "").split():
            w = row.place.node(name, "neighbours", place_of)
            if w == v:
                row.place.fail(f"zone {shown(name)} is a neighbour of itself")
            pairs.add((min(v, w), max(v, w)))
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _coordinates(zones: list[Row], notes: Notes) -> Floats | None:
    """``(V, 2)``, or None where some zone has none."""
    known = [row for row in zones if {"x", "y"} <= set(row.fields)]
    if len(known) < len(zones):
        if known:
            notes.say(f"coordinates are not used: {len(zones) - len(known)} zones have none")
        return None
    return np.array([[row.place.number(row.text(axis), axis) for axis in "xy"] for row in zones])
