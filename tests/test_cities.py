"""Files of cities: tables by hand, figures of the published files, and one sentence for what is wrong."""

import json
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfnet_envs import io, make_model
from mfnet_envs.io import CityData, NetworkFileError, TripTable


@pytest.fixture
def rl4amod() -> Path:
    folder = os.environ.get("MFNET_RL4AMOD")
    if folder is None:
        pytest.skip("MFNET_RL4AMOD is not set")
    return Path(folder)


def scenario(folder: Path, calibrated: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Two regions at 8 h: from 0 to 1 in three minutes of step 0 and in minute 4, back after the hour's first step."""
    rows = [
        (480, 0, 1, 1.0, 10, 20.0), (481, 0, 1, 3.0, 14, 40.0), (484, 0, 1, 0.5, 9, 8.0), (483, 1, 0, 2.0, 1, 5.0),
        (479, 0, 1, 9.0, 9, 9.0), (492, 0, 1, 9.0, 9, 9.0),
    ]  # fmt: skip
    keys = ("time_stamp", "origin", "destination", "demand", "travel_time", "price")
    empty = [(8, 0, 1, 6.4), (8, 1, 0, 0.5), (9, 0, 1, 60.0), (9, 1, 0, 60.0)]
    data = {
        "nlat": 2,
        "nlon": 1,
        "demand": [dict(zip(keys, row, strict=True)) for row in rows],
        "rebTime": [dict(zip(("time_stamp", "origin", "destination", "reb_time"), row, strict=True)) for row in empty],
        "totalAcc": [{"hour": 8, "acc": 7}, {"hour": 9, "acc": 20}],
        "topology_graph": [{"i": 1, "j": 0}, {"i": 0, "j": 1}],
    }
    folder.mkdir(exist_ok=True)
    path = folder / "scenario_twin.json"
    path.write_text(json.dumps(data | changes))
    if calibrated is not None:
        (folder / "calibrated_parameters.json").write_text(json.dumps(calibrated))
    return path


CALIBRATED = {"twin": {"demand_ratio": 2, "json_hr": 8, "beta": 0.5, "test_tstep": 4}}


def test_requests_are_added_up_by_step_and_means_are_weighed_by_them(tmp_path: Path) -> None:
    city = io.load_city(scenario(tmp_path / "a", CALIBRATED), steps=3)
    assert city.name == "twin" and city.zones == (0, 1) and (city.step, city.start, city.cost) == (4.0, 480, 0.5)
    assert city.demand[:, 0, 1].tolist() == [8.0, 1.0, 0.0] and city.demand[:, 1, 0].tolist() == [4.0, 0.0, 0.0]
    assert city.travel_time[0, 0, 1] == pytest.approx((1 * 10 + 3 * 14) / 4)
    assert city.fare[0, 0, 1] == pytest.approx((1 * 20 + 3 * 40) / 4) and city.fare[1, 0, 1] == 8.0
    assert city.empty_time.tolist() == [[0.0, 6.4], [0.5, 0.0]] and city.neighbours.tolist() == [[0, 1]]
    assert city.cars == 6 and city.turnaround == 1
    assert city.in_steps(city.empty_time).tolist() == [[1, 2], [1, 1]]
    said = " | ".join(city.notes)
    for note in (
        "before the first or after the last step are left out (2 times, first: scenario_twin.json, demand[4])",
        "multiplied by 2", "of the file's 7 cars 6 are used", "from 8:00 to 9:00",
    ):  # fmt: skip
        assert note in said


def test_what_is_not_calibrated_is_said(tmp_path: Path) -> None:
    city = io.load_city(scenario(tmp_path / "a"), steps=25)
    assert (city.step, city.start, city.cost, city.demand.sum()) == (3.0, 420, 0.0, 24.5)
    assert any("empty cars need at every step what they need from 8:00" in said for said in city.notes)
    for note in (
        "hour: 7, since",
        "minutes of a step: 3, since",
        "demand is multiplied by: 1, since",
        "cost of a minute",
    ):
        assert any(note in said for said in city.notes)
    told = io.load_city(scenario(tmp_path / "a"), hour=8, step=4, steps=1, demand_ratio=Fraction(3), cost=0.25)
    assert told.demand.sum() == 3 * (4 + 2) and told.cost == 0.25 and not any("since" in note for note in told.notes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nlat": 0}, "nlat times nlon must be 2 to 1,000 regions, not 0"),
        ({"nlat": "two"}, "nlat must be a non-negative number, not 'two'"),
        ({"demand": {}}, "there is no list 'demand'"),
        ({"demand": [[]]}, "demand[0]: an object {...} is expected, not []"),
        ({"demand": [{"time_stamp": 1}]}, "demand[0]: there is no 'origin'"),
        ({"topology_graph": [{"i": 0, "j": 2}]}, "topology_graph[0]: j must be a region 0 .. 1, not 2"),
        ({"totalAcc": [{"hour": 8, "acc": 1}]}, "acc must be a car for each of 2 regions at least"),
        ({"totalAcc": [{"hour": 8, "acc": 7}, {"hour": 9, "acc": "x"}]}, "totalAcc[1]: acc must be a positive number"),
        ({"totalAcc": [{"hour": 8, "acc": 7}, {"hour": 8, "acc": 9}]}, "the fleet of hour 8 is given twice; keep one"),
        ({"rebTime": [{"time_stamp": 8, "origin": 0, "destination": 1, "reb_time": -1}]}, "reb_time must be a non-neg"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(NetworkFileError, match=re.escape(sentence)):
        io.load_city(scenario(tmp_path / "a", CALIBRATED, **change), steps=3)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("json_hr", 7.5, "calibrated_parameters.json: json_hr must be a whole number, not 7.5"),
        ("test_tstep", 0, "calibrated_parameters.json: test_tstep must be a positive number, not 0"),
        ("demand_ratio", 0, "calibrated_parameters.json: demand_ratio must be a positive number, not 0"),
    ],
)
def test_calibrated_parameters_mean_something(tmp_path: Path, name: str, value: float, sentence: str) -> None:
    with pytest.raises(NetworkFileError, match=re.escape(sentence)):
        io.load_city(scenario(tmp_path / "a", {"twin": {**CALIBRATED["twin"], name: value}}))


def test_driving_times_that_are_guessed_or_given_twice_are_said(tmp_path: Path) -> None:
    """A ride from 0 to 1 takes (10 + 3 x 14) / 4 minutes in the first step and 9 in the next: 52 + 4.5 over 4.5."""
    keys = ("time_stamp", "origin", "destination", "reb_time")
    one, two, three = (dict(zip(keys, row, strict=True)) for row in ((8, 1, 0, 0.5), (8, 1, 0, 0.7), (8, 0, 1, 4.0)))
    city = io.load_city(scenario(tmp_path / "a", CALIBRATED, rebTime=[one]), steps=3)
    assert city.empty_time[0, 1] == pytest.approx(56.5 / 4.5)
    assert "1 driving times of empty cars are not given and taken from rides" in city.notes
    city = io.load_city(scenario(tmp_path / "b", CALIBRATED, rebTime=[one, two, three]), steps=3)
    assert city.empty_time[1, 0] == 0.7
    assert any("given twice, and the last one counts (once: scenario_twin.json, rebTime[1])" in n for n in city.notes)


def test_options_of_the_reader_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = scenario(tmp_path / "a", CALIBRATED)
    for options, error, sentence in (
        ({"cost": -1}, ValueError, "cost must be a non-negative number"),
        ({"parameters": 3}, TypeError, "parameters must be the path of a file, not 3"),
        ({"steps": 10**9}, ValueError, "steps must be at most 10,080"),
    ):
        with pytest.raises(error, match=sentence):
            io.load_city(path, **options)


def test_no_json_no_requests_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(NetworkFileError, match=r"this is no city file of RL4AMOD, or it is damaged"):
        io.load_city(tmp_path / "x.json")
    with pytest.raises(NetworkFileError, match="nobody asks for a ride in these steps"):
        io.load_city(scenario(tmp_path / "a", CALIBRATED), hour=20)
    with pytest.raises(FileNotFoundError, match=r"there is no .*y\.json"):
        io.load_city(tmp_path / "y.json")
    with pytest.raises(TypeError, match=r"read_rl4amod has no option 'ratio': it has .*; did you mean 'demand_ratio'"):
        io.load_city(scenario(tmp_path / "a"), ratio=2)
    with pytest.raises(ValueError, match=r"hour must be an integer 0 \.\. 23, not 24"):
        io.load_city(scenario(tmp_path / "a"), hour=24)
    with pytest.raises(ValueError, match=r"steps must be at most 10,080, not 10000000"):
        io.load_city(scenario(tmp_path / "a"), steps=10**7)


@pytest.mark.parametrize(
    ("name", "zones", "cars", "requests"),
    [("nyc_brooklyn", 14, 1498, 3864), ("shenzhen_downtown_west", 17, 1768, 5385), ("san_francisco", 10, 370, 1328)],
)
def test_the_published_files(rl4amod: Path, name: str, zones: int, cars: int, requests: int) -> None:
    """Regions and fleets as RL4AMOD's protocol has them; requests summed here straight from the file."""
    city = io.load_city(rl4amod / f"scenario_{name}.json")
    calibrated = json.loads((rl4amod / "calibrated_parameters.json").read_text())[name]
    rows = json.loads((rl4amod / f"scenario_{name}.json").read_text())["demand"]
    first, step = 60 * calibrated["json_hr"], calibrated["test_tstep"]
    asked = sum(row["demand"] for row in rows if first <= row["time_stamp"] < first + 20 * step)
    assert (len(city.zones), city.cars, round(city.demand.sum())) == (zones, cars, requests)
    assert city.demand.sum() == pytest.approx(asked * calibrated["demand_ratio"])


def folder_of(path: Path, zones: str, trips: str) -> Path:
    path.mkdir()
    (path / "zones.csv").write_text(zones)
    (path / "trips.csv").write_text("time,origin,destination,demand,travel_time,fare\n" + trips)
    return path


def test_slots_between_steps_are_said(tmp_path: Path) -> None:
    """At 7:00, 7:10 and 7:25 a step lasts ten minutes, and the third slot begins in the middle of one."""
    trips = "7:00,a,b,4,10,9\n7:10,b,c,2,20,30\n7:25,c,a,1,12,9\n"
    city = io.load_city(folder_of(tmp_path / "port", ZONES, trips))
    assert city.demand.sum((1, 2)).tolist() == [4.0, 2.0, 1.0]
    assert "slots that do not begin with a step of 10 minutes are moved to the beginning of theirs" in city.notes
    with pytest.raises(NetworkFileError, match=r"it lasts 2\d,\d+ steps of 0\.001 minutes, and 10,080 are the most"):
        io.load_city(tmp_path / "port", step=0.001)


ZONES = "zone,x,y,neighbours\na,0,0,b\nb,1,0,\nc,2,0,b\n"
TRIPS = "7:00,a,b,4,10,9\n430,b,c,2,20,30\n7:30,b,a,1,12,9\n7:00,a,b,4,14,11\n"


def test_a_pair_of_csv_files(tmp_path: Path) -> None:
    """Slots at 7:00, 7:10 and 7:30: steps of ten minutes, the third of them empty; c is reached from a over b."""
    city = io.load_city(folder_of(tmp_path / "port", ZONES, TRIPS + "7:30,c,b,1,20,30\n"), cars=12)
    assert city.name == "port" and city.zones == ("a", "b", "c") and (city.step, city.start) == (10.0, 420)
    assert city.demand.sum((1, 2)).tolist() == [8.0, 2.0, 0.0, 2.0] and city.demand[0, 0, 1] == 8
    assert city.travel_time[0, 0, 1] == 12 and city.fare[0, 0, 1] == 10 and city.cars == 12
    assert city.empty_time[0].tolist() == [0.0, 12.0, 32.0]
    assert city.neighbours.tolist() == [[0, 1], [1, 2]] and city.coordinates is not None
    assert any("no rides are listed between 2 pairs" in note for note in city.notes)


@pytest.mark.parametrize(
    ("zones", "trips", "sentence"),
    [
        (ZONES, "", "it lists no trips"),
        (ZONES, "7:00,a,d,1,2,3\n", "trips.csv, line 2: destination 'd' is not a node"),
        (ZONES, "7:61,a,b,1,2,3\n", "line 2: time must be a non-negative number, not '7:61'"),
        (ZONES, "2880,a,b,1,2,3\n", "time must be a minute of the day (0 .. 1439, more after midnight), not '2880'"),
        (ZONES, "7:00,a,b,-1,2,3\n", "demand must be a non-negative number"),
        (ZONES, "7:00,a,b,1,0,3\n", "travel_time must be a positive number"),
        (ZONES, "7:00,a,b,1,2,3\n", "port: no driving times lead from zone 'a' to zone 'c'"),
        (ZONES, "7:00,a,b,0,2,3\n", "trips.csv: nobody asks for a ride: demand is 0 in every row"),
        (ZONES, "7:00,a,b,1,2,3\n7:01,b,a,1,2,3\n99999,b,c,1,2,3\n", "time must be a minute of the day"),
        ("zone,x\n", "7:00,a,b,1,2,3\n", "zones.csv: it lists no zones"),
        ("zone\na\na\n", "7:00,a,a,1,2,3\n", "node 'a' is given twice"),
        ("name\na\n", "7:00,a,a,1,2,3\n", "the header has no column zone"),
    ],
)
def test_a_bad_pair_is_one_sentence(tmp_path: Path, zones: str, trips: str, sentence: str) -> None:
    with pytest.raises(NetworkFileError, match=re.escape(sentence)):
        io.load_city(folder_of(tmp_path / "port", zones, trips))


def test_what_a_pair_says_and_is_not_done_is_said(tmp_path: Path) -> None:
    """A misspelt column, a pair twice in a slot, slots longer than a step or beside one."""
    folder = folder_of(tmp_path / "port", ZONES.replace("neighbours", "neighbors"), TRIPS + "7:37,c,b,1,20,30\n")
    said = " | ".join(io.load_city(folder).notes)
    assert "column 'neighbors' of zones.csv is ignored; did you mean 'neighbours'?" in said
    assert "pairs with several rows in one slot: their requests are added up (once: trips.csv, line 5)" in said
    assert "slots that do not begin with a step of 7 minutes are moved to the beginning of theirs" in said
    short = " | ".join(io.load_city(folder, step=5).notes)
    assert "slots are 7 minutes apart, and steps 5: a slot's requests are all in its first step" in short


def test_a_drive_without_end_is_one_sentence(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "port", ZONES, TRIPS.replace("20,30", "1e30,30") + "7:00,c,b,1,5,3\n")
    with pytest.raises(ValueError, match=r"a drive of up to 1e\+30 minutes .* over the limit of 10,000 steps of 10"):
        make_model("MFNet-RideShare-v0", city=folder, fleet=3)


def test_a_city_of_counted_trips() -> None:
    """Two Mondays: 240 trips from 8 to 9 h are two a minute and day, over steps of 5 minutes ten."""
    trips = np.zeros((7, 24, 2, 2), np.int32)
    trips[0, 8, 0, 1], trips[0, 9, 1, 0] = 240, 24
    table = TripTable(np.array([4, 7]), trips, np.array([[np.nan, 12.0], [8.0, np.nan]]), np.full(7, 2))
    city = io.city_of_trips(table, weekday=0, hour=8, hours=2, neighbours=[(4, 7), (7, 4), (4, 200)], cars=5)
    assert city.zones == (4, 7) and len(city.demand) == 24 and city.start == 480
    np.testing.assert_allclose(city.demand[:12, 0, 1], 10.0)
    np.testing.assert_allclose(city.demand[12:, 1, 0], 1.0)
    assert city.demand.sum() == pytest.approx(132) and city.fare[0, 0, 1] == 2.5 + 12
    assert city.neighbours.tolist() == [[0, 1]] and "1 borders of zones without trips are left out" in city.notes


def test_city_data_check_themselves() -> None:
    table = np.ones((1, 2, 2))
    good: dict[str, Any] = {
        "name": "x", "zones": ("a", "b"), "step": 5.0, "start": 0, "demand": table, "travel_time": table, "fare": table,
        "empty_time": table[0], "neighbours": np.array([[0, 1]]),
    }  # fmt: skip
    assert repr(CityData(**good)) == "CityData(x: 2 zones, 1 steps of 5 min from 0:00, 4 requests)"
    for change, sentence in (
        ({"zones": ("a", "a")}, "a name of its own"),
        ({"step": 0}, "positive number of minutes"),
        ({"demand": table[0]}, "demand must have shape"),
        ({"demand": -table}, "demand must hold finite non-negative numbers"),
        ({"demand": 0 * table}, "nobody asks"),
        ({"travel_time": 0 * table}, "must take some time"),
        ({"empty_time": np.zeros((2, 2))}, "an empty car must need some time"),
        ({"neighbours": np.array([[0, 2]])}, "places, 0 .. 1"),
        ({"cars": 0}, "cars must be a positive whole number"),
        ({"cost": -1}, "cost of a minute must be"),
        ({"turnaround": -1}, "whole number of steps"),
    ):
        with pytest.raises(NetworkFileError, match=sentence):
            CityData(**{**good, **change})
