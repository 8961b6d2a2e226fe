"""Zones as polygons: a GeoJSON file of them, and which of them share a border.

Two zones are neighbours where a side of one runs along a side of the other for more than the tolerance; a common corner
is no border. Their vertices need not be the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mfnet_envs.arrays import Bools, Floats, Ints
from mfnet_envs.io.files import reading, text_of
from mfnet_envs.io.notes import Notes
from mfnet_envs.io.reading import Place
from mfnet_envs.words import did_you_mean, positive, shown

USUAL = ("locationid", "location_id", "zone_id", "zoneid", "zone")  # properties that hold the TLC's ids
TOGETHER = 2**18  # pairs of sides that are compared at a time
FINE = 1e-5  # of the map's extent: what two borders may lie apart, unless it is said


class Zones(NamedTuple):
    """Zones of a map: LocationID -> centre ``(2,)``; pairs of ids that share a border; what was guessed."""

    centres: dict[int, Floats]
    borders: list[tuple[int, int]]
    notes: tuple[str, ...]


def read_zones(path: str | os.PathLike[str], *, zone: str | None = None, tolerance: float | None = None) -> Zones:
    """Polygons of a GeoJSON FeatureCollection.

    Args:
        zone: the property with the id; default: LocationID or the like. tolerance: in the unit of the coordinates, what
            two borders may lie apart; default: a hundred-thousandth of the map's extent.

    Raises:
        ValueError: no positive tolerance. FileNotFoundError: no such file. NetworkFileError: a bad file.
    """
    if tolerance is not None:
        positive(tolerance=tolerance)
    notes = Notes()
    with reading(path, "GeoJSON file of zones") as place:
        rings: dict[int, list[Floats]] = {}
        for here, feature in _features(place, json.loads(text_of(place))):
            properties = feature.get("properties")
            name = _property(here, properties if isinstance(properties, Mapping) else {}, zone)
            number = here.whole(feature["properties"][name], name)
            if number in rings:
                notes.count("features with an id that another one has are parts of one zone ({where})", here)
            rings.setdefault(number, []).extend(_rings(here, feature.get("geometry")))
        if len(rings) < 2:
            place.fail(f"a city needs two zones at least, and this map has {len(rings)}")
        sides = {number: np.concatenate([_sides(ring) for ring in of]) for number, of in rings.items()}
        corners = np.concatenate([of.reshape(-1, 2) for of in sides.values()])
        if tolerance is None:
            tolerance = FINE * float(np.ptp(corners, axis=0).max())
            notes.say(f"zones are neighbours where their borders run along each other within {tolerance:.3g}")
        if not tolerance > 0:
            place.fail("all corners of its zones are one point")
        borders = [(v, w) for v, w in _close(sides, tolerance) if share_a_border(sides[v], sides[w], tolerance)]
        alone = len(sides) - len({number for pair in borders for number in pair})
        if alone:
            notes.say(f"{alone} zones share a border with no other")
        return Zones({number: _centre(of) for number, of in rings.items()}, borders, notes.sentences())


def _close(sides: Mapping[int, Floats], tolerance: float) -> Iterator[tuple[int, int]]:
    """Pairs of zones whose boxes meet: of a map of thousands, few of the millions of pairs."""
    numbers = np.array(sorted(sides), object)  # ids of any length
    low, high = (np.stack([far(sides[v], (0, 1)) for v in numbers]) for far in (np.min, np.max))
    for k, number in enumerate(numbers):
        meet = ((low[k] <= high[k + 1 :] + tolerance) & (low[k + 1 :] <= high[k] + tolerance)).all(1)
        yield from ((number, other) for other in numbers[k + 1 :][meet])


def share_a_border(a: Floats, b: Floats, tolerance: float) -> bool:
    """Whether sides ``a (m, 2, 2)`` and ``b (n, 2, 2)``, from corner to corner, run along each other somewhere."""
    low, high = np.maximum(a.min((0, 1)), b.min((0, 1))), np.minimum(a.max((0, 1)), b.max((0, 1)))
    a, b = (of[((of.max(1) >= low - tolerance) & (of.min(1) <= high + tolerance)).all(1)] for of in (a, b))
    for i, j in _meeting(a, b, tolerance):
        one, other = a[i], b[j]
        along = _beside(one[:, 0], one[:, 1], other, tolerance) | _beside(other[:, 0], other[:, 1], one, tolerance)
        if along.any():
            return True
    return False


def _meeting(a: Floats, b: Floats, tolerance: float) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of sides whose boxes meet: numbers in ``a``, and in ``b``, some at a time.

    Sides of ``b`` of about one width are sorted by where they begin, along the longer side of the map, so that each of
    ``a`` is held against those of its own strip only.
    """
    if not (len(a) and len(b)):
        return
    (low, high), (start, end) = ((of.min(1), of.max(1)) for of in (a, b))
    axis, reach = int(np.ptp(start, axis=0).argmax()), 2 * tolerance
    width = (end - start)[:, axis]
    kind = np.frexp(width + tolerance)[1]  # widths of a kind differ by a factor of two at most
    for alike in (np.flatnonzero(kind == k) for k in np.unique(kind)):
        strip = alike[np.argsort(start[alike, axis])]
        first = np.searchsorted(start[strip, axis], low[:, axis] - width[strip].max() - reach)
        many = np.searchsorted(start[strip, axis], high[:, axis] + reach, side="right") - first
        for rows in np.split(np.arange(len(a)), np.flatnonzero(np.diff(many.cumsum() // TOGETHER)) + 1):
            i, each = np.repeat(rows, many[rows]), many[rows]
            j = strip[np.repeat(first[rows] - each.cumsum() + each, each) + np.arange(len(i))]
            meet = ((low[i] <= end[j] + reach) & (start[j] <= high[i] + reach)).all(1)
            yield i[meet], j[meet]


def _beside(start: Floats, end: Floats, others: Floats, tolerance: float) -> Bools:
    length = np.linalg.norm(end - start, axis=-1)
    x, y = np.moveaxis((end - start) / np.maximum(length, 1e-300)[:, None], -1, 0)
    ahead = others - start[:, None]
    on = ahead[..., 0] * x[:, None] + ahead[..., 1] * y[:, None]
    off = np.abs(ahead[..., 1] * x[:, None] - ahead[..., 0] * y[:, None])
    together = np.minimum(on.max(1), length) - np.maximum(on.min(1), 0)
    found: Bools = (off <= tolerance).all(1) & (together > tolerance)
    return found


def _features(place: Place, data: Any) -> list[tuple[Place, Mapping[str, Any]]]:
    features = data.get("features") if isinstance(data, Mapping) else None
    if not isinstance(features, list) or not features:
        place.fail("there is no list 'features' of a FeatureCollection")
    found = []
    for k, feature in enumerate(features):
        here = Place(place.file, f"features[{k}]")
        if not isinstance(feature, Mapping):
            here.fail(f"an object {{...}} is expected, not {shown(feature)}")
        found.append((here, feature))
    return found


def _property(here: Place, properties: Mapping[str, Any], zone: str | None) -> str:
    """The name of the property with the id."""
    names = [str(name) for name in properties]
    if zone is not None:
        if zone not in properties:
            here.fail(f"there is no property {shown(zone)}{did_you_mean(zone, names)}")
        return zone
    known = {name.lower(): name for name in names}
    for usual in USUAL:
        if usual in known:
            return known[usual]
    here.fail(f"no property is called LocationID: say zone=, one of {', '.join(names) or 'none'}")


def _rings(here: Place, geometry: Any) -> list[Floats]:
    """The rings of a polygon or of several, ``(n, 2)`` each, its holes included."""
    kind, nested = (geometry.get(key) for key in ("type", "coordinates")) if isinstance(geometry, Mapping) else (0, 0)
    if kind not in ("Polygon", "MultiPolygon") or not isinstance(nested, list):
        here.fail(f"a zone must be a Polygon or a MultiPolygon, not {shown(kind or geometry)}")
    found = []
    try:
        flat = nested if kind == "Polygon" else [ring for polygon in nested for ring in polygon]
        texts = [[tuple(corner[:2]) for corner in ring] for ring in flat]
    except TypeError:
        here.fail("coordinates must be lists of rings, and a ring a list of corners [x, y]")
    for ring in texts:
        if len(set(map(str, ring))) < 3 or any(len(corner) < 2 for corner in ring):
            here.fail("a ring of a polygon needs three different corners at least, each of two numbers")
        found.append(np.array([[here.number(x, "a coordinate") for x in corner] for corner in ring]))
    if not found:
        here.fail("the polygon has no ring")
    return found


def _sides(ring: Floats) -> Floats:
    """``(n, 2, 2)`` from corner to corner, those without length left out."""
    sides: Floats = np.stack([ring, np.roll(ring, -1, axis=0)], 1)
    return np.asarray(sides[(sides[:, 0] != sides[:, 1]).any(1)])


def _centre(rings: list[Floats]) -> Floats:
    """The centroid of the largest ring; the mean of its corners where it has no area."""
    best: Floats = rings[0].mean(0)
    most = 0.0
    for ring in rings:
        middle = ring.mean(0)
        (x, y), (u, v) = (ring - middle).T, (np.roll(ring, -1, axis=0) - middle).T
        cross = x * v - u * y
        if abs(cross.sum()) > most:
            most, best = abs(cross.sum()), middle + np.array([(x + u) @ cross, (y + v) @ cross]) / (3 * cross.sum())
    return best
