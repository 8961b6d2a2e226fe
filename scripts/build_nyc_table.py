"""Rebuild the Manhattan table of `mfnet_envs/data/nyc_manhattan_2018` from the data files of pyhailing 0.0.9.

    pip install --no-deps pyhailing==0.0.9
    python scripts/build_nyc_table.py            # writes manhattan.npz
    python scripts/build_nyc_table.py --check    # rebuilds in memory and compares array by array

The package is located, never imported; `--source DIR` names a folder that holds `trips.csv` and `taxizones.geojson`
instead. What changes on the way: quarter-hours are added up to hours, zones are sorted by their TLC id, polygon
vertices are rounded to one metre, and centroids and adjacency are derived from the polygons. The result depends on
the source files only.
"""

import argparse
import importlib.util
import json
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).resolve().parents[1] / "mfnet_envs" / "data" / "nyc_manhattan_2018" / "manhattan.npz"
DIGITS = 5  # vertices that agree to a centimetre (coordinates are km) are one vertex
SHARED = 2  # two zones that share a border have at least this many vertices in common
Arrays = dict[str, NDArray[Any]]


def installed_source() -> Path:
    """Folder of pyhailing's data files, found without importing the package."""
    spec = importlib.util.find_spec("pyhailing")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "pyhailing is not installed: run `pip install --no-deps pyhailing==0.0.9`, or pass --source DIR"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def read_zones(path: Path) -> list[tuple[int, str, NDArray[np.float64]]]:
    """`(id, name, outer ring (n, 2) in km)` of every zone, ids ascending."""
    features = json.loads(path.read_text(encoding="utf-8"))["features"]
    zones = []
    for feature in features:
        geometry, properties = feature["geometry"], feature["properties"]
        if geometry["type"] != "Polygon" or len(geometry["coordinates"]) != 1:
            raise ValueError(f"zone {properties['zone_id']} is not one ring; this script reads single rings only")
        zones.append((int(properties["zone_id"]), str(properties["zone_name"]), np.array(geometry["coordinates"][0])))
    return sorted(zones, key=lambda zone: zone[0])


def shared_borders(rings: list[NDArray[np.float64]]) -> NDArray[np.int16]:
    """Pairs `(i, j)`, i < j, of rings with at least SHARED common vertices, (E, 2)."""
    vertices = [set(map(tuple, np.round(ring, DIGITS).tolist())) for ring in rings]
    pairs = [(i, j) for i, j in combinations(range(len(rings)), 2) if len(vertices[i] & vertices[j]) >= SHARED]
    return np.array(pairs, dtype=np.int16).reshape(-1, 2)


def centroid(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre of area of a closed ring (n, 2), by the shoelace formula around its first vertex."""
    x, y = (ring - ring[0]).T
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    sums = [((p[:-1] + p[1:]) * cross).sum() for p in (x, y)]
    return np.asarray(ring[0] + np.array(sums) / (3 * cross.sum()))


def to_metres(ring: NDArray[np.float64]) -> NDArray[np.int32]:
    """Ring in whole metres, vertices that fall together merged."""
    points = np.rint(1000 * ring).astype(np.int32)
    keep = np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))
    return np.asarray(points[keep])


def count_trips(path: Path, zone_ids: NDArray[np.int16]) -> NDArray[np.int32]:
    """Trips by (weekday 0 = Monday, hour, origin, destination), (5, 24, V, V)."""
    table = np.loadtxt(path, dtype=np.int64, delimiter=",", skiprows=1, ndmin=2)
    day, quarter, origin, destination, trips = table.T
    if not np.isin(table[:, 2:4], zone_ids).all():
        raise ValueError(f"{path.name} names a zone that has no polygon; take both files from one release")
    counts = np.zeros((5, 24, len(zone_ids), len(zone_ids)), dtype=np.int64)
    index = (day, quarter // 4, np.searchsorted(zone_ids, origin), np.searchsorted(zone_ids, destination))
    np.add.at(counts, index, trips)
    return counts.astype(np.int32)


def build(source: Path) -> Arrays:
    """All arrays of the table, from the folder with `trips.csv` and `taxizones.geojson`."""
    zones = read_zones(source / "taxizones.geojson")
    rings = [ring for _, _, ring in zones]
    metres = [to_metres(ring) for ring in rings]
    zone_ids = np.array([zone for zone, _, _ in zones], dtype=np.int16)
    return {
        "trips": count_trips(source / "trips.csv", zone_ids),
        "zone_ids": zone_ids,
        "zone_names": np.array([name for _, name, _ in zones]),
        "edges": shared_borders(rings),
        "centroids_km": np.round([centroid(ring) for ring in rings], 4),
        "polygon_points_m": np.concatenate(metres),
        "polygon_starts": np.cumsum([0, *map(len, metres)], dtype=np.int32),
    }


def differences(ours: Arrays, theirs: Arrays) -> list[str]:
    """Names of the arrays that are missing on one side or differ in type, shape or any entry."""

    def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
        return a.dtype == b.dtype and np.array_equal(a, b)

    names = sorted(ours.keys() | theirs.keys())
    return [name for name in names if not (name in ours and name in theirs and same(ours[name], theirs[name]))]


def read_table(path: Path) -> Arrays:
    """Arrays of a table written by this script."""
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 1 where --check finds a difference or the source is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, help="folder with trips.csv and taxizones.geojson")
    parser.add_argument("--target", type=Path, default=TARGET, help="table to write or to check")
    parser.add_argument("--check", action="store_true", help="compare with the existing table and write nothing")
    options = parser.parse_args(arguments)
    try:
        arrays = build(options.source or installed_source())
        old = read_table(options.target) if options.check else {}
    except FileNotFoundError as missing:
        print(missing, file=sys.stderr)
        return 1
    if options.check:
        wrong = differences(arrays, old)
        print(f"differs: {', '.join(wrong)}" if wrong else f"all {len(arrays)} arrays equal")
        return int(bool(wrong))
    np.savez_compressed(options.target, **arrays)  # type: ignore[arg-type]
    print(f"{options.target.name}: {int(arrays['trips'].sum()):,} trips, {options.target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
