"""The Manhattan table: what it says, and that the script rebuilds it from its source."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import networkx as nx
import numpy as np
import pytest

from mfnet_envs.data import FOLDER, manhattan

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "build_nyc_table.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_nyc_table", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- the shipped table against figures taken from the raw files --------------------------------------------------------


def test_totals() -> None:
    trips = manhattan().trips
    assert trips.shape == (5, 24, 61, 61)
    assert trips.sum() == 110_932_862
    np.testing.assert_allclose(trips.sum((1, 2, 3)) / 1e6, [17.8, 21.9, 22.8, 23.4, 25.1], atol=0.05)
    assert (trips.sum((0, 1)) > 0).sum() == 3720
    assert round(100 * np.trace(trips.sum((0, 1))) / trips.sum(), 1) == 5.0


def test_largest_and_smallest_zone() -> None:
    table = manhattan()
    pickups = dict(zip(table.zone_ids.tolist(), table.trips.sum((0, 1, 3)).tolist(), strict=True))
    names = dict(zip(table.zone_ids.tolist(), table.zone_names, strict=True))
    assert sorted(pickups, key=pickups.__getitem__, reverse=True)[:2] == [161, 237]
    assert round(pickups[161] / 1e6, 2) == 4.83 and names[161] == "Midtown Center"
    assert pickups[128] == min(pickups.values()) == 19_733 and names[128] == "Inwood Hill Park"


def test_zones_are_in_ascending_order() -> None:
    assert (np.diff(manhattan().zone_ids) > 0).all()
    assert list(manhattan().graph().nodes) == manhattan().zone_ids.tolist()


def test_adjacency() -> None:
    graph = manhattan().graph()
    degrees = [degree for _, degree in graph.degree]
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (61, 134)
    assert nx.is_connected(graph) and nx.diameter(graph) == 13
    assert (min(degrees), max(degrees)) == (2, 10)


def test_thursday_evening() -> None:
    table = manhattan()
    rate = table.trips_per_hour(3, 18)
    zones = table.zone_ids.tolist()
    paths = dict(nx.all_pairs_shortest_path_length(table.graph()))
    hops = np.array([[paths[v][w] for w in zones] for v in zones])
    assert round(rate.sum()) == 33_275
    assert 2.54 <= (rate * hops).sum() / rate.sum() < 2.55
    assert round(rate.sum() / 12, 1) == 2772.9
    assert round((rate * np.maximum(1, hops)).sum() / 12) == 7196


def test_polygons_are_closed_and_hold_their_centroids() -> None:
    """A zone may be a crescent, so the centroid is compared with the box, not the outline."""
    for ring, centre in zip(manhattan().polygons, manhattan().centroids, strict=True):
        assert (ring[0] == ring[-1]).all() and len(ring) > 3
        assert (ring.min(0) < centre).all() and (centre < ring.max(0)).all()


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        manhattan().trips[0, 0, 0, 0] = 1


def test_licence_travels_with_the_data() -> None:
    folder = FOLDER / "nyc_manhattan_2018"
    assert "Apache License" in (folder / "LICENSE-Apache-2.0").read_text()
    notice = (folder / "NOTICE").read_text()
    assert "pyhailing" in notice and "Modifications" in notice and "TLC" in notice


# -- the script, on a city small enough to be worked out by hand -------------------------------------------------------

# Three unit squares in a row, west to east 9, 2, 5; 9 and 2 share two corners, 2 and 5 too, 9 and 5 none.
WEST = {9: 0, 2: 1, 5: 2}
TRIPS = [  # weekday, quarter-hour, origin, destination, trips
    (0, 0, 9, 2, 3),
    (0, 3, 9, 2, 4),  # the same hour as the row above
    (0, 4, 9, 2, 5),  # the next hour
    (4, 95, 5, 5, 7),
]


def write_source(folder: Path) -> Path:
    features = []
    for zone, x in WEST.items():
        ring = [[x, 0.0], [x + 1, 0.0], [x + 1, 1.0], [x, 1.0], [x, 0.0]]
        properties = {"zone_id": str(zone), "zone_name": f"zone {zone}"}
        features.append(
            {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
        )
    folder.mkdir(exist_ok=True)
    (folder / "taxizones.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    rows = ["dow,t_15min,puzone,dozone,n_trips", *(",".join(map(str, row)) for row in TRIPS)]
    (folder / "trips.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_build_by_hand(script: ModuleType, tmp_path: Path) -> None:
    table = script.build(write_source(tmp_path))
    trips = np.zeros((5, 24, 3, 3), int)
    trips[0, 0, 2, 0], trips[0, 1, 2, 0], trips[4, 23, 1, 1] = 7, 5, 7  # ids 2, 5, 9 are places 0, 1, 2
    np.testing.assert_array_equal(table["trips"], trips)
    assert table["zone_ids"].tolist() == [2, 5, 9]
    assert table["zone_names"].tolist() == ["zone 2", "zone 5", "zone 9"]
    assert table["edges"].tolist() == [[0, 1], [0, 2]]
    np.testing.assert_allclose(table["centroids_km"], [[1.5, 0.5], [2.5, 0.5], [0.5, 0.5]])
    assert table["polygon_starts"].tolist() == [0, 5, 10, 15]
    assert table["polygon_points_m"][:3].tolist() == [[1000, 0], [2000, 0], [2000, 1000]]


def test_points_are_not_borders(script: ModuleType) -> None:
    """Two squares that touch in one corner are no neighbours; a shared corner may differ by rounding."""
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    assert script.shared_borders([square, square + 1]).tolist() == []
    assert script.shared_borders([square, square + [1 + 1e-9, 0]]).tolist() == [[0, 1]]


def test_centroid_of_a_triangle(script: ModuleType) -> None:
    corners = np.array([[600.0, 4500], [603, 4500], [600, 4506], [600, 4500]])
    np.testing.assert_allclose(script.centroid(corners), corners[:3].mean(0), rtol=0, atol=1e-9)


def test_rebuild_and_check(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, table = write_source(tmp_path / "source"), tmp_path / "table.npz"
    options = ["--source", str(source), "--target", str(table)]
    assert script.main(options) == 0
    first = table.read_bytes()
    assert script.main(options) == 0
    assert table.read_bytes() == first
    assert script.main([*options, "--check"]) == 0
    assert "all 7 arrays equal" in capsys.readouterr().out
    with (source / "trips.csv").open("a") as file:
        file.write("1,0,2,2,1\n")
    assert script.main([*options, "--check"]) == 1
    assert capsys.readouterr().out == "differs: trips\n"
    assert table.read_bytes() == first


def test_shipped_table_has_the_arrays_the_script_writes(script: ModuleType, tmp_path: Path) -> None:
    shipped, small = script.read_table(script.TARGET), script.build(write_source(tmp_path))
    assert shipped.keys() == small.keys()
    assert all(shipped[name].dtype.kind == small[name].dtype.kind for name in small)


def test_missing_source_is_said(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--source", str(tmp_path / "nowhere")]) == 1
    assert "taxizones.geojson" in capsys.readouterr().err


def test_unknown_zone_is_said(script: ModuleType, tmp_path: Path) -> None:
    source = write_source(tmp_path)
    with (source / "trips.csv").open("a") as file:
        file.write("1,0,2,77,1\n")
    with pytest.raises(ValueError, match="zone that has no polygon"):
        script.build(source)
