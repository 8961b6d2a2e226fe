"""Trip records of New York's Taxi and Limousine Commission: parquet files of taxis and of ride-hailing companies.

The files are NYC Open Data. They need ``pyarrow``; of their columns four are read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfnet_envs.arrays import Floats, Ints
from mfnet_envs.io.files import GIB, LARGEST_TABLE, reading
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import NetworkFileError, Place
from mfnet_envs.words import brief, is_whole, optional_package, shown

# Yellow, green, and for-hire vehicles; the spelling's case has changed over the years.
COLUMNS = {
    "pickup": ("tpep_pickup_datetime", "lpep_pickup_datetime", "pickup_datetime"),
    "dropoff": ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime"),
    "origin": ("pulocationid",),
    "destination": ("dolocationid",),
}
LAST_ZONE = 263  # 264 and 265 stand for unknown
LONGEST_TRIP = 180.0  # minutes; longer ones are meters left running, and do not count in the mean duration
STRAY = 0.01  # a date with fewer trips than this share of the busiest date's is a clock set wrong, not a day of service
MINUTES_A_DAY = 1440
MONDAY = 3  # 1970-01-01, day 0, was a Thursday


@dataclass(frozen=True, eq=False)
class TripTable:
    """Trips by weekday, time slot, origin and destination.

    Attributes:
        zones: ``(V,)`` TLC LocationIDs, ascending; a zone's index is its place here.
        trips: ``(7, slots, V, V)`` counts; weekday 0 is Monday, slot 0 begins at midnight.
        minutes: ``(V, V)`` mean duration of the trips from zone to zone, NaN where there are none.
        days: ``(7,)`` dates of each weekday in the files.
    """

    zones: Ints
    trips: NDArray[np.int32]
    minutes: Floats
    days: Ints

    def trips_per_hour(self, weekday: int, slot: int) -> Floats:
        """``(V, V)`` mean trips per hour in that slot of that weekday; those within a zone included."""
        hours = 24 / self.trips.shape[1] * max(1, int(self.days[weekday]))
        return np.asarray(self.trips[weekday, slot] / hours)


def read_tlc(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    zones: Iterable[int] | None = None,
    slot_minutes: int = 60,
) -> TripTable:
    """Count the trips of one or several parquet files.

    Args:
        zones: LocationIDs to keep; default: all from 1 to 263 that occur. Trips that begin or end elsewhere, or at an
            unknown place, are left out, with a warning that says how many.
        slot_minutes: a divisor of a day's 1440.

    Raises:
        TypeError: no paths. ValueError: ``slot_minutes`` does not divide the day, zones that are no ids, too large a
            table. FileNotFoundError: no such file. NetworkFileError: no parquet, or a column is missing.
        ModuleNotFoundError: pyarrow is not installed.
    """
    if not is_whole(slot_minutes, 1) or MINUTES_A_DAY % slot_minutes:
        raise ValueError(f"slot_minutes must divide the day's {MINUTES_A_DAY} minutes, not {slot_minutes!r}")
    wanted = _wanted(zones)
    v, slots = len(wanted), MINUTES_A_DAY // slot_minutes
    if (size := 4 * 7 * slots * v * v) > LARGEST_TABLE:
        limit = f"{size / GIB:.1f} GiB, over the limit of {LARGEST_TABLE / GIB:.0f}"
        raise ValueError(
            f"{v} zones in slots of {slot_minutes} minutes take {limit}; ask for fewer zones or longer slots"
        )
    trips = np.zeros((7, slots, v, v), np.int32)
    duration, timed, seen, total = np.zeros((v, v)), np.zeros((v, v)), Counter[int](), 0
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths) if isinstance(paths, Iterable) else []
    if not files or not all(isinstance(path, str | os.PathLike) for path in files):
        raise TypeError(f"paths must be one or several paths of parquet files, not {shown(paths)}")
    for path in files:
        for pickup, dropoff, origin, destination in _batches(path):
            total += len(pickup)
            known = np.isin(origin, wanted) & np.isin(destination, wanted) & ~np.isnat(pickup)
            ends = np.searchsorted(wanted, origin[known]), np.searchsorted(wanted, destination[known])
            day, minute = np.divmod(pickup[known].astype("datetime64[m]").astype(np.int64), MINUTES_A_DAY)
            np.add.at(trips, ((day + MONDAY) % 7, minute // slot_minutes, *ends), 1)
            seen.update(dict(zip(*(part.tolist() for part in np.unique(day, return_counts=True)), strict=True)))
            spent = (dropoff[known] - pickup[known]) / np.timedelta64(1, "m")  # NaN without a drop-off
            usual = (spent > 0) & (spent <= LONGEST_TRIP)
            np.add.at(duration, (ends[0][usual], ends[1][usual]), spent[usual])
            np.add.at(timed, (ends[0][usual], ends[1][usual]), 1)
    _warn_of_losses(", ".join(str(path) for path in files), total, int(trips.sum()))
    minutes = np.divide(duration, timed, out=np.full((v, v), np.nan), where=timed > 0)
    used = np.ones(v, bool) if zones is not None else trips.any((0, 1, 3)) | trips.any((0, 1, 2))
    return TripTable(wanted[used], trips[:, :, used][..., used], minutes[used][:, used], _days(seen))


def _wanted(zones: Iterable[int] | None) -> Ints:
    """LocationIDs, ascending, once each."""
    if zones is None:
        return np.arange(1, LAST_ZONE + 1)
    given = list(zones) if isinstance(zones, Iterable) else [zones]
    for zone in given:
        if not is_whole(zone, 1) or zone > LAST_ZONE + 2:
            raise ValueError(f"zones must be LocationIDs from 1 to {LAST_ZONE}, not {shown(zone)}")
    return np.unique(np.array(given, np.int64))


def _batches(path: str | os.PathLike[str]) -> Iterable[tuple[NDArray[Any], ...]]:
    """Pick-up and drop-off times, origins and destinations (0 where unknown), some hundred thousand rows at a time."""
    parquet = optional_package("pyarrow.parquet", "networks")
    with reading(path, "parquet file") as place, open(path, "rb") as raw:
        try:
            file = parquet.ParquetFile(raw)
            columns = _columns(place, file.schema_arrow.names)
            for batch in file.iter_batches(columns=columns):
                table = {name: batch.column(name) for name in columns}
                times = [np.asarray(table[name].cast("timestamp[us]")) for name in columns[:2]]
                places = [np.asarray(table[name].cast("int64").fill_null(0)) for name in columns[2:]]
                yield *times, *places
        except NetworkFileError:
            raise
        except Exception as error:  # pyarrow raises many kinds
            place.fail(f"this is no parquet file, or it is damaged ({brief(error)})")


def _columns(place: Place, names: list[str]) -> list[str]:
    """The four columns as this file spells them."""
    spelt = {name.lower(): name for name in names}
    found = [next((spelt[name] for name in known if name in spelt), None) for known in COLUMNS.values()]
    for meaning, name in zip(COLUMNS, found, strict=True):
        if name is None:
            known = " or ".join(COLUMNS[meaning])
            place.fail(f"there is no column {known} ({meaning}); files before mid-2016 have coordinates and no zones")
    return [name for name in found if name is not None]


def _days(seen: Counter[int]) -> Ints:
    """``(7,)`` dates of each weekday, without the stray ones."""
    least = STRAY * max(seen.values(), default=0)
    dates = np.array([day for day, trips in seen.items() if trips >= least], np.int64)
    return np.bincount((dates + MONDAY) % 7, minlength=7).astype(np.int64)


def _warn_of_losses(file: str, total: int, kept: int) -> None:
    if kept < total:
        notes, what = Notes(), f"{total - kept:,} of {total:,} trips ({(total - kept) / total:.1%})"
        notes.say(f"{what} begin or end outside the wanted zones and are left out", loud=True)
        notes.warn(Place(file))
