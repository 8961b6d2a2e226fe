"""No wrong number without a sentence: what readers guess, fill in, ignore or drop is counted and said once."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mfnet_envs import io

DEGREE_KM = np.pi / 180 * 6371.0


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def noted(data: io.NetworkData, *sentences: str) -> None:
    """Each of the sentences stands in one of the notes."""
    for sentence in sentences:
        assert any(sentence in note for note in data.notes), (sentence, data.notes)


@pytest.fixture
def silent() -> Any:
    """Nothing here is worth a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# -- OSMnx: speeds and lanes written by hand --------------------------------------------------------------------------


def street(tmp_path: Path, **edge: str) -> io.NetworkData:
    """Two nodes .01 degree apart on the equator, 1.112 km; the street from a to b has the given attributes."""
    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(crs="epsg:4326")
    graph.add_node("a", x="0", y="0")
    graph.add_node("b", x="0.01", y="0")
    graph.add_edge("a", "b", **{"length": "1112", "highway": "motorway", "oneway": "True", **edge})
    back = {key: edge[key] for key in ("length", "travel_time") if key in edge}
    usual = {"length": "1112", "highway": "motorway", "oneway": "True", "lanes": "2", "maxspeed": "100"}
    graph.add_edge("b", "a", **{**usual, **back})
    nx.write_graphml(graph, tmp_path / "x.graphml")
    return io.load(tmp_path / "x.graphml")


@pytest.mark.parametrize(
    ("text", "kph"),
    [
        ("50", 50),
        ("70|100", 85),  # lane by lane: the mean
        ("50;30", 40),
        ("50; 30 ;40", 40),
        ("['70|100', '35']", (70 + 100 + 35) / 3),
        ("30 mph", 48.28032),
        ("30 MPH", 48.28032),
        ("30mph", 48.28032),
        ("20 Knots", 37.04),
        ("60 KM/H", 60),
        ("walk", 6),
    ],
)
@pytest.mark.usefixtures("silent")
def test_speeds_that_can_be_read(tmp_path: Path, text: str, kph: float) -> None:
    assert_allclose(street(tmp_path, maxspeed=text, lanes="2").free_flow_time, [1.112 / kph, 1.112 / 100])


@pytest.mark.parametrize("text", ["", " "])
@pytest.mark.usefixtures("silent")
def test_a_speed_that_is_empty_is_not_stated(tmp_path: Path, text: str) -> None:
    data = street(tmp_path, maxspeed=text, lanes="2")
    noted(data, "maxspeed is not stated (once: x.graphml, edge 'a' to 'b')")


@pytest.mark.usefixtures("silent")
def test_a_length_that_is_not_stated_is_said(tmp_path: Path) -> None:
    files = {
        "node.csv": "node_id,x_coord,y_coord\n1,0,33.0\n2,0.01,33.0\n",
        "link.csv": "link_id,from_node_id,to_node_id,directed,length,VDF_fftt1,capacity\n1,1,2,0,,3,900\n",
    }
    data = io.load(write(tmp_path, files))
    assert_allclose(data.free_flow_time, 0.05)
    noted(data, "length is not stated (once: link.csv, line 2): 0 is kept for it")


@pytest.mark.parametrize("text", ["none", "signals", "variable"])
@pytest.mark.usefixtures("silent")
def test_speeds_that_say_there_is_no_number(tmp_path: Path, text: str) -> None:
    data = street(tmp_path, maxspeed=text, lanes="2")
    assert_allclose(data.free_flow_time, 1.112 / 100)  # a motorway
    noted(data, f"maxspeed is no number (once: '{text}' in x.graphml, edge 'a' to 'b')")


@pytest.mark.parametrize(
    ("text", "kph"),
    [("70|100x", 70), ("fast", 100), ("RO:urban", 100), ("50,5", 100), ("0", 100), ("[50", 100), ("٣٠", 100)],
)
def test_speeds_that_cannot_be_read_are_said(tmp_path: Path, text: str, kph: float) -> None:
    with pytest.warns(
        UserWarning, match=r"x\.graphml: maxspeed could not be read \(once: .* in x.graphml, edge 'a' to"
    ):
        data = street(tmp_path, maxspeed=text, lanes="2")
    assert_allclose(data.free_flow_time[0], 1.112 / kph)
    noted(data, "maxspeed could not be read (once: ")


@pytest.mark.parametrize(("text", "lanes"), [("3", 3), ("3;2", 2), ("2|3", 2), ("['4', '3']", 3), ("2.5", 2.5)])
@pytest.mark.usefixtures("silent")
def test_lanes_that_can_be_read(tmp_path: Path, text: str, lanes: float) -> None:
    assert street(tmp_path, lanes=text, maxspeed="50").capacity.tolist() == [1800 * lanes, 3600]


@pytest.mark.parametrize(("text", "lanes"), [("?", 1), ("3;x", 3), ("0", 1), ("two", 1), ("1000000000", 1)])
def test_lanes_that_cannot_be_read_are_said(tmp_path: Path, text: str, lanes: float) -> None:
    with pytest.warns(UserWarning, match="lanes could not be read"):
        data = street(tmp_path, lanes=text, maxspeed="50")
    assert data.capacity[0] == 1800 * lanes
    noted(data, f"lanes could not be read (once: '{text}' in x.graphml, edge 'a' to 'b')")


@pytest.mark.usefixtures("silent")
def test_what_a_street_does_not_say(tmp_path: Path) -> None:
    """Defaults that the reader documents stand in the notes, and are no reason for a warning."""
    data = street(tmp_path, highway="busway")
    noted(data, "lanes are not stated (once: x.graphml, edge 'a' to 'b'): one is taken", "maxspeed is not stated (once")
    noted(data, "a type of street without a speed or a lane capacity (2 times, first: 'busway' in x.graphml, edge")
    noted(data, "OpenStreetMap knows none")


@pytest.mark.usefixtures("silent")
def test_which_of_several_values_counts_is_said(tmp_path: Path) -> None:
    data = street(tmp_path, lanes="1;2", maxspeed="50|70", highway="['motorway', 'primary']")
    where = "in x.graphml, edge 'a' to 'b')"
    noted(data, f"several numbers of lanes (once: '1;2' {where}: the fewest count")
    noted(data, f"several maxspeeds (once: '50|70' {where}: their mean is taken")
    noted(data, f"""several types of street (once: "['motorway', 'primary']" {where}: the first counts""")
    noted(
        street(tmp_path, lanes="2", maxspeed="walk"), "maxspeed is walk (once: x.graphml, edge 'a' to 'b'): 6 km/h is"
    )
    alike = street(tmp_path, lanes="2;2", maxspeed="50|50")
    assert not [note for note in alike.notes if note.startswith("several")]


def test_lengths_that_are_not_metres_are_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"the median length, in m, is 0\.001 times .*which fit km "):
        data = street(tmp_path, length="1.112", lanes="2", maxspeed="50")
    noted(data, "correct the unit or the coordinates")


def test_one_way_words(tmp_path: Path) -> None:
    graph: nx.MultiGraph[Any] = nx.MultiGraph(crs="epsg:32618")
    for k, label in enumerate("abcd"):
        graph.add_node(label, x=str(586400 + 100 * k), y="4515546")
    for (u, v), word in {("a", "b"): "yes", ("b", "c"): "no", ("c", "d"): "alternating"}.items():
        graph.add_edge(u, v, length="100", highway="primary", oneway=word, lanes="4", maxspeed="50")
    nx.write_graphml(graph, tmp_path / "u.graphml")
    with pytest.warns(UserWarning, match=r"oneway could not be read \(2 times, first: 'alternating'"):
        data = io.from_osmnx_graphml(tmp_path / "u.graphml")
    assert sorted(zip(data.tail.tolist(), data.head.tolist(), strict=True)) == [(0, 1), (1, 2), (2, 1), (2, 3), (3, 2)]
    assert data.capacity[0] == 4 * 1200 and 2 * 1200 in data.capacity  # a two-way street's lanes are halved


# -- GMNS: units, uses, tolls -----------------------------------------------------------------------------------------

NODES = "node_id,x_coord,y_coord\nA,13.40,52.50\nB,13.41,52.50\nC,13.41,52.51\n"
STRAIGHT = 1000 * DEGREE_KM * 0.01 * np.array([np.cos(np.radians(52.5)), 1.0])  # m, A to B and B to C


def gmns(unit: float, speed: float, minutes: str = "", **more: str) -> dict[str, str]:
    """Streets A - B - C, 3 % longer than straight, lengths in units of so many metres."""
    head = (
        "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity,lanes,vdf_fftt,vdf_alpha,vdf_beta,toll\n"
    )
    rows = [
        f"{k},{ends},false,{metres * 1.03 / unit:.6f},{speed},900,1,{minutes},0.15,4,\n"
        for k, (ends, metres) in enumerate(zip(("A,B", "B,C"), STRAIGHT, strict=True))
    ]
    return {"node.csv": NODES, "link.csv": head + "".join(rows), **more}


@pytest.mark.parametrize(
    ("metres", "unit", "hours"),
    [
        (1.0, "m", STRAIGHT * 1.03 / 50_000),  # osm2gmns: metres, km/h
        (1000.0, "km", STRAIGHT * 1.03 / 50_000),
        (1609.344, "mi", STRAIGHT * 1.03 / 50 / 1609.344),
        (0.3048, "ft", STRAIGHT * 1.03 / 50 / 1609.344),
    ],
)
@pytest.mark.usefixtures("silent")
def test_the_unit_of_lengths_that_fits_the_coordinates(
    tmp_path: Path, metres: float, unit: str, hours: np.ndarray
) -> None:
    data = io.load(write(tmp_path, gmns(metres, 50)))
    assert_allclose(data.free_flow_time, np.repeat(hours, 2), rtol=1e-5)
    assert data.units["length"] == f"assumed: {unit}"
    noted(data, f"no unit of length is stated: {unit} is assumed, 1.03 times the straight line in the median")
    noted(data, "no unit of speed is stated")


def test_metres_at_km_an_hour(tmp_path: Path) -> None:
    """933 m at 50 km/h are .01866 h, not 18.66."""
    files = {
        "node.csv": "node_id,x_coord,y_coord\n1,0,33.0\n2,0.01,33.0\n",
        "link.csv": "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity\n1,1,2,0,933,50,900\n",
    }
    assert_allclose(io.load(write(tmp_path, files)).free_flow_time, 0.01866)


def test_lengths_that_fit_no_unit_are_said(tmp_path: Path) -> None:
    said = r"no unit of length is stated and none fits the coordinates, 0\.01 to a metre of straight line"
    with pytest.warns(UserWarning, match=said):
        data = io.load(write(tmp_path, gmns(103.0, 50)))
    assert_allclose(data.free_flow_time, np.repeat(STRAIGHT / 100 / 50, 2), rtol=1e-5)


def test_units_by_argument_and_by_config(tmp_path: Path) -> None:
    config = "long_length,speed,crs\nmeters,m/s,EPSG:4326\n"
    data = io.load(write(tmp_path, gmns(1.0, 10, **{"config.csv": config})))
    assert_allclose(data.free_flow_time, np.repeat(STRAIGHT * 1.03 / 36_000, 2), rtol=1e-5)
    assert data.units["length"] == "meters" and not any("assumed" in note for note in data.notes)
    data = io.load(tmp_path, speed_unit="km/h")
    assert_allclose(data.free_flow_time, np.repeat(STRAIGHT * 1.03 / 10_000, 2), rtol=1e-5)


def test_a_config_that_the_coordinates_contradict(tmp_path: Path) -> None:
    config = "long_length,speed,crs\nmile,mph,EPSG:4326\n"
    with pytest.warns(UserWarning, match=r"the median length, in mile, is 1\.66e\+03 times .*, which fit m "):
        io.load(write(tmp_path, gmns(1.0, 50, **{"config.csv": config})))


def test_a_speed_that_no_car_drives_is_questioned(tmp_path: Path) -> None:
    """Metres and m/s: 13.9, read as km/h."""
    with pytest.warns(UserWarning, match=r"km/h is assumed, the median speed is 13\.9 km/h"):
        io.load(write(tmp_path, gmns(1.0, 13.9)))


@pytest.mark.usefixtures("silent")
def test_stated_minutes_need_no_unit(tmp_path: Path) -> None:
    assert_allclose(io.load(write(tmp_path, gmns(103.0, 50, "6"))).free_flow_time, 0.1)


@pytest.mark.parametrize("uses", ["walk", "bike", "walk;bike", '"walk,bike"', "WALK|Bike", "['walk', 'bike']", "rail"])
def test_ways_without_cars_are_no_roads(tmp_path: Path, uses: str) -> None:
    uses = uses if uses.startswith('"') or "," not in uses else f'"{uses}"'
    link = (
        "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity,allowed_uses\n"
        f"1,A,B,0,700,50,900,auto\n2,B,C,0,1200,50,900,auto;walk\n3,A,C,0,1400,50,900,{uses}\n4,C,A,1,1400,50,900,\n"
    )
    files = gmns(1, 50) | {"link.csv": link}
    with pytest.warns(
        UserWarning, match=r"links whose allowed_uses names no motor vehicle \(once: .*line 4\) are left"
    ):
        data = io.load(write(tmp_path, files))
    ends = list(zip(data.tail.tolist(), data.head.tolist(), strict=True))
    assert ends == [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0)]


def test_uses_that_are_not_understood(tmp_path: Path) -> None:
    link = (
        "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity,allowed_uses\n"
        "1,A,B,0,700,50,900,hovercraft\n1,B,C,0,1200,50,900,auto\n"
    )
    said = r"allowed_uses is not understood \(once: 'hovercraft' in link.csv, line 2\): .*a link_id is given again"
    with pytest.warns(UserWarning, match=said):
        assert io.load(write(tmp_path, gmns(1, 50) | {"link.csv": link})).num_links == 4


def test_trips_are_found_in_any_case_or_missed_aloud(tmp_path: Path) -> None:
    data = io.load(write(tmp_path, gmns(1, 50)))
    noted(data, "no trips: the folder has no demand.csv")
    data = io.load(write(tmp_path, {"Demand.csv": "o_zone_id,d_zone_id,volume\nA,B,5\nA,B,2\n"}))
    assert data.demand.sum() == 7
    noted(data, "a pair of zones is given again (once: Demand.csv, line 3); its trips are added up")


def test_gmns_tolls(tmp_path: Path) -> None:
    files = gmns(1, 50)
    files["link.csv"] = files["link.csv"].replace("0.15,4,\n", "0.15,4,2.5\n", 1)
    with pytest.warns(
        UserWarning, match=r"tolls \(2 times, first: 2.5 in link.csv, line 2\) are ignored, .*toll_weight="
    ):
        data = io.load(write(tmp_path, files))
    assert data.toll is not None and data.toll.tolist() == [2.5, 2.5, 0, 0] and data.toll_weight == 0
    data = io.load(tmp_path, toll_weight=0.1, length_weight=0.01)
    assert (data.toll_weight, data.length_weight) == (0.1, 0.01)
    assert not any("ignored" in note for note in data.notes)


# -- TNTP -------------------------------------------------------------------------------------------------------------

NET = (
    "<NUMBER OF ZONES> 2\n<NUMBER OF NODES> 3\n<FIRST THRU NODE> 1\n<NUMBER OF LINKS> 3\n<END OF METADATA>\n"
    "1 2 10 1.5 1 0.15 4 30 0 1 ;\n2 1 10 1.5 1 0.15 4 0 75 1 ;\n1 2 10 2 0 0.15 4 0 0 3 ;\n"
)
TRIPS = "<NUMBER OF ZONES> 2\n<END OF METADATA>\nOrigin 1\n2 : 5; 1 : 5;\n"
README = """\
# A network

Toll: 7 is not in the right section

## Units
Time: minutes
Distance: miles
Speed:

## Generalized Cost Weights
Toll: 0.02 minutes/cent
Distance: 0.04 minutes/mile

## Solutions
Toll: 9
"""


def test_tolls_without_a_weight_are_said(tmp_path: Path) -> None:
    write(tmp_path, {"Y_net.tntp": NET})
    said = r"Y_net.tntp: tolls \(once: 75.0 in Y_net.tntp, line 7\) are ignored, since no weight is known; pass toll_w"
    with pytest.warns(UserWarning, match=said):
        data = io.from_tntp(tmp_path / "Y_net.tntp")
    assert data.toll is not None and data.toll.tolist() == [0, 75, 0]
    assert (data.toll_weight, data.length_weight) == (0, 0)
    noted(data, "speed (once: '30' in Y_net.tntp, line 6) is not read", "link_type (3 times, first: '1' in")
    noted(data, "1 of 3 links take no time", "1 of 3 nodes have no link")


@pytest.mark.usefixtures("silent")
def test_weights_of_the_readme(tmp_path: Path) -> None:
    """As Chicago-Sketch's README states them."""
    write(tmp_path, {"Y_net.tntp": NET, "README.md": README})
    data = io.from_tntp(tmp_path / "Y_net.tntp")
    assert (data.toll_weight, data.length_weight) == (0.02, 0.04)
    assert data.units == {"time": "minutes", "length": "miles"}
    noted(data, "travellers weigh toll by 0.02 (once: README.md, line 11)")
    noted(data, "travellers weigh distance by 0.04 (once: README.md, line 12)")
    data = io.from_tntp(tmp_path / "Y_net.tntp", toll_weight=1, length_weight=0, units={"time": "min"})
    assert (data.toll_weight, data.length_weight) == (1, 0)
    assert data.units == {"time": "min", "length": "miles"}


def test_weights_of_the_header(tmp_path: Path) -> None:
    factors = "<TOLL FACTOR> 0.5\n<DISTANCE FACTOR> 0.04\n<END OF METADATA>"
    write(tmp_path, {"Y_net.tntp": NET.replace("<END OF METADATA>", factors), "README.md": README})
    with pytest.warns(UserWarning, match=r"the header's <TOLL FACTOR> 0.5 is used, not README.md's 0.02"):
        data = io.from_tntp(tmp_path / "Y_net.tntp")
    assert (data.toll_weight, data.length_weight) == (0.5, 0.04)
    noted(data, "travellers weigh toll by 0.5 (once: Y_net.tntp, line 5)")


def test_a_weight_in_words(tmp_path: Path) -> None:
    write(
        tmp_path, {"Y_net.tntp": NET.replace(" 75 ", " 0 "), "README.md": README.replace("0.02 minutes", "see minutes")}
    )
    with pytest.warns(
        UserWarning, match=r"the weight of toll is no number \(once: 'see minutes/cent' in README.md, line"
    ):
        assert io.from_tntp(tmp_path / "Y_net.tntp").toll is None


@pytest.mark.usefixtures("silent")
def test_rows_of_nine_fields(tmp_path: Path) -> None:
    net = NET.replace(" 1 ;", " ;").replace(" 3 ;", " ;").replace(" 75 ", " 0 ")
    data = io.from_tntp(write(tmp_path, {"Y_net.tntp": net}) / "Y_net.tntp")
    assert data.length.tolist() == [1.5, 1.5, 2] and data.power.tolist() == [4] * 3
    noted(data, "rows have nine fields (3 times, first: Y_net.tntp, line 6), read as without link_type")


def test_columns_in_another_order(tmp_path: Path) -> None:
    names = "~ init_node term_node capacity free_flow_time length b power speed toll link_type ;\n"
    write(tmp_path, {"Y_net.tntp": NET.replace("1 2 10 1.5", names + "1 2 10 1.5", 1)})
    with pytest.raises(io.NetworkFileError, match="line 6: the columns stand in another order than the format's"):
        io.from_tntp(tmp_path / "Y_net.tntp")


@pytest.mark.parametrize(
    "names", [("Y_Net.tntp", "Y_Trips.tntp"), ("net.TNTP", "trips.tntp"), ("Y_NET.tntp", "y_trips.TNTP")]
)
def test_trips_beside_the_net_in_any_case(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path, {names[0]: NET.replace(" 75 ", " 0 "), names[1]: TRIPS})
    with pytest.warns(UserWarning, match=r"5 trips within a node \(50.0% of all\) are dropped"):
        data = io.load(tmp_path / names[0], trim=True)
    assert data.demand.sum() == 5


def test_no_trips_beside_the_net_is_said(tmp_path: Path) -> None:
    net = NET.replace("NODES> 3", "NODES> 2").replace(" 75 ", " 0 ")
    write(tmp_path, {"Y_net.tntp": net, "Y_trips_am.tntp": TRIPS})
    noted(io.load(tmp_path), "no trips: there is no Y_trips.tntp", "no coordinates: there is no Y_node.tntp")
    with pytest.warns(UserWarning, match="5 trips within a node"):
        data = io.load(tmp_path, trips=tmp_path / "Y_trips_am.tntp")
    assert data.demand.sum() == 5 and not any("no trips" in note for note in data.notes)


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (
            "Node X Y ;\n1 -96,77 43,61 ;\n",
            "line 2: X must be a finite number, not '-96,77'; write decimals with a point",
        ),
        ("1 -96,77 43,61\n", "line 1: X must be a finite number, not '-96,77'"),
        ("1;-96,77;43,61\n", "line 1: X must be a finite number, not '-96,77'"),
        ("1,-96,77,43,61\n", "line 1: a row must hold Node X Y, this one has 5 fields; write decimals with a point"),
        ("Node X Y ;\n1 -96.77 43.61 5 ;\n", "line 2: a row must hold Node X Y, this one has 4 fields"),
        ("Node X Y Z ;\n1 -96.77 43.61 ;\n", "line 2: a row must hold node x y z, this one has 3 fields"),
        ("1 1 1\n1 2 2\n", "line 2: node 1 is given twice"),
    ],
)
def test_rows_of_coordinates(tmp_path: Path, node: str, sentence: str) -> None:
    write(tmp_path, {"Y_net.tntp": NET, "Y_node.tntp": node})
    with pytest.raises(io.NetworkFileError) as error:
        io.load(tmp_path)
    assert f"Y_node.tntp, {sentence}" in str(error.value)


@pytest.mark.parametrize(
    "node",
    [
        "Node X Y ;\n1 -96.5 43 ;\n2 1 2\n3 3 4 ;\n",
        "1,-96.5,43\n2,1,2\n3,3,4\n",
        "node;y;x\n1;43;-96.5\n2;2;1\n3;4;3\n",
        "~ a remark\nNode X Y Z\n1 -96.5 43 0\n2 1 2 0\n3 3 4 0\n",
    ],
)
def test_rows_of_coordinates_that_can_be_read(tmp_path: Path, node: str) -> None:
    write(tmp_path, {"Y_net.tntp": NET.replace(" 75 ", " 0 "), "Y_node.tntp": node})
    data = io.from_tntp(tmp_path / "Y_net.tntp", node=tmp_path / "Y_node.tntp")
    assert data.coordinates is not None and data.coordinates.tolist() == [[-96.5, 43], [1, 2], [3, 4]]


def test_pairs_given_twice(tmp_path: Path) -> None:
    write(tmp_path, {"Y_net.tntp": NET.replace(" 75 ", " 0 "), "Y_trips.tntp": TRIPS.replace("1 : 5;", "2 : 1;")})
    with pytest.warns(
        UserWarning, match=r"a pair of zones is given again \(once: Y_trips.tntp, line 4\); its trips are"
    ):
        data = io.from_tntp(tmp_path / "Y_net.tntp", tmp_path / "Y_trips.tntp")
    assert data.demand.sum() == 6


# -- backbones and graphs ---------------------------------------------------------------------------------------------

NATIVE = """\
?SNDlib native format; type: network; version: 1.0
NODES ( a ( 10 0 ) b ( 11 0 ) )
LINKS ( L1 ( a b ) 0 0 0 0 ( 155 1 622 1 ) )
DEMANDS ( D1 ( a b ) 1 5 UNLIMITED )
"""


@pytest.mark.usefixtures("silent")
def test_backbones_say_what_they_assume(tmp_path: Path) -> None:
    data = io.load(write(tmp_path, {"x.txt": NATIVE}) / "x.txt")
    noted(data, "every link runs both ways", "they are taken in both directions; undirected_demand=False")
    noted(data, "no capacity is installed (once: 622.0 in x.txt, line 3): the largest module is taken")
    assert data.units["coordinates"] == "assumed: lon/lat"
    asked = io.from_sndlib(tmp_path / "x.txt", undirected_demand=True, directed_links=True, coordinates="geographical")
    assert len(asked.notes) == 1 and asked.units["coordinates"] == "lon/lat"


def test_pixels_are_no_lengths(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match="coordinates are no longitude and latitude: lengths and times are in their own"
    ):
        io.load(write(tmp_path, {"x.txt": NATIVE.replace("( 11 0", "( 610 0")}) / "x.txt")


def test_a_zoo_says_what_it_fills_in(tmp_path: Path) -> None:
    text = (
        "graph [ node [ id 0 Longitude 0.0 Latitude 1.0 ] node [ id 1 Longitude 0.0 Latitude 0.0 ] node [ id 2 ]\n"
        "edge [ source 0 target 1 LinkSpeedRaw 2.0 ] edge [ source 1 target 2 ] edge [ source 2 target 2 ] ]"
    )
    data = io.load(write(tmp_path, {"x.gml": text}) / "x.gml")
    noted(data, "2 of 4 links are without LinkSpeedRaw: 2 bit/s is taken, the median of the others")
    noted(
        data, f"2 of 4 links are without coordinates: {DEGREE_KM:.6g} km of length is taken, the median of the others"
    )
    noted(data, "links from a node to itself (once: x.gml, edge 2 to 2) are left out")


def test_topohub_has_no_capacities() -> None:
    pytest.importorskip("topohub")
    noted(io.load("topohub:sndlib/polska"), "topohub knows no capacities: all are equal", "taken in both directions")
    noted(io.load("topohub:topozoo/Geant2012"), "topohub knows no capacities: all are 1")


def test_trips_by_nodes_in_either_form() -> None:
    """By name they do not depend on the graph's order of nodes, and a table is in that order: 2, 0, 1."""
    graph = nx.Graph([(2, 0), (0, 1)])
    law: dict[str, Any] = dict(free_flow_time=1, capacity=1)
    table = np.zeros((3, 3))
    table[0, 2] = 8
    expected = io.from_networkx(graph, **law, demand=table)
    assert expected.nodes == ("2", "0", "1")
    for demand in ({2: {1: 8}}, {(2, 1): 8}, table.tolist()):
        assert np.array_equal(io.from_networkx(graph, **law, demand=demand).demand, table)


@pytest.mark.parametrize("demand", [{2: 0.5}, {(1, 2, 3): 1}, "all", [[1, "x"], [2, 3]], object()])
def test_trips_in_no_form(demand: Any) -> None:
    with pytest.raises(io.NetworkFileError, match=r"graph: (trips must be given as|demand must be)"):
        io.from_networkx(nx.path_graph(2), free_flow_time=1, capacity=1, demand=demand)


def test_tolls_of_a_graph() -> None:
    graph = nx.Graph()
    graph.add_edge("a", "b", price=3)
    data = io.from_networkx(graph, free_flow_time=1, capacity=1, length=2.0, toll="price", toll_weight=0.1)
    assert data.toll is not None and data.toll.tolist() == [3, 3] and data.toll_weight == 0.1
    with pytest.raises(TypeError, match="from_networkx takes a networkx graph, not"):
        io.from_networkx([(0, 1)])  # type: ignore[arg-type]


def test_the_warning_points_at_the_caller(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="maxspeed could not be read") as caught:
        street(tmp_path, maxspeed="fast", lanes="2")
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_names_of_columns(tmp_path: Path) -> None:
    """One name alone is no row of letters."""
    files = gmns(1, 50)
    files["link.csv"] = files["link.csv"].replace("0.15,4", "0.5,2").replace("vdf_alpha", "alpha")
    data = io.load(write(tmp_path, files), b="alpha", length_unit="m", speed_unit="km/h")
    assert data.b.tolist() == [0.5] * 4 and data.power.tolist() == [2] * 4
    noted(io.load(tmp_path), "columns of link.csv that are not read: 'alpha'", "b or power is not stated (2 times")
    for options in ({"b": 3}, {"minutes": (1,)}, {"demand_columns": ("o", "d")}):
        with pytest.raises(TypeError, match=r"must be (some|3) names of columns, not"):
            io.load(tmp_path, **options)
    with pytest.raises(FileNotFoundError, match=r"there is no .*od\.csv"):
        io.load(tmp_path, demand_file="od.csv")


def test_trips_beyond_the_zones(tmp_path: Path) -> None:
    net = NET.replace("ZONES> 2", "ZONES> 1").replace(" 75 ", " 0 ").replace("<FIRST THRU NODE> 1\n", "")
    write(tmp_path, {"Y_net.tntp": net, "Y_trips.tntp": "<END OF METADATA>\nOrigin 1\n2 : 5;\n"})
    with pytest.warns(
        UserWarning, match=r"trips begin or end beyond the <NUMBER OF ZONES> \(once: Y_trips.tntp, line 3\)"
    ):
        data = io.from_tntp(tmp_path / "Y_net.tntp", tmp_path / "Y_trips.tntp")
    noted(data, "<FIRST THRU NODE> is not stated: every node may be passed through")


def test_one_graph_a_file(tmp_path: Path) -> None:
    graph = '<graph id="g{}" edgedefault="directed"><node id="a"/><node id="b"/><edge source="a" target="b"/></graph>'
    text = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">' + graph.format(0) + graph.format(1) + "</graphml>"
    with pytest.raises(io.NetworkFileError, match=r"x\.graphml: it holds 2 graphs; keep one"):
        io.load(write(tmp_path, {"x.graphml": text}) / "x.graphml")


def test_lengths_of_a_net_against_its_coordinates(tmp_path: Path) -> None:
    """1.5 miles are 2.41 km, and .0212 of a degree 2.36 km; 1.5 feet are .46 m."""
    node = "Node X Y ;\n1 0 0 ;\n2 0 0.0212 ;\n3 1 1 ;\n"
    write(tmp_path, {"Y_net.tntp": NET.replace(" 75 ", " 0 "), "Y_node.tntp": node})
    where = {"node": tmp_path / "Y_node.tntp"}
    assert io.from_tntp(tmp_path / "Y_net.tntp", **where).units["length"] == "assumed: mi"
    with pytest.warns(
        UserWarning, match=r"the median length, in feet, is 0\.000194 times the straight line .*, which fit mi"
    ):
        io.from_tntp(tmp_path / "Y_net.tntp", **where, units={"length": "feet"})


@pytest.mark.parametrize(("old", "new"), [("DEMANDS (", "DEMAMDS ("), ("LINKS (", "PATHS ( x ) LINKS (")])
def test_sections_that_are_not_known(tmp_path: Path, old: str, new: str) -> None:
    """A misspelt section must not leave a network without trips in silence."""
    write(tmp_path, {"x.txt": NATIVE.replace(old, new)})
    with pytest.warns(
        UserWarning, match=r"a part of the file is not known and not read \(once: '\w+' in x.txt, line [34]"
    ):
        io.load(tmp_path / "x.txt")


def test_elements_that_are_not_known(tmp_path: Path) -> None:
    node = "<node id='{}'><coordinates><x>{}</x><y>0</y></coordinates></node>"
    link = "<link id='L'><source>a</source><target>b</target>{}</link>"
    link = link.format("<preInstalledModule><capacity>4</capacity></preInstalledModule>")
    text = (
        f"<network><networkStructure><nodes>{node.format('a', 10)}{node.format('b', 11)}</nodes>"
        f"<links>{link}</links></networkStructure>"
        "<demads><demand><source>a</source></demand></demads></network>"
    )
    with pytest.warns(UserWarning, match=r"not read \(once: '<demads> in <network>' in x.xml\)"):
        assert not io.load(write(tmp_path, {"x.xml": text}) / "x.xml").has_demand


def test_headers_that_are_not_known(tmp_path: Path) -> None:
    net = NET.replace(" 75 ", " 0 ").replace("FIRST THRU NODE", "FIRST THROUGH NODE")
    with pytest.warns(
        UserWarning, match=r"<FIRST THROUGH NODE> in the header \(once: Y_net.tntp, line 3\) is not known"
    ):
        io.from_tntp(write(tmp_path, {"Y_net.tntp": net}) / "Y_net.tntp")


def test_labels_in_latin_1(tmp_path: Path) -> None:
    text = 'graph [ node [ id 0 label "K\xf6ln" ] node [ id 1 label "Bonn" ]\n edge [ source 0 target 1 ] ]'
    (tmp_path / "x.gml").write_bytes(text.encode("latin-1"))
    with pytest.warns(UserWarning, match=r"the file is not UTF-8 \(once: x.gml, line 1\): read as Latin-1"):
        assert io.load(tmp_path / "x.gml").nodes == ("Köln", "Bonn")


@pytest.mark.parametrize(
    "trips", ["<END OF METADATA>\n", "<END OF METADATA>\nOrigin 1\n", "<END OF METADATA>\nOrigin 1\n2 : 0;\n"]
)
def test_a_trips_file_without_trips(tmp_path: Path, trips: str) -> None:
    write(tmp_path, {"Y_net.tntp": NET.replace(" 75 ", " 0 "), "Y_trips.tntp": trips})
    assert not io.from_tntp(tmp_path / "Y_net.tntp", tmp_path / "Y_trips.tntp").has_demand


def test_demand_is_counted_in_routing_units(tmp_path: Path) -> None:
    """Five demands of which each takes 155 of a link's capacity; SNDlib's definition."""
    text = NATIVE.replace("( a b ) 1 5 UNLIMITED", "( a b ) 155 5 2")
    with pytest.warns(UserWarning, match=r"limits to the length of paths \(once: '2' in x.txt, line 4\) are not used"):
        data = io.from_sndlib(write(tmp_path, {"x.txt": text}) / "x.txt", undirected_demand=False)
    assert data.demand.sum() == 775
    node = "<node id='{}'><coordinates><x>{}</x><y>0</y></coordinates></node>"
    demand = "<demand><source>a</source><target>b</target>{}<demandValue>5</demandValue></demand>"
    text = (
        "<network><networkStructure><nodes coordinatesType='pixel'>"
        f"{node.format('a', 10)}{node.format('b', 14)}</nodes>"
        "<links><link><source>a</source><target>b</target><preInstalledModule><capacity>4</capacity></preInstalledModule>"
        f"</link></links></networkStructure><demands>{demand.format('<routingUnit>155</routingUnit>')}"
        f"{demand.format('')}</demands></network>"
    )
    data = io.from_sndlib(write(tmp_path, {"x.xml": text}) / "x.xml", undirected_demand=False)
    assert data.demand.sum() == 780
    assert data.length.tolist() == [4, 4]  # pixels, as the file says, though they could be degrees
    write(tmp_path, {"x.xml": text.replace("pixel", "polar")})
    with pytest.raises(
        io.NetworkFileError, match=r"x\.xml: coordinatesType must be geographical or pixel, not 'polar'"
    ):
        io.load(tmp_path / "x.xml")


def test_speeds_at_which_nobody_drives(tmp_path: Path) -> None:
    """30 miles in half a minute, or in half an hour; a kilometre in 16 hours."""
    net = "".join(f"{ends} 10 30 0.5 0.15 4 0 0 1 ;\n" for ends in ("1 2", "2 1", "1 2"))
    write(tmp_path, {"Y_net.tntp": NET[: NET.index("1 2 10")] + net, "README.md": README.replace("0.02 ", "0 ")})
    with pytest.warns(
        UserWarning, match=r"the median free-flow speed is 5\.79e\+03 km/h, for lengths in miles and times in"
    ):
        io.from_tntp(tmp_path / "Y_net.tntp")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        io.from_tntp(tmp_path / "Y_net.tntp", units={"time": "hours"})
        io.from_tntp(tmp_path / "Y_net.tntp", units={"time": "0.01 h"})
    with pytest.warns(UserWarning, match=r"the median free-flow speed is 0\.06\d* km/h"):
        street(tmp_path, travel_time="60000", lanes="2", maxspeed="50")


def test_what_else_lies_in_the_folder(tmp_path: Path) -> None:
    noted(
        io.load(write(tmp_path, gmns(1, 50) | {"link_tod.csv": ""})), "files of the folder that are not read: 'link_tod"
    )
    files = gmns(1, 50)
    files["link.csv"] = files["link.csv"].replace(",900,", ",,", 1)
    with pytest.raises(
        io.NetworkFileError, match=r"line 2: column capacity is empty; fill it in, or pass capacity_per"
    ):
        io.load(write(tmp_path, files))


ZOO = """graph [ node [ id 0 label "at 1e5" Longitude 0 Latitude {} ] # 3rd
 node [ id 1 label "b" Longitude 1 Latitude 0 ] edge [ source 0 target 1 LinkSpeedRaw {} ] ]"""


@pytest.mark.parametrize("number", ["1e-06", "1E-6", "+1e-06", "1.0e-06", ".000001"])
@pytest.mark.usefixtures("silent")
def test_numbers_of_gml_without_a_point(tmp_path: Path, number: str) -> None:
    data = io.load(write(tmp_path, {"x.gml": ZOO.format(number, "1e9")}) / "x.gml")
    assert data.coordinates is not None and data.coordinates[0].tolist() == [0, 1e-6]
    assert data.nodes == ("at 1e5", "b") and data.capacity.tolist() == [1e9, 1e9]


@pytest.mark.parametrize("number", ["1x", "1e", "0x10", "1_0", "--1", "1e5e5", "1.2.3", "1,5"])
def test_words_that_begin_as_numbers_do(tmp_path: Path, number: str) -> None:
    with pytest.raises(io.NetworkFileError, match=rf"x\.gml: this is no GML \('{number}' is no number\)"):
        io.load(write(tmp_path, {"x.gml": ZOO.format(number, "1")}) / "x.gml")


@pytest.mark.usefixtures("silent")
def test_links_that_say_nothing_of_their_uses(tmp_path: Path) -> None:
    folder = write(tmp_path, {
        "node.csv": "node_id,x_coord,y_coord\nA,0,0\nB,0.01,0\n",
        "link.csv": "link_id,from_node_id,to_node_id,directed,length,free_speed,capacity,lanes,allowed_uses\n"
        "1,A,B,1,1112,50,900,1,\n2,B,A,1,1112,50,900,1,auto\n",
        "config.csv": "dataset_name,long_length,speed,version_number\nx,m,kph,1\n",
    })  # fmt: skip
    noted(io.load(folder), "allowed_uses is not stated (once: link.csv, line 2): taken as a road")
