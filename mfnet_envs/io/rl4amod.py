"""City files of RL4AMOD (Stanford ASL): requests, prices and driving times of a few hours, as JSON.

``scenario_<city>.json`` holds ``nlat`` times ``nlon`` regions, ``demand`` by minute, ``rebTime`` by hour, ``totalAcc``
(the fleet by hour) and ``topology_graph`` (regions that share a border). ``calibrated_parameters.json`` holds, for each
city, ``demand_ratio``, ``json_hr``, ``beta`` and ``test_tstep``. In their macroscopic simulator a car that arrives in a
step takes its next rider in the one after: ``turnaround`` is 1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io.city_data import MOST_STEPS, CityData, filled_in
from mfnet_envs.io.files import demand_table, reading, text_of
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import Place
from mfnet_envs.words import is_whole, non_negative, positive, shown, whole

PARAMETERS = "calibrated_parameters.json"
STEP = 3.0  # minutes, where nothing is said
LARGEST = 1_000  # regions


def read_rl4amod(
    path: str | os.PathLike[str],
    *,
    parameters: str | os.PathLike[str] | None = None,
    hour: int | None = None,
    step: float | None = None,
    steps: int = 20,
    demand_ratio: float | None = None,
    cost: float | None = None,
) -> CityData:
    """A city of RL4AMOD.

    Args:
        parameters: their file of calibrated parameters; default: the one beside ``path``, where there is one.
        hour: of the day at which the first step begins; step: minutes; demand_ratio: what requests are multiplied by;
            cost: of a minute's driving. Default: as ``parameters`` has it for this city.
        steps: T.

    Raises:
        ValueError: an argument out of its range. FileNotFoundError: no such file. NetworkFileError: a bad file.
    """
    if whole("steps", steps) > MOST_STEPS:
        raise ValueError(f"steps must be at most {MOST_STEPS:,}, not {shown(steps)}")
    for check, named in ((positive, {"step": step, "demand_ratio": demand_ratio}), (non_negative, {"cost": cost})):
        check(**{name: value for name, value in named.items() if value is not None})
    if parameters is not None and not isinstance(parameters, str | os.PathLike):
        raise TypeError(f"parameters must be the path of a file, not {shown(parameters)}")
    if hour is not None and not (is_whole(hour) and hour < 24):
        raise ValueError(f"hour must be an integer 0 .. 23, not {shown(hour)}")
    notes = Notes()
    city = Path(path).stem.removeprefix("scenario_")
    known = _parameters(Path(path), parameters, city, notes)
    with reading(path, "city file of RL4AMOD") as place:
        data = _object(place, json.loads(text_of(place)))
        zones = place.whole(data.get("nlat"), "nlat") * place.whole(data.get("nlon"), "nlon")
        if not 2 <= zones <= LARGEST:
            place.fail(f"nlat times nlon must be 2 to {LARGEST:,} regions, not {zones:,}")
        first = _chosen(hour, known, "json_hr", _first_hour(place, data), "hour", "whole", notes)
        long = _chosen(step, known, "test_tstep", STEP, "minutes of a step", "positive", notes)
        ratio = _chosen(demand_ratio, known, "demand_ratio", 1.0, "what demand is multiplied by", "positive", notes)
        beta = _chosen(cost, known, "beta", 0.0, "cost of a minute", "non-negative", notes)
        start = 60 * int(first)
        requests, minutes, fares = _demand(place, data, zones, start, long, steps, notes)
        empty = _empty(place, data, zones, int(first), notes)
        usual = mean(minutes.sum(0), requests.sum(0))
        guessed = int((np.isnan(empty) & ~np.isnan(usual) & ~np.eye(zones, dtype=bool)).sum())
        if guessed:
            notes.say(f"{guessed} driving times of empty cars are not given and taken from rides")
        empty, filled = filled_in(np.where(np.isnan(empty), usual, empty), place, range(zones))
        if filled:
            notes.say(f"{filled} driving times of empty cars are not given and taken over other regions")
        if ratio != 1:
            notes.say(f"requests are multiplied by {ratio:g}, the city's demand_ratio")
        cars = _cars(place, data, zones, int(first) + round(long / 2 * steps / 60), notes)
        return CityData(
            name=city,
            zones=tuple(range(zones)),
            step=float(long),
            start=start,
            demand=ratio * requests,
            travel_time=np.nan_to_num(mean(minutes, requests)),
            fare=np.nan_to_num(mean(fares, requests)),
            empty_time=empty,
            neighbours=_borders(place, data, zones),
            cars=cars,
            cost=float(beta),
            turnaround=1,
            notes=notes.sentences(),
        )


def _parameters(path: Path, parameters: str | os.PathLike[str] | None, city: str, notes: Notes) -> Mapping[str, Any]:
    """What is calibrated for this city; nothing where there is no file."""
    file = path.parent / PARAMETERS if parameters is None else Path(parameters)
    if parameters is None and not file.is_file():
        return {}
    with reading(file, "file of calibrated parameters") as place:
        cities = _object(place, json.loads(text_of(place)))
        if city not in cities:
            notes.say(f"{file.name} has no parameters of {city}")
        return _object(place, cities.get(city, {}))


def _chosen(
    given: float | None, known: Mapping[str, Any], name: str, default: float, what: str, kind: str, notes: Notes
) -> float:
    """An argument, or what is calibrated, or a default that is said."""
    if given is not None:
        return given if kind == "whole" else float(given)
    if name in known:
        here = Place(PARAMETERS)
        return here.whole(known[name], name) if kind == "whole" else here.number(known[name], name, kind)
    notes.say(f"{what}: {default:g}, since nothing is given")
    return default


def _object(place: Place, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        place.fail(f"an object {{...}} is expected, not {shown(value)}")
    return value


def _rows(place: Place, data: Mapping[str, Any], name: str, keys: tuple[str, ...]) -> list[tuple[Place, list[Any]]]:
    """The rows of a list of objects, each with its place."""
    rows = data.get(name)
    if not isinstance(rows, list) or not rows:
        place.fail(f"there is no list {name!r}")
    found = []
    for number, row in enumerate(rows):
        here = Place(place.file, f"{name}[{number}]")
        for key in keys:
            if key not in _object(here, row):
                here.fail(f"there is no {key!r}")
        found.append((here, [row[key] for key in keys]))
    return found


def _region(place: Place, value: Any, field: str, zones: int) -> int:
    region = place.whole(value, field)
    if region >= zones:
        place.fail(f"{field} must be a region 0 .. {zones - 1}, not {region}")
    return region


def _first_hour(place: Place, data: Mapping[str, Any]) -> float:
    rows = _rows(place, data, "demand", ("time_stamp",))
    return float(min(here.whole(stamp, "time_stamp") for here, (stamp,) in rows) // 60)


def _demand(
    place: Place, data: Mapping[str, Any], zones: int, start: int, step: float, steps: int, notes: Notes
) -> tuple[Floats, Floats, Floats]:
    """``(T, V, V)`` each: requests, and their minutes and fares, summed."""
    requests, minutes, fares = (demand_table(place, zones, steps).reshape(steps, zones, zones) for _ in range(3))
    keys = ("time_stamp", "origin", "destination", "demand", "travel_time", "price")
    late = "rows of demand before the first or after the last step are left out ({where})"
    for here, (stamp, i, j, many, spent, price) in _rows(place, data, "demand", keys):
        origin, target = _region(here, i, "origin", zones), _region(here, j, "destination", zones)
        t = int((here.whole(stamp, "time_stamp") - start) // step)
        asked = here.number(many, "demand", "non-negative")
        took, paid = here.number(spent, "travel_time", "positive"), here.number(price, "price", "non-negative")
        if not 0 <= t < steps:
            notes.count(late, here)
            continue
        requests[t, origin, target] += asked
        minutes[t, origin, target] += asked * took
        fares[t, origin, target] += asked * paid
    return requests, minutes, fares


def mean(total: Floats, weight: Floats) -> Floats:
    """total / weight, NaN where there is no weight."""
    found: Floats = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return found


def _empty(place: Place, data: Mapping[str, Any], zones: int, hour: int, notes: Notes) -> Floats:
    """``(V, V)`` minutes of empty cars in that hour, NaN where they are not given."""
    hours: dict[int, Floats] = {}
    for here, (stamp, i, j, spent) in _rows(
        place, data, "rebTime", ("time_stamp", "origin", "destination", "reb_time")
    ):
        origin, target = _region(here, i, "origin", zones), _region(here, j, "destination", zones)
        took, of = here.number(spent, "reb_time", "non-negative"), here.whole(stamp, "time_stamp")
        if origin != target and took > 0:
            table = hours.setdefault(of, np.full((zones, zones), np.nan))
            if not np.isnan(table[origin, target]):
                notes.count("driving times of empty cars are given twice, and the last one counts ({where})", here)
            table[origin, target] = took
    if not hours:
        return np.full((zones, zones), np.nan)
    nearest = min(hours, key=lambda of: (abs(of - hour), of))
    notes.say(f"empty cars need at every step what they need from {nearest}:00 to {nearest + 1}:00")
    return hours[nearest]


def _cars(place: Place, data: Mapping[str, Any], zones: int, hour: int, notes: Notes) -> int | None:
    """The fleet of the hour in the middle, an equal number for each region."""
    found = None
    for here, (stamp, acc) in _rows(place, data, "totalAcc", ("hour", "acc")):
        at, many = here.whole(stamp, "hour"), here.number(acc, "acc", "positive")
        if at != hour:
            continue
        if found is not None:
            here.fail(f"the fleet of hour {hour} is given twice; keep one")
        found = zones * int(many / zones)
        if found < 1:
            here.fail(f"acc must be a car for each of {zones} regions at least, not {shown(acc)}")
        if found != many:
            number = f"the same number for each of {zones} regions"
            notes.say(f"of the file's {many:,.12g} cars {found:,} are used, {number}, unless fleet= says another one")
    if found is None:
        notes.say(f"there is no fleet (totalAcc) of hour {hour}")
    return found


def _borders(place: Place, data: Mapping[str, Any], zones: int) -> Ints:
    """``(E, 2)`` pairs of regions, each once."""
    pairs = [
        [_region(here, i, "i", zones), _region(here, j, "j", zones)]
        for here, (i, j) in _rows(place, data, "topology_graph", ("i", "j"))
    ]
    ends = np.sort(np.array(pairs, np.int64), axis=1)
    return np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0)
