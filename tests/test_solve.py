"""`mfnet solve`: from files to a page; a wrong file is one sentence and leaves nothing behind."""

import argparse
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mfnet_agents.cli import main, solve
from mfnet_agents.runs import REPORT_SEED, RunFolder
from mfnet_envs import make_model
from mfnet_envs.measure import measure

NUMPY = ("--backend", "numpy")  # most of these are not about machine code, which takes a minute to make

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
    code = main(["solve", "port", *NUMPY, "--env", "fleet=20", "--steps", "64", "--worlds", "4", "--out", "solved"])
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


def test_manhattan_comes_with_the_package() -> None:
    kind, said = solve.read("manhattan", None)
    assert kind == "rideshare" and said.startswith("read CityData(Manhattan, Thursday: 61 zones, ")


def test_in_steps_the_clock_decides_nothing_that_is_learnt(
    port: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines of very different speed: the same evaluations on the way, the same weights."""
    found = []
    for pace in (1e-6, 1e6):
        probed = replace_pace(monkeypatch, pace)
        assert (
            main(["solve", "port", *NUMPY, "--env", "fleet=20", "--steps", "64", "--worlds", "2", f"--out=at{pace}"])
            == 0
        )
        assert "learns for 64 steps, about" in capsys.readouterr().out
        assert probed.each == 8
        run = RunFolder.open(Path(f"at{pace}"))
        found.append((run.algorithm(run.last).get_state()[1]["theta"].tobytes(), run.algorithm(run.best).iteration))
        config = run.read("config.json")["config"]
        assert (config["evaluation_duration"], config["evaluation_interval"], config["backend"]) == (2, 2, "numpy")
    assert found[0] == found[1]


def replace_pace(monkeypatch: pytest.MonkeyPatch, pace: float) -> Any:
    """The probe as another machine has it."""
    config = solve.config_of("rideshare", {"city": "port", "fleet": 20}, 0, backend="numpy")
    probed = PROBE(config)._replace(pace=pace, learnt=pace, all=8 * pace)
    monkeypatch.setattr(solve, "probe", lambda config: probed)
    return probed


PROBE = solve.probe


def test_the_clock_ends_learning_and_the_run_is_finished(
    port: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is a million times slower than it seemed still stops in time, and shows its best policy."""
    replace_pace(monkeypatch, 1e-6)
    assert main(["solve", "port", *NUMPY, "--env", "fleet=20", "--minutes", "0.01", "--out", "solved"]) == 0
    text = capsys.readouterr().out
    assert "learns for at most 1 s by the clock, so that how many steps it takes depends on this machine" in text
    assert re.search(r"the time to learn is over, after [\d,]+ of 600,000 planned steps", text)
    result = RunFolder.open(Path("solved")).read("result.json")
    assert not result["interrupted"] and result["num_env_steps_sampled_lifetime"] < 600_000
    assert result["best"]["value"] > result["random"]["value"] and Path("solved/export/policy.npz").is_file()


def a_plan(minutes: float, learnt: float, rules: float, **others: Any) -> solve.Plan:
    options = argparse.Namespace(minutes=minutes, steps=None, worlds=None, **others)
    return solve.planned(options, solve.Probed(256, 0.01, learnt, rules + 2 * learnt, 16, None), 16, burnt=0)


def test_evaluations_have_their_share_of_the_time() -> None:
    """Of 120 s a quarter to look on the way, six times at first, and half as much again for the end."""
    quick = a_plan(2, learnt=0.1, rules=0.5)
    assert (quick.steps, quick.few, quick.worlds, quick.followed) == (47 * 256, 8, 16, 16)
    assert quick.every == 47 // 4 and quick.seconds == 120
    slow = a_plan(2, learnt=6.0, rules=48.0)
    assert (slow.few, slow.worlds, slow.followed) == (2, 2, 1)
    assert slow.every == 47  # one on the way, after those before the first iteration
    for plan, learnt, rules in ((quick, 0.1, 0.5), (a_plan(2, 1.0, 4.0), 1.0, 4.0)):
        assert (47 // plan.every + 2) * plan.few * learnt <= 30
        assert plan.worlds * (rules + 2 * learnt) <= 60


def test_minutes_are_turned_into_steps(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """However short: an iteration at least, of four episodes of two steps."""
    assert main(["solve", "port", *NUMPY, "--env", "fleet=20", "--minutes", "1e-5", "--worlds", "2", "--json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["event"] == "result" and last["num_env_steps_sampled_lifetime"] == 8
    assert Path(last["page"]) == Path("runs/solve-port-seed0/report.html")


def test_a_rule_that_is_better_is_named() -> None:
    """Whoever learnt to stay is told that another rule is better, and which; whoever learnt that rule is not."""
    model = make_model("MFNet-RideShareNYC-v0", population=200)
    rules = {name: rule for name, rule in model.heuristics().items() if name != "random"}
    ranked = measure(model, rules, worlds=4, backend="numpy").ranked()
    for learnt, name in ((rules["stay"], "stay"), (rules[ranked[-1]], ranked[-1])):
        measured = measure(model, {**rules, "last": learnt, "best": learnt}, worlds=4, backend="numpy").to_dict()
        result = {**measured, "evaluation": {"worlds": 4, "seed": 0}}
        said = " ".join(solve.verdict(result, model))
        assert said.startswith("The learnt policy reaches ")
        better = f"The rule {model.wording.labels.get(ranked[-1], ranked[-1])} is better than what was learnt"
        assert (better in said) == (name == "stay") and (f"(--start {ranked[-1]})" in said) == (name == "stay")


def test_a_start_is_a_rule_of_the_scenario(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lessons come on top of the steps to learn for: 16 worlds of 256 steps."""
    common = ["solve", "port", *NUMPY, "--env", "fleet=20", "--worlds", "2"]
    assert main([*common, "--minutes", "1e-5", "--start", "fluid_plan", "--out", "begun"]) == 0
    text = capsys.readouterr().out
    assert "begins from the rule fluid_plan\n" in text and "The learnt policy reaches" in text
    result = RunFolder.open(Path("begun")).read("result.json")
    lessons = result["num_env_steps_sampled_lifetime"] - 8
    assert lessons > 0 and lessons % 256 == 0
    assert main([*common, "--steps", "8", "--start", "fluid_plans", "--out", "no"]) == 2
    assert "did you mean 'fluid_plan'?" in capsys.readouterr().err and not Path("no").exists()


@pytest.mark.xdist_group("compiled")
@pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")
def test_compiled_where_it_can_be(
    port: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns and measures in the backend it names; the variable and the flag overrule."""
    monkeypatch.delenv("MFNET_BACKEND", raising=False)
    common = ["solve", "port", "--env", "fleet=20", "--steps", "64", "--worlds", "4"]
    assert main([*common, "--out", "c"]) == 0
    assert "plays and learns in the compiled backend" in capsys.readouterr().out
    run = RunFolder.open(Path("c"))
    assert run.read("config.json")["config"]["backend"] == "compiled"
    algorithm = run.algorithm(run.last)
    again = {
        name: measure(algorithm.model, {"last": algorithm.policy}, worlds=4, seed=REPORT_SEED, backend=name)
        for name in ("numpy", "compiled")
    }
    said = run.read("result.json")["policies"]["last"]["value"]
    assert again["compiled"].results["last"].value == said
    assert again["numpy"].results["random"].value != again["compiled"].results["random"].value
    assert run.read("result.json")["random"]["value"] == again["compiled"].results["random"].value
    monkeypatch.setenv("MFNET_BACKEND", "numpy")
    assert main([*common, "--out", "n"]) == 0
    assert "plays and learns in the numpy backend" in capsys.readouterr().out


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
    assert main(["solve", *NUMPY, *arguments]) == 2
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
