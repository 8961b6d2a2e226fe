"""What a run has learnt as plain files: the numbers are the policy's, and what cannot be written is said."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents.cli import main
from mfnet_agents.runs import RunFolder
from mfnet_agents.runs.export import _geojson, flows
from mfnet_envs.policy import uniform

EXAMPLES = Path(__file__).parents[1] / "examples"
ZONES = "zone,x,y,neighbours\nharbour,0,0,market\nmarket,2,1,\n"
TRIPS = "time,origin,destination,demand,travel_time,fare\n7:00,harbour,market,4,12,9.5\n7:15,market,harbour,1.5,11,9\n"


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of `mfnet solve port`."""
    place = tmp_path_factory.mktemp("city")
    port = place / "port"
    port.mkdir()
    (port / "zones.csv").write_text(ZONES)
    (port / "trips.csv").write_text(TRIPS)
    common = [
        "--backend",
        "numpy",
        "--env",
        "fleet=20",
        "--steps",
        "64",
        "--worlds",
        "4",
        "--out",
        str(place / "solved"),
    ]
    assert main(["solve", str(port), *common]) == 0
    return place / "solved"


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text("utf-8").splitlines()))


def test_the_tables_are_the_policys(solved: Path) -> None:
    out, folder = solved / "export", RunFolder.open(solved)
    written = {file.name for file in out.iterdir()}
    assert written == {"policy.npz", "policy.csv", "flows.csv", "bound.json", "README.txt"}
    policy = folder.algorithm(folder.best).policy
    zones = ["harbour", "market"]
    found = rows(out / "policy.csv")
    assert {row["step"] for row in found} == {"0", "1"} and {row["crowd"] for row in found} >= {"1", "2", "4"}
    for row in found:
        at, to = zones.index(row["region"]), zones.index(row["to"])
        counts = np.zeros((1, len(policy.model.legal)), int)
        counts[0, policy.model.team_states[at]] = int(row["crowd"])
        pi = policy.teams(counts, int(row["step"]))[0, at]
        assert float(row["share"]) == pytest.approx(pi[0 if at == to else 1], abs=1e-6)
    bound = json.loads((out / "bound.json").read_text())
    model = mfnet_envs.make_model("MFNet-RideShare-v0", city=str(solved.parent / "port"), fleet=20)
    assert bound["bound"]["value"] == pytest.approx(model.bound().value)  # type: ignore[union-attr]
    assert bound["policies"]["best"]["value"] <= bound["bound"]["value"] * 1.5 and bound["unit"] == "profit per episode"
    said = (out / "README.txt").read_text("utf-8")
    assert "step 0 begins at 7:00, a step is 15 minutes" in said and "There is no policy.geojson" in said
    assert "empty cars need between two zones what rides need" in said  # the model's notes


def test_a_dispatcher_calls_the_policy(solved: Path) -> None:
    def printed(*arguments: str) -> str:
        command = [sys.executable, "-W", "error", str(EXAMPLES / "dispatcher.py"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    text = printed(str(solved / "export" / "policy.npz"), "harbour", "1", "12")
    told = [line.split() for line in text.splitlines()]
    assert sum(int(words[0]) for words in told) == 12 and {words[5] for words in told} <= {"in", "to"}
    assert "of 12 cars" in printed()


def test_flows_are_counted_as_long_as_there_is_time() -> None:
    """At least one step after the warm-up, and what is found is a mean over those that were played."""
    model = mfnet_envs.make_model("MFNet-Courier-v0", population=30, rows=2, cols=2, horizon=40, warmup=10)
    policy = uniform(model)
    few, _, steps = flows(model, policy, 200, 1, seconds=0.0)
    all_, _, every = flows(model, policy, 200, 1)
    assert (steps, every) == (11, 40) and few is not None and all_ is not None
    short, long = (sum(float(row[3]) for row in rows) for rows in (few, all_))
    assert short == pytest.approx(long, rel=0.2)


def test_flows_balance() -> None:
    """What comes in less what goes out is what a node gains, as worlds that count crowds only see it.

    Within five standard errors of the difference of two means, 0.04 to 0.11 cars: chance exceeds it once in 20,000.
    """
    model = mfnet_envs.make_model("MFNet-RideShare-v0")
    policy, worlds = uniform(model), 2400
    found, largest, _ = flows(model, policy, worlds, 1)
    assert found is not None and 8 < largest <= model.population
    names = list(model.network.nodes)
    gained = np.zeros((model.evaluation[0], len(names)))
    for said, origin, target, agents in found:
        step = int(said)
        gained[step, names.index(origin)] -= float(agents)
        gained[step, names.index(target)] += float(agents)
    simulator, rng = mfnet_envs.Simulator(model), np.random.default_rng(2)
    counts = simulator.reset(rng, worlds)
    for t, gain in enumerate(gained):
        after = simulator.at(t).play(counts, policy.teams(counts, t), rng).next_counts
        change = (after - counts).reshape(worlds, len(names), -1).sum(2)
        assert (np.abs(gain - change.mean(0)) < 5 * np.sqrt(2 / worlds) * change.std(0)).all()
        counts = after
    assert np.abs(gained).max() > 1


def test_places_of_a_network_and_where_they_lie(tmp_path: Path) -> None:
    graph = """graph [ directed 0
 node [ id 0 label "Ulm" Longitude 10.0 Latitude 48.4 ]
 node [ id 1 label "Bonn" Longitude 7.1 Latitude 50.7 ]
 node [ id 2 label "Kiel" Longitude 10.1 Latitude 54.3 ]
 edge [ source 0 target 1 ] edge [ source 1 target 2 ] edge [ source 0 target 2 ] ]"""
    (tmp_path / "net.gml").write_text(graph)
    data = mfnet_envs.io.load(tmp_path / "net.gml")
    model = mfnet_envs.make_model("MFNet-Packet-v0", network=_with_demand(data, tmp_path), population=30)
    names = {model.network.graph.nodes[v]["name"] for v in model.network.nodes}
    towns = ["Ulm", "Bonn", "Kiel"]
    assert names == {*towns, *(f"{a} to {b}" for a in towns for b in towns if a != b)}
    saved = mfnet_envs.load_policy(mfnet_envs.save_policy(uniform(model), tmp_path / "policy.npz"), model)
    collection = json.loads(_geojson(saved, model) or "")
    assert collection["type"] == "FeatureCollection" and len(collection["features"]) == len(model.team_states)
    for feature in collection["features"]:
        east, north = feature["geometry"]["coordinates"]
        assert 6.5 < east < 10.6 and 48 < north < 54.7
        [shares] = feature["properties"]["shares"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)


def _with_demand(data: Any, folder: Path) -> str:
    demand = np.ones((3, 3)) - np.eye(3)
    return str(replace(data, demand=demand).to_npz(folder / "net.npz"))


def test_where_it_may_not_be_written(solved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    assert main(["export", str(solved), "--out", str(tmp_path / "full")]) == 2
    assert "exists and is no earlier export" in capsys.readouterr().err
    assert main(["export", str(tmp_path)]) == 2
    assert "there is no run" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["letter.txt"]
    before = {file.name: file.read_bytes() for file in (solved / "export").iterdir()}
    assert main(["export", str(solved), "--out", str(tmp_path / "again"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == len(before)
    assert main(["export", str(solved), "--out", str(tmp_path / "again")]) == 0
    for name in ("policy.csv", "flows.csv", "bound.json"):
        assert (tmp_path / "again" / name).read_bytes() == before[name]


def test_a_policy_that_no_file_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    common = ["--steps", "512", "--worlds", "4", "--out", run, "--no-tensorboard"]
    assert main(["train", "MFNet-TwoByTwo-v0", "--population", "20", "--set", "observe=1", *common]) == 0
    assert main(["export", run]) == 2
    said = capsys.readouterr().err
    assert "looks at more than the size of its own team" in said and not (tmp_path / "run" / "export").exists()


# -- what if


def test_what_if_the_fleet_were_half(solved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns are those of `mfnet evaluate` here and there, and the bound is the other city's."""
    half = ["--on", "fleet=10", "population=10"]
    common = ["--worlds", "16", "--json"]
    assert main(["what-if", str(solved), *half, "--retrain", "--out", str(solved.parent / "half"), *common]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["evaluate", str(solved), *half, *common]) == 0
    there = json.loads(capsys.readouterr().out)
    assert found["after"]["policies"]["learnt here"]["value"] == there["policies"]["learnt, best"]["value"]
    assert found["after"]["certificate"] == there["certificate"]
    assert main(["evaluate", str(solved), *common]) == 0
    here = json.loads(capsys.readouterr().out)
    assert found["before"]["policies"]["learnt here"]["value"] == here["policies"]["learnt, best"]["value"]
    assert found["before"]["certificate"]["value"] > found["after"]["certificate"]["value"]
    retrained = RunFolder.open(solved.parent / "half")
    assert retrained.read("result.json")["env_config"] == {**there_options(solved), "fleet": 10, "population": 10}
    assert "retrained there" in found["after"]["policies"]
    assert main(["what-if", str(solved), *half, "--worlds", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-4:] == ["there", "gap", "closed", "there"] and "there: fleet=10, population=10" in lines
    assert any(line.startswith("bound ") for line in lines) and not any("retrained" in line for line in lines)


def there_options(run: Path) -> dict[str, Any]:
    return dict(RunFolder.open(run).read("result.json")["env_config"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say what changes: --on KEY=VALUE"),
        (["--on", "flet=10"], "has no option 'flet'"),
        (["--on", "city=None"], "for another network train one with weights='shared'; or say --retrain"),
    ],
)
def test_what_cannot_be_asked(
    arguments: list[str], sentence: str, solved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["what-if", str(solved), *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
