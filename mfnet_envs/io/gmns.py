"""GMNS, the General Modeling Network Specification: a folder of CSV files.

The core has ``node.csv``, ``link.csv`` and ``config.csv``. Trips and delay functions lie outside it; the names that
path4gmns, DTALite and TAPLite give them are the defaults here. ``dir_flag`` speaks of the drawn shape, not of traffic.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mfnet_envs.arrays import Floats
from mfnet_envs.io.network_data import NetworkData, assembled
from mfnet_envs.io.reading import BPR_B, BPR_POWER, Place, numbered

METRES = {"mi": 1609.344, "mile": 1609.344, "miles": 1609.344, "km": 1e3, "m": 1.0, "ft": 0.3048, "feet": 0.3048}
METRES |= {"kilometer": 1e3, "kilometers": 1e3, "meter": 1.0, "meters": 1.0}
METRES_PER_HOUR = {"mph": 1609.344, "mi/h": 1609.344, "kph": 1e3, "km/h": 1e3, "kmh": 1e3, "m/s": 3600.0}
METRES_PER_HOUR |= {"ft/s": 0.3048 * 3600, "fps": 0.3048 * 3600}
YES, NO = {"1", "true", "t", "yes", "y"}, {"0", "false", "f", "no", "n"}


class Row(NamedTuple):
    """A row of a CSV file by column name in lower case; empty and ``NaN`` fields are left out."""

    place: Place
    fields: dict[str, str]

    def text(self, column: str) -> str:
        if column.lower() not in self.fields:
            self.place.fail(f"column {column} is empty")
        return self.fields[column.lower()]

    def value(self, columns: tuple[str, ...], default: float, kind: str = "non-negative") -> float:
        """The number in the first of ``columns`` that is filled."""
        for column in columns:
            if column.lower() in self.fields:
                return self.place.number(self.fields[column.lower()], column, kind)
        return default


def from_gmns(
    folder: str | os.PathLike[str],
    *,
    demand_file: str = "demand.csv",
    demand_columns: tuple[str, str, str] = ("o_zone_id", "d_zone_id", "volume"),
    b: tuple[str, ...] = ("VDF_alpha1", "vdf_alpha"),
    power: tuple[str, ...] = ("VDF_beta1", "vdf_beta"),
    minutes: tuple[str, ...] = ("VDF_fftt1", "vdf_fftt"),
    capacity_per_lane: float | None = None,
    free_speed: float | None = None,
) -> NetworkData:
    """A network from a GMNS folder; times in hours.

    Args:
        demand_file: trips by zones, if the folder has it.
        demand_columns: its columns of origin, destination and trips.
        b, power, minutes: columns of the BPR law and of the free-flow time; the first that is filled counts. Without
            one: 0.15, 4, and length / free_speed.
        capacity_per_lane, free_speed: for links that state none.

    Capacity is per lane, times ``lanes`` (1 if not stated). A link that is not ``directed`` runs both ways. Trips of a
    zone are shared out equally among the nodes with its ``zone_id``; where no node has one, zones are nodes. Units are
    those of ``config.csv``; without it speed is taken as lengths per hour.

    Raises:
        FileNotFoundError: no node.csv or link.csv. NetworkFileError: the first field that is not as the format has it.
    """
    folder = Path(folder)
    nodes = list(_rows(folder / "node.csv", "node_id", "x_coord", "y_coord"))
    place_of = numbered((row.place, row.text("node_id")) for row in nodes)
    labels = list(place_of)
    units, hours = _units(folder / "config.csv")
    links: list[tuple[float, ...]] = []
    for row in _rows(folder / "link.csv", "link_id", "from_node_id", "to_node_id"):
        tail = row.place.node(row.text("from_node_id"), "from_node_id", place_of)
        head = row.place.node(row.text("to_node_id"), "to_node_id", place_of)
        if tail == head:
            row.place.fail(f"the link leads from node {labels[tail]!r} to itself; remove it")
        length = row.value(("length",), 0.0)
        time = row.value(minutes, np.nan) / 60
        if np.isnan(time):
            row.text("length")  # fails where there is none
            time = hours * length / _positive(row, "free_speed", free_speed)
        lanes = row.value(("lanes",), 1.0, "positive")
        capacity = lanes * _positive(row, "capacity", capacity_per_lane)
        law = time, capacity, row.value(b, BPR_B), row.value(power, BPR_POWER), length
        links.append((tail, head, *law))
        if not _directed(row):
            links.append((head, tail, *law))
    demand = None
    if (folder / demand_file).exists():
        demand = _demand(folder / demand_file, demand_columns, _zones(nodes, labels), len(nodes))
    return assembled(
        Place(str(folder)),
        labels,
        links,
        demand,
        coordinates=np.array([[row.place.number(row.text(c), c) for c in ("x_coord", "y_coord")] for row in nodes]),
        name=folder.name,
        units=units,
        source=folder.name,
    )


def _rows(path: Path, *required: str) -> Iterator[Row]:
    place = Place(str(path))
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        names = [name.strip().lower() for name in next(reader, [])]
        for column in required:
            if column.lower() not in names:
                place.line(1).fail(f"the header has no column {column}")
        for texts in reader:
            here = place.line(reader.line_num)
            if not any(text.strip() for text in texts):
                continue
            if len(texts) != len(names):
                here.fail(f"expected {len(names)} fields as in the header, found {len(texts)}")
            pairs = ((name, text.strip()) for name, text in zip(names, texts, strict=True))
            yield Row(here, {name: text for name, text in pairs if text and text.lower() != "nan"})


def _positive(row: Row, column: str, default: float | None) -> float:
    """A positive field, or the caller's default."""
    if column not in row.fields and default is not None:
        return default
    return row.place.number(row.text(column), column, "positive")


def _directed(row: Row) -> bool:
    text = row.fields.get("directed", "1").lower()
    if text not in YES | NO:
        row.place.fail(f"directed must be true or false, not {text!r}")
    return text in YES


def _units(path: Path) -> tuple[dict[str, str], float]:
    """What ``config.csv`` says, and the hours that one length at speed one takes."""
    units = {"time": "h", "capacity": "vehicles/h"}
    if not path.exists():
        return units, 1.0
    row = next(_rows(path), None)
    if row is None:
        return units, 1.0
    if "crs" in row.fields:
        units["coordinates"] = row.fields["crs"]
    if "long_length" in row.fields:
        units["length"] = row.fields["long_length"]
    if "long_length" not in row.fields or "speed" not in row.fields:
        return units, 1.0
    length, speed = row.fields["long_length"].lower(), row.fields["speed"].lower()
    if length not in METRES:
        row.place.fail(f"long_length must be one of {', '.join(METRES)}, not {length!r}")
    if speed not in METRES_PER_HOUR:
        row.place.fail(f"speed must be one of {', '.join(METRES_PER_HOUR)}, not {speed!r}")
    return units, METRES[length] / METRES_PER_HOUR[speed]


def _zones(nodes: list[Row], labels: list[str]) -> dict[str, list[int]]:
    """The nodes of every zone."""
    zones: dict[str, list[int]] = {}
    for v, row in enumerate(nodes):
        if "zone_id" in row.fields:
            zones.setdefault(row.fields["zone_id"], []).append(v)
    return zones or {label: [v] for v, label in enumerate(labels)}


def _demand(path: Path, columns: tuple[str, str, str], zones: dict[str, list[int]], num_nodes: int) -> Floats:
    """``(V, V)`` trips; those of a zone come from and go to its nodes in equal parts."""
    demand = np.zeros((num_nodes, num_nodes))
    for row in _rows(path, *columns):
        for column in columns[:2]:
            if row.text(column) not in zones:
                row.place.fail(f"{column} {row.text(column)!r} is no zone_id of node.csv")
        origins, destinations = zones[row.text(columns[0])], zones[row.text(columns[1])]
        trips = row.place.number(row.text(columns[2]), columns[2], "non-negative")
        demand[np.ix_(origins, destinations)] += trips / (len(origins) * len(destinations))
    return demand
