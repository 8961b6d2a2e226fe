"""Zones as polygons: who share a border, by hand; and trips with such a map, from the files to the page."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfnet_agents.cli import main
from mfnet_envs import io
from mfnet_envs.io import NetworkFileError, polygons


def square(x: float, y: float, size: float = 1.0) -> list[list[float]]:
    return [[x, y], [x + size, y], [x + size, y + size], [x, y + size], [x, y]]


def a_map(path: Path, zones: Sequence[tuple[Any, Any]], name: str = "LocationID") -> Path:
    features = [
        {"type": "Feature", "properties": {name: k}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        for k, ring in zones
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_no_pair_of_sides_that_meet_is_left_out() -> None:
    """Sides a millionth to all of the map long, held against each other one by one; some upright, some flat."""
    rng = np.random.default_rng(0)
    for k in range(20):
        a, b = (
            rng.random((many, 1, 2)) * [[1, 10.0 ** rng.integers(-3, 4)]]
            + np.cumsum(rng.normal(size=(many, 2, 2)), 1) * 10.0 ** rng.integers(-6, 1, (many, 1, 1))
            for many in (40, 60)
        )
        meet = np.array([[(p.min(0) <= q.max(0)).all() and (q.min(0) <= p.max(0)).all() for q in b] for p in a])
        found = [pair for i, j in polygons._meeting(a, b, 1e-9) for pair in zip(i.tolist(), j.tolist(), strict=True)]
        assert sorted(found) == list(map(tuple, np.argwhere(meet).tolist())), k


@pytest.mark.parametrize("apart", [0.01, 0.0])
def test_coasts_of_many_thousand_corners(apart: float) -> None:
    """One ragged ring within another, and around itself: every side against every other would take hours."""
    turn = np.linspace(0, 2 * np.pi, 40_000, endpoint=False)
    ragged = 1 + 1e-3 * (np.arange(len(turn)) % 2)
    ring = np.stack([ragged * np.cos(turn), ragged * np.sin(turn)], 1)
    sides = np.stack([ring, np.roll(ring, -1, axis=0)], 1)
    assert polygons.share_a_border(sides, (1 + apart) * sides[::-1], 1e-9) == (apart == 0.0)


def test_squares_of_a_grid_have_the_neighbours_of_a_grid(tmp_path: Path) -> None:
    """3 x 3 squares: 12 common sides; those that touch at a corner only are no neighbours."""
    places = {1 + 3 * row + column: (column, row) for row in range(3) for column in range(3)}
    found = io.read_zones(a_map(tmp_path / "z.geojson", [(k, square(*at)) for k, at in places.items()]))
    beside = [
        (k, m) for k, (x, y) in places.items() for m, (u, v) in places.items() if k < m and abs(x - u) + abs(y - v) == 1
    ]
    assert found.borders == sorted(beside) and len(beside) == 12
    assert {k: of.tolist() for k, of in found.centres.items()} == {
        k: [x + 0.5, y + 0.5] for k, (x, y) in places.items()
    }


@pytest.mark.parametrize(
    ("other", "tolerance", "is_one"),
    [
        (square(1, 0.25, 0.5), None, True),  # the side of one within that of the other: no corner in common
        (square(1.01, 0), None, False),  # a gap
        (square(1.01, 0), 0.02, True),
        (square(1, 1), None, False),  # a corner
        (square(1, 1), 0.02, False),
        ([[1, 0.5], [2, 0], [2, 1]], None, False),  # a corner on a side
    ],
)
def test_a_border_is_longer_than_a_point(tmp_path: Path, other: Any, tolerance: float | None, is_one: bool) -> None:
    path = a_map(tmp_path / "z.geojson", [(1, square(0, 0)), (2, other)])
    found = io.read_zones(path, tolerance=tolerance)
    assert found.borders == ([(1, 2)] if is_one else [])
    assert any("share a border with no other" in note for note in found.notes) != is_one


@pytest.mark.parametrize(
    ("zones", "name", "sentence"),
    [
        ([], "LocationID", "there is no list 'features'"),
        ([(1, square(0, 0))], "LocationID", "a city needs two zones at least, and this map has 1"),
        ([(1, square(0, 0))], "LocationId2", "no property is called LocationID: say zone=, one of LocationId2"),
        ([("x", square(0, 0))], "LocationID", "features[0]: LocationID must be a non-negative number, not 'x'"),
        ([(1, [[0, 0], [1, 1]])], "LocationID", "features[0]: a ring of a polygon needs three different corners"),
        ([(1, [[0, "a"], [1, 1], [2, 0]])], "LocationID", "features[0]: a coordinate must be a finite number, not 'a'"),
        ([(1, 3)], "LocationID", "features[0]: coordinates must be lists of rings"),
    ],
)
def test_a_bad_map_is_one_sentence(tmp_path: Path, zones: Any, name: str, sentence: str) -> None:
    with pytest.raises(NetworkFileError, match=re.escape(sentence)) as told:
        io.read_zones(a_map(tmp_path / "z.geojson", zones, name))
    assert "\n" not in str(told.value)


def test_a_misspelt_property_and_a_wrong_tolerance(tmp_path: Path) -> None:
    path = a_map(tmp_path / "z.geojson", [(1, square(0, 0)), (2, square(1, 0))], "place")
    with pytest.raises(NetworkFileError, match=r"there is no property 'plaec'; did you mean 'place'\?"):
        io.read_zones(path, zone="plaec")
    with pytest.raises(ValueError, match="tolerance must be a positive number, not 0"):
        io.read_zones(path, zone="place", tolerance=0)
    assert io.read_zones(path, zone="place").borders == [(1, 2)]


@pytest.fixture
def trips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Monday: 60 trips from 4 to 7 and 30 back at 8 h, of ten minutes; one at 9 h; zone 9 touches 4 at a corner."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    ends = [(8, 4, 7)] * 60 + [(8, 7, 4)] * 30 + [(8, 7, 9), (8, 9, 7), (9, 4, 7)]
    began = np.array([f"2024-01-01T{hour:02}:10" for hour, _, _ in ends], "datetime64[us]")
    table = {
        "tpep_pickup_datetime": began, "tpep_dropoff_datetime": began + np.timedelta64(10, "m"),
        "PULocationID": [a for _, a, _ in ends], "DOLocationID": [b for _, _, b in ends],
    }  # fmt: skip
    parquet.write_table(pyarrow.table(table), tmp_path / "january.parquet")
    a_map(tmp_path / "zones.geojson", [(4, square(0, 0)), (7, square(1, 0)), (9, square(1, 1)), (11, square(0, 1))])
    return tmp_path / "january.parquet"


def test_a_city_of_trips_and_polygons(trips: Path) -> None:
    city = io.load_city(trips, cars=12)
    assert city.zones == (4, 7, 9) and city.neighbours.tolist() == [[0, 1], [1, 2]] and city.start == 480
    assert city.demand.sum() == pytest.approx(92) and city.demand[:, 0, 1].sum() == pytest.approx(60)
    assert city.coordinates is not None and city.coordinates.tolist() == [[0.5, 0.5], [1.5, 0.5], [1.5, 1.5]]
    said = " | ".join(city.notes)
    assert "Monday, 8:00 is taken, the hour with the most trips" in said and "1 zones of the map have no trips" in said
    assert io.load_city(trips, hour=9).demand.sum() == pytest.approx(1)
    with pytest.raises(ValueError, match=r"hour must be an integer 0 \.\. 23, not 24"):
        io.load_city(trips, hour=24)
    a_map(trips.with_name("other.geojson"), [])
    with pytest.raises(NetworkFileError, match="there are 2 GeoJSON files beside it: say zones="):
        io.load_city(trips)


def test_from_trips_and_polygons_to_a_page(trips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--backend", "numpy", "--env", "fleet=20", "--steps", "64", "--worlds", "2", "--out", "solved"]
    assert main(["solve", trips.name, *arguments]) == 0
    text = capsys.readouterr().out
    assert text.startswith("read CityData(january: 3 zones, 12 steps of 5 min from 8:00, 92 requests)")
    assert "january" in Path("solved/report.html").read_text("utf-8") and Path("solved/export/policy.npz").is_file()
    Path("zones.geojson").unlink()
    assert main(["solve", trips.name, *arguments[:-1], "again"]) == 2
    assert "there is no GeoJSON file beside it: say zones=" in capsys.readouterr().err and not Path("again").exists()
