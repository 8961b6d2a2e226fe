"""`mfnet solve`: from files to a page; a wrong file is one sentence and leaves nothing behind."""

import argparse
import json
import math
import re
import signal
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfnet_agents import runs
from mfnet_agents.cli import main, solve
from mfnet_agents.policies.individual import IndividualPolicy
from mfnet_agents.runs import REPORT_SEED, RunFolder
from mfnet_envs import load_policy, make_model, save_policy
from mfnet_envs.measure import measure
from mfnet_envs.registration import remembered

NUMPY = ("--backend", "numpy")  # most of these are not about machine code, which takes a minute to make

ZONES = "zone,x,y,neighbours\nharbour,0,0,market\nmarket,2,1,\n"
TRIPS = "time,origin,destination,demand,travel_time,fare\n7:00,harbour,market,4,12,9.5\n7:15,market,harbour,1.5,11,9\n"
HILL = (
    "7:00,hill,market,3,14,11\n7:30,market,harbour,1.5,11,9\n7:45,market,hill,5,14,11\n8:00,market,harbour,4,12,9.5\n"
)


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
    probed = PROBE(config)
    probed = probed._replace(pace=pace, learnt=pace, rules=dict.fromkeys(probed.rules, pace))
    monkeypatch.setattr(solve, "probe", lambda config: probed)
    return probed


PROBE = solve.probe


def test_the_clock_ends_learning_and_the_run_is_finished(
    port: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that is a million times slower than it seemed still stops in time, and shows the best it knows."""
    replace_pace(monkeypatch, 1e-6)
    assert main(["solve", "port", *NUMPY, "--env", "fleet=20", "--minutes", "0.05", "--out", "solved"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"learns for at most \d+ s by the clock, so that how many steps it takes depends on this", text)
    said = re.findall(r"to learn is over, after ([\d,]+) of ([\d,]+) planned steps", text)
    done, planned = (int(steps.replace(",", "")) for steps in said[0])
    result = RunFolder.open(Path("solved")).read("result.json")
    assert not result["interrupted"] and result["num_env_steps_sampled_lifetime"] == done < planned
    assert result["best"]["value"] > result["random"]["value"] and Path("solved/export/policy.npz").is_file()


def a_plan(seconds: float, learnt: float, worlds: int = 16, slower: float = 1.0, **others: Any) -> solve.Plan:
    """Of a machine that learns a step in 10 ms, and plays what was learnt in a world in ``learnt`` seconds."""
    options = argparse.Namespace(minutes=seconds / 60, steps=None, worlds=None)
    probed = solve.Probed(256, 0.01, learnt, {}, 16, None)
    given = {"closing": 20.0, "burnt": 0, **others}
    return solve.planned(options, probed, time.perf_counter() + seconds, worlds=worlds, slower=slower, **given)


@pytest.mark.parametrize(
    ("learnt", "worlds", "slower"), [(0.01, 64, 1.0), (0.1, 16, 1.0), (1.0, 8, 1.5), (6.0, 3, 1.0), (3.0, 3, 2.0)]
)
def test_the_parts_of_the_plan_are_the_whole(learnt: float, worlds: int, slower: float) -> None:
    """300 s: learning, the look that ends it, both learnt policies in the worlds of the rules, and drawing."""
    plan = a_plan(300, learnt, worlds, slower)
    world = learnt * slower
    assert plan.learning + plan.few * world + 2 * worlds * world + 20 == pytest.approx(300, abs=1)
    assert plan.measuring == 2 * worlds * world and 2 <= plan.few <= 8
    looks = (plan.steps // 256 // plan.every + 3) * plan.few * world
    assert plan.steps * 0.01 + looks <= plan.learning + plan.few * world + 3
    assert looks <= max(300 / 4, 2 * 4 * world)  # four looks in two worlds there must be


def test_without_time_there_is_an_iteration_all_the_same() -> None:
    plan = a_plan(1e-3, learnt=1.0, worlds=3)
    assert (plan.steps, plan.every, plan.few, plan.followed, plan.learning) == (256, 1, 2, 5, 0.0)


def test_a_quarter_of_the_time_is_for_measuring(port: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In as many worlds as that is enough for: 3 at least, 64 at most; and what was asked for is what is done."""
    shown, asked = argparse.Namespace(say=lambda sentence: None), []

    def seen(model: Any, policies: Any, *, worlds: int, seconds: float, **others: Any) -> Any:
        asked.append((worlds, seconds))
        return measure(model, policies, worlds=2, certificate=None)

    monkeypatch.setattr(import_module("mfnet_envs.measure"), "measure", seen)
    model = make_model("MFNet-RideShare-v0", city="port", fleet=20)
    for chosen, world, worlds in ((None, 1.0, 10), (None, 1e-9, 64), (None, 1e9, 3), (7, 1e9, 7)):
        probed = solve.Probed(8, 1.0, world, dict.fromkeys(["random", *model.heuristics()], world), 4, model)
        options = argparse.Namespace(steps=None, worlds=chosen)
        until = time.perf_counter() + 4 * 10.5 * 7  # 7 policies: 5 rules, the last and the best
        solve.rules_of(options, probed, until, 64, "nothing", "numpy", shown)
        assert asked[-1][0] == worlds
        assert asked[-1][1] < 4 * 10.5 * 7 / 3 if chosen is None else asked[-1][1] == math.inf


def test_rules_for_which_there_is_no_time_are_named(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rule to begin from comes first; the page has the sentence, and the numbers of the others are not there."""
    assert main(["solve", "port", *NUMPY, "--env", "fleet=20", "--minutes", "1e-5", "--start", "fluid_plan"]) == 0
    text = capsys.readouterr().out
    left = "or lack of time these were not measured: stay, equal, proportional"
    result = RunFolder.open(Path("runs/solve-port-seed0")).read("result.json")
    assert set(result["policies"]) == {"random", "fluid_plan", "last", "best"} and f"note: f{left}" in text
    short = "he time was too short to begin as the rule fluid_plan: 0 of 240 rounds of fitting were done"
    assert {f"f{left}", f"t{short}"} < set(result["notes"])
    page = Path("runs/solve-port-seed0/report.html").read_text("utf-8")
    assert f"F{left}." in page and f"T{short}" in page


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
        said = " ".join(solve.verdict(result, model, None))
        assert said.startswith("The learnt policy reaches ")
        better = f"The rule {model.wording.labels.get(ranked[-1], ranked[-1])} is better than what was learnt"
        assert (better in said) == (name == "stay") and (f"(--start {ranked[-1]})" in said) == (name == "stay")


def test_the_better_of_rule_and_learnt_policy_is_exported(
    port: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hardly learnt is below proportional, whose shares the files then hold, and README.txt says so; `mfnet
    export` writes what was learnt. A rule that no file can hold is named all the same."""
    (port / "zones.csv").write_text(ZONES + "hill,3,3,market\n")
    (port / "trips.csv").write_text(TRIPS + HILL)
    common = ["solve", "port", *NUMPY, "--env", "fleet=20", "--steps", "8", "--worlds", "64"]
    assert main([*common, "--out", "solved"]) == 0
    text = capsys.readouterr().out
    assert "The rule proportional is better than what was learnt, so the files hold this rule: to learn more, " in text
    model = make_model("MFNet-RideShare-v0", city="port", fleet=20)
    counts = np.arange(len(model.legal))[None] % 7
    held = load_policy(Path("solved/export/policy.npz"), model)
    np.testing.assert_allclose(held.teams(counts, 1), model.heuristics()["proportional"].teams(counts, 1), atol=1e-9)
    result = RunFolder.open(Path("solved")).read("result.json")
    earned = f"{result['policies']['proportional']['value']:,.1f}"
    readme = Path("solved/export/README.txt").read_text("utf-8")
    assert "proportional. It was not learnt." in readme and f"It earns {earned} " in readme
    assert main(["export", "solved", "--out", "learnt"]) == 0
    learnt = load_policy(Path("learnt/policy.npz"), model)
    assert np.abs(learnt.teams(counts, 1) - held.teams(counts, 1)).max() > 0.1
    assert main(["export", "solved", "--out", "other", "--rule", "proportionate"]) == 2
    assert "did you mean 'proportional'?" in capsys.readouterr().err and not Path("other").exists()

    def refused(policy: Any, path: Any) -> Path:
        if not isinstance(policy, IndividualPolicy):
            raise ValueError("it looks at other crowds")
        return save_policy(policy, path)

    monkeypatch.setattr("mfnet_agents.runs.export.save_policy", refused)
    assert main([*common, "--out", "again"]) == 0
    assert "better than what was learnt, but no file can hold it, and these hold that: " in capsys.readouterr().out
    assert "It was not learnt." not in Path("again/export/README.txt").read_text("utf-8")


def test_what_was_stopped_goes_on_in_the_same_worlds(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in the first iteration: `mfnet train --resume` measures in the worlds of solve, not in 256."""
    config = solve.config_of("rideshare", {"city": "port", "fleet": 20}, 0, backend="numpy", total_env_steps=64)
    config.callbacks(on_train_result=lambda **values: signal.raise_signal(signal.SIGINT))
    algorithm, folder = config.build_algo(), RunFolder.create(Path("run"))
    known = measure(algorithm.model, algorithm.model.heuristics(), worlds=5, seed=REPORT_SEED, backend="numpy")
    assert runs.train(algorithm, folder, worlds=5, tensorboard=False, known=known)["interrupted"]
    assert main(["train", "MFNet-RideShare-v0", "--out", "run", "--resume", "--no-tensorboard"]) == 0
    assert "5 fresh worlds:" in capsys.readouterr().out
    result = folder.read("result.json")
    assert result["evaluation"] == {"worlds": 5, "seed": REPORT_SEED}
    for name, rule in known.results.items():  # the same worlds
        assert result["policies"][name]["value"] == rule.value


def test_what_is_known_is_not_played_again() -> None:
    model = make_model("MFNet-Grid-v0", population=20, rows=2, cols=2)
    rules, common = model.heuristics(), {"worlds": 4, "seed": 3, "backend": "numpy"}
    known = measure(model, {"stay": rules["stay"]}, **common)
    played: list[str] = []
    both = measure(model, rules, **common, known=known, tell=lambda name, result: played.append(name))
    assert set(played) == rules.keys() - {"stay", "random"} and set(both.results) == rules.keys() | {"random"}
    assert both.results["stay"] is known.results["stay"]
    assert both.results["greedy"] == measure(model, {"greedy": rules["greedy"]}, **common).results["greedy"]
    with pytest.raises(ValueError, match=r"measured in 4 worlds of seed 3, not 5 of seed 3"):
        measure(model, rules, worlds=5, seed=3, known=known)


def test_a_model_is_built_once_where_that_is_asked_for() -> None:
    small = {"population": 20, "rows": 2, "cols": 2}
    with remembered():
        first = make_model("MFNet-Grid-v0", **small)
        assert make_model("MFNet-Grid-v0", **small) is first
        assert make_model("MFNet-Grid-v0", **{**small, "population": 21}).population == 21
    assert make_model("MFNet-Grid-v0", **small) is not first


def test_a_start_is_a_rule_of_the_scenario(port: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its lessons come before what is learnt: 16 worlds of 256 steps."""
    common = ["solve", "port", *NUMPY, "--env", "fleet=20", "--worlds", "2"]
    assert main([*common, "--steps", "4104", "--start", "fluid_plan", "--out", "begun"]) == 0
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
