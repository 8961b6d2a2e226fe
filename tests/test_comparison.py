"""Comparisons: frozen suites, equal budgets, and a table that no kill changes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mfnet_envs
from mfnet_agents import cli, registry
from mfnet_agents.algorithm import Algorithm
from mfnet_agents.cli import arguments as arguments_of_verbs
from mfnet_agents.comparison import exports, jobs, processes, runner, suites, trackers, tuning
from mfnet_agents.comparison.contenders import information_of
from mfnet_agents.comparison.plan import ComparisonFolder, Plan, as_name, make_plan
from mfnet_agents.comparison.standings import Standings
from mfnet_agents.dec_neural_ac.config import DecNeuralACConfig
from mfnet_agents.runs import RunError
from mfnet_envs.policy import TablePolicy, uniform
from mfnet_envs.yardstick import Yardstick

pytestmark = pytest.mark.xdist_group("comparison")  # one process that has everything imported

FROZEN = {
    "mfnet-smoke-v1": "9032a2165a52cd706a93742c90e2fd0b0b00d195f6923b3a13302b07e56e39a6",
    "mfnet-cities-v1": "c5d387b043a86b9d5ab95b11e4e78f08786a154f37b6f9684e2641e11d5d3644",
    "mfnet-core-v1": "02eae3364950b5c95e4375db84aee99c4487708c7464677fde0d587e6ab160dd",
}
SMALL = {
    "id": "small-v0", "contenders": ["heuristics"], "seeds": 2, "budget": 2048, "points": 3, "choice_worlds": 4,
    "choice_seed": 7, "test_worlds": 8, "test_seed": 8, "planner_worlds": 2,
    "instances": [
        {"name": "cells", "env": "MFNet-TwoByTwo-v0"},
        {"name": "path", "env": "MFNet-Grid-v0", "env_config": {"population": 6, "rows": 1, "cols": 3, "horizon": 20}},
        {"name": "tune", "env": "MFNet-TwoByTwo-v0", "split": "tuning"},
    ],
    "information": {"MFNet-Grid-v0": {"stay": "own node", "greedy": "k hops"}},
}  # fmt: skip
TABLES = ("results.parquet", "marl_eval.json", "ranking.md", "ranking.csv", "ranking.tex", "instances.md")


@pytest.fixture
def roamer(tmp_path: Path) -> str:
    """The name of the learner, in a place of its own."""
    shutil.copy(Path(__file__).with_name("roamer.py"), tmp_path / "roamer.py")
    return f"{tmp_path / 'roamer.py'}:RoamerConfig"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A suite of one's own."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SMALL))
    return path


def compared(plan: Plan, path: Path) -> Standings:
    """A comparison from its beginning to its tables."""
    folder = ComparisonFolder(path)
    with folder.owned():
        folder.begin(plan)
        runner.execute(folder, plan)
    standings = Standings(folder)
    exports.write_all(standings, path)
    return standings


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def iterations(roamer: str) -> list[str]:
    return (Path(roamer.rpartition(":")[0]).parent / "iterations.log").read_text().splitlines()


# -- suites


def test_published_suites_never_change() -> None:
    """Whoever changes one publishes it under the next version instead."""
    assert {name: suites.suite(name).digest for name in suites.suites()} == FROZEN


@pytest.mark.parametrize("name", suites.suites())
def test_suites_keep_tuning_apart(name: str) -> None:
    """Neither the instances nor the worlds on which something is chosen are those of the tables."""
    suite = suites.suite(name)
    whole = {split: [i for i in suite.instances if i.split == split] for split in suites.SPLITS}
    assert whole["test"] and whole["tuning"]
    for mine in whole["tuning"]:
        assert all((mine.env, mine.env_config) != (other.env, other.env_config) for other in whole["test"])
    assert all(i.choice_seed != i.test_seed for i in suite.instances)


def test_cities_are_tuned_on_other_days_hours_and_towns() -> None:
    """No day of a test instance is one of a tuning instance, and no town of theirs is drawn in the same split; all that
    is drawn is pinned, and with it the table of Manhattan."""
    found: dict[str, set[str]] = {split: set() for split in suites.SPLITS}
    for instance in suites.suite("mfnet-cities-v1").instances:
        _, _, drawn = instance.env.partition("instances:")
        config = instance.env_config.get("city", instance.env_config)
        found[instance.split].add("-".join(drawn.split("-")[:2]) or config["weekday"])
    assert found["test"] == {"friday", "manhattan-test", "rideshare-test"}
    assert found["tuning"] == {"tuesday", "wednesday", "manhattan-train", "rideshare-train"}
    records = suites.suite("mfnet-cities-v1").record["instances"]
    assert all(("hash" in record) == record["env"].startswith(suites.DRAWN) for record in records)


@pytest.mark.parametrize("name", suites.suites())
def test_suites_class_every_heuristic(name: str) -> None:
    suite = suites.suite(name)
    kinds = {(i.env, i.env_config.get("mode")): i for i in suite.instances if i.split == "test"}
    for instance in kinds.values():  # sizes make no heuristics
        model = mfnet_envs.make_model(instance.env, **instance.env_config)
        left = set(model.heuristics()) - {"random"} - set(suite.information.get(instance.env, {}))
        assert not left, f"{instance.name}: {left}"


@pytest.mark.parametrize(
    "change, said",
    [
        ({"budgets": 3}, "a suite has no 'budgets'; did you mean 'budget'?"),
        ({"instances": []}, "instances must be a list of at least one instance"),
        ({"budget": 0}, "instance cells: budget must be a positive integer"),
        ({"test_seed": 7}, "choice_seed and test_seed are the same"),
        ({"instances": [{"name": "a", "env": "MFNet-Grd-v0"}]}, "did you mean 'MFNet-Grid-v0'"),
        ({"instances": SMALL["instances"][:1] * 2}, "cells stands there twice"),
        ({"information": {"MFNet-Grid-v0": {"stay": "all"}}}, "information of MFNet-Grid-v0, stay must be"),
        ({"information": {"MFNet-Gird-v0": {"stay": "own node"}}}, "no instance plays; did you mean 'MFNet-Grid-v0'?"),
        (
            {"instances": [{"name": "a", "env": "mfnet_envs.instances:rideshare-test-6", "hash": "0f62"}]},
            "instance a: hash is '0f62', and what is drawn here has 0f629c48",
        ),
        (
            {"instances": [{"name": "a", "env": "MFNet-TwoByTwo-v0", "hash": "0"}]},
            "hash is of an instance that is drawn",
        ),
        ({"id": "small\ud800"}, "id must be a word that can be printed"),
        ({"instances": [{"name": "a\n", "env": "MFNet-TwoByTwo-v0"}]}, "name must be a word that can be printed"),
        ({"about": [float("nan")]}, "a suite holds finite numbers only"),
        (
            {"instances": [{"name": "a", "env": "MFNet-TwoByTwo-v0", "env_config": {"popul": 3}}]},
            "instance a: unexpected keyword argument 'popul'",
        ),
    ],
)
def test_a_suite_that_says_nonsense_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(json.dumps({**SMALL, **change}))
    with pytest.raises(ValueError, match=str(path)) as refused:
        suites.suite(str(path))
    assert said in str(refused.value)


def test_a_misspelt_heuristic_is_refused(small: Path) -> None:
    """Else the real one would be counted among those who know the model, and nobody would be told."""
    record = json.loads(small.read_text())
    record["information"] = {"MFNet-Grid-v0": {"gredy": "k hops"}}
    said = "small-v0: information of MFNet-Grid-v0: there is no heuristic 'gredy'; did you mean 'greedy'?"
    with pytest.raises(ValueError, match=re.escape(said)):
        make_plan(suites.from_record(record))


@pytest.mark.parametrize("name", suites.suites())
def test_published_suites_can_be_planned(name: str) -> None:
    assert make_plan(suites.suite(name), ["heuristics"]).with_heuristics


def test_a_suite_is_a_file_of_text(tmp_path: Path) -> None:
    """A byte order mark is none of its text; a pipe, from which nothing may ever come, is not opened."""
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(SMALL), "utf-8-sig")
    assert suites.suite(str(path)).id == "small-v0"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match=r"suite\.json: this is no regular file"):
        suites.suite(str(path))


# -- the command line


def test_without_ray_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence says what to install."""
    monkeypatch.chdir(tmp_path)
    find = arguments_of_verbs.find_spec
    monkeypatch.setattr(arguments_of_verbs, "find_spec", lambda name: None if name == "ray" else find(name))
    for verb in (["compare", "mfnet-smoke-v1"], ["tune", "MFNet-TwoByTwo-v0", "IPPO"]):
        assert cli.main([*verb, "--workers", "ray"]) == 2
        error = capsys.readouterr().err
        assert "needs ray: pip install" in error and "[rllib]" in error and error.count("\n") == 1
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["mfnet-smok-v1"], "there is no suite 'mfnet-smok-v1'; did you mean 'mfnet-smoke-v1'?"),
        ([], "name a suite"),
        (["mfnet-smoke-v1", "--contenders", "DecNeuralAD"], "did you mean 'DecNeuralAC'?"),
        (["mfnet-smoke-v1", "--contenders", "planner:replanned"], "did you mean 'replan'?"),
        (["mfnet-smoke-v1", "--contenders", "planner:replan:hrizon=4"], "got an unexpected keyword argument 'hrizon'"),
        (["mfnet-smoke-v1", "--contenders", "planner:replan:horizon=0"], "horizon must be a positive integer, not 0"),
        (["mfnet-smoke-v1", "--contenders", "planner:replan:horizon=far"], "horizon must be an integer, not 'far'"),
        (["mfnet-smoke-v1", "--contenders", "planner:class_reference:iterations=0"], "iterations must be a positive"),
        (["mfnet-smoke-v1", "--contenders", "planner:class_reference:limit=2"], "limit must be True or False, not 2"),
        (["mfnet-smoke-v1", "--hours", "0"], "'0' is no positive number of hours, at most 10,000"),
        (["mfnet-smoke-v1", "--contenders", "DecNeuralAC:hopps=1"], "no option 'hopps' to be set here; did you mean"),
        (["mfnet-smoke-v1", "--contenders", "DecNeuralAC:seed=1"], "no option 'seed' to be set here"),
        (["mfnet-smoke-v1", "--contenders", "DecNeuralAC:hops=-1"], "hops must be a non-negative integer, not -1"),
        (["mfnet-smoke-v1", "--contenders", "DecNeuralAC:actor_lr=1/0"], "'actor_lr=1/0' divides by zero"),
        (["mfnet-smoke-v1", "--seeds", "9" * 19], "seeds must be at most 10,000"),
        (["mfnet-smoke-v1", "--contenders", "DecNeuralAC:hops"], "options are given as NAME=VALUE"),
        (["mfnet-smoke-v1", "--instances", "grid"], "mfnet-smoke-v1 has no instance 'grid'; did you mean 'grid9'?"),
        (["mfnet-smoke-v1", "--seeds", "0"], "it must be at least 1"),
        (["--resume", "--out", "nowhere"], "there is no comparison in nowhere"),
        (["mfnet-smoke-v1", "--out", "taken"], "taken holds something already"),
        (["mfnet-smoke-v1", "--address", "here:6379"], "--address is a Ray cluster's: add --workers ray"),
        (["mfnet-smoke-v1", "--workers", "rya"], "invalid choice: 'rya'; did you mean 'ray'?"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_answered_before_anything_runs(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    try:
        code = cli.main(["compare", *arguments])
    except SystemExit as done:
        code = int(str(done.code))
    error = capsys.readouterr().err
    assert code == 2 and said in error and error.count("\n") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["taken"]


def test_a_folder_has_one_owner_and_one_plan(small: Path, tmp_path: Path) -> None:
    plan = make_plan(suites.suite(str(small)))
    folder = ComparisonFolder(tmp_path / "out")
    with folder.owned(), pytest.raises(RunError, match="in use by process"), folder.owned():
        pass
    folder.begin(plan)
    with pytest.raises(RunError, match="holds something already"):
        folder.begin(plan)
    with pytest.raises(RunError, match=r"was started with seeds 2, not 3"):
        folder.must_be_of(make_plan(plan.suite, seeds=3))
    changed = json.loads((folder.path / "plan.json").read_text())
    changed["suite"]["test_seed"] = 9
    (folder.path / "plan.json").write_text(json.dumps(changed))
    with pytest.raises(RunError, match="its digest is another one"):
        folder.plan()


def test_json_is_one_object_a_line(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(small), "--out", str(tmp_path / "out"), "--jobs", "2", "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["job", "job", "result"]
    assert [event["done"] for event in events[:2]] == [1, 2] and events[1]["seconds_left"] == 0
    result = events[-1]
    assert result["instances"]["cells"]["best_known"] == "social" and result["instances"]["cells"]["bound"] == 598
    rows = {row["contender"]: row["value"] for event in events[:2] for row in event["rows"]}
    assert result["instances"]["cells"]["contenders"]["selfish"]["values"] == [rows["selfish"]]


# -- numbers


def test_numbers_are_the_harness_s_own(small: Path, roamer: str, tmp_path: Path) -> None:
    """Whatever a learner says of itself (this one refuses to be asked): each number can be had again from outside, by
    evaluating what its checkpoint holds, or the model's heuristic, on the suite's test worlds."""
    plan = make_plan(suites.suite(str(small)), [roamer, "heuristics"], seeds=1)
    standings = compared(plan, tmp_path / "out")
    assert [board.instance.name for board in standings.boards] == ["cells", "path"]  # none of the tuning split
    for board in standings.boards:
        instance = board.instance
        model = mfnet_envs.make_model(instance.env, **instance.env_config)
        common = {"worlds": instance.test_worlds, "seed": instance.test_seed}
        for name, policy in model.heuristics().items():
            found = mfnet_envs.evaluate(model, policy, **common)
            assert board.entries[name].mean == found["headline_mean"]
        job = next(job for job in plan.jobs if job.instance == instance and job.contender is not None)
        arrays = np.load(standings.folder.folder_of(job) / "best" / "state.npz")
        policy = mfnet_envs.policy.weighted(model, np.exp(arrays["logits"]))
        found = mfnet_envs.evaluate(model, policy, **common)
        row = board.entries[roamer].rows[0]
        assert row["value"] == found["headline_mean"] and row["ci95"] == found["headline_ci95"]
        chosen = mfnet_envs.evaluate(model, policy, worlds=instance.choice_worlds, seed=instance.choice_seed)
        assert max(point["value"] for point in row["curve"]) == pytest.approx(chosen["headline_mean"], rel=1e-12)
        assert board.yardstick.bound == model.bound().value


def test_budgets_are_equal(small: Path, roamer: str, tmp_path: Path) -> None:
    """No iterate counts that took more steps than the budget, and all are evaluated at the same points."""
    texts = [f"{roamer}:num_envs_per_env_runner={worlds}" for worlds in (16, 12, 5)] + [f"{roamer}:mischief=uneven"]
    standings = compared(make_plan(suites.suite(str(small)), texts, ["cells"], seeds=1), tmp_path / "out")
    for text in texts:
        row = standings.boards[0].entries[text].rows[0]
        assert row["chosen_at"] <= 2048 and [point["step"] for point in row["curve"]] == [0, 1024, 2048]
        if "uneven" not in text:
            step = row["options"]["num_envs_per_env_runner"] * 16
            assert row["env_steps"] == 2048 // step * step  # the last iteration that fits, and every one before it
            assert [point["env_steps"] for point in row["curve"]] == [at // step * step for at in (0, 1024, 2048)]


def test_tuning_sees_no_test_instance(small: Path, roamer: str, tmp_path: Path) -> None:
    """Three configurations on the tuning instance; the one whose own numbers are best is in the tables."""
    walker = f"{roamer}:walk_lr=0.03"
    plan = make_plan(suites.suite(str(small)), [walker, f"{roamer}:mischief=raise"], seeds=1, tune=3)
    tests = {(i.name, i.test_seed) for i in plan.instances} | {(i.name, i.choice_seed) for i in plan.instances}
    assert {i.name for i in plan.tuning_instances} == {"tune"}
    assert not {i.test_seed for i in plan.tuning_instances} & {seed for _, seed in tests}
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    standings = compared(plan, tmp_path / "out")
    found = {}
    for job in plan.tuning_jobs:
        if job.contender is not None and job.contender.text == walker:
            row = standings.folder.result(job)["rows"][0]
            found[job.trial] = row["value"], row["options"]["walk_lr"], row["seed"]
    values, sizes, seeds = zip(*(found[trial] for trial in range(3)), strict=True)
    assert sizes[0] == 0.03 and len(set(sizes)) == 3 and all(0.003 <= size <= 0.3 for size in sizes)
    assert set(seeds).isdisjoint(range(1000))
    winner = int(np.argmax(values))
    assert winner != 0, "else the test could not tell"
    for board in standings.boards:
        row = board.entries[walker].rows[0]
        assert row["trial"] == winner and row["options"]["walk_lr"] == sizes[winner]
    [_, *rows] = tuning.table(standings.folder, plan)
    assert [row[1] for row in rows[:3]] == [f"{k}{' *' if k == winner else ''}" for k in range(3)]
    assert [row[2] for row in rows[:3]] == ["as given", *(f"walk_lr {size:g}" for size in sizes[1:])]
    assert rows[3][1] == "0 *" and "has had enough" in rows[3][2] and rows[3][-1] == "0.000"  # crashed: as it is given
    assert any("of 3 configurations of every learner the best on tune" in note for note in standings.footnotes())
    assert (tmp_path / "out" / "tuning.md").is_file()


def test_nothing_is_tuned_on_what_is_played(small: Path) -> None:
    suite = suites.suite(str(small))
    with pytest.raises(ValueError, match="tune cannot be both tuned on and played"):
        make_plan(suite, instances=["tune"], tune=2)
    record = {**SMALL, "instances": SMALL["instances"][:2]}
    with pytest.raises(ValueError, match="small-v0 has no tuning instance"):
        make_plan(suites.from_record(record), tune=2)


def test_tensorboard_reads_what_the_tables_say(small: Path, roamer: str, tmp_path: Path) -> None:
    """Every run is one of its runs; exported again, there are no more of them."""
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

    standings = compared(make_plan(suites.suite(str(small)), [roamer, "heuristics"], ["path"]), tmp_path / "out")
    for _ in range(2):
        said = trackers.export(standings, "tensorboard", tmp_path / "out")
    assert said.endswith(str(tmp_path / "out" / "tensorboard"))
    read = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "out" / "tensorboard"))
    read.Reload()
    entries = standings.boards[0].entries
    assert len(read.Runs()) == sum(len(entry.rows) for entry in entries.values())
    [seed1] = [run for run in read.Runs() if as_name(roamer) in run and run.endswith("seed1")]
    row = entries[roamer].rows[1]
    curve = {event.step: event.value for event in read.Scalars(seed1, "choice/value")}
    assert curve == pytest.approx({point["step"]: point["value"] for point in row["curve"]}, rel=1e-6)  # float32
    [event] = read.Scalars(seed1, "test/value")
    assert (event.step, event.value) == (row["chosen_at"], pytest.approx(row["value"], rel=1e-6))


# -- whatever happens


def test_information_classes(roamer: str, tmp_path: Path) -> None:
    """In the learner's own words, of which a wrong one is told before anything is trained."""
    words = {"own node": "own node", "1 hop": "k hops", "3 hops and clock": "k hops", "full state": "full state"}
    config = registry.config_class(roamer)().environment("MFNet-TwoByTwo-v0")
    for word, expected in words.items():
        assert information_of(config.copy().training(sees=word).build_algo()) == expected
    with pytest.raises(ValueError, match="says that its policies see 'everything', which is no class"):
        information_of(config.copy().training(sees="everything").build_algo())
    for options, expected in (({}, "own node"), ({"observe": 1}, "k hops"), ({"clock": True}, "own node and clock")):
        learner = DecNeuralACConfig().environment("MFNet-TwoByTwo-v0").training(**options)
        assert information_of(learner.build_algo()) == expected


def test_a_crash_is_a_row(small: Path, roamer: str, tmp_path: Path) -> None:
    texts = [f"{roamer}:mischief={mischief}" for mischief in ("raise", "exit", "die", "none")]
    standings = compared(make_plan(suites.suite(str(small)), texts, seeds=1), tmp_path / "out")
    for board in standings.boards:
        said = [board.entries[text].errors for text in texts]
        assert "the learner has had enough" in said[0][0] and "ended with exit code 3" in said[1][0]
        assert "signal 9" in said[2][0] and said[3] == ()
    lines = {line.name: line for lines in standings.ranking.values() for line in lines}
    assert lines[texts[0]].crashed == 2 and lines[texts[3]].crashed == 0
    assert lines[texts[0]].to_bound is not None and lines[texts[0]].to_bound.value == 0  # counts as random
    assert any("crashed count as the random policy" in note for note in standings.footnotes())
    assert iterations(roamer).count("0 6") == 2 * (1 + 1 + 2 + 1)  # whom a signal ended had a second chance
    log = standings.folder.folder_of(next(job for job in standings.plan.jobs if job.contender)) / "log.txt"
    assert "ValueError: the learner has had enough" in log.read_text()


def test_who_never_ends_is_stopped(small: Path, roamer: str, tmp_path: Path) -> None:
    """By the clock, without a second chance; the row says so. The others are not waited for any less."""
    plan = make_plan(suites.suite(str(small)), [f"{roamer}:mischief=hang"], ["cells"], seeds=1)
    folder = ComparisonFolder(tmp_path / "out")
    folder.begin(plan)
    processes.in_this_process(folder, plan, plan.jobs[0])
    runner.execute(folder, plan, hours=5 / 3600)
    [row] = folder.result(plan.jobs[1])["rows"]
    assert row["error"] == "it had not ended after 0.00139 hours (--hours) and was stopped; see log.txt"
    assert iterations(roamer).count("0 6") <= 1


def test_a_heuristic_that_crashes_is_a_row(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(TablePolicy):
        def teams(self, counts: Any, t: int) -> Any:
            raise RuntimeError("no such table")

    def broken(model: Any) -> dict[str, Any]:
        return {"random": uniform(model), "selfish": Broken(model, uniform(model).table), "stay": uniform(model)}

    plan = make_plan(suites.suite(str(small)), ["heuristics"], ["cells"])
    monkeypatch.setattr(type(mfnet_envs.make_model("MFNet-TwoByTwo-v0")), "heuristics", broken)
    folder = ComparisonFolder(tmp_path / "out")
    folder.begin(plan)
    processes.in_this_process(folder, plan, plan.jobs[0])
    standings = Standings(folder)
    assert standings.boards[0].entries["selfish"].errors == ("RuntimeError: no such table",)
    assert standings.ranking and "crashed: RuntimeError: no such table" in exports.as_text(standings)


def test_an_end_at_any_moment_changes_nothing(
    small: Path, roamer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job ends before its n-th iteration, checkpoint or note of its points, for every n, and is taken up again: the
    same row. Its iterations have lengths of their own; with those of seed 3, who forgets the longest ends elsewhere.
    """
    plan = make_plan(suites.suite(str(small)), [f"{roamer}:mischief=uneven"], ["path"], seeds=4)
    job = plan.jobs[-1]
    assert job.seed == 3
    left = -1

    def counted(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            return function(*arguments, **more)

        return call

    for owner, name in ((Algorithm, "train"), (Algorithm, "save_to_path"), (jobs, "write_json")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))

    def row(place: Path) -> dict[str, Any]:
        found = jobs.run(job, plan, place)["rows"][0]
        return {name: value for name, value in found.items() if not name.endswith("cpu_s")}

    straight = row(tmp_path / "straight")
    for n in range(1, 100):
        left = n
        try:
            row(tmp_path / str(n))
        except KeyboardInterrupt:
            assert row(tmp_path / str(n)) == straight
        else:
            break
    assert 10 < n < 50


def test_who_takes_no_steps_is_stopped(roamer: str) -> None:
    """Neither a comparison nor a run would ever come to the end of its budget."""
    config = registry.config_class(roamer)().environment("MFNet-TwoByTwo-v0").training(mischief="idle")
    with pytest.raises(ValueError, match="env_steps of an iteration must be a positive integer, not 0"):
        config.build_algo().train()


def test_ctrl_c_is_not_for_the_process_that_imports() -> None:
    """It gets the terminal's Ctrl-C like any other; in the middle of its imports it would print a traceback."""
    code = """
import os, signal
from multiprocessing import forkserver
from mfnet_agents.comparison import processes, suites
from mfnet_agents.comparison.plan import make_plan
if __name__ == "__main__":
    context = processes._context(make_plan(suites.suite("mfnet-smoke-v1"), ["heuristics"]))
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGINT)
    process = context.Process(target=os.getpid)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0 and ended.stderr == "", ended.stderr


def test_an_iterate_beyond_the_budget_does_not_count(small: Path, roamer: str, tmp_path: Path) -> None:
    """However good it is."""
    plan = make_plan(suites.suite(str(small)), [roamer], ["cells"], seeds=1)
    points = [{"step": s, "env_steps": s, "value": v, "longest": 256} for s, v in ((0, 1.0), (2048, 2.0), (2049, 3.0))]
    algorithm = registry.config_class(roamer)().environment("MFNet-TwoByTwo-v0").build_algo()
    yardstick = Yardstick.of(algorithm.model, None)
    training = jobs._Training(algorithm, plan.instances[0], algorithm.model, yardstick, tmp_path, points)
    assert training.best["env_steps"] == 2048


@pytest.mark.parametrize("mischief", ["die once", "kill the comparison once", "ctrl-c once"])
def test_kills_change_nothing(mischief: str, small: Path, roamer: str, tmp_path: Path) -> None:
    """kill -9 of a job and of the whole comparison, and Ctrl-C, in the middle of an iteration: the same table."""
    texts = [f"{roamer}:mischief={mischief}", "heuristics"]
    (tmp_path / "spared").touch()
    compared(make_plan(suites.suite(str(small)), texts, seeds=2), tmp_path / "straight")
    straight = iterations(roamer)
    (tmp_path / "spared").unlink()
    (tmp_path / "iterations.log").unlink()

    command = [sys.executable, "-m", "mfnet_agents.cli", "compare", "--out", str(tmp_path / "killed"), "--jobs", "1"]
    asked = [str(small), "--contenders", *texts]
    first = subprocess.run([*command, *asked], capture_output=True, text=True, start_new_session=True, check=False)
    expected = {"die once": 0, "kill the comparison once": -signal.SIGKILL, "ctrl-c once": 130}
    assert first.returncode == expected[mischief], first.stderr
    if first.returncode:
        assert iterations(roamer)[-1] == "0 6"  # it ended there, and so did its job
        assert first.returncode != 130 or "--resume" in first.stdout
        done = {path: os.stat(path).st_mtime_ns for path in (tmp_path / "killed" / "jobs").rglob("result.json")}
        again = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
        assert f"{6 - len(done)} of 6 jobs to run" in again.stdout
        assert {path: os.stat(path).st_mtime_ns for path in done} == done
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")
    # from the checkpoint of the point before, at 1024 steps and 4 iterations: two were run again, and nothing else
    assert sorted(iterations(roamer)) == sorted([*straight, "0 5", "0 6"])
    left = {path.name for path in (tmp_path / "killed" / "jobs").rglob("*") if path.name in ("last", "points.json")}
    assert not left


@pytest.mark.parametrize("lost", [0, 2, 3])
def test_a_server_that_was_killed_is_made_anew(lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks in the moment in which it dies finds nobody at its socket; that is no fault of the output."""
    tries = []

    class Process:
        def __init__(self, target: Any, args: Any) -> None:
            self.args = args

        def start(self) -> None:
            tries.append(self.args)
            if len(tries) <= lost:
                raise [ConnectionRefusedError(111, "Connection refused"), EOFError("unexpected EOF")][len(tries) % 2]

    monkeypatch.setattr(processes, "PATIENT", (0.0, 0.0, 0.0))
    context = type("Context", (), {"Process": Process})
    if lost == 3:
        with pytest.raises(RunError, match="ended again and again"):
            processes._started(context, "here", "job")
    else:
        assert processes._started(context, "here", "job").args == ("here", "job") and len(tries) == lost + 1
