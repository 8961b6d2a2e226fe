"""GMNS, the General Modeling Network Specification: a folder of CSV files.

The core has ``node.csv``, ``link.csv`` and ``config.csv``. Trips and delay functions lie outside it; the names that
path4gmns, DTALite and TAPLite give them are the defaults here. ``dir_flag`` speaks of the drawn shape, not of traffic.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.assembling import Tolls, assembled, check_weights
from mfnet_envs.io.csv_rows import Row, rows
from mfnet_envs.io.files import demand_table, reading
from mfnet_envs.io.network_data import NetworkData
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import BPR_B, BPR_POWER, Place, numbered
from mfnet_envs.io.units import METRES, METRES_PER_HOUR, SPEED_WITH, Detour, check_lengths, detour
from mfnet_envs.words import one_of, positive, shown

DEMAND = "demand.csv"
DEFAULTS = {"capacity": "capacity_per_lane", "free_speed": "free_speed"}  # columns that an argument stands in for
READ = {"link_id", "from_node_id", "to_node_id", "directed", "length", "free_speed", "capacity", "lanes"}
READ |= {"allowed_uses", "toll"}
YES, NO = {"1", "true", "t", "yes", "y"}, {"0", "false", "f", "no", "n"}
ODD_SPEEDS = 20.0, 130.0  # km/h; a median outside them speaks against the unit that was assumed
# Words of allowed_uses. A link is no road where all are of the first kind; a word of neither kind is taken for a road.
NOT_DRIVEN = {
    "walk", "walking", "pedestrian", "ped", "foot", "w", "bike", "bicycle", "bicycling", "cycle", "cycling", "b",
    "rail", "railway", "train", "tram", "subway", "metro", "light_rail", "transit", "bus", "ferry", "air", "aeroway",
    "none",
}  # fmt: skip
DRIVEN = {
    "auto", "autos", "car", "cars", "drive", "driving", "vehicle", "motor_vehicle", "motorcar", "sov", "hov", "hov2",
    "hov3", "truck", "trucks", "hgv", "taxi", "freight", "a", "c", "d", "all", "any",
}  # fmt: skip


class Road(NamedTuple):
    """A link as its row has it, length and speed in the file's units; NaN where a number is not stated."""

    place: Place
    ends: tuple[int, int]
    length: float
    speed: float
    minutes: float
    capacity: float
    b: float
    power: float
    toll: float
    both_ways: bool


class Columns(NamedTuple):
    """The arguments of :func:`from_gmns` that say where a link's numbers stand, or what they are if they do not."""

    b: tuple[str, ...]
    power: tuple[str, ...]
    minutes: tuple[str, ...]
    capacity_per_lane: float | None
    free_speed: float | None


def from_gmns(
    folder: str | os.PathLike[str],
    *,
    demand_file: str = DEMAND,
    demand_columns: tuple[str, str, str] = ("o_zone_id", "d_zone_id", "volume"),
    b: tuple[str, ...] = ("VDF_alpha1", "vdf_alpha"),
    power: tuple[str, ...] = ("VDF_beta1", "vdf_beta"),
    minutes: tuple[str, ...] = ("VDF_fftt1", "vdf_fftt"),
    capacity_per_lane: float | None = None,
    free_speed: float | None = None,
    length_unit: str | None = None,
    speed_unit: str | None = None,
    toll_weight: float | None = None,
    length_weight: float | None = None,
) -> NetworkData:
    """A network from a GMNS folder; times in hours.

    Args:
        demand_file: trips by zones, if the folder has it.
        demand_columns: its columns of origin, destination and trips.
        b, power, minutes: columns of the BPR law and of the free-flow time; the first that is filled counts. Without
            one: 0.15, 4, and length / free_speed.
        capacity_per_lane, free_speed: for links that state none.
        length_unit, speed_unit: such as "m" and "km/h"; None: those of ``config.csv``. Where that is silent, the unit
            in which lengths fit the coordinates, with km/h for m and km, mph for miles and feet; where none fits, speed
            is taken as lengths per hour, with a warning.
        toll_weight, length_weight: hours per unit of ``toll`` and of length in what travellers choose by.

    Capacity is per lane, times ``lanes`` (1 if not stated). A link that is not ``directed`` runs both ways; one whose
    ``allowed_uses`` names no motor vehicle is left out. Trips of a zone are shared out equally among the nodes with its
    ``zone_id``; where no node has one, zones are nodes.

    Raises:
        ValueError: a bad argument. FileNotFoundError: no node.csv or link.csv. NetworkFileError: the first field that
            is not as the format has it.
    """
    check_weights(toll_weight, length_weight)
    defaults = {"capacity_per_lane": capacity_per_lane, "free_speed": free_speed}
    positive(**{name: value for name, value in defaults.items() if value is not None})
    for name, unit, known in (("length_unit", length_unit, METRES), ("speed_unit", speed_unit, METRES_PER_HOUR)):
        if unit is not None:
            one_of(name, unit, list(known))
    names = _names("demand_columns", demand_columns, 3)
    laws = _names("b", b), _names("power", power), _names("minutes", minutes)
    columns = Columns(*laws, capacity_per_lane, free_speed)
    with reading(folder, "GMNS folder", folder=True) as place:
        notes = Notes()
        nodes = list(rows(Path(folder) / "node.csv", "node_id", "x_coord", "y_coord"))
        place_of = numbered((row.place, row.text("node_id")) for row in nodes)
        where = np.array([[row.place.number(row.text(c), c) for c in ("x_coord", "y_coord")] for row in nodes])
        where = where.reshape(-1, 2)
        roads = _roads(Path(folder) / "link.csv", place_of, columns, notes)
        found = _detour(roads, where)
        units, hours = _units(Path(folder) / "config.csv", length_unit, speed_unit, roads, found, notes)
        tables = {"node.csv", "link.csv", "config.csv", demand_file}
        if others := sorted({file.name for file in Path(folder).glob("*.csv")} - tables):
            notes.say(f"files of the folder that are not read: {', '.join(map(shown, others))}")
        tolls, links = Tolls(notes, toll_weight, length_weight), []
        for road in roads:
            time = road.minutes / 60 if np.isfinite(road.minutes) else hours * road.length / road.speed
            length = 0.0 if np.isnan(road.length) else road.length
            for ends in (road.ends, road.ends[::-1])[: 1 + road.both_ways]:
                links.append((*ends, time, road.capacity, road.b, road.power, length))
                tolls.add(road.place, road.toll)
        return assembled(
            place,
            notes,
            list(place_of),
            links,
            _demand(Path(folder), demand_file, names, _zones(nodes, list(place_of), notes), len(nodes), notes),
            coordinates=where,
            name=Path(folder).name,
            units=units,
            source=Path(folder).name,
            **tolls.fields(),
        )


def _names(argument: str, names: Any, number: int | None = None) -> tuple[str, ...]:
    """Names of columns; one alone may be given as it is."""
    given = (names,) if isinstance(names, str) else names
    fits = isinstance(given, tuple | list) and all(isinstance(name, str) for name in given)
    if not fits or number not in (None, len(given)):
        raise TypeError(f"{argument} must be {number or 'some'} names of columns, not {shown(names)}")
    return tuple(given)


def _roads(path: Path, place_of: dict[str, int], columns: Columns, notes: Notes) -> list[Road]:
    """The links of ``link.csv`` that motor vehicles may use."""
    roads, ids, unread = [], set[str](), set[str]()
    for row in rows(path, "link_id", "from_node_id", "to_node_id"):
        tail = row.place.node(row.text("from_node_id"), "from_node_id", place_of)
        head = row.place.node(row.text("to_node_id"), "to_node_id", place_of)
        if tail == head:
            row.place.fail(f"the link leads from node {shown(row.text('from_node_id'))} to itself; remove it")
        if row.fields.get("link_id") in ids:
            notes.count("a link_id is given again ({where}); the link counts twice", row.place, loud=True)
        ids.add(row.fields.get("link_id", ""))
        unread |= row.fields.keys() - READ - {name.lower() for names in columns[:3] for name in names}
        if not _driven(row, notes):
            continue
        time = row.value(columns.minutes, np.nan)
        if np.isnan(time):
            row.text("length")  # fails where there is none
        speed = _positive(row, "free_speed", columns.free_speed) if np.isnan(time) else np.nan
        if "directed" not in row.fields:
            notes.count("directed is not stated ({where}): the link leads one way", row.place)
        if "lanes" not in row.fields:
            notes.count("lanes are not stated ({where}): one is taken", row.place)
        capacity = row.value(("lanes",), 1.0, "positive") * _positive(row, "capacity", columns.capacity_per_lane)
        law = row.value(columns.b, np.nan), row.value(columns.power, np.nan)
        if np.isnan(law).any():
            notes.count(f"b or power is not stated ({{where}}): {BPR_B} and {BPR_POWER:g} are taken", row.place)
        b, power = (
            value if np.isfinite(value) else usual for value, usual in zip(law, (BPR_B, BPR_POWER), strict=True)
        )
        length, toll, both_ways = row.value(("length",), np.nan), row.value(("toll",), 0.0), not _directed(row)
        if np.isnan(length):
            notes.count("length is not stated ({where}): 0 is kept for it", row.place)
        roads.append(Road(row.place, (tail, head), length, speed, time, capacity, b, power, toll, both_ways))
    if unread:
        notes.say(f"columns of {path.name} that are not read: {', '.join(map(shown, sorted(unread)))}")
    return roads


def _driven(row: Row, notes: Notes) -> bool:
    """Whether motor vehicles may use the link; one without allowed_uses is for all."""
    text = row.fields.get("allowed_uses", "")
    uses = set(re.split(r"[\s;,|/+\[\]'\"]+", text.lower())) - {""}
    if uses and uses <= NOT_DRIVEN:
        left_out = "links whose allowed_uses names no motor vehicle ({where}) are left out"
        notes.count(left_out, row.place, text, loud=True)
        return False
    if not uses:
        notes.count("allowed_uses is not stated ({where}): taken as a road", row.place)
    if unknown := uses - NOT_DRIVEN - DRIVEN:
        notes.count("allowed_uses is not understood ({where}): taken as a road", row.place, min(unknown), loud=True)
    return True


def _positive(row: Row, column: str, default: float | None) -> float:
    """A positive field, or the caller's default."""
    if column not in row.fields and default is not None:
        return default
    if column not in row.fields:
        row.place.fail(f"column {column} is empty; fill it in, or pass {DEFAULTS[column]}= for links without one")
    return row.place.number(row.text(column), column, "positive")


def _directed(row: Row) -> bool:
    text = row.fields.get("directed", "1").lower()
    if text not in YES | NO:
        row.place.fail(f"directed must be true or false, not {shown(text)}")
    return text in YES


# -- units ------------------------------------------------------------------------------------------------------------


def _detour(roads: list[Road], where: Floats) -> Detour | None:
    ends = np.array([road.ends for road in roads], int).reshape(-1, 2)
    length = np.nan_to_num(np.array([road.length for road in roads]))
    return detour(where, ends[:, 0], ends[:, 1], length)


def _units(
    path: Path,
    length_unit: str | None,
    speed_unit: str | None,
    roads: list[Road],
    found: Detour | None,
    notes: Notes,
) -> tuple[dict[str, str], float]:
    """Units by name, and the hours that one length at speed one takes: as given, as stated, as fits, or one."""
    units, stated = {"time": "h", "capacity": "vehicles/h"}, _config(path)
    if "crs" in stated:
        units["coordinates"] = stated["crs"]
    length, speed = length_unit or stated.get("long_length"), speed_unit or stated.get("speed")
    by_speed = [road.speed for road in roads if np.isnan(road.minutes) and road.length > 0]
    if length:
        units["length"] = length
        check_lengths(notes, length.lower(), found)
    elif found and (fit := found.unit()):
        length, units["length"] = fit, f"assumed: {fit}"
        if found.on_earth:
            units.setdefault("coordinates", "assumed: lon/lat")
        ratio = METRES[fit] * found.median
        notes.say(f"no unit of length is stated: {fit} is assumed, {ratio:.3g} times the straight line in the median")
    if length and not speed and by_speed:
        name = min(SPEED_WITH, key=lambda unit: abs(METRES[unit] - METRES[length.lower()]))
        speed = SPEED_WITH[name]
        kph = float(np.median(by_speed)) * METRES_PER_HOUR[speed] / 1e3
        odd = not ODD_SPEEDS[0] <= kph <= ODD_SPEEDS[1]
        notes.say(f"no unit of speed is stated: {speed} is assumed, the median speed is {kph:.3g} km/h", loud=odd)
    if length and speed:
        return units, METRES[length.lower()] / METRES_PER_HOUR[speed.lower()]
    if by_speed:
        fits = f", {found.median:.3g} to a metre of straight line" if found else ""
        said = f"no unit of length is stated and none fits the coordinates{fits}: speed is taken as lengths per hour"
        notes.say(f"{said}; pass length_unit= and speed_unit=, or write config.csv", loud=True)
    return units, 1.0


def _config(path: Path) -> dict[str, str]:
    """The first row of ``config.csv``; nothing where there is none."""
    row = next(rows(path), None) if path.exists() else None
    if row is None:
        return {}
    for column, known in (("long_length", METRES), ("speed", METRES_PER_HOUR)):
        if (text := row.fields.get(column)) is not None and text.lower() not in known:
            row.place.fail(f"{column} must be one of {', '.join(known)}, not {shown(text)}")
    return row.fields


# -- trips ------------------------------------------------------------------------------------------------------------


def _zones(nodes: list[Row], labels: list[str], notes: Notes) -> dict[str, list[int]]:
    """The nodes of every zone."""
    zones: dict[str, list[int]] = {}
    for v, row in enumerate(nodes):
        if "zone_id" in row.fields:
            zones.setdefault(row.fields["zone_id"], []).append(v)
    if not zones:
        notes.say("node.csv states no zone_id: every node is a zone of its own")
    if any(len(zone) > 1 for zone in zones.values()):
        notes.say("zones with several nodes: their trips are shared out equally")
    return zones or {label: [v] for v, label in enumerate(labels)}


def _demand(
    folder: Path,
    file: str,
    columns: tuple[str, ...],
    zones: dict[str, list[int]],
    num_nodes: int,
    notes: Notes,
) -> Floats | None:
    """``(V, V)`` trips; those of a zone come from and go to its nodes in equal parts. None: there is no such file."""
    files = [path for path in sorted(folder.iterdir()) if path.name.lower() == file.lower()]
    if not (folder / file).exists() and len(files) != 1:
        if file != DEMAND:
            raise FileNotFoundError(f"there is no {folder / file}")
        notes.say(f"no trips: the folder has no {file}")
        return None
    path = folder / file if (folder / file).exists() else files[0]
    demand = demand_table(Place(str(path)), num_nodes)
    for row in rows(path, *columns):
        for column in columns[:2]:
            if row.text(column) not in zones:
                row.place.fail(f"{column} {shown(row.text(column))} is no zone_id of node.csv")
        origins, destinations = zones[row.text(columns[0])], zones[row.text(columns[1])]
        trips = row.place.number(row.text(columns[2]), columns[2], "non-negative")
        block = np.ix_(origins, destinations)
        if demand[block].any():
            notes.count("a pair of zones is given again ({where}); its trips are added up", row.place)
        demand[block] += trips / (len(origins) * len(destinations))
    return demand
