"""`mfnet solve`: from files to a page; a wrong file is one sentence and leaves nothing behind."""

import json
from pathlib import Path

import pytest

from mfnet_agents.cli import main
from mfnet_agents.runs import RunFolder

ZONES = "zone,x,y,neighbours\nharbour,0,0,market\nmarket,2,1,\n"
TRIPS = "time,origin,destination,demand,travel_time,fare\n7:00,harbour,market,4,12,9.5\n7:15,market,harbour,1.5,11,9\n"


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "port"
    folder.mkdir()
    (folder / "zones.csv").write_text(ZONES)
    (folder / "trips.csv").write_text(TRIPS)
    return folder


def test_a_city_from_its_files_to_a_page(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["solve", "port", "--env", "fleet=20", "--steps", "64", "--worlds", "4", "--out", "solved"])
    text = capsys.readouterr().out
    assert code == 0, text
    assert text.startswith("read CityData(port: 2 zones, 2 steps of 15 min from 7:00, 6 requests)")
    assert "note: empty cars need between two zones what rides need" in text and "bound: " in text
    assert "fluid plan" in text and "\nthe page is solved/report.html\nwhat if? mfnet what-if solved " in text
    page = Path("solved/report.html").read_text("utf-8")
    assert "profit per episode" in page and "port" in page
    result = RunFolder.open(Path("solved")).read("result.json")
    assert {"random", "stay", "equal", "proportional", "fluid_plan", "last", "best"} == set(result["policies"])
    assert result["env_config"] == {"city": "port", "fleet": 20}
    assert main(["evaluate", "solved", "--worlds", "4"]) == 0


def test_to_measure_takes_no_longer_than_to_learn(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But four worlds at least; --worlds overrules."""
    assert main(["solve", "port", "--env", "fleet=20", "--steps", "8"]) == 0
    assert "to measure all policies in 4 worlds takes up to" in capsys.readouterr().out
    assert RunFolder.open(Path("runs/solve-port-seed0")).read("result.json")["evaluation"]["worlds"] == 4


def test_minutes_are_turned_into_steps(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However short: an iteration at least, of four episodes of two steps."""
    assert main(["solve", "port", "--env", "fleet=20", "--minutes", "1e-5", "--worlds", "2", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "result" and last["num_env_steps_sampled_lifetime"] == 8
    assert Path(last["page"]) == Path("runs/solve-port-seed0/report.html")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere.json"], "there is no nowhere.json"),
        (["port"], "the data of port name no fleet; say fleet="),
        (["port", "--kind", "packet"], "port is a city, which --kind rideshare is for"),
        (["topohub:sndlib/nowhere", "--kind", "rideshare"], "is no city, which --kind rideshare needs"),
        (["port", "--env", "flet=3"], "flet"),
        (["port", "--env", "city=port", "fleet=3"], "--env city= and FILE say two things: leave one out"),
        (["port", "--env", "fleet=3", "--out", "port"], "port exists; name another folder with --out"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    arguments: list[str], sentence: str, port: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(port.parent.rglob("*"))
    assert main(["solve", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.startswith("mfnet: ") and said.count("\n") == 1
    assert sorted(port.parent.rglob("*")) == before


def test_no_steps_are_not_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["solve", "port", "--steps", "0"])
    assert "argument --steps: it must be at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon", "1e9"])
def test_minutes_are_positive(minutes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["solve", "x", f"--minutes={minutes}"])
    assert "no positive number of minutes" in capsys.readouterr().err
